#include "bridge/echo.h"

#include <stdlib.h>

#include "base/hash.h"

/* A set of 4 places per hash: the oldest gives way. Only 64 bits are compared: under the process's own key
 * nobody finds two messages of one hash. */
#define WAYS 4

struct entry {
    uint64_t hash, until_ms;
};

struct echo {
    struct entry entries[ECHO_COUNT];
};

struct echo *echo_create(void) {
    return calloc(1, sizeof(struct echo));
}

void echo_destroy(struct echo *echo) {
    free(echo);
}

static uint64_t hash_of(struct span topic, struct span payload) {
    uint64_t both[2] = {hash_bytes(topic.at, topic.size), hash_bytes(payload.at, payload.size)};
    return hash_bytes(both, sizeof both);
}

static struct entry *set_of(struct echo *echo, uint64_t hash) {
    return &echo->entries[hash % (ECHO_COUNT / WAYS) * WAYS];
}

void echo_note(struct echo *echo, struct span topic, struct span payload, uint64_t now_ms) {
    uint64_t hash = hash_of(topic, payload);
    struct entry *set = set_of(echo, hash), *oldest = set;
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].until_ms < oldest->until_ms)
            oldest = &set[i];
    *oldest = (struct entry){hash, now_ms + ECHO_MS};
}

bool echo_take(struct echo *echo, struct span topic, struct span payload, uint64_t now_ms) {
    uint64_t hash = hash_of(topic, payload);
    struct entry *set = set_of(echo, hash);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].hash == hash && set[i].until_ms > now_ms) {
            set[i].until_ms = 0;
            return true;
        }
    return false;
}
