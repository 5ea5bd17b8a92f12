/* A stage: two links that keep nothing but how much was said, a broker that accepts every CONNECT, a clock
 * that stands still. */
#include "session/rehearsal.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/random.h"
#include "inspect/mount.h"
#include "inspect/rules.h"
#include "mqtt/write.h"
#include "session/inside.h"

struct role {
    struct link link; /* first */
    size_t heard;     /* bytes written to it */
    uint8_t last;     /* the last of them */
};

struct stage {
    struct session_host host; /* first */
    struct wheel wheel;
    struct tally tally;
    struct role device, broker;
    struct loop_job *job; /* a password that nobody asked for is checked after all */
    bool is_over, is_refused;
    const struct rehearsal *rehearsal;
    struct rehearsed *told;
    struct guest guest;
    uint8_t bytes[SESSION_BYTES_SIZE], scratch[INSPECT_SCRATCH_SIZE], reply[2 * SESSION_OWED_MAX];
    uint8_t topic[2 * UINT16_MAX]; /* as the broker has it */
};

/* ---- links ---- */

static int role_write(struct link *link, const struct span *pieces, size_t count) {
    struct role *role = (struct role *)link;
    for (size_t i = 0; i < count; i++) {
        role->heard += pieces[i].size;
        if (pieces[i].size != 0)
            role->last = pieces[i].at[pieces[i].size - 1];
    }
    return 0;
}

static void role_ignore(struct link *link) {
    (void)link;
}

static void role_close(struct link *link, enum link_manner manner) {
    (void)link;
    (void)manner;
}

static bool role_is_ended(struct link *link) {
    (void)link;
    return false;
}

static const struct link_verbs role_verbs = {role_write, role_ignore, role_ignore, role_is_ended, role_close};

static void role_say(struct role *role, struct span bytes) {
    struct link *link = &role->link;
    while (bytes.size != 0 && link->is_open && link->is_reading && !link->is_closing) {
        struct link_room room = link->events->on_room(link);
        size_t size = bytes.size < room.size ? bytes.size : room.size;
        memcpy(room.at, bytes.at, size);
        bytes = span_after(bytes, size);
        link->events->on_bytes(link, size);
    }
}

static void role_leave(struct role *role) {
    if (role->link.events != NULL && role->link.is_closing)
        role->link.events->on_closed(&role->link);
    role->link.events = NULL;
}

/* ---- the host ---- */

static uint64_t stage_now(struct session_host *host) {
    (void)host;
    return 1000;
}

static void stage_dial(struct session_host *host, struct backend_call *call) {
    struct stage *stage = (struct stage *)host;
    stage->broker.link.events = call->events;
    stage->broker.link.owner = call->owner;
    call->on_dialed(call, 0, &stage->broker.link);
}

static void stage_report(struct session_host *host, const struct backend_call *call, bool is_connected) {
    (void)host;
    (void)call;
    (void)is_connected;
}

static int stage_work(struct session_host *host, struct loop_job *job) {
    ((struct stage *)host)->job = job;
    return 0;
}

static void stage_gone(struct session_host *host, size_t listener_index, bool was_crowded) {
    (void)listener_index;
    (void)was_crowded;
    ((struct stage *)host)->is_over = true;
}

static void stage_refused(struct session_host *host, const struct inspect_refusal *refusal) {
    struct stage *stage = (struct stage *)host;
    if (stage->is_refused)
        return;
    stage->is_refused = true;
    stage->told->file = refusal->verdict.file;
    stage->told->line = refusal->verdict.line;
    if (refusal->verdict.words != NULL)
        snprintf(stage->told->words, sizeof stage->told->words, "%s", refusal->verdict.words);
}

static void stage_end(struct session_host *host, enum session_end end, const char *words) {
    struct stage *stage = (struct stage *)host;
    if (stage->is_refused || end == SESSION_END_DEVICE_GOODBYE)
        return;
    stage->is_refused = true;
    snprintf(stage->told->words, sizeof stage->told->words, "%s", words);
}

static struct stage *stage_create(const struct rehearsal *rehearsal, struct rehearsed *told) {
    struct stage *stage = calloc(1, sizeof *stage);
    struct lobby *lobby = lobby_create();
    struct meters *meters = meters_create();
    if (stage == NULL || lobby == NULL || meters == NULL) {
        free(stage);
        lobby_destroy(lobby);
        meters_destroy(meters);
        return NULL;
    }
    wheel_init(&stage->wheel, stage_now(NULL));
    stage->rehearsal = rehearsal;
    stage->told = told;
    stage->device.link.verbs = stage->broker.link.verbs = &role_verbs;
    stage->device.link.engine = rehearsal->engine;
    stage->device.link.is_open = true;
    stage->host = (struct session_host){.wheel = &stage->wheel,
                                        .now_ms = stage_now,
                                        .tally = &stage->tally,
                                        .generation = rehearsal->generation,
                                        .bytes = stage->bytes,
                                        .scratch = stage->scratch,
                                        .reply = stage->reply,
                                        .dial = stage_dial,
                                        .report = stage_report,
                                        .work = stage_work,
                                        .random = random_fill,
                                        .on_gone = stage_gone,
                                        .lobby = lobby,
                                        .meters = meters,
                                        .on_refused = stage_refused,
                                        .on_end = stage_end};
    return stage;
}

