#include "mqtt/topic.h"

#include "mqtt/utf8.h"

enum violation mqtt_topic_judge_name(struct span topic) {
    unsigned flaws = mqtt_utf8_flaws(topic);
    if (flaws == 0 && topic.size >= 1 && topic.size <= UINT16_MAX)
        return VIOLATION_NONE;
    if (topic.size > UINT16_MAX || (flaws & MQTT_FLAW_UTF8) != 0)
        return VIOLATION_STRING_UTF8;
    if ((flaws & MQTT_FLAW_NUL) != 0)
        return VIOLATION_STRING_NUL;
    return topic.size == 0 ? VIOLATION_TOPIC_EMPTY : VIOLATION_TOPIC_NAME;
}

/* Does every wildcard fill its level, and `#` the last one (MQTT 5.0 4.7.1-1, -2)? */
static bool has_wildcards_in_place(struct span filter) {
    for (size_t i = 0; i < filter.size; i++) {
        uint8_t byte = filter.at[i];
        if (byte != '+' && byte != '#')
            continue;
        bool is_last = i + 1 == filter.size;
        if (i != 0 && filter.at[i - 1] != '/')
            return false;
        if (!is_last && (byte == '#' || filter.at[i + 1] != '/'))
            return false;
    }
    return true;
}

enum violation mqtt_topic_judge_filter(struct span filter) {
    unsigned flaws = mqtt_utf8_flaws(filter);
    if (filter.size > UINT16_MAX || (flaws & MQTT_FLAW_UTF8) != 0)
        return VIOLATION_STRING_UTF8;
    if ((flaws & MQTT_FLAW_NUL) != 0)
        return VIOLATION_STRING_NUL;
    if (filter.size == 0 || ((flaws & MQTT_FLAW_WILDCARD) != 0 && !has_wildcards_in_place(filter)))
        return VIOLATION_TOPIC_FILTER;
    return VIOLATION_NONE;
}

bool mqtt_topic_is_name(struct span topic) {
    return mqtt_topic_judge_name(topic) == VIOLATION_NONE;
}

bool mqtt_topic_is_filter(struct span filter) {
    return mqtt_topic_judge_filter(filter) == VIOLATION_NONE;
}

/* Both walk on together. A wildcard is met only at the start of a level, since the filter is valid; `+` then
 * swallows the name's level, which may be empty. */
bool mqtt_topic_matches(struct span filter, struct span name) {
    if (filter.size == 0 || name.size == 0 || (name.at[0] == '$' && filter.at[0] != '$'))
        return false;
    const uint8_t *f = filter.at, *f_end = f + filter.size;
    const uint8_t *n = name.at, *n_end = n + name.size;
    while (f != f_end) {
        if (*f == '#')
            return true;
        if (*f == '+') {
            f++;
            while (n != n_end && *n != '/')
                n++;
        } else if (n == n_end) {
            return f_end - f == 2 && f[0] == '/' && f[1] == '#';
        } else if (*f++ != *n++) {
            return false;
        }
    }
    return n == n_end;
}

bool mqtt_topic_next_level(struct span *rest, struct span *level) {
    if (rest->at == NULL)
        return false;
    const uint8_t *slash = rest->size == 0 ? NULL : memchr(rest->at, '/', rest->size);
    if (slash == NULL) {
        *level = *rest;
        *rest = SPAN_NONE;
        return true;
    }
    *level = span_first(*rest, (size_t)(slash - rest->at));
    *rest = span_after(*rest, level->size + 1);
    return true;
}

bool mqtt_topic_split_share(struct span filter, struct span *share_name, struct span *inner) {
    const struct span start = SPAN_LITERAL("$share/");
    *share_name = *inner = SPAN_NONE;
    if (!span_begins_with(filter, start))
        return false;
    struct span rest = span_after(filter, start.size);
    mqtt_topic_next_level(&rest, share_name);
    bool is_good = share_name->size != 0 && !span_has_byte(*share_name, '+') &&
                   !span_has_byte(*share_name, '#') && rest.at != NULL && mqtt_topic_is_filter(rest);
    *inner = is_good ? rest : SPAN_NONE;
    return true;
}
