/* topic: names, filters, and when they meet (MQTT 5.0 4.7, 4.8.2). Pure on spans, iterative (no recursion),
 * linear in the sizes unless said otherwise. */
#ifndef DRAWBRIDGE_MQTT_TOPIC_H
#define DRAWBRIDGE_MQTT_TOPIC_H

#include "mqtt/packet.h"

/* 1..65,535 bytes, MQTT UTF-8, no `+`, `#`. */
bool mqtt_topic_is_name(struct span topic);

/* 1..65,535 bytes, MQTT UTF-8, `+` fills its level, `#` fills the last. "$share/..." is not looked at. */
bool mqtt_topic_is_filter(struct span filter);

/* The statement that a name or a filter breaks, VIOLATION_NONE for a good one. */
enum violation mqtt_topic_judge_name(struct span topic);
enum violation mqtt_topic_judge_filter(struct span filter);

/* Does the (valid) filter match the (valid) name? A name that begins with `$` is matched only by a filter
 * that begins with `$` (MQTT 5.0 4.7.2-1); `a/#` matches `a`. */
bool mqtt_topic_matches(struct span filter, struct span name);

/* Cuts off the next level: true and *level filled in, *rest moved behind the slash; false when there is none
 * left. `rest->at == NULL` marks the end, so that "a/" has two levels. Start with *rest = the topic. */
bool mqtt_topic_next_level(struct span *rest, struct span *level);

/* Takes "$share/NAME/FILTER" apart. False when it does not begin with "$share/" or is exactly "$share". When
 * it does but NAME is empty, holds `+ # /`, or FILTER is missing or no filter (MQTT 5.0 4.8.2-1, -2), *inner
 * is empty. */
bool mqtt_topic_split_share(struct span filter, struct span *share_name, struct span *inner);

#endif
