/* acl_rule: one line of an ACL file, and the two questions it answers: does it match a topic, and what does
 * it have in common with a subscription. Inner room of policy/acl.h. */
#ifndef DRAWBRIDGE_POLICY_ACL_RULE_H
#define DRAWBRIDGE_POLICY_ACL_RULE_H

#include "policy/acl.h"

enum acl_access {
    ACL_DENY = 0,
    ACL_READ = 1,
    ACL_WRITE = 2,
    ACL_READ_WRITE = ACL_READ | ACL_WRITE,
    ACL_SUBSCRIBE = 4,
};

/* What a whole level of a pattern may stand for, a bit each. */
enum acl_mark {
    ACL_MARK_NONE = 0,
    ACL_MARK_CLIENT_ID = 1,   /* %c */
    ACL_MARK_USERNAME = 2,    /* %u */
    ACL_MARK_COMMON_NAME = 4, /* %{cn} */
    ACL_MARK_SAN = 8,         /* %{san}: any of them, the same in all places of one rule */
    ACL_MARK_UNIT = 16,       /* %{ou}: likewise */
    ACL_MARKS_OF_MANY = ACL_MARK_SAN | ACL_MARK_UNIT,
};
#define ACL_MARK_COUNT 5

/* What the marks stand for, for one session. An empty value matches nothing. */
struct acl_values {
    bool has_username;
    struct span username, client_id, common_name;
    const struct facts *facts; /* NULL: no certificate */
    struct span san, unit;     /* of one variant, see acl_variant */
};
struct acl_values acl_values_of(const struct acl_identity *identity);

/* The leading levels of a filter without wildcard or placeholder, without the slash behind them:
 *
 *     sensors/hall/+/temperature        sensors/hall/#        +/hall        sensors/hall
 *     ^^^^^^^^^^^^ prefix               ^^^^^^^^^^^^ prefix   no prefix     ^^^^^^^^^^^^ prefix
 *
 * Two that begin topics in common agree in the bytes of the shorter one. Quick tests compare eight bytes at
 * its end (or all of a very short one), where the rules of one file differ most. */
struct acl_prefix {
    const uint8_t *bytes;
    uint64_t first_word; /* the first eight bytes, zeros behind a shorter prefix */
    uint64_t word, mask; /* the last eight, or all of a shorter one and a mask for it */
    uint32_t size;       /* bytes */
    bool is_any;         /* the first level is literal; it may be empty, as in "/a" */
};

/* The filter's bytes stand behind the struct. */
struct acl_rule {
    struct acl_rule *next;
    struct acl_rule *next_here; /* in the same place of an index */
    struct acl_prefix prefix;
    uint32_t size;        /* bytes of filter[] */
    uint32_t level_count; /* without a final # */
    unsigned line;
    uint32_t rank;   /* its place in the walk along its list */
    uint8_t access;  /* enum acl_access */
    uint8_t marks;   /* enum acl_mark, or'ed: those that stand as whole levels of a pattern */
    uint8_t max_qos; /* 2: no limit */
    bool is_retain_refused;
    bool is_open;       /* ends in # */
    bool is_pattern;    /* marks as whole levels stand for something */
    bool has_user_mark; /* a pattern with "%u" anywhere: nothing to clients without username */
    uint8_t filter[];
};

struct acl_index;
struct acl_sieve;

/* Denies first, the newest in front, then the others in the file's order: the order of the walk. */
struct acl_list {
    struct acl_rule *denies;
    struct acl_rule *grants, **last_grant;
    uint32_t deny_level_count_max;
    uint32_t rule_count;
    bool has_patterns, has_subscribe;
    const struct acl_index *index; /* NULL: it is short, so walk along it */
    const struct acl_sieve *sieve; /* with an index only */
    struct acl_list *next;         /* of all lists of the file */
};

struct acl_group {
    struct acl_group *next;
    struct span name;
    unsigned line;
    uint32_t number; /* from 0, in the order of the file */
    bool has_member;
    struct acl_list list;
};

/* A user's group; one after another by number. */
struct acl_membership {
    struct acl_membership *next;
    const struct acl_group *group;
};

struct acl_user {
    struct span name;
    struct acl_list list;
    struct acl_membership *memberships;
};

/* Steps through the lists that concern a session, in the order of the walk. */
struct acl_lists {
    int stage;
    const struct acl_membership *membership;
};
const struct acl_list *acl_lists_next(const struct acl_binding *binding, struct acl_lists *lists);

/* The rule of a valid filter, kept by the arena; NULL when memory is out. */
struct acl_rule *acl_rule_create(struct arena *arena, struct span filter, enum acl_access access,
                                 bool is_pattern, unsigned line);

/* What a level of a pattern is. */
enum acl_mark acl_level_mark(struct span level);

/* May the mark stand for the level (SPAN_NONE: for any at all), in one variant at least? As the first level
 * it stands for nothing that begins with `$`. */
bool acl_mark_may_be(enum acl_mark mark, const struct acl_values *values, struct span level, bool is_first);

void acl_list_add(struct acl_list *list, struct acl_rule *rule);

