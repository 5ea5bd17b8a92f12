/* subscribe: SUBSCRIBE, UNSUBSCRIBE, SUBACK, UNSUBACK. All are read whole; bodies are the bytes behind the
 * fixed header. */
#ifndef DRAWBRIDGE_MQTT_SUBSCRIBE_H
#define DRAWBRIDGE_MQTT_SUBSCRIBE_H

#include "mqtt/props.h"

struct mqtt_subscribe {
    uint16_t packet_id;
    struct mqtt_props props; /* version 5 */
    struct span entries;   /* the filters (and options), already judged; walk them with mqtt_subscribe_next */
    uint32_t filter_count; /* at least 1 */
};

struct mqtt_subscribe_entry {
    struct span filter; /* as it was sent, "$share/name/" included */
    struct span whole;  /* the entry's bytes: length, filter and, in SUBSCRIBE, options */
    uint8_t options;    /* SUBSCRIBE only */
};

/* `type` MQTT_SUBSCRIBE or MQTT_UNSUBSCRIBE. Every filter is valid (and not empty), options have no reserved
 * bits, QoS below 3, retain handling below 3, no No Local on a shared subscription (MQTT 5.0 3.8.3-4);
 * "$share" is judged in version 5. */
enum mqtt_outcome mqtt_subscribe_read(struct span body, enum mqtt_type type, enum mqtt_version version,
                                      struct mqtt_subscribe *subscribe, enum violation *violation);

/* Steps through `entries` (copied into a reader by the caller). False at the end. */
bool mqtt_subscribe_next(struct reader *entries, enum mqtt_type type, struct mqtt_subscribe_entry *entry);

struct mqtt_suback {
    uint16_t packet_id;
    struct mqtt_props props; /* version 5 */
    struct span codes;       /* one per filter; empty in an UNSUBACK before 5.0 */
};

/* `type` MQTT_SUBACK or MQTT_UNSUBACK. Codes: 0, 1, 2, 0x80 before 5.0; those of the table in 5.0; at least
 * one where they exist. */
enum mqtt_outcome mqtt_suback_read(struct span body, enum mqtt_type type, enum mqtt_version version,
                                   struct mqtt_suback *suback, enum violation *violation);

#endif
