/* topics: what the options about topics allow, whoever asks: their length, levels, characters and beginning,
 * and how broad a filter may be. Every topic here is valid (mqtt/topic.h). No allocation. */
#ifndef DRAWBRIDGE_POLICY_TOPICS_H
#define DRAWBRIDGE_POLICY_TOPICS_H

#include "base/span.h"

/* Which option said no. */
enum rule {
    RULE_NONE, /* none did */
#define RULE(name, option, publish_reason, subscribe_code, words) RULE_##name,
#include "policy/rules.def"
#undef RULE
    RULE_COUNT
};

struct rule_row {
    const char *option;     /* its keyword */
    uint8_t publish_reason; /* MQTT 5, when a PUBLISH or a will is refused */
    uint8_t subscribe_code; /* MQTT 5, when a filter is */
    const char *words;
};
extern const struct rule_row rule_rows[RULE_COUNT];

/* All zero: everything is allowed. */
struct topic_rules {
    bool is_dollar_refused; /* topics that begin with `$` */
    bool has_chars;         /* some characters are forbidden: */
    uint64_t ascii[2];      /* a bit for each that is ASCII */
    struct span others;     /* empty, or a text with all that are not; borrowed */
    uint32_t max_length;    /* bytes; 0: no limit */
    uint32_t max_levels;    /* 0: no limit */
};

/* Forbids the characters of a UTF-8 text, which is borrowed as long as the rules; once. */
void topic_rules_forbid(struct topic_rules *rules, struct span chars);

/* What a topic name breaks. */
enum rule topics_judge_name(const struct topic_rules *rules, struct span topic);

/* What a filter breaks. Of a shared subscription ("$share/NAME/FILTER") the inner filter is judged, and its
 * name must be neither longer than a topic nor hold a forbidden character. */
enum rule topics_judge_filter(const struct topic_rules *rules, struct span filter);

/* Does the filter say that it is a shared subscription, well-formed or not? */
bool topics_is_shared(struct span filter);

/* Has it a wildcard, with "$share/NAME/" in front or without? *literal_levels are those that stand in front
 * of the first: 0 in "#", 2 in "a/b/+/c"; all levels where there is none. */
bool topics_has_wildcard(struct span filter, uint32_t *literal_levels);

#endif
