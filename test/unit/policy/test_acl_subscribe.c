/* What the index and the sieve say of a subscription is what a walk along all rules says, with the same rule
 * named. The walk is kept here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mqtt/topic.h"
#include "policy/acl_say.h"

/* ---- the walk ---- */

static const char share_is_wrong[] = "no valid shared subscription";
static const char no_subscribe[] = "no subscribe rule covers the whole of it";

struct asking {
    const struct acl_binding *binding;
    struct acl_values values;
    struct acl_common common;
    const struct acl_rule *spoke; /* the first deny that took something away */
};

static const struct acl_rule *first_deny(const struct asking *asking, uint32_t level_count,
                                         const struct acl_list *list) {
    for (const struct acl_rule *deny = list->denies; deny != NULL; deny = deny->next)
        if (acl_rule_concerns(deny, &asking->values) &&
            acl_common_is_denied(&asking->common, level_count, deny, &asking->values))
            return deny;
    return NULL;
}

/* The first deny in the lists up to `last`. */
static const struct acl_rule *first_deny_up_to(const struct asking *asking, uint32_t level_count,
                                               const struct acl_list *last) {
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(asking->binding, &lists)) != NULL;) {
        const struct acl_rule *deny = first_deny(asking, level_count, list);
        if (deny != NULL || list == last)
            return deny;
    }
    return NULL;
}

static uint32_t deepest_up_to(const struct acl_binding *binding, const struct acl_list *last) {
    uint32_t deepest = 0;
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (list->deny_level_count_max > deepest)
            deepest = list->deny_level_count_max;
        if (list == last)
            break;
    }
    return deepest;
}

/* NULL when a common topic is left, else the deny that spoke first. Denies of the lists up to `list` count.
 */
static const struct acl_rule *deny_of_all(const struct asking *asking, const struct acl_list *list) {
    const struct acl_common *common = &asking->common;
    uint32_t last = common->level_count_min, deepest = deepest_up_to(asking->binding, list);
    /* Beyond the deepest deny only those that end in # match, and they match all numbers of levels alike. */
    if (common->is_open && deepest + 1 > last)
        last = deepest + 1;
    const struct acl_rule *spoke = NULL;
    for (uint32_t count = common->level_count_min; count <= last; count++) {
        const struct acl_rule *deny = first_deny_up_to(asking, count, list);
        if (deny == NULL)
            return NULL;
        if (spoke == NULL)
            spoke = deny;
    }
    return spoke;
}

/* Does the grant, in one of its variants, leave the subscription something? */
static bool leaves_something(struct asking *asking, const struct acl_rule *grant,
                             const struct acl_list *list) {
    size_t count = acl_variant_count(grant, &asking->values);
    for (size_t i = 0; i < count; i++) {
        struct acl_values variant = acl_variant(grant, &asking->values, i);
        if (!acl_common_with(&asking->common, grant, &variant))
            continue;
        const struct acl_rule *deny = deny_of_all(asking, list);
        if (deny == NULL)
            return true;
        if (asking->spoke == NULL)
            asking->spoke = deny;
    }
    return false;
}

static const struct acl_rule *find_grant(struct asking *asking, const struct acl_list *list) {
    for (const struct acl_rule *grant = list->grants; grant != NULL; grant = grant->next)
        if ((grant->access & ACL_READ) != 0 && acl_common_may_share(&asking->common, grant) &&
            acl_rule_concerns(grant, &asking->values) && leaves_something(asking, grant, list))
            return grant;
    return NULL;
}

static struct verdict may_read_some(const struct acl_binding *binding, struct span filter) {
    struct asking asking = {
        .binding = binding, .values = acl_values_of(&binding->identity), .common = acl_common_begin(filter)};
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return asking.spoke == NULL ? acl_say(false, acl_odd_name) : acl_speak(binding, asking.spoke);
        const struct acl_rule *grant = find_grant(&asking, list);
        if (grant != NULL)
            return acl_speak(binding, grant);
    }
    return asking.spoke == NULL ? acl_say(false, acl_no_grant) : acl_speak(binding, asking.spoke);
}

