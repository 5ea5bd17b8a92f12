/* rehearsal: what would happen? A session on no network: real packets go through the real state machine, the
 * real inspector and the real rules, and what comes out is told. Whatever is judged live is judged here, by
 * the same code; only passwords are taken as right. */
#ifndef DRAWBRIDGE_SESSION_REHEARSAL_H
#define DRAWBRIDGE_SESSION_REHEARSAL_H

#include "session/session.h"

enum rehearsal_act {
    REHEARSE_CONNECT,   /* with `topic`: of the will */
    REHEARSE_PUBLISH,   /* of the device */
    REHEARSE_SUBSCRIBE, /* `topic` is a filter */
    REHEARSE_DELIVER,   /* a PUBLISH of the broker */
};

struct rehearsal {
    struct generation *generation; /* borrowed; nobody else uses it meanwhile */
    size_t listener_index;
    struct address address; /* of the device */
    struct engine *engine;  /* of a TLS listener; borrowed */
    enum mqtt_version version;
    bool has_username, is_retained;
    struct span username, client_id;
    enum rehearsal_act act;
    struct span topic; /* valid for the act; empty: none */
    uint8_t qos;
};

struct rehearsed {
    bool is_allowed;
    uint8_t qos;      /* that a subscription is granted at most */
    const char *file; /* of the rule that spoke; NULL: none did */
    unsigned line;
    char words[512]; /* why; may be empty when a rule spoke */
    enum violation violation;
};

/* False when memory is out. */
bool rehearse(const struct rehearsal *rehearsal, struct rehearsed *rehearsed);

#endif
