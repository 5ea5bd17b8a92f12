#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "acl_cases.h"
#include "mqtt/topic.h"
#include "policy/acl.h"

static struct span text(const char *string) {
    return span_of_text(string);
}

static struct verdict ask(const struct acl_binding *binding, char access, struct span topic) {
    if (access == 's')
        return acl_may_subscribe(binding, topic);
    return access == 'r' ? acl_may_read(binding, topic) : acl_may_write(binding, topic);
}

static void test_every_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof acl_cases / sizeof acl_cases[0]; i++) {
        const struct acl_case *one = &acl_cases[i];
        struct arena *arena = arena_create();
        struct findings findings;
        findings_init(&findings);
        struct acl *acl = NULL;
        if (one->text != NULL) {
            acl = acl_compile(arena, "rules.acl", text(one->text), &findings);
            if (strstr(one->text, "a # b") != NULL)
                assert_null(acl);
            else if (acl == NULL)
                fail_msg("case %zu: %s", i, findings.first->text);
        }
        if (one->text == NULL || acl != NULL) {
            struct acl_identity identity = {one->username != NULL, text(one->username), text(one->client_id),
                                            NULL};
            struct acl_binding binding;
            acl_bind(&binding, acl, identity);
            /* A copy of the exact size, so that the sanitizer sees every byte read too far. */
            size_t size = strlen(one->topic);
            uint8_t *exact = malloc(size);
            memcpy(exact, one->topic, size);
            struct verdict verdict = ask(&binding, one->access, span_of(exact, size));
            free(exact);
            if (verdict.is_allowed != one->is_allowed || verdict.line != one->line)
                fail_msg("case %zu: %s%s %c %s: is_allowed %d by line %u (%s)", i,
                         one->text == NULL ? "(none)\n" : one->text,
                         one->username == NULL ? "(anonymous)" : one->username, one->access, one->topic,
                         verdict.is_allowed, verdict.line, verdict.words == NULL ? "" : verdict.words);
            assert_true((verdict.words == NULL) == (verdict.line != 0));
            if (verdict.line != 0)
                assert_string_equal(verdict.file, "rules.acl");
            else
                assert_null(verdict.file);
        }
        findings_clear(&findings);
        arena_destroy(arena);
    }
}

struct fault {
    const char *text;
    size_t size;         /* 0: of the string */
    const char *finding; /* the first */
};

static const struct fault faults[] = {
    {"", 0, "f: no rule in it; without a rule nobody could do anything"},
    {"# topic a\n\n   \n", 0, "f: no rule in it; without a rule nobody could do anything"},
    {"user u\n", 0, "f: no rule in it; without a rule nobody could do anything"},
    {"user\ntopic a\n", 0, "f:1: \"user\" wants a username behind it"},
    {"user   \ntopic a\n", 0, "f:1: \"user\" wants a username behind it"},
    {"topic\n", 0, "f:1: \"topic\" wants a topic behind it"},
    {"pattern  \n", 0, "f:1: \"pattern\" wants a topic behind it"},
    {"topic a\ntopic some words\n", 0,
     "f:2: \"some\" is no access, only read, write, readwrite, deny and subscribe are (and a topic "
     "that holds a space needs one in front)"},
    {"topic Read a\n", 0,
     "f:1: \"Read\" is no access, only read, write, readwrite, deny and subscribe are (and a topic "
     "that holds a space needs one in front)"},
    {"topic a\nallow b\n", 0,
     "f:2: a line begins with topic, pattern, user, group, member or #, not with \"allow\""},
    {"Topic a\n", 0, "f:1: a line begins with topic, pattern, user, group, member or #, not with \"Topic\""},
    {"topic a\n # no comment\n", 0,
     "f:2: a line begins with topic, pattern, user, group, member or #, not with \"#\""},
    {"topic\tread a\n", 0, "f:1: \"topic\\x09read\": words are separated by spaces, not by tabs"},
    {"topic a/#/b\n", 0, "f:1: \"a/#/b\" is no valid topic filter"},
    {"topic a#\n", 0, "f:1: \"a#\" is no valid topic filter"},
    {"topic read a+/b\n", 0, "f:1: \"a+/b\" is no valid topic filter"},
    {"topic write a # b\n", 0, "f:1: \"a # b\" is no valid topic filter"},
    {"pattern deny %c#\n", 0, "f:1: \"%c#\" is no valid topic filter"},
    {"topic a\xff\n", 0, "f:1: \"a\\xFF\" is no valid topic filter"},
    {"topic a\0b\n", 10, "f:1: this line holds a NUL byte"},
    {"user u\0v\ntopic a\n", 17, "f:1: this line holds a NUL byte"},
    {"\xef\xbb\xbftopic a\n", 0,
     "f:1: a line begins with topic, pattern, user, group, member or #, not with \"\\xEF\\xBB\\xBFtopic\""},
};

