/* Who may come in and how fast: rates, networks, bans. */
#include "unit/conf/conf_test.h"

#include "conf/diff.h"
#include "conf/value.h"

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING
#define NOTICE  FINDING_NOTICE

static void all_is_off(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN);
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_null(listener->allow_from);
    assert_null(listener->deny_from);
    assert_false(rate_is_set(&listener->connection_rate));
    assert_int_equal(listener->max_connections_per_address, 0);
    assert_int_equal(listener->max_connections_per_username, 0);
    assert_int_equal(listener->ban_after.count, 0);
    assert_int_equal(outcome.conf->max_handshakes, 0);
    outcome_clear(&outcome);
}

static void rates_are_read(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN "connection_rate 10/s burst 50 # fifty at once\n");
    const struct rate *rate = &outcome.conf->listeners[0].connection_rate;
    assert_int_equal(rate->per_hour, 36000);
    assert_int_equal(rate->burst, 50);
    outcome_clear(&outcome);
    outcome = expect_clean("connection_rate 5/m\n" OPEN "listener 1\nconnection_rate 0\n");
    assert_int_equal(outcome.conf->listeners[0].connection_rate.per_hour, 300);
    assert_false(rate_is_set(&outcome.conf->listeners[1].connection_rate));
    assert_true(conf_is_from_all(outcome.conf, &outcome.conf->listeners[0], CONF_connection_rate));
    assert_false(conf_is_from_all(outcome.conf, &outcome.conf->listeners[1], CONF_connection_rate));
    outcome_clear(&outcome);
    expect_one(OPEN "connection_rate\n", ERROR,
               ":4: connection_rate has no value; write: connection_rate COUNT");
    expect_one(OPEN "connection_rate # 5\n", ERROR, ":4: connection_rate has no value");
    expect_one(OPEN "connection_rate 10/w\n", ERROR,
               ":4: connection_rate is '10/w', which is no rate; write");
    expect_one(OPEN "connection_rate 10/s burst 0\n", ERROR, "is '10/s burst 0', which is no rate");
    expect_one(OPEN "connection_rate 10/s 20\n", ERROR, "is '10/s 20', which is no rate");
    expect_one(OPEN "connection_rate -1\n", ERROR, "is '-1', which is no rate");
}

static void numbers_have_bounds(void **state) {
    (void)state;
    static const char *const options[] = {"max_connections_per_address", "max_connections_per_username",
                                          "max_handshakes"};
    for (size_t i = 0; i < 3; i++) {
        char lines[128];
        snprintf(lines, sizeof lines, OPEN "%s -1\n", options[i]);
        expect_one(lines, ERROR, "is -1, but must be from 0 to 2147483647");
        snprintf(lines, sizeof lines, OPEN "%s many\n", options[i]);
        expect_one(lines, ERROR, "is 'many', which is no whole number");
        snprintf(lines, sizeof lines, OPEN "%s 2147483648\n", options[i]);
        expect_one(lines, ERROR, "is '2147483648', which is no whole number of 32 bits");
        snprintf(lines, sizeof lines, OPEN "certfile c\nkeyfile k\n%s 2147483647\n", options[i]);
        struct outcome outcome = expect_clean(lines);
        outcome_clear(&outcome);
    }
    expect_one(OPEN "max_handshakes 5\n", WARNING,
               ":4: max_handshakes has no effect, for no listener has certfile");
}

static void networks_add_up(void **state) {
    (void)state;
    struct outcome outcome =
        expect_clean("allow_from 192.0.2.0/24, 2001:db8::/32\nallow_from 10.0.0.1 # and this\n"
                     "deny_from 192.0.2.13\n" OPEN "listener 1\nallow_from 127.0.0.1\n"
                     "listener 2\nallow_from none\ndeny_from none\n");
    const struct conf_listener *listeners = outcome.conf->listeners;
    char room[200];
    const struct conf_row *row = conf_row_of(CONF_allow_from);
    assert_string_equal(value_print(row, &listeners[0], room, sizeof room),
                        "192.0.2.0/24 2001:db8::/32 10.0.0.1");
    assert_int_equal(listeners[0].deny_from->count, 1);
    assert_string_equal(value_print(row, &listeners[1], room, sizeof room), "127.0.0.1");
    assert_int_equal(listeners[1].deny_from->count, 1);
    assert_string_equal(value_print(row, &listeners[2], room, sizeof room), "none");
    assert_int_equal(listeners[2].allow_from->count, 0);
    assert_int_equal(listeners[2].deny_from->count, 0);
    assert_string_equal(value_print(row, &listeners[0], room, 20), "192.0.2.0/24 2001:d");
    outcome_clear(&outcome);
    expect_one(OPEN "allow_from\n", ERROR, ":4: allow_from has no value; write: allow_from CIDR");
    expect_one(OPEN "deny_from 192.0.2.0/33\n", ERROR,
               ":4: deny_from names '192.0.2.0/33', which is no network");
    expect_one(OPEN "deny_from 10.0.0.1 none\n", ERROR, "names 'none', which is no network");
    expect_one(OPEN "allow_from localhost\n", ERROR, "names 'localhost', which is no network");
}

