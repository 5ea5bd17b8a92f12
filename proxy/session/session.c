/* session: see the picture in session.h. Callbacks of links write down what happened and step on; only
 * session_end ends. */
#include "session/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "crypto/password.h"
#include "session/inside.h"

_Static_assert(SESSION_END_COUNT <= TALLY_ENDS, "the tally has a counter per end");
_Static_assert((int)DIAL_TROUBLE_COUNT <= TALLY_TROUBLES,
               "the tally has a counter per trouble with the broker");
_Static_assert((int)TLS_TROUBLE_COUNT <= TALLY_TROUBLES, "the tally has a counter per TLS trouble");

static const struct {
    const char *label, *sentence;
    uint8_t reason;
} ends[] = {
#define END(name, label, kind, reason, sentence) {label, sentence, reason},
#include "session/ends.def"
#undef END
};

const char *session_end_label(enum session_end end) {
    return ends[end].label;
}

static void count(struct session *session, enum metric metric, int64_t amount) {
    tally_add(&session->host->tally->rows[metric], (uint64_t)amount);
}

static uint64_t now_ms(const struct session *session) {
    return session->host->now_ms(session->host);
}

/* The only assignment to `state`. */
static void enter(struct session *session, enum session_state state) {
    session->state = state;
}

static void set_deadline(struct session *session, uint64_t after_ms) {
    wheel_set(session->host->wheel, &session->deadline, now_ms(session) + after_ms);
}

/* ---- the end ---- */

static void free_if_done(struct session *session) {
    if (session->open_count != 0)
        return;
    struct session_host *host = session->host;
    *session->previous = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    host->count--;
    count(session, METRIC_connections_open, -1);
    session_leave(session);
    size_t listener_index = session->listener_index;
    bool was_crowded = session->is_crowded;
    wheel_cancel(host->wheel, &session->deadline);
    session_drop_pace(session);
    inspector_clear(&session->inspector);
    struct heap *heaps[] = {&session->from_device.held, &session->from_device.owed,
                            &session->from_broker.held, &session->from_broker.owed,
                            &session->connect,          &session->username,
                            &session->client_id,        &session->prelude};
    for (size_t i = 0; i < sizeof heaps / sizeof heaps[0]; i++)
        heap_clear(heaps[i]);
    generation_drop(session->generation);
    free(session->announced);
    free(session);
    host->on_gone(host, listener_index, was_crowded);
}

/* Which reason code a device hears: that of the broken statement or the refusal where there is one. */
static uint8_t reason_of(const struct session *session, enum session_end end) {
    if (end == SESSION_END_DEVICE_WRONG)
        return violation_rows[session->inspector.violation].reason;
    bool is_refused = end == SESSION_END_CONNECT_REFUSED || end == SESSION_END_DEVICE_REFUSED;
    if (is_refused && session->inspector.refused_reason != 0)
        return session->inspector.refused_reason;
    return ends[end].reason;
}

static const char *words_of(const struct session *session, enum session_end end, char *room, size_t size) {
    const struct violation_row *row = &violation_rows[session->inspector.violation];
    switch (end) {
    case SESSION_END_DEVICE_WRONG:
    case SESSION_END_BROKER_WRONG:
        snprintf(room, size, "%s: %s (%s)", ends[end].sentence, row->sentence, row->clause);
        return room;
    case SESSION_END_TLS_FAILED:
        snprintf(room, size, "%s: %s", ends[end].sentence,
                 tls_trouble_sentence(engine_trouble(session->device->engine)));
        return room;
    case SESSION_END_BROKER_REFUSED:
        snprintf(room, size, "%s with code %u", ends[end].sentence, session->inspector.connack_code);
        return room;
    case SESSION_END_BROKER_UNREACHABLE:
    case SESSION_END_BROKER_CLOSED:
        if (session->dial_trouble == DIAL_TROUBLE_NONE)
            break;
        snprintf(room, size, "%s: %s", ends[end].sentence,
                 dial_trouble_sentence((enum dial_trouble)session->dial_trouble));
        return room;
    default: break;
    }
    return ends[end].sentence;
}

/* What a device may know of it: the sentence of the row, and what it did itself. */
static const char *told_of(const struct session *session, enum session_end end) {
    if (end == SESSION_END_DEVICE_WRONG)
        return violation_rows[session->inspector.violation].sentence;
    return end == SESSION_END_CONNECT_REFUSED && session->refusal != NULL ? session->refusal
                                                                          : ends[end].sentence;
}

