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
};

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
    struct acl_prefix prefix;
    uint32_t size;        /* bytes of filter[] */
    uint32_t level_count; /* without a final # */
    unsigned line;
    uint8_t access;     /* enum acl_access */
    bool is_open;       /* ends in # */
    bool is_pattern;    /* %c and %u as whole levels stand for client id and username */
    bool has_user_mark; /* a pattern with "%u" anywhere: nothing to clients without username */
    uint8_t filter[];
};

/* Denies first, the newest in front, then the others in the file's order: the order of the walk. */
struct acl_list {
    struct acl_rule *denies;
    struct acl_rule *grants, **last_grant;
    uint32_t deny_level_count_max;
};

struct acl_user {
    struct span name;
    struct acl_list list;
};

/* The rule of a valid filter, kept by the arena; NULL when memory is out. */
struct acl_rule *acl_rule_create(struct arena *arena, struct span filter, enum acl_access access,
                                 bool is_pattern, unsigned line);

void acl_list_add(struct acl_list *list, struct acl_rule *rule);

/* "%c" and "%u" as whole levels of a filter, and as text anywhere in it. */
struct acl_marks {
    bool has_level, has_text, has_user_text;
};
struct acl_marks acl_filter_marks(struct span filter);

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

static inline struct acl_topic acl_topic(struct span bytes) {
    return (struct acl_topic){bytes, bytes.size == 0 ? 0 : acl_word(bytes.at, bytes.size)};
}

/* Does the rule's filter match the topic? Linear in both. */
bool acl_rule_matches_slowly(const struct acl_rule *rule, const struct acl_identity *identity,
                             struct span topic);

static inline bool acl_rule_matches(const struct acl_rule *rule, const struct acl_identity *identity,
                                    const struct acl_topic *topic) {
    const struct acl_prefix *prefix = &rule->prefix;
    if (topic->bytes.size < prefix->size)
        return false;
    uint64_t word = topic->first_word;
    if (prefix->size > sizeof word)
        memcpy(&word, topic->bytes.at + prefix->size - sizeof word, sizeof word);
    return (word & prefix->mask) == prefix->word && acl_rule_matches_slowly(rule, identity, topic->bytes);
}

/* A pattern with "%u" says nothing to a client without username. */
static inline bool acl_rule_concerns(const struct acl_rule *rule, const struct acl_identity *identity) {
    return identity->has_username || !rule->has_user_mark;
}

/* The topics that a subscription and a rule have in common, without naming them: all of the same number of
 * levels look alike. A level is the literal that one of the two asks for or anything at all, and for that
 * stands a word that occurs nowhere else: what matches it matches every word. */
struct acl_common {
    const struct acl_identity *identity;
    struct span filter;
    struct acl_prefix filter_prefix;
    uint32_t filter_level_count;
    bool filter_is_open;
    const struct acl_rule *rule;
    uint32_t level_count_min; /* 1 and up */
    bool is_open;             /* more levels are possible, without bound */
};

/* One per question. The identity is borrowed, so are the filter's bytes. */
struct acl_common acl_common_begin(const struct acl_identity *identity, struct span filter);

/* Turns to a rule. False when the two have nothing in common; the others are not to be asked then. */
bool acl_common_with(struct acl_common *common, const struct acl_rule *rule);

/* Does `deny` match all common topics of that many levels? When it does not, it spares the one with the word
 * that occurs nowhere. */
bool acl_common_is_denied(const struct acl_common *common, uint32_t level_count, const struct acl_rule *deny);

#endif
