/* Reason Strings of our last words: only in MQTT 5, only where the device did not forbid them, and never in a
 * packet that it cannot take (MQTT 5.0 3.1.2.11.7, 3.2.2-19, 3.14.2-3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/session/talk.h"

#define CONF                                                                                                 \
    "backend 127.0.0.1:1883\n"                                                                               \
    "listener 1884\n"                                                                                        \
    "allow_anonymous true\n"

#define SILENT "clientid_deny dev\n" /* every CONNECT of talk_connect is refused */

static struct span connack_saying(uint8_t reason, const char *words) {
    struct writer writer = packets_open();
    mqtt_write_connack(&writer, MQTT_VERSION_5, reason, span_of_text(words));
    return packets_close(&writer);
}

static struct span disconnect_saying(uint8_t reason, const char *words) {
    struct writer writer = packets_open();
    mqtt_write_disconnect(&writer, MQTT_VERSION_5, reason, span_of_text(words));
    return packets_close(&writer);
}

static struct talk talk_of(const char *conf, enum mqtt_version version) {
    struct generation *generation = generation_of(conf, NULL, NULL);
    struct talk talk = talk_begin(generation, version);
    generation_drop(generation);
    return talk;
}

/* Properties that say it; a size for the longest packet. */
static struct span wishes(int problem_information, uint8_t size) {
    struct writer writer = packets_open();
    if (problem_information >= 0) {
        writer_u8(&writer, 0x17);
        writer_u8(&writer, (uint8_t)problem_information);
    }
    if (size != 0) {
        writer_u8(&writer, 0x27);
        writer_u32(&writer, size);
    }
    return packets_close(&writer);
}

static void test_connack(void **state) {
    (void)state;
    const char *words = "its client id is refused by clientid_deny";
    const uint8_t whole = (uint8_t)connack_saying(0x87, words).size;
    const struct {
        int problem_information; /* -1: not said */
        uint8_t size;            /* of the device's longest packet; 0: not said */
        const char *words;       /* NULL: no packet at all */
    } rows[] = {{-1, 0, words}, {1, 0, words}, {0, 0, ""}, {-1, whole, words}, {-1, (uint8_t)(whole - 1), ""},
                {-1, 5, ""},    {-1, 4, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct talk talk = talk_of(CONF SILENT, MQTT_VERSION_5);
        struct span props = wishes(rows[i].problem_information, rows[i].size);
        talk_connect(&talk, props, 60);
        assert_bytes(fake_written(talk.device),
                     rows[i].words == NULL ? SPAN_NONE : connack_saying(0x87, rows[i].words));
        talk_end(&talk, SESSION_END_CONNECT_REFUSED);
    }
}

static void test_disconnect(void **state) {
    (void)state;
    const char *words = "a second CONNECT came";
    const uint8_t whole = (uint8_t)disconnect_saying(0x82, words).size;
    const struct {
        int problem_information;
        uint8_t size;
        const char *words;
    } rows[] = {{-1, 0, words}, {0, 0, ""}, {1, whole, words}, {-1, (uint8_t)(whole - 1), ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct talk talk = talk_of(CONF, MQTT_VERSION_5);
        talk_wait(&talk, wishes(rows[i].problem_information, rows[i].size), 60);
        struct span connack = connack_packet(MQTT_VERSION_5, 0, bytes_of_hex("22 00 01"));
        fake_say(talk.broker, connack);
        size_t before = fake_written(talk.device).size;
        fake_say(talk.device, connect_packet(MQTT_VERSION_5, SPAN_NONE, "dev", 60));
        assert_bytes(written_behind(talk.device, before), disconnect_saying(0x82, rows[i].words));
        talk_end(&talk, SESSION_END_DEVICE_WRONG);
    }
}

/* A CONNECT that could not be read as a whole has not said what the device wants: the bare code. */
static void test_bad_connect(void **state) {
    (void)state;
    struct talk talk = talk_of(CONF, MQTT_VERSION_5);
    fake_say(talk.device, bytes_of_hex("10 10 00 04 4d 51 54 54 05 03 00 3c 00 00 03 64 65 76"));
    assert_bytes(fake_written(talk.device), connack_saying(0x81, ""));
    talk_end(&talk, SESSION_END_DEVICE_WRONG);
}

/* Before version 5 there is no place for words. */
static void test_old_versions(void **state) {
    (void)state;
    const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311};
    for (size_t i = 0; i < 2; i++) {
        struct talk talk = talk_of(CONF SILENT, versions[i]);
        talk_connect(&talk, SPAN_NONE, 60);
        assert_bytes(fake_written(talk.device), bytes_of_hex("20 02 00 05"));
        talk_end(&talk, SESSION_END_CONNECT_REFUSED);
    }
}

/* Neither the file of a rule nor what the broker is told is the device's business. */
static void test_nothing_is_given_away(void **state) {
    (void)state;
    struct talk talk = talk_of(CONF SILENT "backend_password s3cr3t\n", MQTT_VERSION_5);
    talk_connect(&talk, wishes(1, 0), 60);
    struct span told = fake_written(talk.device);
    assert_null(memmem(told.at, told.size, "s3cr3t", 6));
    assert_null(memmem(told.at, told.size, "test.conf", 9));
    talk_end(&talk, SESSION_END_CONNECT_REFUSED);
}

/* The longest sentence of all rows has room. */
static void test_every_sentence_fits(void **state) {
    (void)state;
    static const char *const sentences[] = {
#define END(name, label, kind, reason, sentence) sentence,
#include "session/ends.def"
#undef END
    };
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        assert_true(strlen(sentences[i]) < 256);
    for (size_t i = 1; i < VIOLATION_COUNT; i++)
        assert_true(strlen(violation_rows[i].sentence) < 256);
}

/* Two prefixes and a client id of the longest kind: together they are too long for a packet. */
static void test_prefix_and_the_longest_client_id(void **state) {
    (void)state;
    static char client_id[65536];
    memset(client_id, 'x', 65535);
    for (size_t size = 65533; size <= 65534; size++) {
        struct talk talk = talk_of(CONF "backend_clientid_prefix p-\n", MQTT_VERSION_5);
        client_id[size] = 0;
        fake_say(talk.device, connect_packet(MQTT_VERSION_5, NO_WORDS, client_id, 60));
        client_id[size] = 'x';
        if (size == 65533) {
            assert_non_null(talk.world->dialed);
            talk.broker = talk.world->dialed;
            fake_open(talk.broker);
            fake_end(talk.device, 0);
            talk_end(&talk, SESSION_END_DEVICE_CLOSED);
        } else {
            assert_bytes(fake_written(talk.device), connack_saying(0x85, ""));
            assert_int_equal(world_metric(talk.world, METRIC_clientid_length_refused), 1);
            talk_end(&talk, SESSION_END_CONNECT_REFUSED);
        }
    }
}

static int be_quiet(void **state) {
    (void)state;
    log_to_nowhere();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connack),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_bad_connect),
        cmocka_unit_test(test_old_versions),
        cmocka_unit_test(test_nothing_is_given_away),
        cmocka_unit_test(test_every_sentence_fits),
        cmocka_unit_test(test_prefix_and_the_longest_client_id),
    };
    return cmocka_run_group_tests_name("session/words", tests, be_quiet, NULL);
}
