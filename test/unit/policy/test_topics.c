/* What the options about topics allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mqtt/packet.h"
#include "policy/topics.h"

#include <stdio.h>

static enum rule name(const struct topic_rules *rules, const char *topic) {
    return topics_judge_name(rules, span_of_text(topic));
}

static enum rule filter(const struct topic_rules *rules, const char *text) {
    return topics_judge_filter(rules, span_of_text(text));
}

static struct topic_rules forbidding(const char *chars) {
    struct topic_rules rules = {.max_length = 0};
    topic_rules_forbid(&rules, span_of_text(chars));
    return rules;
}

static void nothing_is_ruled_by_default(void **state) {
    (void)state;
    const struct topic_rules rules = {.max_length = 0};
    static const char *const texts[] = {"a", "/", "$SYS/x", "a.b", "$share/g/#", "//////////", "\xC3\xA9"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(name(&rules, texts[i]), RULE_NONE);
        assert_int_equal(filter(&rules, texts[i]), RULE_NONE);
    }
    struct topic_rules none = forbidding(NULL);
    assert_false(none.has_chars);
}

static void length_is_counted_in_bytes(void **state) {
    (void)state;
    const struct topic_rules rules = {.max_length = 5};
    assert_int_equal(name(&rules, "a/b/c"), RULE_NONE);
    assert_int_equal(name(&rules, "a/b/cd"), RULE_TOPIC_LENGTH);
    assert_int_equal(name(&rules, "abc\xC3\xA9"), RULE_NONE);
    assert_int_equal(name(&rules, "abcd\xC3\xA9"), RULE_TOPIC_LENGTH);
    assert_int_equal(filter(&rules, "a/b/#"), RULE_NONE);
    assert_int_equal(filter(&rules, "a/bb/#"), RULE_TOPIC_LENGTH);
    /* the name of a shared subscription and its filter, each on its own */
    assert_int_equal(filter(&rules, "$share/group/a/b/c"), RULE_NONE);
    assert_int_equal(filter(&rules, "$share/groups/a"), RULE_TOPIC_LENGTH);
    assert_int_equal(filter(&rules, "$share/g/a/b/cd"), RULE_TOPIC_LENGTH);
    /* what only looks like one has no parts */
    assert_int_equal(filter(&rules, "$share/g"), RULE_TOPIC_LENGTH);
}

