#include "bridge/client_inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridge/websocket.h"
#include "mqtt/acks.h"
#include "mqtt/write.h"

/* A read buffer larger than this is given back when a large packet is through. */
#define IN_ROOM_USUAL (4 * LINK_ROOM_MIN)

static const struct {
    const char *label, *sentence;
} end_rows[] = {
#define CLIENT_END(name, label, sentence) {label, sentence},
#include "bridge/client_ends.def"
#undef CLIENT_END
};

const char *client_end_label(enum client_end end) {
    return end_rows[end].label;
}

const char *client_end_sentence(enum client_end end) {
    return end_rows[end].sentence;
}

/* ---- the end ---- */

static void finish(struct client *client) {
    wheel_cancel(loop_wheel(client->loop), &client->deadline);
    client->state = CLIENT_IDLE;
    client->in.size = client->out.size = client->frames.size = 0;
    alias_clear(&client->aliases);
    nicknames_clear(&client->nicknames);
    websocket_destroy(client->websocket);
    client->websocket = NULL;
    client->events->on_ended(client, client->end, client->words);
}

static void close_with(struct client *client, enum client_end end, enum link_manner manner) {
    if (client->state == CLIENT_IDLE || client->state == CLIENT_CLOSING)
        return;
    client->end = end;
    if (client->words[0] == '\0')
        snprintf(client->words, sizeof client->words, "%s", end_rows[end].sentence);
    client->state = CLIENT_CLOSING;
    wheel_cancel(loop_wheel(client->loop), &client->deadline);
    backend_cancel(&client->call);
    if (client->link != NULL)
        link_close(client->link, manner);
    else
        finish(client);
}

void client_close(struct client *client, enum client_end end, bool has_goodbye) {
    bool is_polite = has_goodbye && client->state == CLIENT_OPEN;
    struct writer writer;
    if (is_polite && client_begin(client, PACKET_HEAD_MAX, &writer)) {
        if (client->ends_session && client_version(client) == MQTT_VERSION_5)
            writer_bytes(&writer, SPAN_LITERAL("\xE0\x07\0\x05\x11\0\0\0\0")); /* Session Expiry Interval 0 */
        else
            mqtt_write_disconnect(&writer, client_version(client), MQTT_REASON_SUCCESS, SPAN_NONE);
        client_wrote(client, &writer);
        client_flush(client);
    }
    if (is_polite && client->websocket != NULL && client->state == CLIENT_OPEN) {
        websocket_say_goodbye(client->websocket);
        (void)client_send_frames(client);
    }
    close_with(client, end, is_polite ? LINK_POLITELY : LINK_AT_ONCE);
}

void client_fail(struct client *client, enum client_end end, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (client->state != CLIENT_CLOSING && client->state != CLIENT_IDLE)
        vsnprintf(client->words, sizeof client->words, format, arguments);
    va_end(arguments);
    close_with(client, end, LINK_AT_ONCE);
}

/* ---- what we hear ---- */

static void wrong(struct client *client, enum violation violation) {
    client_fail(client, CLIENT_PROTOCOL, "what it sent is no MQTT: %s (%s)",
                violation_rows[violation].sentence, violation_rows[violation].clause);
}

/* A broker that knows no MQTT 5 answers in the words of 3.1.1 (MQTT 5.0 4.13, MQTT 3.1.1 3.1.2-2). */
static bool is_old_refusal(const struct client *client, struct span bytes) {
    return client_version(client) == MQTT_VERSION_5 && bytes.size == 4 && bytes.at[0] == 0x20 &&
           bytes.at[1] == 2 && bytes.at[2] == 0 && bytes.at[3] >= 1 && bytes.at[3] <= 5;
}

