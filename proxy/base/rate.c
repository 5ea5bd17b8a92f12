#include "base/rate.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"

#define HOUR_MS   UINT64_C(3600000)
#define SPENT_MAX (UINT64_MAX / 2) /* a debt of more than two full bursts is never needed */

_Static_assert(RATE_COUNT_MAX <= SPENT_MAX / HOUR_MS, "a full burst fits");

/* ---- words ---- */

/* The next word, up to a blank; an empty one at the end. */
static struct span take_word(struct span *rest) {
    while (rest->size != 0 && (rest->at[0] == ' ' || rest->at[0] == '\t'))
        *rest = span_after(*rest, 1);
    size_t size = 0;
    while (size < rest->size && rest->at[size] != ' ' && rest->at[size] != '\t')
        size++;
    struct span word = span_first(*rest, size);
    *rest = span_after(*rest, size);
    return word;
}

static bool read_count(struct span text, uint64_t *count) {
    return units_read_size_bytes(text, count) && *count <= RATE_COUNT_MAX;
}

/* What stands behind the slash, as periods in an hour; 0: no such period. */
static uint64_t periods_per_hour(struct span period) {
    if (span_is_text(period, "s"))
        return 3600;
    if (span_is_text(period, "m"))
        return 60;
    return span_is_text(period, "h") ? 1 : 0;
}

bool rate_read(struct span text, struct rate *rate) {
    struct span rest = text, word = take_word(&rest);
    uint64_t count, burst, periods = 3600;
    const uint8_t *slash = word.size == 0 ? NULL : memchr(word.at, '/', word.size);
    if (slash != NULL) {
        size_t size = (size_t)(slash - word.at);
        periods = periods_per_hour(span_after(word, size + 1));
        word = span_first(word, size);
    }
    if (periods == 0 || !read_count(word, &count))
        return false;
    burst = count;
    word = take_word(&rest);
    if (word.size != 0) {
        bool is_good = span_is_text(word, "burst") && read_count(take_word(&rest), &burst) && burst != 0 &&
                       count != 0 && take_word(&rest).size == 0;
        if (!is_good)
            return false;
    }
    *rate = (struct rate){count * periods, burst};
    return true;
}

const char *rate_print(const struct rate *rate, char *room, size_t room_size) {
    uint64_t periods = rate->per_hour % 3600 == 0 ? 3600 : rate->per_hour % 60 == 0 ? 60 : 1;
    uint64_t count = rate->per_hour / periods;
    char period = periods == 3600 ? 's' : periods == 60 ? 'm' : 'h';
    if (count == 0)
        snprintf(room, room_size, "0");
    else if (count == rate->burst)
        snprintf(room, room_size, "%" PRIu64 "/%c", count, period);
    else
        snprintf(room, room_size, "%" PRIu64 "/%c burst %" PRIu64, count, period, rate->burst);
    return room;
}

/* ---- the bucket ---- */

/* Gives back what time has brought. A clock that stands still or was read before brings nothing. */
static void give_back(struct bucket *bucket, const struct rate *rate, uint64_t now_ms) {
    uint64_t passed_ms = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;
    if (passed_ms > bucket->spent / rate->per_hour)
        bucket->spent = 0;
    else
        bucket->spent -= passed_ms * rate->per_hour;
    if (passed_ms != 0)
        bucket->at_ms = now_ms;
}

static uint64_t parts_of(uint64_t amount) {
    return (amount < RATE_COUNT_MAX ? amount : RATE_COUNT_MAX) * HOUR_MS;
}

bool bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t amount, uint64_t now_ms) {
    if (!rate_is_set(rate))
        return true;
    give_back(bucket, rate, now_ms);
    uint64_t size = parts_of(rate->burst), wanted = parts_of(amount);
    if (bucket->spent > size || wanted > size - bucket->spent)
        return false;
    bucket->spent += wanted;
    return true;
}

void bucket_charge(struct bucket *bucket, const struct rate *rate, uint64_t amount, uint64_t now_ms) {
    if (!rate_is_set(rate))
        return;
    give_back(bucket, rate, now_ms);
    uint64_t wanted = parts_of(amount);
    bucket->spent = wanted > SPENT_MAX - bucket->spent ? SPENT_MAX : bucket->spent + wanted;
}

uint64_t bucket_wait_ms(struct bucket *bucket, const struct rate *rate, uint64_t amount, uint64_t now_ms) {
    if (!rate_is_set(rate))
        return 0;
    give_back(bucket, rate, now_ms);
    uint64_t size = parts_of(rate->burst), wanted = parts_of(amount);
    uint64_t most = wanted > size ? 0 : size - wanted; /* this much may be spent when the amount is taken */
    if (bucket->spent <= most)
        return 0;
    uint64_t excess = bucket->spent - most;
    return excess / rate->per_hour + (excess % rate->per_hour != 0);
}

bool bucket_is_full(struct bucket *bucket, const struct rate *rate, uint64_t now_ms) {
    if (!rate_is_set(rate))
        return true;
    give_back(bucket, rate, now_ms);
    return bucket->spent == 0;
}
