/* world: everything a session touches, made by hand: links that write down what is sent and are read when the
 * test says so, a dialler, a pool of jobs, and a clock that moves when it is told to. */
#ifndef TEST_UNIT_SESSION_WORLD_H
#define TEST_UNIT_SESSION_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "session/inside.h"
#include "unit/inspect/driver.h"
#include "unit/mqtt/whole.h"

/* One end of a connection. */
struct fake {
    struct link link; /* first */
    struct fake *next;
    struct world *world;
    struct store in;      /* what the peer has sent; `delivered` of it has been read */
    struct store written; /* what was written to it */
    size_t delivered;
    bool is_ended;   /* the peer has closed, whether that was read or not */
    bool is_slow;    /* what is written stays pending until fake_drain */
    int write_error; /* what the next writes say; 0: all well */
    bool is_closed;  /* on_closed was called */
    enum link_manner manner;
    unsigned starts, stops;
};

struct world {
    struct session_host host; /* first */
    struct wheel wheel;
    struct tally tally;
    uint64_t now;
    struct fake *fakes; /* the newest first */
    char next_dial;     /* 'o'kay, 'a't once, 'l'ater, 'e'rror, 'm'any descriptors open */
    struct backend_call *waiting;
    struct fake *dialed; /* the newest link to the broker */
    unsigned dials, reports_good, reports_bad;
    struct loop_job *jobs[64];
    size_t job_count;
    bool work_fails, random_fails;
    unsigned begun, gone, begun_crowded, gone_crowded;
};

/* ---- generations; control/ has the real ones ---- */

void generation_drop(struct generation *generation) {
    if (generation == NULL || --generation->references != 0)
        return;
    conf_destroy(generation->conf);
    arena_destroy(generation->arena);
    free(generation->terms);
    free(generation);
}

static inline struct backend_identity world_identity(const struct conf_listener *listener) {
    struct backend_identity identity = {.clientid_prefix = span_of_text(listener->backend_clientid_prefix)};
    identity.has_username = listener->backend_username != NULL;
    identity.has_password = listener->backend_password != NULL;
    if (identity.has_username)
        identity.username = span_of_text(listener->backend_username->text);
    if (identity.has_password)
        identity.password = span_of_text(listener->backend_password->text);
    return identity;
}

/* From the texts of the configuration, of an acl_file and of a password_file; both may be NULL. Given with
 * one reference. */
static inline struct generation *generation_of(const char *conf, const char *acl, const char *accounts) {
    struct findings findings;
    findings_init(&findings);
    struct generation *generation = calloc(1, sizeof *generation);
    DRIVER_MUST(generation != NULL);
    generation->references = 1;
    generation->arena = arena_create();
    generation->conf = conf_read_text("test.conf", span_of_text(conf), &findings);
    const struct acl *rules =
        acl == NULL ? NULL : acl_compile(generation->arena, "acl", span_of_text(acl), &findings);
    const struct accounts *users =
        accounts == NULL ? NULL
                         : accounts_read(generation->arena, "passwords", span_of_text(accounts), &findings);
    for (const struct finding *finding = findings.first; finding != NULL; finding = finding->next)
        if (finding->kind == FINDING_ERROR)
            fprintf(stderr, "%s\n", finding->text);
    DRIVER_MUST(!findings_refuse(&findings) && generation->conf != NULL);
    findings_clear(&findings);
    generation->terms_count = generation->conf->listener_count;
    generation->terms = calloc(generation->terms_count, sizeof *generation->terms);
    DRIVER_MUST(generation->terms != NULL);
    for (size_t i = 0; i < generation->terms_count; i++) {
        const struct conf_listener *listener = &generation->conf->listeners[i];
        generation->terms[i] = (struct terms){.listener = listener, .acl = rules, .accounts = users};
        generation->terms[i].identity = world_identity(listener);
        terms_set_limits(&generation->terms[i]);
    }
    return generation;
}

/* ---- links ---- */

