#include "policy/meter.h"

#define HOUR_NS   UINT64_C(3600000000000)
#define MS_NS     UINT64_C(1000000)
#define SPENT_MAX (UINT64_MAX / 8) /* seventy years: a debt beyond that makes no difference */

static uint64_t capped(unsigned __int128 value) {
    return value > SPENT_MAX ? SPENT_MAX : (uint64_t)value;
}

/* The time that the rate needs for an amount; never nothing, or the fastest rates would be none. */
static uint64_t time_ns(const struct rate *rate, uint64_t amount) {
    uint64_t time = capped((unsigned __int128)amount * HOUR_NS / rate->per_hour);
    return time == 0 ? 1 : time;
}

/* Rounded up where an amount is rounded down, so that the whole burst fits. */
static uint64_t burst_ns(const struct rate *rate) {
    return capped(((unsigned __int128)rate->burst * HOUR_NS + rate->per_hour - 1) / rate->per_hour);
}

static uint64_t spent_ns(const struct meter *meter, uint64_t now_ns) {
    uint64_t rested = __atomic_load_n(&meter->rested_ns, __ATOMIC_RELAXED);
    return rested > now_ns ? rested - now_ns : 0;
}

void meter_init(struct meter *meter, const struct rate *rate, const struct meter *before, uint64_t now_ms) {
    *meter = (struct meter){.rate = *rate};
    if (before == NULL)
        return;
    unsigned __int128 tokens = (unsigned __int128)spent_ns(before, now_ms * MS_NS) * before->rate.per_hour;
    meter->rested_ns = now_ms * MS_NS + capped(tokens / rate->per_hour);
}

bool meter_take(struct meter *meter, uint64_t amount, uint64_t since_ms, uint64_t now_ms) {
    uint64_t now = now_ms * MS_NS, since = (since_ms < now_ms ? since_ms : now_ms) * MS_NS;
    uint64_t cost = time_ns(&meter->rate, amount), least = time_ns(&meter->rate, 1);
    uint64_t latest = now + burst_ns(&meter->rate) - least;
    uint64_t rested = __atomic_load_n(&meter->rested_ns, __ATOMIC_RELAXED), next;
    do {
        uint64_t base = rested > since ? rested : since;
        if (base > latest)
            return false;
        next = base + cost < now + SPENT_MAX ? base + cost : now + SPENT_MAX;
    } while (!__atomic_compare_exchange_n(&meter->rested_ns, &rested, next, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

void meter_return(struct meter *meter, uint64_t amount) {
    __atomic_sub_fetch(&meter->rested_ns, time_ns(&meter->rate, amount), __ATOMIC_RELAXED);
}

uint64_t meter_wait_ms(const struct meter *meter, uint64_t now_ms) {
    uint64_t spent = spent_ns(meter, now_ms * MS_NS);
    uint64_t most = burst_ns(&meter->rate) - time_ns(&meter->rate, 1);
    return spent <= most ? 0 : (spent - most + MS_NS - 1) / MS_NS;
}

uint64_t meter_time_ms(const struct meter *meter, uint64_t amount) {
    return amount == 0 ? 0 : time_ns(&meter->rate, amount) / MS_NS;
}

bool meter_is_full(const struct meter *meter, uint64_t now_ms) {
    return spent_ns(meter, now_ms * MS_NS) == 0;
}
