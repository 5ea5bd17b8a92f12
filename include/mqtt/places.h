/* places: the sets "which packets, sent by whom" that reasons.def and props.def are written in. Only for the
 * rooms that turn these tables into code: the names are short. */
#ifndef DRAWBRIDGE_MQTT_PLACES_H
#define DRAWBRIDGE_MQTT_PLACES_H

#include "mqtt/packet.h"

#define BY_DEVICE(type) (1u << MQTT_##type)
#define BY_BROKER(type) (1u << (16 + MQTT_##type))
#define IN(type)        (BY_DEVICE(type) | BY_BROKER(type))
#define IN_WILL         1u /* the will's properties: no packet has type 0, and only a device sends a will */
#define NOWHERE         0u
#define EVERYWHERE      0xFFFFFFFFu

/* `type` is a packet type, or 0 for the will. */
static inline bool places_have(uint32_t places, int type, enum mqtt_direction direction) {
    return (places >> (type + (direction == MQTT_TO_DEVICE ? 16 : 0)) & 1u) != 0;
}

static inline bool places_have_either(uint32_t places, int type) {
    return places_have(places, type, MQTT_TO_BROKER) || places_have(places, type, MQTT_TO_DEVICE);
}

#endif
