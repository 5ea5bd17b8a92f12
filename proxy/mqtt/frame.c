#include "mqtt/frame.h"

/* One row per type: the flags it carries, since which version it travels either way (0: never), and the
 * remaining lengths it can have at all. The least is the sum of the fields that always stand. */
struct type_row {
    uint8_t flags;
    uint8_t to_broker_since, to_device_since;
    uint8_t least_3, least_5; /* before 5.0, and in 5.0 */
    uint8_t most_3, most_5;
};
#define ANY_SIZE 255

static const struct type_row type_rows[16] = {
    [MQTT_CONNECT] = {0, 3, 0, 12, 13, ANY_SIZE, ANY_SIZE},
    [MQTT_CONNACK] = {0, 0, 3, 2, 3, 2, ANY_SIZE},
    [MQTT_PUBLISH] = {0, 3, 3, 2, 3, ANY_SIZE, ANY_SIZE},
    [MQTT_PUBACK] = {0, 3, 3, 2, 2, 2, ANY_SIZE},
    [MQTT_PUBREC] = {0, 3, 3, 2, 2, 2, ANY_SIZE},
    [MQTT_PUBREL] = {2, 3, 3, 2, 2, 2, ANY_SIZE},
    [MQTT_PUBCOMP] = {0, 3, 3, 2, 2, 2, ANY_SIZE},
    [MQTT_SUBSCRIBE] = {2, 3, 0, 2, 3, ANY_SIZE, ANY_SIZE},
    [MQTT_SUBACK] = {0, 0, 3, 2, 3, ANY_SIZE, ANY_SIZE},
    [MQTT_UNSUBSCRIBE] = {2, 3, 0, 2, 3, ANY_SIZE, ANY_SIZE},
    [MQTT_UNSUBACK] = {0, 0, 3, 2, 3, 2, ANY_SIZE},
    [MQTT_PINGREQ] = {0, 3, 0, 0, 0, 0, 0},
    [MQTT_PINGRESP] = {0, 0, 3, 0, 0, 0, 0},
    [MQTT_DISCONNECT] = {0, 3, 5, 0, 0, 0, ANY_SIZE},
    [MQTT_AUTH] = {0, 5, 5, 0, 0, 0, ANY_SIZE},
};

/* Judges the first byte. */
static enum violation judge_first(enum mqtt_type type, uint8_t flags, enum mqtt_version version,
                                  enum mqtt_direction direction) {
    if (version == MQTT_VERSION_NONE && type != MQTT_CONNECT)
        return VIOLATION_FIRST_PACKET;
    if (type == 0 || (type == MQTT_AUTH && version != MQTT_VERSION_5))
        return VIOLATION_PACKET_TYPE;
    const struct type_row *row = &type_rows[type];
    unsigned since = direction == MQTT_TO_BROKER ? row->to_broker_since : row->to_device_since;
    if (since == 0 || (version != MQTT_VERSION_NONE && version < since))
        return VIOLATION_PACKET_DIRECTION;
    if (type == MQTT_PUBLISH)
        return (flags & 6) == 6 ? VIOLATION_QOS : (flags & 14) == 8 ? VIOLATION_PUBLISH_DUP : VIOLATION_NONE;
    /* In 3.1 the packets that are sent with QoS 1 may be sent again with DUP (MQTT 3.1, 2.1). */
    uint8_t again = version == MQTT_VERSION_31 && row->flags == 2 ? 8 : 0;
    return (flags & ~again) == row->flags ? VIOLATION_NONE : VIOLATION_PACKET_FLAGS;
}

/* Judges the remaining length. */
static enum violation judge_remaining(const struct mqtt_frame *frame, enum mqtt_version version) {
    const struct type_row *row = &type_rows[frame->type];
    bool is_5 = version == MQTT_VERSION_5;
    uint32_t least = is_5 ? row->least_5 : row->least_3;
    uint32_t most = is_5 ? row->most_5 : row->most_3;
    if (frame->type == MQTT_PUBLISH && (frame->flags & 6) != 0)
        least += 2;
    if (frame->remaining < least)
        return VIOLATION_PACKET_TRUNCATED;
    return frame->remaining > most && most != ANY_SIZE ? VIOLATION_PACKET_TRAILING : VIOLATION_NONE;
}

bool mqtt_frame_is_minimal(const struct mqtt_frame *frame) {
    unsigned length_size = frame->header_size - 1u;
    return length_size == 1 || frame->remaining >> 7 * (length_size - 1) != 0;
}

enum mqtt_outcome mqtt_frame_read(struct span bytes, enum mqtt_version version, enum mqtt_direction direction,
                                  struct mqtt_frame *frame, enum violation *violation) {
    if (bytes.size == 0)
        return MQTT_MORE;
    frame->type = (enum mqtt_type)(bytes.at[0] >> 4);
    frame->flags = bytes.at[0] & 15;
    enum violation found = judge_first(frame->type, frame->flags, version, direction);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation, found);

    uint32_t remaining = 0;
    for (unsigned i = 1;; i++) {
        if (i == 5)
            return mqtt_wrong(violation, VIOLATION_MALFORMED_LENGTH);
        if (i == bytes.size)
            return MQTT_MORE;
        remaining |= (bytes.at[i] & 0x7Fu) << 7 * (i - 1);
        if (bytes.at[i] < 0x80) {
            frame->header_size = (uint8_t)(i + 1);
            break;
        }
    }
    frame->remaining = remaining;
    if (version == MQTT_VERSION_5 && !mqtt_frame_is_minimal(frame))
        return mqtt_wrong(violation, VIOLATION_MALFORMED_LENGTH);
    found = judge_remaining(frame, version);
    return found == VIOLATION_NONE ? MQTT_WHOLE : mqtt_wrong(violation, found);
}
