/* steps: what the two ways of the inspector share. For inspect/ only. */
#ifndef DRAWBRIDGE_INSPECT_STEPS_H
#define DRAWBRIDGE_INSPECT_STEPS_H

#include "inspect/inspector.h"
#include "mqtt/acks.h"
#include "mqtt/publish.h"
#include "mqtt/subscribe.h"

/* Lets `count` bytes behind `scanned` go. */
void step_pass(struct inspect_bytes *bytes, size_t count);
/* Cuts them out. */
void step_cut(struct inspect_bytes *bytes, size_t count);
/* Cuts `count` bytes out and puts `packet` in their place. False when there is no room: FLUSH. */
bool step_splice(struct inspect_bytes *bytes, size_t count, struct span packet);

/* Says MORE: look again when `count` bytes are there behind `scanned`. */
enum inspect_result step_more(struct inspect_bytes *bytes, size_t count);
enum inspect_result step_wrong(struct inspector *inspector, enum violation violation);

/* Passes or cuts what is there of the payload in progress; true when the packet's end was reached. */
bool step_payload(struct inspect_way *way, struct inspect_bytes *bytes);

/* The packet at `scanned`: WHOLE, or its result in *result. `is_held`: the body must be there as well, not
 * only the head. */
bool step_frame(struct inspector *inspector, const struct inspect_way *way, struct inspect_bytes *bytes,
                struct mqtt_frame *frame, enum inspect_result *result);
/* Puts the frame's fixed header, of another length, right in front of a body that was written 5 bytes behind
 * the start of its room. Empty when either did not fit. */
struct span step_with_header(struct writer *body, const struct mqtt_frame *frame);
struct span step_body(const struct inspect_bytes *bytes, const struct mqtt_frame *frame);

/* A PUBLISH's head, its alias resolved into publish->topic (`topic` of the packet itself may be empty:
 * *is_bare). */
enum inspect_result step_publish_head(struct inspector *inspector, struct inspect_way *way,
                                      struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                                      struct mqtt_publish *publish, bool *is_bare);
/* Lets it go, with its topic put in when the receiver does not know the alias. */
enum inspect_result step_publish_pass(struct inspector *inspector, struct inspect_way *way,
                                      struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                                      const struct mqtt_publish *publish, bool is_bare);
/* Cuts it out; QoS 1 and 2 are answered to its sender behind its last byte. `reason` is told in version 5. */
enum inspect_result step_publish_cut(struct inspector *inspector, struct inspect_way *way,
                                     struct inspect_bytes *bytes, const struct mqtt_publish *publish,
                                     uint8_t reason);
/* May it go to the device by its size, its topic put in where that must be (MQTT 5.0 3.1.2-24)? */
bool step_publish_fits(struct inspector *inspector, struct inspect_way *way, const struct mqtt_frame *frame,
                       const struct mqtt_publish *publish, bool is_bare);
/* May its SUBACK go to the device, by its own Maximum Packet Size? */
bool step_suback_fits(const struct inspector *inspector, uint32_t filter_count);
/* An acknowledgement of the receiver of `way`, which may end an exchange there. */
void step_acknowledged(struct inspect_way *way, enum mqtt_type type, const struct mqtt_ack *ack);
/* Writes the answer that is due. */
void step_answer(const struct inspector *inspector, struct inspect_way *way, struct writer *reply);
/* A PUBREL: answered with PUBCOMP when its PUBLISH was cut out here, else passed. */
void step_pubrel(struct inspector *inspector, struct inspect_way *way, struct inspect_bytes *bytes,
                 const struct mqtt_frame *frame, uint16_t packet_id, struct writer *reply);
/* AUTH either way: its method must be the CONNECT's. */
bool step_auth_is_right(struct inspector *inspector, enum mqtt_direction direction,
                        const struct mqtt_ack *auth, enum inspect_result *result);

/* connack.c: the CONNACK, with our limits put in. */
enum inspect_result step_connack(struct inspector *inspector, struct inspect_bytes *bytes,
                                 const struct mqtt_frame *frame);
/* What the rules say about a filter of a SUBSCRIBE. With `acl_subscribe silent` it passes as in mosquitto,
 * but for sessions with `subscribe` rules: what these keep out might well be readable. */
struct verdict step_judge_filter(const struct inspector *inspector, struct span filter);
/* The QoS to which a subscription is lowered. */
uint8_t step_filter_max_qos(const struct inspector *inspector, const struct verdict *verdict);

void step_tell_refusal(struct inspector *inspector, enum mqtt_type type, enum mqtt_direction direction,
                       struct span topic, struct verdict verdict);

#endif