static void end_with_words(struct session *session, enum session_end end, const char *words) {
    if (session->state == SESSION_ENDING)
        return;
    char room[LOG_LINE_SIZE];
    session->end = end;
    tally_add(&session->host->tally->ends[end], 1);
    if (end == SESSION_END_CONNECT_REFUSED || end == SESSION_END_PASSWORD_WRONG ||
        (end == SESSION_END_DEVICE_WRONG && !session->is_started))
        count(session, METRIC_connects_refused, 1);
    if (session->is_started)
        count(session, METRIC_sessions_open, -1);
    words = words != NULL ? words : words_of(session, end, room, sizeof room);
    denials_end(session);
    session_log_end(session, words);
    session_note_failure(session);
    session_shaken(session);
    if (session->host->on_end != NULL)
        session->host->on_end(session->host, end, words);
    session_tell(session, reason_of(session, end), told_of(session, end));
    enter(session, SESSION_ENDING);
    wheel_cancel(session->host->wheel, &session->deadline);
    wheel_cancel(session->host->wheel, &session->delay);
    session_drop_pace(session);
    session_drop_hold(session);
    backend_cancel(&session->call);
    heap_clear(&session->from_device.held);
    heap_clear(&session->from_broker.held);
    bool is_device_gone = end == SESSION_END_DEVICE_LOST;
    if (session->device != NULL)
        link_close(session->device, is_device_gone ? LINK_AT_ONCE : LINK_POLITELY);
    if (session->broker != NULL)
        link_close(session->broker, LINK_POLITELY);
}

void session_end(struct session *session, enum session_end end) {
    end_with_words(session, end, NULL);
}

void session_end_all(struct session_host *host, enum session_end end) {
    struct session *next;
    for (struct session *session = host->first; session != NULL; session = next) {
        next = session->next;
        session_end(session, end);
    }
}

/* ---- deadlines ---- */

static void count_handshake_failure(struct session *session, enum tls_trouble trouble) {
    count(session, METRIC_handshakes_failed, 1);
    tally_add(&session->host->tally->troubles[trouble], 1);
}

static uint64_t keep_alive_ms(const struct session *session) {
    return (uint64_t)session->inspector.keep_alive_s * 1500;
}

static void on_silence(struct session *session, uint64_t now) {
    uint64_t limit_ms = keep_alive_ms(session);
    if (limit_ms == 0)
        return;
    bool is_silent = now - session->last_heard_ms >= limit_ms;
    /* While we do not read, its silence is ours; but behind a broker that takes nothing nobody hears it go.
     */
    bool is_ours = is_silent && !session->device->is_reading;
    if (is_ours)
        session->last_heard_ms = now;
    if (is_ours && link_is_ended(session->device))
        session_end(session, SESSION_END_DEVICE_CLOSED);
    else if (is_silent && !is_ours)
        session_end(session, SESSION_END_KEEP_ALIVE);
    else
        wheel_set(session->host->wheel, &session->deadline, session->last_heard_ms + limit_ms);
}

static void on_due(struct deadline *deadline, uint64_t now) {
    struct session *session = (struct session *)((char *)deadline - offsetof(struct session, deadline));
    switch (session->state) {
    case SESSION_SHAKING:
        count_handshake_failure(session, TLS_TROUBLE_TIMEOUT);
        session_end(session, SESSION_END_HANDSHAKE_TIMEOUT);
        return;
    case SESSION_GREETING: session_end(session, SESSION_END_CONNECT_TIMEOUT); return;
    case SESSION_DIALING:
        count(session, METRIC_backend_dial_failures, 1);
        session->host->report(session->host, &session->call,
                              false); /* the next one begins with another address */
        session_end(session, SESSION_END_BROKER_TIMEOUT);
        return;
    case SESSION_CHECKING:
    case SESSION_WAITING: session_end(session, SESSION_END_BROKER_TIMEOUT); return;
    case SESSION_OPEN: on_silence(session, now); return;
    case SESSION_ENDING: return;
    }
}

/* ---- the broker's side ---- */

static struct link_room on_broker_room(struct link *link) {
    struct session *session = link->owner;
    return relay_room(session, &session->from_broker);
}

