/* counting: max_subscriptions. A filter counts from the SUBSCRIBE that passes to the UNSUBSCRIBE that passes;
 * what the broker then refuses is undone when it says so. With max_subscriptions 0 nothing is kept. For
 * inspect/ only. */
#ifndef DRAWBRIDGE_INSPECT_COUNTING_H
#define DRAWBRIDGE_INSPECT_COUNTING_H

#include "inspect/rules.h"

/* A filter that everything else allows: counts it, or sets *ruling to a refusal when there are too many.
 * False: memory is out. */
bool counting_subscribe(struct inspector *inspector, struct merge *merge, uint32_t index, struct span filter,
                        struct ruling *ruling);
/* The SUBSCRIBE does not go on now after all. */
void counting_undo(struct inspector *inspector, const struct merge *merge);
/* Takes the filters of an UNSUBSCRIBE out of the count. NEXT, or why the session cannot go on. */
enum inspect_result counting_unsubscribe(struct inspector *inspector,
                                         const struct mqtt_subscribe *unsubscribe);
/* The broker's codes for what the packet left open. False: memory is out. */
bool counting_settle(struct inspector *inspector, const struct merge *merge, struct span codes);

#endif