/* Marks as whole levels of a filter, and as text anywhere in it. */
struct acl_marks {
    uint8_t levels; /* enum acl_mark, or'ed */
    bool has_text, has_user_text;
};
struct acl_marks acl_filter_marks(struct span filter);

#define ACL_INDEX_DEPTH 12

/* The first levels of a filter; one whose `at` is NULL is a + or, among common topics, anything. */
struct acl_levels {
    struct span levels[ACL_INDEX_DEPTH];
    uint32_t count; /* of all, without a final # */
    bool is_open;   /* ends in # */
};
struct acl_levels acl_levels_of(struct span filter);

/* A topic as the quick test wants it. */
struct acl_topic {
    struct span bytes;
    uint64_t first_word; /* the first eight bytes, zeros behind a shorter topic */
};

static inline uint64_t acl_word(const uint8_t *at, size_t size) {
    uint64_t word = 0;
    memcpy(&word, at, size < sizeof word ? size : sizeof word);
    return word;
}

/* No keyed hash: what is in a table comes from the file, so that a stranger's topic can be no slower than the
 * longest chain there. */
static inline uint64_t acl_level_hash(uint64_t seed, struct span level) {
    uint64_t hash = seed ^ level.size * 0x9E3779B97F4A7C15u;
    for (size_t at = 0; at < level.size; at += 8) {
        size_t left = level.size - at;
        hash = (hash ^ acl_word(level.at + at, left < 8 ? left : 8)) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    return hash ^ hash >> 29;
}

static inline struct acl_topic acl_topic(struct span bytes) {
    return (struct acl_topic){bytes, bytes.size == 0 ? 0 : acl_word(bytes.at, bytes.size)};
}

/* Does the rule's filter match the topic? Linear in both. */
bool acl_rule_matches_slowly(const struct acl_rule *rule, const struct acl_values *values, struct span topic);

/* May the topic begin with the rule's prefix? The quick test. */
static inline bool acl_rule_may_match(const struct acl_rule *rule, const struct acl_topic *topic) {
    const struct acl_prefix *prefix = &rule->prefix;
    if (topic->bytes.size < prefix->size)
        return false;
    uint64_t word = topic->first_word;
    if (prefix->size > sizeof word)
        memcpy(&word, topic->bytes.at + prefix->size - sizeof word, sizeof word);
    return (word & prefix->mask) == prefix->word;
}

static inline bool acl_rule_matches(const struct acl_rule *rule, const struct acl_values *values,
                                    const struct acl_topic *topic) {
    return acl_rule_may_match(rule, topic) && acl_rule_matches_slowly(rule, values, topic->bytes);
}

/* Does the rule's filter match every topic that the filter `asked` matches? Decided level by level, which is
 * exact for one rule against one filter. */
bool acl_rule_covers(const struct acl_rule *rule, const struct acl_values *values, struct span asked);

/* A pattern with "%u" says nothing to a client without username. */
static inline bool acl_rule_concerns(const struct acl_rule *rule, const struct acl_values *values) {
    return values->has_username || !rule->has_user_mark;
}

static inline bool acl_rule_is_about(const struct acl_rule *rule, uint8_t access,
                                     const struct acl_values *values) {
    return (rule->access == ACL_DENY || (rule->access & access) != 0) && acl_rule_concerns(rule, values);
}

/* A certificate may have several SANs and OUs: a rule with such a mark is as many rules as it has choices,
 * none without a certificate. A rule without is one, and its variant 0 has the values as they are. */
size_t acl_variant_count(const struct acl_rule *rule, const struct acl_values *values);
struct acl_values acl_variant(const struct acl_rule *rule, const struct acl_values *values, size_t number);

/* The topics that a subscription and a rule have in common, without naming them: all of the same number of
 * levels look alike. A level is the literal that one of the two asks for or anything at all, and for that
 * stands a word that occurs nowhere else: what matches it matches every word. */
struct acl_common {
    const struct acl_values *values; /* of the variant that is looked at */
    struct span filter;
    struct acl_prefix filter_prefix;
    uint32_t filter_level_count;
    bool filter_is_open;
    const struct acl_rule *rule;
    uint32_t level_count_min; /* 1 and up */
    bool is_open;             /* more levels are possible, without bound */
};

/* One per question. The filter's bytes are borrowed. */
struct acl_common acl_common_begin(struct span filter);

/* May they have topics in common? The quick test, by their beginnings. */
bool acl_common_may_share(const struct acl_common *common, const struct acl_rule *rule);

/* Turns to a rule, in a variant (borrowed). False when the two have nothing in common; the others are not to
 * be asked then. */
bool acl_common_with(struct acl_common *common, const struct acl_rule *rule, const struct acl_values *values);

/* The levels of all common topics of that many levels. */
struct acl_levels acl_common_levels(const struct acl_common *common, uint32_t level_count);

/* Does `deny`, in any variant of `values`, match all common topics of that many levels? When it does not, it
 * spares the one with the word that occurs nowhere. */
bool acl_common_is_denied(const struct acl_common *common, uint32_t level_count, const struct acl_rule *deny,
                          const struct acl_values *values);

#endif