static void on_broker_bytes(struct link *link, size_t size) {
    struct session *session = link->owner;
    count(session, METRIC_from_broker_bytes, (int64_t)size);
    if (session_take_terms(session))
        relay_take(session, &session->from_broker, size);
}

static void on_broker_open(struct link *link) {
    struct session *session = link->owner;
    session->host->report(session->host, &session->call, true);
    session->dial_trouble = DIAL_TROUBLE_NONE; /* of another address */
    enter(session, SESSION_WAITING);
    set_deadline(session, session->generation->conf->backend_timeout_ms);
    struct span connect = heap_span(&session->connect);
    int error = link_write(link, &connect, 1);
    count(session, METRIC_to_broker_bytes, (int64_t)connect.size);
    heap_clear(&session->connect);
    heap_clear(&session->prelude);
    if (error < 0)
        session_end(session, SESSION_END_BROKER_CLOSED);
    else
        relay_balance(session);
}

static void on_broker_drained(struct link *link) {
    struct session *session = link->owner;
    relay_balance(session);
}

/* Why, as far as TLS can tell. */
static void note_trouble(struct session *session, const struct link *link) {
    enum dial_trouble trouble = link_trouble(link);
    if (trouble == DIAL_TROUBLE_NONE)
        return;
    session->dial_trouble = (uint8_t)trouble;
    tally_add(&session->host->tally->dial_troubles[trouble], 1);
}

static void on_broker_end(struct link *link, int error) {
    struct session *session = link->owner;
    note_trouble(session, link);
    if (session->state == SESSION_DIALING) {
        count(session, METRIC_backend_dial_failures, 1);
        session->host->report(session->host, &session->call, false);
        log_debug("The broker cannot be reached: %s",
                  error == 0 ? "it closed the connection" : loop_error_words(error));
        session->broker = NULL; /* on_closed still comes, for the count */
        link_close(link, LINK_AT_ONCE);
        session->host->dial(session->host, &session->call);
        return;
    }
    /* In TLS 1.3 a broker says no to our certificate behind the handshake. */
    bool is_refused = session->state == SESSION_WAITING && session->dial_trouble != DIAL_TROUBLE_NONE;
    session_end(session, is_refused ? SESSION_END_BROKER_UNREACHABLE : SESSION_END_BROKER_CLOSED);
}

static void on_broker_closed(struct link *link) {
    struct session *session = link->owner;
    if (session->broker == link)
        session->broker = NULL;
    session->open_count--;
    free_if_done(session);
}

static const struct link_events broker_events = {on_broker_open,    on_broker_room, on_broker_bytes,
                                                 on_broker_drained, on_broker_end,  on_broker_closed};

static void on_dialed(struct backend_call *call, int error, struct link *link) {
    struct session *session = call->owner;
    if (error < 0) {
        bool is_crowded = error == -EMFILE || error == -ENFILE;
        session_end(session, is_crowded ? SESSION_END_NO_ROOM : SESSION_END_BROKER_UNREACHABLE);
        return;
    }
    session->broker = link;
    session->open_count++;
    count(session, METRIC_backend_dials, 1);
    if (link->is_open)
        on_broker_open(link);
}

static void refuse_connect(struct session *session, uint8_t reason, const char *words) {
    char room[LOG_LINE_SIZE];
    const struct conf_origin *by = &session->refused_by;
    int size = snprintf(room, sizeof room, "%s: %s", ends[SESSION_END_CONNECT_REFUSED].sentence, words);
    if (by->line != 0)
        snprintf(room + size, sizeof room - (size_t)size, " (%s:%u)", by->file, by->line);
    session->inspector.refused_reason = reason;
    session->refusal = words;
    end_with_words(session, SESSION_END_CONNECT_REFUSED, room);
}

