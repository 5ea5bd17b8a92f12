/* session: one device paired with one broker connection, on one worker, from accept to the last close.
 *
 *   SHAKING --TLS done--> GREETING --good CONNECT--> CHECKING --password right--> DIALING --connected-->
 * WAITING --CONNACK--> OPEN |                     |                          |                          | | |
 *      +---------------------+--------------------------+-- session_end(reason)
 * --+---------------------+----------------+--> ENDING
 *
 * ENDING lasts until both links are closed and no job is under way; then the session is freed. */
#ifndef DRAWBRIDGE_SESSION_SESSION_H
#define DRAWBRIDGE_SESSION_SESSION_H

#include "backend/backend.h"
#include "base/wheel.h"
#include "inspect/inspector.h"
#include "link/link.h"
#include "policy/meter.h"
#include "session/holds.h"
#include "session/lobby.h"
#include "session/terms.h"

enum session_end {
#define END(name, label, kind, reason, sentence) SESSION_END_##name,
#include "session/ends.def"
#undef END
    SESSION_END_COUNT
};
const char *session_end_label(enum session_end end);

enum session_state {
    SESSION_SHAKING,
    SESSION_GREETING,
    SESSION_CHECKING,
    SESSION_DIALING,
    SESSION_WAITING,
    SESSION_OPEN,
    SESSION_ENDING,
};

/* A packet that is held (at most INSPECT_HELD_MAX), what one read brings behind it, and what rewriting adds.
 */
#define SESSION_BYTES_SIZE (512 * 1024)
/* Answers of ours that may wait for a device or broker before its own reading stops. */
#define SESSION_OWED_MAX (64 * 1024)

struct session;

/* What a worker gives its sessions. A test gives fakes. */
struct session_host {
    struct wheel *wheel;
    uint64_t (*now_ms)(struct session_host *host);
    struct tally *tally;
    struct meters *meters;         /* of all workers */
    struct generation *generation; /* the one in force */
    uint8_t *bytes;                /* SESSION_BYTES_SIZE, lent for one callback */
    uint8_t *scratch;              /* INSPECT_SCRATCH_SIZE */
    uint8_t *reply;                /* 2 * SESSION_OWED_MAX */
    struct twins *twins;           /* NULL: none */
    void (*dial)(struct session_host *host, struct backend_call *call);
    void (*report)(struct session_host *host, const struct backend_call *call, bool is_connected);
    /* Runs the job off the loop; a negative errno when it cannot. */
    int (*work)(struct session_host *host, struct loop_job *job);
    bool (*random)(void *room, size_t size);
    /* A session is gone: its descriptor counts go back. */
    void (*on_gone)(struct session_host *host, size_t listener_index, bool was_crowded);
    struct lobby *lobby; /* of all workers; NULL: none, in tests */
    struct holds *holds; /* of all workers; NULL: none, in tests */
    struct holder holder;
    /* For who wants to hear what is refused and why a session ends; NULL: nobody does. */
    void (*on_refused)(struct session_host *host, const struct inspect_refusal *refusal);
    void (*on_end)(struct session_host *host, enum session_end end, const char *words);
    struct session *first; /* all sessions of this worker */
    /* Those whose TLS handshake counts against max_handshakes, the oldest first. */
    struct session *shaking_first, **shaking_last; /* NULL: none yet */
    size_t count;
};

/* Begins with an accepted link (given). `is_crowded`: there is no descriptor for the broker's side; the
 * device is told so after its CONNECT. NULL when memory is out; the link is closed then. */
struct session *session_begin(struct session_host *host, struct link *device, const struct address *address,
                              size_t listener_index, bool is_crowded);

/* What the connection holds in the host's lobby is the session's from now on, which gives it back at its end.
 */
void session_keep_guest(struct session *session, const struct guest *guest);

/* Ends the oldest handshake of this worker whose device has not said a byte although it had time to. False:
 * there is none. */
bool session_shed_silent(struct session_host *host);

/* What a proxy in front said of the device in a PROXY protocol header, which is copied; right after
 * session_begin. `began_ms`: when the connection was accepted, for the time that header and TLS handshake
 * have together. Ends the session when memory is out. */
struct proxy_header;
void session_announce(struct session *session, const struct proxy_header *header, uint64_t began_ms);

/* Where the device's connection arrived, for the header that the broker gets. */
void session_note_local(struct session *session, const struct address *local);

/* The one door out. */
void session_end(struct session *session, enum session_end end);

/* A new generation is in force: sessions whose reading waits for a rate look at their new one soon. */
void session_wake_delayed(struct session_host *host);

/* A new generation is in force: ends the sessions whose certificate its lists revoke or whose user it does
 * not know any more, be they idle or not. */
void session_recheck_all(struct session_host *host);

/* The host's holder was called: ends the sessions whose certificate has come in anew. */
void session_end_lost(struct session_host *host);

/* Ends all sessions of a worker, which goes down. */
void session_end_all(struct session_host *host, enum session_end end);

#endif
