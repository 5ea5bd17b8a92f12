#include "crypto/random.h"

#include <limits.h>
#include <openssl/rand.h>

bool random_fill(void *room, size_t size) {
    unsigned char *at = room;
    while (size != 0) {
        int part = size > INT_MAX ? INT_MAX : (int)size;
        if (RAND_bytes(at, part) != 1)
            return false;
        at += part;
        size -= (size_t)part;
    }
    return true;
}
