/* psk: mosquitto's psk_file, the pre-shared keys of TLS, read into a table. */
#ifndef DRAWBRIDGE_POLICY_PSK_H
#define DRAWBRIDGE_POLICY_PSK_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/* The longest that every OpenSSL takes. */
#define PSK_IDENTITY_MAX 128
#define PSK_KEY_MAX      256

struct psk {
    struct span identity; /* UTF-8 without NUL; kept by the arena, as the key is */
    struct span key;
    unsigned line;
};

struct psk_keys; /* immutable after reading; kept by its arena */

/* Reads the text of a psk_file: `identity:hexkey`, comments with # in front. Lines of another kind,
 * identities that are empty, too long, hold a control character or are no UTF-8, keys that are empty, too
 * long or not hexadecimal, and a file without any identity are error findings; NULL then. Of an identity that
 * stands there twice the first line counts, with a warning, as in mosquitto. */
struct psk_keys *psk_read(struct arena *arena, const char *path, struct span text, struct findings *findings);

/* NULL when there is none. */
const struct psk *psk_find(const struct psk_keys *keys, struct span identity);

#endif
