/* write: the few packets we speak ourselves. Each writes one whole packet, correct for the version, or sets
 * the writer's is_full. */
#ifndef DRAWBRIDGE_MQTT_WRITE_H
#define DRAWBRIDGE_MQTT_WRITE_H

#include "base/writer.h"
#include "mqtt/connect.h"

/* The return code of CONNACK before 5.0 that says best what the MQTT 5 reason says (0x84 -> 1, 0x85 -> 2,
 * 0x86 -> 4, 0x87, 0x8A, 0x8C -> 5, everything else that is an error -> 3). */
uint8_t mqtt_connack_code_of(uint8_t reason);

/* `reason` is an MQTT 5 reason code, translated for older versions. reason_string may be empty; it is left
 * out before 5.0. */
void mqtt_write_connack(struct writer *writer, enum mqtt_version version, uint8_t reason,
                        struct span reason_string);
/* PUBACK, PUBREC, PUBREL, PUBCOMP. Shortest form: no reason when it is 0. */
void mqtt_write_ack(struct writer *writer, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id,
                    uint8_t reason, struct span reason_string);
/* SUBACK or UNSUBACK with the given codes, already in the version's own values. */
void mqtt_write_suback(struct writer *writer, enum mqtt_version version, enum mqtt_type type,
                       uint16_t packet_id, struct span codes);
/* Version 5 with reason; before that the two bare bytes. A broker never sends it before 5.0: the caller
 * knows. */
void mqtt_write_disconnect(struct writer *writer, enum mqtt_version version, uint8_t reason,
                           struct span reason_string);
void mqtt_write_pingresp(struct writer *writer);
/* A whole CONNECT from its fields; the property blocks are copied from props.raw and will_props.raw. */
void mqtt_write_connect(struct writer *writer, const struct mqtt_connect *connect);
/* A fixed header. */
void mqtt_write_frame(struct writer *writer, enum mqtt_type type, uint8_t flags, uint32_t remaining);

#endif
