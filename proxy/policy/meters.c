/* The meters that sessions share: a table under a lock, which is taken when a session begins or ends and at a
 * reload, never on the way of a packet. */
#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "policy/meter.h"

struct meter_key {
    uint64_t tag, per_hour, burst;
};

struct ring {
    struct ring *next, *previous;
};

struct shared_meter {
    struct meter meter; /* first */
    size_t references;
    struct ring idle; /* of those that are only remembered */
    UT_hash_handle hh;
    size_t key_size;
    uint8_t key[]; /* struct meter_key, then the name */
};

struct meters {
    pthread_mutex_t lock;
    struct shared_meter *table;
    struct ring idle; /* the head; the oldest is its next */
    size_t idle_count;
};

static void ring_add(struct meters *meters, struct shared_meter *shared) {
    struct ring *ring = &shared->idle;
    ring->next = &meters->idle;
    ring->previous = meters->idle.previous;
    ring->previous->next = ring->next->previous = ring;
    meters->idle_count++;
}

static void ring_remove(struct meters *meters, struct shared_meter *shared) {
    shared->idle.next->previous = shared->idle.previous;
    shared->idle.previous->next = shared->idle.next;
    meters->idle_count--;
}

static struct shared_meter *ring_oldest(struct meters *meters) {
    return (struct shared_meter *)((char *)meters->idle.next - offsetof(struct shared_meter, idle));
}

static void forget(struct meters *meters, struct shared_meter *shared) {
    HASH_DELETE(hh, meters->table, shared);
    free(shared);
}

/* Looks at the oldest of those that are only remembered: it is forgotten when it is full again; who still
 * owes goes to the end of the ring. As many are looked at as are added. */
static void sweep(struct meters *meters, uint64_t now_ms) {
    if (meters->idle_count == 0)
        return;
    struct shared_meter *oldest = ring_oldest(meters);
    ring_remove(meters, oldest);
    if (meter_is_full(&oldest->meter, now_ms))
        forget(meters, oldest);
    else
        ring_add(meters, oldest);
}

struct meters *meters_create(void) {
    struct meters *meters = calloc(1, sizeof *meters);
    if (meters == NULL)
        return NULL;
    meters->idle.next = meters->idle.previous = &meters->idle;
    if (pthread_mutex_init(&meters->lock, NULL) != 0) {
        free(meters);
        return NULL;
    }
    return meters;
}

void meters_destroy(struct meters *meters) {
    if (meters == NULL)
        return;
    struct shared_meter *shared = meters->table, *next;
    HASH_CLEAR(hh, meters->table);
    for (; shared != NULL; shared = next) {
        next = shared->hh.next;
        free(shared);
    }
    pthread_mutex_destroy(&meters->lock);
    free(meters);
}

static struct shared_meter *key_of(uint64_t tag, struct span name, const struct rate *rate) {
    const struct meter_key head = {tag, rate->per_hour, rate->burst};
    struct shared_meter *shared = calloc(1, sizeof *shared + sizeof head + name.size);
    if (shared == NULL)
        return NULL;
    shared->key_size = sizeof head + name.size;
    memcpy(shared->key, &head, sizeof head);
    if (name.size != 0)
        memcpy(shared->key + sizeof head, name.at, name.size);
    return shared;
}

struct meter *meters_join(struct meters *meters, uint64_t tag, struct span name, const struct rate *rate,
                          const struct meter *before, uint64_t now_ms) {
    struct shared_meter *wanted = key_of(tag, name, rate), *found;
    if (wanted == NULL)
        return NULL;
    pthread_mutex_lock(&meters->lock);
    sweep(meters, now_ms);
    HASH_FIND(hh, meters->table, wanted->key, wanted->key_size, found);
    if (found == NULL) {
        meter_init(&wanted->meter, rate, before, now_ms);
        HASH_ADD_KEYPTR(hh, meters->table, wanted->key, wanted->key_size, wanted);
        if (wanted->hh.tbl != NULL) { /* else memory was out */
            found = wanted;
            wanted = NULL;
        }
    } else if (found->references == 0) {
        ring_remove(meters, found);
    }
    if (found != NULL)
        found->references++;
    pthread_mutex_unlock(&meters->lock);
    free(wanted);
    return found == NULL ? NULL : &found->meter;
}

void meters_leave(struct meters *meters, struct meter *meter, uint64_t now_ms) {
    struct shared_meter *shared = (struct shared_meter *)meter;
    if (meter == NULL)
        return;
    pthread_mutex_lock(&meters->lock);
    if (--shared->references == 0) {
        if (meter_is_full(meter, now_ms)) {
            forget(meters, shared);
        } else {
            ring_add(meters, shared);
            if (meters->idle_count > METERS_IDLE_MAX) {
                struct shared_meter *oldest = ring_oldest(meters);
                ring_remove(meters, oldest);
                forget(meters, oldest);
            }
        }
    }
    pthread_mutex_unlock(&meters->lock);
}

size_t meters_count(struct meters *meters) {
    pthread_mutex_lock(&meters->lock);
    size_t count = HASH_COUNT(meters->table);
    pthread_mutex_unlock(&meters->lock);
    return count;
}
