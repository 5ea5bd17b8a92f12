#include "bridge/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "policy/base64.h"

#define NONCE_SIZE 16
/* RFC 6455 1.3 */
#define KEY_TAIL    "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define ACCEPT_SIZE BASE64_SIZE(DIGEST_SHA1_SIZE)
/* An out buffer larger than this is given back when it was sent. */
#define OUT_ROOM_USUAL (256 * 1024)

struct websocket {
    enum websocket_state state;
    wslay_event_context_ptr frames;
    char accept[ACCEPT_SIZE];
    size_t head_size;
    uint8_t head[WEBSOCKET_HEAD_MAX];
    struct span in; /* what is being fed */
    bool (*take)(void *owner, struct span bytes);
    void *owner;
    bool is_payload; /* the frame that comes is no control frame */
    uint8_t *out;
    size_t out_size, out_room;
    char words[256];
};

static void go_wrong(struct websocket *websocket, const char *words) {
    if (websocket->state == WEBSOCKET_WRONG)
        return;
    websocket->state = WEBSOCKET_WRONG;
    snprintf(websocket->words, sizeof websocket->words, "%s", words);
}

const char *websocket_words(const struct websocket *websocket) {
    return websocket->words;
}

/* ---- out ---- */

static bool put_out(struct websocket *websocket, const void *bytes, size_t size) {
    if (websocket->out_room - websocket->out_size < size) {
        size_t room = websocket->out_room < 4096 ? 4096 : websocket->out_room;
        while (room - websocket->out_size < size)
            room *= 2;
        uint8_t *grown = realloc(websocket->out, room);
        if (grown == NULL)
            return false;
        websocket->out = grown;
        websocket->out_room = room;
    }
    memcpy(websocket->out + websocket->out_size, bytes, size);
    websocket->out_size += size;
    return true;
}

struct span websocket_out(const struct websocket *websocket) {
    return span_of(websocket->out, websocket->out_size);
}

void websocket_sent(struct websocket *websocket) {
    websocket->out_size = 0;
    if (websocket->out_room <= OUT_ROOM_USUAL)
        return;
    free(websocket->out);
    websocket->out = NULL;
    websocket->out_room = 0;
}

/* ---- what wslay asks ---- */

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *room, size_t size, int flags, void *owner) {
    struct websocket *websocket = owner;
    size_t count = websocket->in.size < size ? websocket->in.size : size;
    (void)flags;
    if (count == 0 || websocket->state != WEBSOCKET_OPEN) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(room, websocket->in.at, count);
    websocket->in = span_after(websocket->in, count);
    return (ssize_t)count;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t size, int flags,
                       void *owner) {
    (void)flags;
    if (put_out(owner, bytes, size))
        return (ssize_t)size;
    wslay_event_set_error(frames, WSLAY_ERR_NOMEM);
    return -1;
}

/* RFC 6455 5.3: a mask that nobody can guess, so that nobody can choose the bytes on the wire. */
static int on_mask(wslay_event_context_ptr frames, uint8_t *room, size_t size, void *owner) {
    (void)owner;
    if (random_fill(room, size))
        return 0;
    wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_frame(wslay_event_context_ptr frames, const struct wslay_event_on_frame_recv_start_arg *frame,
                     void *owner) {
    struct websocket *websocket = owner;
    (void)frames;
    websocket->is_payload = !wslay_is_ctrl_frame(frame->opcode);
    if (frame->opcode == WSLAY_TEXT_FRAME)
        go_wrong(websocket, "it sent a text frame, where MQTT comes in binary ones [MQTT-6.0.0-1]");
}

static void on_piece(wslay_event_context_ptr frames, const struct wslay_event_on_frame_recv_chunk_arg *piece,
                     void *owner) {
    struct websocket *websocket = owner;
    (void)frames;
    if (websocket->state == WEBSOCKET_OPEN && websocket->is_payload &&
        !websocket->take(websocket->owner, span_of(piece->data, piece->data_length)))
        go_wrong(websocket, "memory is out here");
}

static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                       .send_callback = on_send,
                                                       .genmask_callback = on_mask,
                                                       .on_frame_recv_start_callback = on_frame,
                                                       .on_frame_recv_chunk_callback = on_piece};

/* ---- frames ---- */

