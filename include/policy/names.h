/* names: a table from names (of users) to items, filled once, then only asked. It lives wholly in its arena,
 * which uthash's tables cannot, so that a configuration generation is freed as one. The hash is keyed, since
 * names to look up come from strangers. */
#ifndef DRAWBRIDGE_POLICY_NAMES_H
#define DRAWBRIDGE_POLICY_NAMES_H

#include "base/arena.h"
#include "base/span.h"

struct names;

/* An empty table, kept by the arena, made for about `expected_count` names (more only make it slower). NULL
 * when memory is out. */
struct names *names_create(struct arena *arena, size_t expected_count);

/* Adds a name that is not in the table yet; its bytes and the item are borrowed as long as the table. False
 * when memory is out. */
bool names_add(struct names *names, struct span name, void *item);

/* The item of a name; NULL when there is none. */
void *names_find(const struct names *names, struct span name);

size_t names_count(const struct names *names);

#endif
