/* Topic names and filters: by hand, and all of a small alphabet against a slow reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/topic.h"
#include "unit/mqtt/guard.h"
#include "unit/mqtt/topic_slow.h"

static struct span text(const char *words) {
    return span_of_text(words);
}

static void names(void **state) {
    (void)state;
    assert_true(mqtt_topic_is_name(text("a")));
    assert_true(mqtt_topic_is_name(text("/")));
    assert_true(mqtt_topic_is_name(text("$SYS/broker/ä")));
    assert_false(mqtt_topic_is_name(SPAN_NONE));
    assert_false(mqtt_topic_is_name(text("a/+/b")));
    assert_false(mqtt_topic_is_name(text("a#")));
    assert_false(mqtt_topic_is_name(SPAN_LITERAL("a\0")));
    assert_false(mqtt_topic_is_name(text("a\xED\xA0\x80")));
    static uint8_t big[65536];
    memset(big, '/', sizeof big);
    assert_true(mqtt_topic_is_name(span_of(big, 65535)));
    assert_false(mqtt_topic_is_name(span_of(big, 65536)));
    assert_true(mqtt_topic_is_filter(span_of(big, 65535)));
    assert_false(mqtt_topic_is_filter(span_of(big, 65536)));
}

static void what_the_judges_say(void **state) {
    (void)state;
    assert_int_equal(mqtt_topic_judge_name(SPAN_NONE), VIOLATION_TOPIC_EMPTY);
    assert_int_equal(mqtt_topic_judge_name(text("+")), VIOLATION_TOPIC_NAME);
    assert_int_equal(mqtt_topic_judge_name(text("+\xFF")), VIOLATION_STRING_UTF8);
    assert_int_equal(mqtt_topic_judge_name(SPAN_LITERAL("+\0")), VIOLATION_STRING_NUL);
    assert_int_equal(mqtt_topic_judge_filter(SPAN_NONE), VIOLATION_TOPIC_FILTER);
    assert_int_equal(mqtt_topic_judge_filter(text("a/b#")), VIOLATION_TOPIC_FILTER);
    assert_int_equal(mqtt_topic_judge_filter(text("#\xFF")), VIOLATION_STRING_UTF8);
    assert_int_equal(mqtt_topic_judge_filter(SPAN_LITERAL("#\0")), VIOLATION_STRING_NUL);
    assert_int_equal(mqtt_topic_judge_filter(text("+/ä/#")), VIOLATION_NONE);
}

/* The examples of MQTT 5.0 4.7.1 to 4.7.3. */
static void examples_of_the_specification(void **state) {
    (void)state;
    const struct {
        const char *filter, *name;
        bool matches;
    } rows[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player12", false},
        {"sport/#", "sport", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/x", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/x", true},
        {"$SYS/#", "$SYS", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"ACCOUNTS", "Accounts", false},
        {"/finance", "finance", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (mqtt_topic_matches(text(rows[i].filter), text(rows[i].name)) != rows[i].matches)
            fail_msg("%s, %s", rows[i].filter, rows[i].name);
}

/* The number written with the letters of the alphabet; false when all texts of the size are done. */
static bool write_text(size_t number, const char *alphabet, char *out, size_t size) {
    size_t letters = strlen(alphabet);
    for (size_t i = 0; i < size; i++, number /= letters)
        out[i] = alphabet[number % letters];
    out[size] = 0;
    return number == 0;
}

static void filters_of_a_small_alphabet(void **state) {
    (void)state;
    char words[8];
    for (size_t size = 1; size <= 7; size++)
        for (size_t number = 0; write_text(number, "a/+#$", words, size); number++)
            if (mqtt_topic_is_filter(guard_copy(span_of(words, size))) != slow_is_filter(text(words)))
                fail_msg("%s", words);
}

static void matches_of_a_small_alphabet(void **state) {
    (void)state;
    char filter[8], name[8];
    size_t hits = 0;
    for (size_t filter_size = 1; filter_size <= 5; filter_size++)
        for (size_t i = 0; write_text(i, "ab/+#$", filter, filter_size); i++) {
            if (!slow_is_filter(text(filter)))
                continue;
            for (size_t name_size = 1; name_size <= 5; name_size++)
                for (size_t k = 0; write_text(k, "ab/$", name, name_size); k++) {
                    bool matches = slow_matches(text(filter), text(name));
                    hits += matches;
                    if (mqtt_topic_matches(text(filter), text(name)) != matches)
                        fail_msg("%s, %s", filter, name);
                }
        }
    assert_true(hits > 10000);
}

/* Both end at a guard; the name and the filter in turn. */
static void matching_reads_no_further(void **state) {
    (void)state;
    const char *texts[] = {"a", "a/", "a/b", "a/#", "+", "#", "/", "a/+", "$x", "$"};
    size_t count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            bool matches = mqtt_topic_matches(text(texts[i]), text(texts[k]));
            assert_int_equal(mqtt_topic_matches(guard_copy(text(texts[i])), text(texts[k])), matches);
            assert_int_equal(mqtt_topic_matches(text(texts[i]), guard_copy(text(texts[k]))), matches);
        }
    assert_false(mqtt_topic_matches(SPAN_NONE, text("a")));
    assert_false(mqtt_topic_matches(text("#"), SPAN_NONE));
}

/* 65,535 slashes against as many levels of `+`: no stack is needed and no time lost. */
static void many_levels(void **state) {
    (void)state;
    static uint8_t name[65535], filter[65535];
    memset(name, '/', sizeof name);
    for (size_t i = 0; i < sizeof filter; i++)
        filter[i] = i % 2 == 0 ? '+' : '/';
    assert_true(mqtt_topic_is_filter(span_of(filter, sizeof filter)));
    assert_true(mqtt_topic_matches(span_of(filter, sizeof filter), span_of(name, sizeof filter / 2)));
    assert_false(mqtt_topic_matches(span_of(filter, sizeof filter), span_of(name, sizeof name)));
    assert_true(mqtt_topic_matches(text("/#"), span_of(name, sizeof name)));
    struct span rest = span_of(name, sizeof name), level;
    size_t count = 0;
    while (mqtt_topic_next_level(&rest, &level))
        count++;
    assert_int_equal(count, 65536);
}

static void levels(void **state) {
    (void)state;
    const struct {
        const char *topic;
        size_t count;
        const char *levels[4];
    } rows[] = {
        {"a", 1, {"a"}},      {"a/", 2, {"a", ""}},           {"/", 2, {"", ""}},
        {"/a", 2, {"", "a"}}, {"a//b", 3, {"a", "", "b"}},    {"ab/+/#", 3, {"ab", "+", "#"}},
        {"", 1, {""}},        {"//a/", 4, {"", "", "a", ""}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span rest = guard_copy(text(rows[i].topic)), level;
        size_t count = 0;
        while (mqtt_topic_next_level(&rest, &level)) {
            assert_true(count < rows[i].count);
            assert_true(span_is_text(level, rows[i].levels[count++]));
        }
        assert_int_equal(count, rows[i].count);
        assert_null(rest.at);
    }
    struct span none = SPAN_NONE, level;
    assert_false(mqtt_topic_next_level(&none, &level));
}

static void shares(void **state) {
    (void)state;
    const struct {
        const char *filter;
        bool is_share;
        const char *name, *inner; /* inner NULL: not looked at */
    } rows[] = {
        {"$share/g/a", true, "g", "a"},
        {"$share/group/a/+/#", true, "group", "a/+/#"},
        {"$share/g//", true, "g", "/"},
        {"$share/g/$SYS/#", true, "g", "$SYS/#"},
        {"$share/g/$share/h/a", true, "g", "$share/h/a"},
        {"$share/", true, NULL, ""},
        {"$share/g", true, NULL, ""},
        {"$share/g/", true, NULL, ""},
        {"$share//a", true, NULL, ""},
        {"$share/+/a", true, NULL, ""},
        {"$share/#/a", true, NULL, ""},
        {"$share/g#/a", true, NULL, ""},
        {"$share/g/a#", true, NULL, ""},
        {"$share/g/#/a", true, NULL, ""},
        {"$share", false, NULL, NULL},
        {"$shared/g/a", false, NULL, NULL},
        {"$SHARE/g/a", false, NULL, NULL},
        {"share/g/a", false, NULL, NULL},
        {"", false, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span name, inner;
        bool is_share = mqtt_topic_split_share(guard_copy(text(rows[i].filter)), &name, &inner);
        if (is_share != rows[i].is_share || (rows[i].inner != NULL && !span_is_text(inner, rows[i].inner)) ||
            (rows[i].name != NULL && !span_is_text(name, rows[i].name)))
            fail_msg("%s", rows[i].filter);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(what_the_judges_say),
        cmocka_unit_test(examples_of_the_specification),
        cmocka_unit_test(filters_of_a_small_alphabet),
        cmocka_unit_test(matches_of_a_small_alphabet),
        cmocka_unit_test(matching_reads_no_further),
        cmocka_unit_test(many_levels),
        cmocka_unit_test(levels),
        cmocka_unit_test(shares),
    };
    return cmocka_run_group_tests_name("mqtt/topic", tests, NULL, NULL);
}