static void test_faults_are_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct arena *arena = arena_create();
        struct findings findings;
        findings_init(&findings);
        size_t size = faults[i].size == 0 ? strlen(faults[i].text) : faults[i].size;
        assert_null(acl_compile(arena, "f", span_of(faults[i].text, size), &findings));
        assert_int_equal(findings.error_count, 1);
        assert_string_equal(findings.first->text, faults[i].finding);
        findings_clear(&findings);
        arena_destroy(arena);
    }
}

static void test_all_faults_are_collected(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    assert_null(acl_compile(arena, "f", text("x\ntopic a\ntopic b#\nuser\n"), &findings));
    assert_int_equal(findings.error_count, 3);
    /* Errors of other files do not spoil a good one. */
    assert_non_null(acl_compile(arena, "g", text("topic a\n"), &findings));
    assert_int_equal(findings.error_count, 3);
    findings_clear(&findings);
    arena_destroy(arena);
}

static void test_doubtful_lines_are_warned_of(void **state) {
    (void)state;
    static const char *const doubtful[] = {
        "pattern a/b\n",      "pattern dev-%c/x\n", "topic users/%u/#\n",
        "topic $share/g/a\n", "topic deny\n",       "user \xff\ntopic a\n",
    };
    for (size_t i = 0; i < sizeof doubtful / sizeof doubtful[0]; i++) {
        struct arena *arena = arena_create();
        struct findings findings;
        findings_init(&findings);
        assert_non_null(acl_compile(arena, "f", text(doubtful[i]), &findings));
        assert_int_equal(findings.warning_count, 1);
        findings_clear(&findings);
        assert_non_null(acl_compile(arena, "f", text("pattern a/%c/%u\ntopic 100%/a-%c\n"), &findings));
        assert_int_equal(findings.warning_count, 0);
        arena_destroy(arena);
    }
}

static void test_many_users_and_rules(void **state) {
    (void)state;
    enum { USERS = 10000 };
    char *file = malloc(USERS * 64);
    size_t size = 0;
    for (int i = 0; i < USERS; i++)
        size += (size_t)sprintf(file + size, "user u%d\ntopic read t/%d/#\n", i, i);
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    struct acl *acl = acl_compile(arena, "f", span_of(file, size), &findings);
    assert_non_null(acl);
    assert_int_equal(acl_rule_count(acl), USERS);
    free(file); /* nothing of the text is needed any more */
    for (int i = 0; i < USERS; i++) {
        char name[32], own[32], other[32];
        sprintf(name, "u%d", i);
        sprintf(own, "t/%d/x", i);
        sprintf(other, "t/%d/x", (i + 1) % USERS);
        struct acl_binding binding;
        acl_bind(&binding, acl, (struct acl_identity){true, text(name), text("c"), NULL});
        struct verdict verdict = acl_may_read(&binding, text(own));
        assert_true(verdict.is_allowed);
        assert_int_equal(verdict.line, 2 * i + 2);
        assert_false(acl_may_read(&binding, text(other)).is_allowed);
        assert_false(acl_may_write(&binding, text(own)).is_allowed);
    }
    findings_clear(&findings);
    arena_destroy(arena);
}

/* The reference: all topics of up to 5 levels over the words that can matter, asked one by one. */

#define LEVELS_MAX 5
/* In the first place stands `word`, short or longer than the eight bytes that quick tests look at. */
static const char *word;
static const char *topic_words[] = {NULL, "", "$", "u", "z"}; /* z stands in no rule and no filter */
static const char *filter_words[] = {NULL, "", "$", "+"};
static const char *rule_words[] = {NULL, "", "$", "+", "%c", "%u"};

