#include "control/bridges.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "link/uv.h"

#define STOP_GRACE_MS 5000

/* A bridge, or what it has counted. */
struct slot {
    struct slot *next;
    struct bridges *home;
    struct bridge *bridge; /* NULL: gone; the numbers stay as long as its section does */
    char *name;
    struct bridge_tally tally;
    const struct bridge_plan *plan; /* of bridges->generation; not looked at once it leaves */
    bool is_leaving;
};

struct bridges {
    struct bridge_host host;
    struct loop loop;
    uv_thread_t thread;
    uv_async_t call;
    uv_timer_t stop_timer;
    uint64_t stop_by_ms;
    struct generation *wanted;     /* atomic; kept; taken by the thread */
    struct generation *generation; /* kept */
    bool is_stopping;              /* atomic */
    bool is_ending;
    pthread_mutex_t mutex; /* the list, for the metrics */
    struct slot *slots;
};

static struct bridges *of_host(struct bridge_host *host) {
    return (struct bridges *)((char *)host - offsetof(struct bridges, host));
}

static void wake(struct bridge_host *host) {
    uv_async_send(&of_host(host)->call);
}

/* ---- slots ---- */

static void on_gone(void *owner) {
    struct slot *slot = owner;
    struct bridges *bridges = slot->home;
    slot->bridge = NULL;
    if (slot->is_leaving) {
        pthread_mutex_lock(&bridges->mutex);
        struct slot **link = &bridges->slots;
        while (*link != slot)
            link = &(*link)->next;
        *link = slot->next;
        pthread_mutex_unlock(&bridges->mutex);
        free(slot->name);
        free(slot);
    }
}

static void release(void *keeper) {
    generation_drop(keeper);
}

static struct bridge_terms terms_of(const struct bridge_plan *plan, struct generation *generation) {
    struct bridge_terms terms = plan->terms;
    terms.keeper = generation_keep(generation);
    terms.release = release;
    return terms;
}

static struct slot *find(struct bridges *bridges, const char *name) {
    struct slot *slot = bridges->slots;
    while (slot != NULL && (slot->is_leaving || strcmp(slot->name, name) != 0))
        slot = slot->next;
    return slot;
}

static void add(struct bridges *bridges, const struct bridge_plan *plan, struct generation *generation) {
    struct slot *slot = calloc(1, sizeof *slot);
    struct bridge_terms terms = terms_of(plan, generation);
    if (slot != NULL)
        slot->name = strdup(plan->terms.conf->name);
    if (slot == NULL || slot->name == NULL) {
        log_error("Memory is out: bridge %s is not started.", plan->terms.conf->name);
        generation_drop(generation);
        free(slot);
        return;
    }
    slot->home = bridges;
    slot->plan = plan;
    slot->bridge = bridge_start(&bridges->host, &terms, &slot->tally, on_gone, slot);
    if (slot->bridge == NULL)
        log_error("Bridge %s cannot be started: memory or threads are out.", slot->name);
    pthread_mutex_lock(&bridges->mutex);
    slot->next = bridges->slots;
    bridges->slots = slot;
    pthread_mutex_unlock(&bridges->mutex);
}

/* Only what changed is touched. */
static void take_generation(struct bridges *bridges) {
    struct generation *wanted = __atomic_exchange_n(&bridges->wanted, NULL, __ATOMIC_ACQ_REL);
    if (wanted == NULL)
        return;
    const struct bridge_plans *plans = wanted->bridges;
    struct slot *next;
    for (struct slot *slot = bridges->slots; slot != NULL; slot = next) {
        size_t i = 0;
        next = slot->next;
        while (i < plans->count && strcmp(plans->plans[i].terms.conf->name, slot->name) != 0)
            i++;
        if (i < plans->count || slot->is_leaving)
            continue;
        slot->is_leaving = true;
        if (slot->bridge != NULL) /* else it never began, and is freed with the rest */
            bridge_stop(slot->bridge, BRIDGE_STOP_DRAIN);
    }
    for (size_t i = 0; i < plans->count; i++) {
        const struct bridge_plan *plan = &plans->plans[i];
        struct slot *slot = find(bridges, plan->terms.conf->name);
        if (slot == NULL) {
            add(bridges, plan, wanted);
        } else if (slot->bridge != NULL) {
            struct bridge_terms terms = terms_of(plan, wanted);
            bool has_changed = !bridge_plan_is_same(slot->plan, plan);
            bool is_immediate = plan->terms.conf->bridge_reload_type == CONF_RELOAD_IMMEDIATE;
            if (has_changed)
                log_notice("Bridge %s: its section has changed; that holds %s.", slot->name,
                           is_immediate
                               ? "at once"
                               : "from its next connection on (bridge_reload_type immediate: at once)");
            slot->plan = plan;
            bridge_retune(slot->bridge, &terms,
                          !has_changed   ? BRIDGE_UNCHANGED
                          : is_immediate ? BRIDGE_NOW
                                         : BRIDGE_LATER);
        }
    }
    generation_drop(bridges->generation);
    bridges->generation = wanted;
}

