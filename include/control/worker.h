/* worker: a thread with a loop of its own, listening sockets of its own, sessions of its own. Nothing is
 * shared on the data path. */
#ifndef DRAWBRIDGE_CONTROL_WORKER_H
#define DRAWBRIDGE_CONTROL_WORKER_H

#include "link/uv.h"
#include "session/session.h"

/* What all workers count together, at accept and at the end of a session. Atomic. */
struct crowd {
    int64_t total;            /* connections */
    int64_t *of_listener;     /* by listener index */
    int64_t descriptors;      /* sockets of devices and brokers in use or promised */
    int64_t descriptors_full; /* a session is begun only while it and its broker's side stay within this */
    struct meters *meters;    /* of the rates that sessions share; has its own lock */
    int64_t descriptors_most; /* a device that only hears "no room" may go up to this */
    struct lobby *lobby;      /* guards itself */
    struct holds *holds;      /* guards itself */
};

/* A bound socket for a worker. */
struct bound_socket {
    int fd;
    bool is_unix;
    size_t listener_index;
};

struct arrival;

struct worker {
    size_t number;
    uv_thread_t thread;
    struct loop loop;
    struct session_host host; /* its `host.loop` users find the worker by container */
    struct tally tally;
    struct backend *backends; /* that its sessions have asked for */
    struct crowd *crowd;
    struct arrival *arrivals; /* connections whose PROXY protocol header is awaited */
    struct acceptor *acceptors;
    size_t acceptor_count;
    const struct bound_socket *sockets;
    uv_async_t call;           /* "look at wanted and is_stopping" */
    struct generation *wanted; /* atomic; kept; taken by the worker */
    bool is_stopping;          /* atomic */
    uint64_t stop_by_ms;
    uv_timer_t stop_timer;
    int start_error;
    uv_sem_t is_started, *is_done;
};

/* Starts the thread; returns when it listens. `generation` is kept. A negative errno on failure. */
int worker_start(struct worker *worker, struct generation *generation, struct crowd *crowd,
                 const struct bound_socket *sockets, size_t socket_count);
/* From the main thread: a new generation is in force (the worker keeps it); end within `grace_ms`. */
void worker_publish(struct worker *worker, struct generation *generation);
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker);

/* A connection that was let in by its own address, not by its device's. */
struct arriving {
    struct wire *wire;
    size_t listener_index;
    bool is_crowded;        /* there is no descriptor for the broker's side */
    struct address address; /* of the device */
    uint64_t began_ms;
};

/* From on_accept and arrival.c: the device may come in, or is sent away. `header`: NULL when there is none.
 * The wire and its places are taken either way. */
struct proxy_header;
void worker_welcome(struct worker *worker, const struct arriving *arriving,
                    const struct proxy_header *header);
/* The places of a connection that goes without having been a session. */
void worker_forget(struct worker *worker, const struct arriving *arriving);

/* arrival.c: waits for the PROXY protocol header of a connection, then welcomes the device. */
void arrival_begin(struct worker *worker, const struct arriving *arriving);
/* May this address say who a device is? */
bool arrival_may_announce(const struct conf_listener *listener, const struct address *address);
/* The worker goes down. */
void arrival_end_all(struct worker *worker);

#endif
