/* What an ACL file may say that mosquitto's may not: groups, the right to subscribe, maxqos, noretain, facts
 * of the certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/acl.h"

#define TEXT(str) SPAN_LITERAL(str)

static const struct span sans[] = {TEXT("one.example"), TEXT("two.example"), TEXT("urn:a/b"), TEXT("x+y")};
static const struct span units[] = {TEXT("plant"), TEXT("hall#"), TEXT("hall")};
static const struct facts facts = {
    .common_name = TEXT("pump"), .sans = sans, .units = units, .san_count = 4, .unit_count = 3};
static const struct facts odd_facts = {.common_name = TEXT("a/b")};

/* Accesses: r, w, s as in acl_cases.h; 0, 1, 2 publish with that QoS; R publish retained. */
struct beyond_case {
    const char *text, *username;
    char certificate; /* 'c' the facts above, 'o' the odd ones, 0 none */
    char access;
    const char *topic;
    bool is_allowed;
    unsigned line;
    uint8_t max_qos; /* of a granted one */
};

#define GROUPS                                                                                               \
    "user ann\ntopic read own\ntopic deny both\n"                                                            \
    "group one\nmember ann \"Bob B\"\ntopic read g/1\ntopic both\ntopic deny g/shut/#\n"                     \
    "group two\nmember ann\ntopic g/#\npattern dev/%u\n"                                                     \
    "group one\nmember \"q\\\"\\\\\" bob\ntopic read late\n"                                                 \
    "user ann\npattern all/%u\n"