static void hear_connack(struct client *client, struct span body) {
    struct mqtt_connack connack;
    enum violation violation;
    if (client->state != CLIENT_GREETING) {
        wrong(client, VIOLATION_PACKET_ORDER);
        return;
    }
    if (mqtt_connack_read(body, client_version(client), &connack, &violation) != MQTT_WHOLE) {
        wrong(client, violation);
        return;
    }
    if (connack.code == 0) {
        client->state = CLIENT_OPEN;
        backend_report(client->call.backend, &client->call, true);
        client_set_keep_alive(client, client->wish.connect.keep_alive_s);
    }
    client->events->on_connack(client, &connack);
    if (connack.code != 0)
        client_fail(client, CLIENT_REFUSED, "it refused the CONNECT: %s",
                    client_version(client) == MQTT_VERSION_5 ? mqtt_reason_words(connack.code)
                    : connack.code == 1                      ? "unacceptable protocol version"
                    : connack.code == 2                      ? "client id rejected"
                    : connack.code == 3                      ? "server unavailable"
                    : connack.code == 4                      ? "bad user name or password"
                                                             : "not authorized");
}

/* The topic, if need be by its alias; false: the client ends. */
static bool find_topic(struct client *client, const struct mqtt_publish *publish, struct span *topic) {
    *topic = publish->topic;
    if (publish->topic_alias == 0)
        return true;
    if (publish->topic_alias > client->aliases.max) {
        wrong(client, VIOLATION_TOPIC_ALIAS);
        return false;
    }
    if (topic->size != 0) {
        if (!alias_set(&client->aliases, publish->topic_alias, *topic, true))
            client_fail(client, CLIENT_NO_MEMORY, "memory is out here");
        return client->state == CLIENT_OPEN;
    }
    const struct alias_entry *entry = alias_find(&client->aliases, publish->topic_alias);
    if (entry == NULL) {
        wrong(client, VIOLATION_TOPIC_ALIAS);
        return false;
    }
    *topic = span_of(entry->topic, entry->size);
    return true;
}

static void hear_publish(struct client *client, const struct mqtt_frame *frame, struct span bytes) {
    struct mqtt_publish publish;
    enum violation violation;
    struct span topic;
    if (mqtt_publish_read(frame, bytes, client_version(client), MQTT_TO_DEVICE, &publish, &violation) !=
        MQTT_WHOLE) {
        wrong(client, violation);
        return;
    }
    if (find_topic(client, &publish, &topic))
        client->events->on_publish(client, &publish, topic, span_after(bytes, publish.head_size));
}

static void hear_ack(struct client *client, enum mqtt_type type, struct span body) {
    struct mqtt_ack ack;
    enum violation violation;
    if (mqtt_ack_read(body, type, client_version(client), MQTT_TO_DEVICE, &ack, &violation) != MQTT_WHOLE)
        wrong(client, violation);
    else if (type == MQTT_DISCONNECT)
        client_fail(client, CLIENT_DISCONNECTED, "it sent a DISCONNECT: %s", mqtt_reason_words(ack.reason));
    else if (type == MQTT_AUTH)
        wrong(client, VIOLATION_PACKET_ORDER);
    else
        client->events->on_ack(client, type, ack.packet_id, ack.reason);
}

static void hear_suback(struct client *client, enum mqtt_type type, struct span body) {
    struct mqtt_suback suback;
    enum violation violation;
    if (mqtt_suback_read(body, type, client_version(client), &suback, &violation) != MQTT_WHOLE)
        wrong(client, violation);
    else
        client->events->on_suback(client, type, suback.packet_id, suback.codes);
}

static void hear(struct client *client, const struct mqtt_frame *frame, struct span bytes) {
    struct span body = span_after(bytes, frame->header_size);
    if (client->state == CLIENT_GREETING && frame->type != MQTT_CONNACK) {
        wrong(client, VIOLATION_PACKET_ORDER);
        return;
    }
    switch (frame->type) {
    case MQTT_CONNACK: hear_connack(client, body); break;
    case MQTT_PUBLISH: hear_publish(client, frame, bytes); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH: hear_ack(client, frame->type, body); break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: hear_suback(client, frame->type, body); break;
    case MQTT_PINGRESP: client->is_pinged = false; break;
    case MQTT_CONNECT:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_PINGREQ: wrong(client, VIOLATION_PACKET_ORDER); break;
    }
}

static bool is_listening(const struct client *client) {
    return client->state == CLIENT_OPEN || client->state == CLIENT_GREETING;
}

