/* digest: hashes that a protocol asks for. Passwords have their own room. */
#ifndef DRAWBRIDGE_CRYPTO_DIGEST_H
#define DRAWBRIDGE_CRYPTO_DIGEST_H

#include <stdbool.h>

#include "base/span.h"

#define DIGEST_SHA1_SIZE 20

/* SHA-1, for RFC 6455, where it protects nothing. False when the library has none. */
bool digest_sha1(struct span bytes, uint8_t digest[DIGEST_SHA1_SIZE]);

#endif
