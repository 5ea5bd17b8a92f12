/* The socket side of a link.
 *
 *     link_write ---> tried at once with uv_try_write ---> kernel
 *                        | what it does not take
 *                        v
 *                     flying (one uv_write) ---> kernel ---> on_drained when nothing is left
 *                     waiting (behind it)
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "link/uv.h"

/* How long the other side has to read our last words before the socket is closed under it: closing at once
 * with unread bytes in the receive queue would reset the connection and destroy a CONNACK or DISCONNECT that
 * is still on its way. */
#define LINGER_MS 1000
/* And how long for the kernel to take what is pending. */
#define LINGER_PENDING_MS 5000

struct flight {
    uv_write_t request;
    size_t size;
    uint8_t bytes[];
};

static void count_pending(struct wire *wire) {
    wire->link.pending = (wire->flying == NULL ? 0 : wire->flying->size) + wire->waiting_size;
}

/* While its engine is on the other thread, later: see wire_step_back. */
static void release(struct wire *wire) {
    wire->is_gone = true;
    if (wire->step != NULL)
        return;
    engine_destroy(wire->link.engine);
    tls_context_drop(wire->tls);
    free(wire->tunnel);
    free(wire->waiting);
    free(wire->prelude);
    free(wire);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct wire *wire = handle->data;
    wire->link.events->on_closed(&wire->link);
    release(wire);
}

static void close_handle(struct wire *wire) {
    wheel_cancel(&wire->loop->wheel, &wire->linger);
    turn_forget(wire);
    turn_leave(wire);
    if (!uv_is_closing(&wire->uv.handle))
        uv_close(&wire->uv.handle, on_handle_closed);
}

void wire_cut(struct wire *wire) {
    wire->link.is_closing = true;
    close_handle(wire);
}

static void on_linger_over(struct deadline *deadline, uint64_t now_ms) {
    (void)now_ms;
    close_handle((struct wire *)((char *)deadline - offsetof(struct wire, linger)));
}

void wire_set_kind(struct wire *wire, const struct wire_kind *kind) {
    wire->kind = kind;
    wire->link.verbs = &kind->verbs;
}

struct wire *wire_create(struct loop *loop, bool is_unix) {
    struct wire *wire = calloc(1, sizeof *wire);
    if (wire == NULL)
        return NULL;
    wire->loop = loop;
    wire_set_kind(wire, &wire_plain_kind);
    wire->linger.on_due = on_linger_over;
    int result = is_unix ? uv_pipe_init(&loop->uv, &wire->uv.pipe, 0) : uv_tcp_init(&loop->uv, &wire->uv.tcp);
    if (result < 0) {
        free(wire);
        return NULL;
    }
    wire->uv.handle.data = wire;
    return wire;
}

static void on_dropped(uv_handle_t *handle) {
    release(handle->data);
}

void wire_drop(struct wire *wire) {
    turn_forget(wire);
    turn_leave(wire);
    uv_close(&wire->uv.handle, on_dropped);
}

/* ---- reading ---- */

/* A handshake in progress, whose next step this turn of the loop cannot afford. */
static bool must_wait(const struct wire *wire) {
    return wire->link.engine != NULL && !wire->link.is_open && turn_place(wire->loop) == TURN_NOWHERE;
}

/* A link that is to rest stays armed until something comes: most rests, such as the one while the broker is
 * dialled, are over before, and cost no system call. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)suggested;
    struct wire *wire = handle->data;
    struct link_room room = {NULL, 0};
    if (wire->link.is_closing)
        room = (struct link_room){wire->loop->ciphertext, LOOP_READ_SIZE}; /* thrown away */
    else if (wire->step != NULL)
        room = (struct link_room){NULL, 0};
    else if (wire->is_greeting || (wire->link.is_reading && !must_wait(wire)))
        room = wire->kind->room(wire);
    *buffer = uv_buf_init((char *)room.at, (unsigned)room.size);
}

/* Something came while nobody wants to read. What the peer said stays in the kernel; that it has gone is
 * told. */
