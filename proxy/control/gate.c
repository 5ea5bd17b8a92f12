#include "control/gate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/diff.h"
#include "control/bridges.h"
#include "control/expiry.h"
#include "control/generation.h"
#include "control/watch.h"
#include "crypto/random.h"

/* Descriptors kept back for reading configuration and certificates at a reload, the log, and DNS. */
#define DESCRIPTORS_RESERVED 12
/* What a worker's loop opens for itself. */
#define DESCRIPTORS_OF_WORKER 5
/* Places for devices that only hear that there is no room. */
#define DESCRIPTORS_CROWDED 6

/* ---- configuration ---- */

static void print_findings(const struct findings *findings) {
    for (const struct finding *one = findings->first; one != NULL; one = one->next)
        fprintf(stderr, "%s%s\n",
                one->kind == FINDING_WARNING  ? "Warning: "
                : one->kind == FINDING_NOTICE ? "Note: "
                                              : "",
                one->text);
    if (findings->out_of_memory)
        fprintf(stderr, "memory is out\n");
}

static void log_findings(const struct findings *findings) {
    for (const struct finding *one = findings->first; one != NULL; one = one->next) {
        enum log_kind kind = one->kind == FINDING_ERROR     ? LOG_KIND_ERROR
                             : one->kind == FINDING_WARNING ? LOG_KIND_WARNING
                                                            : LOG_KIND_NOTICE;
        log_line(kind, "%s", one->text);
    }
}

static struct generation *load(const char *path, const struct generation *running,
                               struct findings *findings) {
    struct conf *conf = conf_read(path, findings);
    if (conf == NULL)
        return NULL;
    size_t errors_before = findings->error_count;
    privilege_check(conf, findings);
    bool is_refused = findings->error_count != errors_before;
    struct generation *generation = generation_load(conf, running, findings);
    if (!is_refused)
        return generation;
    generation_drop(generation);
    return NULL;
}

int gate_test(const char *path) {
    struct findings findings;
    findings_init(&findings);
    struct generation *generation = load(path, NULL, &findings);
    print_findings(&findings);
    bool is_good = generation != NULL;
    if (is_good)
        fprintf(stderr, "%s: the configuration is good.\n", path);
    generation_drop(generation);
    findings_clear(&findings);
    return is_good ? 0 : 1;
}

static int set_log(const struct gate *gate, const struct conf *conf) {
    struct log_settings settings = conf_log_settings(conf);
    if (gate->is_verbose)
        settings.kinds |= LOG_KIND_DEBUG;
    return log_configure(&settings);
}

/* ---- sockets ---- */

static bool add_socket(struct gate *gate, size_t listener_index, const struct address *address,
                       bool is_optional) {
    const struct conf_listener *listener = gate->generation->terms[listener_index].listener;
    char text[ADDRESS_TEXT_SIZE];
    struct bound_socket *grown =
        realloc(gate->sockets, (gate->socket_count + 1) * gate->worker_count * sizeof *gate->sockets);
    if (grown == NULL)
        return false;
    gate->sockets = grown;
    struct bound_socket *row = &gate->sockets[gate->socket_count * gate->worker_count];
    for (size_t i = 0; i < gate->worker_count; i++) {
        bool is_unix = listener->path != NULL;
        int fd = !is_unix ? accept_bind_tcp(address, listener->bind_interface, i == 0)
                 : i == 0 ? accept_bind_unix(listener->path)
                          : fcntl(row[0].fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            for (size_t j = 0; j < i; j++)
                close(row[j].fd);
            if (!is_optional)
                log_error("%s:%u: cannot listen on %s: %s.%s", listener->file, listener->line,
                          is_unix ? listener->path : address_print(address, text),
                          strerror(is_unix && i != 0 ? errno : -fd),
                          fd == -EADDRINUSE ? " Another program (or another drawbridge) has this port." : "");
            return false;
        }
        row[i] = (struct bound_socket){fd, is_unix, listener_index};
    }
    gate->socket_count++;
    return true;
}

/* A named address, resolved before any device is there to wait. */
static bool add_named(struct gate *gate, size_t index) {
    const struct conf_listener *listener = gate->generation->terms[index].listener;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found = NULL;
    int error = getaddrinfo(listener->address, NULL, &hints, &found);
    if (error != 0) {
        log_error("%s:%u: the address %s is unknown: %s.", listener->file, listener->line, listener->address,
                  gai_strerror(error));
        return false;
    }
    bool is_bound = false;
    for (struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        struct address address = {.size = one->ai_addrlen};
        memcpy(&address.socket, one->ai_addr, one->ai_addrlen);
        if (one->ai_family == AF_INET && listener->socket_domain != CONF_SOCKET_DOMAIN_IPV6)
            ((struct sockaddr_in *)&address.socket)->sin_port = htons(listener->port);
        else if (one->ai_family == AF_INET6 && listener->socket_domain != CONF_SOCKET_DOMAIN_IPV4)
            ((struct sockaddr_in6 *)&address.socket)->sin6_port = htons(listener->port);
        else
            continue;
        if (!add_socket(gate, index, &address, false)) {
            is_bound = false;
            break;
        }
        is_bound = true;
    }
    freeaddrinfo(found);
    return is_bound;
}

