/* bridge: one `connection` section at work: an end at the local broker, one at the remote broker, and a lane
 * for each direction with the queue between.
 *
 *      local broker                                                                      remote broker
 *           |  PUBLISH   +-----+   put   +-------+  fetch  +-----+  PUBLISH   +-----+         |
 *           +----------->| end |-------->| queue |-------->| lane|----------->| end |-------->+
 *           |<-----------|local|<--------|(disk) |<--------| out |<-----------|remo.|<--------+
 *              PUBACK    +-----+ commit  +-------+  delete +-----+   PUBACK   +-----+
 *
 * and the same back for lane in. A message is acknowledged to its source when it is committed, deleted when
 * its target has acknowledged it. QoS 0 goes straight across, or not at all.
 *
 * QoS 2 is exact also when we are killed at any moment, because these three stand on the disk before the next
 * step is said:
 *
 *     from the source   PUBLISH   its packet id is in `received` before PUBREC is said: a repetition is known
 *                       PUBREL    it is taken out before PUBCOMP is said: the id may be used anew
 *     to the target     PUBREC    the row is `released` before PUBREL is said: it is never published again
 *
 * The packet id of a row follows from its number, so a repetition after a restart carries the same one. */
#ifndef DRAWBRIDGE_BRIDGE_BRIDGE_H
#define DRAWBRIDGE_BRIDGE_BRIDGE_H

#include "bridge/client.h"
#include "bridge/queue.h"
#include "bridge/routes.h"

enum bridge_metric {
#define BRIDGE_METRIC(name, kind, help) BRIDGE_METRIC_##name,
#define BRIDGE_LANE_METRIC(name, kind, help)
#include "bridge/metrics.def"
#undef BRIDGE_METRIC
#undef BRIDGE_LANE_METRIC
    BRIDGE_METRIC_COUNT
};

enum lane_metric {
#define BRIDGE_METRIC(name, kind, help)
#define BRIDGE_LANE_METRIC(name, kind, help) LANE_METRIC_##name,
#include "bridge/metrics.def"
#undef BRIDGE_METRIC
#undef BRIDGE_LANE_METRIC
    LANE_METRIC_COUNT
};

/* Written by the bridge's thread, read by anybody, whole words at a time. */
struct bridge_tally {
    uint64_t rows[BRIDGE_METRIC_COUNT];
    uint64_t lanes[LANE_COUNT][LANE_METRIC_COUNT];
    uint64_t ends[2][CLIENT_END_COUNT]; /* local, remote */
};

/* A place to connect to. */
struct bridge_place {
    const char *text;          /* for the log */
    struct conf_backend where; /* what is dialled */
    struct link_wish link;
    struct span websocket_host, websocket_path; /* path empty: plain MQTT */
};

/* What a bridge lives under: borrowed from one configuration generation. */
struct bridge_terms {
    const struct conf *program;
    const struct conf_bridge *conf;
    const struct routes *routes;
    struct bridge_place local;
    const struct bridge_place *remotes; /* one per address */
    size_t remote_count;
    const char *remote_clientid, *local_clientid, *state_topic;
    const char *queue_path;
    struct span local_username, local_password; /* at NULL: none */
    void *keeper; /* of all this; let go of when the bridge does not need it any more */
    void (*release)(void *keeper);
};

/* The loop that a bridge lives on. */
struct bridge_host {
    struct loop *loop;
    struct backend *backends;
    void (*wake)(
        struct bridge_host *host); /* from any thread: call bridge_poll of all bridges on the loop soon */
};

struct bridge;

/* Begins; the terms are its own (copied, `keeper` kept). `tally` outlives the bridge. on_gone: it is ended
 * and freed. NULL: no memory; the terms are released then. */
struct bridge *bridge_start(struct bridge_host *host, const struct bridge_terms *terms,
                            struct bridge_tally *tally, void (*on_gone)(void *owner), void *owner);
/* Looks after the queue's answers. */
void bridge_poll(struct bridge *bridge);
enum bridge_retuning {
    BRIDGE_UNCHANGED, /* they say the same; taken when nothing of the old ones is in use */
    BRIDGE_LATER, /* they hold from the next connection to either broker on; the other one is made anew with
                     it */
    BRIDGE_NOW,   /* both connections are made anew */
};
/* A reload: the terms that are to come. They are given. */
void bridge_retune(struct bridge *bridge, const struct bridge_terms *terms, enum bridge_retuning retuning);
enum bridge_stop {
    BRIDGE_STOP_NOW,   /* the program ends: what is queued stays on the disk */
    BRIDGE_STOP_DRAIN, /* its section is gone: nothing new is taken, what is queued is sent first, as long as
                          the remote broker is there */
};
void bridge_stop(struct bridge *bridge, enum bridge_stop manner);

/* Of the remote end, for people. */
const char *bridge_state_words(uint64_t state);

#endif
