#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A chain of blocks, the newest first. Big requests get a block of their own size. */
#define BLOCK_SIZE (16 * 1024)

struct block {
    struct block *next;
    size_t size, used; /* bytes of room[] */
    _Alignas(max_align_t) uint8_t room[];
};

struct arena {
    struct block *newest;
    size_t size;
};

struct arena *arena_create(void) {
    return calloc(1, sizeof(struct arena));
}

void arena_destroy(struct arena *arena) {
    if (arena == NULL)
        return;
    while (arena->newest != NULL) {
        struct block *block = arena->newest;
        arena->newest = block->next;
        free(block);
    }
    free(arena);
}

static struct block *add_block(struct arena *arena, size_t size) {
    struct block *block = calloc(1, sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    block->next = arena->newest;
    arena->newest = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size) {
    size_t alignment = _Alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + alignment - 1) / alignment * alignment;
    struct block *block = arena->newest;
    if (block == NULL || block->size - block->used < size) {
        block = add_block(arena, size > BLOCK_SIZE ? size : BLOCK_SIZE);
        if (block == NULL)
            return NULL;
    }
    void *room = block->room + block->used;
    block->used += size;
    arena->size += size;
    return room;
}

char *arena_text(struct arena *arena, struct span bytes) {
    char *room = arena_alloc(arena, bytes.size + 1);
    if (room != NULL && bytes.size != 0)
        memcpy(room, bytes.at, bytes.size);
    return room;
}

char *arena_print(struct arena *arena, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *room = size < 0 ? NULL : arena_alloc(arena, (size_t)size + 1);
    if (room == NULL)
        return NULL;
    va_start(list, format);
    vsnprintf(room, (size_t)size + 1, format, list);
    va_end(list);
    return room;
}

size_t arena_size(const struct arena *arena) {
    return arena->size;
}
