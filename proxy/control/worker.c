#include "control/worker.h"

#include <stdlib.h>

#include "base/log.h"
#include "crypto/random.h"
#include "inspect/twins.h"

/* How long sessions have to hear goodbye when the program ends. */
#define STOP_GRACE_MS 3000

static struct worker *of_host(struct session_host *host) {
    return (struct worker *)((char *)host - offsetof(struct worker, host));
}

static uint64_t host_now_ms(struct session_host *host) {
    return uv_now(&of_host(host)->loop.uv);
}

static void host_dial(struct session_host *host, struct backend_call *call) {
    struct worker *worker = of_host(host);
    if (call->backend == NULL)
        call->backend = backend_find(&worker->backends, &worker->loop, call->where);
    if (call->backend == NULL)
        call->on_dialed(call, UV_ENOMEM, NULL);
    else
        backend_dial(call->backend, call);
}

static void host_report(struct session_host *host, const struct backend_call *call, bool is_connected) {
    (void)host;
    backend_report(call->backend, call, is_connected);
}

static int host_work(struct session_host *host, struct loop_job *job) {
    return loop_work(&of_host(host)->loop, job);
}

/* From any thread. */
static void host_call(struct holder *holder) {
    struct session_host *host =
        (struct session_host *)((char *)holder - offsetof(struct session_host, holder));
    uv_async_send(&of_host(host)->call);
}

/* ---- who may come in at all ---- */

static int64_t add(int64_t *counter, int64_t amount) {
    return __atomic_add_fetch(counter, amount, __ATOMIC_RELAXED);
}

static void leave(struct worker *worker, size_t listener_index, int64_t descriptors) {
    add(&worker->crowd->total, -1);
    add(&worker->crowd->of_listener[listener_index], -1);
    add(&worker->crowd->descriptors, -descriptors);
}

static void host_on_gone(struct session_host *host, size_t listener_index, bool was_crowded) {
    leave(of_host(host), listener_index, was_crowded ? 1 : 2);
}

enum admission { ADMIT, ADMIT_CROWDED, ADMIT_NOT };

/* Counts the device in first, so that two workers cannot both take the last place. */
static enum admission enter(struct worker *worker, size_t listener_index) {
    struct crowd *crowd = worker->crowd;
    const struct generation *generation = worker->host.generation;
    int64_t total = add(&crowd->total, 1);
    int64_t here = add(&crowd->of_listener[listener_index], 1);
    int64_t descriptors = add(&crowd->descriptors, 2);
    int32_t max_total = generation->conf->global_max_connections;
    int32_t max_here = generation->terms[listener_index].listener->max_connections;
    bool is_over = (max_total >= 0 && total > max_total) || (max_here >= 0 && here > max_here);
    if (!is_over && descriptors <= crowd->descriptors_full)
        return ADMIT;
    if (!is_over && descriptors <= crowd->descriptors_most) {
        add(&crowd->descriptors, -1);
        return ADMIT_CROWDED;
    }
    leave(worker, listener_index, 2);
    return ADMIT_NOT;
}

static const enum metric refusal_metrics[] = {
    [LOBBY_DENIED] = METRIC_connections_denied,
    [LOBBY_NOT_ALLOWED] = METRIC_connections_denied,
    [LOBBY_BANNED] = METRIC_connections_banned,
    [LOBBY_OVER_RATE] = METRIC_connections_over_rate,
    [LOBBY_OVER_ADDRESS] = METRIC_connections_over_address,
    [LOBBY_OVER_HANDSHAKES] = METRIC_connections_over_handshakes,
};

/* False: the connection is to be closed before anything was paid for it. Only the debug log has each, since
 * strangers may come as often as they like; the counters have all. */
static bool pass_lobby(struct worker *worker, size_t index, const struct address *address,
                       struct guest *guest) {
    const struct generation *generation = worker->host.generation;
    const struct terms *terms = &generation->terms[index];
    const struct lobby_rules rules = {generation->conf, terms->listener, index};
    int64_t most = generation->conf->max_handshakes;
    if (terms->tls != NULL && most != 0 && lobby_handshakes(worker->host.lobby) >= most)
        (void)session_shed_silent(&worker->host);
    enum lobby_answer answer = lobby_arrive(worker->host.lobby, &rules, address, terms->tls != NULL,
                                            uv_now(&worker->loop.uv), guest);
    char room[ADDRESS_TEXT_SIZE];
    if (answer == LOBBY_WELCOME)
        return true;
    tally_add(&worker->tally.rows[METRIC_connections_refused], 1);
    if (answer == LOBBY_NO_MEMORY)
        log_error("Memory is out: a connection was not taken.");
    else
        tally_add(&worker->tally.rows[refusal_metrics[answer]], 1);
    log_debug("Connection from %s closed: %s.", address_print(address, room), lobby_words(answer));
    return false;
}

