/* holds: one session per certificate, among all workers. A session that comes in with a certificate takes the
 * hold of it; who had it hears so on its own worker. One mutex, taken at the CONNECT and at the end of
 * sessions that have a hold, never for a packet.
 *
 *   A: --take--> holds it ............ | lost --(called, on A's own thread) first_lost--> its session ends
 *   B: ..................... --take----|--> holds it
 */
#ifndef DRAWBRIDGE_SESSION_HOLDS_H
#define DRAWBRIDGE_SESSION_HOLDS_H

#include <stdbool.h>

#include "base/span.h"

struct holds; /* of all workers */
struct hold;  /* of a session */

/* Whose sessions hold something, on one thread. All zero but for `call`. */
struct holder {
    void (*call)(struct holder *holder); /* "one of yours was lost"; from any thread, under the lock */
    struct hold *lost;
};

struct holds *holds_create(void); /* NULL when memory is out */
/* Every hold must have been given back. NULL is allowed. */
void holds_destroy(struct holds *holds);

/* Takes the hold of that name (a fingerprint) for `owner`, from whoever has it. The hold is to be given back;
 * NULL when memory is out; nobody may have it then. */
struct hold *holds_take(struct holds *holds, struct span name, struct holder *holder, void *owner);

/* Gives it back, be it lost or not. NULL is allowed. */
void holds_give_back(struct holds *holds, struct hold *hold);

/* The owner of one of this holder's holds that were lost, each told once; NULL when there is none any more.
 * On the holder's thread. */
void *holds_next_lost(struct holds *holds, struct holder *holder);

#endif
