/* packet: the words of MQTT 3.1, 3.1.1 and 5.0 that all packet rooms share. */
#ifndef DRAWBRIDGE_MQTT_PACKET_H
#define DRAWBRIDGE_MQTT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum mqtt_version {
    MQTT_VERSION_NONE = 0, /* not known yet: no CONNECT was read */
    MQTT_VERSION_31 = 3,   /* protocol name MQIsdp */
    MQTT_VERSION_311 = 4,
    MQTT_VERSION_5 = 5,
};

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_UNSUBSCRIBE = 10,
    MQTT_UNSUBACK = 11,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
    MQTT_AUTH = 15,
};

/* Which way a packet travels. A packet of a type that the specification does not let travel that way is a
 * violation. */
enum mqtt_direction {
    MQTT_TO_BROKER, /* the device speaks */
    MQTT_TO_DEVICE, /* the broker speaks */
};

/* What a reader of bytes says. */
enum mqtt_outcome {
    MQTT_WHOLE, /* read; the result is filled in */
    MQTT_MORE,  /* all well so far, but bytes are missing */
    MQTT_WRONG, /* a statement of the specification is broken: the violation names it */
};

/* One row of violations.def per broken statement. */
enum violation {
    VIOLATION_NONE,
#define VIOLATION(name, reason, clause, sentence) VIOLATION_##name,
#include "mqtt/violations.def"
#undef VIOLATION
    VIOLATION_COUNT
};

struct violation_row {
    const char *name;     /* lower case, for metrics and logs */
    uint8_t reason;       /* MQTT 5 reason code to tell */
    const char *clause;   /* of the specification, such as "MQTT 5.0 3.3.2-1" */
    const char *sentence; /* what is wrong */
};
extern const struct violation_row violation_rows[VIOLATION_COUNT];

/* How a reader says WRONG. */
static inline enum mqtt_outcome mqtt_wrong(enum violation *violation, enum violation which) {
    *violation = which;
    return MQTT_WRONG;
}

/* MQTT 5 reason codes by name: one row of reasons.def each (value, name, words, packet types it may stand
 * in). */
enum mqtt_reason {
#define REASON(value, name, words, packets) MQTT_REASON_##name = (value),
#include "mqtt/reasons.def"
#undef REASON
};

/* May this reason code stand in this packet (MQTT 5.0 2.4 and the tables of chapter 3), whoever sends it? */
bool mqtt_reason_is_allowed(uint8_t reason, enum mqtt_type type);

/* The same of a packet that travels this way: a device does not shut a server down. */
bool mqtt_reason_may_travel(uint8_t reason, enum mqtt_type type, enum mqtt_direction direction);

/* "Not authorized"; "unknown reason" for a value without a row. */
const char *mqtt_reason_words(uint8_t reason);

/* "PUBLISH"; "reserved" for 0. */
const char *mqtt_type_name(enum mqtt_type type);

#endif
