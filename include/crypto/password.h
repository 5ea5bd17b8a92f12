/* password: making and checking the hashes of policy/accounts.h. Safe from every thread; PBKDF2 takes its
 * time by design, so a worker asks for it off its loop. */
#ifndef DRAWBRIDGE_CRYPTO_PASSWORD_H
#define DRAWBRIDGE_CRYPTO_PASSWORD_H

#include "policy/accounts.h"

/* Iterations that `drawbridge passwd` writes, mosquitto 2.1's number. */
#define PASSWORD_ITERATIONS 1000

/* True when the password is the account's; compared in constant time. As in mosquitto the password is a C
 * string: it ends at a NUL byte. False on any failure inside. */
bool password_is_right(const struct account *account, struct span password);

/* Fills kind, iterations, a fresh 12-byte salt (readable by mosquitto 2.0 and 2.1) and the hash. False when
 * randomness or memory failed. */
bool password_hash(struct account *account, struct span password);

#endif