static const struct acl_rule *first_cover(const struct acl_rule *rule, const struct acl_values *values,
                                          const struct acl_topic *filter) {
    for (; rule != NULL; rule = rule->next)
        if (acl_rule_is_about(rule, ACL_SUBSCRIBE, values) && acl_rule_may_match(rule, filter) &&
            acl_rule_covers(rule, values, filter->bytes))
            return rule;
    return NULL;
}

static struct verdict is_covered(const struct acl_binding *binding, struct span bytes) {
    struct acl_values values = acl_values_of(&binding->identity);
    struct acl_topic filter = acl_topic(bytes);
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return acl_say(false, acl_odd_name);
        const struct acl_rule *rule = first_cover(list->denies, &values, &filter);
        if (rule == NULL)
            rule = first_cover(list->grants, &values, &filter);
        if (rule != NULL)
            return acl_speak(binding, rule);
    }
    return acl_say(false, no_subscribe);
}

static struct verdict walk_subscribe(const struct acl_binding *binding, struct span filter) {
    struct span share_name, inner;
    if (mqtt_topic_split_share(filter, &share_name, &inner)) {
        if (inner.size == 0)
            return acl_say(false, share_is_wrong);
        filter = inner;
    }
    if (acl_is_share(filter))
        return acl_say(false, acl_share_is_no_topic);
    if (binding->acl == NULL)
        return acl_say(true, acl_no_acl);
    if (binding->has_subscribe_rules)
        return is_covered(binding, filter);
    bool is_topic = !span_has_byte(filter, '+') && !span_has_byte(filter, '#');
    return is_topic ? acl_may_read(binding, filter) : may_read_some(binding, filter);
}

/* ---- files and filters by chance ---- */

static uint32_t random_state = 7;

static uint32_t random_below(uint32_t bound) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % bound;
}

/* Words that files and filters are made of; `width` numbers beside them make literals rarer. */
struct words {
    const char *const *words;
    uint32_t count, width, level_count_max;
};

/* In topic lines %c is text. */
static const char *const rule_words[] = {"a", "b", "a_long_word", "",      "$x",     "%c",
                                         "+", "+", "%u",          "%{cn}", "%{san}", "%{ou}"};
static const char *const filter_words[] = {"a",    "b",  "a_long_word", "",      "$x", "dev", "ann",
                                           "pump", "s1", "s2",          "plant", "+",  "+",   "+"};

static void random_filter(char *room, const struct words *words) {
    for (;;) {
        uint32_t levels = random_below(16) == 0 ? random_below(16) : random_below(words->level_count_max + 1);
        size_t size = 0;
        room[0] = '\0';
        for (uint32_t i = 0; i < levels; i++) {
            if (words->width != 0 && random_below(3) == 0)
                size += (size_t)sprintf(room + size, "%s%u", i == 0 ? "" : "/", random_below(words->width));
            else
                size += (size_t)sprintf(room + size, "%s%s", i == 0 ? "" : "/",
                                        words->words[random_below(words->count)]);
        }
        if (levels == 0 || random_below(3) == 0)
            size += (size_t)sprintf(room + size, "%s", levels == 0 ? "#" : "/#");
        if (size != 0)
            return;
    }
}

/* The filter of one of the file's rules, with some levels a +, and maybe its end a #. */
static void filter_like_a_rule(char *room, const char *rules) {
    const char *from = rules + random_below((uint32_t)strlen(rules));
    while (from > rules && from[-1] != '\n')
        from--;
    from += strcspn(from, "\n");
    while (from > rules && from[-1] != ' ')
        from--;
    struct span rest = span_of(from, strcspn(from, "\n")), level;
    size_t size = 0;
    while (mqtt_topic_next_level(&rest, &level)) {
        bool is_last = span_is_text(level, "#") || random_below(8) == 0, is_any = random_below(3) == 0;
        size +=
            (size_t)sprintf(room + size, "%s%.*s", size == 0 && level.at == (const uint8_t *)from ? "" : "/",
                            is_last || is_any ? 1 : (int)level.size,
                            is_last  ? "#"
                            : is_any ? "+"
                                     : (const char *)level.at);
        if (is_last)
            return;
    }
}

/* What a file is made of, in percent. */
struct style {
    uint32_t rule_count, width, level_count_max;
    uint32_t denies, subscribes, patterns, sections;
};

