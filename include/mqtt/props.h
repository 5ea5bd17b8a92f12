/* props: MQTT 5 properties, one walker driven by props.def.
 * A row: PROP(id, NAME, kind, packets it may stand in, may it repeat, rule for its value). */
#ifndef DRAWBRIDGE_MQTT_PROPS_H
#define DRAWBRIDGE_MQTT_PROPS_H

#include "base/reader.h"
#include "mqtt/packet.h"

enum mqtt_prop {
#define PROP(id, name, kind, packets, repeats, rule) MQTT_PROP_##name,
#include "mqtt/props.def"
#undef PROP
    MQTT_PROP_COUNT
};

/* Which packet a property block belongs to; the will's block inside CONNECT is one of its own. */
enum mqtt_props_of {
    MQTT_PROPS_OF_WILL = 0, /* otherwise the packet's type */
};

struct mqtt_props {
    struct span raw;                  /* the properties, without their length; borrowed */
    uint32_t present;                 /* bit per enum mqtt_prop */
    uint32_t user_count;              /* user properties */
    uint32_t number[MQTT_PROP_COUNT]; /* valid where present: byte, two and four byte integers, variable
                                         integers */
    struct span
        text[MQTT_PROP_COUNT]; /* valid where present: strings and binary data; of repeated ones the last */
};

static inline bool mqtt_props_has(const struct mqtt_props *props, enum mqtt_prop prop) {
    return (props->present >> prop & 1u) != 0;
}

/* Makes it the empty block, as cheaply as can be: number and text are only valid where present says so. */
static inline void mqtt_props_clear(struct mqtt_props *props) {
    props->raw = SPAN_NONE;
    props->present = 0;
    props->user_count = 0;
}

/* The value if present, else `fallback`. */
static inline uint32_t mqtt_props_number(const struct mqtt_props *props, enum mqtt_prop prop,
                                         uint32_t fallback) {
    return mqtt_props_has(props, prop) ? props->number[prop] : fallback;
}

/* Reads a property length and the block behind it, and judges every property of it: known, allowed in this
 * packet
 * (`type` a packet type or MQTT_PROPS_OF_WILL) in this direction, not repeated, a value it may have, strings
 * in UTF-8 (MQTT 5.0 2.2.2). The block is cleared beforehand (mqtt_props_clear), so that a PUBLISH costs no
 * clearing of the rest. MORE is never said: the block must lie whole before the reader, else WRONG. */
enum mqtt_outcome mqtt_props_read(struct reader *reader, int type, enum mqtt_direction direction,
                                  struct mqtt_props *props, enum violation *violation);

/* The bytes that a variable byte integer takes (1..4), and writing it. Reading: WHOLE, MORE, or WRONG for a
 * fifth byte or an over-long form. */
unsigned mqtt_varint_size(uint32_t value);
unsigned mqtt_varint_write(uint8_t room[4], uint32_t value);
enum mqtt_outcome mqtt_varint_read(struct span bytes, uint32_t *value, unsigned *size);

/* Steps through a block that mqtt_props_read found good: the identifier's row and the whole property's bytes
 * (identifier included), so that a rewriter can copy, cut or replace single properties. False at the end. */
struct mqtt_prop_item {
    enum mqtt_prop prop;
    struct span whole; /* identifier and value as they came */
    uint32_t number;
    struct span text;  /* for a user property: its name */
    struct span value; /* for a user property: its value */
};
bool mqtt_props_next(struct reader *block, struct mqtt_prop_item *item);

#endif
