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

static struct link_room secure_room(struct wire *wire) {
    return (struct link_room){wire->loop->ciphertext, LOOP_READ_SIZE};
}

/* Hands plaintext over until the engine has no more. The room takes all of one read, so this goes round once.
 */
static void pump(struct wire *wire) {
    struct link *link = &wire->link;
    for (;;) {
        struct link_room room = link->events->on_room(link);
        size_t filled = 0, count;
        do {
            count = engine_read(link->engine, room.at + filled, room.size - filled, &wire->loop->out);
            filled += count;
        } while (count != 0 && filled < room.size && !engine_is_drained(link->engine));
        int error = flush(wire);
        if (filled > 0)
            link->events->on_bytes(link, filled);
        if (error < 0 && !link->is_closing)
            link->events->on_end(link, error);
        if (link->is_closing || filled < room.size)
            return;
    }
}

/* The engine was fed, and what it said is on its way or could not be sent. */
static void go_on(struct wire *wire, int error) {
    struct link *link = &wire->link;
    enum engine_state state = engine_state_of(link->engine);
    if (error < 0) {
        link->events->on_end(link, error);
        return;
    }
    if (state == ENGINE_OPEN && !link->is_open) {
        link->is_open = true;
        if (!wire->is_greeting)
            turn_enter(wire);
        wire->is_greeting = false;
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

static void secure_bytes(struct wire *wire, struct span bytes) {
    struct link *link = &wire->link;
    if (!link->is_open && !wire->is_greeting) {
        if (turn_place(wire->loop) == TURN_ASIDE && aside_take(wire, bytes))
            return;
        turn_count_handshake(wire->loop);
    }
    (void)engine_feed(link->engine, bytes, &wire->loop->out);
    go_on(wire, flush(wire));
}

void wire_secure_back(struct wire *wire, struct step *step) {
    struct span said = {step->said.room, step->said.filled};
    bool is_lost = said.at == NULL && said.size != 0;
    go_on(wire, is_lost ? -ENOMEM : wire_send(wire, &said, 1));
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

static void secure_close(struct link *link, enum link_manner manner) {
    struct wire *wire = (struct wire *)link;
    if (manner == LINK_POLITELY && wire->step == NULL) {
        engine_close(link->engine, &wire->loop->out);
        if (flush(wire) < 0)
            manner = LINK_AT_ONCE;
    }
    /* A handshake that failed has an alert on its way, which deserves the polite way too. */
    bool was_open = link->is_open;
    link->is_open = true;
    wire_close(wire, was_open || manner == LINK_POLITELY ? manner : LINK_AT_ONCE);
}

int wire_start_tls(struct wire *wire, struct tls_context *context) {
    struct link *link = &wire->link;
    link->is_open = false;
    link->engine = engine_dial(context);
    if (link->engine == NULL)
        return -ENOMEM;
    wire_set_kind(wire, &wire_secure_kind);
    if (engine_start(link->engine, &wire->loop->out) != ENGINE_SHAKING) {
        wire->loop->out.filled = 0;
        return -EPROTO;
    }
    int error = flush(wire);
    return error < 0 ? error : wire_greet(wire);
}

const struct wire_kind wire_secure_kind = {
    {secure_write, wire_read_start, wire_read_stop, wire_is_ended, secure_close}, secure_room, secure_bytes};
