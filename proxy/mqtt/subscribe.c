#include "mqtt/subscribe.h"

#include "mqtt/topic.h"

/* The options of a subscription; before 5.0 there is only the QoS. */
enum {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED_5 = 0xC0,
    OPTION_RESERVED_3 = 0xFC,
};

/* What all four have in front: the packet identifier and, in 5.0, the properties. */
static enum mqtt_outcome read_head(struct reader *reader, enum mqtt_type type, enum mqtt_version version,
                                   uint16_t *packet_id, struct mqtt_props *props, enum violation *violation) {
    mqtt_props_clear(props);
    *packet_id = reader_u16(reader);
    if (reader->is_short)
        return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
    if (*packet_id == 0)
        return mqtt_wrong(violation, VIOLATION_PACKET_ID);
    if (version != MQTT_VERSION_5)
        return MQTT_WHOLE;
    enum mqtt_direction direction =
        type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE ? MQTT_TO_BROKER : MQTT_TO_DEVICE;
    return mqtt_props_read(reader, type, direction, props, violation);
}

static enum violation judge_options(uint8_t options, enum mqtt_version version, bool is_shared) {
    if ((options & (version == MQTT_VERSION_5 ? OPTION_RESERVED_5 : OPTION_RESERVED_3)) != 0)
        return VIOLATION_SUBSCRIBE_RESERVED;
    if ((options & OPTION_QOS) == 3)
        return VIOLATION_SUBSCRIBE_QOS;
    if ((options & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return VIOLATION_SUBSCRIBE_RETAIN_HANDLING;
    return is_shared && (options & OPTION_NO_LOCAL) != 0 ? VIOLATION_SUBSCRIBE_NO_LOCAL : VIOLATION_NONE;
}

static enum violation judge_entry(const struct mqtt_subscribe_entry *entry, enum mqtt_type type,
                                  enum mqtt_version version) {
    enum violation found = mqtt_topic_judge_filter(entry->filter);
    if (found != VIOLATION_NONE)
        return found;
    bool is_shared = false;
    if (version == MQTT_VERSION_5) {
        struct span share_name, inner;
        is_shared = mqtt_topic_split_share(entry->filter, &share_name, &inner);
        if (is_shared && inner.size == 0)
            return VIOLATION_SHARE_NAME;
    }
    return type == MQTT_SUBSCRIBE ? judge_options(entry->options, version, is_shared) : VIOLATION_NONE;
}

bool mqtt_subscribe_next(struct reader *entries, enum mqtt_type type, struct mqtt_subscribe_entry *entry) {
    if (reader_left(entries) == 0)
        return false;
    const uint8_t *start = entries->at;
    entry->filter = reader_string(entries);
    entry->options = type == MQTT_SUBSCRIBE ? reader_u8(entries) : 0;
    entry->whole = span_of(start, (size_t)(entries->at - start));
    return !entries->is_short;
}

enum mqtt_outcome mqtt_subscribe_read(struct span body, enum mqtt_type type, enum mqtt_version version,
                                      struct mqtt_subscribe *subscribe, enum violation *violation) {
    struct reader reader = reader_of(body);
    enum mqtt_outcome outcome =
        read_head(&reader, type, version, &subscribe->packet_id, &subscribe->props, violation);
    if (outcome != MQTT_WHOLE)
        return outcome;
    subscribe->entries = span_of(reader.at, reader_left(&reader));
    subscribe->filter_count = 0;
    struct mqtt_subscribe_entry entry;
    while (mqtt_subscribe_next(&reader, type, &entry)) {
        enum violation found = judge_entry(&entry, type, version);
        if (found != VIOLATION_NONE)
            return mqtt_wrong(violation, found);
        subscribe->filter_count++;
    }
    if (reader.is_short)
        return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
    if (subscribe->filter_count == 0)
        return mqtt_wrong(violation,
                          type == MQTT_SUBSCRIBE ? VIOLATION_SUBSCRIBE_EMPTY : VIOLATION_UNSUBSCRIBE_EMPTY);
    return MQTT_WHOLE;
}

static bool is_code(uint8_t code, enum mqtt_type type, enum mqtt_version version) {
    if (version == MQTT_VERSION_5)
        return mqtt_reason_may_travel(code, type, MQTT_TO_DEVICE);
    return code <= 2 || code == MQTT_REASON_UNSPECIFIED_ERROR;
}

enum mqtt_outcome mqtt_suback_read(struct span body, enum mqtt_type type, enum mqtt_version version,
                                   struct mqtt_suback *suback, enum violation *violation) {
    struct reader reader = reader_of(body);
    enum mqtt_outcome outcome =
        read_head(&reader, type, version, &suback->packet_id, &suback->props, violation);
    if (outcome != MQTT_WHOLE)
        return outcome;
    suback->codes = span_of(reader.at, reader_left(&reader));
    if (type == MQTT_UNSUBACK && version != MQTT_VERSION_5)
        return suback->codes.size == 0 ? MQTT_WHOLE : mqtt_wrong(violation, VIOLATION_PACKET_TRAILING);
    if (suback->codes.size == 0)
        return mqtt_wrong(violation, VIOLATION_SUBACK_EMPTY);
    for (size_t i = 0; i < suback->codes.size; i++)
        if (!is_code(suback->codes.at[i], type, version))
            return mqtt_wrong(violation, VIOLATION_SUBACK_CODE);
    return MQTT_WHOLE;
}
