/* The options about messages and subscriptions: values, inheritance, and what does not go together. */
#include "unit/conf/conf_test.h"

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING

static void nothing_is_ruled_by_default(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN);
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_int_equal(listener->retain_policy, CONF_RETAIN_ALLOW);
    assert_int_equal(listener->max_topic_length, 0);
    assert_int_equal(listener->max_topic_levels, 0);
    assert_null(listener->forbidden_topic_chars);
    assert_true(listener->dollar_topics);
    assert_false(listener->response_topic_acl);
    assert_int_equal(listener->max_user_properties, 0);
    assert_int_equal(listener->max_user_properties_size, 0);
    assert_true(listener->wildcard_subscriptions && listener->shared_subscriptions);
    assert_true(listener->subscription_identifiers && listener->no_local);
    assert_true(listener->retain_as_published && listener->retain_handling);
    assert_int_equal(listener->min_wildcard_levels, 0);
    assert_int_equal(listener->max_subscriptions, 0);
    assert_int_equal(listener->max_filters_per_subscribe, 0);
    outcome_clear(&outcome);
}

#define ALL                                                                                                  \
    "retain_policy strip\nmax_topic_length 7\nmax_topic_levels 3\nforbidden_topic_chars .>\n"                \
    "dollar_topics false\nmax_user_properties 4\nmax_user_properties_size 50\n"                              \
    "wildcard_subscriptions false\nshared_subscriptions false\nmax_subscriptions 9\n"                        \
    "max_filters_per_subscribe 8\nsubscription_identifiers false\nno_local false\n"                          \
    "retain_as_published false\nretain_handling false\n"

/* Before any listener: the default for all; below one: its own. */
static void listeners_inherit(void **state) {
    (void)state;
    struct outcome outcome = expect_clean("backend h\n" ALL "listener 1\nlistener 2\nretain_policy allow\n"
                                          "max_topic_length 0\nforbidden_topic_chars *\nno_local true\n");
    const struct conf_listener *one = &outcome.conf->listeners[0], *two = &outcome.conf->listeners[1];
    assert_int_equal(one->retain_policy, CONF_RETAIN_STRIP);
    assert_int_equal(one->max_topic_length, 7);
    assert_string_equal(one->forbidden_topic_chars, ".>");
    assert_false(one->no_local || one->dollar_topics || one->wildcard_subscriptions);
    assert_int_equal(one->max_subscriptions, 9);
    assert_int_equal(two->retain_policy, CONF_RETAIN_ALLOW);
    assert_int_equal(two->max_topic_length, 0);
    assert_int_equal(two->max_topic_levels, 3);
    assert_string_equal(two->forbidden_topic_chars, "*");
    assert_true(two->no_local);
    assert_int_equal(two->max_filters_per_subscribe, 8);
    outcome_clear(&outcome);
}

static void values_are_checked(void **state) {
    (void)state;
    expect_one(OPEN "retain_policy drop\n", ERROR,
               ":4: retain_policy is 'drop', but may only be one of allow|strip|refuse");
    expect_one(OPEN "max_topic_length 65536\n", ERROR,
               ":4: max_topic_length is 65536, but must be from 0 to 65535");
    expect_one(OPEN "max_topic_levels -1\n", ERROR, ":4: max_topic_levels is -1");
    expect_one(OPEN "max_user_properties many\n", ERROR, ":4: max_user_properties is 'many'");
    expect_one(OPEN "max_user_properties_size 100001\n", ERROR, ":4: max_user_properties_size is 100001");
    expect_one(OPEN "max_subscriptions 100001\n", ERROR, ":4: max_subscriptions is 100001");
    expect_one(OPEN "max_filters_per_subscribe -1\n", ERROR, ":4: max_filters_per_subscribe is -1");
    expect_one(OPEN "min_wildcard_levels 1x\n", ERROR, ":4: min_wildcard_levels is '1x'");
    static const char *const booleans[] = {
        "dollar_topics",        "response_topic_acl",       "wildcard_subscriptions",
        "shared_subscriptions", "subscription_identifiers", "no_local",
        "retain_as_published",  "retain_handling",
    };
    for (size_t i = 0; i < sizeof booleans / sizeof booleans[0]; i++) {
        char lines[256], piece[256];
        snprintf(lines, sizeof lines, OPEN "%s maybe\n", booleans[i]);
        snprintf(piece, sizeof piece, ":4: %s is 'maybe', but may only be true or false", booleans[i]);
        expect_one(lines, ERROR, piece);
    }
    expect_one(OPEN "forbidden_topic_chars\n", ERROR, ":4: forbidden_topic_chars has no value");
}

static void wildcards_are_no_topic_characters(void **state) {
    (void)state;
    expect_one(OPEN "forbidden_topic_chars .+\n", ERROR, ":4: forbidden_topic_chars holds + or #");
    expect_one(OPEN "forbidden_topic_chars #.\n", ERROR, ":4: forbidden_topic_chars holds + or #");
    /* once for all listeners that have it from the same line */
    expect_one("backend h\nforbidden_topic_chars +\nlistener 1\nlistener 2\n", ERROR,
               ":2: forbidden_topic_chars holds + or #");
    struct outcome outcome = expect_clean(OPEN "forbidden_topic_chars ./$\xC3\xA9\n");
    outcome_clear(&outcome);
}

static void options_have_an_effect(void **state) {
    (void)state;
    expect_one("retain_available false\n" OPEN "retain_policy strip\n", WARNING,
               ":5: retain_policy has no effect beside retain_available false");
    expect_one("retain_available false\n" OPEN "retain_policy refuse\n", WARNING,
               ":5: retain_policy has no effect beside retain_available false");
    struct outcome outcome = expect_clean("retain_available false\n" OPEN "retain_policy allow\n");
    outcome_clear(&outcome);
    expect_one(OPEN "wildcard_subscriptions false\nmin_wildcard_levels 1\n", WARNING,
               ":5: min_wildcard_levels has no effect beside wildcard_subscriptions false");
    expect_one(OPEN "max_topic_levels 2\nmin_wildcard_levels 2\n", WARNING,
               ":5: min_wildcard_levels leaves no filter with a wildcard");
    outcome = expect_clean(OPEN "max_topic_levels 3\nmin_wildcard_levels 2\n");
    outcome_clear(&outcome);
    expect_one(OPEN "response_topic_acl true\n", WARNING,
               ":4: response_topic_acl true has no effect but below $SYS");
    outcome = expect_clean(OPEN "response_topic_acl true\nacl_file a\n");
    outcome_clear(&outcome);
    expect_one("backend h\nmax_topic_levels 1\nmin_wildcard_levels 1\nlistener 1\nlistener 2\n", WARNING,
               ":3: min_wildcard_levels leaves no filter");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_ruled_by_default), cmocka_unit_test(listeners_inherit),
        cmocka_unit_test(values_are_checked),          cmocka_unit_test(wildcards_are_no_topic_characters),
        cmocka_unit_test(options_have_an_effect),
    };
    return cmocka_run_group_tests_name("conf/check_rules", tests, NULL, NULL);
}
