/* topic_slow: what a topic filter is and matches, written for the eye: level by level, by recursion, straight
 * from MQTT 5.0 4.7. */
#ifndef TEST_UNIT_MQTT_TOPIC_SLOW_H
#define TEST_UNIT_MQTT_TOPIC_SLOW_H

#include "base/span.h"

/* The first level; *behind is where the next one begins, size + 1 when there is none. */
static inline struct span slow_level(struct span topic, size_t *behind) {
    size_t size = 0;
    while (size < topic.size && topic.at[size] != '/')
        size++;
    *behind = size + 1;
    return span_first(topic, size);
}

static inline bool slow_is_filter(struct span filter) {
    if (filter.size == 0)
        return false;
    for (size_t start = 0, behind; start <= filter.size; start += behind) {
        struct span level = slow_level(span_after(filter, start), &behind);
        bool is_last = start + behind > filter.size;
        if (span_has_byte(level, '#') && (level.size != 1 || !is_last))
            return false;
        if (span_has_byte(level, '+') && level.size != 1)
            return false;
    }
    return true;
}

/* `has_name`: is there a level of the name left (an empty one counts)? */
static inline bool slow_matches_rest(bool has_filter, struct span filter, bool has_name, struct span name) {
    if (!has_filter)
        return !has_name;
    size_t filter_behind, name_behind = 0;
    struct span level = slow_level(filter, &filter_behind);
    if (span_is_text(level, "#"))
        return true;
    if (!has_name)
        return false;
    struct span name_level = slow_level(name, &name_behind);
    if (!span_is_text(level, "+") && !span_is_equal(level, name_level))
        return false;
    bool has_more_filter = filter_behind <= filter.size, has_more_name = name_behind <= name.size;
    return slow_matches_rest(has_more_filter, has_more_filter ? span_after(filter, filter_behind) : SPAN_NONE,
                             has_more_name, has_more_name ? span_after(name, name_behind) : SPAN_NONE);
}

static inline bool slow_matches(struct span filter, struct span name) {
    if (name.at[0] == '$' && filter.at[0] != '$')
        return false;
    return slow_matches_rest(true, filter, true, name);
}

#endif
