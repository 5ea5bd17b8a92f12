/* routes: the `topic` and `remap` lines of a bridge: what is subscribed to on either side, and what a message
 * is called on the other. Pure. mosquitto's rules, and its peculiarities: among the lines of a direction that
 * have a prefix (or are a remap) the first whose full filter matches wins; a prefix is cut where the topic
 * begins with it, and the other one put in front; topics that only lines without prefixes match keep their
 * name. */
#ifndef DRAWBRIDGE_BRIDGE_ROUTES_H
#define DRAWBRIDGE_BRIDGE_ROUTES_H

#include "base/arena.h"
#include "base/error.h"
#include "base/writer.h"
#include "bridge/message.h"
#include "conf/conf.h"

struct routes;

/* Kept by the arena. A line that says the same as one before is left out, with a warning. ${hostname} is
 * `hostname` (borrowed for as long as the routes live), ${name} the bridge's. `local` is the broker in
 * `backend`: when the bridge's remote broker is the same one, lines that feed each other are an error, since
 * a message would go round for ever; else they are a warning, for only the remote broker's No Local then
 * stands between the bridge and that. NULL: not known. NULL comes back after an error finding or when memory
 * is out. */
const struct routes *routes_compile(struct arena *arena, const struct conf_bridge *bridge,
                                    const struct conf_backend *local, const char *hostname,
                                    struct findings *findings);

/* Lines, in file order. */
size_t routes_count(const struct routes *routes);

/* The line, for log lines. */
const struct conf_route *routes_line(const struct routes *routes, size_t index);

/* Is the line of this lane? Then the filter to subscribe to at the lane's source (LANE_OUT: at the local
 * broker) and its QoS: the highest of all lines of the lane with the same filter, since the last SUBSCRIBE
 * counts (MQTT 5.0 3.8.4-3). Borrowed from the arena. */
bool routes_source(const struct routes *routes, size_t index, enum lane lane, struct span *filter,
                   uint8_t *qos);

/* The same at the lane's other end: what bridge_attempt_unsubscribe takes back. Empty for a remap, which has
 * none. */
bool routes_target(const struct routes *routes, size_t index, enum lane lane, struct span *filter);

enum route_answer {
    ROUTE_NONE,   /* no line of this lane matches: the message is none of ours */
    ROUTE_SAME,   /* it keeps its name: *mapped is the topic */
    ROUTE_MAPPED, /* *mapped is in the room */
    ROUTE_WRONG,  /* what comes out is no topic name (empty, a wildcard, too long for the room or for MQTT) */
};

/* `room` should have 65,535 bytes; what is in it is overwritten. *line (NULL is allowed): the line that
 * decided; NULL with ROUTE_NONE. `topic` is a valid topic name. */
enum route_answer routes_map(const struct routes *routes, enum lane lane, struct span topic,
                             struct writer *room, struct span *mapped, const struct conf_route **line);

/* An identifier for the line's subscription (MQTT 5.0 3.8.2.1.2), which follows from its filter alone, so
 * that it is the same after a reload and a restart. */
uint32_t routes_subscription_id(const struct routes *routes, size_t index, enum lane lane);
/* Filters that overlap make some brokers send a message once for each. Is the copy with this identifier the
 * one to take? It is the one of the matching line with the highest QoS, the first of them; one of a filter
 * that is none of ours (any more) is taken, too. */
bool routes_takes_copy(const struct routes *routes, enum lane lane, struct span topic,
                       uint32_t subscription_id);
/* Of the lines that match, the highest QoS: what the source may deliver with. 0 when none does. */
uint8_t routes_qos(const struct routes *routes, enum lane lane, struct span topic);

#endif