void worker_forget(struct worker *worker, const struct arriving *arriving) {
    leave(worker, arriving->listener_index, arriving->is_crowded ? 1 : 2);
}

/* The device may come in; `guest` is what it holds in the lobby. */
static void begin(struct worker *worker, const struct arriving *arriving, struct guest *guest,
                  const struct proxy_header *header) {
    struct session_host *host = &worker->host;
    struct wire *wire = arriving->wire;
    size_t index = arriving->listener_index;
    struct tls_context *tls = host->generation->terms[index].tls;
    bool is_good = tls == NULL || wire_secure(wire, tls);
    struct session *session = NULL;
    if (!is_good)
        wire_drop(wire);
    else
        session = session_begin(host, &wire->link, &arriving->address, index, arriving->is_crowded);
    if (session == NULL) {
        lobby_leave(host->lobby, guest);
        worker_forget(worker, arriving);
        log_error("Memory is out: a connection was not taken.");
        return;
    }
    session_keep_guest(session, guest);
    struct address local; /* a reload may want it told before the CONNECT comes */
    wire_local(wire, &local);
    session_note_local(session, &local);
    if (header != NULL)
        session_announce(session, header, arriving->began_ms);
}

void worker_welcome(struct worker *worker, const struct arriving *arriving,
                    const struct proxy_header *header) {
    struct guest guest;
    if (pass_lobby(worker, arriving->listener_index, &arriving->address, &guest)) {
        begin(worker, arriving, &guest, header);
        return;
    }
    worker_forget(worker, arriving);
    wire_drop(arriving->wire);
}

static void refuse_accept(struct worker *worker, struct wire *wire) {
    tally_add(&worker->tally.rows[METRIC_connections_refused], 1);
    wire_drop(wire);
}

/* On a listener with enable_proxy_protocol the lobby is asked when the device's address is known. */
static bool may_announce(struct worker *worker, const struct conf_listener *listener,
                         const struct address *address) {
    char room[ADDRESS_TEXT_SIZE];
    if (arrival_may_announce(listener, address))
        return true;
    tally_add(&worker->tally.rows[METRIC_connections_not_proxy], 1);
    tally_add(&worker->tally.rows[METRIC_connections_refused], 1);
    log_debug("Connection from %s closed: its address is not in proxy_protocol_from.",
              address_print(address, room));
    return false;
}

static void on_accept(struct acceptor *acceptor, struct wire *wire, const struct address *address) {
    struct worker *worker = acceptor->owner;
    size_t index = acceptor->listener_index;
    const struct conf_listener *listener = worker->host.generation->terms[index].listener;
    bool has_header = listener->enable_proxy_protocol != 0;
    struct guest guest = {0};
    if (has_header ? !may_announce(worker, listener, address) : !pass_lobby(worker, index, address, &guest)) {
        wire_drop(wire);
        return;
    }
    enum admission admission = enter(worker, index);
    if (admission == ADMIT_NOT) {
        lobby_leave(worker->host.lobby, &guest);
        refuse_accept(worker, wire);
        return;
    }
    const struct arriving arriving = {wire, index, admission == ADMIT_CROWDED, *address,
                                      uv_now(&worker->loop.uv)};
    if (has_header)
        arrival_begin(worker, &arriving);
    else
        begin(worker, &arriving, &guest, NULL);
}

/* ---- the thread ---- */

static void take_generation(struct worker *worker) {
    struct generation *wanted = __atomic_exchange_n(&worker->wanted, NULL, __ATOMIC_ACQ_REL);
    if (wanted == NULL)
        return;
    struct generation *old = worker->host.generation;
    worker->host.generation = wanted;
    session_recheck_all(&worker->host);
    session_wake_delayed(&worker->host);
    generation_drop(old);
}

static void on_stop_time(uv_timer_t *timer) {
    struct worker *worker = timer->data;
    bool is_late = uv_now(&worker->loop.uv) >= worker->stop_by_ms;
    if (worker->host.count != 0 && !is_late)
        return;
    uv_close((uv_handle_t *)&worker->stop_timer, NULL);
    if (worker->host.count != 0)
        uv_stop(&worker->loop.uv);
}