static void dial(struct session *session) {
    if (session->is_crowded) {
        session_end(session, SESSION_END_NO_ROOM);
        return;
    }
    enum lobby_answer answer = session_seat(session);
    if (answer == LOBBY_NO_MEMORY) {
        session_end(session, SESSION_END_NO_MEMORY);
        return;
    }
    if (answer != LOBBY_WELCOME) {
        refuse_connect(session, MQTT_REASON_QUOTA_EXCEEDED, lobby_words(answer));
        return;
    }
    if (!session_write_prelude(session) || !session_take_hold(session)) {
        session_end(session, SESSION_END_NO_MEMORY);
        return;
    }
    enter(session, SESSION_DIALING);
    set_deadline(session, session->generation->conf->backend_timeout_ms);
    session->call.wish.prelude = heap_span(&session->prelude);
    session->call.wish.tls = session->generation->backend_tls;
    session->call.wish.tunnel = session->generation->http_proxy.request;
    session->call.events = &broker_events;
    session->call.owner = session;
    session->call.on_dialed = on_dialed;
    const struct backend_http_proxy *proxy = &session->generation->http_proxy;
    session->call.where = proxy->host != NULL ? &proxy->place : session_terms(session)->listener->backend;
    session->host->dial(session->host, &session->call);
}

/* ---- the password ---- */

struct check {
    struct loop_job job;
    struct session *session;
    const struct account *account; /* NULL: no such user */
    const struct accounts
        *accounts; /* then one as costly as most is checked, so that time tells nobody who exists */
    bool is_right;
    size_t size;
    uint8_t password[];
};

static void check_work(struct loop_job *job) {
    struct check *check = (struct check *)job;
    struct span password = span_of(check->password, check->size);
    if (check->account == NULL)
        (void)password_is_right(accounts_usual(check->accounts), password);
    else
        check->is_right = password_is_right(check->account, password);
}

static void check_done(struct loop_job *job) {
    struct check *check = (struct check *)job;
    struct session *session = check->session;
    bool is_right = check->is_right;
    if (is_right)
        session->credential = session_credential(check->account);
    explicit_bzero(check->password, check->size);
    free(check);
    session->check = NULL;
    session->open_count--;
    if (session->state == SESSION_ENDING) {
        free_if_done(session);
        return;
    }
    if (is_right) {
        dial(session);
        return;
    }
    count(session, METRIC_authentication_failures, 1);
    session_end(session, SESSION_END_PASSWORD_WRONG);
}

static void check_password(struct session *session, const struct mqtt_connect *connect) {
    /* Username without password is refused, after the same time. */
    struct span password = connect->has_password ? connect->password : SPAN_NONE;
    struct check *check = calloc(1, sizeof *check + password.size + 1);
    if (check == NULL) {
        session_end(session, SESSION_END_NO_MEMORY);
        return;
    }
    if (password.size != 0)
        memcpy(check->password, password.at, password.size);
    check->size = password.size;
    check->job = (struct loop_job){check_work, check_done};
    check->session = session;
    /* The account lives as long as the generation, which this session keeps until the check is done. */
    check->accounts = session_terms(session)->accounts;
    check->account =
        connect->has_password ? accounts_find(session_terms(session)->accounts, connect->username) : NULL;
    enter(session, SESSION_CHECKING);
    set_deadline(session, session->generation->conf->backend_timeout_ms);
    session->check = check;
    session->open_count++;
    if (session->host->work(session->host, &check->job) < 0) {
        session->open_count--;
        session->check = NULL;
        free(check);
        session_end(session, SESSION_END_NO_MEMORY);
    }
}

/* ---- what the inspector found ---- */

void session_on_connect(struct session *session, struct mqtt_connect *connect, struct span packet) {
    bool needs_check;
    const char *words;
    uint8_t reason;
    if (!session_admit(session, connect, packet, &needs_check, &reason, &words)) {
        refuse_connect(session, reason, words);
        return;
    }
    session->is_device_waiting = true;
    if (needs_check)
        check_password(session, connect);
    else
        dial(session);
}

void session_on_started(struct session *session) {
    session->is_started = true;
    session->last_heard_ms = now_ms(session);
    count(session, METRIC_sessions_started, 1);
    count(session, METRIC_sessions_open, 1);
    session_log_start(session);
    enter(session, SESSION_OPEN);
    wheel_cancel(session->host->wheel, &session->deadline);
    if (keep_alive_ms(session) != 0)
        set_deadline(session, keep_alive_ms(session));
    if (!session_set_pace(session))
        session_end(session, SESSION_END_NO_MEMORY);
}

void session_on_wrong(struct session *session, struct relay *relay) {
    bool is_device = relay == &session->from_device;
    bool is_refused = session->inspector.violation == VIOLATION_NONE;
    session_end(session, is_refused  ? SESSION_END_DEVICE_REFUSED
                         : is_device ? SESSION_END_DEVICE_WRONG
                                     : SESSION_END_BROKER_WRONG);
}

