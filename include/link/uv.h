/* uv: the libuv side of link/, for link/ itself, control/ and main.c. */
#ifndef DRAWBRIDGE_LINK_UV_H
#define DRAWBRIDGE_LINK_UV_H

#include <uv.h>

#include "link/link.h"
#include "link/loop.h"

struct acceptor;
struct wire;

/* What strangers may cost in one turn of the loop, so that a storm of them delays nobody who is connected:
 * the rest waits for its next turn, in the order in which it came. See turn.c. */
#define TURN_HANDSHAKES                                                                                      \
    1 /* steps of a handshake: one takes up to half a millisecond, a turn some microseconds */
#define TURN_ACCEPTS 2
/* So many handshakes in line are more than the loop will get done soon. */
#define TURN_LINE 16
/* Who has been connected this long stays, and is not to be delayed. */
#define TURN_SETTLED_MS 500

struct turn {
    uv_prepare_t begin;
    uv_idle_t awake; /* active while somebody waits for a turn: the loop does not sleep then */
    unsigned handshakes_left, accepts_left;
    struct wire *first, **last; /* not read now, although there is something */
    size_t waiting_count;
    struct acceptor *acceptors;
    size_t open_count;            /* accepted links that are open */
    size_t least_now, least_then; /* of them at any time since then; in the same time before */
    uint64_t since_ms;
};

/* Handshake steps on a thread of their own. See aside.c. */
struct step {
    struct step *next;
    struct wire *wire;      /* the loop's to look at */
    struct engine *engine;  /* the thread's until the step is back */
    struct engine_out said; /* by the engine; its own */
    struct span bytes;      /* from the socket */
    uint8_t room[];
};

/* Steps away at a time: the rest stays in the sockets, where it costs us nothing. */
#define ASIDE_MOST 32

struct aside {
    enum { ASIDE_NOT_YET, ASIDE_RUNS, ASIDE_NEVER } state;
    unsigned away_count; /* steps that are not back yet */
    uv_thread_t thread;
    uv_sem_t come;  /* for each step in `due` */
    uv_poll_t back; /* for steps in `done` */
    int back_fd;
    struct step *due, *done; /* atomic */
    struct engine_out out;   /* the thread's */
};

struct loop {
    uv_loop_t uv;
    uv_timer_t tick; /* turns the wheel; runs only while a deadline is set */
    struct turn turn;
    struct aside aside;
    struct wheel wheel;
    uint8_t *ciphertext; /* LOOP_READ_SIZE, what a TLS link reads from its socket */
    struct engine_out out;
    struct link *out_owner; /* whose bytes are in `out`, for asserting */
    void *owner;
};

/* A negative errno when memory or descriptors are out. */
int loop_init(struct loop *loop, void *owner);
/* After uv_run came back; all handles must be closed or closing. */
void loop_close(struct loop *loop);

void turn_open(struct loop *loop);
void turn_close(struct loop *loop);
/* Where may a handshake be taken a step further? */
enum turn_place { TURN_HERE, TURN_ASIDE, TURN_NOWHERE };
enum turn_place turn_place(const struct loop *loop);
/* A step was taken on the loop. */
static inline void turn_count_handshake(struct loop *loop) {
    loop->turn.handshakes_left -= loop->turn.handshakes_left != 0;
}
/* An accepted link is open; and is not, or not any more. */
void turn_enter(struct wire *wire);
void turn_leave(struct wire *wire);
/* Reads the wire in a later turn. */
void turn_wait(struct wire *wire);
void turn_forget(struct wire *wire);
/* Counts a connection to accept; false: not in this turn, on_turn is called in a later one. */
bool turn_accept(struct acceptor *acceptor);
void turn_forget_acceptor(struct acceptor *acceptor);

/* Feeds the bytes (copied) to the wire's engine on the other thread; wire_step_back follows. False: memory or
 * threads are out. */
bool aside_take(struct wire *wire, struct span bytes);
int aside_open(struct loop *loop); /* a negative errno when memory or descriptors are out */
/* No step is under way behind this. */
void aside_close(struct loop *loop);

/* Plain or TLS: where the socket's bytes go, what becomes of them, and the verbs of the link. */
struct wire_kind {
    struct link_verbs verbs;
    struct link_room (*room)(struct wire *wire);
    void (*on_bytes)(struct wire *wire, struct span bytes);
};