static void choose_word(int round) {
    word = round % 2 == 0 ? "a" : "a_long_word";
    topic_words[0] = filter_words[0] = rule_words[0] = word;
}

enum { TOPIC_WORDS = 5, TOPICS_MAX = 4096 };
static char topics[TOPICS_MAX][64];
static size_t topic_count;

static void collect_topics(void) {
    topic_count = 0;
    for (int levels = 1; levels <= LEVELS_MAX; levels++) {
        int combinations = 1;
        for (int i = 0; i < levels; i++)
            combinations *= TOPIC_WORDS;
        for (int number = 0; number < combinations; number++) {
            char topic[64] = "";
            for (int i = 0, rest = number; i < levels; i++, rest /= TOPIC_WORDS) {
                strcat(topic, i == 0 ? "" : "/");
                strcat(topic, topic_words[rest % TOPIC_WORDS]);
            }
            if (topic[0] != '\0')
                strcpy(topics[topic_count++], topic);
        }
    }
}

static uint32_t random_state = 1;
static uint32_t random_below(uint32_t bound) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % bound;
}

/* 1..3 levels, maybe a # behind or alone. */
static void random_filter(char *room, const char *const *words, uint32_t word_count) {
    for (;;) {
        room[0] = '\0';
        uint32_t levels = random_below(4);
        for (uint32_t i = 0; i < levels; i++) {
            strcat(room, i == 0 ? "" : "/");
            strcat(room, words[random_below(word_count)]);
        }
        if (levels == 0 || random_below(3) == 0)
            strcat(room, levels == 0 ? "#" : "/#");
        if (room[0] != '\0')
            return;
    }
}

/* Room for the rules below. */
#define RULES_SIZE 8192

/* Long ones get an index; some have groups. */
static size_t random_rules(char *room, bool is_long) {
    static const char *const access[] = {"read", "write", "deny", "deny", "read"};
    static const char *const sections[] = {"user u\n", "user u\n", "group g\n", "group h\nmember v u\n",
                                           "group g\nmember u u\n"};
    size_t size = 0;
    uint32_t count = 1 + random_below(is_long ? 120 : 6);
    for (uint32_t i = 0; i < count; i++) {
        char filter[64];
        bool is_pattern = random_below(2) == 0;
        random_filter(filter, rule_words, is_pattern ? 6 : 4);
        if (random_below(is_long ? 30 : 4) == 0)
            size += (size_t)sprintf(room + size, "%s", sections[random_below(5)]);
        size += (size_t)sprintf(room + size, "%s %s %s\n", is_pattern ? "pattern" : "topic",
                                access[is_long && random_below(3) != 0 ? 0 : random_below(5)], filter);
    }
    return size;
}

static bool is_there_a_topic(const struct acl_binding *binding, const char *filter, const bool *is_readable) {
    (void)binding;
    for (size_t i = 0; i < topic_count; i++)
        if (is_readable[i] && mqtt_topic_matches(text(filter), text(topics[i])))
            return true;
    return false;
}

static void compare(const struct acl_binding *binding, const char *filter, const bool *is_readable,
                    const char *rules) {
    struct verdict verdict = acl_may_subscribe(binding, text(filter));
    bool expected = is_there_a_topic(binding, filter, is_readable);
    if (verdict.is_allowed != expected)
        fail_msg("rules:\n%sfilter %s: subscribe says %d (line %u), asking all topics says %d", rules, filter,
                 verdict.is_allowed, verdict.line, expected);
    assert_true((verdict.words == NULL) == (verdict.line != 0));
}

static void compare_all_filters(const struct acl_binding *binding, const bool *is_readable,
                                const char *rules) {
    for (int levels = 0; levels <= 3; levels++)
        for (int number = 0; number < 1 << (2 * levels); number++)
            for (int is_open = levels == 0; is_open <= 1; is_open++) {
                char filter[64] = "";
                for (int i = 0; i < levels; i++) {
                    strcat(filter, i == 0 ? "" : "/");
                    strcat(filter, filter_words[number >> (2 * i) & 3]);
                }
                if (is_open)
                    strcat(filter, levels == 0 ? "#" : "/#");
                if (filter[0] != '\0')
                    compare(binding, filter, is_readable, rules);
            }
}