static const struct style styles[] = {
    {40, 0, 3, 20, 0, 50, 3},   {120, 0, 4, 60, 0, 50, 2},    {120, 6, 4, 30, 0, 30, 2},
    {120, 3, 3, 30, 20, 50, 2}, {200, 40, 4, 20, 0, 0, 1},    {200, 4, 3, 80, 0, 60, 1},
    {60, 3, 3, 30, 60, 0, 3},   {120, 0, 2, 10, 0, 90, 1},    {6000, 2000, 4, 5, 0, 10, 0},
    {6000, 9, 4, 40, 0, 40, 0}, {5000, 600, 3, 50, 2, 20, 0}, {6000, 4000, 3, 0, 0, 3, 0},
};

static size_t random_file(char *room, const struct style *style) {
    static const char *const sections[] = {"user ann\n", "group g\nmember ann bob\n",
                                           "group h\nmember ann\n"};
    static const char *const grants[] = {"read", "write", "readwrite", "read maxqos=1"};
    size_t size = 0;
    for (uint32_t i = 0; i < style->rule_count; i++) {
        bool is_pattern = random_below(100) < style->patterns;
        struct words words = {rule_words, is_pattern ? 12 : 8, style->width, style->level_count_max};
        const char *access = grants[random_below(4)];
        char filter[256];
        random_filter(filter, &words);
        if (random_below(100) < style->sections)
            size += (size_t)sprintf(room + size, "%s", sections[random_below(3)]);
        if (random_below(100) < style->denies)
            access = "deny";
        else if (random_below(100) < style->subscribes)
            access = "subscribe";
        size += (size_t)sprintf(room + size, "%s %s %s\n", is_pattern ? "pattern" : "topic", access, filter);
    }
    return size;
}

static const struct span sans[] = {SPAN_LITERAL("s1"), SPAN_LITERAL("no/level"), SPAN_LITERAL("s2")};
static const struct span units[] = {SPAN_LITERAL("plant"), SPAN_LITERAL("$x")};
static const struct facts facts = {
    .common_name = SPAN_LITERAL("pump"), .sans = sans, .units = units, .san_count = 3, .unit_count = 2};
static const struct facts odd_facts = {
    .common_name = SPAN_LITERAL("$x"), .sans = sans + 1, .units = units + 1, .san_count = 1, .unit_count = 1};

static const struct acl_identity identities[] = {
    {true, SPAN_LITERAL("ann"), SPAN_LITERAL("dev"), &facts},
    {false, SPAN_NONE, SPAN_LITERAL("dev"), NULL},
    {true, SPAN_LITERAL("ann"), SPAN_LITERAL("$x"), NULL},
    {true, SPAN_LITERAL("bob"), SPAN_NONE, &odd_facts},
    {true, SPAN_LITERAL("a/b"), SPAN_LITERAL("dev"), &facts},
    {true, SPAN_LITERAL("ann"), SPAN_LITERAL("d+"), &facts},
    {false, SPAN_NONE, SPAN_LITERAL("a"), &facts},
};
enum { IDENTITY_COUNT = sizeof identities / sizeof identities[0] };

/* How often each kind of answer was met: a test that never meets one proves nothing of it. */
static unsigned granted_count, denied_count, unspoken_count;

static void compare(const struct acl_binding *binding, const char *filter, const char *rules) {
    struct verdict quick = acl_may_subscribe(binding, span_of_text(filter));
    struct verdict walked = walk_subscribe(binding, span_of_text(filter));
    if (quick.is_allowed != walked.is_allowed || quick.line != walked.line ||
        verdict_max_qos(&quick) != verdict_max_qos(&walked) ||
        strcmp(quick.words == NULL ? "" : quick.words, walked.words == NULL ? "" : walked.words) != 0)
        fail_msg("rules:\n%.6000s\n%.*s of %.*s asks for %s: %d by line %u instead of %d by line %u", rules,
                 SPAN_PRINT(binding->identity.client_id), SPAN_PRINT(binding->identity.username), filter,
                 quick.is_allowed, quick.line, walked.is_allowed, walked.line);
    granted_count += walked.is_allowed;
    denied_count += !walked.is_allowed && walked.line != 0;
    unspoken_count += walked.line == 0;
}

