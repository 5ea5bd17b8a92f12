/* The options about a CONNECT: patterns of client ids, secrets, what goes together with what. */
#include "unit/conf/conf_test.h"

#include "conf/diff.h"

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING

static void expect_patterns(const struct conf_listener *listener, const char *wanted) {
    char found[256] = "";
    for (const struct conf_pattern *pattern = listener->clientid_patterns; pattern != NULL;
         pattern = pattern->next) {
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%c%s:%u ", pattern->is_allowed ? '+' : '-',
                 pattern->text, pattern->origin.line);
    }
    assert_string_equal(found, wanted);
}

static void patterns_keep_their_order(void **state) {
    (void)state;
    struct outcome outcome =
        expect_clean(OPEN "clientid_deny b?d\nclientid_allow b*\nclientid_deny  with space \n");
    expect_patterns(&outcome.conf->listeners[0], "-b?d:4 +b*:5 -with space:6 ");
    outcome_clear(&outcome);
    outcome = expect_clean(OPEN);
    expect_patterns(&outcome.conf->listeners[0], "");
    outcome_clear(&outcome);
}

/* Lines for all, and a listener that has its own instead. */
static void patterns_are_inherited_as_a_whole(void **state) {
    (void)state;
    struct outcome outcome = expect_clean("backend h\nallow_anonymous 1\nclientid_allow a\nclientid_deny "
                                          "b\nlistener 1\nlistener 2\nclientid_allow c\n");
    expect_patterns(&outcome.conf->listeners[0], "+a:3 -b:4 ");
    expect_patterns(&outcome.conf->listeners[1], "+c:7 ");
    outcome_clear(&outcome);
}

static void patterns_are_looked_at(void **state) {
    (void)state;
    expect_one(OPEN "clientid_allow\n", ERROR, ":4: clientid_allow has no value");
    expect_one(OPEN "clientid_deny  \n", ERROR, ":4: clientid_deny has no value");
    expect_one(OPEN "clientid_allow *\nclientid_deny x\n", WARNING,
               ":5: clientid_deny has no effect, for the line etc/test.conf:4");
    struct outcome outcome = expect_clean(OPEN "clientid_allow x\nclientid_deny *\n");
    outcome_clear(&outcome);
}

static void secrets_are_texts_or_files(void **state) {
    (void)state;
    struct outcome outcome =
        expect_clean(OPEN "backend_username a b\nbackend_password @secret/pw\nbackend_clientid_prefix p-\n");
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_string_equal(listener->backend_username->text, "a b");
    assert_null(listener->backend_username->path);
    assert_string_equal(listener->backend_password->path, "etc/secret/pw");
    assert_null(listener->backend_password->text);
    assert_string_equal(listener->backend_clientid_prefix, "p-");
    outcome_clear(&outcome);
    outcome = expect_clean(
        "backend h\nallow_anonymous 1\nbackend_password @/pw\nlistener 1\nlistener 2\nbackend_password x\n");
    assert_string_equal(outcome.conf->listeners[0].backend_password->path, "/pw");
    assert_string_equal(outcome.conf->listeners[1].backend_password->text, "x");
    outcome_clear(&outcome);
}

static void secrets_are_looked_at(void **state) {
    (void)state;
    expect_one(OPEN "backend_password\n", ERROR, ":4: backend_password has no value");
    expect_one(OPEN "backend_username @ \n", ERROR, ":4: backend_username has an @ without a file");
    expect_one(OPEN "backend_password a\nbackend_password b\n", ERROR,
               ":5: backend_password stands at etc/test.conf:4 already");
    expect_one(OPEN "backend_clientid_prefix a\nbackend_clientid_prefix b\n", ERROR,
               ":5: backend_clientid_prefix stands at");
    char lines[70000];
    snprintf(lines, sizeof lines, OPEN "backend_clientid_prefix %01025d\n", 0);
    expect_one(lines, ERROR, ":4: backend_clientid_prefix is longer than 1024 bytes");
    snprintf(lines, sizeof lines,
             "backend h\nbackend_clientid_prefix %01025d\nlistener 1\nallow_anonymous 1\n", 0);
    expect_one(lines, ERROR, ":2: backend_clientid_prefix is longer than 1024 bytes");
    snprintf(lines, sizeof lines, OPEN "backend_password %065536d\n", 0);
    expect_one(lines, ERROR, ":4: the value of backend_password is longer than 65535 bytes");
}

/* Whatever is said of it, its text is not. */
static void secrets_are_not_shown(void **state) {
    (void)state;
    struct outcome outcome = expect_good(OPEN "backend_password s3cr3t # \"s3cr3t\"\n");
    assert_int_equal(outcome_count(&outcome, WARNING, "belong to the value of backend_password"), 1);
    assert_int_equal(outcome_count(&outcome, WARNING, "s3cr3t"), 0);
    outcome_clear(&outcome);
}

