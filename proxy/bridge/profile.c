#include "bridge/profile.h"

#include <stdio.h>

/* AWS: "the first three levels" of a topic that names a rule are not counted, $aws/rules/NAME/. */
static struct span counted_part(const struct conf_bridge *bridge, struct span topic) {
    struct span beginning = SPAN_LITERAL("$aws/rules/");
    if (bridge->profile != CONF_PROFILE_AWS_IOT || !span_begins_with(topic, beginning))
        return topic;
    topic = span_after(topic, beginning.size);
    const uint8_t *slash = topic.size == 0 ? NULL : memchr(topic.at, '/', topic.size);
    return slash == NULL ? SPAN_NONE : span_after(topic, (size_t)(slash - topic.at) + 1);
}

static size_t count_slashes(struct span topic) {
    size_t count = 0;
    for (size_t i = 0; i < topic.size; i++)
        count += topic.at[i] == '/';
    return count;
}

static bool is_of_iothub(struct span topic) {
    return span_begins_with(topic, SPAN_LITERAL("devices/")) ||
           span_begins_with(topic, SPAN_LITERAL("$iothub/"));
}

static const char *say(char *room, const char *name, const char *what, size_t limit, const char *unit) {
    snprintf(room, PROFILE_WORDS_SIZE, "%s takes %s of at most %zu %s", name, what, limit, unit);
    return room;
}

const char *profile_judge(const struct conf_bridge *bridge, enum lane lane, enum mqtt_version version,
                          const struct client_publish *publish, char *room) {
    const struct profile *profile = profile_of(bridge);
    const struct span topic = counted_part(bridge, publish->topic);
    if (lane != LANE_OUT)
        return NULL;
    if (bridge->profile == CONF_PROFILE_AZURE_IOTHUB && !is_of_iothub(topic)) {
        snprintf(room, PROFILE_WORDS_SIZE, "%s takes topics below devices/ and $iothub/ only", profile->name);
        return room;
    }
    if (profile->topic_max_slashes != 0 && count_slashes(topic) > profile->topic_max_slashes)
        return say(room, profile->name, "topics", profile->topic_max_slashes, "slashes");
    if (profile->topic_max_bytes != 0 && topic.size > profile->topic_max_bytes)
        return say(room, profile->name, "topics", profile->topic_max_bytes, "bytes");
    if (profile->payload_max_bytes != 0 && publish->payload.size > profile->payload_max_bytes)
        return say(room, profile->name, "payloads", profile->payload_max_bytes, "bytes");
    if (profile->packet_max_bytes != 0 && client_publish_size(version, publish) > profile->packet_max_bytes)
        return say(room, profile->name, "packets", profile->packet_max_bytes, "bytes");
    return NULL;
}

bool profile_has_retain(const struct conf_bridge *bridge, enum mqtt_version version) {
    return version == MQTT_VERSION_5 || !profile_of(bridge)->needs_retain_off;
}
