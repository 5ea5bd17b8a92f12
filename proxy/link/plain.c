/* A link without TLS: the socket's bytes are the plaintext. */
#include "link/uv.h"

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)suggested;
    struct wire *wire = handle->data;
    struct link_room room = wire->link.events->on_room(&wire->link);
    *buffer = uv_buf_init((char *)room.at, room.size < LOOP_READ_SIZE ? (unsigned)room.size : LOOP_READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    (void)buffer;
    struct wire *wire = stream->data;
    if (count > 0)
        wire->link.events->on_bytes(&wire->link, (size_t)count);
    else if (count < 0)
        wire->link.events->on_end(&wire->link, count == UV_EOF ? 0 : (int)count);
}

static int plain_write(struct link *link, const struct span *pieces, size_t count) {
    return wire_send((struct wire *)link, pieces, count);
}

static void plain_read_start(struct link *link) {
    wire_read_start((struct wire *)link, on_alloc, on_read);
}

static void plain_read_stop(struct link *link) {
    uv_read_stop(&((struct wire *)link)->uv.stream);
}

static void plain_close(struct link *link, enum link_manner manner) {
    wire_close((struct wire *)link, manner);
}

const struct link_verbs wire_plain_verbs = {plain_write, plain_read_start, plain_read_stop, plain_close};
