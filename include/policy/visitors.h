/* visitors: what is remembered of the addresses, usernames and client ids that strangers come with: how many
 * connections they have, how much of their rate is spent, their failures and their bans. Its memory is
 * bounded, whatever they do. Not thread-safe; time is an argument.
 *
 *     table ---> visitor   found by kind, group and name
 *     row   ---> visitor <-> visitor <-> ...   longest not asked for first
 *
 * With each newcomer two of the row's front are looked at: who has nothing left to remember is forgotten, the
 * others go to its end. When the table is full the one goes whose memory ends first; only visitors that are
 * connected never go, and those are bounded by the program's descriptors. */
#ifndef DRAWBRIDGE_POLICY_VISITORS_H
#define DRAWBRIDGE_POLICY_VISITORS_H

#include "base/network.h"
#include "base/rate.h"
#include "base/span.h"
#include "conf/conf.h"

/* Visitors that are remembered without being connected. About 200 bytes each, and eight per failure. */
#define VISITORS_MAX 65536

enum visitor_kind {
    VISITOR_ADDRESS,
    VISITOR_USERNAME,
    VISITOR_CLIENTID,
    VISITOR_SEATED_ADDRESS, /* an address, counted from the CONNECT on */
    VISITOR_OF_ADDRESS,     /* a client id and username at an address */
    VISITOR_OF_USERNAME,    /* a client id and username, wherever */
};

/* Whose rule it is: 0 for what all listeners share, else a listener's index + 1. */
struct visitor_name {
    enum visitor_kind kind;
    uint16_t group;
    struct span text; /* any length; compared by size, first bytes and a keyed digest of 64 bits */
};

struct visitors;
struct visitor;

/* An empty table for at most `most` visitors that are not connected (VISITORS_MAX); NULL when memory is out.
 */
struct visitors *visitors_create(size_t most);
void visitors_destroy(struct visitors *visitors);

/* The name of an address for the table: it must live as long as the name. */
static inline struct visitor_name visitor_address(const struct ip *one, uint16_t group) {
    return (struct visitor_name){VISITOR_ADDRESS, group, span_of(one->bytes, one->family == IP_V4 ? 4 : 8)};
}

/* What is banned when an address is: "192.0.2.7", "2001:db8:0:1::/64". Returns `room` (NETWORK_TEXT_SIZE). */
const char *visitor_address_print(const struct ip *ip, char *room);

/* Counts one more connection. `most` 0: no limit. NULL when it is over the limit (*is_over) or memory is out.
 * The visitor is lent until visitors_leave. */
struct visitor *visitors_enter(struct visitors *visitors, struct visitor_name name, uint64_t most,
                               uint64_t now_ms, bool *is_over);
void visitors_leave(struct visitors *visitors, struct visitor *visitor);

/* How many connections the name has now. */
uint64_t visitors_connections(struct visitors *visitors, struct visitor_name name);

/* Takes one token of the name's rate. False when there is none, or when memory is out. */
bool visitors_take(struct visitors *visitors, struct visitor_name name, const struct rate *rate,
                   uint64_t now_ms);

/* Writes down a failure. True when that begins a ban. Nothing is counted while a ban lasts. */
bool visitors_fail(struct visitors *visitors, struct visitor_name name, const struct conf_ban *rule,
                   uint64_t now_ms);

/* Is there a ban on the name? */
bool visitors_is_banned(struct visitors *visitors, struct visitor_name name, uint64_t now_ms);

/* For the metrics: who is remembered, and the bans that last, by kind (ADDRESS, USERNAME, CLIENTID). */
struct visitors_summary {
    size_t remembered;
    size_t bans[VISITOR_CLIENTID + 1];
};
struct visitors_summary visitors_sum_up(struct visitors *visitors, uint64_t now_ms);

#endif