/* The socket side of a link: one TCP or unix handle and what waits to be sent. */
struct wire {
    struct link link; /* first: a link of ours is a wire */
    const struct wire_kind *kind;
    struct loop *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct flight *flying; /* handed to libuv, not yet written */
    uint8_t *waiting;      /* comes after `flying` */
    size_t waiting_size, waiting_room;
    struct tunnel *tunnel;   /* of a dialled wire, until the HTTP proxy has let us through */
    struct tls_context *tls; /* kept until a dialled wire has shaken hands; NULL: plain, or done */
    bool is_greeting;        /* dialled and not open yet: read for ourselves, whatever the owner wants */
    uint8_t *prelude;        /* in front of the first bytes; NULL: none, or gone */
    size_t prelude_size;
    struct step *step;      /* with the engine on the other thread: nobody touches it here; NULL: none */
    int late_error;         /* that came meanwhile */
    bool is_parked;         /* bytes came meanwhile: to be armed again */
    bool is_gone;           /* closed meanwhile: to be freed */
    bool is_entered;        /* counted in turn.open_count */
    struct deadline linger; /* bounds a polite close */
    bool is_lingering;
    struct wire *next, **previous; /* in turn.first; previous NULL: not there */
};

/* A listening socket of one worker. */
struct acceptor {
    struct loop *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    bool is_unix;
    bool is_waiting; /* in turn.acceptors */
    struct acceptor *next;
    void (*on_turn)(struct acceptor *acceptor);
    size_t listener_index;
    void *owner;
    /* The wire is the owner's: he gives it TLS (wire_secure), events and reading, or drops it. */
    void (*on_accept)(struct acceptor *acceptor, struct wire *wire, const struct address *address);
};

/* Bound sockets, not listening yet; a negative errno on failure. Several may be bound to one address
 * (SO_REUSEPORT). */
int accept_bind_tcp(const struct address *address, const char *interface, bool is_first);
int accept_bind_unix(const char *path);
/* Listens on the descriptor, which is the acceptor's from now on. */
int acceptor_open(struct acceptor *acceptor, struct loop *loop, int fd, bool is_unix);
void acceptor_close(struct acceptor *acceptor);
/* Where the wire was accepted; size 0 when nobody knows. */
void wire_local(const struct wire *wire, struct address *address);
/* Makes the wire a TLS link. False when memory is out. */
bool wire_secure(struct wire *wire, struct tls_context *context);

extern const struct wire_kind wire_plain_kind, wire_secure_kind;

struct wire *wire_create(struct loop *loop, bool is_unix);
void wire_set_kind(struct wire *wire, const struct wire_kind *kind);
/* Closes at once, however it was being closed. */
void wire_cut(struct wire *wire);
/* The step that was away is back (given). */
void wire_step_back(struct wire *wire, struct step *step);
/* secure.c: what the engine has come to. */
void wire_secure_back(struct wire *wire, struct step *step);
/* Closes a wire that never had an owner: nobody is told. */
void wire_drop(struct wire *wire);
/* tunnel.c: asks the HTTP proxy at the other end, then goes on with `then`, which returns a negative errno on
 * failure. */
bool wire_set_tunnel(struct wire *wire, struct span request); /* false: memory is out */
int wire_start_tunnel(struct wire *wire, int (*then)(struct wire *wire));
/* Begins a TLS handshake as a client; the link opens when it is done. A negative errno on failure. */
int wire_start_tls(struct wire *wire, struct tls_context *context);
/* Reads for the handshake. */
int wire_greet(struct wire *wire);
/* In front of the first bytes that are sent. False: memory is out. */
bool wire_set_prelude(struct wire *wire, struct span prelude);
/* Appends to the socket's stream: tries now, keeps the rest. */
int wire_send(struct wire *wire, const struct span *pieces, size_t count);
/* Closes when all is sent, at the latest when the linger time is over. */
void wire_close(struct wire *wire, enum link_manner manner);
/* The verbs that both kinds share. */
void wire_read_start(struct link *link);
int wire_arm(struct wire *wire);
void wire_read_stop(struct link *link);
bool wire_is_ended(struct link *link);

#endif