static void stage_destroy(struct stage *stage) {
    if (stage == NULL)
        return;
    lobby_destroy(stage->host.lobby);
    meters_destroy(stage->host.meters);
    free(stage);
}

/* ---- the words ---- */

static bool say_connect(struct stage *stage, struct writer *writer) {
    const struct rehearsal *rehearsal = stage->rehearsal;
    const struct terms *terms = &rehearsal->generation->terms[rehearsal->listener_index];
    bool has_will = rehearsal->act == REHEARSE_CONNECT && rehearsal->topic.size != 0;
    uint16_t longest_s = terms->limits.max_keepalive_s;
    struct mqtt_connect connect = {.version = rehearsal->version,
                                   .clean_start = true,
                                   .keep_alive_s = longest_s != 0 && longest_s < 60 ? longest_s : 60,
                                   .client_id = rehearsal->client_id,
                                   .has_will = has_will,
                                   .will_retain = has_will && rehearsal->is_retained,
                                   .will_qos = has_will ? rehearsal->qos : 0,
                                   .will_topic = rehearsal->topic,
                                   .will_payload = SPAN_LITERAL("x"),
                                   .has_username = rehearsal->has_username,
                                   .username = rehearsal->username};
    mqtt_write_connect(writer, &connect);
    role_say(&stage->device, writer_span(writer));
    return !writer->is_full;
}

static void say_connack(struct stage *stage) {
    uint8_t room[16];
    struct writer writer = writer_of(room, sizeof room);
    struct link *broker = &stage->broker.link;
    if (broker->events == NULL || broker->is_closing)
        return;
    broker->is_open = true;
    broker->events->on_open(broker);
    mqtt_write_connack(&writer, stage->rehearsal->version, MQTT_REASON_SUCCESS, SPAN_NONE);
    role_say(&stage->broker, writer_span(&writer));
}

/* What the rules speak of: with its mount point. */
static struct span broker_topic(struct stage *stage, const struct session *session) {
    const struct inspector *inspector = &session->inspector;
    struct span topic = stage->rehearsal->topic;
    const struct inspect_bytes bytes = {.scratch = stage->topic, .scratch_size = sizeof stage->topic};
    if (stage->rehearsal->act == REHEARSE_SUBSCRIBE)
        return mount_filter(inspector, &bytes, topic);
    struct writer writer = writer_of(stage->topic, sizeof stage->topic);
    writer_bytes(&writer, inspector->mount);
    writer_bytes(&writer, topic);
    return writer_span(&writer);
}

static void write_publish(const struct rehearsal *rehearsal, struct span topic, struct writer *writer) {
    bool is_v5 = rehearsal->version == MQTT_VERSION_5, has_id = rehearsal->qos != 0;
    uint8_t flags = (uint8_t)(rehearsal->qos << 1 | (rehearsal->is_retained ? 1 : 0));
    size_t size = 2 + topic.size + (has_id ? 2 : 0) + (is_v5 ? 1 : 0) + 1;
    mqtt_write_frame(writer, MQTT_PUBLISH, flags, (uint32_t)size);
    writer_string(writer, topic);
    if (has_id)
        writer_u16(writer, 1);
    if (is_v5)
        writer_u8(writer, 0);
    writer_u8(writer, 'x');
}

static void write_subscribe(const struct rehearsal *rehearsal, struct writer *writer) {
    bool is_v5 = rehearsal->version == MQTT_VERSION_5;
    size_t size = 2 + (is_v5 ? 1 : 0) + 2 + rehearsal->topic.size + 1;
    mqtt_write_frame(writer, MQTT_SUBSCRIBE, 2, (uint32_t)size);
    writer_u16(writer, 1);
    if (is_v5)
        writer_u8(writer, 0);
    writer_string(writer, rehearsal->topic);
    writer_u8(writer, rehearsal->qos);
}

/* The rule that let it pass. */
static struct verdict grant_of(struct stage *stage, const struct session *session) {
    const struct rehearsal *rehearsal = stage->rehearsal;
    const struct acl_binding *acl = &session->inspector.acl;
    struct span topic = broker_topic(stage, session);
    bool is_retained = rules_retains(&session->inspector.limits, rehearsal->is_retained);
    switch (rehearsal->act) {
    case REHEARSE_PUBLISH: return acl_may_publish(acl, topic, rehearsal->qos, is_retained);
    case REHEARSE_SUBSCRIBE: return acl_may_subscribe(acl, topic);
    case REHEARSE_DELIVER: return acl_may_read(acl, topic);
    case REHEARSE_CONNECT: break;
    }
    if (rehearsal->topic.size == 0)
        return (struct verdict){.is_allowed = true, .words = "nothing stands against it"};
    return acl_may_publish(acl, topic, rehearsal->qos, is_retained);
}

