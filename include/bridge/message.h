/* message: a PUBLISH on its way over a bridge, whole: topic, properties and payload in one piece of memory. A
 * bridge is an end of two conversations, so it holds messages, where a session lets them stream. */
#ifndef DRAWBRIDGE_BRIDGE_MESSAGE_H
#define DRAWBRIDGE_BRIDGE_MESSAGE_H

#include "base/span.h"

/* Which way a message goes. */
enum lane {
    LANE_OUT, /* from the local broker to the remote one */
    LANE_IN,
    LANE_COUNT
};

struct message {
    struct message *next;
    int64_t number;    /* of its row in the queue, growing; 0: it is not on the disk */
    int64_t came_s;    /* wall clock, seconds since the epoch */
    int64_t expires_s; /* wall clock; 0: never. MQTT 5.0 3.3.2.3.3 */
    uint32_t source_connection,
        source_session;        /* on which it came, for its acknowledgement; not on the disk */
    uint16_t source_packet_id; /* QoS 1 and 2: under which it came; not on the disk */
    uint16_t source_id;        /* QoS 2: the same, noted on the disk until its PUBREL; 0: none */
    uint8_t lane, qos;         /* qos: with which it is to leave */
    bool retain;
    bool is_repeated; /* it may have been sent before: DUP */
    int16_t priority; /* the higher, the earlier */
    uint32_t topic_size, props_size, payload_size;
    uint8_t bytes[]; /* topic, then properties (MQTT 5, without their length, without topic alias,
                        subscription identifier and expiry), then payload */
};

static inline struct span message_topic(const struct message *message) {
    return span_of(message->bytes, message->topic_size);
}
static inline struct span message_props(const struct message *message) {
    return span_of(message->bytes + message->topic_size, message->props_size);
}
static inline struct span message_payload(const struct message *message) {
    return span_of(message->bytes + message->topic_size + message->props_size, message->payload_size);
}
/* What it counts for in queue_max_bytes: its three parts. */
static inline size_t message_size(const struct message *message) {
    return (size_t)message->topic_size + message->props_size + message->payload_size;
}

/* All zero but the three parts, which are copied; NULL when memory is out. Freed with free(). */
struct message *message_create(struct span topic, struct span props, struct span payload);

#endif
