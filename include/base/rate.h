/* rate: how often something may happen, and the token bucket that holds somebody to it. Time is an argument;
 * whole numbers only, so that nothing is lost or won by rounding.
 *
 *     burst |#########.......|   what is spent comes back with time; an action that does not fit is not
 * allowed spent     free
 */
#ifndef DRAWBRIDGE_BASE_RATE_H
#define DRAWBRIDGE_BASE_RATE_H

#include "base/span.h"

/* The largest number in front of the slash, and the largest burst. */
#define RATE_COUNT_MAX (UINT64_C(1) << 40)

struct rate {
    uint64_t per_hour; /* 0: no limit */
    uint64_t burst;    /* how much may happen at once after a rest; at least 1 where there is a limit */
};

/* Spent parts of a token, 3,600,000 to the whole, so that a rate of N per hour gives back N of them each
 * millisecond. All zero is a bucket from which nothing was taken. Keeps its meaning when the rate changes. */
struct bucket {
    uint64_t spent;
    uint64_t at_ms;
};

static inline bool rate_is_set(const struct rate *rate) {
    return rate->per_hour != 0;
}

/* "100/s", "64k/s burst 1m", "5/m", "20/h"; without a slash it is per second. Letters behind numbers are
 * powers of 1024. Without burst it is the number in front of the slash. "0" is no limit. False when it is no
 * rate, is too large, or could never let anything through (burst 0). */
bool rate_read(struct span text, struct rate *rate);

/* The shortest way to write it; "0" for no limit. Returns `room`; 64 bytes suffice. */
const char *rate_print(const struct rate *rate, char *room, size_t room_size);

/* Takes `amount` tokens (at most RATE_COUNT_MAX). False: they are not there, and nothing was taken. Always
 * true without a limit. */
bool bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t amount, uint64_t now_ms);

/* Takes them in any case, for what cannot be undone any more: the next ones wait until the debt is paid. */
void bucket_charge(struct bucket *bucket, const struct rate *rate, uint64_t amount, uint64_t now_ms);

/* Milliseconds until `amount` tokens are there, 0: now. An amount above the burst waits for a full bucket. */
uint64_t bucket_wait_ms(struct bucket *bucket, const struct rate *rate, uint64_t amount, uint64_t now_ms);

/* Nothing is spent any more, so the bucket need not be remembered. */
bool bucket_is_full(struct bucket *bucket, const struct rate *rate, uint64_t now_ms);

#endif