static bool bind_listener(struct gate *gate, size_t index) {
    const struct conf_listener *listener = gate->generation->terms[index].listener;
    struct address v4, v6;
    if (listener->path != NULL)
        return add_socket(gate, index, NULL, false);
    if (listener->address != NULL)
        return address_read(&v4, listener->address, listener->port) ? add_socket(gate, index, &v4, false)
                                                                    : add_named(gate, index);
    bool is_local = listener->is_default_local;
    address_read(&v4, is_local ? "127.0.0.1" : "0.0.0.0", listener->port);
    address_read(&v6, is_local ? "::1" : "::", listener->port);
    /* Many small machines have no IPv6: without it IPv4 alone is right, unless IPv6 was asked for. */
    bool wants_v4 = listener->socket_domain != CONF_SOCKET_DOMAIN_IPV6;
    bool wants_v6 = listener->socket_domain != CONF_SOCKET_DOMAIN_IPV4;
    if (wants_v4 && !add_socket(gate, index, &v4, false))
        return false;
    return !wants_v6 || add_socket(gate, index, &v6, wants_v4) || wants_v4;
}

static bool bind_all(struct gate *gate) {
    for (size_t i = 0; i < gate->generation->terms_count; i++)
        if (!bind_listener(gate, i))
            return false;
    return true;
}

/* ---- descriptors ---- */

static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Before the workers start: they read the limits without a lock. */
static void count_descriptors(struct gate *gate) {
    struct rlimit limit;
    int64_t used = 0, most = 1024;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL)
        used++;
    if (folder != NULL)
        closedir(folder);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        most = limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
    used += (int64_t)gate->worker_count * DESCRIPTORS_OF_WORKER;
    int64_t left = most - used - DESCRIPTORS_RESERVED;
    gate->crowd.descriptors_most = left > 0 ? left : 0;
    gate->crowd.descriptors_full = left > DESCRIPTORS_CROWDED ? left - DESCRIPTORS_CROWDED : 0;
    if (gate->crowd.descriptors_full < 256)
        log_warning("Only %lld descriptors are left for connections; each device takes two (see ulimit -n).",
                    (long long)gate->crowd.descriptors_full);
}

/* ---- reload ---- */

static void tell_change(void *keeper, const struct conf_change *change) {
    (void)keeper;
    const char *file = change->file == NULL ? "default" : change->file;
    if (change->bridge != NULL && strcmp(change->keyword, "connection") == 0) {
        log_notice("%s:%u: connection %s is %s.", file, change->line, change->bridge->name,
                   change->is_gone ? "gone" : "new");
        return;
    }
    log_line(change->needs_restart ? LOG_KIND_WARNING : LOG_KIND_NOTICE,
             "%s:%u: %s%s%s%s changes from %s to %s%s", file, change->line,
             change->bridge == NULL ? "" : "connection ", change->bridge == NULL ? "" : change->bridge->name,
             change->bridge == NULL ? "" : ": ", change->keyword, change->from, change->to,
             change->needs_restart ? ": needs a restart, for now the old value stays." : ".");
}

/* The first reload that brings a bridge brings their thread, too. */
static void publish_bridges(struct gate *gate) {
    if (gate->bridges != NULL)
        bridges_publish(gate->bridges, gate->generation);
    else if (gate->generation->conf->bridge_count != 0)
        gate->bridges = bridges_start(gate->generation);
}

static void take_configuration(struct gate *gate) {
    struct findings findings;
    findings_init(&findings);
    log_notice("Reloading %s.", gate->path);
    struct generation *wanted = load(gate->path, gate->generation, &findings);
    int error = wanted == NULL ? 0 : set_log(gate, wanted->conf);
    if (error < 0) {
        findings_add(&findings, FINDING_ERROR, wanted->conf->path, 0, "the log cannot be opened: %s.",
                     strerror(-error));
        generation_drop(wanted);
        wanted = NULL;
    }
    log_findings(&findings);
    findings_clear(&findings);
    if (wanted == NULL) {
        gate->reloads_bad++;
        log_error("The reload was refused; the running configuration stays as it is.");
        return;
    }
    conf_diff(gate->generation->conf, wanted->conf, tell_change, NULL);
    for (size_t i = 0; i < gate->worker_count; i++)
        worker_publish(&gate->workers[i], wanted);
    generation_drop(gate->generation);
    gate->generation = wanted;
    publish_bridges(gate);
    gate->reloads_good++;
    log_notice("Reloaded: configuration %llu is in force.", (unsigned long long)wanted->number);
}

