/* pacing: holds a device to its rates. A delayed device is not read: what it has sent waits in the kernel,
 * what one read has brought is held, and a deadline of the worker's wheel looks at it again when a token is
 * there.
 *
 *     reading --INSPECT_DELAY--> delayed --deadline, or a new generation--> held bytes are judged again -->
 *        ^                          ^                                              |        |
 *        |                          +------------ the next one comes too fast -----+        |
 *        +----------------------------------------------------------------------------------+
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "inspect/pace.h"
#include "session/inside.h"

/* One line in the log per episode: a device that was quiet for so long begins another one. */
#define EPISODE_GAP_MS 10000

/* A late turn of the wheel is made up for; more than this is none of its doing. */
#define LATE_MAX_MS 1000

struct pacing {
    struct pace pace;
    uint64_t late_since_ms;   /* when a delay should have been over; 0: there was none */
    uint64_t broker_heard_ms; /* while delayed: when the broker heard something last */
    uint64_t seen_count;      /* of pace.stopped_count, at the last run */
    uint64_t before_count;    /* of them, before this episode */
    uint64_t last_stopped_ms;
};

_Static_assert((int)PACE_DELAY == (int)CONF_RATE_ACTION_DELAY &&
                   (int)PACE_DROP == (int)CONF_RATE_ACTION_DROP &&
                   (int)PACE_REFUSE == (int)CONF_RATE_ACTION_REFUSE &&
                   (int)PACE_DISCONNECT == (int)CONF_RATE_ACTION_DISCONNECT,
               "the words of rate_action");

