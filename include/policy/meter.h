/* meter: a token bucket that all workers may take from at once. Its whole state is one word, the moment at
 * which nothing is spent any more; it is moved on by compare-and-swap, so nobody ever waits for a lock.
 *
 *        now                rested
 *    -----+=====spent========+--------------+----> time         what is spent may reach as far as the burst
 *         |<-------------- burst ---------->|
 *
 * A packet may pass while one token is left, and its whole amount is charged: one that is bigger than the
 * burst is not kept for ever, it leaves a debt, and what follows waits until that is paid. */
#ifndef DRAWBRIDGE_POLICY_METER_H
#define DRAWBRIDGE_POLICY_METER_H

#include "base/rate.h"

struct meter {
    struct rate rate;   /* never changes; another rate is another meter */
    uint64_t rested_ns; /* atomic */
    uint32_t waiting;   /* atomic: sessions that wait for this meter now */
};

/* `rate` has a limit. With `before` (NULL: nothing was taken yet) what was spent there is spent here. */
void meter_init(struct meter *meter, const struct rate *rate, const struct meter *before, uint64_t now_ms);

/* False: not even one token is there, and nothing was taken. `since_ms` is `now_ms`, or earlier for one that
 * waited and was woken late: what time has brought since then is not cut off by the burst. */
bool meter_take(struct meter *meter, uint64_t amount, uint64_t since_ms, uint64_t now_ms);
/* Undoes a take. */
void meter_return(struct meter *meter, uint64_t amount);

/* Milliseconds until a token is there; 0: now. */
uint64_t meter_wait_ms(const struct meter *meter, uint64_t now_ms);
/* How long the rate needs for that many tokens. */
uint64_t meter_time_ms(const struct meter *meter, uint64_t amount);
/* Nothing is spent any more. */
bool meter_is_full(const struct meter *meter, uint64_t now_ms);

/* ---- meters that sessions share ---- */

/* All shared meters of the program: found once when a session begins or a reload changes a rate, under a
 * lock, and counted. One that still has something spent is remembered for a while after its last session, so
 * that nobody gets a full burst for a new connection. */
struct meters;
#define METERS_IDLE_MAX 10000

struct meters *meters_create(void); /* NULL: memory is out */
void meters_destroy(struct meters *meters);

/* The meter of `tag` and `name` (copied) with that rate; the same for everybody who asks with the same three.
 * `before` as in meter_init, for a meter that is new. NULL: memory is out. */
struct meter *meters_join(struct meters *meters, uint64_t tag, struct span name, const struct rate *rate,
                          const struct meter *before, uint64_t now_ms);
/* NULL is allowed. */
void meters_leave(struct meters *meters, struct meter *meter, uint64_t now_ms);

/* How many there are, those that are only remembered included. */
size_t meters_count(struct meters *meters);

#endif
