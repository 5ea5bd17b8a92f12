/* bridges: the thread on which all bridges live, and what they live under, made from a configuration
 * generation. */
#ifndef DRAWBRIDGE_CONTROL_BRIDGES_H
#define DRAWBRIDGE_CONTROL_BRIDGES_H

#include <stdio.h>

#include "bridge/bridge.h"
#include "session/terms.h"

/* bridge_plan.c: one connection section, ready to be connected. Its memory is the generation's. */
struct bridge_plan {
    struct bridge_terms terms;
    struct bridge_place *remotes;
    struct tls_context **contexts; /* one per address; NULL: plain */
};

struct bridge_plans {
    size_t count;
    struct bridge_plan plans[];
};

/* Fills in generation->bridges; errors are findings. */
void bridge_plans_load(struct generation *generation, struct findings *findings);
void bridge_plans_free(struct bridge_plans *plans);
/* Would a bridge do the same with either? The files that it names are not compared. */
bool bridge_plan_is_same(const struct bridge_plan *a, const struct bridge_plan *b);

struct bridges;

/* Starts the thread, with the bridges of the generation; NULL (logged) when it cannot. */
struct bridges *bridges_start(struct generation *generation);
/* From the main thread: a reload. */
void bridges_publish(struct bridges *bridges, struct generation *generation);
/* Ends all bridges within a few seconds, then the thread; frees everything. NULL is allowed. */
void bridges_stop(struct bridges *bridges);
void bridges_join(struct bridges *bridges);
/* The Prometheus text. */
void bridges_write_metrics(struct bridges *bridges, FILE *out);

#endif
