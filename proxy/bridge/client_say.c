/* What a client says: packets are gathered in one buffer, and leave together, in one WebSocket frame where
 * there is one under them. */
#include <errno.h>
#include <stdlib.h>

#include "bridge/client_inside.h"
#include "bridge/websocket.h"
#include "mqtt/acks.h"
#include "mqtt/write.h"

/* A write buffer larger than this is given back when it was written. */
#define OUT_ROOM_USUAL (256 * 1024)
/* So much may wait in front of the socket before messages wait in the queue instead. */
#define OUT_CONGESTED (128 * 1024)
/* Of the property. */
#define ALIAS_SIZE 3

/* ---- room ---- */

bool client_make_room(struct client *client, struct client_buffer *buffer, size_t wanted) {
    if (buffer->room - buffer->size >= wanted)
        return true;
    size_t room = buffer->room < 4096 ? 4096 : buffer->room;
    while (room - buffer->size < wanted)
        room *= 2;
    uint8_t *grown = realloc(buffer->bytes, room);
    if (grown == NULL) {
        client->is_out_of_memory = true;
        return false;
    }
    buffer->bytes = grown;
    buffer->room = room;
    return true;
}

void client_give_back(struct client_buffer *buffer, size_t usual) {
    if (buffer->size != 0 || buffer->room <= usual)
        return;
    free(buffer->bytes);
    *buffer = (struct client_buffer){NULL, 0, 0};
}

/* ---- what we say ---- */

int client_send_frames(struct client *client) {
    struct span bytes = websocket_out(client->websocket);
    int error = bytes.size == 0 ? 0 : link_write(client->link, &bytes, 1);
    websocket_sent(client->websocket);
    return error;
}

static int send_out(struct client *client) {
    struct span bytes = span_of(client->out.bytes, client->out.size);
    if (client->websocket == NULL)
        return link_write(client->link, &bytes, 1);
    return websocket_wrap(client->websocket, bytes) ? client_send_frames(client) : -ENOMEM;
}

void client_flush(struct client *client) {
    if (client->is_out_of_memory) {
        client_fail(client, CLIENT_NO_MEMORY, "memory is out here");
        return;
    }
    if (client->out.size == 0 || client->link == NULL || client->state == CLIENT_CLOSING)
        return;
    int error = send_out(client);
    client->out.size = 0;
    client->said_ms = loop_now_ms(client->loop);
    client_give_back(&client->out, OUT_ROOM_USUAL);
    if (error < 0)
        client_fail(client, CLIENT_CLOSED, "it cannot be written to: %s", loop_error_words(error));
}

bool client_is_congested(const struct client *client) {
    return client->link == NULL || link_pending(client->link) != 0 || client->out.size > OUT_CONGESTED;
}

bool client_begin(struct client *client, size_t size, struct writer *writer) {
    if (client->state != CLIENT_OPEN && client->state != CLIENT_GREETING)
        return false;
    if (!client_make_room(client, &client->out, size))
        return false;
    *writer = writer_of(client->out.bytes + client->out.size, client->out.room - client->out.size);
    return true;
}

void client_wrote(struct client *client, const struct writer *writer) {
    if (!writer->is_full)
        client->out.size += writer_size(writer);
}

static size_t props_size(enum mqtt_version version, const struct client_publish *publish) {
    return version != MQTT_VERSION_5 ? 0 : publish->props.size + (publish->has_expiry ? 5u : 0u);
}

/* `more`: of properties that are not the message's. */
static size_t body_size(enum mqtt_version version, const struct client_publish *publish, size_t more) {
    size_t props = props_size(version, publish) + more;
    return 2 + publish->topic.size + (publish->qos != 0 ? 2u : 0u) +
           (version != MQTT_VERSION_5 ? 0 : mqtt_varint_size((uint32_t)props) + props) +
           publish->payload.size;
}

size_t client_publish_size(enum mqtt_version version, const struct client_publish *publish) {
    size_t body = body_size(version, publish, 0);
    return 1 + mqtt_varint_size((uint32_t)body) + body;
}

/* The alias of its topic, 0 for none; is_told: the broker knows the topic, which is left out then. An alias
 * that is new makes the packet larger, and a broker has a limit (MQTT 5.0 3.2.2.3.6). */
