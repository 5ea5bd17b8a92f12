/* inflight: packet ids whose answer is ours, or must be merged with the broker's. */
#ifndef DRAWBRIDGE_INSPECT_INFLIGHT_H
#define DRAWBRIDGE_INSPECT_INFLIGHT_H

#include "base/span.h"

/* A set of packet ids; nothing is allocated before the first one. */
struct id_set {
    uint64_t *bits; /* 65,536 of them, or NULL */
};
bool id_set_add(struct id_set *set, uint16_t id); /* false: memory is out */
bool id_set_has(const struct id_set *set, uint16_t id);
void id_set_remove(struct id_set *set, uint16_t id);
void id_set_clear(struct id_set *set);

/* SUBSCRIBEs that went on without some of their filters: the codes for these wait for the SUBACK. And, where
 * subscriptions are counted, SUBSCRIBEs and UNSUBSCRIBEs that changed the count: what the broker refuses is
 * undone. */
#define MERGE_COUNT_MAX 1024
#define MERGE_OPEN      0xFF /* this filter went to the broker: its code comes with the SUBACK */
#define MERGE_COUNTED   0xFE /* so did this one, and it changed the count: the next of `hashes` is its */

struct merge {
    struct merge *next;
    uint16_t id;
    bool is_unsubscribe;
    uint32_t code_count, open_count, hash_count;
    uint64_t *hashes;
    uint8_t codes[]; /* per filter of the device's packet: our code, MERGE_OPEN or MERGE_COUNTED */
};
static inline bool merge_is_open(uint8_t code) {
    return code >= MERGE_COUNTED;
}
struct merge_list {
    struct merge *first;
    uint32_t count;
};
struct merge *merge_find(struct merge_list *list, uint16_t id);
struct merge *merge_add(struct merge_list *list, uint16_t id, uint32_t code_count); /* NULL: memory is out */
/* Marks the filter of that number as MERGE_COUNTED; in order. False: memory is out. */
bool merge_count(struct merge *merge, uint32_t index, uint64_t hash);
void merge_remove(struct merge_list *list, struct merge *merge);
void merge_clear(struct merge_list *list);

#endif
