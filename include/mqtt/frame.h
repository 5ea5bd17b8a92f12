/* frame: the fixed header, and whether this packet may be spoken at all in this version and direction. */
#ifndef DRAWBRIDGE_MQTT_FRAME_H
#define DRAWBRIDGE_MQTT_FRAME_H

#include "mqtt/packet.h"

struct mqtt_frame {
    enum mqtt_type type;
    uint8_t flags;       /* low four bits of the first byte */
    uint32_t remaining;  /* bytes behind the fixed header */
    uint8_t header_size; /* bytes of the fixed header, 2..5 */
};

static inline size_t mqtt_frame_size(const struct mqtt_frame *frame) {
    return (size_t)frame->header_size + frame->remaining;
}

/* Is the remaining length written in as few bytes as it can be? Version 5 wants it (MQTT 5.0 1.5.5-1). The
 * version of a CONNECT is known only from its body: its caller asks this once the body was read. */
bool mqtt_frame_is_minimal(const struct mqtt_frame *frame);

/* Reads the fixed header at the start of `bytes`.
 * WRONG as soon as the bytes at hand say so: reserved type (AUTH before 5.0 too), flags that are not those of
 * the type (MQTT 5.0 2.1.3-1), a PUBLISH of QoS 3 or with DUP at QoS 0, a fifth length byte, an over-long
 * length in version 5 (MQTT 5.0 1.5.5-1), a type that does not travel in this direction, a remaining length
 * that the type can never have (PINGREQ other than 0, PUBACK below 2, ...). MORE: another byte is needed (`10
 * 80` is MORE). With version NONE only CONNECT is let through, to the broker. */
enum mqtt_outcome mqtt_frame_read(struct span bytes, enum mqtt_version version, enum mqtt_direction direction,
                                  struct mqtt_frame *frame, enum violation *violation);

#endif
