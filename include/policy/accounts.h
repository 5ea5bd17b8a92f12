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

#define ACCOUNT_HASH_SIZE       64
#define ACCOUNT_SALT_SIZE_SHORT 12 /* mosquitto 2.0 */
#define ACCOUNT_SALT_SIZE_MAX   64 /* mosquitto 2.1 */

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

/* The largest number of iterations that is read, mosquitto's int; from ACCOUNT_ITERATIONS_SLOW on (a second
 * and more for each login) there is a warning. */
#define ACCOUNT_ITERATIONS_MAX  2147483647u
#define ACCOUNT_ITERATIONS_SLOW 1000000u

/* Reads the text of a password file. Duplicate or empty users, hashes that cannot be decoded, plain text
 * passwords, lines without a colon that are neither blank nor comment, and a file without any user are error
 * findings (nothing fails open). NULL then. */
struct accounts *accounts_read(struct arena *arena, const char *path, struct span text,
                               struct findings *findings);

/* The account of a user; NULL when there is none. Cost independent of the number of users. */
const struct account *accounts_find(const struct accounts *accounts, struct span username);

size_t accounts_count(const struct accounts *accounts);

/* The account whose check costs what most checks of this file cost. Check a password against it, and forget
 * the answer, when accounts_find found nobody: time then tells nobody who exists. */
const struct account *accounts_usual(const struct accounts *accounts);

/* Reads one "$7$..." or "$6$..." field into everything but username and line. Nothing but what mosquitto
 * writes: padded base64 without stray bits, a salt of 12 or 64 bytes, a hash of 64, decimal iterations from 1
 * on. False when it is none; *account is then untouched. */
bool account_read_hash(struct span text, struct account *account);
/* Writes it; `room` of at least 300 bytes, NUL-terminated. */
void account_write_hash(const struct account *account, char *room, size_t room_size);

/* May a password file hold this username, so that it is read back as it was? Not empty, at most 65,535 bytes
 * of MQTT UTF-8, no colon, no control character, no `#` in front, no blank at either end. NULL when it may,
 * else what is wrong with it, to be put behind "a username ". */
const char *account_username_fault(struct span username);

#endif
