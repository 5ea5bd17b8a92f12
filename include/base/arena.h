/* arena: memory that lives and dies together, such as one configuration generation. Not thread-safe while it
 * is filled. */
#ifndef DRAWBRIDGE_BASE_ARENA_H
#define DRAWBRIDGE_BASE_ARENA_H

#include "base/span.h"

struct arena;

/* A new, empty arena, given to the caller; NULL when memory is out. */
struct arena *arena_create(void);

/* Frees everything the arena ever handed out, and the arena. NULL is allowed. */
void arena_destroy(struct arena *arena);

/* `size` zeroed bytes, aligned for any type, kept by the arena; NULL when memory is out. */
void *arena_alloc(struct arena *arena, size_t size);

/* The bytes with a NUL behind them, kept by the arena; NULL when memory is out. */
char *arena_text(struct arena *arena, struct span bytes);

/* printf into the arena; NULL when memory is out. */
char *arena_print(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes handed out so far, for the metrics. */
size_t arena_size(const struct arena *arena);

#endif
