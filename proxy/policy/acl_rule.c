#include "policy/acl_rule.h"

#include "mqtt/topic.h"

/* The words of a level. */
static bool is_plus(struct span level) {
    return level.size == 1 && level.at[0] == '+';
}

static bool is_hash(struct span level) {
    return level.size == 1 && level.at[0] == '#';
}

enum acl_mark acl_level_mark(struct span level) {
    static const struct {
        const char *text;
        enum acl_mark mark;
    } marks[] = {{"%c", ACL_MARK_CLIENT_ID},
                 {"%u", ACL_MARK_USERNAME},
                 {"%{cn}", ACL_MARK_COMMON_NAME},
                 {"%{san}", ACL_MARK_SAN},
                 {"%{ou}", ACL_MARK_UNIT}};
    if (level.size < 2 || level.at[0] != '%')
        return ACL_MARK_NONE;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (span_is_text(level, marks[i].text))
            return marks[i].mark;
    return ACL_MARK_NONE;
}

static bool is_mark(struct span level) {
    return acl_level_mark(level) != ACL_MARK_NONE;
}

static bool begins_with_dollar(struct span topic) {
    return topic.size != 0 && topic.at[0] == '$';
}

struct acl_marks acl_filter_marks(struct span filter) {
    struct acl_marks marks = {0};
    for (size_t i = 0; i + 1 < filter.size; i++)
        if (filter.at[i] == '%' && strchr("cu{", filter.at[i + 1]) != NULL) {
            marks.has_text = true;
            marks.has_user_text |= filter.at[i + 1] == 'u';
        }
    for (struct span rest = filter, level; mqtt_topic_next_level(&rest, &level);)
        marks.levels |= (uint8_t)acl_level_mark(level);
    return marks;
}

struct acl_values acl_values_of(const struct acl_identity *identity) {
    return (struct acl_values){
        .has_username = identity->has_username,
        .username = identity->has_username ? identity->username : SPAN_NONE,
        .client_id = identity->client_id,
        .common_name = identity->facts == NULL ? SPAN_NONE : identity->facts->common_name,
        .facts = identity->facts,
    };
}

size_t acl_variant_count(const struct acl_rule *rule, const struct acl_values *values) {
    if ((rule->marks & ACL_MARKS_OF_MANY) == 0)
        return 1;
    if (values->facts == NULL)
        return 0;
    return ((rule->marks & ACL_MARK_SAN) != 0 ? values->facts->san_count : 1u) *
           ((rule->marks & ACL_MARK_UNIT) != 0 ? values->facts->unit_count : 1u);
}

struct acl_values acl_variant(const struct acl_rule *rule, const struct acl_values *values, size_t number) {
    struct acl_values variant = *values;
    if ((rule->marks & ACL_MARK_SAN) != 0) {
        variant.san = values->facts->sans[number % values->facts->san_count];
        number /= values->facts->san_count;
    }
    if ((rule->marks & ACL_MARK_UNIT) != 0)
        variant.unit = values->facts->units[number];
    return variant;
}

/* Walks along a filter once. */
static struct acl_prefix measure(struct span filter, bool is_pattern, uint32_t *level_count, bool *is_open) {
    struct acl_prefix prefix = {.bytes = filter.at};
    bool is_in_prefix = true;
    *level_count = 0;
    *is_open = false;
    for (struct span rest = filter, level; mqtt_topic_next_level(&rest, &level);) {
        if (is_hash(level)) {
            *is_open = true;
            break;
        }
        ++*level_count;
        is_in_prefix = is_in_prefix && !is_plus(level) && !(is_pattern && is_mark(level));
        if (is_in_prefix) {
            prefix.is_any = true;
            prefix.size = (uint32_t)(level.at - filter.at + (ptrdiff_t)level.size);
        }
    }
    static const uint8_t ones[sizeof prefix.mask] = {255, 255, 255, 255, 255, 255, 255, 255};
    size_t word_size = prefix.size < sizeof prefix.word ? prefix.size : sizeof prefix.word;
    prefix.mask = acl_word(ones, word_size);
    prefix.word = acl_word(filter.at + prefix.size - word_size, word_size);
    prefix.first_word = acl_word(filter.at, word_size);
    return prefix;
}

