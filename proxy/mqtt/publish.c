#include "mqtt/publish.h"

#include "mqtt/topic.h"

/* The head of a PUBLISH, and how far the bytes at hand reach:
 *
 *     fixed header | size topic | packet id (QoS 1, 2) | size properties (5.0) | payload
 *     0            ^ header_size                                               ^ head_size
 */
struct head {
    const uint8_t *bytes;
    size_t have;  /* bytes at hand, those of the next packet left out */
    size_t whole; /* bytes of the packet */
    size_t at;
};

/* What comes of wanting `count` more bytes of the head. */
static enum mqtt_outcome look_ahead(const struct head *head, size_t count) {
    if (head->whole - head->at < count)
        return MQTT_WRONG;
    return head->have < head->at + count ? MQTT_MORE : MQTT_WHOLE;
}

static inline uint16_t load_u16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* Topic and packet identifier. */
static enum mqtt_outcome read_topic(struct head *head, enum mqtt_version version,
                                    struct mqtt_publish *publish, enum violation *violation) {
    size_t behind = (publish->qos != 0 ? 2u : 0u) + (version == MQTT_VERSION_5 ? 1u : 0u);
    size_t want = 2 + behind;
    enum mqtt_outcome outcome = look_ahead(head, 2);
    if (outcome == MQTT_WHOLE) {
        size_t size = load_u16(head->bytes + head->at);
        want += size;
        outcome = head->whole - head->at < want ? MQTT_WRONG : look_ahead(head, 2 + size);
        publish->topic = span_of(head->bytes + head->at + 2, size);
    }
    if (outcome == MQTT_WRONG)
        return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
    publish->head_size = head->at + want;
    if (outcome == MQTT_MORE)
        return MQTT_MORE;

    enum violation found = mqtt_topic_judge_name(publish->topic);
    /* In 5.0 the topic alias, which comes later, may stand in. */
    if (found != VIOLATION_NONE && !(found == VIOLATION_TOPIC_EMPTY && version == MQTT_VERSION_5))
        return mqtt_wrong(violation, found);
    head->at += 2 + publish->topic.size;
    if (publish->qos == 0)
        return MQTT_WHOLE;
    if (look_ahead(head, 2) == MQTT_MORE)
        return MQTT_MORE;
    publish->packet_id = load_u16(head->bytes + head->at);
    if (publish->packet_id == 0)
        return mqtt_wrong(violation, VIOLATION_PACKET_ID);
    head->at += 2;
    return MQTT_WHOLE;
}

/* The properties are judged as a block, once it is whole. */
static enum mqtt_outcome read_props(struct head *head, enum mqtt_direction direction,
                                    struct mqtt_publish *publish, enum violation *violation) {
    struct span rest = span_of(head->bytes + head->at, head->have - head->at);
    uint32_t size = 0;
    unsigned size_size = 0;
    enum mqtt_outcome outcome = mqtt_varint_read(rest, &size, &size_size);
    if (outcome == MQTT_MORE) {
        publish->head_size = head->have + 1;
        return head->have == head->whole ? mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED) : MQTT_MORE;
    }
    if (outcome == MQTT_WRONG)
        return mqtt_wrong(violation, VIOLATION_MALFORMED_LENGTH);
    size_t block_size = (size_t)size_size + size;
    outcome = look_ahead(head, block_size);
    if (outcome == MQTT_WRONG)
        return mqtt_wrong(violation, VIOLATION_PROPERTY_LENGTH);
    publish->head_size = head->at + block_size;
    if (outcome == MQTT_MORE)
        return MQTT_MORE;
    struct reader block = reader_of(span_first(rest, block_size));
    outcome = mqtt_props_read(&block, MQTT_PUBLISH, direction, &publish->props, violation);
    if (outcome != MQTT_WHOLE)
        return outcome;
    publish->topic_alias = (uint16_t)mqtt_props_number(&publish->props, MQTT_PROP_TOPIC_ALIAS, 0);
    if (publish->topic.size == 0 && publish->topic_alias == 0)
        return mqtt_wrong(violation, VIOLATION_TOPIC_EMPTY);
    head->at += block_size;
    return MQTT_WHOLE;
}

enum mqtt_outcome mqtt_publish_read(const struct mqtt_frame *frame, struct span bytes,
                                    enum mqtt_version version, enum mqtt_direction direction,
                                    struct mqtt_publish *publish, enum violation *violation) {
    struct head head = {bytes.at, bytes.size, mqtt_frame_size(frame), frame->header_size};
    if (head.have > head.whole)
        head.have = head.whole;
    publish->dup = (frame->flags & 8) != 0;
    publish->retain = (frame->flags & 1) != 0;
    publish->qos = frame->flags >> 1 & 3;
    publish->packet_id = 0;
    publish->topic_alias = 0;
    mqtt_props_clear(&publish->props);

    enum mqtt_outcome outcome = read_topic(&head, version, publish, violation);
    if (outcome == MQTT_WHOLE && version == MQTT_VERSION_5)
        outcome = read_props(&head, direction, publish, violation);
    if (outcome != MQTT_WHOLE)
        return outcome;
    publish->head_size = head.at;
    publish->payload_size = (uint32_t)(head.whole - head.at);
    return MQTT_WHOLE;
}
