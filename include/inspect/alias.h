/* alias: the MQTT 5 topic aliases of one direction (3.3.2.3.4). Policy wants the topic, and a packet that was
 * kept back must not be the one that told the receiver what an alias means: so each alias knows whether the
 * receiver knows it. */
#ifndef DRAWBRIDGE_INSPECT_ALIAS_H
#define DRAWBRIDGE_INSPECT_ALIAS_H

#include "base/span.h"

/* What all aliases of one direction may take together. */
#define ALIAS_BYTES_MAX (1024 * 1024)

struct alias_entry {
    uint8_t *topic; /* NULL: not set */
    uint16_t size;
    bool is_known; /* the receiver has been told this topic under this alias */
};

struct alias_map {
    uint16_t max;                /* aliases 1..max may be used */
    uint16_t room;               /* of entries */
    struct alias_entry *entries; /* entries[alias - 1] */
    size_t bytes;
};

void alias_clear(struct alias_map *map);
/* False when memory is out or the aliases take too much. `alias` is 1..max. */
bool alias_set(struct alias_map *map, uint16_t alias, struct span topic, bool is_known);
/* NULL when it was never set. */
struct alias_entry *alias_find(struct alias_map *map, uint16_t alias);

#endif