static void tell_grant(struct stage *stage, const struct session *session) {
    struct rehearsed *told = stage->told;
    struct verdict verdict = grant_of(stage, session);
    told->is_allowed = true;
    told->qos = stage->broker.last & 3;
    if (!verdict.is_allowed) {
        snprintf(told->words, sizeof told->words, "acl_subscribe silent lets it pass, nothing will arrive");
        return;
    }
    told->file = verdict.file;
    told->line = verdict.line;
    snprintf(told->words, sizeof told->words, "%s", verdict.words == NULL ? "" : verdict.words);
}

static bool act(struct stage *stage, struct session *session, struct writer *writer) {
    const struct rehearsal *rehearsal = stage->rehearsal;
    if (!say_connect(stage, writer))
        return false;
    say_connack(stage);
    if (stage->job != NULL) { /* nobody has this username: it ends as live */
        stage->job->work(stage->job);
        stage->job->done(stage->job);
    }
    bool is_open = !stage->is_refused && session->state == SESSION_OPEN;
    struct role *receiver = rehearsal->act == REHEARSE_DELIVER ? &stage->device : &stage->broker;
    size_t heard = receiver->heard;
    *writer = writer_of(writer->start, (size_t)(writer->end - writer->start));
    struct span topic = rehearsal->act == REHEARSE_DELIVER ? broker_topic(stage, session) : rehearsal->topic;
    if (rehearsal->act == REHEARSE_SUBSCRIBE)
        write_subscribe(rehearsal, writer);
    else if (rehearsal->act != REHEARSE_CONNECT && topic.size <= UINT16_MAX)
        write_publish(rehearsal, topic, writer);
    if (is_open && !writer->is_full)
        role_say(rehearsal->act == REHEARSE_DELIVER ? &stage->broker : &stage->device, writer_span(writer));
    stage->told->violation = session->inspector.violation;
    if (session->refusal != NULL) { /* of the CONNECT */
        stage->told->file = session->refused_by.file;
        stage->told->line = session->refused_by.line;
        snprintf(stage->told->words, sizeof stage->told->words, "%s", session->refusal);
    }
    bool is_through = receiver->heard != heard || rehearsal->act == REHEARSE_CONNECT;
    if (is_open && is_through && !stage->is_refused)
        tell_grant(stage, session);
    else if (!stage->is_refused)
        snprintf(stage->told->words, sizeof stage->told->words, "it does not come through");
    return !writer->is_full;
}

/* At the door, before any packet. False: it is not let in. */
static bool arrive(struct stage *stage) {
    const struct rehearsal *rehearsal = stage->rehearsal;
    const struct generation *generation = rehearsal->generation;
    const struct terms *terms = &generation->terms[rehearsal->listener_index];
    const struct lobby_rules rules = {generation->conf, terms->listener, rehearsal->listener_index};
    enum lobby_answer answer = lobby_arrive(stage->host.lobby, &rules, &rehearsal->address,
                                            terms->tls != NULL, stage_now(&stage->host), &stage->guest);
    if (answer != LOBBY_WELCOME)
        snprintf(stage->told->words, sizeof stage->told->words, "%s", lobby_words(answer));
    return answer == LOBBY_WELCOME;
}

/* False when memory is out. */
static bool play(struct stage *stage, struct writer writer) {
    const struct rehearsal *rehearsal = stage->rehearsal;
    struct session *session = session_begin(&stage->host, &stage->device.link, &rehearsal->address,
                                            rehearsal->listener_index, false);
    if (session == NULL) {
        lobby_leave(stage->host.lobby, &stage->guest);
        return false;
    }
    session_keep_guest(session, &stage->guest);
    bool is_good = act(stage, session, &writer);
    if (!stage->is_over)
        session_end(session, SESSION_END_DEVICE_GOODBYE);
    role_leave(&stage->broker);
    role_leave(&stage->device);
    return is_good;
}

bool rehearse(const struct rehearsal *rehearsal, struct rehearsed *rehearsed) {
    *rehearsed = (struct rehearsed){.is_allowed = false};
    const size_t room_size = 8 * (size_t)UINT16_MAX;
    struct stage *stage = stage_create(rehearsal, rehearsed);
    uint8_t *room = stage == NULL ? NULL : malloc(room_size);
    bool is_good = room != NULL, is_in = is_good && arrive(stage);
    struct terms *terms = &rehearsal->generation->terms[rehearsal->listener_index];
    const struct accounts *accounts = terms->accounts;
    bool is_known =
        accounts != NULL && rehearsal->has_username && accounts_find(accounts, rehearsal->username) != NULL;
    if (is_known)
        terms->accounts = NULL; /* its password is right */
    if (is_in)
        is_good = play(stage, writer_of(room, room_size));
    terms->accounts = accounts;
    free(room);
    stage_destroy(stage);
    return is_good;
}
