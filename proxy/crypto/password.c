#include "crypto/password.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/random.h"

/* mosquitto hands the password over as a C string. */
static struct span until_nul(struct span password) {
    const uint8_t *nul = password.size == 0 ? NULL : memchr(password.at, '\0', password.size);
    return nul == NULL ? password : span_first(password, (size_t)(nul - password.at));
}

static bool hash_sha512(const struct account *account, struct span password, uint8_t *hash) {
    unsigned size = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_done = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha512(), NULL) == 1 &&
                   EVP_DigestUpdate(digest, password.at, password.size) == 1 &&
                   EVP_DigestUpdate(digest, account->salt, account->salt_size) == 1 &&
                   EVP_DigestFinal_ex(digest, hash, &size) == 1 && size == ACCOUNT_HASH_SIZE;
    EVP_MD_CTX_free(digest);
    return is_done;
}

static bool hash_pbkdf2(const struct account *account, struct span password, uint8_t *hash) {
    if (account->iterations < 1 || account->iterations > INT_MAX || password.size > INT_MAX)
        return false;
    return PKCS5_PBKDF2_HMAC(password.size == 0 ? "" : (const char *)password.at, (int)password.size,
                             account->salt, account->salt_size, (int)account->iterations, EVP_sha512(),
                             ACCOUNT_HASH_SIZE, hash) == 1;
}

/* Fills ACCOUNT_HASH_SIZE bytes. */
static bool compute(const struct account *account, struct span password, uint8_t *hash) {
    bool is_done = false;
    password = until_nul(password);
    switch (account->kind) {
    case ACCOUNT_SHA512: is_done = hash_sha512(account, password, hash); break;
    case ACCOUNT_PBKDF2: is_done = hash_pbkdf2(account, password, hash); break;
    }
    if (!is_done)
        ERR_clear_error(); /* nothing of ours may stay in the thread's queue for a TLS engine to find */
    return is_done;
}

bool password_is_right(const struct account *account, struct span password) {
    uint8_t hash[ACCOUNT_HASH_SIZE];
    bool is_right = compute(account, password, hash) && CRYPTO_memcmp(hash, account->hash, sizeof hash) == 0;
    OPENSSL_cleanse(hash, sizeof hash);
    return is_right;
}

bool password_hash(struct account *account, struct span password) {
    account->kind = ACCOUNT_PBKDF2;
    account->iterations = PASSWORD_ITERATIONS;
    account->salt_size = ACCOUNT_SALT_SIZE_SHORT;
    memset(account->salt, 0, sizeof account->salt);
    return random_fill(account->salt, account->salt_size) && compute(account, password, account->hash);
}