static void levels_are_counted(void **state) {
    (void)state;
    const struct topic_rules rules = {.max_levels = 3};
    static const struct {
        const char *text;
        enum rule wanted;
    } rows[] = {{"a", RULE_NONE},
                {"a/b/c", RULE_NONE},
                {"//", RULE_NONE},
                {"a/b/", RULE_NONE},
                {"a/b/c/", RULE_TOPIC_LEVELS},
                {"///", RULE_TOPIC_LEVELS},
                {"a/b/c/d", RULE_TOPIC_LEVELS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(name(&rules, rows[i].text), rows[i].wanted);
        assert_int_equal(filter(&rules, rows[i].text), rows[i].wanted);
        char shared[64];
        snprintf(shared, sizeof shared, "$share/g/%s", rows[i].text);
        assert_int_equal(filter(&rules, shared), rows[i].wanted);
    }
    const struct topic_rules one = {.max_levels = 1};
    assert_int_equal(name(&one, "a"), RULE_NONE);
    assert_int_equal(name(&one, "a/"), RULE_TOPIC_LEVELS);
    assert_int_equal(filter(&one, "#"), RULE_NONE);
}

static void characters_are_forbidden(void **state) {
    (void)state;
    struct topic_rules rules = forbidding(".>*\x7F ");
    static const char *const bad[] = {".", "a.b", "a/b>", "*a", "a\x7F", "a b", "\xC3\xA9."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(name(&rules, bad[i]), RULE_TOPIC_CHARS);
        assert_int_equal(filter(&rules, bad[i]), RULE_TOPIC_CHARS);
    }
    static const char *const good[] = {"a", "a/b", "\xC3\xA9", "\xE2\x82\xAC", "-/,", "$x"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(name(&rules, good[i]), RULE_NONE);
    assert_int_equal(filter(&rules, "$share/a.b/c"), RULE_TOPIC_CHARS);
    assert_int_equal(filter(&rules, "$share/a/b.c"), RULE_TOPIC_CHARS);
    assert_int_equal(filter(&rules, "$share/a/b"), RULE_NONE);
    /* `$share/` itself is no part of a topic */
    rules = forbidding("$s");
    assert_int_equal(filter(&rules, "$share/a/b"), RULE_NONE);
    assert_int_equal(name(&rules, "$a"), RULE_TOPIC_CHARS);
}

/* Characters, not bytes: those that share bytes with a forbidden one are allowed. */
static void characters_are_whole(void **state) {
    (void)state;
    struct topic_rules rules = forbidding("\xC3\xA9.\xE2\x82\xAC\xF0\x9F\x98\x80");
    static const char *const bad[] = {"\xC3\xA9", "a\xE2\x82\xAC", "\xF0\x9F\x98\x80z", "x.y"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(name(&rules, bad[i]), RULE_TOPIC_CHARS);
    static const char *const good[] = {"\xC3\xA8",         "\xC2\xA9", "\xE2\x82\xAD",
                                       "\xF0\x9F\x98\x81", "e",        "\xE9\x82\xAC"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(name(&rules, good[i]), RULE_NONE);
}

/* Every ASCII character alone, so that no bit of the set is off by one. */
static void each_ascii_character(void **state) {
    (void)state;
    for (unsigned forbidden = 1; forbidden < 0x80; forbidden++) {
        const char chars[] = {(char)forbidden, 0};
        struct topic_rules rules = forbidding(chars);
        for (unsigned byte = 1; byte < 0x80; byte++) {
            const char topic[] = {'x', (char)byte, 0};
            bool is_bad = byte == forbidden || forbidden == 'x';
            assert_int_equal(name(&rules, topic), is_bad ? RULE_TOPIC_CHARS : RULE_NONE);
        }
    }
}

static void dollar_topics_are_refused(void **state) {
    (void)state;
    const struct topic_rules rules = {.is_dollar_refused = true};
    static const char *const bad[] = {"$",      "$SYS",   "$SYS/x", "$CONTROL/a", "$share/g/$SYS/#",
                                      "$share", "$share/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(filter(&rules, bad[i]), RULE_TOPIC_DOLLAR);
    assert_int_equal(name(&rules, "$SYS/x"), RULE_TOPIC_DOLLAR);
    assert_int_equal(name(&rules, "$share/g/a"), RULE_TOPIC_DOLLAR); /* there is no such topic */
    assert_int_equal(filter(&rules, "$share/g/a"), RULE_NONE);
    assert_int_equal(filter(&rules, "$share/$g/a"), RULE_NONE);
    assert_int_equal(name(&rules, "a$/$b"), RULE_NONE);
}

static void wildcards_are_found(void **state) {
    (void)state;
    static const struct {
        const char *filter;
        bool has_wildcard;
        uint32_t literal_levels;
    } rows[] = {{"#", true, 0},
                {"+", true, 0},
                {"+/a", true, 0},
                {"a/#", true, 1},
                {"a/+/b", true, 1},
                {"a/b/#", true, 2},
                {"/#", true, 1},
                {"//+", true, 2},
                {"a", false, 1},
                {"a/b", false, 2},
                {"a/", false, 2},
                {"$SYS/#", true, 1},
                {"$share/g/#", true, 0},
                {"$share/g/a/+", true, 1},
                {"$share/g/a/b", false, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t literal_levels;
        assert_int_equal(topics_has_wildcard(span_of_text(rows[i].filter), &literal_levels),
                         rows[i].has_wildcard);
        assert_int_equal(literal_levels, rows[i].literal_levels);
    }
}

static void shared_subscriptions_are_known(void **state) {
    (void)state;
    static const char *const shared[] = {"$share/g/a", "$share", "$share/", "$share/g", "$share//a"};
    static const char *const plain[] = {"$shared/g/a", "$SHARE/g/a", "share/g/a", "a/$share/g", "$SYS/a"};
    for (size_t i = 0; i < 5; i++) {
        assert_true(topics_is_shared(span_of_text(shared[i])));
        assert_false(topics_is_shared(span_of_text(plain[i])));
    }
}

/* Each row can be told: its words name its option, its codes may stand where they are sent. */
static void rows_are_whole(void **state) {
    (void)state;
    for (int rule = RULE_NONE + 1; rule < RULE_COUNT; rule++) {
        const struct rule_row *row = &rule_rows[rule];
        assert_non_null(strstr(row->words, row->option));
        assert_true(mqtt_reason_may_travel(row->subscribe_code, MQTT_SUBACK, MQTT_TO_DEVICE));
        assert_true(mqtt_reason_may_travel(row->publish_reason, MQTT_DISCONNECT, MQTT_TO_DEVICE));
        assert_true(mqtt_reason_may_travel(row->publish_reason, MQTT_CONNACK, MQTT_TO_DEVICE));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_ruled_by_default),
        cmocka_unit_test(length_is_counted_in_bytes),
        cmocka_unit_test(levels_are_counted),
        cmocka_unit_test(characters_are_forbidden),
        cmocka_unit_test(characters_are_whole),
        cmocka_unit_test(each_ascii_character),
        cmocka_unit_test(dollar_topics_are_refused),
        cmocka_unit_test(wildcards_are_found),
        cmocka_unit_test(shared_subscriptions_are_known),
        cmocka_unit_test(rows_are_whole),
    };
    return cmocka_run_group_tests_name("policy/topics", tests, NULL, NULL);
}
