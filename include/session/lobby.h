/* lobby: what all workers know together about the strangers at the door: where they come from, how many they
 * are, how often they failed. One mutex, taken when a connection is accepted, at its CONNECT, when it fails
 * and when it is gone, and only where the configuration asks for it; never for a packet.
 *
 *   accept --arrive--> connection --(TLS) shaken--> --is_banned, seat--> dialling ... --leave--> gone
 *                           \--------------fail (before the CONNACK)---------------/
 */
#ifndef DRAWBRIDGE_SESSION_LOBBY_H
#define DRAWBRIDGE_SESSION_LOBBY_H

#include "conf/conf.h"
#include "link/address.h"
#include "policy/visitors.h"

struct lobby;

/* One of the seats of an address or a username, and who sits there. */
struct guest_seat {
    struct visitor *visitor, *identity; /* lent; both or none */
};

/* What a connection holds in the lobby. All zero: nothing. */
struct guest {
    struct ip ip;                              /* of the device; NONE: a Unix socket */
    struct visitor *address;                   /* counted there from accept on; lent */
    struct guest_seat of_address, of_username; /* from the CONNECT on */
    bool is_shaking;                           /* its TLS handshake counts */
};

/* The rules a connection is judged by. */
struct lobby_rules {
    const struct conf *conf;
    const struct conf_listener *listener;
    size_t listener_index;
};

enum lobby_answer {
    LOBBY_WELCOME,
    LOBBY_DENIED,          /* deny_from */
    LOBBY_NOT_ALLOWED,     /* allow_from */
    LOBBY_BANNED,          /* ban_after */
    LOBBY_OVER_RATE,       /* connection_rate */
    LOBBY_OVER_ADDRESS,    /* max_connections_per_address */
    LOBBY_OVER_USERNAME,   /* max_connections_per_username */
    LOBBY_OVER_HANDSHAKES, /* max_handshakes */
    LOBBY_NO_MEMORY,
};

/* Words for the log, such as "its address is banned". */
const char *lobby_words(enum lobby_answer answer);

/* NULL when memory is out. */
struct lobby *lobby_create(void);
/* Every guest must have left. NULL is allowed. */
void lobby_destroy(struct lobby *lobby);

/* A connection was accepted and nothing was read or sent. Unless it is welcome *guest holds nothing and the
 * connection is to be closed at once. `wants_tls`: it is going to shake hands. */
enum lobby_answer lobby_arrive(struct lobby *lobby, const struct lobby_rules *rules,
                               const struct address *address, bool wants_tls, uint64_t now_ms,
                               struct guest *guest);

/* The handshake is over, well or not. May be called again. */
void lobby_shaken(struct lobby *lobby, struct guest *guest);

/* A CONNECT with its final names (`username` empty: none). True when one of them is banned. */
bool lobby_is_banned(struct lobby *lobby, const struct lobby_rules *rules, struct span username,
                     struct span client_id, uint64_t now_ms);

/* The device is who it says, as far as we can tell, and the broker is about to be dialled: WELCOME,
 * OVER_ADDRESS, OVER_USERNAME or NO_MEMORY. A connection that takes over the session of a living one (same
 * client id, username and, for the limit of an address, address) may be one more than the limit. */
enum lobby_answer lobby_seat(struct lobby *lobby, const struct lobby_rules *rules, struct span username,
                             struct span client_id, uint64_t now_ms, struct guest *guest);

/* A failure as ban_after counts them. Returns who is banned from now on, as bits of enum conf_ban_kind. */
unsigned lobby_fail(struct lobby *lobby, const struct lobby_rules *rules, const struct guest *guest,
                    struct span username, struct span client_id, uint64_t now_ms);

/* The connection is gone. May be called again. */
void lobby_leave(struct lobby *lobby, struct guest *guest);

struct visitors_summary lobby_sum_up(struct lobby *lobby, uint64_t now_ms);
/* TLS handshakes in progress, counted while there is a max_handshakes. */
int64_t lobby_handshakes(const struct lobby *lobby);

#endif
