/* pipe: a client on a link that is made by hand: what it writes is kept, what it reads comes when the test
 * says so, and the clock moves when it is told to. The loop and the backends of the program are left out:
 * their functions are here. Used by fuzz_client, too. */
#ifndef TEST_UNIT_BRIDGE_PIPE_H
#define TEST_UNIT_BRIDGE_PIPE_H

#include <stdlib.h>

#include "base/wheel.h"
#include "bridge/client.h"

struct pipe {
    struct link link; /* first */
    struct wheel wheel;
    uint64_t now_ms;
    struct backend backend;
    struct backend_call *call; /* being dialled */
    uint8_t *written;
    size_t written_size, written_room;
    int write_error; /* what a write says */
    bool has_link, is_slow;
    enum link_manner manner;
};

static struct pipe pipe_; /* the loop's functions have no other way to it */

uint64_t loop_now_ms(const struct loop *loop) {
    (void)loop;
    return pipe_.now_ms;
}

struct wheel *loop_wheel(struct loop *loop) {
    (void)loop;
    return &pipe_.wheel;
}

const char *loop_error_words(int error) {
    return error == 0 ? "nothing" : "an error";
}

struct backend *backend_find(struct backend **first, struct loop *loop, const struct conf_backend *where) {
    (void)first;
    (void)loop;
    (void)where;
    return &pipe_.backend;
}

void backend_dial(struct backend *backend, struct backend_call *call) {
    (void)backend;
    pipe_.call = call;
}

void backend_cancel(struct backend_call *call) {
    if (pipe_.call == call)
        pipe_.call = NULL;
}

void backend_report(struct backend *backend, const struct backend_call *call, bool is_connected) {
    (void)backend;
    (void)call;
    (void)is_connected;
}

enum dial_trouble link_trouble(const struct link *link) {
    (void)link;
    return DIAL_TROUBLE_NONE;
}

static int pipe_write(struct link *link, const struct span *pieces, size_t count) {
    (void)link;
    for (size_t i = 0; i < count && pipe_.write_error == 0; i++) {
        size_t size = pipe_.written_size + pieces[i].size;
        if (size > pipe_.written_room) {
            pipe_.written_room = size * 2;
            pipe_.written = realloc(pipe_.written, pipe_.written_room);
            if (pipe_.written == NULL)
                abort();
        }
        if (pieces[i].size != 0)
            memcpy(pipe_.written + pipe_.written_size, pieces[i].at, pieces[i].size);
        pipe_.written_size = size;
        if (pipe_.is_slow)
            link->pending += pieces[i].size;
    }
    return pipe_.write_error;
}

static void pipe_read(struct link *link) {
    (void)link;
}

static bool pipe_is_ended(struct link *link) {
    (void)link;
    return false;
}

static void pipe_close(struct link *link, enum link_manner manner) {
    (void)link;
    pipe_.manner = manner; /* closed with pipe_settle, as a handle is: later */
}

static const struct link_verbs pipe_verbs = {pipe_write, pipe_read, pipe_read, pipe_is_ended, pipe_close};

static inline void pipe_begin(void) {
    uint8_t *room = pipe_.written;
    size_t size = pipe_.written_room;
    pipe_ = (struct pipe){.now_ms = 1000000, .written = room, .written_room = size};
    wheel_init(&pipe_.wheel, pipe_.now_ms);
}

/* The dialling ends well: with an open link. */
static inline void pipe_open(void) {
    struct backend_call *call = pipe_.call;
    pipe_.call = NULL;
    pipe_.link =
        (struct link){.verbs = &pipe_verbs, .events = call->events, .owner = call->owner, .is_open = true};
    pipe_.has_link = true;
    call->on_dialed(call, 0, &pipe_.link);
}

static inline void pipe_refuse(int error) {
    struct backend_call *call = pipe_.call;
    pipe_.call = NULL;
    call->on_dialed(call, error, NULL);
}

/* A link that was closed is gone. */
static inline void pipe_settle(void) {
    if (!pipe_.has_link || !pipe_.link.is_closing)
        return;
    pipe_.has_link = false;
    pipe_.link.events->on_closed(&pipe_.link);
}

/* The broker says so in pieces of that size; ends early when the client stops to listen. */
static inline void pipe_say(struct span bytes, size_t piece) {
    while (bytes.size != 0 && pipe_.has_link && !pipe_.link.is_closing && pipe_.link.is_reading) {
        struct link_room room = pipe_.link.events->on_room(&pipe_.link);
        size_t size = bytes.size < piece ? bytes.size : piece;
        size = size < room.size ? size : room.size;
        if (size == 0)
            return;
        memcpy(room.at, bytes.at, size);
        bytes = span_after(bytes, size);
        pipe_.link.events->on_bytes(&pipe_.link, size);
    }
}

static inline void pipe_pass(uint64_t ms) {
    for (uint64_t end = pipe_.now_ms + ms; pipe_.now_ms < end;) {
        pipe_.now_ms += 100;
        wheel_turn(&pipe_.wheel, pipe_.now_ms);
    }
}

static inline struct span pipe_written(void) {
    return span_of(pipe_.written, pipe_.written_size);
}

#endif