/* One packet; false when it is not whole yet, or nothing more is to be read. */
static bool hear_next(struct client *client, struct span *bytes) {
    struct mqtt_frame frame;
    enum violation violation;
    if (client->state == CLIENT_GREETING && is_old_refusal(client, *bytes)) {
        struct mqtt_connack connack = {.code = MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION};
        if (bytes->at[3] != 1)
            connack.code = MQTT_REASON_NOT_AUTHORIZED;
        client->events->on_connack(client, &connack);
        client_fail(client, CLIENT_REFUSED, "it refused the CONNECT of MQTT 5 with code %u of MQTT 3.1.1",
                    bytes->at[3]);
        return false;
    }
    enum mqtt_outcome outcome =
        mqtt_frame_read(*bytes, client_version(client), MQTT_TO_DEVICE, &frame, &violation);
    if (outcome == MQTT_WRONG) {
        wrong(client, violation);
        return false;
    }
    if (outcome == MQTT_MORE)
        return false;
    size_t size = mqtt_frame_size(&frame);
    if (client->wish.max_packet_size != 0 && size > client->wish.max_packet_size) {
        client_fail(client, CLIENT_TOO_LARGE,
                    "it sent a packet of %zu bytes, more than bridge_max_packet_size", size);
        return false;
    }
    if (bytes->size < size) { /* the next reads come behind what is here */
        (void)client_make_room(client, &client->in, size - bytes->size + LINK_ROOM_MIN);
        return false;
    }
    hear(client, &frame, span_first(*bytes, size));
    *bytes = span_after(*bytes, size);
    return is_listening(client) && bytes->size != 0;
}

/* Reads on, and hands out, what is whole in `in`. */
static void hear_all(struct client *client) {
    size_t held = client->in.size;
    struct span bytes = span_of(client->in.bytes, held);
    while (hear_next(client, &bytes))
        ;
    if (!is_listening(client)) /* ended within: the buffers are empty already, or go with it */
        return;
    if (bytes.size != 0 && bytes.size != held)
        memmove(client->in.bytes, client->in.bytes + held - bytes.size, bytes.size);
    client->in.size = bytes.size;
    client_give_back(&client->in, IN_ROOM_USUAL);
    client->events->on_read(client);
    client_flush(client);
}

/* ---- the WebSocket under it ---- */

static bool take_piece(void *owner, struct span bytes) {
    struct client *client = owner;
    if (!client_make_room(client, &client->in, bytes.size))
        return false;
    memcpy(client->in.bytes + client->in.size, bytes.at, bytes.size);
    client->in.size += bytes.size;
    return true;
}

static void say_connect(struct client *client);

/* What came in front of a close frame is heard. */
static void feed_websocket(struct client *client, struct span bytes) {
    enum websocket_state state = websocket_feed(client->websocket, bytes, take_piece, client);
    int error = client_send_frames(client);
    if (state == WEBSOCKET_OPEN && client->state == CLIENT_UPGRADING)
        say_connect(client);
    if (is_listening(client) && client->in.size != 0)
        hear_all(client);
    if (client->state == CLIENT_CLOSING || client->state == CLIENT_IDLE)
        return;
    if (state == WEBSOCKET_WRONG)
        client_fail(client, CLIENT_WEBSOCKET, "%s", websocket_words(client->websocket));
    else if (state == WEBSOCKET_CLOSED)
        client_fail(client, CLIENT_CLOSED, "%s", websocket_words(client->websocket));
    else if (error < 0)
        client_fail(client, CLIENT_CLOSED, "it cannot be written to: %s", loop_error_words(error));
}

static void ask_for_websocket(struct client *client) {
    client->websocket = websocket_create(client->wish.websocket_host, client->wish.websocket_path);
    client->state = CLIENT_UPGRADING;
    client->words[0] = '\0';
    int error = client->websocket == NULL ? -ENOMEM : client_send_frames(client);
    if (error < 0)
        client_fail(client, error == -ENOMEM ? CLIENT_NO_MEMORY : CLIENT_CLOSED,
                    "it cannot be asked for a WebSocket: %s", loop_error_words(error));
    else
        link_read(client->link, true);
}

/* ---- bytes ---- */

static struct link_room on_room(struct link *link) {
    struct client *client = link->owner;
    struct client_buffer *buffer = client->websocket == NULL ? &client->in : &client->frames;
    if (!client_make_room(client, buffer, LINK_ROOM_MIN)) {
        client_fail(client, CLIENT_NO_MEMORY, "memory is out here");
        return (struct link_room){NULL, 0};
    }
    return (struct link_room){buffer->bytes + buffer->size, buffer->room - buffer->size};
}

