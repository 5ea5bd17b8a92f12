/* A link with TLS. One read from the socket is fed to the engine, all its plaintext is handed over, and what
 * the engine says goes out in one write. */
#include <errno.h>

#include "link/uv.h"

/* Sends what engines put into the loop's buffer. */
static int flush(struct wire *wire) {
    struct engine_out *out = &wire->loop->out;
    if (out->filled == 0)
        return 0;
    struct span bytes = {out->room, out->filled};
    out->filled = 0;
    return wire_send(wire, &bytes, 1);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)suggested;
    struct wire *wire = handle->data;
    *buffer = uv_buf_init((char *)wire->loop->ciphertext, LOOP_READ_SIZE);
}

/* Hands plaintext over until the engine has no more. The room takes all of one read, so this goes round once,
 * and a second time to hear that there is nothing left. */
static void pump(struct wire *wire) {
    struct link *link = &wire->link;
    for (;;) {
        struct link_room room = link->events->on_room(link);
        size_t filled = 0, count;
        while (filled < room.size && (count = engine_read(link->engine, room.at + filled, room.size - filled,
                                                          &wire->loop->out)) > 0)
            filled += count;
        int error = flush(wire);
        if (filled > 0)
            link->events->on_bytes(link, filled);
        if (error < 0 && !link->is_closing)
            link->events->on_end(link, error);
        if (link->is_closing || filled < room.size)
            return;
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct wire *wire = stream->data;
    struct link *link = &wire->link;
    if (count == 0)
        return;
    if (count < 0) {
        link->events->on_end(link, count == UV_EOF ? 0 : (int)count);
        return;
    }
    enum engine_state state =
        engine_feed(link->engine, span_of(buffer->base, (size_t)count), &wire->loop->out);
    int error = flush(wire);
    if (error < 0) {
        link->events->on_end(link, error);
        return;
    }
    if (state == ENGINE_OPEN && !link->is_open) {
        link->is_open = true;
        link->events->on_open(link);
    }
    if (state == ENGINE_OPEN && !link->is_closing)
        pump(wire);
    if (link->is_closing)
        return;
    state = engine_state_of(link->engine);
    if (state == ENGINE_BROKEN)
        link->events->on_end(link, -EPROTO);
    else if (state == ENGINE_CLOSED)
        link->events->on_end(link, 0);
}

static int secure_write(struct link *link, const struct span *pieces, size_t count) {
    struct wire *wire = (struct wire *)link;
    for (size_t i = 0; i < count; i++) {
        struct span left = pieces[i];
        while (left.size > 0) {
            size_t taken = engine_write(link->engine, left, &wire->loop->out);
            left = span_after(left, taken);
            if (left.size == 0)
                break;
            bool is_stuck = taken == 0 && wire->loop->out.filled == 0;
            int error = is_stuck ? -EPROTO : flush(wire);
            if (error < 0)
                return error;
        }
    }
    return flush(wire);
}

static void secure_read_start(struct link *link) {
    wire_read_start((struct wire *)link, on_alloc, on_read);
}

static void secure_read_stop(struct link *link) {
    uv_read_stop(&((struct wire *)link)->uv.stream);
}

static void secure_close(struct link *link, enum link_manner manner) {
    struct wire *wire = (struct wire *)link;
    if (manner == LINK_POLITELY) {
        engine_close(link->engine, &wire->loop->out);
        if (flush(wire) < 0)
            manner = LINK_AT_ONCE;
    }
    /* A handshake that failed has an alert on its way, which deserves the polite way too. */
    bool was_open = link->is_open;
    link->is_open = true;
    wire_close(wire, was_open || manner == LINK_POLITELY ? manner : LINK_AT_ONCE);
}

const struct link_verbs wire_secure_verbs = {secure_write, secure_read_start, secure_read_stop, secure_close};
