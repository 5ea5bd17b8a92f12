/* accounts: mosquitto's password_file, read into a table. Verifying a password needs the crypto floor
 * (crypto/password.h). */
#ifndef DRAWBRIDGE_POLICY_ACCOUNTS_H
#define DRAWBRIDGE_POLICY_ACCOUNTS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

enum account_kind {
    ACCOUNT_SHA512 = 6, /* $6$: one SHA-512 over password and salt */
    ACCOUNT_PBKDF2 = 7, /* $7$: PBKDF2-HMAC-SHA512 */
};

#define ACCOUNT_HASH_SIZE     64
#define ACCOUNT_SALT_SIZE_MAX 64

struct account {
    struct span username; /* kept by the arena */
    enum account_kind kind;
    uint32_t iterations; /* ACCOUNT_PBKDF2 */
    uint8_t salt_size;   /* 12 or 64 bytes */
    uint8_t salt[ACCOUNT_SALT_SIZE_MAX];
    uint8_t hash[ACCOUNT_HASH_SIZE];
    unsigned line;
};

struct accounts; /* immutable after reading; kept by its arena */

/* Reads the text of a password file. Duplicate or empty users, hashes that cannot be decoded, plain text
 * passwords, lines without a colon that are neither blank nor comment, and a file without any user are error
 * findings (nothing fails open). NULL then. */
struct accounts *accounts_read(struct arena *arena, const char *path, struct span text,
                               struct findings *findings);

/* The account of a user; NULL when there is none. Cost independent of the number of users. */
const struct account *accounts_find(const struct accounts *accounts, struct span username);

size_t accounts_count(const struct accounts *accounts);

/* Reads one "$7$..." or "$6$..." field. False when it is none. */
bool account_read_hash(struct span text, struct account *account);
/* Writes it; `room` of at least 300 bytes, NUL-terminated. */
void account_write_hash(const struct account *account, char *room, size_t room_size);

#endif
