/* tunnel: through an HTTP proxy. Its answer is read to the end of its head, then the wire is as if the other
 * end had been dialled itself. */
#include "base/tunnel.h"

#include <errno.h>
#include <stdlib.h>

#include "link/uv.h"

struct tunnel {
    int (*then)(struct wire *wire);
    size_t filled;
    uint8_t bytes[TUNNEL_HEAD_MAX]; /* the request, then the answer */
};

bool wire_set_tunnel(struct wire *wire, struct span request) {
    if (request.size == 0)
        return true;
    wire->tunnel = request.size <= TUNNEL_HEAD_MAX ? malloc(sizeof *wire->tunnel) : NULL;
    if (wire->tunnel == NULL)
        return false;
    memcpy(wire->tunnel->bytes, request.at, request.size);
    wire->tunnel->filled = request.size;
    return true;
}

static void fail(struct wire *wire, enum dial_trouble trouble) {
    wire->link.trouble = (uint8_t)trouble;
    wire->link.events->on_end(&wire->link, -EPROTO);
}

static void go_on(struct wire *wire) {
    struct link *link = &wire->link;
    int (*then)(struct wire *) = wire->tunnel->then;
    free(wire->tunnel);
    wire->tunnel = NULL;
    wire->is_greeting = false;
    link->trouble = DIAL_TROUBLE_NONE;
    wire_set_kind(wire, &wire_plain_kind);
    int error = then(wire);
    if (error < 0)
        link->events->on_end(link, error);
    else if (link->is_open)
        link->events->on_open(link);
}

static struct link_room tunnel_room(struct wire *wire) {
    struct tunnel *tunnel = wire->tunnel;
    return (struct link_room){tunnel->bytes + tunnel->filled, TUNNEL_HEAD_MAX - tunnel->filled};
}

static void tunnel_bytes(struct wire *wire, struct span bytes) {
    struct tunnel *tunnel = wire->tunnel;
    tunnel->filled += bytes.size;
    switch (tunnel_read_answer(span_of(tunnel->bytes, tunnel->filled))) {
    case TUNNEL_MORE: return; /* there is room: a full one without an end is wrong */
    case TUNNEL_OPEN: go_on(wire); return;
    case TUNNEL_PASSWORD: fail(wire, DIAL_TROUBLE_HTTP_PASSWORD); return;
    case TUNNEL_REFUSED: fail(wire, DIAL_TROUBLE_HTTP_REFUSED); return;
    case TUNNEL_WRONG: fail(wire, DIAL_TROUBLE_HTTP_WRONG); return;
    }
}

static int tunnel_write(struct link *link, const struct span *pieces, size_t count) {
    (void)link, (void)pieces, (void)count;
    return -ENOTCONN;
}

static void tunnel_close(struct link *link, enum link_manner manner) {
    (void)manner;
    wire_close((struct wire *)link, LINK_AT_ONCE);
}

static const struct wire_kind tunnel_kind = {
    {tunnel_write, wire_read_start, wire_read_stop, wire_is_ended, tunnel_close}, tunnel_room, tunnel_bytes};

int wire_start_tunnel(struct wire *wire, int (*then)(struct wire *wire)) {
    struct tunnel *tunnel = wire->tunnel;
    const struct span request = {tunnel->bytes, tunnel->filled};
    uint8_t *prelude = wire->prelude; /* is for the other end of the tunnel */
    tunnel->then = then;
    wire->link.is_open = false;
    wire->link.trouble = DIAL_TROUBLE_HTTP_CLOSED; /* what it is if nothing else comes */
    wire_set_kind(wire, &tunnel_kind);
    wire->prelude = NULL;
    int error = wire_send(wire, &request, 1);
    wire->prelude = prelude;
    explicit_bzero(tunnel->bytes, tunnel->filled); /* a password stands in it */
    tunnel->filled = 0;
    return error < 0 ? error : wire_greet(wire);
}
