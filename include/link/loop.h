/* loop: a worker's reactor: its clock, its deadlines, the buffers it lends to every link for the length of
 * one callback. */
#ifndef DRAWBRIDGE_LINK_LOOP_H
#define DRAWBRIDGE_LINK_LOOP_H

#include "base/wheel.h"
#include "crypto/engine.h"
#include "link/address.h"

/* One read from a socket. */
#define LOOP_READ_SIZE (64 * 1024)

struct loop; /* holds the uv_loop_t; see link/uv.h, for link/ and control/ only */

/* Milliseconds of a clock that only goes forward; cached for the turn. */
uint64_t loop_now_ms(const struct loop *loop);
struct wheel *loop_wheel(struct loop *loop);

/* Runs `work` on a thread of the pool, then `done` on the loop. `job` is borrowed until `done`. A negative
 * errno when it cannot. */
struct loop_job {
    void (*work)(struct loop_job *job);
    void (*done)(struct loop_job *job);
};
int loop_work(struct loop *loop, struct loop_job *job);

/* Looks a name up off the loop. `done` gets at most `count` addresses (borrowed during the call), or error <
 * 0. */
struct loop_lookup {
    void (*done)(struct loop_lookup *lookup, int error, const struct address *addresses, size_t count);
};
int loop_resolve(struct loop *loop, struct loop_lookup *lookup, const char *host, uint16_t port);

/* Words for a negative errno of the system, the resolver or libuv. */
const char *loop_error_words(int error);

#endif