/* Puts all that wslay has to say into `out`. */
static bool pour(struct websocket *websocket) {
    return wslay_event_want_write(websocket->frames) == 0 || wslay_event_send(websocket->frames) == 0;
}

static void feed_frames(struct websocket *websocket) {
    int error = wslay_event_recv(websocket->frames);
    if (!pour(websocket) || error == WSLAY_ERR_NOMEM)
        go_wrong(websocket, "memory is out here");
    if (websocket->state != WEBSOCKET_OPEN)
        return;
    unsigned code = wslay_event_get_status_code_received(websocket->frames);
    if (error == 0 && wslay_event_get_close_received(websocket->frames)) {
        websocket->state = WEBSOCKET_CLOSED;
        snprintf(websocket->words, sizeof websocket->words, "it closed the WebSocket with code %u", code);
    } else if (error != 0 || !wslay_event_get_read_enabled(
                                 websocket->frames)) /* wslay says a close frame of its own then */
        go_wrong(websocket, "what it sent is no proper WebSocket frame");
}

bool websocket_wrap(struct websocket *websocket, struct span bytes) {
    const struct wslay_event_msg message = {WSLAY_BINARY_FRAME, bytes.at, bytes.size};
    if (websocket->state != WEBSOCKET_OPEN || bytes.size == 0)
        return true;
    int error = wslay_event_queue_msg(websocket->frames, &message);
    return error == WSLAY_ERR_NO_MORE_MSG || (error == 0 && pour(websocket));
}

