/* link: a byte stream with back-pressure, plain or TLS. One owner, one worker.
 *
 *   owner                                        link
 *     on_room  <--- where may plaintext go? ------ bytes are at the socket
 *     on_bytes <--- that many were put there ----
 *     link_write ---------------------------------> one system call; what the kernel does not take is kept
 * ("pending") on_drained <-- nothing is pending any more -- on_end   <--- no more bytes will come -------
 * then the owner calls link_close on_closed <--- the handle is gone; the link's memory goes right after
 *
 * An owner stops reading elsewhere while link_pending is not zero, so that pending never exceeds what one
 * wake-up brings. All plaintext of one read is handed over before the callback ends: nothing waits inside
 * OpenSSL while reading is stopped. */
#ifndef DRAWBRIDGE_LINK_LINK_H
#define DRAWBRIDGE_LINK_LINK_H

#include "base/span.h"
#include "crypto/engine.h"
#include "link/address.h"

struct link;
struct loop;

struct link_room {
    uint8_t *at;
    size_t size;
};

/* A room for plaintext is never smaller than this: 64 KiB of one read and a record that OpenSSL still held.
 */
#define LINK_ROOM_MIN (80 * 1024)

struct link_events {
    void (*on_open)(struct link *link); /* connected, or the TLS handshake is done */
    struct link_room (*on_room)(struct link *link);
    void (*on_bytes)(struct link *link, size_t count);
    void (*on_drained)(struct link *link);
    void (*on_end)(
        struct link *link,
        int error); /* 0: the peer closed in order; else a negative errno, -EPROTO for TLS trouble */
    void (*on_closed)(struct link *link);
};

enum link_manner {
    LINK_POLITELY, /* send what is pending, say goodbye, give the peer a second to read it */
    LINK_AT_ONCE,
};

/* A kind of link: TCP or unix socket, TLS over it, or a test's fake. */
struct link_verbs {
    int (*write)(struct link *link, const struct span *pieces, size_t count);
    void (*read_start)(struct link *link);
    void (*read_stop)(struct link *link);
    bool (*is_ended)(struct link *link);
    void (*close)(struct link *link, enum link_manner manner);
};

struct link {
    const struct link_verbs *verbs;
    const struct link_events *events;
    void *owner;           /* borrowed */
    struct engine *engine; /* TLS links only */
    size_t pending;        /* bytes accepted by link_write that the kernel has not taken */
    bool is_reading, is_open, is_closing;
    bool is_away;    /* its engine is on another thread for a step of its handshake: nobody may ask it now */
    uint8_t trouble; /* enum dial_trouble of a link that was dialled; ask link_trouble */
};

/* Sends all pieces in order; 0, or a negative errno (-ENOMEM, -EPIPE, ...) after which the owner ends the
 * link. */
static inline int link_write(struct link *link, const struct span *pieces, size_t count) {
    return link->verbs->write(link, pieces, count);
}

static inline size_t link_pending(const struct link *link) {
    return link->pending;
}

/* Both may be called at any time and as often as wanted. */
static inline void link_read(struct link *link, bool is_wanted) {
    if (link->is_reading == is_wanted || link->is_closing)
        return;
    link->is_reading = is_wanted;
    (is_wanted ? link->verbs->read_start : link->verbs->read_stop)(link);
}

/* Has the peer closed its side? Known also while its last bytes are not read yet; costs a system call. */
static inline bool link_is_ended(struct link *link) {
    return link->verbs->is_ended(link);
}

/* TLS, and the peer has not said a byte yet? */
static inline bool link_is_silent(const struct link *link) {
    return link->engine != NULL && !link->is_away && engine_is_silent(link->engine);
}

/* After this only on_closed comes. */
static inline void link_close(struct link *link, enum link_manner manner) {
    if (link->is_closing)
        return;
    link->is_closing = true;
    link->verbs->close(link, manner);
}

/* How the system looks after a TCP connection; all zero: as it likes. */
struct link_socket {
    const struct address *from; /* bound to before connecting; borrowed; NULL: any */
    uint32_t probe_idle_s, probe_interval_s, probe_count; /* TCP keep-alive; count 0: none */
    uint32_t user_timeout_ms; /* what was sent may be without an acknowledgement so long, RFC 5482; 0: as the
                                 system does */
};

/* How to connect; all zero: plain TCP. */
struct link_wish {
    struct link_socket socket;
    struct span tunnel;  /* what the HTTP proxy is asked that is dialled; copied, at most TUNNEL_HEAD_MAX;
                            empty: none */
    struct span prelude; /* copied: goes out in one piece with the first bytes that are written */
    struct tls_context
        *tls; /* of tls_context_load_client: open is the link when the handshake is done; NULL: plain */
};

/* Connects; on_open or on_end follows, but no on_open for a link that comes back open already (a peer on the
 * loopback). A negative errno when it could not even begin (no descriptor, no memory): *link is NULL then.
 * The link starts with reading off. */
int link_dial(struct loop *loop, const struct address *address, const struct link_wish *wish,
              const struct link_events *events, void *owner, struct link **link);

/* Why a dialled link has ended, as far as TLS knows; NONE: it was the network, or all is well. Valid within
 * on_end. */
enum dial_trouble link_trouble(const struct link *link);

/* System calls are counted by nobody; bytes are: totals of this link's loop, for the metrics. */

#endif
