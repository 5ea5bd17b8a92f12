/* twins: most traffic is somebody saying the same again. PUBLISHes of QoS 0 that differ from one that was
 * allowed and has passed as it came in nothing but their payload, which is no longer, pass unasked. This
 * judges nothing, so no rule has to be known here: all that a rule can look at is the same. For inspect/
 * only, but for making the table. */
#ifndef DRAWBRIDGE_INSPECT_TWINS_H
#define DRAWBRIDGE_INSPECT_TWINS_H

#include "inspect/inspector.h"
#include "mqtt/publish.h"

/* What has passed, of all sessions of a worker and both their ways: some topics that take turns are found in
 * it. 256 KiB. NULL when memory is out. */
struct twins *twins_create(void);
void twins_destroy(struct twins *twins); /* NULL is fine */

/* Behind a PUBLISH whose head has just passed as it came: its payload too, and all twins that follow, of it
 * and of others that have passed under the same binding on this way. A device that has a pace is asked about
 * each packet. */
void twins_pass(struct inspector *inspector, struct inspect_way *way, struct inspect_bytes *bytes,
                const struct mqtt_frame *frame, const struct mqtt_publish *publish);

#endif
