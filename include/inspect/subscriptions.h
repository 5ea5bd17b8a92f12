/* subscriptions: which filters a session has subscribed, so that they can be counted. Only a keyed hash of
 * each is kept: 64 bits that a device cannot foresee, so that it finds no two filters that count as one. */
#ifndef DRAWBRIDGE_INSPECT_SUBSCRIPTIONS_H
#define DRAWBRIDGE_INSPECT_SUBSCRIPTIONS_H

#include "base/span.h"

/* Never 0, which marks a free slot. */
uint64_t subscription_hash(struct span filter);

/* Open addressing, at most half full; nothing is allocated before the first one. */
struct subscriptions {
    uint64_t *slots; /* `room` of them, or NULL */
    uint32_t room;   /* a power of two */
    uint32_t count;
};

bool subscriptions_have(const struct subscriptions *subscriptions, uint64_t hash);
/* Adding one that is there, or removing one that is not, changes nothing. False: memory is out. */
bool subscriptions_add(struct subscriptions *subscriptions, uint64_t hash);
void subscriptions_remove(struct subscriptions *subscriptions, uint64_t hash);
void subscriptions_clear(struct subscriptions *subscriptions);

#endif
