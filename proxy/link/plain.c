/* A link without TLS: the socket's bytes are the plaintext. */
#include "link/uv.h"

static struct link_room plain_room(struct wire *wire) {
    struct link_room room = wire->link.events->on_room(&wire->link);
    if (room.size > LOOP_READ_SIZE)
        room.size = LOOP_READ_SIZE;
    return room;
}

static void plain_bytes(struct wire *wire, struct span bytes) {
    wire->link.events->on_bytes(&wire->link, bytes.size);
}

static int plain_write(struct link *link, const struct span *pieces, size_t count) {
    return wire_send((struct wire *)link, pieces, count);
}

static void plain_close(struct link *link, enum link_manner manner) {
    wire_close((struct wire *)link, manner);
}

const struct wire_kind wire_plain_kind = {
    {plain_write, wire_read_start, wire_read_stop, wire_is_ended, plain_close}, plain_room, plain_bytes};