static const struct beyond_case cases[] = {
    /* A user's own rules come first, then those of its groups in the order of the file, then patterns. */
    {GROUPS, "ann", 0, 'r', "own", true, 2, 2},
    {GROUPS, "ann", 0, 'r', "both", false, 3, 0},
    {GROUPS, "bob", 0, 'w', "both", true, 7, 2},
    {GROUPS, "Bob B", 0, 'w', "both", true, 7, 2},
    {GROUPS, "q\"\\", 0, 'w', "both", true, 7, 2},
    {GROUPS, "ann", 0, 'r', "g/1", true, 6, 2},
    {GROUPS, "ann", 0, 'w', "g/1", true, 11, 2},
    {GROUPS, "bob", 0, 'w', "g/1", false, 0, 0},
    {GROUPS, "ann", 0, 'r', "g/shut/1", false, 8, 0}, /* group one's deny is before group two's grant */
    {GROUPS, "ann", 0, 's', "g/shut/1", false, 8, 0},
    {GROUPS, "ann", 0, 's', "g/+/1", true, 11, 2},
    {GROUPS, "ann", 0, 'r', "late", true, 15, 2}, /* a group's second section continues it */
    {GROUPS, "Bob", 0, 'r', "late", false, 0, 0},
    {GROUPS, NULL, 0, 'r', "g/1", false, 0, 0},
    /* A group's patterns are its members' alone; others are everybody's. */
    {GROUPS, "ann", 0, 'r', "dev/ann", true, 12, 2},
    {GROUPS, "bob", 0, 'r', "dev/bob", false, 0, 0},
    {GROUPS, "bob", 0, 'r', "all/bob", true, 17, 2},
    {"group g\nmember a+\ntopic x\npattern y/%u\n", "a+", 0, 'r', "x", false, 0, 0}, /* odd, as at patterns */
    {"group g\nmember a+\ntopic x\n", "a+", 0, 'r', "x", true, 3, 2},

    /* The right to subscribe, apart: the whole filter under one rule, and no deny over it. */
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 's', "a/b/c", true, 2, 2},
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 's', "a/b/+", true, 2, 2},
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 's', "a/b/#", false, 0, 0},
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 's', "a/b", false, 0, 0},
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 's', "a/+/c", false, 0, 0},
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 's', "$share/g/a/b/c", true, 2, 2},
    {"topic read a/#\ntopic subscribe a/b/+\n", NULL, 0, 'r', "a/x", true, 1, 2},
    {"topic subscribe a/#\n", NULL, 0, 'r', "a/x", false, 0, 0}, /* and nothing is read by it */
    {"topic subscribe a/#\n", NULL, 0, 'w', "a/x", false, 0, 0},
    {"topic subscribe a/#\n", NULL, 0, 's', "a", true, 1, 2},
    {"topic subscribe a/#\n", NULL, 0, 's', "a/#", true, 1, 2},
    {"topic subscribe #\n", NULL, 0, 's', "#", true, 1, 2},
    {"topic subscribe +/#\n", NULL, 0, 's', "#", true, 1, 2},
    {"topic subscribe +/+\n", NULL, 0, 's', "#", false, 0, 0},
    {"topic subscribe #\n", NULL, 0, 's', "$SYS/#", false, 0, 0}, /* 4.7.2-1 */
    {"topic subscribe $SYS/#\n", NULL, 0, 's', "$SYS/+", true, 1, 2},
    {"topic subscribe #\ntopic deny a/b/#\n", NULL, 0, 's', "a/b/c", false, 2, 0},
    {"topic subscribe #\ntopic deny a/b/#\n", NULL, 0, 's', "a/#", true, 1, 2}, /* delivery keeps a/b away */
    {"topic read a\nuser u\ntopic subscribe b\n", NULL, 0, 's', "a", true, 1, 2}, /* another's rule */
    {"pattern subscribe %u/#\nuser u\ntopic read a\n", "u", 0, 's', "a", false, 0, 0},
    {"pattern subscribe %u/#\nuser u\ntopic read a\n", "u", 0, 's', "u/+", true, 1, 2},
    {"pattern subscribe %u/#\n", "v", 0, 's', "u/+", false, 0, 0},
    {"pattern subscribe %u/#\n", NULL, 0, 's', "+/x", false, 0, 0},
    {"pattern subscribe %u/#\n", "$SYS", 0, 's', "$SYS/x", false, 0, 0},
    {"group g\nmember u\ntopic subscribe a\ntopic read b\n", "u", 0, 's', "b", false, 0, 0},

    /* maxqos and noretain, of the rule that speaks. */
    {"topic write maxqos=1 a\n", NULL, 0, '1', "a", true, 1, 1},
    {"topic write maxqos=1 a\n", NULL, 0, '2', "a", false, 1, 0},
    {"topic readwrite maxqos=0 noretain a\n", NULL, 0, '0', "a", true, 1, 0},
    {"topic readwrite noretain maxqos=0 a\n", NULL, 0, '1', "a", false, 1, 0},
    {"topic readwrite noretain maxqos=0 a\n", NULL, 0, 'R', "a", false, 1, 0},
    {"topic readwrite noretain a\n", NULL, 0, '2', "a", true, 1, 2},
    {"topic write maxqos=0 a\ntopic write a\n", NULL, 0, '1', "a", false, 1, 0}, /* the first match decides */
    {"topic write maxqos=0 a\ntopic write a\n", NULL, 0, 'R', "a", true, 1, 0},
    {"topic read maxqos=1 a/#\n", NULL, 0, 's', "a/+", true, 1, 1},
    {"topic subscribe maxqos=0 a/#\n", NULL, 0, 's', "a/+", true, 1, 0},
    {"pattern write maxqos=0 %c\n", NULL, 0, '1', "c", false, 1, 0},
    /* The last word is always the filter's. */
    {"topic write noretain\n", NULL, 0, 'R', "noretain", true, 1, 2},
    {"topic write maxqos=1\n", NULL, 0, '2', "maxqos=1", true, 1, 2},
    {"topic write noretain noretain\n", NULL, 0, 'R', "noretain", false, 1, 0},
    {"topic write maxqos=1 two words\n", NULL, 0, '1', "two words", true, 1, 1},
    {"topic write a maxqos=1\n", NULL, 0, '2', "a maxqos=1", true, 1, 2},

    /* Facts of the certificate: whole levels of patterns, any of several. */
    {"pattern %{cn}/+\n", NULL, 'c', 'r', "pump/1", true, 1, 2},
    {"pattern %{cn}/+\n", NULL, 'c', 'r', "dump/1", false, 0, 0},
    {"pattern %{cn}/+\n", NULL, 0, 'r', "pump/1", false, 0, 0},
    {"pattern %{cn}/+\n", NULL, 0, 'r', "/1", false, 0, 0},
    {"pattern %{cn}/+\n", NULL, 'o', 'r', "a/b", false, 0, 0},
    {"pattern x-%{cn}\n", NULL, 'c', 'r', "x-pump", false, 0, 0},
    {"topic %{cn}\n", NULL, 'c', 'r', "pump", false, 0, 0}, /* text in topic lines */
    {"pattern s/%{san}\n", NULL, 'c', 'r', "s/one.example", true, 1, 2},
    {"pattern s/%{san}\n", NULL, 'c', 'r', "s/two.example", true, 1, 2},
    {"pattern s/%{san}\n", NULL, 'c', 'r', "s/urn:a/b", false, 0, 0},
    {"pattern s/%{san}\n", NULL, 'o', 'r', "s/", false, 0, 0},
    {"pattern s/%{san}/%{san}\n", NULL, 'c', 'r', "s/two.example/two.example", true, 1, 2},
    {"pattern s/%{san}/%{san}\n", NULL, 'c', 'r', "s/one.example/two.example", false, 0, 0},
    {"pattern %{ou}/%{san}/%c/%{cn}\n", NULL, 'c', 'w', "plant/two.example/c/pump", true, 1, 2},
    {"pattern %{ou}/#\n", NULL, 'c', 'w', "plant", true, 1, 2},
    {"pattern %{ou}/%{san}/#\n", NULL, 'c', 'w', "hall/two.example", true, 1, 2},
    {"pattern read %{ou}/%{san}\n", NULL, 'c', 's', "hall/+", true, 1, 2},
    {"pattern #\npattern deny +/%{san}\n", NULL, 'c', 'w', "s/two.example", false, 2, 0},
    {"pattern #\npattern deny +/%{san}\n", NULL, 0, 'w', "s/two.example", true, 1, 2},
    {"pattern read s/%{san}\n", NULL, 'c', 's', "s/two.example", true, 1, 2},
    {"pattern read s/%{san}\n", NULL, 'c', 's', "+/+", true, 1, 2},
    {"pattern read s/%{san}\n", NULL, 0, 's', "+/+", false, 0, 0},
    {"pattern read +/%{san}\npattern deny s/%{san}\n", NULL, 'c', 's', "s/+", false, 2, 0},
    {"pattern read +/%{san}\npattern deny s/%{san}\n", NULL, 'c', 's', "+/one.example", true, 1, 2},
    {"pattern subscribe s/%{san}/#\n", NULL, 'c', 's', "s/two.example/+", true, 1, 2},
    {"pattern subscribe s/%{san}/#\n", NULL, 'c', 's', "s/+/x", false, 0, 0},
    {"pattern subscribe s/%{ou}\n", NULL, 'c', 's', "s/hall#", false, 0, 0},
};

