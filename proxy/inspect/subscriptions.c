#include "inspect/subscriptions.h"

#include <stdlib.h>

#include "base/hash.h"

#define ROOM_MIN 8u

uint64_t subscription_hash(struct span filter) {
    uint64_t hash = hash_bytes(filter.at, filter.size);
    return hash == 0 ? 1 : hash;
}

/* The slot of a hash, or the free one where it would go. There is always a free one. */
static uint32_t slot_of(const struct subscriptions *subscriptions, uint64_t hash) {
    uint32_t mask = subscriptions->room - 1, slot = (uint32_t)hash & mask;
    while (subscriptions->slots[slot] != 0 && subscriptions->slots[slot] != hash)
        slot = (slot + 1) & mask;
    return slot;
}

static bool grow(struct subscriptions *subscriptions) {
    uint32_t room = subscriptions->room == 0 ? ROOM_MIN : subscriptions->room * 2;
    struct subscriptions grown = {calloc(room, sizeof(uint64_t)), room, subscriptions->count};
    if (grown.slots == NULL)
        return false;
    for (uint32_t i = 0; i < subscriptions->room; i++)
        if (subscriptions->slots[i] != 0)
            grown.slots[slot_of(&grown, subscriptions->slots[i])] = subscriptions->slots[i];
    free(subscriptions->slots);
    *subscriptions = grown;
    return true;
}

bool subscriptions_have(const struct subscriptions *subscriptions, uint64_t hash) {
    return subscriptions->slots != NULL && subscriptions->slots[slot_of(subscriptions, hash)] == hash;
}

bool subscriptions_add(struct subscriptions *subscriptions, uint64_t hash) {
    if (subscriptions_have(subscriptions, hash))
        return true;
    if ((subscriptions->count + 1) * 2 > subscriptions->room && !grow(subscriptions))
        return false;
    subscriptions->slots[slot_of(subscriptions, hash)] = hash;
    subscriptions->count++;
    return true;
}

void subscriptions_remove(struct subscriptions *subscriptions, uint64_t hash) {
    if (!subscriptions_have(subscriptions, hash))
        return;
    uint32_t mask = subscriptions->room - 1, hole = slot_of(subscriptions, hash);
    subscriptions->slots[hole] = 0;
    subscriptions->count--;
    /* Those behind it, up to the next free slot, may have been pushed on by it: each is put anew. */
    for (uint32_t slot = (hole + 1) & mask; subscriptions->slots[slot] != 0; slot = (slot + 1) & mask) {
        uint64_t pushed = subscriptions->slots[slot];
        subscriptions->slots[slot] = 0;
        subscriptions->slots[slot_of(subscriptions, pushed)] = pushed;
    }
}

void subscriptions_clear(struct subscriptions *subscriptions) {
    free(subscriptions->slots);
    *subscriptions = (struct subscriptions){NULL, 0, 0};
}