static void on_call(uv_async_t *call) {
    struct worker *worker = call->data;
    take_generation(worker);
    session_end_lost(&worker->host);
    if (!__atomic_load_n(&worker->is_stopping, __ATOMIC_ACQUIRE) || uv_is_closing((uv_handle_t *)call))
        return;
    for (size_t i = 0; i < worker->acceptor_count; i++)
        acceptor_close(&worker->acceptors[i]);
    uv_close((uv_handle_t *)call, NULL);
    arrival_end_all(worker);
    session_end_all(&worker->host, SESSION_END_SHUTDOWN);
    worker->stop_by_ms = uv_now(&worker->loop.uv) + STOP_GRACE_MS;
    uv_timer_init(&worker->loop.uv, &worker->stop_timer);
    worker->stop_timer.data = worker;
    uv_timer_start(&worker->stop_timer, on_stop_time, 0, 20);
}

static int listen_all(struct worker *worker) {
    for (size_t i = 0; i < worker->acceptor_count; i++) {
        struct acceptor *acceptor = &worker->acceptors[i];
        acceptor->owner = worker;
        acceptor->on_accept = on_accept;
        acceptor->listener_index = worker->sockets[i].listener_index;
        int error = acceptor_open(acceptor, &worker->loop, worker->sockets[i].fd, worker->sockets[i].is_unix);
        if (error < 0)
            return error;
    }
    return 0;
}

static void run(void *argument) {
    struct worker *worker = argument;
    worker->start_error = listen_all(worker);
    uv_sem_post(&worker->is_started);
    if (worker->start_error < 0)
        return;
    uv_run(&worker->loop.uv, UV_RUN_DEFAULT);
}

static void on_walk_close(uv_handle_t *handle, void *argument) {
    (void)argument;
    /* Acceptors, timer and async handle are closing already: the streams that are left are sessions' wires.
     */
    if (!uv_is_closing(handle) && (handle->type == UV_TCP || handle->type == UV_NAMED_PIPE))
        wire_cut(handle->data);
}

static bool lend_buffers(struct session_host *host) {
    host->bytes = malloc(SESSION_BYTES_SIZE);
    host->scratch = malloc(INSPECT_SCRATCH_SIZE);
    host->reply = malloc(2 * SESSION_OWED_MAX);
    host->twins = twins_create();
    return host->bytes != NULL && host->scratch != NULL && host->reply != NULL && host->twins != NULL;
}

int worker_start(struct worker *worker, struct generation *generation, struct crowd *crowd,
                 const struct bound_socket *sockets, size_t socket_count) {
    worker->crowd = crowd;
    worker->sockets = sockets;
    worker->acceptor_count = socket_count;
    worker->acceptors = calloc(socket_count + 1, sizeof *worker->acceptors); /* a pure bridge has none */
    worker->host = (struct session_host){
        .now_ms = host_now_ms,
        .tally = &worker->tally,
        .meters = crowd->meters,
        .dial = host_dial,
        .report = host_report,
        .work = host_work,
        .random = random_fill,
        .on_gone = host_on_gone,
        .lobby = crowd->lobby,
        .holds = crowd->holds,
        .holder = {.call = host_call},
    };
    int error = worker->acceptors == NULL || !lend_buffers(&worker->host) ? UV_ENOMEM
                                                                          : loop_init(&worker->loop, worker);
    if (error == 0)
        error = uv_async_init(&worker->loop.uv, &worker->call, on_call);
    if (error < 0)
        return error;
    worker->call.data = worker;
    worker->host.wheel = &worker->loop.wheel;
    worker->wanted = generation_keep(generation);
    take_generation(worker);
    uv_sem_init(&worker->is_started, 0);
    error = uv_thread_create(&worker->thread, run, worker);
    if (error < 0)
        return error;
    uv_sem_wait(&worker->is_started);
    return worker->start_error;
}

void worker_publish(struct worker *worker, struct generation *generation) {
    struct generation *overtaken =
        __atomic_exchange_n(&worker->wanted, generation_keep(generation), __ATOMIC_ACQ_REL);
    generation_drop(overtaken);
    uv_async_send(&worker->call);
}

void worker_stop(struct worker *worker) {
    __atomic_store_n(&worker->is_stopping, true, __ATOMIC_RELEASE);
    uv_async_send(&worker->call);
}

void worker_join(struct worker *worker) {
    uv_thread_join(&worker->thread);
    /* Sessions that did not hear in time are cut off. */
    session_end_all(&worker->host, SESSION_END_SHUTDOWN);
    uv_walk(&worker->loop.uv, on_walk_close, NULL);
    loop_close(&worker->loop);
    backend_free_all(&worker->backends);
    generation_drop(worker->wanted);
    generation_drop(worker->host.generation);
    uv_sem_destroy(&worker->is_started);
    free(worker->acceptors);
    free(worker->host.bytes);
    free(worker->host.scratch);
    free(worker->host.reply);
    twins_destroy(worker->host.twins);
}
