/* random: bytes nobody can guess. */
#ifndef DRAWBRIDGE_CRYPTO_RANDOM_H
#define DRAWBRIDGE_CRYPTO_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

/* False when the system has none to give. */
bool random_fill(void *room, size_t size);

#endif