static inline int fake_write(struct link *link, const struct span *pieces, size_t count) {
    struct fake *fake = (struct fake *)link;
    DRIVER_MUST(link->is_open && !link->is_closing);
    if (fake->write_error != 0)
        return fake->write_error;
    for (size_t i = 0; i < count; i++) {
        store_add(&fake->written, pieces[i]);
        if (fake->is_slow)
            link->pending += pieces[i].size;
    }
    return 0;
}

static inline void fake_read_start(struct link *link) {
    ((struct fake *)link)->starts++;
}

static inline void fake_read_stop(struct link *link) {
    ((struct fake *)link)->stops++;
}

static inline bool fake_is_ended(struct link *link) {
    return ((struct fake *)link)->is_ended;
}

static inline void fake_close(struct link *link, enum link_manner manner) {
    ((struct fake *)link)->manner = manner;
}

static const struct link_verbs fake_verbs = {fake_write, fake_read_start, fake_read_stop, fake_is_ended,
                                             fake_close};

static inline struct fake *world_fake(struct world *world) {
    struct fake *fake = calloc(1, sizeof *fake);
    DRIVER_MUST(fake != NULL);
    fake->link.verbs = &fake_verbs;
    fake->world = world;
    fake->next = world->fakes;
    world->fakes = fake;
    return fake;
}

static inline void fake_open(struct fake *fake) {
    if (fake->link.is_closing || fake->link.is_open)
        return;
    fake->link.is_open = true;
    fake->link.events->on_open(&fake->link);
}

/* The peer sends. */
static inline void fake_push(struct fake *fake, struct span bytes) {
    store_add(&fake->in, bytes);
}

/* Reads as long as reading is wanted and something is there, at most `most` bytes at a time. */
static inline void fake_pump(struct fake *fake, size_t most) {
    struct link *link = &fake->link;
    while (link->is_reading && link->is_open && !link->is_closing && fake->delivered < fake->in.size) {
        struct link_room room = link->events->on_room(link);
        DRIVER_MUST(room.size >= LINK_ROOM_MIN);
        size_t size = fake->in.size - fake->delivered;
        size = size < most ? size : most;
        size = size < 64 * 1024 ? size : 64 * 1024;
        memcpy(room.at, fake->in.at + fake->delivered, size);
        fake->delivered += size;
        link->events->on_bytes(link, size);
    }
}

static inline void fake_say(struct fake *fake, struct span bytes) {
    fake_push(fake, bytes);
    fake_pump(fake, SIZE_MAX);
}

/* The peer goes: 0 in order, else with an error. */
static inline void fake_end(struct fake *fake, int error) {
    if (!fake->link.is_closing)
        fake->link.events->on_end(&fake->link, error);
}

/* The kernel took all. */
static inline void fake_drain(struct fake *fake) {
    if (fake->link.pending == 0)
        return;
    fake->link.pending = 0;
    if (!fake->link.is_closing)
        fake->link.events->on_drained(&fake->link);
}

/* on_closed of those that were closed; true when there was one. */
static inline bool fake_settle(struct fake *fake) {
    if (!fake->link.is_closing || fake->is_closed)
        return false;
    fake->is_closed = true;
    fake->link.events->on_closed(&fake->link);
    return true;
}

static inline struct span fake_written(const struct fake *fake) {
    return store_span(&fake->written);
}

/* ---- the host ---- */

static inline uint64_t world_now(struct session_host *host) {
    return ((struct world *)host)->now;
}

static inline void world_leave_line(struct backend_call *call) {
    *call->previous = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    call->previous = NULL;
}

static inline void world_answer(struct world *world, struct backend_call *call, char how) {
    if (how == 'e' || how == 'm') {
        call->on_dialed(call, how == 'e' ? -ECONNREFUSED : -EMFILE, NULL);
        return;
    }
    call->attempt++;
    struct fake *fake = world_fake(world);
    fake->link.events = call->events;
    fake->link.owner = call->owner;
    world->dialed = fake;
    fake->link.is_open = how == 'a';
    call->on_dialed(call, 0, &fake->link);
}

