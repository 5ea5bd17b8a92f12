/* ticket: the keys of session tickets, shared by all listeners, workers and generations. A ticket holds all
 * that a handshake found out; whoever knows its key can read it, and the connection it came from.
 *
 *   own keys:    [current | previous]  the current one encrypts for one rotation and opens for one more;
 *                                      a ticket of the previous one is taken and a new one given for it
 *   of a file:   [first | others ...]  the first encrypts, all open
 */
#ifndef DRAWBRIDGE_CRYPTO_TICKET_H
#define DRAWBRIDGE_CRYPTO_TICKET_H

#include "base/error.h"
#include "base/span.h"

struct tickets; /* counted references; given with one. Guards itself. */

/* A record of a key file: name, HMAC-SHA-256 key, AES-256 key, as nginx and haproxy write it. */
#define TICKET_RECORD_SIZE 80
#define TICKET_RECORDS_MAX 32

/* Keys of our own, made when they are needed. NULL when memory is out. */
struct tickets *tickets_create(void);

/* Keys of ticket_keyfile. NULL after an error finding at file:line: missing, unreadable by this user, not in
 * records of 80 bytes, keys that are no random bytes, a name twice. Warns of a file that everybody can read.
 */
struct tickets *tickets_load(const char *path, const char *file, unsigned line, struct findings *findings);

struct tickets *tickets_keep(struct tickets *tickets);
void tickets_drop(struct tickets *tickets); /* NULL is allowed */

/* Made by tickets_create: worth keeping at a reload. */
bool tickets_are_own(const struct tickets *tickets);

#endif
