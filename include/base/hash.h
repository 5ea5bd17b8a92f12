/* hash: uthash with a keyed hash, since the keys (client ids, topics, addresses) are chosen by strangers,
 * and with a rule for the end of memory: the item is not added and the caller sees it.
 *
 * After HASH_ADD* look at the item's handle: `item->hh.tbl == NULL` says that memory was out. */
#ifndef DRAWBRIDGE_BASE_HASH_H
#define DRAWBRIDGE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 under the process's key. */
uint64_t hash_bytes(const void *bytes, size_t size);

/* Sets the process's key; once, before the first hash and before the first thread. */
void hash_seed(const uint8_t key[16]);

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, size, value)                                                                      \
    do {                                                                                                     \
        (value) = (unsigned)hash_bytes((key), (size));                                                       \
    } while (0)

#include <uthash.h>

#endif
