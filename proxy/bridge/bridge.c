#include "bridge/bridge.h"

#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "bridge/inside.h"

#define SECOND_MS 1000
/* How long the queue may take to finish what it was asked when the bridge ends. */
#define PATIENCE_MS 3000

static const char *name_of(const struct bridge *bridge) {
    return bridge->terms.conf->name;
}

const char *bridge_state_words(uint64_t state) {
    static const char *const words[] = {
        "resting", "waiting to try again",    "connecting", "subscribing", "up",
        "closing", "waiting for its password"};
    return state < sizeof words / sizeof words[0] ? words[state] : "unknown";
}

static void release(struct bridge_terms *terms) {
    if (terms->release != NULL)
        terms->release(terms->keeper);
    *terms = (struct bridge_terms){.keeper = NULL};
}

static void flush(struct bridge *bridge) {
    client_flush(&bridge->ends[SIDE_LOCAL].client);
    client_flush(&bridge->ends[SIDE_REMOTE].client);
}

/* ---- the queue ---- */

static void wake(void *owner) {
    struct bridge *bridge = owner;
    bridge->host->wake(bridge->host);
}

static struct queue_settings queue_settings_of(const struct bridge *bridge) {
    const struct conf_bridge *conf = bridge->terms.conf;
    const struct conf *program = bridge->terms.program;
    return (struct queue_settings){.path = bridge->terms.queue_path,
                                   .name = conf->name,
                                   .is_relaxed = conf->durability == CONF_DURABILITY_RELAXED,
                                   .is_newest_first = conf->queue_order == CONF_ORDER_NEWEST_FIRST,
                                   .overflow = (enum queue_overflow)conf->queue_overflow,
                                   .max_bytes = (int64_t)conf->queue_max_bytes,
                                   .max_count = program->max_queued_messages,
                                   .max_age_s = (int64_t)(conf->queue_max_age_ms / 1000)};
}

static struct queue *open_queue(struct bridge *bridge) {
    const struct queue_settings settings = queue_settings_of(bridge);
    return queue_open(&settings, wake, bridge);
}

static bool is_lazy(const struct bridge *bridge) {
    return bridge->terms.conf->start_type == CONF_START_LAZY;
}

static void begin(struct bridge *bridge) {
    bridge->is_open = true;
    end_want(&bridge->ends[SIDE_LOCAL]);
    if (!is_lazy(bridge))
        end_want(&bridge->ends[SIDE_REMOTE]);
}

/* The file was damaged: a new one takes its place, and what was on its way is known to nobody any more. */
static void begin_anew(struct bridge *bridge) {
    for (int i = 0; i < 2; i++)
        end_break(&bridge->ends[i], CLIENT_OURS);
}

static void on_opened(struct bridge *bridge, struct queue_answer *answer) {
    bool is_first = !bridge->is_open;
    lane_opened(&bridge->lanes[LANE_OUT], answer);
    lane_opened(&bridge->lanes[LANE_IN], answer);
    if (is_first && !bridge->is_stopping)
        begin(bridge);
    else
        begin_anew(bridge);
}

static void look(struct bridge *bridge) {
    struct queue_state *state = &bridge->queue_state;
    int64_t now_s = time(NULL);
    queue_look(bridge->queue, state);
    bridge_gauge(bridge, BRIDGE_METRIC_queue_trouble, state->trouble != 0);
    bridge_gauge(bridge, BRIDGE_METRIC_queue_set_aside, state->set_aside);
    bridge_gauge(bridge, BRIDGE_METRIC_dead_letters, (uint64_t)state->dead_count);
    for (int i = 0; i < LANE_COUNT; i++) {
        const struct store_depth *depth = &state->depth[i];
        struct lane_state *lane = &bridge->lanes[i];
        lane_gauge(lane, LANE_METRIC_queued, (uint64_t)depth->count);
        lane_gauge(lane, LANE_METRIC_queued_bytes, (uint64_t)depth->bytes);
        lane_gauge(lane, LANE_METRIC_oldest_age_seconds,
                   depth->count == 0 || depth->oldest_s > now_s ? 0 : (uint64_t)(now_s - depth->oldest_s));
    }
}

void bridge_poll(struct bridge *bridge) {
    struct queue_answer *next, *answer = queue_poll(bridge->queue);
    if (answer == NULL)
        return;
    look(bridge);
    for (; answer != NULL; answer = next) {
        next = answer->next;
        if (answer->kind == QUEUE_OPENED)
            on_opened(bridge, answer);
        else if (answer->kind == QUEUE_RELEASE || answer->kind == QUEUE_BURY) /* numbers are of both */
            for (int i = 0; i < LANE_COUNT; i++)
                lane_answered(&bridge->lanes[i], answer);
        else
            lane_answered(&bridge->lanes[answer->lane], answer);
        queue_answer_free(answer);
    }
    for (int i = 0; i < LANE_COUNT; i++) {
        lane_let_go(&bridge->lanes[i]);
        lane_pump(&bridge->lanes[i]);
    }
    flush(bridge);
}

