/* keylog: the secrets of connections, written down for Wireshark (the form of SSLKEYLOGFILE). For debugging
 * alone. */
#ifndef DRAWBRIDGE_CRYPTO_KEYLOG_H
#define DRAWBRIDGE_CRYPTO_KEYLOG_H

#include "base/error.h"
#include "base/span.h"

struct keylog; /* counted references; given with one */

/* Appends to the file, which is made readable for its owner alone. NULL after an error finding at file:line.
 */
struct keylog *keylog_open(const char *path, const char *file, unsigned line, struct findings *findings);
bool keylog_is_at(const struct keylog *keylog, const char *path);
struct keylog *keylog_keep(struct keylog *keylog);
void keylog_drop(struct keylog *keylog); /* NULL is allowed */

#endif