static uint16_t choose_alias(struct client *client, const struct client_publish *publish, bool *is_told) {
    uint16_t alias = nicknames_find(&client->nicknames, publish->topic);
    size_t size = client_publish_size(client_version(client), publish) + ALIAS_SIZE +
                  3; /* lengths may take more bytes, too */
    *is_told = alias != 0;
    if (alias != 0 || (client->largest != 0 && size > client->largest))
        return alias;
    return nicknames_give(&client->nicknames, publish->topic);
}

static void write_publish(struct client *client, const struct client_publish *publish, uint16_t alias,
                          struct writer *writer) {
    enum mqtt_version version = client_version(client);
    size_t more = alias != 0 ? ALIAS_SIZE : 0, props = props_size(version, publish) + more;
    size_t body = body_size(version, publish, more);
    unsigned flags = (publish->dup && publish->qos != 0 ? 8u : 0u) | (unsigned)publish->qos << 1 |
                     (publish->retain ? 1u : 0u);
    mqtt_write_frame(writer, MQTT_PUBLISH, (uint8_t)flags, (uint32_t)body);
    writer_string(writer, publish->topic);
    if (publish->qos != 0)
        writer_u16(writer, publish->packet_id);
    if (version == MQTT_VERSION_5) {
        uint8_t room[4];
        writer_bytes(writer, span_of(room, mqtt_varint_write(room, (uint32_t)props)));
        if (alias != 0) {
            writer_u8(writer, 0x23); /* Topic Alias */
            writer_u16(writer, alias);
        }
        if (publish->has_expiry) {
            writer_u8(writer, 0x02); /* Message Expiry Interval */
            writer_u32(writer, publish->expiry_s);
        }
        writer_bytes(writer, publish->props);
    }
    writer_bytes(writer, publish->payload);
}

void client_write_publish(struct client *client, const struct client_publish *wanted) {
    struct client_publish publish = *wanted;
    struct writer writer;
    bool is_told = false;
    if (!client_begin(client, body_size(client_version(client), &publish, ALIAS_SIZE) + PACKET_HEAD_MAX,
                      &writer))
        return;
    uint16_t alias = client->nicknames.max == 0 ? 0 : choose_alias(client, &publish, &is_told);
    if (is_told)
        publish.topic = SPAN_NONE;
    write_publish(client, &publish, alias, &writer);
    client_wrote(client, &writer);
}

void client_may_send(struct client *client, uint32_t alias_max, uint32_t largest) {
    nicknames_begin(&client->nicknames, client_version(client) == MQTT_VERSION_5 ? alias_max : 0);
    client->largest = largest;
}

void client_write_ack(struct client *client, enum mqtt_type type, uint16_t packet_id, uint8_t reason) {
    struct writer writer;
    if (!client_begin(client, PACKET_HEAD_MAX, &writer))
        return;
    mqtt_write_ack(&writer, client_version(client), type, packet_id, reason, SPAN_NONE);
    client_wrote(client, &writer);
}

static void write_filter(struct client *client, enum mqtt_type type, uint16_t packet_id, struct span filter,
                         int options, uint32_t subscription_id) {
    bool is_5 = client_version(client) == MQTT_VERSION_5;
    uint8_t id[5] = {0x0B}; /* Subscription Identifier */
    size_t id_size = is_5 && subscription_id != 0 ? 1 + mqtt_varint_write(id + 1, subscription_id) : 0;
    size_t body = 2 + (is_5 ? 1u : 0u) + id_size + 2 + filter.size + (options >= 0 ? 1u : 0u);
    struct writer writer;
    if (!client_begin(client, body + PACKET_HEAD_MAX, &writer))
        return;
    mqtt_write_frame(&writer, type, 2, (uint32_t)body);
    writer_u16(&writer, packet_id);
    if (is_5)
        writer_u8(&writer, (uint8_t)id_size);
    writer_bytes(&writer, span_of(id, id_size));
    writer_string(&writer, filter);
    if (options >= 0)
        writer_u8(&writer, (uint8_t)(is_5 ? options : options & 3));
    client_wrote(client, &writer);
}

void client_write_subscribe(struct client *client, uint16_t packet_id, struct span filter, uint8_t options,
                            uint32_t subscription_id) {
    write_filter(client, MQTT_SUBSCRIBE, packet_id, filter, options, subscription_id);
}

void client_write_unsubscribe(struct client *client, uint16_t packet_id, struct span filter) {
    write_filter(client, MQTT_UNSUBSCRIBE, packet_id, filter, -1, 0);
}