static void test_subscribe_is_exact(void **state) {
    (void)state;
    static bool is_readable[TOPICS_MAX];
    for (int round = 0; round < 1200; round++) {
        if (round % 600 == 0) {
            choose_word(round / 600);
            collect_topics();
        }
        const struct acl_identity identities[] = {
            {false, SPAN_NONE, text(word), NULL}, {true, text("u"), text(word), NULL},
            {true, text("u"), text("$"), NULL},   {true, text("u"), SPAN_NONE, NULL},
            {true, text(word), text("+"), NULL},  {true, text(word), text("a/"), NULL},
        };
        char rules[RULES_SIZE] = "";
        random_rules(rules, false);
        struct arena *arena = arena_create();
        struct findings findings;
        findings_init(&findings);
        struct acl *acl = acl_compile(arena, "f", text(rules), &findings);
        assert_non_null(acl);
        struct acl_binding binding;
        acl_bind(&binding, acl, identities[round % 6]);
        for (size_t i = 0; i < topic_count; i++)
            is_readable[i] = acl_may_read(&binding, text(topics[i])).is_allowed;
        compare_all_filters(&binding, is_readable, rules);
        findings_clear(&findings);
        arena_destroy(arena);
    }
}

/* The walk once more, written for its shortness: lines in order, texts compared after substitution. */
static bool slow_match(const char *filter, bool is_pattern, const struct acl_identity *identity,
                       const char *topic) {
    char changed[128] = "";
    if (filter[0] == '%' && topic[0] == '$' && is_pattern)
        return false;
    for (const char *at = filter; *at != '\0';) {
        size_t size = strcspn(at, "/");
        struct span level = span_of(at, size);
        if (is_pattern && (span_is_text(level, "%c") || span_is_text(level, "%u"))) {
            struct span value = at[1] == 'c' ? identity->client_id : identity->username;
            if (value.size == 0 || span_has_byte(value, '/'))
                return false;
            level = value;
        }
        strncat(changed, (const char *)level.at, level.size);
        at += size;
        if (*at == '/')
            strcat(changed, "/"), at++;
    }
    return mqtt_topic_matches(text(changed), text(topic));
}

/* Which list a line belongs to: 'u' the asker's own, 'g' and 'h' the groups, 'p' the patterns of all, 'x'
 * somebody else's. */
static char section_of(char before, const char *line, const struct acl_identity *identity) {
    char keyword[16], name[64];
    sscanf(line, "%15s %63s", keyword, name);
    if (keyword[0] == 'g')
        return name[0];
    if (keyword[0] == 'u')
        return identity->has_username && span_is_text(identity->username, name) ? 'u' : 'x';
    return before;
}

static const char *next_line(const char *line) {
    return strchr(line, '\n') + 1;
}

static bool slow_is_member(const char *rules, char group, const struct acl_identity *identity) {
    char section = 'x';
    for (const char *line = rules; *line != '\0'; line = next_line(line)) {
        section = section_of(section, line, identity);
        /* All members there are: v and u. */
        if (section == group && line[0] == 'm' && identity->has_username &&
            span_is_text(identity->username, "u"))
            return true;
    }
    return false;
}

/* 1 granted, 0 denied, -1 nothing said. */
static int slow_pass(const char *rules, char wanted, bool wants_denies, const struct acl_identity *identity,
                     char access, const char *topic, bool *has_patterns) {
    int said = -1;
    char section = identity->has_username ? 'x' : 'u';
    for (const char *line = rules; *line != '\0'; line = next_line(line)) {
        char keyword[16], second[16], filter[64];
        sscanf(line, "%15s %15s %63s", keyword, second, filter);
        section = section_of(section, line, identity);
        if (keyword[0] != 't' && keyword[0] != 'p')
            continue;
        bool is_pattern = keyword[0] == 'p', is_deny = second[0] == 'd';
        char place = is_pattern && section != 'g' && section != 'h' ? 'p' : section;
        if (place == wanted && is_pattern)
            *has_patterns = true;
        if (place != wanted || is_deny != wants_denies || (!is_deny && second[0] != access))
            continue;
        if (is_pattern && !identity->has_username && strstr(filter, "%u") != NULL)
            continue;
        if (said == -1 && slow_match(filter, is_pattern, identity, topic))
            said = !is_deny;
    }
    return said;
}

