/* How fast devices may send: every option, where it counts, and what makes no sense. */
#include "unit/conf/conf_test.h"

#include "conf/diff.h"
#include "conf/rows.h"

static const enum conf_option options[] = {
    CONF_publish_rate,       CONF_user_publish_rate,       CONF_listener_publish_rate,
    CONF_publish_bytes_rate, CONF_user_publish_bytes_rate, CONF_listener_publish_bytes_rate,
    CONF_packet_rate,        CONF_user_packet_rate,        CONF_listener_packet_rate,
};
#define OPTION_COUNT (sizeof options / sizeof options[0])

static const struct rate *rate_of(const struct conf_listener *listener, enum conf_option option) {
    return conf_row_value(conf_row_of(option), listener);
}

static void assert_rate(const struct rate *rate, uint64_t per_hour, uint64_t burst) {
    assert_int_equal(rate->per_hour, per_hour);
    assert_int_equal(rate->burst, burst);
}

static void no_limit_is_the_default(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        assert_false(rate_is_set(rate_of(&outcome.conf->listeners[0], options[i])));
    assert_int_equal(outcome.conf->listeners[0].rate_action, CONF_RATE_ACTION_DELAY);
    outcome_clear(&outcome);
}

/* Of the listener above; before any listener for all; the own line wins, and 0 takes the limit away. */
static void rates_are_inherited(void **state) {
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char text[512];
        const char *keyword = conf_row_of(options[i])->keyword;
        snprintf(text, sizeof text,
                 "backend h\nallow_anonymous 1\n%s 100/s burst 200\nrate_action drop\nlistener 1\nlistener "
                 "2\n%s 64k/m # "
                 "words\nrate_action refuse\nlistener 3\n%s 0\n",
                 keyword, keyword, keyword);
        struct outcome outcome = expect_good(text);
        const struct conf_listener *listeners = outcome.conf->listeners;
        assert_rate(rate_of(&listeners[0], options[i]), 360000, 200);
        assert_rate(rate_of(&listeners[1], options[i]), 65536 * 60, 65536);
        assert_false(rate_is_set(rate_of(&listeners[2], options[i])));
        assert_int_equal(listeners[0].rate_action, CONF_RATE_ACTION_DROP);
        assert_int_equal(listeners[1].rate_action, CONF_RATE_ACTION_REFUSE);
        for (size_t j = 0; j < OPTION_COUNT; j++)
            if (j != i)
                assert_false(rate_is_set(rate_of(&listeners[0], options[j])));
        assert_int_equal(outcome.findings.size, 0);
        outcome_clear(&outcome);
    }
}

static void actions_are_words(void **state) {
    (void)state;
    static const char *const words[] = {"delay", "drop", "refuse", "disconnect"};
    for (int i = 0; i < 4; i++) {
        char text[256];
        snprintf(text, sizeof text, OPEN "publish_rate 1\nrate_action %s\n", words[i]);
        struct outcome outcome = expect_clean(text);
        assert_int_equal(outcome.conf->listeners[0].rate_action, i);
        outcome_clear(&outcome);
    }
    expect_one(OPEN "publish_rate 1\nrate_action close\n", FINDING_ERROR,
               ":5: rate_action is 'close', but may only be one of delay|drop|refuse|disconnect");
    expect_one(OPEN "publish_rate 1\nrate_action\n", FINDING_ERROR, ":5: rate_action has no value");
}

static void wrong_rates_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"fast",  "-1/s", "1/s burst 0", "1/s burst",
                                        "1.5/s", "1/d",  "2000g/s",     "10s"};
    for (size_t i = 0; i < OPTION_COUNT; i++)
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
            char text[256], piece[128];
            const char *keyword = conf_row_of(options[i])->keyword;
            snprintf(text, sizeof text, OPEN "%s %s\n", keyword, wrong[j]);
            snprintf(piece, sizeof piece, ":4: %s is '%s', which is no rate", keyword, wrong[j]);
            expect_one(text, FINDING_ERROR, piece);
        }
    expect_one(OPEN "packet_rate\n", FINDING_ERROR,
               ":4: packet_rate has no value; write: packet_rate N[/s|/m|/h]");
}

static void an_action_needs_a_rate(void **state) {
    (void)state;
    expect_one(OPEN "rate_action drop\n", FINDING_WARNING,
               ":4: rate_action has no effect, for this listener has no");
    expect_one("backend h\nrate_action drop\nlistener 1\nallow_anonymous 1\n", FINDING_WARNING,
               ":2: rate_action has no effect, for there is no rate");
    /* Some listener uses it. */
    struct outcome outcome =
        expect_clean("backend h\nallow_anonymous 1\nrate_action drop\nlistener 1\nlistener 2\n"
                     "listener_packet_rate 5\n");
    outcome_clear(&outcome);
}

static void a_wider_rate_never_speaks(void **state) {
    (void)state;
    expect_one(OPEN "publish_rate 100\nuser_publish_rate 50\n", FINDING_WARNING,
               ":4: publish_rate has no effect, for user_publish_rate is lower");
    expect_one(OPEN "user_packet_rate 100\nlistener_packet_rate 50\n", FINDING_WARNING,
               ":4: user_packet_rate has no effect, for listener_packet_rate is lower");
    /* Said for all listeners it is told once. */
    expect_one(
        "backend h\nallow_anonymous 1\npublish_rate 100\nuser_publish_rate 50\nlistener 1\nlistener 2\n",
        FINDING_WARNING, ":3: publish_rate has no effect");
    expect_one(
        "backend h\nallow_anonymous 1\npublish_rate 100\nlistener 1\nlistener 2\nuser_publish_rate 50\n",
        FINDING_WARNING, ":3: publish_rate has no effect");
    /* A bigger burst at once, or more in the long run, makes a difference. */
    struct outcome outcome = expect_clean(OPEN "publish_rate 100\nuser_publish_rate 50/s burst 100\n"
                                               "packet_rate 50 burst 500\nuser_packet_rate 100\n"
                                               "publish_bytes_rate 1k\nlistener_publish_bytes_rate 64k\n");
    outcome_clear(&outcome);
}

static void note(void *keeper, const struct conf_change *change) {
    char *text = keeper;
    snprintf(text, 1024, "%s %s->%s%s", change->keyword, change->from, change->to,
             change->needs_restart ? " restart" : "");
}

static void a_reload_changes_them(void **state) {
    (void)state;
    struct outcome before = expect_clean(OPEN "publish_rate 100/s burst 200\n");
    struct outcome after = expect_clean(OPEN "publish_rate 5/h\n");
    char text[1024] = "";
    assert_int_equal(conf_diff(before.conf, after.conf, note, text), 1);
    assert_string_equal(text, "publish_rate 100/s burst 200->5/h");
    outcome_clear(&before);
    outcome_clear(&after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit_is_the_default), cmocka_unit_test(rates_are_inherited),
        cmocka_unit_test(actions_are_words),       cmocka_unit_test(wrong_rates_are_refused),
        cmocka_unit_test(an_action_needs_a_rate),  cmocka_unit_test(a_wider_rate_never_speaks),
        cmocka_unit_test(a_reload_changes_them),
    };
    return cmocka_run_group_tests_name("conf/rates", tests, NULL, NULL);
}
