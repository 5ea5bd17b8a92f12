#include "policy/names.h"

#include "base/hash.h"

#define BUCKETS_MIN 16
#define BUCKETS_MAX (1u << 24)

struct name {
    struct name *next; /* in the same bucket */
    uint64_t hash;
    struct span bytes;
    void *item;
};

struct names {
    struct arena *arena;
    struct name **buckets;
    size_t bucket_mask;
    size_t count;
};

struct names *names_create(struct arena *arena, size_t expected_count) {
    size_t bucket_count = BUCKETS_MIN;
    while (bucket_count < expected_count && bucket_count < BUCKETS_MAX)
        bucket_count *= 2;
    struct names *names = arena_alloc(arena, sizeof *names);
    struct name **buckets = arena_alloc(arena, bucket_count * sizeof *buckets);
    if (names == NULL || buckets == NULL)
        return NULL;
    *names = (struct names){.arena = arena, .buckets = buckets, .bucket_mask = bucket_count - 1};
    return names;
}

bool names_add(struct names *names, struct span bytes, void *item) {
    struct name *name = arena_alloc(names->arena, sizeof *name);
    if (name == NULL)
        return false;
    uint64_t hash = hash_bytes(bytes.at, bytes.size);
    struct name **bucket = &names->buckets[hash & names->bucket_mask];
    *name = (struct name){.next = *bucket, .hash = hash, .bytes = bytes, .item = item};
    *bucket = name;
    names->count++;
    return true;
}

void *names_find(const struct names *names, struct span bytes) {
    uint64_t hash = hash_bytes(bytes.at, bytes.size);
    for (const struct name *name = names->buckets[hash & names->bucket_mask]; name != NULL; name = name->next)
        if (name->hash == hash && span_is_equal(name->bytes, bytes))
            return name->item;
    return NULL;
}

size_t names_count(const struct names *names) {
    return names->count;
}
