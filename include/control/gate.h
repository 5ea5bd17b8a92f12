/* gate: the running program: one configuration, its workers, the signals, the metrics listener. */
#ifndef DRAWBRIDGE_CONTROL_GATE_H
#define DRAWBRIDGE_CONTROL_GATE_H

#include <stdbool.h>

#include "control/worker.h"

struct metrics_server;

struct gate {
    const char *path;  /* of the configuration */
    bool is_verbose;   /* -v: the debug log is on whatever the configuration says */
    struct loop *loop; /* of the main thread: signals and metrics, nothing of the data path */
    struct generation *generation;
    struct worker *workers;
    size_t worker_count;
    struct crowd crowd;
    struct bound_socket *sockets; /* worker_count rows of socket_count */
    size_t socket_count;
    struct metrics_server *metrics;
    struct watch *watch;
    struct bridges *bridges; /* NULL: there is none */
    uv_signal_t signals[6];
    uv_timer_t expiry_timer; /* looks at the certificates' days once a day */
    int64_t expiry_looked_s;
    bool is_ready, is_stopping;
    uint64_t reloads_good, reloads_bad;
    int64_t started_s;
};

/* Runs in the foreground until SIGTERM or SIGINT; the exit status. */
int gate_run(const char *path, bool is_verbose);

/* What SIGHUP does. */
void gate_reload(struct gate *gate);

/* -t: reads and loads everything without opening a socket; prints findings to stderr; 0 or 1. */
int gate_test(const char *path);

/* The Prometheus text of everything, in a string from malloc; NULL when memory is out. */
char *gate_metrics(const struct gate *gate);

/* metrics.c. A negative errno on failure. */
int metrics_open(struct gate *gate, const struct conf_endpoint *where);
void metrics_close(struct gate *gate);

/* privilege.c: an error finding when the configured user does not exist. */
void privilege_check(const struct conf *conf, struct findings *findings);
/* Becomes the configured user when root. False (logged) when it must and cannot. */
bool privilege_drop(const struct conf *conf);
/* Warns of files that the user who we are now will not be able to read again. */
void privilege_warn(const struct generation *generation);

/* healthcheck.c: `drawbridge healthcheck HOST:PORT`: 0 when /readyz says so. */
int healthcheck_main(int argc, char **argv);

#endif
