/* Refusals in the log: the first at once and with everything in it, the others as a count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/session/talk.h"

static char path[] = "/tmp/drawbridge-denials-XXXXXX";
static struct generation *rules;

static int begin(void **state) {
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const struct log_settings settings = {.dests = LOG_DEST_FILE, .kinds = LOG_KINDS_DEFAULT, .file = path};
    assert_int_equal(log_configure(&settings), 0);
    rules = generation_of(TALK_CONF "connection_messages false\n",
                          "topic read ok/#\ntopic deny shut/#\ntopic write maxqos=0 low\n", NULL);
    return 0;
}

static int end(void **state) {
    (void)state;
    generation_drop(rules);
    log_to_nowhere();
    return unlink(path);
}

/* What was logged since the last call. */
static char *logged(void) {
    static char text[16384];
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    fclose(file);
    return text;
}

static unsigned lines_with(const char *text, const char *words) {
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    return count;
}

static struct span publish(const struct talk *talk, const char *topic, uint8_t qos) {
    return publish_packet(talk->version, (struct publish_fields){.qos = qos, .id = 7, .topic = topic});
}

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};

static void test_everything_is_in_the_line(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        logged();
        struct talk talk = talk_begin(rules, versions[i]);
        talk_open(&talk);
        fake_say(talk.device, publish(&talk, "shut/x\n", 0));
        fake_say(talk.device, publish(&talk, "low", 1));
        fake_say(talk.broker, publish(&talk, "else", 0));
        const char *text = logged();
        assert_int_equal(lines_with(text, "\n"), 3);
        assert_int_equal(lines_with(text, "Denied PUBLISH to 'shut/x\\x0A', client dev ["), 1);
        assert_int_equal(lines_with(text, "]: a rule denies it, acl:2"), 1);
        assert_int_equal(lines_with(text, "]: its QoS is above the maxqos of the rule, acl:3"), 1);
        assert_int_equal(lines_with(text, "Denied delivery from 'else', client dev ["), 1);
        assert_int_equal(lines_with(text, "]: no rule grants it"), 1);
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
        assert_int_equal(lines_with(logged(), "Denied"), 0); /* nothing was left to tell */
    }
}

static void test_repetitions_are_counted(void **state) {
    (void)state;
    struct talk talk = talk_begin(rules, MQTT_VERSION_311);
    talk_open(&talk);
    logged();
    for (int i = 0; i < 42; i++)
        fake_say(talk.device, publish(&talk, "shut/x", 0));
    assert_int_equal(lines_with(logged(), "Denied"), 1);
    fake_say(talk.device, ping());
    world_advance(talk.world, DENIALS_WINDOW_MS + 200);
    const char *text = logged();
    assert_int_equal(lines_with(text, "Denied"), 1);
    assert_int_equal(lines_with(text, "'shut/x', client dev"), 1);
    assert_int_equal(lines_with(text, "... and 41 more like it."), 1);
    /* It goes on: a count only, at the end of the session as well. */
    fake_say(talk.device, publish(&talk, "shut/x", 0));
    assert_int_equal(lines_with(logged(), "Denied"), 0);
    fake_say(talk.device, bye());
    assert_int_equal(lines_with(logged(), "... and 1 more like it."), 1);
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* After a quiet minute it is new again, and nothing is kept waiting for it. */
static void test_a_quiet_minute_forgets(void **state) {
    (void)state;
    struct talk talk = talk_begin(rules, MQTT_VERSION_5);
    talk_wait(&talk, SPAN_NONE, 0);
    fake_say(talk.broker, talk_connack(&talk, 0));
    logged();
    fake_say(talk.device, publish(&talk, "shut/x", 0));
    world_advance(talk.world, DENIALS_WINDOW_MS + 200);
    assert_int_equal(lines_with(logged(), "\n"), 1);
    assert_int_equal(talk.world->wheel.count, 0);
    fake_say(talk.device, publish(&talk, "shut/x", 0));
    assert_int_equal(lines_with(logged(), "Denied PUBLISH"), 1);
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* A device with ever new topics fills no log either. */
static void test_many_different_ones(void **state) {
    (void)state;
    struct talk talk = talk_begin(rules, MQTT_VERSION_5);
    talk_open(&talk);
    logged();
    for (int i = 0; i < 1000; i++) {
        char topic[32];
        sprintf(topic, "shut/%d", i);
        fake_say(talk.device, publish(&talk, topic, 0));
    }
    assert_int_equal(lines_with(logged(), "Denied"), DENIALS_KEPT_MAX);
    fake_say(talk.device, bye());
    const char *text = logged();
    assert_int_equal(lines_with(text, "Denied"), 1);
    assert_int_equal(lines_with(text, "... and 996 others."), 1);
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* The session goes while there is a count to tell and a deadline set. */
static void test_a_sudden_end(void **state) {
    (void)state;
    struct talk talk = talk_begin(rules, MQTT_VERSION_311);
    talk_open(&talk);
    logged();
    for (int i = 0; i < 3; i++)
        fake_say(talk.broker, publish(&talk, "else", 0));
    fake_end(talk.device, -1);
    assert_int_equal(lines_with(logged(), "Denied delivery from 'else', client dev"), 2);
    talk_end(&talk, SESSION_END_DEVICE_LOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_in_the_line),
        cmocka_unit_test(test_repetitions_are_counted),
        cmocka_unit_test(test_a_quiet_minute_forgets),
        cmocka_unit_test(test_many_different_ones),
        cmocka_unit_test(test_a_sudden_end),
    };
    return cmocka_run_group_tests_name("session/denials", tests, begin, end);
}
