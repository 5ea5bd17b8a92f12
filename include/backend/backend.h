/* backend: where the broker is, one per worker. Names are resolved off the loop, remembered for a while, and
 * resolved anew after a failure. */
#ifndef DRAWBRIDGE_BACKEND_BACKEND_H
#define DRAWBRIDGE_BACKEND_BACKEND_H

#include "conf/conf.h"
#include "link/link.h"
#include "link/loop.h"

#define BACKEND_ADDRESSES_MAX 16

/* One attempt to reach the broker; lives inside the one who asks, zeroed before the first use. */
struct backend_call {
    const struct link_events *events; /* of the link to come */
    void *owner;
    struct link_wish wish;            /* borrowed while on_dialed has not been called */
    const struct conf_backend *where; /* read at the first attempt alone */
    struct backend *backend;          /* found then, by the worker */
    /* error < 0: no link, and no further address to try. Otherwise `link` is open already, or
     * is connecting and its events follow. */
    void (*on_dialed)(struct backend_call *call, int error, struct link *link);
    unsigned attempt;                      /* addresses tried so far */
    size_t start;                          /* the address that was tried first */
    struct backend_call *next, **previous; /* while waiting for a name */
};

struct backend {
    struct loop *loop;
    struct backend *next; /* of the same worker */
    char *text;           /* what tells it from the others, as conf_backend's; its own */
    const char *host;     /* its own, as `path` */
    const char *path;
    uint16_t port;
    struct address addresses[BACKEND_ADDRESSES_MAX];
    size_t count, preferred;
    uint64_t resolved_ms;
    bool is_literal, is_resolving, is_stale;
    struct loop_lookup lookup;
    struct backend_call *waiting;
};

/* The backend among the worker's that this is, made when it is new; NULL when memory is out. They are few,
 * and one that a configuration named once stays, since lookups may be under way. */
struct backend *backend_find(struct backend **first, struct loop *loop, const struct conf_backend *where);
/* Frees all, when the loop is closed. */
void backend_free_all(struct backend **first);

/* Dials the next address. May answer at once, or later. */
void backend_dial(struct backend *backend, struct backend_call *call);
/* The one who asked does not want to know any more. */
void backend_cancel(struct backend_call *call);
/* How it went with the link of the last attempt. */
void backend_report(struct backend *backend, const struct backend_call *call, bool is_connected);

#endif