static void compare_many(const struct acl *acl, const struct style *style, const char *rules,
                         int filter_count) {
    struct words words = {filter_words, sizeof filter_words / sizeof filter_words[0], style->width,
                          style->level_count_max + 1};
    for (int i = 0; i < filter_count; i++) {
        char filter[256] = "$share/g/";
        struct acl_binding binding;
        acl_bind(&binding, acl, identities[i % IDENTITY_COUNT]);
        if (i % 2 == 0)
            random_filter(filter + (i % 8 == 0 ? 9 : 0), &words);
        else
            filter_like_a_rule(filter, rules);
        if (filter[0] != '\0')
            compare(&binding, filter, rules);
    }
}

static void test_index_and_walk_agree(void **state) {
    (void)state;
    char *rules = malloc(6000 * 256);
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++) {
        const struct style *style = &styles[i];
        bool is_large = style->rule_count > 1000;
        for (int round = 0; round < (is_large ? 1 : 40); round++) {
            struct arena *arena = arena_create();
            struct findings findings;
            findings_init(&findings);
            struct acl *acl = acl_compile(arena, "f", span_of(rules, random_file(rules, style)), &findings);
            if (acl == NULL)
                fail_msg("%s", findings.first->text);
            compare_many(acl, style, rules, is_large ? 300 : 700);
            findings_clear(&findings);
            arena_destroy(arena);
        }
    }
    free(rules);
    assert_true(granted_count > 10000 && denied_count > 10000 && unspoken_count > 10000);
}

static struct acl *compile(struct arena *arena, const char *rules) {
    struct findings findings;
    findings_init(&findings);
    struct acl *acl = acl_compile(arena, "f", span_of_text(rules), &findings);
    assert_non_null(acl);
    findings_clear(&findings);
    return acl;
}

/* Literals that few rules share and such that many do, at the beginning and at the end of the list. */
static void test_every_place_of_a_long_list(void **state) {
    (void)state;
    enum { RULES = 5000, FILTERS = 6 };
    char *rules = malloc(RULES * 64), filters[FILTERS][64];
    size_t size = 0;
    for (int i = 0; i < RULES; i++)
        size += (size_t)sprintf(rules + size, "topic read %d/%d/%d/t%d\n", i % 3, i, i % 700, i / 900);
    struct arena *arena = arena_create();
    struct acl *acl = compile(arena, rules);
    struct acl_binding binding;
    acl_bind(&binding, acl, identities[1]);
    for (int i = 0; i < RULES; i += 7) {
        sprintf(filters[0], "+/%d/+/+", i);
        sprintf(filters[1], "%d/+/%d/t%d", i % 3, i % 700, i / 900);
        sprintf(filters[2], "%d/+/+/t%d/#", i % 3, i / 900);
        sprintf(filters[3], "+/+/%d/t%d", i % 700, i / 900);
        sprintf(filters[4], "+/%d/%d/#", i, i % 700);
        sprintf(filters[5], "+/%d/%d/#", i, (i + 1) % 700);
        for (int j = 0; j < FILTERS; j++)
            compare(&binding, filters[j], "");
        assert_int_equal(acl_may_subscribe(&binding, span_of_text(filters[0])).line, i + 1);
    }
    free(rules);
    arena_destroy(arena);
}

/* A deny of the text %c takes nothing away from a rule with the placeholder. */
static void test_text_is_no_placeholder(void **state) {
    (void)state;
    char rules[2048] = "group g\nmember ann\ntopic deny p/%c\npattern read p/%c\n";
    for (int i = 0; i < 20; i++)
        sprintf(rules + strlen(rules), "topic read other/%d\n", i);
    struct arena *arena = arena_create();
    struct acl_binding binding;
    acl_bind(&binding, compile(arena, rules), identities[0]);
    compare(&binding, "p/+", rules);
    assert_int_equal(acl_may_subscribe(&binding, span_of_text("p/+")).line, 4);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_and_walk_agree),
        cmocka_unit_test(test_every_place_of_a_long_list),
        cmocka_unit_test(test_text_is_no_placeholder),
    };
    return cmocka_run_group_tests_name("policy/acl_subscribe", tests, NULL, NULL);
}
