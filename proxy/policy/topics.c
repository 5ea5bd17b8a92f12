#include "policy/topics.h"

#include "mqtt/topic.h"

const struct rule_row rule_rows[RULE_COUNT] = {
    [RULE_NONE] = {"none", MQTT_REASON_SUCCESS, MQTT_REASON_SUCCESS, "no option forbids it"},
#define RULE(name, option, publish_reason, subscribe_code, words)                                            \
    [RULE_##name] = {option, publish_reason, subscribe_code, words},
#include "policy/rules.def"
#undef RULE
};

/* Bytes of the character that begins with this one, in well-formed UTF-8. */
static size_t character_size(uint8_t first) {
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The next character of a text, whole or, at an end that is none, what is left. */
static struct span next_character(struct span *rest) {
    size_t size = character_size(rest->at[0]);
    struct span character = span_first(*rest, size < rest->size ? size : rest->size);
    *rest = span_after(*rest, character.size);
    return character;
}

void topic_rules_forbid(struct topic_rules *rules, struct span chars) {
    for (struct span rest = chars; rest.size != 0;) {
        uint8_t first = next_character(&rest).at[0];
        if (first < 0x80)
            rules->ascii[first / 64] |= UINT64_C(1) << first % 64;
        else
            rules->others = chars; /* its ASCII characters are not looked for there */
        rules->has_chars = true;
    }
}

static bool is_among(struct span chars, struct span character) {
    while (chars.size != 0)
        if (span_is_equal(next_character(&chars), character))
            return true;
    return false;
}

static bool has_forbidden(const struct topic_rules *rules, struct span text) {
    if (!rules->has_chars)
        return false;
    while (text.size != 0) {
        struct span character = next_character(&text);
        uint8_t first = character.at[0];
        if (first < 0x80 ? (rules->ascii[first / 64] >> first % 64 & 1) != 0
                         : is_among(rules->others, character))
            return true;
    }
    return false;
}

/* More levels than that? */
static bool is_deeper(struct span topic, uint32_t max_levels) {
    uint32_t levels = 1;
    const uint8_t *end = topic.at + topic.size;
    for (const uint8_t *at = topic.at; (at = memchr(at, '/', (size_t)(end - at))) != NULL; at++)
        if (++levels > max_levels)
            return true;
    return false;
}

enum rule topics_judge_name(const struct topic_rules *rules, struct span topic) {
    if (rules->max_length != 0 && topic.size > rules->max_length)
        return RULE_TOPIC_LENGTH;
    if (rules->is_dollar_refused && topic.size != 0 && topic.at[0] == '$')
        return RULE_TOPIC_DOLLAR;
    if (rules->max_levels != 0 && is_deeper(topic, rules->max_levels))
        return RULE_TOPIC_LEVELS;
    return has_forbidden(rules, topic) ? RULE_TOPIC_CHARS : RULE_NONE;
}

enum rule topics_judge_filter(const struct topic_rules *rules, struct span filter) {
    struct span share_name, inner;
    if (!mqtt_topic_split_share(filter, &share_name, &inner) || inner.size == 0)
        return topics_judge_name(rules, filter);
    if (rules->max_length != 0 && share_name.size > rules->max_length)
        return RULE_TOPIC_LENGTH;
    return has_forbidden(rules, share_name) ? RULE_TOPIC_CHARS : topics_judge_name(rules, inner);
}

bool topics_is_shared(struct span filter) {
    return span_begins_with(filter, SPAN_LITERAL("$share/")) || span_is_text(filter, "$share");
}

bool topics_has_wildcard(struct span filter, uint32_t *literal_levels) {
    struct span share_name, inner, level;
    if (mqtt_topic_split_share(filter, &share_name, &inner) && inner.size != 0)
        filter = inner;
    *literal_levels = 0;
    while (mqtt_topic_next_level(&filter, &level)) {
        if (span_is_text(level, "+") || span_is_text(level, "#"))
            return true;
        ++*literal_levels;
    }
    return false;
}
