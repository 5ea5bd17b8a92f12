/* generate: conversations out of a seed and a number: valid packets, and nearly valid ones. */
#ifndef TEST_DIFFER_GENERATE_H
#define TEST_DIFFER_GENERATE_H

#include "differ/reference.h"

#define CASE_PACKETS_MAX 16

struct owned_bytes {
    uint8_t *
        at; /* owned; exactly as large as it must be, so that the checks of the compiler see what is beyond */
    size_t size;
};

struct differ_case {
    uint64_t seed;
    unsigned number;
    uint64_t chop_seed; /* how the bytes are cut into pieces */
    int rules;          /* index of the rules it runs under */
    int version;
    bool is_to_device;
    size_t withheld; /* bytes of the last packet that are never sent */
    struct owned_bytes
        packets[CASE_PACKETS_MAX]; /* of the side that is tried, its CONNECT or CONNACK first */
    size_t packet_count;
    struct owned_bytes opposite; /* the good CONNACK or CONNECT of the other side */
};

/* A generator of our own, so that a seed means the same everywhere. */
static inline uint32_t random_next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t mixed = *seed ^ *seed >> 29;
    return (uint32_t)(mixed * 0x9E3779B97F4A7C15u >> 32);
}
static inline uint32_t random_below(uint64_t *seed, uint32_t below) {
    return random_next(seed) % below;
}

/* The case of that number; given. */
void case_make(struct differ_case *made, uint64_t seed, unsigned number, int rules_count);
/* A deep copy; given. */
void case_copy(struct differ_case *copy, const struct differ_case *from);
void case_free(struct differ_case *made);

/* Takes out the packet, or `count` bytes of it. */
void case_drop_packet(struct differ_case *made, size_t index);
void case_drop_bytes(struct differ_case *made, size_t index, size_t at, size_t count);

/* All packets behind each other, the withheld bytes too; given. */
struct owned_bytes case_stream(const struct differ_case *made);

#endif
