/* whole: reads one packet from its first to its last byte, as a session would: the fixed header first, then
 * the body with the reader of its type. */
#ifndef TEST_UNIT_MQTT_WHOLE_H
#define TEST_UNIT_MQTT_WHOLE_H

#include "mqtt/acks.h"
#include "mqtt/connect.h"
#include "mqtt/publish.h"
#include "mqtt/subscribe.h"

static inline enum mqtt_outcome whole_read_connect(const struct mqtt_frame *frame, struct span body,
                                                   enum violation *violation) {
    struct mqtt_connect connect;
    enum mqtt_outcome outcome = mqtt_connect_read(body, &connect, violation);
    if (outcome == MQTT_WHOLE && connect.version == MQTT_VERSION_5 && !mqtt_frame_is_minimal(frame))
        return mqtt_wrong(violation, VIOLATION_MALFORMED_LENGTH);
    return outcome;
}

/* The body of anything but a PUBLISH. */
static inline enum mqtt_outcome whole_read_body(const struct mqtt_frame *frame, struct span body,
                                                enum mqtt_version version, enum mqtt_direction direction,
                                                enum violation *violation) {
    struct mqtt_connack connack;
    struct mqtt_subscribe subscribe;
    struct mqtt_suback suback;
    struct mqtt_ack ack;
    switch (frame->type) {
    case MQTT_CONNECT: return whole_read_connect(frame, body, violation);
    case MQTT_CONNACK: return mqtt_connack_read(body, version, &connack, violation);
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE: return mqtt_subscribe_read(body, frame->type, version, &subscribe, violation);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: return mqtt_suback_read(body, frame->type, version, &suback, violation);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return MQTT_WHOLE;
    default: return mqtt_ack_read(body, frame->type, version, direction, &ack, violation);
    }
}

/* `bytes` begins with the packet and may end anywhere. A CONNECT is read as the first packet of all, whatever
 * the version says. */
static inline enum mqtt_outcome whole_read(struct span bytes, enum mqtt_version version,
                                           enum mqtt_direction direction, enum violation *violation) {
    struct mqtt_frame frame;
    if (bytes.size != 0 && bytes.at[0] >> 4 == MQTT_CONNECT && direction == MQTT_TO_BROKER)
        version = MQTT_VERSION_NONE;
    enum mqtt_outcome outcome = mqtt_frame_read(bytes, version, direction, &frame, violation);
    if (outcome != MQTT_WHOLE)
        return outcome;
    if (frame.type == MQTT_PUBLISH) {
        struct mqtt_publish publish;
        outcome = mqtt_publish_read(&frame, bytes, version, direction, &publish, violation);
        if (outcome != MQTT_WHOLE)
            return outcome;
        return bytes.size < mqtt_frame_size(&frame) ? MQTT_MORE : MQTT_WHOLE;
    }
    if (bytes.size < mqtt_frame_size(&frame))
        return MQTT_MORE;
    struct span body = span_first(span_after(bytes, frame.header_size), frame.remaining);
    return whole_read_body(&frame, body, version, direction, violation);
}

#endif