/* ---- the thread ---- */

static void close_handles(struct bridges *bridges) {
    uv_close((uv_handle_t *)&bridges->call, NULL);
    uv_close((uv_handle_t *)&bridges->stop_timer, NULL);
}

static bool has_bridge(const struct bridges *bridges) {
    for (const struct slot *slot = bridges->slots; slot != NULL; slot = slot->next)
        if (slot->bridge != NULL)
            return true;
    return false;
}

static void on_stop_time(uv_timer_t *timer) {
    struct bridges *bridges = timer->data;
    bool is_late = uv_now(&bridges->loop.uv) >= bridges->stop_by_ms;
    if (has_bridge(bridges) && !is_late)
        return;
    if (is_late && has_bridge(bridges))
        uv_stop(&bridges->loop.uv);
    close_handles(bridges);
}

static void on_call(uv_async_t *call) {
    struct bridges *bridges = call->data;
    struct slot *next;
    take_generation(bridges);
    for (struct slot *slot = bridges->slots; slot != NULL; slot = next) {
        next = slot->next;
        if (slot->bridge != NULL)
            bridge_poll(slot->bridge);
    }
    if (!__atomic_load_n(&bridges->is_stopping, __ATOMIC_ACQUIRE) || bridges->is_ending)
        return;
    bridges->is_ending = true;
    for (struct slot *slot = bridges->slots; slot != NULL; slot = next) {
        next = slot->next;
        if (slot->bridge != NULL)
            bridge_stop(slot->bridge, BRIDGE_STOP_NOW);
    }
    bridges->stop_by_ms = uv_now(&bridges->loop.uv) + STOP_GRACE_MS;
    uv_timer_start(&bridges->stop_timer, on_stop_time, 0, 20);
}

static void run(void *argument) {
    struct bridges *bridges = argument;
    uv_run(&bridges->loop.uv, UV_RUN_DEFAULT);
}

struct bridges *bridges_start(struct generation *generation) {
    struct bridges *bridges = calloc(1, sizeof *bridges);
    int error = bridges == NULL ? UV_ENOMEM : loop_init(&bridges->loop, bridges);
    if (error == 0)
        error = uv_async_init(&bridges->loop.uv, &bridges->call, on_call);
    if (error == 0)
        error = uv_timer_init(&bridges->loop.uv, &bridges->stop_timer);
    if (error < 0) {
        log_error("The bridges' loop cannot be made: %s.", uv_strerror(error));
        free(bridges);
        return NULL;
    }
    bridges->call.data = bridges->stop_timer.data = bridges;
    bridges->host = (struct bridge_host){.loop = &bridges->loop, .wake = wake};
    pthread_mutex_init(&bridges->mutex, NULL);
    bridges->wanted = generation_keep(generation);
    uv_async_send(&bridges->call);
    error = uv_thread_create(&bridges->thread, run, bridges);
    if (error < 0)
        log_error("The bridges' thread cannot be started: %s.", uv_strerror(error));
    return error < 0 ? NULL : bridges;
}

void bridges_publish(struct bridges *bridges, struct generation *generation) {
    generation_drop(__atomic_exchange_n(&bridges->wanted, generation_keep(generation), __ATOMIC_ACQ_REL));
    uv_async_send(&bridges->call);
}

