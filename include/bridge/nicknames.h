/* nicknames: the topic aliases that we make for a broker (MQTT 5.0 3.3.2.3.4): a few, those of the topics
 * that came last. Pure. */
#ifndef DRAWBRIDGE_BRIDGE_NICKNAMES_H
#define DRAWBRIDGE_BRIDGE_NICKNAMES_H

#include <stdbool.h>

#include "base/span.h"

/* More than that are looked through in vain for each message. */
#define NICKNAMES_MAX 32
/* A topic that is shorter costs less than its alias. */
#define NICKNAME_TOPIC_MIN 5

struct nickname {
    uint8_t *topic; /* NULL: not given yet */
    size_t size;
    uint64_t used; /* when, in messages */
};

/* All zero: none are given. */
struct nicknames {
    uint16_t max; /* aliases 1..max, at most NICKNAMES_MAX */
    uint64_t now;
    struct nickname entries[NICKNAMES_MAX]; /* entries[alias - 1] */
};

/* A new connection: nothing of before holds. `max`: what the broker and we allow. */
void nicknames_begin(struct nicknames *nicknames, uint32_t max);
/* Forgets and frees all. */
void nicknames_clear(struct nicknames *nicknames);
/* The alias under which the broker knows this topic; 0: none. */
uint16_t nicknames_find(struct nicknames *nicknames, struct span topic);
/* An alias for it from now on, of which the broker is to be told with the topic; that of the topic that was
 * used longest ago is taken. 0: none. */
uint16_t nicknames_give(struct nicknames *nicknames, struct span topic);

#endif