static struct verdict ask(const struct acl_binding *binding, char access, struct span topic) {
    switch (access) {
    case 'r': return acl_may_read(binding, topic);
    case 'w': return acl_may_write(binding, topic);
    case 's': return acl_may_subscribe(binding, topic);
    default:
        return acl_may_publish(binding, topic, access == 'R' ? 0 : (uint8_t)(access - '0'), access == 'R');
    }
}

/* As it is written, and with so many other rules in every list that it gets an index. */
static void check(size_t number, bool is_long) {
    const struct beyond_case *one = &cases[number];
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    char file[8192];
    size_t size = (size_t)snprintf(file, sizeof file, "%s", one->text);
    for (int i = 0; is_long && i < 30; i++)
        size += (size_t)snprintf(file + size, sizeof file - size, "pattern read other/%d/%%c\n", i);
    struct acl *acl = acl_compile(arena, "rules", span_of(file, size), &findings);
    if (acl == NULL)
        fail_msg("case %zu: %s", number, findings.first->text);
    struct acl_binding binding;
    acl_bind(&binding, acl,
             (struct acl_identity){one->username != NULL, span_of_text(one->username), TEXT("c"),
                                   one->certificate == 'c'   ? &facts
                                   : one->certificate == 'o' ? &odd_facts
                                                             : NULL});
    struct verdict verdict = ask(&binding, one->access, span_of_text(one->topic));
    if (verdict.is_allowed != one->is_allowed || verdict.line != one->line ||
        (verdict.is_allowed && verdict_max_qos(&verdict) != one->max_qos))
        fail_msg("case %zu:\n%s%s %c %s: is_allowed %d by line %u, QoS %u (%s)", number, one->text,
                 one->username == NULL ? "(anonymous)" : one->username, one->access, one->topic,
                 verdict.is_allowed, verdict.line, verdict_max_qos(&verdict),
                 verdict.words == NULL ? "" : verdict.words);
    findings_clear(&findings);
    arena_destroy(arena);
}

static void test_every_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(i, false);
}

static void test_every_sentence_among_many(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        /* Patterns that follow a group's line would be the group's, and odd names end at any. */
        if (strstr(cases[i].text, "group") == NULL || strstr(cases[i].text, "user") != NULL)
            check(i, true);
}