void bridges_stop(struct bridges *bridges) {
    if (bridges == NULL)
        return;
    __atomic_store_n(&bridges->is_stopping, true, __ATOMIC_RELEASE);
    uv_async_send(&bridges->call);
}

static void on_walk_close(uv_handle_t *handle, void *argument) {
    (void)argument;
    if (!uv_is_closing(handle) && (handle->type == UV_TCP || handle->type == UV_NAMED_PIPE))
        wire_cut(handle->data);
}

void bridges_join(struct bridges *bridges) {
    if (bridges == NULL)
        return;
    uv_thread_join(&bridges->thread);
    uv_walk(&bridges->loop.uv, on_walk_close, NULL);
    loop_close(&bridges->loop);
    backend_free_all(&bridges->host.backends);
    while (bridges->slots != NULL) {
        struct slot *slot = bridges->slots;
        bridges->slots = slot->next;
        free(slot->name);
        free(slot);
    }
    generation_drop(bridges->wanted);
    generation_drop(bridges->generation);
    pthread_mutex_destroy(&bridges->mutex);
    free(bridges);
}

/* ---- metrics ---- */

static uint64_t read_row(const uint64_t *row) {
    return __atomic_load_n(row, __ATOMIC_RELAXED);
}

static void write_head(FILE *out, const char *name, const char *kind, const char *help) {
    const char *tail = strcmp(kind, "counter") == 0 ? "_total" : "";
    fprintf(out, "# HELP drawbridge_bridge_%s%s %s.\n# TYPE drawbridge_bridge_%s%s %s\n", name, tail, help,
            name, tail, kind);
}

static const struct metric_row {
    const char *name, *kind, *help;
    bool is_of_lane;
    size_t index;
} rows[] = {
#define BRIDGE_METRIC(name, kind, help)      {#name, #kind, help, false, BRIDGE_METRIC_##name},
#define BRIDGE_LANE_METRIC(name, kind, help) {#name, #kind, help, true, LANE_METRIC_##name},
#include "bridge/metrics.def"
#undef BRIDGE_METRIC
#undef BRIDGE_LANE_METRIC
};

static void write_row(const struct bridges *bridges, const struct metric_row *row, FILE *out) {
    const char *tail = strcmp(row->kind, "counter") == 0 ? "_total" : "";
    write_head(out, row->name, row->kind, row->help);
    for (const struct slot *slot = bridges->slots; slot != NULL; slot = slot->next) {
        if (!row->is_of_lane)
            fprintf(out, "drawbridge_bridge_%s%s{bridge=\"%s\"} %llu\n", row->name, tail, slot->name,
                    (unsigned long long)read_row(&slot->tally.rows[row->index]));
        for (int lane = 0; row->is_of_lane && lane < LANE_COUNT; lane++)
            fprintf(out, "drawbridge_bridge_%s%s{bridge=\"%s\",direction=\"%s\"} %llu\n", row->name, tail,
                    slot->name, lane == LANE_OUT ? "out" : "in",
                    (unsigned long long)read_row(&slot->tally.lanes[lane][row->index]));
    }
}

void bridges_write_metrics(struct bridges *bridges, FILE *out) {
    if (bridges == NULL)
        return;
    pthread_mutex_lock(&bridges->mutex);
    for (size_t i = 0; bridges->slots != NULL && i < sizeof rows / sizeof rows[0]; i++)
        write_row(bridges, &rows[i], out);
    if (bridges->slots != NULL)
        write_head(out, "connection_ends", "counter",
                   "Connections of bridges that failed or ended, by side and cause");
    for (const struct slot *slot = bridges->slots; slot != NULL; slot = slot->next)
        for (int side = 0; side < 2; side++)
            for (int i = 1; i < CLIENT_END_COUNT; i++)
                fprintf(
                    out,
                    "drawbridge_bridge_connection_ends_total{bridge=\"%s\",side=\"%s\",cause=\"%s\"} %llu\n",
                    slot->name, side == 0 ? "local" : "remote", client_end_label((enum client_end)i),
                    (unsigned long long)read_row(&slot->tally.ends[side][i]));
    pthread_mutex_unlock(&bridges->mutex);
}