static inline void world_dial(struct session_host *host, struct backend_call *call) {
    struct world *world = (struct world *)host;
    world->dials++;
    DRIVER_MUST(call->previous == NULL);
    if (world->next_dial != 'l') {
        world_answer(world, call, world->next_dial);
        return;
    }
    call->next = world->waiting;
    call->previous = &world->waiting;
    if (call->next != NULL)
        call->next->previous = &call->next;
    world->waiting = call;
}

/* The name was found, or not. */
static inline void world_answer_waiting(struct world *world, char how) {
    struct backend_call *call = world->waiting;
    if (call == NULL)
        return;
    world_leave_line(call);
    world_answer(world, call, how);
}

static inline void world_report(struct session_host *host, const struct backend_call *call,
                                bool is_connected) {
    (void)call;
    struct world *world = (struct world *)host;
    *(is_connected ? &world->reports_good : &world->reports_bad) += 1;
}

static inline int world_work(struct session_host *host, struct loop_job *job) {
    struct world *world = (struct world *)host;
    if (world->work_fails)
        return -ENOMEM;
    DRIVER_MUST(world->job_count < sizeof world->jobs / sizeof world->jobs[0]);
    world->jobs[world->job_count++] = job;
    return 0;
}

/* The oldest job runs and is done. */
static inline void world_run_job(struct world *world) {
    if (world->job_count == 0)
        return;
    struct loop_job *job = world->jobs[0];
    memmove(world->jobs, world->jobs + 1, --world->job_count * sizeof world->jobs[0]);
    job->work(job);
    job->done(job);
}

static inline bool world_random(void *room, size_t size) {
    memset(room, 0x5A, size);
    return true;
}

static inline bool world_no_random(void *room, size_t size) {
    (void)room;
    (void)size;
    return false;
}

static inline void world_on_gone(struct session_host *host, size_t listener_index, bool was_crowded) {
    struct world *world = (struct world *)host;
    world->gone_crowded += was_crowded;
    DRIVER_MUST(listener_index == 0);
    world->gone++;
    DRIVER_MUST(world->gone <= world->begun);
}

/* Keeps the generation. */
static inline struct world *world_create(struct generation *generation) {
    static uint8_t *bytes, *scratch, *reply;
    static struct twins *twins; /* of all worlds, whose sessions must not find each other's */
    struct world *world = calloc(1, sizeof *world);
    DRIVER_MUST(world != NULL);
    if (bytes == NULL) {
        bytes = malloc(SESSION_BYTES_SIZE);
        scratch = malloc(INSPECT_SCRATCH_SIZE);
        reply = malloc(2 * (size_t)SESSION_OWED_MAX);
        twins = twins_create();
        DRIVER_MUST(bytes != NULL && scratch != NULL && reply != NULL && twins != NULL);
    }
    world->now = 1000000;
    world->next_dial = 'o';
    wheel_init(&world->wheel, world->now);
    world->host = (struct session_host){.wheel = &world->wheel,
                                        .now_ms = world_now,
                                        .tally = &world->tally,
                                        .meters = meters_create(),
                                        .generation = generation_keep(generation),
                                        .bytes = bytes,
                                        .scratch = scratch,
                                        .reply = reply,
                                        .twins = twins,
                                        .dial = world_dial,
                                        .report = world_report,
                                        .work = world_work,
                                        .random = world_random,
                                        .on_gone = world_on_gone};
    return world;
}

static inline void world_reload(struct world *world, struct generation *generation) {
    struct generation *old = world->host.generation;
    world->host.generation = generation_keep(generation);
    generation_drop(old);
}

/* Closes come through until none is left. */
static inline void world_settle(struct world *world) {
    for (bool is_busy = true; is_busy;) {
        is_busy = false;
        for (struct fake *fake = world->fakes; fake != NULL; fake = fake->next)
            is_busy = fake_settle(fake) || is_busy;
    }
}