static const struct {
    const char *text, *finding;
} faults[] = {
    {"group\ntopic a\n", "f:1: \"group\" wants a name behind it"},
    {"member a\ntopic a\n", "f:1: \"member\" belongs below a \"group\" line"},
    {"group g\ntopic a\nuser u\nmember u\n", "f:4: \"member\" belongs below a \"group\" line"},
    {"group g\nmember\ntopic a\n", "f:2: \"member\" wants usernames behind it"},
    {"group g\nmember a \"b\ntopic a\n",
     "f:2: a quoted username ends with \" and a space or the line's end behind it"},
    {"group g\nmember \"a\"b\ntopic a\n",
     "f:2: a quoted username ends with \" and a space or the line's end behind it"},
    {"group g\nmember \"\"\ntopic a\n", "f:2: an empty username is nobody's"},
    {"topic write maxqos=3 a\n", "f:1: \"maxqos=3\": maxqos is 0, 1 or 2"},
    {"topic write maxqos= a\n", "f:1: \"maxqos=\": maxqos is 0, 1 or 2"},
    {"topic write maxqos=10 a\n", "f:1: \"maxqos=10\": maxqos is 0, 1 or 2"},
    {"topic write maxqos=1 maxqos=1 a\n", "f:1: \"maxqos=1\": maxqos stands here twice"},
    {"topic write noretain noretain a\n", "f:1: \"noretain\": noretain stands here twice"},
    {"topic deny maxqos=1 a\n",
     "f:1: \"maxqos=1\": maxqos says nothing behind deny, which allows nothing anyhow"},
    {"topic read noretain a\n",
     "f:1: \"noretain\": noretain concerns publishing, which this rule does not allow"},
    {"pattern subscribe noretain %c\n",
     "f:1: \"noretain\": noretain concerns publishing, which this rule does not allow"},
    {"topic write maxqos=1 a#\n", "f:1: \"a#\" is no valid topic filter"},
    {"topic maxqos=1 a\n",
     "f:1: \"maxqos=1\" is no access, only read, write, readwrite, deny and subscribe are "
     "(and a topic that holds a space needs one in front)"},
    {"group g\nmember u\n", "f: no rule in it; without a rule nobody could do anything"},
};

static void test_faults_are_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct arena *arena = arena_create();
        struct findings findings;
        findings_init(&findings);
        assert_null(acl_compile(arena, "f", span_of_text(faults[i].text), &findings));
        const struct finding *first = findings.first;
        while (first->kind != FINDING_ERROR)
            first = first->next;
        assert_string_equal(first->text, faults[i].finding);
        assert_int_equal(findings.error_count, 1);
        findings_clear(&findings);
        arena_destroy(arena);
    }
}

static void test_a_group_without_members_is_warned_of(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    assert_non_null(acl_compile(arena, "f", span_of_text("topic a\ngroup g\ntopic b\n"), &findings));
    assert_int_equal(findings.warning_count, 1);
    assert_string_equal(findings.first->text, "f:2: the group \"g\" has no member, its rules concern nobody");
    findings_clear(&findings);
    arena_destroy(arena);
}

/* One list as long as it gets; every rule is found, and levels deeper than the index goes. */
static void test_a_long_list(void **state) {
    (void)state;
    enum { RULES = 3000 };
    char *file = malloc(RULES * 96);
    size_t size = 0;
    for (int i = 0; i < RULES; i++)
        size +=
            (size_t)sprintf(file + size, "topic %s %s%d/%s\n", i % 3 == 0 ? "deny" : "read",
                            i % 2 == 0 ? "a/b/c/d/e/f/g/h/i/j/k/l/m/" : "+/x/", i, i % 5 == 0 ? "#" : "end");
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    struct acl *acl = acl_compile(arena, "f", span_of(file, size), &findings);
    free(file);
    assert_non_null(acl);
    struct acl_binding binding;
    acl_bind(&binding, acl, (struct acl_identity){.client_id = TEXT("c")});
    for (int i = 0; i < RULES; i++) {
        char topic[96];
        sprintf(topic, "%s%d/end", i % 2 == 0 ? "a/b/c/d/e/f/g/h/i/j/k/l/m/" : "any/x/", i);
        struct verdict verdict = acl_may_read(&binding, span_of_text(topic));
        assert_int_equal(verdict.line, i + 1);
        assert_int_equal(verdict.is_allowed, i % 3 != 0);
        strcat(topic, "/more");
        verdict = acl_may_read(&binding, span_of_text(topic));
        assert_int_equal(verdict.line, i % 5 == 0 ? i + 1 : 0);
    }
    findings_clear(&findings);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sentence),    cmocka_unit_test(test_every_sentence_among_many),
        cmocka_unit_test(test_faults_are_errors), cmocka_unit_test(test_a_group_without_members_is_warned_of),
        cmocka_unit_test(test_a_long_list),
    };
    return cmocka_run_group_tests_name("acl beyond mosquitto", tests, NULL, NULL);
}
