/* tally: what one worker has counted. Written by that worker alone; read by anybody, whole words at a time.
 */
#ifndef DRAWBRIDGE_INSPECT_TALLY_H
#define DRAWBRIDGE_INSPECT_TALLY_H

#include "base/proxy_header.h"
#include "mqtt/packet.h"
#include "policy/topics.h"

enum metric {
#define METRIC(name, kind, help) METRIC_##name,
#include "inspect/metrics.def"
#undef METRIC
    METRIC_COUNT
};

#define TALLY_ENDS     64
#define TALLY_TROUBLES 32

struct tally {
    uint64_t rows[METRIC_COUNT];
    uint64_t packets[2][16]; /* by enum mqtt_direction and type: packets judged */
    uint64_t violations[VIOLATION_COUNT];
    uint64_t rules[RULE_COUNT];        /* messages and filters that an option refused, by enum rule */
    uint64_t ends[TALLY_ENDS];         /* by enum session_end */
    uint64_t troubles[TALLY_TROUBLES]; /* by enum tls_trouble */
    uint64_t proxy_faults[PROXY_FAULT_COUNT];
    uint64_t dial_troubles[TALLY_TROUBLES]; /* by enum dial_trouble */
};

static inline void tally_add(uint64_t *counter, uint64_t amount) {
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static inline uint64_t tally_read(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