static inline void world_advance(struct world *world, uint64_t ms) {
    for (uint64_t end = world->now + ms; world->now < end;) {
        world->now = end - world->now > 50 ? world->now + 50 : end;
        wheel_turn(&world->wheel, world->now);
    }
}

static inline uint64_t world_metric(const struct world *world, enum metric metric) {
    return tally_read(&world->tally.rows[metric]);
}

/* What reached this end must be whole packets of its version, each good for a strict reader; the last may be
 * cut short, since a connection can break anywhere. Gives the number of packets; `*last` is the last of them.
 */
static inline size_t packets_in(struct span bytes, enum mqtt_version version, enum mqtt_direction direction,
                                struct span *last) {
    size_t count = 0;
    *last = SPAN_NONE;
    while (bytes.size != 0) {
        struct mqtt_frame frame;
        enum violation violation = VIOLATION_NONE;
        enum mqtt_outcome outcome = whole_read(bytes, version, direction, &violation);
        if (outcome == MQTT_WRONG) {
            fprintf(stderr, "packet %zu to the %s is wrong: %s:", count,
                    direction == MQTT_TO_BROKER ? "broker" : "device", violation_rows[violation].name);
            for (size_t i = 0; i < bytes.size && i < 40; i++)
                fprintf(stderr, " %02x", bytes.at[i]);
            fprintf(stderr, "\n");
            fail_msg("a strict reader refuses it");
        }
        if (outcome == MQTT_MORE)
            break;
        bool is_connect = bytes.at[0] >> 4 == MQTT_CONNECT;
        DRIVER_MUST(is_connect == (direction == MQTT_TO_BROKER && count == 0));
        DRIVER_MUST(direction != MQTT_TO_DEVICE || count != 0 || bytes.at[0] >> 4 == MQTT_CONNACK ||
                    bytes.at[0] >> 4 == MQTT_AUTH);
        DRIVER_MUST(mqtt_frame_read(bytes, is_connect ? MQTT_VERSION_NONE : version, direction, &frame,
                                    &violation) == MQTT_WHOLE);
        *last = span_first(bytes, mqtt_frame_size(&frame));
        bytes = span_after(bytes, last->size);
        count++;
    }
    return count;
}

/* Everybody is gone, and nothing is left behind. */
static inline void world_destroy(struct world *world) {
    world_settle(world);
    DRIVER_MUST(world->job_count == 0 && world->waiting == NULL);
    DRIVER_MUST(world->gone == world->begun && world->gone_crowded == world->begun_crowded);
    DRIVER_MUST(world->host.first == NULL && world->host.count == 0);
    DRIVER_MUST(world->wheel.count == 0);
    DRIVER_MUST(world_metric(world, METRIC_connections_open) == 0);
    DRIVER_MUST(world_metric(world, METRIC_sessions_open) == 0);
    uint64_t ends = 0;
    for (size_t i = 0; i < TALLY_ENDS; i++)
        ends += tally_read(&world->tally.ends[i]);
    DRIVER_MUST(ends == world->begun);
    while (world->fakes != NULL) {
        struct fake *fake = world->fakes;
        DRIVER_MUST(fake->is_closed);
        world->fakes = fake->next;
        free(fake->in.at);
        free(fake->written.at);
        free(fake);
    }
    meters_destroy(world->host.meters);
    generation_drop(world->host.generation);
    free(world);
}

static inline struct fake *world_begin(struct world *world, bool is_open, bool is_crowded) {
    struct fake *device = world_fake(world);
    struct address address;
    DRIVER_MUST(address_read(&address, "192.0.2.7", 40000));
    device->link.is_open = is_open;
    world->begun++;
    world->begun_crowded += is_crowded;
    DRIVER_MUST(session_begin(&world->host, &device->link, &address, 0, is_crowded) != NULL);
    return device;
}

#endif