static void on_bytes(struct link *link, size_t count) {
    struct client *client = link->owner;
    client->heard_ms = loop_now_ms(client->loop);
    if (client->websocket != NULL) {
        feed_websocket(client, span_of(client->frames.bytes, count));
        return;
    }
    client->in.size += count;
    hear_all(client);
}

/* ---- the link ---- */

static void say_connect(struct client *client) {
    const struct mqtt_connect *connect = &client->wish.connect;
    size_t size = PACKET_HEAD_MAX + 32 + connect->client_id.size + connect->will_topic.size +
                  connect->will_payload.size + connect->username.size + connect->password.size +
                  connect->props.raw.size + connect->will_props.raw.size;
    struct writer writer;
    client->state = CLIENT_GREETING;
    client->words[0] = '\0';
    if (!client_begin(client, size, &writer))
        return;
    mqtt_write_connect(&writer, connect);
    client_wrote(client, &writer);
    size = client->out.size;
    client_flush(client); /* does not give back so small a buffer */
    if (size <= client->out.room)
        explicit_bzero(client->out.bytes, size); /* a password stands in it */
}

static void on_open(struct link *link) {
    struct client *client = link->owner;
    if (client->wish.websocket_path.size != 0) {
        ask_for_websocket(client);
        return;
    }
    say_connect(client);
    client_flush(client);
    if (client->state == CLIENT_GREETING)
        link_read(link, true);
}

static void on_drained(struct link *link) {
    struct client *client = link->owner;
    if (client->state == CLIENT_OPEN)
        client->events->on_drained(client);
}

/* Before the CONNACK: another address may be better. */
static void try_next(struct client *client, struct link *link, int error) {
    enum dial_trouble trouble = link_trouble(link);
    snprintf(client->words, sizeof client->words, "it cannot be reached: %s",
             trouble != DIAL_TROUBLE_NONE ? dial_trouble_sentence(trouble)
             : error == 0                 ? "it closed the connection"
                                          : loop_error_words(error));
    backend_report(client->call.backend, &client->call, false);
    client->link = NULL; /* on_link_closed sees that it is not the client's any more */
    link->owner = NULL;
    link_close(link, LINK_AT_ONCE);
    backend_dial(client->call.backend, &client->call);
}

static void on_end(struct link *link, int error) {
    struct client *client = link->owner;
    if (client == NULL)
        return;
    if (client->state == CLIENT_DIALING) {
        try_next(client, link, error);
        return;
    }
    enum dial_trouble trouble = link_trouble(link);
    if (trouble != DIAL_TROUBLE_NONE)
        client_fail(client, CLIENT_CLOSED, "it ended the connection: %s", dial_trouble_sentence(trouble));
    else
        client_fail(client, CLIENT_CLOSED, "it closed the connection%s%s", error == 0 ? "" : ": ",
                    error == 0 ? "" : loop_error_words(error));
}

static void on_closed(struct link *link) {
    struct client *client = link->owner;
    if (client == NULL)
        return;
    client->link = NULL;
    finish(client);
}

static const struct link_events link_events = {on_open, on_room, on_bytes, on_drained, on_end, on_closed};

/* The system does not tell which of the two addresses it complains about. */
static void word_failure(struct client *client, int error) {
    const struct address *from = client->wish.link.socket.from;
    bool is_about_ours =
        error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT || error == -EADDRINUSE || error == -EINVAL;
    char room[NETWORK_TEXT_SIZE];
    if (from == NULL || !is_about_ours) {
        snprintf(client->words, sizeof client->words, "it cannot be reached: %s", loop_error_words(error));
        return;
    }
    const struct ip own = address_ip(from);
    snprintf(client->words, sizeof client->words, "it cannot be reached from bridge_bind_address %s: %s",
             ip_print(&own, room),
             error == -EAFNOSUPPORT ? "it has no address of that family" : loop_error_words(error));
}