static void rest(struct wire *wire) {
    uint8_t byte;
    uv_os_fd_t fd;
    uv_read_stop(&wire->uv.stream);
    if (uv_fileno(&wire->uv.handle, &fd) < 0)
        return;
    ssize_t count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        wire->link.events->on_end(&wire->link, count == 0 ? 0 : -errno);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct wire *wire = stream->data;
    if (wire->link.is_closing) {
        if (count < 0 && wire->is_lingering)
            close_handle(wire);
    } else if (count == UV_ENOBUFS && wire->step != NULL) {
        wire->is_parked = true;
        uv_read_stop(stream);
    } else if (count == UV_ENOBUFS) {
        if (wire->link.is_reading && must_wait(wire))
            turn_wait(wire);
        else
            rest(wire);
    } else if (count < 0) {
        wire->link.events->on_end(&wire->link, count == UV_EOF ? 0 : (int)count);
    } else if (count > 0) {
        wire->kind->on_bytes(wire, span_of(buffer->base, (size_t)count));
    }
}

void wire_step_back(struct wire *wire, struct step *step) {
    wire->step = NULL;
    wire->link.is_away = false;
    bool is_parked = wire->is_parked;
    wire->is_parked = false;
    if (wire->is_gone)
        release(wire);
    else if (!wire->link.is_closing && wire->late_error < 0)
        wire->link.events->on_end(&wire->link, wire->late_error);
    else if (!wire->link.is_closing) {
        if (is_parked)
            (void)wire_arm(wire); /* as in wire_read_start */
        wire_secure_back(wire, step);
    }
    free(step->said.room);
    free(step);
}

/* Also while it is armed still. */
int wire_arm(struct wire *wire) {
    int result = uv_read_start(&wire->uv.stream, on_alloc, on_read);
    return result == UV_EALREADY ? 0 : result;
}

int wire_greet(struct wire *wire) {
    wire->is_greeting = true;
    return wire_arm(wire);
}

void wire_read_start(struct link *link) {
    /* Only fails on a handle that is closing or was never connected: both have their own end on the way. */
    (void)wire_arm((struct wire *)link);
}

void wire_read_stop(struct link *link) {
    (void)link; /* see on_alloc */
}

bool wire_is_ended(struct link *link) {
    struct pollfd poll_fd = {.events = POLLRDHUP};
    return uv_fileno(&((struct wire *)link)->uv.handle, &poll_fd.fd) == 0 && poll(&poll_fd, 1, 0) > 0;
}

/* ---- the end ---- */

/* Everything is sent: say so to the peer, then wait for its end, throwing away what still comes. */
static void linger(struct wire *wire) {
    uv_os_fd_t fd;
    wire->is_lingering = true;
    if (uv_fileno(&wire->uv.handle, &fd) < 0 || shutdown(fd, SHUT_WR) < 0) {
        close_handle(wire);
        return;
    }
    if (wire_arm(wire) < 0) {
        close_handle(wire);
        return;
    }
    wheel_set(&wire->loop->wheel, &wire->linger, uv_now(&wire->loop->uv) + LINGER_MS);
}

void wire_close(struct wire *wire, enum link_manner manner) {
    turn_leave(wire);
    if (manner == LINK_AT_ONCE || !wire->link.is_open)
        close_handle(wire);
    else if (wire->flying == NULL)
        linger(wire);
    else
        wheel_set(&wire->loop->wheel, &wire->linger, uv_now(&wire->loop->uv) + LINGER_PENDING_MS);
}

/* ---- writing ---- */

static int fly(struct wire *wire);

static void on_written(uv_write_t *request, int error) {
    struct flight *flight = (struct flight *)request;
    struct wire *wire = request->handle->data;
    free(flight);
    wire->flying = NULL;
    if (error == 0 && wire->waiting_size != 0)
        error = fly(wire);
    count_pending(wire);
    if (uv_is_closing(&wire->uv.handle))
        return;
    if (error < 0) {
        if (wire->link.is_closing)
            close_handle(wire);
        else if (wire->step != NULL)
            wire->late_error = error;
        else
            wire->link.events->on_end(&wire->link, error);
        return;
    }
    if (wire->flying != NULL)
        return;
    if (wire->link.is_closing)
        linger(wire);
    else
        wire->link.events->on_drained(&wire->link);
}