/* May two filters with these prefixes have topics in common? A quick test. */
static bool prefixes_agree(const struct acl_prefix *a, const struct acl_prefix *b) {
    const struct acl_prefix *shorter = a->size < b->size ? a : b, *longer = shorter == a ? b : a;
    uint64_t word = longer->first_word;
    if (shorter->size > sizeof word)
        memcpy(&word, longer->bytes + shorter->size - sizeof word, sizeof word);
    return (word & shorter->mask) == shorter->word;
}

struct acl_rule *acl_rule_create(struct arena *arena, struct span filter, enum acl_access access,
                                 bool is_pattern, unsigned line) {
    struct acl_rule *rule = arena_alloc(arena, sizeof *rule + filter.size);
    if (rule == NULL)
        return NULL;
    memcpy(rule->filter, filter.at, filter.size);
    rule->size = (uint32_t)filter.size;
    rule->access = (uint8_t)access;
    rule->line = line;
    rule->is_pattern = is_pattern;
    rule->max_qos = 2;
    if (is_pattern) {
        struct acl_marks marks = acl_filter_marks(filter);
        rule->has_user_mark = marks.has_user_text;
        rule->marks = marks.levels;
    }
    rule->prefix = measure(span_of(rule->filter, rule->size), is_pattern, &rule->level_count, &rule->is_open);
    return rule;
}

void acl_list_add(struct acl_list *list, struct acl_rule *rule) {
    list->rule_count++;
    list->has_patterns |= rule->is_pattern;
    list->has_subscribe |= (rule->access & ACL_SUBSCRIBE) != 0;
    if (rule->access == ACL_DENY) {
        rule->next = list->denies;
        list->denies = rule;
        if (rule->level_count > list->deny_level_count_max)
            list->deny_level_count_max = rule->level_count;
        return;
    }
    if (list->last_grant == NULL)
        list->last_grant = &list->grants;
    *list->last_grant = rule;
    list->last_grant = &rule->next;
}

/* An empty value matches nothing, one with a slash is no level, one with + or # is none that a topic can
 * have.
 */
static bool is_level(struct span value) {
    return value.size != 0 && !span_has_byte(value, '/') && !span_has_byte(value, '+') &&
           !span_has_byte(value, '#');
}

bool acl_mark_may_be(enum acl_mark mark, const struct acl_values *values, struct span level, bool is_first) {
    const struct facts *facts = values->facts;
    const struct span *choices = NULL;
    size_t count = 1;
    switch (mark) {
    case ACL_MARK_CLIENT_ID: choices = &values->client_id; break;
    case ACL_MARK_USERNAME: choices = &values->username; break;
    case ACL_MARK_COMMON_NAME: choices = &values->common_name; break;
    case ACL_MARK_SAN:
        count = facts == NULL ? 0 : facts->san_count;
        choices = facts == NULL ? NULL : facts->sans;
        break;
    case ACL_MARK_UNIT:
        count = facts == NULL ? 0 : facts->unit_count;
        choices = facts == NULL ? NULL : facts->units;
        break;
    default: return false;
    }
    for (size_t i = 0; i < count; i++)
        if (is_level(choices[i]) && !(is_first && begins_with_dollar(choices[i])) &&
            (level.at == NULL || span_is_equal(choices[i], level)))
            return true;
    return false;
}

