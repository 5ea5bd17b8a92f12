#include "base/hash.h"

#include <string.h>

static uint64_t key0 = 0x0706050403020100u, key1 = 0x0f0e0d0c0b0a0908u;

void hash_seed(const uint8_t key[16]) {
    memcpy(&key0, key, 8);
    memcpy(&key1, key + 8, 8);
}

/* SipHash (Aumasson and Bernstein, 2012) with one round per word and three at the end. */
#define ROTATE(x, b) (uint64_t)((x) << (b) | (x) >> (64 - (b)))
#define SIP_ROUND                                                                                            \
    do {                                                                                                     \
        v0 += v1;                                                                                            \
        v1 = ROTATE(v1, 13) ^ v0;                                                                            \
        v0 = ROTATE(v0, 32);                                                                                 \
        v2 += v3;                                                                                            \
        v3 = ROTATE(v3, 16) ^ v2;                                                                            \
        v0 += v3;                                                                                            \
        v3 = ROTATE(v3, 21) ^ v0;                                                                            \
        v2 += v1;                                                                                            \
        v1 = ROTATE(v1, 17) ^ v2;                                                                            \
        v2 = ROTATE(v2, 32);                                                                                 \
    } while (0)

uint64_t hash_bytes(const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    uint64_t v0 = key0 ^ 0x736f6d6570736575u, v1 = key1 ^ 0x646f72616e646f6du;
    uint64_t v2 = key0 ^ 0x6c7967656e657261u, v3 = key1 ^ 0x7465646279746573u;
    for (size_t left = size; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        v3 ^= word;
        SIP_ROUND;
        v0 ^= word;
    }
    uint64_t last = (uint64_t)size << 56;
    for (size_t i = 0; i < size % 8; i++)
        last |= (uint64_t)at[i] << (8 * i);
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}
