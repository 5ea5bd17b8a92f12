/* probe: does an address answer? A connection that is closed as soon as it is there. */
#ifndef DRAWBRIDGE_BRIDGE_PROBE_H
#define DRAWBRIDGE_BRIDGE_PROBE_H

#include "bridge/bridge.h"

struct probe;

/* `place` is borrowed; NULL: memory is out. */
struct probe *probe_create(struct bridge_host *host, const struct bridge_place *place,
                           void (*on_answer)(void *owner), void *owner);
/* Tries again when the last try is `every_ms` ago. May call on_answer. */
void probe_step(struct probe *probe, uint64_t now_ms, uint64_t every_ms);
/* on_answer is not called any more. NULL is allowed. */
void probe_destroy(struct probe *probe);

#endif