/* ---- what the ends tell ---- */

void bridge_end_greeted(struct end *end) {
    struct bridge *bridge = end->bridge;
    bool is_remote = end->side == SIDE_REMOTE;
    lane_source_greeted(lane_from(end));
    lane_target_greeted(lane_to(end));
    end_say_state(end, is_remote || end_is_up(&bridge->ends[SIDE_REMOTE]));
}

void bridge_end_up(struct end *end) {
    struct bridge *bridge = end->bridge;
    struct end *local = &bridge->ends[SIDE_LOCAL];
    const char *where =
        end->side == SIDE_REMOTE ? bridge->terms.remotes[end->place].text : bridge->terms.local.text;
    log_notice("Bridge %s: connected to the %s broker at %s, MQTT %s%s.", name_of(bridge),
               end->side == SIDE_REMOTE ? "remote" : "local", where,
               end_version(end) == MQTT_VERSION_5     ? "5.0"
               : end_version(end) == MQTT_VERSION_311 ? "3.1.1"
                                                      : "3.1",
               end->is_new_session ? "" : ", with its session of before");
    lane_target_up(lane_to(end));
    if (end->side == SIDE_REMOTE) {
        end_say_state(local, true);
        end_subscribe_again(local); /* its retained messages, as a new bridge of mosquitto gets them */
    }
    flush(bridge);
}

static void settle(struct bridge *bridge);

void bridge_end_gone(struct end *end, enum client_end why, bool was_open) {
    struct bridge *bridge = end->bridge;
    if (was_open) {
        lane_target_gone(lane_to(end), why);
        if (end->side == SIDE_REMOTE)
            end_say_state(&bridge->ends[SIDE_LOCAL], false);
    }
    bool is_once =
        bridge->terms.conf->start_type == CONF_START_ONCE && why != CLIENT_OURS; /* ours: to connect anew */
    if (end->side == SIDE_REMOTE && end->was_up && is_once && end->is_wanted) {
        log_notice("Bridge %s: the connection was to be made once only (start_type once).", name_of(bridge));
        end_rest(end);
    }
    flush(bridge);
    settle(bridge);
}

/* ---- time ---- */

/* start_type lazy: connected from `threshold` messages on until nothing has happened for idle_timeout. */
static void be_lazy(struct bridge *bridge, uint64_t now_ms) {
    const struct conf_bridge *conf = bridge->terms.conf;
    struct end *remote = &bridge->ends[SIDE_REMOTE];
    uint64_t active_ms = remote->up_ms;
    for (int i = 0; i < LANE_COUNT; i++)
        if (bridge->lanes[i].active_ms > active_ms)
            active_ms = bridge->lanes[i].active_ms;
    if (!remote->is_wanted && bridge->queue_state.depth[LANE_OUT].count >= conf->threshold)
        end_want(remote);
    else if (end_is_up(remote) && lane_is_drained(&bridge->lanes[LANE_OUT]) &&
             now_ms - active_ms >= conf->idle_timeout_ms)
        end_rest(remote);
}

/* Neither up nor on its way. */
static bool is_away(const struct end *end) {
    return end->state == END_RESTING || end->state == END_WAITING || end->state == END_CLOSING;
}

static bool is_drained(const struct bridge *bridge) {
    return lane_is_drained(&bridge->lanes[LANE_OUT]) && lane_is_drained(&bridge->lanes[LANE_IN]);
}

static void on_second(struct deadline *deadline, uint64_t now_ms) {
    struct bridge *bridge = (struct bridge *)((char *)deadline - offsetof(struct bridge, deadline));
    wheel_set(loop_wheel(bridge->host->loop), &bridge->deadline, now_ms + SECOND_MS);
    look(bridge);
    if (bridge->is_open && is_lazy(bridge) && !bridge->is_stopping)
        be_lazy(bridge, now_ms);
    bool is_hopeless = is_away(&bridge->ends[SIDE_REMOTE]) || is_away(&bridge->ends[SIDE_LOCAL]);
    if (bridge->is_draining && (is_drained(bridge) || is_hopeless)) {
        log_notice("Bridge %s: %s.", name_of(bridge),
                   is_drained(bridge)
                       ? "all that was queued is sent; it ends"
                       : "its section is gone and a broker is not there: what is queued stays on the disk");
        for (int i = 0; is_drained(bridge) && i < 2; i++)
            end_forget(&bridge->ends[i]);
        bridge_stop(bridge, BRIDGE_STOP_NOW);
    }
    bridge_poll(bridge); /* belt and braces */
}

/* ---- configuration ---- */

static bool is_resting(const struct end *end) {
    return end->state == END_RESTING || end->state == END_WAITING;
}

static void take_pending(struct bridge *bridge) {
    release(&bridge->terms);
    bridge->terms = bridge->pending;
    bridge->has_pending = bridge->has_changed = false;
    const struct queue_settings settings = queue_settings_of(bridge);
    queue_retune(bridge->queue, &settings);
}