void websocket_say_goodbye(struct websocket *websocket) {
    if (websocket->state == WEBSOCKET_OPEN &&
        wslay_event_queue_close(websocket->frames, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0)
        (void)pour(websocket);
}

/* ---- the handshake, RFC 6455 4.1 ---- */

static bool is_same_word(struct span a, const char *b) {
    return a.size == strlen(b) && strncasecmp((const char *)a.at, b, a.size) == 0;
}

static struct span trim(struct span text) {
    while (text.size != 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = span_after(text, 1);
    while (text.size != 0 && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text = span_first(text, text.size - 1);
    return text;
}

/* Up to a byte, which is stepped over; the rest where there is none. */
static struct span cut(struct span *text, uint8_t byte) {
    const uint8_t *end = text->size == 0 ? NULL : memchr(text->at, byte, text->size);
    struct span part = end == NULL ? *text : span_first(*text, (size_t)(end - text->at));
    *text = end == NULL ? SPAN_NONE : span_after(*text, part.size + 1);
    return part;
}

static struct span next_line(struct span *head) {
    struct span line = cut(head, '\n');
    return line.size != 0 && line.at[line.size - 1] == '\r' ? span_first(line, line.size - 1) : line;
}

static bool has_word(struct span list, const char *word) {
    while (list.size != 0)
        if (is_same_word(trim(cut(&list, ',')), word))
            return true;
    return false;
}

/* What the answer's header lines say. */
struct answer {
    bool has_upgrade, has_connection, has_accept, has_protocol, has_extensions;
};

static void read_line(const struct websocket *websocket, struct span line, struct answer *answer) {
    struct span name = cut(&line, ':'), value = trim(line);
    if (is_same_word(name, "Upgrade"))
        answer->has_upgrade |= has_word(value, "websocket");
    else if (is_same_word(name, "Connection"))
        answer->has_connection |= has_word(value, "Upgrade");
    else if (is_same_word(name, "Sec-WebSocket-Accept"))
        answer->has_accept = span_is_equal(value, span_of(websocket->accept, ACCEPT_SIZE));
    else if (is_same_word(name, "Sec-WebSocket-Protocol"))
        answer->has_protocol = span_is_text(value, "mqtt");
    else if (is_same_word(name, "Sec-WebSocket-Extensions"))
        answer->has_extensions = true;
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 101 Whatever" */
static bool is_switching(struct websocket *websocket, struct span line) {
    bool is_http = line.size >= 12 && span_begins_with(line, SPAN_LITERAL("HTTP/1.1 ")) &&
                   is_digit(line.at[9]) && is_digit(line.at[10]) && is_digit(line.at[11]) &&
                   (line.size == 12 || line.at[12] == ' ');
    char words[200], quoted[128];
    if (is_http && span_begins_with(span_after(line, 9), SPAN_LITERAL("101")))
        return true;
    if (is_http)
        snprintf(words, sizeof words, "it refused the WebSocket: %s",
                 text_quote(quoted, sizeof quoted, span_after(line, 9)));
    else
        snprintf(words, sizeof words, "it did not answer in HTTP/1.1, so it speaks no WebSocket");
    go_wrong(websocket, words);
    return false;
}

static void read_head(struct websocket *websocket, struct span head) {
    struct answer answer = {false};
    if (!is_switching(websocket, next_line(&head)))
        return;
    while (head.size != 0)
        read_line(websocket, next_line(&head), &answer);
    if (!answer.has_upgrade || !answer.has_connection)
        go_wrong(websocket, "its answer does not switch to WebSocket (RFC 6455 4.1)");
    else if (!answer.has_accept)
        go_wrong(websocket, "its Sec-WebSocket-Accept is not the answer to our key (RFC 6455 4.1)");
    else if (!answer.has_protocol)
        go_wrong(websocket, "it does not take the subprotocol mqtt [MQTT-6.0.0-4]");
    else if (answer.has_extensions)
        go_wrong(websocket, "it wants a WebSocket extension that was not offered (RFC 6455 4.1)");
    else
        websocket->state = WEBSOCKET_OPEN;
}

/* Gathers the head; what comes behind it are frames, and stays in `in`. */
static void feed_head(struct websocket *websocket) {
    while (websocket->in.size != 0 && websocket->state == WEBSOCKET_ASKING) {
        if (websocket->head_size == WEBSOCKET_HEAD_MAX) {
            go_wrong(websocket, "the head of its answer is too long");
            return;
        }
        websocket->head[websocket->head_size++] = websocket->in.at[0];
        websocket->in = span_after(websocket->in, 1);
        if (websocket->head_size >= 4 &&
            memcmp(websocket->head + websocket->head_size - 4, "\r\n\r\n", 4) == 0)
            read_head(websocket, span_of(websocket->head, websocket->head_size));
    }
}

enum websocket_state websocket_feed(struct websocket *websocket, struct span bytes,
                                    bool (*take)(void *owner, struct span bytes), void *owner) {
    websocket->in = bytes;
    websocket->take = take;
    websocket->owner = owner;
    if (websocket->state == WEBSOCKET_ASKING)
        feed_head(websocket);
    if (websocket->state == WEBSOCKET_OPEN)
        feed_frames(websocket);
    websocket->in = SPAN_NONE;
    return websocket->state;
}

/* ---- begin and end ---- */

static bool ask(struct websocket *websocket, struct span host, struct span path) {
    uint8_t nonce[NONCE_SIZE], digest[DIGEST_SHA1_SIZE];
    char key[BASE64_SIZE(NONCE_SIZE) + sizeof KEY_TAIL], request[WEBSOCKET_HEAD_MAX];
    if (!random_fill(nonce, sizeof nonce))
        return false;
    size_t size = base64_write(key, span_of(nonce, sizeof nonce));
    int length = snprintf(
        request, sizeof request,
        "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %.*s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        SPAN_PRINT(path), SPAN_PRINT(host), (int)size, key);
    memcpy(key + size, KEY_TAIL, sizeof KEY_TAIL);
    if (length < 0 || (size_t)length >= sizeof request ||
        !digest_sha1(span_of(key, size + sizeof KEY_TAIL - 1), digest))
        return false;
    base64_write(websocket->accept, span_of(digest, sizeof digest));
    return put_out(websocket, request, (size_t)length);
}

struct websocket *websocket_create(struct span host, struct span path) {
    struct websocket *websocket = calloc(1, sizeof *websocket);
    if (websocket == NULL)
        return NULL;
    if (wslay_event_context_client_init(&websocket->frames, &callbacks, websocket) != 0) {
        free(websocket);
        return NULL;
    }
    wslay_event_config_set_no_buffering(websocket->frames, 1); /* MQTT has its own lengths */
    if (ask(websocket, host, path))
        return websocket;
    websocket_destroy(websocket);
    return NULL;
}

void websocket_destroy(struct websocket *websocket) {
    if (websocket == NULL)
        return;
    wslay_event_context_free(websocket->frames);
    free(websocket->out);
    free(websocket);
}