void gate_reload(struct gate *gate) {
    int64_t began_ns = watch_begin();
    take_configuration(gate);
    watch_loaded(gate->watch, began_ns);
}

/* ---- start and stop ---- */

static void stop(struct gate *gate) {
    if (gate->is_stopping)
        return;
    gate->is_stopping = true;
    log_notice("Drawbridge is ending.");
    for (size_t i = 0; i < sizeof gate->signals / sizeof gate->signals[0]; i++)
        if (gate->signals[i].data != NULL)
            uv_close((uv_handle_t *)&gate->signals[i], NULL);
    if (gate->expiry_timer.data != NULL)
        uv_close((uv_handle_t *)&gate->expiry_timer, NULL);
    metrics_close(gate);
    watch_close(gate->watch);
    gate->watch = NULL;
    for (size_t i = 0; i < gate->worker_count; i++)
        worker_stop(&gate->workers[i]);
    bridges_stop(gate->bridges);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct gate *gate = handle->data;
    if (number == SIGHUP)
        gate_reload(gate);
    else if (number == SIGTERM || number == SIGINT)
        stop(gate);
    else if (log_reopen() < 0)
        log_error("The log file cannot be opened again; the old one stays open.");
}

static void catch_signals(struct gate *gate) {
    /* SIGRTMIN rotates the log as in mosquitto 2.1, SIGUSR1 as everywhere else. SIGUSR2 prints subscriptions
     * in mosquitto; here it must not kill. */
    const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGRTMIN};
    signal(SIGUSR2, SIG_IGN);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uv_signal_init(&gate->loop->uv, &gate->signals[i]);
        gate->signals[i].data = gate;
        uv_signal_start(&gate->signals[i], on_signal, numbers[i]);
    }
}

#define DAY_MS (24 * 3600 * 1000)

static void on_day(uv_timer_t *timer) {
    struct gate *gate = timer->data;
    int64_t now_s = time(NULL);
    expiry_tell(gate->generation, gate->expiry_looked_s, now_s);
    gate->expiry_looked_s = now_s;
}

static void watch_expiry(struct gate *gate) {
    uv_timer_init(&gate->loop->uv, &gate->expiry_timer);
    gate->expiry_timer.data = gate;
    gate->expiry_looked_s = time(NULL);
    uv_timer_start(&gate->expiry_timer, on_day, DAY_MS, DAY_MS);
}

static void say_what_decides(const struct gate *gate) {
    const struct conf_backend *backend = gate->generation->conf->backend;
    for (size_t i = 0; i < gate->generation->every_count; i++) {
        const struct terms *terms = gate->generation->every[i];
        const struct conf_listener *listener = terms->listener;
        char name[512];
        conf_listener_name(listener, name, sizeof name);
        bool is_named = conf_listener_user_source(listener).kind != CONF_SOURCE_NONE;
        log_info(
            "Opening %s (%s); %s; %s.", name, terms->tls == NULL ? "plain" : "TLS",
            is_named                  ? "the certificate names the user"
            : terms->accounts != NULL ? "the password_file decides who may come in"
                                      : "no password_file: the broker decides about usernames and passwords",
            terms->acl != NULL ? "the acl_file decides about topics" : "no acl_file: all topics are allowed");
    }
    for (size_t i = 0; i < gate->generation->every_count; i++) {
        const struct conf_listener *listener = gate->generation->every[i]->listener;
        char name[512];
        if (listener->backend != backend)
            log_info("The broker of %s is at %s.", conf_listener_name(listener, name, sizeof name),
                     listener->backend->text);
    }
    const struct backend_http_proxy *proxy = &gate->generation->http_proxy;
    log_info("The broker is at %s%s.", backend->text,
             gate->generation->backend_tls == NULL ? "" : ", over TLS");
    if (proxy->host != NULL)
        log_info("The broker is reached through the HTTP proxy %s, port %u.", proxy->host, proxy->port);
}

static bool write_pid(const struct conf *conf) {
    if (conf->pid_file == NULL)
        return true;
    FILE *file = fopen(conf->pid_file, "we");
    if (file == NULL || fprintf(file, "%d\n", getpid()) < 0 || fclose(file) != 0) {
        log_error("%s: the pid file cannot be written: %m.", conf->pid_file);
        return false;
    }
    return true;
}