struct told {
    char text[1000];
};

static void note(void *keeper, const struct conf_change *change) {
    struct told *told = keeper;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%s %s->%s\n", change->keyword, change->from,
             change->to);
}

static void expect_diff(const char *running, const char *wanted, const char *changes) {
    struct outcome before = expect_good(running), after = expect_good(wanted);
    struct told told = {""};
    conf_diff(before.conf, after.conf, note, &told);
    assert_string_equal(told.text, changes);
    outcome_clear(&before);
    outcome_clear(&after);
}

static void changes_are_told(void **state) {
    (void)state;
    expect_diff(OPEN "clientid_allow a\n", OPEN "clientid_allow a\n", "");
    expect_diff(OPEN "clientid_allow a\n", OPEN "clientid_deny a\n", "clientid_allow allow a->deny a\n");
    expect_diff(OPEN "clientid_allow a\nclientid_deny *\n", OPEN "clientid_deny *\n",
                "clientid_allow allow a, deny *->deny *\n");
    expect_diff(OPEN, OPEN "clientid_deny x\n", "clientid_allow none->deny x\n");
    expect_diff(OPEN "backend_password one\n", OPEN "backend_password two\n",
                "backend_password a text that is not shown->a text that is not shown\n");
    expect_diff(OPEN "backend_password one\n", OPEN "backend_password one\n", "");
    expect_diff(OPEN "backend_username @/a\n", OPEN "backend_username @/b\n", "backend_username @/a->@/b\n");
    expect_diff(OPEN "backend_username @/a\n", OPEN, "backend_username @/a->none\n");
    expect_diff(OPEN, OPEN "wills deny\nreceive_maximum 5\n", "wills allow->deny\nreceive_maximum 0->5\n");
}

static void long_lists_are_cut(void **state) {
    (void)state;
    char lines[4000] = OPEN;
    for (int i = 0; i < 60; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "clientid_deny device-number-%02d\n",
                 i);
    struct outcome before = expect_good(OPEN), after = expect_good(lines);
    struct told told = {""};
    conf_diff(before.conf, after.conf, note, &told);
    assert_non_null(strstr(told.text, "deny device-number-00, deny device-number-01"));
    assert_non_null(strstr(told.text, "...\n"));
    outcome_clear(&before);
    outcome_clear(&after);
}

static void ranges_and_choices(void **state) {
    (void)state;
    expect_one(OPEN "max_clientid_length 65536\n", ERROR, ":4: max_clientid_length is 65536");
    expect_one(OPEN "max_clientid_length -1\n", ERROR, ":4: max_clientid_length is -1");
    expect_one(OPEN "receive_maximum 65536\n", ERROR, ":4: receive_maximum is 65536");
    expect_one(OPEN "wills perhaps\n", ERROR, ":4: wills is 'perhaps', but may only be one of allow|deny");
    expect_one(OPEN "allow_unsafe_clientid_chars yes\n", ERROR, ":4: allow_unsafe_clientid_chars is 'yes'");
    expect_one(OPEN "receive_maximum 5\naccept_protocol_versions 3,4\n", WARNING,
               ":4: receive_maximum has no effect on this listener");
    struct outcome outcome =
        expect_clean("backend h\nallow_anonymous 1\nreceive_maximum 20\nwills deny\nlistener 1\nlistener 2\n"
                     "receive_maximum 0\nwills allow\nmax_clientid_length 23\n");
    const struct conf_listener *listeners = outcome.conf->listeners;
    assert_int_equal(listeners[0].receive_maximum, 20);
    assert_int_equal(listeners[1].receive_maximum, 0);
    assert_int_equal(listeners[0].wills, CONF_WILLS_DENY);
    assert_int_equal(listeners[1].wills, CONF_WILLS_ALLOW);
    assert_int_equal(listeners[0].max_clientid_length, 0);
    assert_int_equal(listeners[1].max_clientid_length, 23);
    assert_false(listeners[0].allow_unsafe_clientid_chars);
    outcome_clear(&outcome);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_keep_their_order), cmocka_unit_test(patterns_are_inherited_as_a_whole),
        cmocka_unit_test(patterns_are_looked_at),    cmocka_unit_test(secrets_are_texts_or_files),
        cmocka_unit_test(secrets_are_looked_at),     cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(changes_are_told),          cmocka_unit_test(long_lists_are_cut),
        cmocka_unit_test(ranges_and_choices),
    };
    return cmocka_run_group_tests_name("conf/connect", tests, NULL, NULL);
}