void session_on_goodbye(struct session *session, struct relay *relay) {
    bool is_device = relay == &session->from_device;
    session_end(session, is_device             ? SESSION_END_DEVICE_GOODBYE
                         : session->is_started ? SESSION_END_BROKER_GOODBYE
                                               : SESSION_END_BROKER_REFUSED);
}

/* ---- the device's side ---- */

static struct link_room on_device_room(struct link *link) {
    struct session *session = link->owner;
    return relay_room(session, &session->from_device);
}

static void on_device_bytes(struct link *link, size_t size) {
    struct session *session = link->owner;
    count(session, METRIC_from_device_bytes, (int64_t)size);
    session->last_heard_ms = now_ms(session);
    if (session_take_terms(session))
        relay_take(session, &session->from_device, size);
}

static void on_device_open(struct link *link) {
    struct session *session = link->owner;
    session_shaken(session);
    if (link->engine != NULL) {
        count(session, METRIC_handshakes, 1);
        count(session, METRIC_handshakes_resumed, engine_is_resumed(link->engine));
        struct span protocol = engine_protocol(link->engine);
        log_debug("TLS handshake done: %s %s %.*s", engine_version(link->engine), engine_cipher(link->engine),
                  SPAN_PRINT(protocol));
        enum session_end end = session_judge_device(session); /* by what came during the handshake */
        if (end != SESSION_END_NONE) {
            session_end(session, end);
            return;
        }
    }
    session_find_host(session);
    if (session->host_number != 0)
        session->inspector.limits = session_terms(session)->limits;
    enter(session, SESSION_GREETING);
    set_deadline(session, session_terms(session)->listener->connect_timeout_ms);
}

static void on_device_drained(struct link *link) {
    struct session *session = link->owner;
    relay_balance(session);
}

static void on_device_end(struct link *link, int error) {
    struct session *session = link->owner;
    if (session->state == SESSION_SHAKING && link->engine != NULL) {
        enum tls_trouble trouble = engine_trouble(link->engine);
        count_handshake_failure(session, trouble == TLS_TROUBLE_NONE ? TLS_TROUBLE_ABANDONED : trouble);
        session_end(session, error == -EPROTO ? SESSION_END_TLS_FAILED : SESSION_END_DEVICE_CLOSED);
        return;
    }
    if (error == 0 && session_is_delayed(session)) {
        session->has_device_finished = true; /* what it said before is judged in its time */
        return;
    }
    session_end(session, error == 0 ? SESSION_END_DEVICE_CLOSED : SESSION_END_DEVICE_LOST);
}

static void on_device_closed(struct link *link) {
    struct session *session = link->owner;
    session->device = NULL;
    session->open_count--;
    free_if_done(session);
}

static const struct link_events device_events = {on_device_open,    on_device_room, on_device_bytes,
                                                 on_device_drained, on_device_end,  on_device_closed};

static void on_orphan_closed(struct link *link) {
    (void)link;
}

static const struct link_events orphan_events = {.on_closed = on_orphan_closed};

struct session *session_begin(struct session_host *host, struct link *device, const struct address *address,
                              size_t listener_index, bool is_crowded) {
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        device->events = &orphan_events;
        link_close(device, LINK_AT_ONCE);
        return NULL;
    }
    session->host = host;
    session->generation = generation_keep(host->generation);
    session->listener_index = listener_index;
    session->is_crowded = is_crowded;
    session->address = *address;
    session->deadline.on_due = on_due;
    inspector_init(&session->inspector, &session_terms(session)->limits, host->tally);
    session->inspector.on_refused = session_on_refused;
    session->inspector.owner = session;
    session->device = device;
    session->open_count = 1;
    session->next = host->first;
    session->previous = &host->first;
    if (session->next != NULL)
        session->next->previous = &session->next;
    host->first = session;
    host->count++;
    count(session, METRIC_connections_accepted, 1);
    count(session, METRIC_connections_open, 1);
    device->events = &device_events;
    device->owner = session;
    session->started_ms = session->last_heard_ms = now_ms(session);
    if (device->is_open) {
        on_device_open(device);
    } else {
        enter(session, SESSION_SHAKING);
        set_deadline(session, session_terms(session)->listener->handshake_timeout_ms);
    }
    relay_balance(session);
    return session;
}