static bool start_workers(struct gate *gate) {
    struct bound_socket *sockets = calloc(gate->worker_count * gate->socket_count + 1, sizeof *sockets);
    gate->workers = calloc(gate->worker_count, sizeof *gate->workers);
    if (sockets == NULL || gate->workers == NULL) {
        free(sockets);
        return false;
    }
    /* From rows per address to rows per worker. */
    for (size_t i = 0; i < gate->worker_count; i++)
        for (size_t j = 0; j < gate->socket_count; j++)
            sockets[i * gate->socket_count + j] = gate->sockets[j * gate->worker_count + i];
    free(gate->sockets);
    gate->sockets = sockets;
    for (size_t i = 0; i < gate->worker_count; i++) {
        gate->workers[i].number = i;
        int error = worker_start(&gate->workers[i], gate->generation, &gate->crowd,
                                 &sockets[i * gate->socket_count], gate->socket_count);
        if (error < 0) {
            log_error("Worker %zu cannot start: %s.", i + 1, uv_strerror(error));
            return false;
        }
    }
    return true;
}

static size_t count_workers(const struct conf *conf) {
    if (conf->workers > 0)
        return (size_t)conf->workers;
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return count > 256 ? 256 : (size_t)count;
}

static bool start(struct gate *gate) {
    const struct conf *conf = gate->generation->conf;
    raise_descriptors();
    gate->worker_count = count_workers(conf);
    gate->crowd.of_listener = calloc(gate->generation->terms_count + 1, sizeof(int64_t));
    gate->crowd.meters = meters_create();
    gate->crowd.lobby = lobby_create();
    gate->crowd.holds = holds_create();
    if (gate->crowd.of_listener == NULL || gate->crowd.meters == NULL || gate->crowd.lobby == NULL ||
        gate->crowd.holds == NULL || loop_init(gate->loop, gate) < 0) {
        log_error("The main loop cannot be made.");
        return false;
    }
    say_what_decides(gate);
    if (!bind_all(gate) ||
        (conf->metrics_listener != NULL && metrics_open(gate, conf->metrics_listener) < 0) ||
        !write_pid(conf) || !privilege_drop(conf))
        return false;
    privilege_warn(gate->generation);
    catch_signals(gate);
    watch_expiry(gate);
    count_descriptors(gate);
    if (!start_workers(gate))
        return false;
    publish_bridges(gate);
    return conf->bridge_count == 0 || gate->bridges != NULL;
}

static void clean_up(struct gate *gate) {
    for (size_t i = 0; i < gate->worker_count; i++)
        worker_join(&gate->workers[i]);
    bridges_join(gate->bridges);
    const struct conf *conf = gate->generation->conf;
    if (conf->pid_file != NULL)
        unlink(conf->pid_file);
    for (size_t i = 0; i < gate->generation->terms_count; i++)
        if (gate->generation->terms[i].listener->path != NULL)
            unlink(gate->generation->terms[i].listener->path);
    loop_close(gate->loop);
    generation_drop(gate->generation);
    free(gate->loop);
    free(gate->workers);
    free(gate->sockets);
    free(gate->crowd.of_listener);
    meters_destroy(gate->crowd.meters);
    lobby_destroy(gate->crowd.lobby);
    holds_destroy(gate->crowd.holds);
    free(gate->metrics);
}

int gate_run(const char *path, bool is_verbose) {
    struct findings findings;
    static struct gate gate;
    gate = (struct gate){.path = path, .is_verbose = is_verbose, .started_s = time(NULL)};
    int64_t began_ns = watch_begin();
    findings_init(&findings);
    signal(SIGPIPE, SIG_IGN);
    /* Before anything is put into a table by its hash. */
    uint8_t key[16];
    if (!random_fill(key, sizeof key)) {
        fprintf(stderr, "the system gives no random bytes\n");
        return 1;
    }
    hash_seed(key);
    gate.loop = calloc(1, sizeof *gate.loop);
    gate.generation = gate.loop == NULL ? NULL : load(path, NULL, &findings);
    if (gate.generation == NULL) {
        print_findings(&findings);
        findings_clear(&findings);
        free(gate.loop);
        return 1;
    }
    int error = set_log(&gate, gate.generation->conf);
    if (error < 0) {
        fprintf(stderr, "%s: the log cannot be opened: %s\n", path, strerror(-error));
        return 1;
    }
    log_notice("Drawbridge %s starts, with %s and libuv %s.", DRAWBRIDGE_VERSION, tls_library_version(),
               uv_version_string());
    log_findings(&findings);
    findings_clear(&findings);
    if (!start(&gate))
        return 1;
    gate.watch = watch_open(&gate, began_ns);
    gate.is_ready = true;
    log_notice("Drawbridge is ready: %zu listening socket%s, %zu worker%s.", gate.socket_count,
               gate.socket_count == 1 ? "" : "s", gate.worker_count, gate.worker_count == 1 ? "" : "s");
    uv_run(&gate.loop->uv, UV_RUN_DEFAULT);
    clean_up(&gate);
    log_notice("Drawbridge has ended.");
    return 0;
}
