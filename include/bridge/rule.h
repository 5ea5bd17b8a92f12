/* rule: a line of topic or remap, compiled. Shared by routes.c, which asks the rules, and echoes.c, which
 * looks whether they feed each other. */
#ifndef DRAWBRIDGE_BRIDGE_RULE_H
#define DRAWBRIDGE_BRIDGE_RULE_H

#include "base/error.h"
#include "bridge/message.h"
#include "conf/conf.h"

/* A line, as one lane sees it. */
struct side {
    bool is_used;
    struct span source, target; /* filters to subscribe to; target: empty for a remap */
    struct span matching;       /* the source without $share/NAME/ */
    struct span reach;          /* a filter for what comes out, as wide as it may be */
    struct span cut, put;       /* topic: prefixes */
};

struct rule {
    const struct conf_route *line;
    struct side sides[LANE_COUNT];
};

struct routes {
    size_t count;
    const char *hostname, *name;
    struct rule rules[];
};

/* Warnings, or with the same broker on both sides an error, about lines that feed each other; see
 * routes_compile. False after an error or when memory is out. */
bool echoes_check(const struct routes *routes, const struct conf_bridge *bridge,
                  const struct conf_backend *local, struct findings *findings);

#endif