/* What a rule's level (no wildcard) stands for. False when it stands for nothing. */
static bool literal_of(const struct acl_rule *rule, const struct acl_values *values, struct span level,
                       struct span *literal) {
    *literal = level;
    if (!rule->is_pattern)
        return true;
    switch (acl_level_mark(level)) {
    case ACL_MARK_CLIENT_ID: *literal = values->client_id; break;
    case ACL_MARK_USERNAME: *literal = values->username; break;
    case ACL_MARK_COMMON_NAME: *literal = values->common_name; break;
    case ACL_MARK_SAN: *literal = values->san; break;
    case ACL_MARK_UNIT: *literal = values->unit; break;
    default: return true;
    }
    return is_level(*literal);
}

/* The level that begins at `at`. */
static struct span level_at(const uint8_t *at, const uint8_t *end) {
    const uint8_t *slash = at == end ? NULL : memchr(at, '/', (size_t)(end - at));
    return span_of(at, (size_t)((slash == NULL ? end : slash) - at));
}

/* Rule and topic side by side from the start of a level on, byte by byte, since most rules differ early. */
static bool levels_match(const struct acl_rule *rule, const struct acl_values *values, struct span rule_rest,
                         struct span topic_rest) {
    const uint8_t *r = rule_rest.at, *r_end = r + rule_rest.size;
    const uint8_t *t = topic_rest.at, *t_end = t + topic_rest.size;
    for (;; r++, t++) {
        if (r != r_end && *r == '#')
            return true;
        if (r != r_end && *r == '+') {
            r++;
            while (t != t_end && *t != '/')
                t++;
        } else if (rule->marks != 0 && r != r_end && *r == '%' && is_mark(level_at(r, r_end))) {
            struct span value, mark = level_at(r, r_end);
            if (!literal_of(rule, values, mark, &value) ||
                !span_begins_with(span_of(t, (size_t)(t_end - t)), value))
                return false;
            r += mark.size;
            t += value.size;
        } else {
            for (; r != r_end && *r != '/'; r++, t++)
                if (t == t_end || *t != *r)
                    return false;
        }
        /* The rule's level ended, so must the topic's. */
        if (t != t_end && *t != '/')
            return false;
        if (r == r_end)
            return t == t_end;
        if (t == t_end) /* "a/#" matches "a" */
            return r_end - r == 2 && r[1] == '#';
    }
}

/* A topic that begins with `$` is matched only by a filter that is written with a `$`, not by a wildcard
 * (MQTT 5.0 4.7.2-1), nor by a username or client id. */
static bool matches_once(const struct acl_rule *rule, const struct acl_values *values, struct span topic) {
    size_t prefix_size = rule->prefix.size;
    struct span filter = span_of(rule->filter, rule->size);
    if (!rule->prefix.is_any)
        return !begins_with_dollar(topic) && levels_match(rule, values, filter, topic);
    if (topic.size < prefix_size || memcmp(topic.at, rule->filter, prefix_size) != 0)
        return false;
    if (topic.size > prefix_size && topic.at[prefix_size] != '/')
        return false;
    struct span behind = span_after(filter, prefix_size); /* empty or with a slash in front */
    if (behind.size == 0)
        return topic.size == prefix_size;
    if (topic.size == prefix_size)
        return behind.size == 2 && behind.at[1] == '#';
    return levels_match(rule, values, span_after(behind, 1), span_after(topic, prefix_size + 1));
}

bool acl_rule_matches_slowly(const struct acl_rule *rule, const struct acl_values *values,
                             struct span topic) {
    if ((rule->marks & ACL_MARKS_OF_MANY) == 0)
        return matches_once(rule, values, topic);
    size_t count = acl_variant_count(rule, values);
    for (size_t i = 0; i < count; i++) {
        struct acl_values variant = acl_variant(rule, values, i);
        if (matches_once(rule, &variant, topic))
            return true;
    }
    return false;
}

