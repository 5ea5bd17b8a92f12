/* client: an MQTT client on a link: one side of a bridge. Dials, says CONNECT, reads and writes packets,
 * keeps alive. What messages mean, and when to try again, is its owner's business (end.h).
 *
 *     IDLE --client_connect--> DIALING --link open, CONNECT sent--> GREETING --CONNACK 0--> OPEN
 *       ^                        | | |                               ^  |                     |
 *       |                        | | +----> UPGRADING --WebSocket ---+  |                     |
 *       |                        | |            |       is there        |                     |
 *       +------- on_ended -------+-+- CLOSING <-+-----------------------+---------------------+
 *
 * What is written is gathered and leaves with client_flush, in one write; the client flushes by itself behind
 * each read. */
#ifndef DRAWBRIDGE_BRIDGE_CLIENT_H
#define DRAWBRIDGE_BRIDGE_CLIENT_H

#include "backend/backend.h"
#include "base/writer.h"
#include "bridge/message.h"
#include "bridge/nicknames.h"
#include "inspect/alias.h"
#include "mqtt/connect.h"
#include "mqtt/publish.h"
#include "mqtt/subscribe.h"

enum client_end {
#define CLIENT_END(name, label, sentence) CLIENT_##name,
#include "bridge/client_ends.def"
#undef CLIENT_END
    CLIENT_END_COUNT
};
const char *client_end_label(enum client_end end);
const char *client_end_sentence(enum client_end end);

struct client;

/* Spans are borrowed for the length of the call. Every event but on_ended may close the client. */
struct client_events {
    /* Code 0: it is open. Else the client ends by itself, with CLIENT_REFUSED, behind this call. */
    void (*on_connack)(struct client *client, const struct mqtt_connack *connack);
    /* `topic` is the whole one, also where an alias stood for it. */
    void (*on_publish)(struct client *client, const struct mqtt_publish *publish, struct span topic,
                       struct span payload);
    void (*on_ack)(struct client *client, enum mqtt_type type, uint16_t packet_id, uint8_t reason);
    void (*on_suback)(struct client *client, enum mqtt_type type, uint16_t packet_id, struct span codes);
    void (*on_drained)(struct client *client); /* it is not congested any more */
    void (*on_read)(struct client *client);    /* all packets of one read were told */
    void (*on_ended)(struct client *client, enum client_end end,
                     const char *words); /* it may connect again */
};

/* How to connect. Everything is borrowed until on_ended. */
struct client_wish {
    const struct conf_backend *where; /* what is dialled: the broker, or the HTTP proxy in front of it */
    struct link_wish link;
    struct span websocket_host,
        websocket_path; /* of the request for a WebSocket; path empty: none is asked for */
    struct mqtt_connect connect;
    uint64_t timeout_ms;      /* from the first dial to the CONNACK */
    uint32_t max_packet_size; /* larger ones from the broker end the connection; 0: no limit */
    uint16_t topic_alias_max; /* what the broker was told in `connect` */
};

enum client_state {
    CLIENT_IDLE,
    CLIENT_DIALING,
    CLIENT_UPGRADING,
    CLIENT_GREETING,
    CLIENT_OPEN,
    CLIENT_CLOSING
};

struct client_buffer {
    uint8_t *bytes;
    size_t size, room;
};

struct client {
    struct loop *loop;
    struct backend **backends; /* of the loop */
    const struct client_events *events;
    void *owner;
    struct client_wish wish;
    enum client_state state;
    struct backend_call call;
    struct link *link;
    struct deadline deadline; /* of the CONNACK, then of the keep-alive */
    uint64_t heard_ms, said_ms, began_ms;
    uint32_t keep_alive_s;
    bool is_pinged;    /* a PINGREQ waits for its answer */
    bool ends_session; /* its DISCONNECT ends the session, where the version can say so (MQTT 5.0 3.14.2.2.2)
                        */
    bool is_out_of_memory;
    struct client_buffer in, out;
    struct websocket *websocket; /* under MQTT; NULL: there is none */
    struct client_buffer frames; /* what is read for it */
    struct alias_map aliases;    /* of PUBLISHes that come */
    struct nicknames nicknames;  /* of those that go */
    uint32_t largest;            /* packet that the broker takes; 0: any */
    enum client_end end;
    char words[256];
};

void client_init(struct client *client, struct loop *loop, struct backend **backends,
                 const struct client_events *events, void *owner);
/* Only when IDLE. May call on_ended before it returns. */
void client_connect(struct client *client, const struct client_wish *wish);
/* From any state; on_ended follows, at once when there is no link. With `goodbye`, an open one says
 * DISCONNECT first. */
void client_close(struct client *client, enum client_end end, bool has_goodbye);
/* Frees its buffers; only when IDLE. */
void client_clear(struct client *client);

static inline bool client_is_open(const struct client *client) {
    return client->state == CLIENT_OPEN;
}
/* More is waiting for the broker than one wake-up brings: write no more messages now. */
bool client_is_congested(const struct client *client);
void client_read(struct client *client, bool is_wanted);
/* Tells the keep-alive that the broker gave another one (MQTT 5.0 3.2.2.3.14). */
void client_set_keep_alive(struct client *client, uint16_t keep_alive_s);

/* With the CONNACK of MQTT 5: so many topic aliases may be made for the broker, and no alias makes a packet
 * larger than `largest` (0: any). */
void client_may_send(struct client *client, uint32_t alias_max, uint32_t largest);

/* Each writes one packet. */
struct client_publish {
    struct span topic, props, payload;
    uint16_t packet_id; /* above QoS 0 */
    uint8_t qos;
    bool retain, dup, has_expiry;
    uint32_t expiry_s; /* MQTT 5 */
};
/* The bytes that it takes in this version. */
size_t client_publish_size(enum mqtt_version version, const struct client_publish *publish);
void client_write_publish(struct client *client, const struct client_publish *publish);
void client_write_ack(struct client *client, enum mqtt_type type, uint16_t packet_id, uint8_t reason);
/* One filter. `options` as in MQTT 5.0 3.8.3.1; before 5.0 only its QoS counts. `subscription_id` 0: none. */
void client_write_subscribe(struct client *client, uint16_t packet_id, struct span filter, uint8_t options,
                            uint32_t subscription_id);
void client_write_unsubscribe(struct client *client, uint16_t packet_id, struct span filter);
void client_flush(struct client *client);

#endif
