/* pace: how fast a device may send. Up to nine meters: what is counted (packets, messages, their bytes) times
 * whose it is (the session's own, all sessions of the username, all of the listener). A packet takes from all
 * that concern it or from none.
 *
 * A session without any limit has no pace. */
#ifndef DRAWBRIDGE_INSPECT_PACE_H
#define DRAWBRIDGE_INSPECT_PACE_H

#include "inspect/inspector.h"
#include "mqtt/publish.h"
#include "policy/meter.h"

enum pace_kind { PACE_PACKETS, PACE_MESSAGES, PACE_BYTES, PACE_KINDS };
enum pace_scope { PACE_DEVICE, PACE_USER, PACE_LISTENER, PACE_SCOPES };

/* What happens to a PUBLISH that comes too fast. Other packets are delayed but for PACE_DISCONNECT. */
enum pace_action {
    PACE_DELAY,
    PACE_DROP,   /* QoS 0 is cut out, QoS 1 and 2 are delayed */
    PACE_REFUSE, /* QoS 0 is cut out, QoS 1 and 2 are answered 0x97 (3.x: as if they were taken) */
    PACE_DISCONNECT,
};

struct pace {
    enum pace_action action;
    struct meter *meters[PACE_KINDS][PACE_SCOPES]; /* NULL: no limit */
    struct meter own[PACE_KINDS];                  /* what PACE_DEVICE points to */
    uint64_t now_ms, since_ms;                     /* see pace_begin */
    uint64_t taken[PACE_KINDS][PACE_SCOPES];       /* since pace_begin */
    bool is_packet_paid, is_publish_paid;          /* for the packet at hand, which is not through yet */
    bool is_delayed;                               /* the packet at hand was told to wait */
    struct meter *awaited;                         /* the meter that counts us as waiting */
    uint64_t due_ms;                               /* of INSPECT_DELAY: not before then */
    uint64_t stopped_count;                        /* packets that were delayed, dropped, refused */
    enum pace_kind stopped_kind;                   /* of the last of them */
    enum pace_scope stopped_scope;
};

/* Before the inspector looks at bytes. `since_ms`: when the session should have been woken, `now_ms` when it
 * did not wait. */
void pace_begin(struct pace *pace, uint64_t since_ms, uint64_t now_ms);
/* Nobody waits any more. */
void pace_rest(struct pace *pace);

/* May this packet that is no PUBLISH go on? False: *result tells what becomes of it. */
bool pace_packet(struct inspector *inspector, const struct mqtt_frame *frame, enum inspect_result *result);
/* The same for a PUBLISH whose head is whole. */
bool pace_publish(struct inspector *inspector, struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                  const struct mqtt_publish *publish, enum inspect_result *result);
/* The packet at hand is through. */
static inline void pace_settle(struct pace *pace) {
    pace->is_packet_paid = pace->is_publish_paid = pace->is_delayed = false;
}

/* "publish_rate", "user_packet_rate", ... */
const char *pace_keyword(enum pace_kind kind, enum pace_scope scope);

#endif
