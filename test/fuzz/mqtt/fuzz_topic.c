/* Topics: the first byte says where the filter ends and the name begins. Everything is compared with the slow
 * readers of the unit tests. */
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include "unit/mqtt/guard.h"
#include "unit/mqtt/topic_slow.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* The levels put together again are the topic. */
static void check_levels(struct span topic) {
    struct span rest = topic, level;
    size_t size = 0, count = 0;
    for (; mqtt_topic_next_level(&rest, &level); count++) {
        MUST(!span_has_byte(level, '/'));
        MUST(level.size == 0 || level.at == topic.at + size);
        size += level.size + 1;
    }
    MUST(topic.at == NULL ? count == 0 : size == topic.size + 1);
}

static void check_share(struct span filter) {
    struct span name, inner;
    bool is_share = mqtt_topic_split_share(filter, &name, &inner);
    MUST(is_share == span_begins_with(filter, SPAN_LITERAL("$share/")));
    if (!is_share || inner.size == 0)
        return;
    MUST(slow_is_filter(inner) && name.size != 0);
    MUST(!span_has_byte(name, '/') && !span_has_byte(name, '+') && !span_has_byte(name, '#'));
    MUST(7 + name.size + 1 + inner.size == filter.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 1 || size > 4096)
        return 0;
    struct span all = span_of(bytes + 1, size - 1);
    size_t filter_size = all.size == 0 ? 0 : bytes[0] % (all.size + 1);
    struct span filter = span_first(all, filter_size), name = span_after(all, filter_size);

    struct span copy = guard_copy(filter);
    check_levels(copy);
    check_share(copy);
    bool is_text = mqtt_utf8_is_valid(copy);
    MUST(mqtt_topic_is_filter(copy) == (is_text && slow_is_filter(copy)));
    if (mqtt_topic_is_name(copy))
        MUST(mqtt_topic_is_filter(copy) && mqtt_topic_matches(copy, copy));

    bool is_filter = mqtt_topic_is_filter(filter);
    copy = guard_copy(name);
    bool is_name = mqtt_topic_is_name(copy);
    MUST(is_name == (name.size != 0 && mqtt_utf8_is_valid(name) && !span_has_byte(name, '+') &&
                     !span_has_byte(name, '#')));
    /* Whatever the two are, matching ends and stays inside. */
    bool matches = mqtt_topic_matches(filter, copy);
    MUST(mqtt_topic_matches(guard_copy(filter), name) == matches);
    if (is_filter && is_name)
        MUST(matches == slow_matches(filter, name));
    return 0;
}