#define ROW(listener, name)                                                                                  \
    { &(listener)->name, &(listener)->user_##name, &(listener)->listener_##name }
struct rate_table {
    const struct rate *rates[PACE_KINDS][PACE_SCOPES];
};
static struct rate_table rates_of(const struct conf_listener *listener) {
    return (struct rate_table){
        {ROW(listener, packet_rate), ROW(listener, publish_rate), ROW(listener, publish_bytes_rate)}};
}
#undef ROW

static bool has_rate(const struct rate_table *table) {
    for (unsigned kind = 0; kind < PACE_KINDS; kind++)
        for (unsigned scope = 0; scope < PACE_SCOPES; scope++)
            if (rate_is_set(table->rates[kind][scope]))
                return true;
    return false;
}

static uint64_t now_ms(const struct session *session) {
    return session->host->now_ms(session->host);
}

/* The session's own meter goes on with what was spent from the last one. */
static void set_own(struct pace *pace, enum pace_kind kind, const struct rate *rate, uint64_t now) {
    struct meter *own = &pace->own[kind], before = *own;
    bool has_before = pace->meters[kind][PACE_DEVICE] != NULL;
    pace->meters[kind][PACE_DEVICE] = rate_is_set(rate) ? own : NULL;
    if (rate_is_set(rate))
        meter_init(own, rate, has_before ? &before : NULL, now);
}

/* Users are kept apart by their name, and all devices without a name are one user; listeners by their place.
 */
static bool set_shared(struct session *session, enum pace_kind kind, enum pace_scope scope,
                       const struct rate *rate, uint64_t now) {
    struct meters *meters = session->host->meters;
    struct meter **place = &session->pacing->pace.meters[kind][scope], *before = *place, *after = NULL;
    bool is_user = scope == PACE_USER;
    uint64_t tag =
        (uint64_t)kind | (uint64_t)scope << 8 | (is_user ? 0 : (uint64_t)session->listener_index << 16);
    if (rate_is_set(rate)) {
        after =
            meters_join(meters, tag, is_user ? heap_span(&session->username) : SPAN_NONE, rate, before, now);
        if (after == NULL)
            return false;
    }
    meters_leave(meters, before, now);
    *place = after;
    return true;
}

bool session_set_pace(struct session *session) {
    const struct conf_listener *listener = session_terms(session)->listener;
    struct rate_table table = rates_of(listener);
    uint64_t now = now_ms(session);
    if (!has_rate(&table)) {
        session_drop_pace(session);
        return true;
    }
    if (session->pacing == NULL)
        session->pacing = calloc(1, sizeof *session->pacing);
    if (session->pacing == NULL)
        return false;
    struct pace *pace = session->inspector.pace = &session->pacing->pace;
    pace_rest(pace);
    pace->due_ms = now; /* what waits is judged anew */
    pace->action = (enum pace_action)listener->rate_action;
    for (unsigned kind = 0; kind < PACE_KINDS; kind++) {
        set_own(pace, kind, table.rates[kind][PACE_DEVICE], now);
        for (unsigned scope = PACE_USER; scope < PACE_SCOPES; scope++)
            if (!set_shared(session, kind, scope, table.rates[kind][scope], now))
                return false;
    }
    return true;
}

/* ---- the log ---- */

static struct conf_origin origin_of(const struct session *session, const struct pace *pace) {
    static const enum conf_option options[PACE_KINDS][PACE_SCOPES] = {
        {CONF_packet_rate, CONF_user_packet_rate, CONF_listener_packet_rate},
        {CONF_publish_rate, CONF_user_publish_rate, CONF_listener_publish_rate},
        {CONF_publish_bytes_rate, CONF_user_publish_bytes_rate, CONF_listener_publish_bytes_rate}};
    return conf_listener_origin(session_terms(session)->listener,
                                options[pace->stopped_kind][pace->stopped_scope]);
}

static void log_sum(const struct session *session, uint64_t count) {
    char address[ADDRESS_TEXT_SIZE], client[TEXT_QUOTED_SIZE];
    if (count > 1)
        log_info("Client %s [%s] had %llu packets that came faster than its rates.",
                 text_quote(client, sizeof client, heap_span(&session->client_id)),
                 address_print(&session->address, address), (unsigned long long)count);
}

static void log_episode(const struct session *session, const struct pace *pace) {
    static const char *const actions[] = {"delayed", "dropped or delayed", "refused", "disconnected"};
    char address[ADDRESS_TEXT_SIZE], client[TEXT_QUOTED_SIZE], user[TEXT_QUOTED_SIZE];
    struct conf_origin origin = origin_of(session, pace);
    log_notice("Client %s%s%s%s [%s] sends faster than %s allows (%s:%u) and is %s.",
               text_quote(client, sizeof client, heap_span(&session->client_id)),
               session->has_username ? ", u'" : "",
               session->has_username ? text_quote(user, sizeof user, heap_span(&session->username)) : "",
               session->has_username ? "'" : "", address_print(&session->address, address),
               pace_keyword(pace->stopped_kind, pace->stopped_scope), origin.file, origin.line,
               actions[pace->action]);
}

/* ---- runs and delays ---- */

void session_begin_run(struct session *session) {
    struct pacing *pacing = session->pacing;
    if (pacing == NULL)
        return;
    uint64_t now = now_ms(session), since = pacing->late_since_ms;
    bool is_late = since != 0 && since < now;
    pace_begin(&pacing->pace, !is_late ? now : now - since > LATE_MAX_MS ? now - LATE_MAX_MS : since, now);
    pacing->late_since_ms = 0;
    if (since == 0) /* it was read, so nothing had to wait */
        pacing->broker_heard_ms = now;
}

void session_end_run(struct session *session) {
    struct pacing *pacing = session->pacing;
    if (pacing == NULL || pacing->pace.stopped_count == pacing->seen_count)
        return;
    uint64_t now = now_ms(session);
    if (pacing->seen_count == 0 || now - pacing->last_stopped_ms >= EPISODE_GAP_MS) {
        log_sum(session, pacing->seen_count - pacing->before_count);
        pacing->before_count = pacing->seen_count;
        log_episode(session, &pacing->pace);
    }
    pacing->seen_count = pacing->pace.stopped_count;
    pacing->last_stopped_ms = now;
}

void session_drop_pace(struct session *session) {
    struct pacing *pacing = session->pacing;
    if (pacing == NULL)
        return;
    pace_rest(&pacing->pace);
    for (unsigned kind = 0; kind < PACE_KINDS; kind++)
        for (unsigned scope = PACE_USER; scope < PACE_SCOPES; scope++)
            meters_leave(session->host->meters, pacing->pace.meters[kind][scope], now_ms(session));
    log_sum(session, pacing->pace.stopped_count - pacing->before_count);
    session->inspector.pace = NULL;
    session->pacing = NULL;
    free(pacing);
}

/* The broker counts the keep alive too, and hears nothing from a device that we do not read: it hears a
 * PINGREQ of ours in good time, whose answer the device will not see. The device itself may have been silent
 * for most of its time before it was delayed, which is why a quarter is enough. */
static uint64_t ping_due_ms(const struct session *session) {
    uint64_t quarter_ms = (uint64_t)session->inspector.keep_alive_s * 250;
    return quarter_ms == 0 ? UINT64_MAX : session->pacing->broker_heard_ms + quarter_ms;
}

static void ping_if_due(struct session *session, uint64_t now) {
    if (now < ping_due_ms(session))
        return;
    session->pacing->broker_heard_ms = now;
    session->inspector.own_pings++;
    relay_owe(session, &session->from_device, SPAN_LITERAL("\xc0\0"));
}

static void wait(struct session *session) {
    uint64_t due_ms = session->pacing->pace.due_ms, ping_ms = ping_due_ms(session);
    wheel_set(session->host->wheel, &session->delay, due_ms < ping_ms ? due_ms : ping_ms);
}

static void on_delay_over(struct deadline *deadline, uint64_t now) {
    struct session *session = (struct session *)((char *)deadline - offsetof(struct session, delay));
    if (!session_take_terms(session))
        return;
    struct pacing *pacing = session->pacing;
    if (pacing != NULL && now < pacing->pace.due_ms) {
        ping_if_due(session, now);
        if (session->state != SESSION_ENDING)
            wait(session);
        return;
    }
    if (pacing != NULL)
        pacing->late_since_ms = pacing->pace.due_ms;
    relay_resume(session);
    if (session->has_device_finished && session->state != SESSION_ENDING && !session_is_delayed(session))
        session_end(session, SESSION_END_DEVICE_CLOSED);
}

void session_on_delay(struct session *session, bool has_passed) {
    struct pacing *pacing = session->pacing;
    uint64_t now = now_ms(session);
    session->delay.on_due = on_delay_over;
    if (has_passed)
        pacing->broker_heard_ms = now;
    ping_if_due(session, now);
    if (session->state != SESSION_ENDING)
        wait(session);
}

void session_wake_delayed(struct session_host *host) {
    for (struct session *session = host->first; session != NULL; session = session->next)
        if (session_is_delayed(session))
            wheel_set(host->wheel, &session->delay, host->now_ms(host));
}
