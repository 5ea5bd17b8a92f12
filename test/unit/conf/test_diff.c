/* What a reload would change. */
#include "unit/conf/conf_test.h"

#include "conf/diff.h"

struct told {
    char text[4000]; /* one line for each change */
};

static void note(void *keeper, const struct conf_change *change) {
    struct told *told = keeper;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%s:%u %s%s %s->%s%s%s\n",
             change->file == NULL ? "-" : strrchr(change->file, '/') + 1, change->line, change->keyword,
             change->is_gone ? " gone" : "", change->from, change->to,
             change->needs_restart ? " restart" : "", change->listener != NULL ? " one" : "");
}

static void expect_diff(const char *running, const char *wanted, const char *changes) {
    struct outcome before = expect_good(running), after = expect_good(wanted);
    struct told told = {""};
    size_t lines = 0;
    for (const char *at = changes; *at != 0; at++)
        lines += *at == '\n';
    assert_int_equal(conf_diff(before.conf, after.conf, note, &told), lines);
    assert_string_equal(told.text, changes);
    outcome_clear(&before);
    outcome_clear(&after);
}

static void nothing_changed(void **state) {
    (void)state;
    expect_diff(OPEN, OPEN, "");
    expect_diff("backend h\n", "# comment\n\nbackend  h:1883\nmax_keepalive 0\n", "");
    expect_diff(OPEN "log_dest file x\nacl_file a\n", "acl_file a\nlog_dest file x\n" OPEN, "");
}

static void options_changed(void **state) {
    (void)state;
    expect_diff(OPEN, OPEN "workers 3\n", "test.conf:4 workers 0->3 restart\n");
    expect_diff(OPEN "workers 3\n", OPEN, "test.conf:4 workers gone 3->0 restart\n");
    expect_diff(
        OPEN, OPEN "connection_messages false\nlog_type all\n",
        "test.conf:5 log_type error warning notice information->error warning notice information debug "
        "subscribe unsubscribe\n"
        "test.conf:4 connection_messages true->false\n");
    expect_diff("backend a\n", "\nbackend [::2]:1\n", "test.conf:2 backend a->[::2]:1\n");
    expect_diff("backend unix:a\n", "backend unix:b\n", "test.conf:1 backend unix:a->unix:b\n");
    expect_diff(OPEN "log_dest file a\n", OPEN "log_dest file b\n", "test.conf:4 log_dest file->file\n");
    expect_diff(OPEN "backend_timeout 1s\n", OPEN "backend_timeout 1500ms\n",
                "test.conf:4 backend_timeout 1s->1500ms\n");
    expect_diff(OPEN, OPEN "metrics_listener 127.0.0.1:1\n",
                "test.conf:4 metrics_listener none->127.0.0.1:1 restart\n");
    expect_diff(OPEN "user a\\b\n", OPEN "user b\n", "test.conf:4 user a\\\\b->b restart\n");
}

static void shared_options_are_told_once(void **state) {
    (void)state;
    expect_diff("backend h\nallow_anonymous 1\nlistener 1\nlistener 2\n",
                "backend h\nallow_anonymous 1\nlistener 1\nlistener 2\nmax_packet_size 100\n",
                "test.conf:5 max_packet_size 2000000->100\n");
    expect_diff("backend h\nallow_anonymous 1\nlistener 1\nlistener 2\nlistener_allow_anonymous 1\n",
                "backend h\npassword_file p\nlistener 1\nlistener 2\nlistener_allow_anonymous 1\n",
                "test.conf:2 allow_anonymous gone true->false\n"
                "test.conf:2 password_file none->etc/p\n");
    expect_diff("backend h\nallow_anonymous 1\nlistener 1\nlistener 2\n",
                "backend h\nallow_anonymous 1\nlistener 1\nlistener 2\nhandshake_timeout 1\nmax_qos 0\n",
                "test.conf:6 max_qos 2->0 one\n"
                "test.conf:5 handshake_timeout 10s->1s one\n");
}

static void listeners_come_and_go(void **state) {
    (void)state;
    expect_diff(OPEN, OPEN "listener 9 127.0.0.1\n",
                "test.conf:4 listener none->listener 9 127.0.0.1 restart one\n");
    expect_diff(OPEN "listener 0 x\n", OPEN,
                "test.conf:4 listener gone listener 0 etc/x->none restart one\n");
    expect_diff(OPEN, "backend h\nlistener 1883 127.0.0.1\nallow_anonymous true\n",
                "test.conf:2 listener none->listener 1883 127.0.0.1 restart one\n"
                "test.conf:2 listener gone listener 1883->none restart one\n");
    expect_diff("backend h\nallow_anonymous 1\nlistener 1\nmax_qos 1\nlistener 2\n",
                "backend h\nallow_anonymous 1\nlistener 2\nlistener 1\nmax_qos 1\n", ""); /* another order */
    expect_diff(
        "backend h\n", "backend h\nlistener 1883\nallow_anonymous 1\n",
        "test.conf:2 listener none->listener 1883 restart one\n"
        "test.conf:0 listener gone the default listener (127.0.0.1 and ::1, port 1883)->none restart one\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changed),
        cmocka_unit_test(options_changed),
        cmocka_unit_test(shared_options_are_told_once),
        cmocka_unit_test(listeners_come_and_go),
    };
    return cmocka_run_group_tests_name("conf/diff", tests, NULL, NULL);
}