bool bridge_take_terms(struct bridge *bridge, const struct end *end) {
    struct end *other = &bridge->ends[end->side == SIDE_LOCAL ? SIDE_REMOTE : SIDE_LOCAL];
    if (bridge->has_pending && is_resting(other)) {
        take_pending(bridge);
    } else if (bridge->has_changed) {
        other->is_hurried = true;
        end_break(other, CLIENT_OURS);
        return false;
    }
    const struct conf_bridge *conf = bridge->terms.conf;
    bridge->remote_username = span_of_text(conf->remote_username);
    bridge->remote_password = span_of_text(conf->remote_password);
    return true;
}

void bridge_retune(struct bridge *bridge, const struct bridge_terms *terms, enum bridge_retuning retuning) {
    if (bridge->has_pending)
        release(&bridge->pending);
    bridge->pending = *terms;
    bridge->has_pending = true;
    bridge->has_changed = bridge->has_changed || retuning != BRIDGE_UNCHANGED;
    for (int i = 0; retuning == BRIDGE_NOW && i < 2; i++) {
        bridge->ends[i].is_hurried = true;
        end_break(&bridge->ends[i], CLIENT_OURS);
    }
}

/* ---- begin and end ---- */

static void destroy(struct bridge *bridge) {
    for (int i = 0; i < 2; i++)
        end_clear(&bridge->ends[i]);
    for (int i = 0; i < LANE_COUNT; i++)
        lane_clear(&bridge->lanes[i]);
    wheel_cancel(loop_wheel(bridge->host->loop), &bridge->deadline);
    if (bridge->has_pending)
        release(&bridge->pending);
    release(&bridge->terms);
    free(bridge->scratch);
    free(bridge);
}

static void on_farewell(struct deadline *deadline, uint64_t now_ms) {
    struct bridge *bridge = (struct bridge *)((char *)deadline - offsetof(struct bridge, deadline));
    void (*on_gone)(void *owner) = bridge->on_gone;
    void *owner = bridge->owner;
    (void)now_ms;
    queue_close(bridge->queue, PATIENCE_MS);
    destroy(bridge);
    on_gone(owner);
}

/* Ended when both ends are: then the queue writes what it was asked, and all is freed; not now, since who
 * calls us is not done with it. */
static void settle(struct bridge *bridge) {
    if (!bridge->is_stopping || !end_is_idle(&bridge->ends[SIDE_LOCAL]) ||
        !end_is_idle(&bridge->ends[SIDE_REMOTE]))
        return;
    bridge->deadline.on_due = on_farewell;
    wheel_set(loop_wheel(bridge->host->loop), &bridge->deadline, loop_now_ms(bridge->host->loop));
}

void bridge_stop(struct bridge *bridge, enum bridge_stop manner) {
    struct end *local = &bridge->ends[SIDE_LOCAL], *remote = &bridge->ends[SIDE_REMOTE];
    if (manner == BRIDGE_STOP_DRAIN && !bridge->is_stopping) {
        bridge->is_draining = true;
        log_notice("Bridge %s: its section is gone; what is queued is sent first.", name_of(bridge));
        if (bridge->is_open && is_lazy(bridge) && !is_drained(bridge))
            end_want(remote);
        return;
    }
    if (bridge->is_stopping)
        return;
    bridge->is_stopping = true;
    bridge->is_draining = false;
    end_say_state(remote, false);
    end_say_state(local, false);
    flush(bridge);
    end_rest(remote);
    end_rest(local);
    settle(bridge);
}

struct bridge *bridge_start(struct bridge_host *host, const struct bridge_terms *terms,
                            struct bridge_tally *tally, void (*on_gone)(void *owner), void *owner) {
    struct bridge *bridge = calloc(1, sizeof *bridge);
    struct bridge_terms own = *terms;
    if (bridge == NULL) {
        release(&own);
        return NULL;
    }
    bridge->host = host;
    bridge->terms = own;
    bridge->tally = tally;
    bridge->on_gone = on_gone;
    bridge->owner = owner;
    bridge->scratch = malloc(SCRATCH_TOPIC + SCRATCH_PROPS);
    bridge->deadline.on_due = on_second;
    end_init(&bridge->ends[SIDE_LOCAL], bridge, SIDE_LOCAL);
    end_init(&bridge->ends[SIDE_REMOTE], bridge, SIDE_REMOTE);
    bool is_good = lane_init(&bridge->lanes[LANE_OUT], bridge, LANE_OUT);
    is_good = lane_init(&bridge->lanes[LANE_IN], bridge, LANE_IN) && is_good && bridge->scratch != NULL;
    bridge->queue = is_good ? open_queue(bridge) : NULL;
    if (bridge->queue == NULL) {
        destroy(bridge);
        return NULL;
    }
    wheel_set(loop_wheel(host->loop), &bridge->deadline, loop_now_ms(host->loop) + SECOND_MS);
    return bridge;
}
