#include "mqtt/acks.h"

static enum violation judge_reason(uint8_t reason, enum mqtt_type type, enum mqtt_direction direction) {
    if (mqtt_reason_may_travel(reason, type, direction))
        return VIOLATION_NONE;
    return mqtt_reason_is_allowed(reason, type) ? VIOLATION_REASON_DIRECTION : VIOLATION_REASON_CODE;
}

/* What version 5 adds: a reason, then properties, and either may be left out at the end. */
static enum mqtt_outcome read_reason(struct reader *reader, enum mqtt_type type,
                                     enum mqtt_direction direction, struct mqtt_ack *ack,
                                     enum violation *violation) {
    bool is_bare = reader_left(reader) == 0;
    if (!is_bare)
        ack->reason = reader_u8(reader);
    enum violation found = judge_reason(ack->reason, type, direction);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation, found);
    if (reader_left(reader) != 0) {
        enum mqtt_outcome outcome = mqtt_props_read(reader, type, direction, &ack->props, violation);
        if (outcome != MQTT_WHOLE)
            return outcome;
    }
    /* Every AUTH names its method (MQTT 5.0 4.12.0-5), but for the bare success, to which 3.15.2.1 grants
     * an empty packet. */
    if (type == MQTT_AUTH && !is_bare && !mqtt_props_has(&ack->props, MQTT_PROP_AUTHENTICATION_METHOD))
        return mqtt_wrong(violation, VIOLATION_AUTH_METHOD);
    return MQTT_WHOLE;
}

enum mqtt_outcome mqtt_ack_read(struct span body, enum mqtt_type type, enum mqtt_version version,
                                enum mqtt_direction direction, struct mqtt_ack *ack,
                                enum violation *violation) {
    ack->packet_id = 0;
    ack->reason = MQTT_REASON_SUCCESS;
    mqtt_props_clear(&ack->props);
    struct reader reader = reader_of(body);
    if (type != MQTT_DISCONNECT && type != MQTT_AUTH) {
        ack->packet_id = reader_u16(&reader);
        if (reader.is_short)
            return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
        if (ack->packet_id == 0)
            return mqtt_wrong(violation, VIOLATION_PACKET_ID);
    }
    if (version == MQTT_VERSION_5) {
        enum mqtt_outcome outcome = read_reason(&reader, type, direction, ack, violation);
        if (outcome != MQTT_WHOLE)
            return outcome;
    } else if (type == MQTT_AUTH) {
        return mqtt_wrong(violation, VIOLATION_PACKET_TYPE);
    }
    return reader_left(&reader) == 0 ? MQTT_WHOLE : mqtt_wrong(violation, VIOLATION_PACKET_TRAILING);
}
