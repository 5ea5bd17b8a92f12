/* window: which QoS 1 and 2 PUBLISHes of one way are not acknowledged yet, and how many may be (Receive
 * Maximum, MQTT 5.0 3.1.2.11.3, 3.2.2.3.3, 4.9). A set of packet ids and no mere count: the same PUBLISH sent
 * again takes one place only, and an acknowledgement of an exchange that an earlier connection began gives
 * none back. Few ids are kept in place; a set of its own is allocated once, when there are more. */
#ifndef DRAWBRIDGE_INSPECT_WINDOW_H
#define DRAWBRIDGE_INSPECT_WINDOW_H

#include "inspect/inflight.h"

#define WINDOW_FEW 12
/* Without a Receive Maximum this many are allowed, which are all packet ids there are: nothing is watched. */
#define WINDOW_UNLIMITED 65535

struct window {
    uint16_t max;   /* 0 or WINDOW_UNLIMITED: not watched */
    uint16_t count; /* ids taken now */
    uint16_t few[WINDOW_FEW];
    struct id_set many; /* once there were more than `few` holds, all of them */
};

enum window_answer {
    WINDOW_TAKEN, /* it has a place, perhaps had one already */
    WINDOW_FULL,
    WINDOW_NO_MEMORY,
};

/* A PUBLISH above QoS 0 goes its way. Asking twice for the same id changes nothing. */
enum window_answer window_take(struct window *window, uint16_t id);
/* Its exchange is over: PUBACK, PUBCOMP, or a PUBREC that refuses. An id without a place is no matter. */
void window_free(struct window *window, uint16_t id);
void window_clear(struct window *window);

#endif
