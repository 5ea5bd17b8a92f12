/* acks: PUBACK, PUBREC, PUBREL, PUBCOMP, and the last words DISCONNECT and AUTH. Bodies are the bytes behind
 * the fixed header. */
#ifndef DRAWBRIDGE_MQTT_ACKS_H
#define DRAWBRIDGE_MQTT_ACKS_H

#include "mqtt/props.h"

struct mqtt_ack {
    uint16_t packet_id;      /* 0 in DISCONNECT and AUTH */
    uint8_t reason;          /* 0 where it is left out or before 5.0 */
    struct mqtt_props props; /* version 5 */
};

/* `type` is one of the six. Version 5 may leave out properties (remaining length below 4, or 2 for DISCONNECT
 * and AUTH) and reason; before 5.0 the four acknowledgements are 2 bytes, DISCONNECT none, and AUTH does not
 * exist. A DISCONNECT's reason must be one that this side may send. */
enum mqtt_outcome mqtt_ack_read(struct span body, enum mqtt_type type, enum mqtt_version version,
                                enum mqtt_direction direction, struct mqtt_ack *ack,
                                enum violation *violation);

#endif