static bool covers_once(const struct acl_rule *rule, const struct acl_values *values, struct span asked) {
    struct span rule_rest = span_of(rule->filter, rule->size), rest = asked, level, wanted, literal;
    if (begins_with_dollar(asked) && !begins_with_dollar(rule_rest))
        return false;
    /* # matches what +/# matches: no topic is without a level. */
    if (span_is_text(asked, "#") && span_is_text(rule_rest, "+/#"))
        return true;
    for (;;) {
        bool has_level = mqtt_topic_next_level(&rule_rest, &level);
        if (has_level && is_hash(level))
            return true; /* a/# covers a as well, whose end is here */
        bool is_wanted = mqtt_topic_next_level(&rest, &wanted);
        if (!has_level || !is_wanted)
            return has_level == is_wanted;
        if (is_hash(wanted))
            return false;
        if (is_plus(level))
            continue;
        if (is_plus(wanted) || !literal_of(rule, values, level, &literal) || !span_is_equal(literal, wanted))
            return false;
    }
}

bool acl_rule_covers(const struct acl_rule *rule, const struct acl_values *values, struct span asked) {
    size_t count = acl_variant_count(rule, values);
    for (size_t i = 0; i < count; i++) {
        struct acl_values variant = acl_variant(rule, values, i);
        if (covers_once(rule, &variant, asked))
            return true;
    }
    return false;
}

struct acl_levels acl_levels_of(struct span filter) {
    struct acl_levels levels;
    struct span rest = filter, level;
    levels.count = 0;
    levels.is_open = false;
    while (mqtt_topic_next_level(&rest, &level) && !(levels.is_open = is_hash(level))) {
        if (levels.count < ACL_INDEX_DEPTH)
            levels.levels[levels.count] = is_plus(level) ? SPAN_NONE : level;
        levels.count++;
    }
    return levels;
}

struct acl_common acl_common_begin(struct span filter) {
    struct acl_common common = {.filter = filter};
    common.filter_prefix = measure(filter, false, &common.filter_level_count, &common.filter_is_open);
    return common;
}

/* Do the levels that both name agree? Not the number of them. */
static bool levels_agree(const struct acl_common *common) {
    const struct acl_rule *rule = common->rule;
    struct span filter_rest = common->filter, rule_rest = span_of(rule->filter, rule->size);
    struct span asked, level, literal;
    bool filter_has_dollar = begins_with_dollar(common->filter);
    if (filter_has_dollar != begins_with_dollar(rule_rest)) {
        /* A literal `$` on one side only: a wildcard or a placeholder on the other does not reach it, and
         * another literal differs. */
        return false;
    }
    while (mqtt_topic_next_level(&filter_rest, &asked) && mqtt_topic_next_level(&rule_rest, &level)) {
        if (is_hash(asked) || is_hash(level))
            break;
        if (is_plus(level))
            continue;
        if (!literal_of(rule, common->values, level, &literal))
            return false;
        if (!is_plus(asked) && !span_is_equal(asked, literal))
            return false;
    }
    return true;
}

/* Placeholders behind the filter's own levels must stand for something, too. */
static bool placeholders_are_filled(const struct acl_rule *rule, const struct acl_values *values) {
    if (!rule->is_pattern)
        return true;
    struct span rest = span_of(rule->filter, rule->size), level, literal;
    for (bool is_first = true; mqtt_topic_next_level(&rest, &level); is_first = false) {
        if (!literal_of(rule, values, level, &literal))
            return false;
        if (is_first && is_mark(level) && begins_with_dollar(literal))
            return false;
    }
    return true;
}

/* A walk along the levels of a common topic. */
struct walk {
    struct span filter_rest, rule_rest;
    bool filter_is_over, rule_is_over; /* its # was met or its end */
};

/* The next level: true and the literal, or false for "anything". */
static bool walk_step(const struct acl_common *common, struct walk *walk, struct span *literal) {
    struct span asked, level;
    bool is_literal = false;
    walk->filter_is_over =
        walk->filter_is_over || !mqtt_topic_next_level(&walk->filter_rest, &asked) || is_hash(asked);
    if (!walk->filter_is_over && !is_plus(asked)) {
        *literal = asked;
        is_literal = true;
    }
    walk->rule_is_over =
        walk->rule_is_over || !mqtt_topic_next_level(&walk->rule_rest, &level) || is_hash(level);
    if (!walk->rule_is_over && !is_literal && !is_plus(level))
        is_literal = literal_of(common->rule, common->values, level, literal);
    return is_literal;
}