static void on_dialed(struct backend_call *call, int error, struct link *link) {
    struct client *client = call->owner;
    if (error < 0) {
        if (client->words[0] == '\0')
            word_failure(client, error);
        close_with(client, CLIENT_UNREACHABLE, LINK_AT_ONCE);
        return;
    }
    client->link = link;
    if (link->is_open)
        on_open(link);
}

/* ---- time ---- */

static void set_deadline(struct client *client, uint64_t due_ms) {
    wheel_set(loop_wheel(client->loop), &client->deadline, due_ms);
}

/* A PINGREQ when nothing was said, or heard, for a while; the end when nothing is heard at all. */
static void keep_alive(struct client *client, uint64_t now_ms) {
    uint64_t interval_ms = (uint64_t)client->keep_alive_s * 1000;
    bool is_reading = client->link->is_reading;
    if (is_reading && now_ms - client->heard_ms > interval_ms + interval_ms / 2) {
        client_fail(client, CLIENT_KEEP_ALIVE, "nothing came from it for %llu seconds",
                    (unsigned long long)(now_ms - client->heard_ms) / 1000);
        return;
    }
    bool is_quiet =
        now_ms - client->said_ms >= interval_ms / 2 || now_ms - client->heard_ms >= interval_ms / 2;
    struct writer writer;
    if (is_quiet && !client->is_pinged && client_begin(client, 2, &writer)) {
        mqtt_write_frame(&writer, MQTT_PINGREQ, 0, 0);
        client_wrote(client, &writer);
        client->is_pinged = true;
        client_flush(client);
    }
    if (client->state == CLIENT_OPEN)
        set_deadline(client, now_ms + interval_ms / 4);
}

static void on_due(struct deadline *deadline, uint64_t now_ms) {
    struct client *client = (struct client *)((char *)deadline - offsetof(struct client, deadline));
    if (client->state == CLIENT_OPEN)
        keep_alive(client, now_ms);
    else
        client_fail(client, CLIENT_CONNECT_TIMEOUT, "it did not answer %s within %llu ms",
                    client->state == CLIENT_GREETING    ? "the CONNECT"
                    : client->state == CLIENT_UPGRADING ? "the request for a WebSocket"
                                                        : "at all",
                    (unsigned long long)client->wish.timeout_ms);
}

void client_set_keep_alive(struct client *client, uint16_t keep_alive_s) {
    client->keep_alive_s = keep_alive_s;
    client->is_pinged = false;
    if (keep_alive_s == 0)
        wheel_cancel(loop_wheel(client->loop), &client->deadline);
    else
        set_deadline(client, loop_now_ms(client->loop) + (uint64_t)keep_alive_s * 250);
}

/* ---- begin ---- */

void client_init(struct client *client, struct loop *loop, struct backend **backends,
                 const struct client_events *events, void *owner) {
    *client = (struct client){.loop = loop, .backends = backends, .events = events, .owner = owner};
    client->deadline.on_due = on_due;
}

void client_connect(struct client *client, const struct client_wish *wish) {
    client->wish = *wish;
    client->state = CLIENT_DIALING;
    client->words[0] = '\0';
    client->end = CLIENT_NONE;
    client->is_out_of_memory = client->is_pinged = false;
    client->in.size = client->out.size = 0;
    client->aliases.max = wish->topic_alias_max;
    client->began_ms = client->heard_ms = client->said_ms = loop_now_ms(client->loop);
    client->call = (struct backend_call){.events = &link_events,
                                         .owner = client,
                                         .wish = wish->link,
                                         .where = wish->where,
                                         .backend = backend_find(client->backends, client->loop, wish->where),
                                         .on_dialed = on_dialed};
    set_deadline(client, client->began_ms + wish->timeout_ms);
    if (client->call.backend == NULL)
        close_with(client, CLIENT_NO_MEMORY, LINK_AT_ONCE);
    else
        backend_dial(client->call.backend, &client->call);
}

void client_read(struct client *client, bool is_wanted) {
    if (client->link != NULL && is_listening(client))
        link_read(client->link, is_wanted);
}

void client_clear(struct client *client) {
    free(client->in.bytes);
    free(client->out.bytes);
    free(client->frames.bytes);
    alias_clear(&client->aliases);
    nicknames_clear(&client->nicknames);
    client->in = client->out = client->frames = (struct client_buffer){NULL, 0, 0};
}
