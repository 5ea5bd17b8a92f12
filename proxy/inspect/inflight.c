#include "inspect/inflight.h"

#include <stdlib.h>

bool id_set_add(struct id_set *set, uint16_t id) {
    if (set->bits == NULL)
        set->bits = calloc(65536 / 64, sizeof *set->bits);
    if (set->bits == NULL)
        return false;
    set->bits[id / 64] |= UINT64_C(1) << id % 64;
    return true;
}

bool id_set_has(const struct id_set *set, uint16_t id) {
    return set->bits != NULL && (set->bits[id / 64] >> id % 64 & 1) != 0;
}

void id_set_remove(struct id_set *set, uint16_t id) {
    if (set->bits != NULL)
        set->bits[id / 64] &= ~(UINT64_C(1) << id % 64);
}

void id_set_clear(struct id_set *set) {
    free(set->bits);
    set->bits = NULL;
}

struct merge *merge_find(struct merge_list *list, uint16_t id) {
    struct merge *merge = list->first;
    while (merge != NULL && merge->id != id)
        merge = merge->next;
    return merge;
}

struct merge *merge_add(struct merge_list *list, uint16_t id, uint32_t code_count) {
    struct merge *merge = calloc(1, sizeof *merge + code_count);
    if (merge == NULL)
        return NULL;
    merge->id = id;
    merge->code_count = code_count;
    merge->next = list->first;
    list->first = merge;
    list->count++;
    return merge;
}

bool merge_count(struct merge *merge, uint32_t index, uint64_t hash) {
    bool is_full = (merge->hash_count & (merge->hash_count - 1)) == 0; /* room doubles: 1, 2, 4, ... */
    if (is_full) {
        size_t room = merge->hash_count == 0 ? 1 : 2 * (size_t)merge->hash_count;
        uint64_t *grown = realloc(merge->hashes, room * sizeof *grown);
        if (grown == NULL)
            return false;
        merge->hashes = grown;
    }
    merge->codes[index] = MERGE_COUNTED;
    merge->hashes[merge->hash_count++] = hash;
    return true;
}

void merge_remove(struct merge_list *list, struct merge *merge) {
    struct merge **at = &list->first;
    while (*at != merge)
        at = &(*at)->next;
    *at = merge->next;
    list->count--;
    free(merge->hashes);
    free(merge);
}

void merge_clear(struct merge_list *list) {
    while (list->first != NULL)
        merge_remove(list, list->first);
}