/* Hands what is waiting to libuv. */
static int fly(struct wire *wire) {
    struct flight *flight = malloc(sizeof *flight + wire->waiting_size);
    if (flight == NULL)
        return -ENOMEM;
    flight->size = wire->waiting_size;
    memcpy(flight->bytes, wire->waiting, flight->size);
    uv_buf_t buffer = uv_buf_init((char *)flight->bytes, (unsigned)flight->size);
    int result = uv_write(&flight->request, &wire->uv.stream, &buffer, 1, on_written);
    if (result < 0) {
        free(flight);
        return result;
    }
    wire->flying = flight;
    free(wire->waiting);
    wire->waiting = NULL;
    wire->waiting_size = wire->waiting_room = 0;
    return 0;
}

static int wait_in_line(struct wire *wire, struct span bytes) {
    if (wire->waiting_room - wire->waiting_size < bytes.size) {
        size_t room = wire->waiting_size + bytes.size;
        room = room < 2 * wire->waiting_room ? 2 * wire->waiting_room : room;
        uint8_t *grown = realloc(wire->waiting, room);
        if (grown == NULL)
            return -ENOMEM;
        wire->waiting = grown;
        wire->waiting_room = room;
    }
    memcpy(wire->waiting + wire->waiting_size, bytes.at, bytes.size);
    wire->waiting_size += bytes.size;
    return 0;
}

#define PIECES_MAX 8

bool wire_set_prelude(struct wire *wire, struct span prelude) {
    wire->prelude = prelude.size == 0 ? NULL : malloc(prelude.size);
    if (wire->prelude == NULL)
        return prelude.size == 0;
    memcpy(wire->prelude, prelude.at, prelude.size);
    wire->prelude_size = prelude.size;
    return true;
}

/* The first bytes and what goes in front of them, in one write. */
static int send_with_prelude(struct wire *wire, const struct span *pieces, size_t count) {
    struct span all[PIECES_MAX] = {span_of(wire->prelude, wire->prelude_size)};
    uint8_t *prelude = wire->prelude;
    assert(count < PIECES_MAX);
    memcpy(all + 1, pieces, count * sizeof pieces[0]);
    wire->prelude = NULL;
    int result = wire_send(wire, all, count + 1);
    free(prelude);
    return result;
}

int wire_send(struct wire *wire, const struct span *pieces, size_t count) {
    if (wire->prelude != NULL)
        return send_with_prelude(wire, pieces, count);
    uv_buf_t buffers[PIECES_MAX];
    unsigned used = 0;
    size_t total = 0, taken = 0;
    assert(count <= PIECES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size == 0)
            continue;
        /* libuv's type is not const; it only reads. */
        buffers[used++] = (uv_buf_t){.base = (char *)(uintptr_t)pieces[i].at, .len = pieces[i].size};
        total += pieces[i].size;
    }
    if (total == 0)
        return 0;
    if (wire->flying == NULL && wire->waiting_size == 0) {
        int result = uv_try_write(&wire->uv.stream, buffers, used);
        if (result < 0 && result != UV_EAGAIN)
            return result;
        taken = result < 0 ? 0 : (size_t)result;
        if (taken == total)
            return 0;
    }
    for (unsigned i = 0; i < used; i++) {
        size_t skip = taken < buffers[i].len ? taken : buffers[i].len;
        taken -= skip;
        if (skip == buffers[i].len)
            continue;
        int result = wait_in_line(wire, span_of(buffers[i].base + skip, buffers[i].len - skip));
        if (result < 0)
            return result;
    }
    int result = wire->flying == NULL ? fly(wire) : 0;
    count_pending(wire);
    return result;
}