static bool slow_may(const char *rules, const struct acl_identity *identity, char access, const char *topic) {
    bool is_odd = span_has_byte(identity->client_id, '+') || span_has_byte(identity->username, '+');
    const char *g = strstr(rules, "group g\n"), *h = strstr(rules, "group h\n");
    const char *order = h == NULL || (g != NULL && g < h) ? "ughp" : "uhgp";
    for (; *order != '\0'; order++) {
        bool is_group = *order == 'g' || *order == 'h', has_patterns = false;
        if (is_group && !slow_is_member(rules, *order, identity))
            continue;
        int denied = slow_pass(rules, *order, true, identity, access, topic, &has_patterns);
        if (is_odd && has_patterns)
            return false;
        if (denied != -1)
            return false;
        if (slow_pass(rules, *order, false, identity, access, topic, &has_patterns) == 1)
            return true;
    }
    return false;
}

static void test_walk_like_the_reference(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        if (round % 1000 == 0) {
            choose_word(round / 1000);
            collect_topics();
        }
        const char *const names[] = {word, "u", "$", "", "+", "a/"};
        char rules[RULES_SIZE] = "";
        random_rules(rules, round % 2 == 0);
        struct arena *arena = arena_create();
        struct findings findings;
        findings_init(&findings);
        struct acl *acl = acl_compile(arena, "f", text(rules), &findings);
        assert_non_null(acl);
        const char *username = random_below(3) == 0 ? NULL : names[random_below(6)];
        struct acl_identity identity = {username != NULL, text(username), text(names[random_below(6)]), NULL};
        struct acl_binding binding;
        acl_bind(&binding, acl, identity);
        identity.has_username = username != NULL && username[0] != '\0';
        for (int i = 0; i < 200; i++) {
            const char *topic = topics[random_below((uint32_t)topic_count)];
            bool is_read = acl_may_read(&binding, text(topic)).is_allowed;
            bool is_written = acl_may_write(&binding, text(topic)).is_allowed;
            if (is_read != slow_may(rules, &identity, 'r', topic) ||
                is_written != slow_may(rules, &identity, 'w', topic))
                fail_msg("rules:\n%suser %s client %.*s topic %s: read %d, write %d", rules,
                         username == NULL ? "(none)" : username, SPAN_PRINT(identity.client_id), topic,
                         is_read, is_written);
        }
        findings_clear(&findings);
        arena_destroy(arena);
    }
}

/* Filters as long as a packet lets them be cost no recursion and no square. */
static void test_long_filters(void **state) {
    (void)state;
    enum { SIZE = 65535 };
    char *filter = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        filter[i] = i % 2 == 0 ? '+' : '/';
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    struct acl *acl = acl_compile(
        arena, "f", text("topic a/b\ntopic #\ntopic deny x/#\ntopic deny a/+/+/b/#\n"), &findings);
    assert_non_null(acl);
    struct acl_binding binding;
    acl_bind(&binding, acl, (struct acl_identity){.client_id = text("c")});
    assert_true(acl_may_subscribe(&binding, span_of(filter, SIZE)).is_allowed);
    filter[0] = 'x';
    struct verdict verdict = acl_may_subscribe(&binding, span_of(filter, SIZE));
    assert_false(verdict.is_allowed);
    assert_int_equal(verdict.line, 3);
    memset(filter, '/', SIZE);
    assert_true(acl_may_subscribe(&binding, span_of(filter, SIZE)).is_allowed);
    assert_true(acl_may_read(&binding, span_of(filter, SIZE)).is_allowed);
    free(filter);
    findings_clear(&findings);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sentence),           cmocka_unit_test(test_faults_are_errors),
        cmocka_unit_test(test_all_faults_are_collected), cmocka_unit_test(test_doubtful_lines_are_warned_of),
        cmocka_unit_test(test_many_users_and_rules),     cmocka_unit_test(test_subscribe_is_exact),
        cmocka_unit_test(test_walk_like_the_reference),  cmocka_unit_test(test_long_filters),
    };
    return cmocka_run_group_tests_name("acl", tests, NULL, NULL);
}
