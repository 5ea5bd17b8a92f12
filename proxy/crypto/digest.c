#include "crypto/digest.h"

#include <openssl/evp.h>

bool digest_sha1(struct span bytes, uint8_t digest[DIGEST_SHA1_SIZE]) {
    unsigned size = 0;
    return EVP_Digest(bytes.at, bytes.size, digest, &size, EVP_sha1(), NULL) == 1 && size == DIGEST_SHA1_SIZE;
}