static void networks_are_looked_at(void **state) {
    (void)state;
    expect_one(OPEN "allow_from 192.0.2.7/24\n", WARNING,
               ":4: allow_from names '192.0.2.7/24', which is read as 192.0.2.0/24");
    expect_one(OPEN "deny_from 10.0.0.0/8\nallow_from 10.1.0.0/16 127.0.0.1\n", WARNING,
               ":5: allow_from 10.1.0.0/16 lets nobody in, for deny_from denies all of it");
    expect_one("deny_from ::/0\nallow_from 2001:db8::1\n" OPEN, WARNING,
               ":2: allow_from 2001:db8::1 lets nobody");
    expect_one("deny_from 10.0.0.0/8\n" OPEN "allow_from 10.1.0.0/16\n", WARNING,
               ":5: allow_from 10.1.0.0/16");
    struct outcome outcome = expect_clean(OPEN "deny_from 10.1.0.0/16\nallow_from 10.0.0.0/8\n");
    outcome_clear(&outcome);
    static const char *const lines[] = {"allow_from 10.0.0.1", "deny_from 10.0.0.1", "connection_rate 1",
                                        "max_connections_per_address 1", "ban_after 1/1s for 1s"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "backend h\nallow_anonymous true\nlistener 0 /s\n%s\n", lines[i]);
        expect_one(text, WARNING, "has no effect on a Unix socket, whose devices have no address");
        snprintf(text, sizeof text, "%s\nbackend h\nallow_anonymous true\nlistener 0 /s\n", lines[i]);
        outcome = expect_clean(text); /* is for the other listeners */
        outcome_clear(&outcome);
    }
}

static void bans_are_read(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN "ban_after 5/60s for 10m\n");
    const struct conf_ban *ban = &outcome.conf->listeners[0].ban_after;
    assert_int_equal(ban->count, 5);
    assert_int_equal(ban->window_ms, 60000);
    assert_int_equal(ban->ban_ms, 600000);
    assert_int_equal(ban->kinds, CONF_BAN_ADDRESS);
    outcome_clear(&outcome);
    outcome = expect_good(OPEN "ban_after 100/1d for 365d by clientid, username # both\n");
    assert_int_equal(outcome.conf->listeners[0].ban_after.kinds, CONF_BAN_USERNAME | CONF_BAN_CLIENTID);
    char room[200];
    assert_string_equal(
        value_print(conf_row_of(CONF_ban_after), &outcome.conf->listeners[0], room, sizeof room),
        "100/86400s for 31536000s by username,clientid");
    outcome_clear(&outcome);
    outcome = expect_clean("ban_after 1/1s for 1500ms\n" OPEN "ban_after 0\n");
    assert_int_equal(outcome.conf->listeners[0].ban_after.count, 0);
    assert_string_equal(
        value_print(conf_row_of(CONF_ban_after), &outcome.conf->listeners[0], room, sizeof room), "0");
    outcome_clear(&outcome);
    static const char *const bad[] = {"5",
                                      "5/60s",
                                      "5/60s for",
                                      "5/60s 10m",
                                      "5/60s for ever",
                                      "5/ for 10m",
                                      "/60s for 10m",
                                      "0/60s for 10m",
                                      "-1/60s for 10m",
                                      "0x5/60s for 10m",
                                      "5/60s for 10m by",
                                      "5/60s for 10m by name",
                                      "5/60s for 10m by address name",
                                      "5/60s for 10m address",
                                      "0 for 10m"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char lines[128];
        snprintf(lines, sizeof lines, OPEN "ban_after %s\n", bad[i]);
        expect_one(lines, ERROR, ", which is no ban; write failures");
    }
    expect_one(OPEN "ban_after 101/60s for 10m\n", ERROR, "but must be of 1 to 100 failures within 1s to 1d");
    expect_one(OPEN "ban_after 5/999ms for 10m\n", ERROR, "but must be of 1 to 100 failures");
    expect_one(OPEN "ban_after 5/2d for 10m\n", ERROR, "but must be of 1 to 100 failures");
    expect_one(OPEN "ban_after 5/60s for 999ms\n", ERROR, "for 1s to 365d");
    expect_one(OPEN "ban_after 5/60s for 366d\n", ERROR, "for 1s to 365d");
    expect_one(OPEN "ban_after 5/60s for 10m by username\n", NOTICE,
               ":4: ban_after by username or clientid lets");
}

struct told {
    char text[1024];
};

static void tell(void *keeper, const struct conf_change *change) {
    struct told *told = keeper;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%s: %s -> %s%s\n", change->keyword, change->from,
             change->to, change->needs_restart ? " (restart)" : "");
}

static void changes_are_told(void **state) {
    (void)state;
    struct outcome from =
        expect_good(OPEN "deny_from 10.0.0.1\nconnection_rate 1/s\nban_after 1/1s for 1s\n");
    struct outcome same =
        expect_good(OPEN "ban_after 1/1s for 1s\ndeny_from 10.0.0.1/32\n\nconnection_rate 60/m burst 1\n");
    struct outcome to =
        expect_good("max_handshakes 7\n" OPEN "deny_from 10.0.0.1 10.0.0.2\nconnection_rate 2/s\n"
                    "ban_after 1/1s for 2s\n");
    struct told told = {""};
    assert_int_equal(conf_diff(from.conf, same.conf, tell, &told), 0);
    assert_int_equal(conf_diff(from.conf, to.conf, tell, &told), 4);
    assert_string_equal(told.text, "max_handshakes: 0 -> 7\n"
                                   "deny_from: 10.0.0.1 -> 10.0.0.1 10.0.0.2\n"
                                   "connection_rate: 1/s -> 2/s\n"
                                   "ban_after: 1/1s for 1s by address -> 1/1s for 2s by address\n");
    outcome_clear(&from);
    outcome_clear(&same);
    outcome_clear(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_off),
        cmocka_unit_test(rates_are_read),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(networks_add_up),
        cmocka_unit_test(networks_are_looked_at),
        cmocka_unit_test(bans_are_read),
        cmocka_unit_test(changes_are_told),
    };
    return cmocka_run_group_tests_name("conf/entry", tests, NULL, NULL);
}