static struct walk walk_begin(const struct acl_common *common) {
    return (struct walk){.filter_rest = common->filter,
                         .rule_rest = span_of(common->rule->filter, common->rule->size)};
}

struct acl_levels acl_common_levels(const struct acl_common *common, uint32_t level_count) {
    struct acl_levels levels;
    struct walk walk = walk_begin(common);
    levels.count = level_count;
    levels.is_open = false;
    for (uint32_t i = 0; i < level_count && i < ACL_INDEX_DEPTH; i++)
        if (!walk_step(common, &walk, &levels.levels[i]))
            levels.levels[i] = SPAN_NONE;
    return levels;
}

/* One empty level would be the empty topic, which is none. */
static bool is_empty_topic(const struct acl_common *common) {
    struct walk walk = walk_begin(common);
    struct span literal;
    return common->level_count_min == 1 && walk_step(common, &walk, &literal) && literal.size == 0;
}

bool acl_common_may_share(const struct acl_common *common, const struct acl_rule *rule) {
    return prefixes_agree(&common->filter_prefix, &rule->prefix);
}

bool acl_common_with(struct acl_common *common, const struct acl_rule *rule,
                     const struct acl_values *values) {
    uint32_t asked = common->filter_level_count, ruled = rule->level_count;
    if (!prefixes_agree(&common->filter_prefix, &rule->prefix))
        return false;
    common->rule = rule;
    common->values = values;
    common->is_open = common->filter_is_open && rule->is_open;
    if (!common->filter_is_open)
        common->level_count_min = asked;
    else if (!rule->is_open)
        common->level_count_min = ruled;
    else
        common->level_count_min = asked > ruled ? asked : ruled;
    if (common->level_count_min == 0)
        common->level_count_min = 1;
    if (!common->filter_is_open && (rule->is_open ? ruled > asked : ruled != asked))
        return false;
    if (!rule->is_open && (common->filter_is_open ? asked > ruled : ruled != asked))
        return false;
    if (!levels_agree(common) || !placeholders_are_filled(rule, values))
        return false;
    if (!is_empty_topic(common))
        return true;
    common->level_count_min = 2;
    return common->is_open;
}

static bool is_denied_once(const struct acl_common *common, const struct acl_rule *deny,
                           const struct acl_values *values) {
    struct walk walk = walk_begin(common);
    struct span rest = span_of(deny->filter, deny->size), level, named, literal;
    for (bool is_first = true; mqtt_topic_next_level(&rest, &level); is_first = false) {
        bool has_name = walk_step(common, &walk, &named);
        if (is_first && has_name && begins_with_dollar(named) && !deny->prefix.is_any)
            return false;
        if (is_hash(level))
            return true;
        if (is_plus(level))
            continue;
        if (!literal_of(deny, values, level, &literal))
            return false;
        if (!has_name || !span_is_equal(named, literal))
            return false;
    }
    return true;
}

bool acl_common_is_denied(const struct acl_common *common, uint32_t level_count, const struct acl_rule *deny,
                          const struct acl_values *values) {
    if (deny->is_open ? deny->level_count > level_count : deny->level_count != level_count)
        return false;
    if (!prefixes_agree(&deny->prefix, &common->rule->prefix) ||
        !prefixes_agree(&deny->prefix, &common->filter_prefix))
        return false;
    size_t count = acl_variant_count(deny, values);
    for (size_t i = 0; i < count; i++) {
        struct acl_values variant = acl_variant(deny, values, i);
        if (is_denied_once(common, deny, &variant))
            return true;
    }
    return false;
}
