/* driver: feeds both ways of an inspector as a session does: what is incomplete is held, what is judged goes
 * out, answers come back to the sender. It watches the cursors all the time and fails the test (or the fuzz
 * run) when they lie. */
#ifndef TEST_UNIT_INSPECT_DRIVER_H
#define TEST_UNIT_INSPECT_DRIVER_H

#include <stdio.h>
#include <stdlib.h>

#include "inspect/inspector.h"
#include "inspect/twins.h"

#define DRIVER_ROOM  (512u * 1024)
#define DRIVER_REPLY (128u * 1024)

#define DRIVER_MUST(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* Bytes that grow. */
struct store {
    uint8_t *at;
    size_t size, room;
};

static inline void store_add(struct store *store, struct span bytes) {
    if (bytes.size == 0)
        return;
    if (store->room - store->size < bytes.size) {
        store->room = 2 * store->room + bytes.size;
        store->at = realloc(store->at, store->room);
        DRIVER_MUST(store->at != NULL);
    }
    memcpy(store->at + store->size, bytes.at, bytes.size);
    store->size += bytes.size;
}

static inline struct span store_span(const struct store *store) {
    return span_of(store->at, store->size);
}

struct driver_way {
    struct store held;          /* not judged yet */
    struct store out;           /* what left towards the receiver */
    struct store answers;       /* what went back to the sender */
    size_t need;                /* as the inspector said */
    size_t held_max;            /* the most that was ever held back */
    size_t flush_count;         /* how often it wanted to be called again with room */
    size_t look_count;          /* how often it was called at all */
    enum inspect_result result; /* the last one that was not CONNECT or STARTED */
};

struct driver {
    struct inspector inspector;
    struct tally tally;
    struct mqtt_connect connect;
    struct driver_way ways[2]; /* by enum mqtt_direction: from_device is MQTT_TO_BROKER */
    size_t spare;              /* room behind the bytes at hand; DRIVER_ROOM in all unless less is wanted */
    bool is_lazy;              /* does not look before `need` bytes are there, as a session */
    bool has_no_twins;         /* is lent no table of them */
    unsigned connects, starts; /* how often these results came */
    unsigned refusals;         /* on_refused was called */
    struct inspect_refusal refusal; /* the last one, without its topic */
    char refused_topic[128];
    uint8_t *bytes, *scratch, *reply;
};

static inline void driver_on_refused(void *owner, const struct inspect_refusal *refusal) {
    struct driver *driver = owner;
    driver->refusals++;
    driver->refusal = *refusal;
    snprintf(driver->refused_topic, sizeof driver->refused_topic, "%.*s", SPAN_PRINT(refusal->topic));
    driver->refusal.topic = SPAN_NONE;
}

static inline struct inspect_limits driver_no_limits(void) {
    return (struct inspect_limits){.max_qos = 2,
                                   .retain_available = true,
                                   .max_topic_alias = 65535,
                                   .wildcard_subscriptions = true,
                                   .shared_subscriptions = true,
                                   .subscription_identifiers = true};
}

/* The big rooms are made once and used by one driver after the other. */
struct driver_rooms {
    uint8_t *bytes, *scratch, *reply;
};
static struct driver_rooms driver_spare_rooms;

/* One for all drivers, as the sessions of a worker have it: what one of them may do must be of no use to
 * another. */
static struct twins *driver_twins;

static inline void driver_take_rooms(struct driver *driver) {
    if (driver_twins == NULL)
        driver_twins = twins_create();
    DRIVER_MUST(driver_twins != NULL);
    struct driver_rooms rooms = driver_spare_rooms;
    driver_spare_rooms = (struct driver_rooms){NULL, NULL, NULL};
    if (rooms.bytes == NULL)
        rooms =
            (struct driver_rooms){malloc(DRIVER_ROOM), malloc(INSPECT_SCRATCH_SIZE), malloc(DRIVER_REPLY)};
    DRIVER_MUST(rooms.bytes != NULL && rooms.scratch != NULL && rooms.reply != NULL);
    driver->bytes = rooms.bytes;
    driver->scratch = rooms.scratch;
    driver->reply = rooms.reply;
}

static inline struct driver *driver_create(const struct inspect_limits *limits, const struct acl *acl) {
    struct driver *driver = calloc(1, sizeof *driver);
    DRIVER_MUST(driver != NULL);
    inspector_init(&driver->inspector, limits, &driver->tally);
    acl_bind(&driver->inspector.acl, acl, (struct acl_identity){.client_id = SPAN_LITERAL("dev")});
    driver->inspector.on_refused = driver_on_refused;
    driver->inspector.owner = driver;
    driver->inspector.connect = &driver->connect;
    driver->spare = DRIVER_ROOM;
    driver->is_lazy = true;
    driver->ways[0].result = driver->ways[1].result = INSPECT_MORE;
    driver_take_rooms(driver);
    return driver;
}

static inline void driver_destroy(struct driver *driver) {
    inspector_clear(&driver->inspector);
    for (size_t i = 0; i < 2; i++) {
        free(driver->ways[i].held.at);
        free(driver->ways[i].out.at);
        free(driver->ways[i].answers.at);
    }
    if (driver_spare_rooms.bytes != NULL) {
        free(driver->bytes);
        free(driver->scratch);
        free(driver->reply);
    } else {
        driver_spare_rooms = (struct driver_rooms){driver->bytes, driver->scratch, driver->reply};
    }
    free(driver);
}

static inline bool driver_is_over(enum inspect_result result) {
    return result == INSPECT_GOODBYE || result == INSPECT_WRONG || result == INSPECT_REFUSED ||
           result == INSPECT_TOO_FAST || result == INSPECT_NO_MEMORY;
}

/* One call of the inspector with all cursors watched. */
static inline enum inspect_result driver_look(struct driver *driver, enum mqtt_direction direction,
                                              struct inspect_bytes *bytes) {
    struct driver_way *way = &driver->ways[direction];
    struct writer reply = writer_of(driver->reply, DRIVER_REPLY);
    size_t scanned = bytes->scanned;
    enum inspect_result result = direction == MQTT_TO_BROKER
                                     ? inspect_from_device(&driver->inspector, bytes, &reply)
                                     : inspect_from_broker(&driver->inspector, bytes, &reply);
    way->look_count++;
    DRIVER_MUST(bytes->judged <= bytes->scanned && bytes->scanned <= bytes->filled &&
                bytes->filled <= bytes->size && bytes->scanned >= scanned);
    DRIVER_MUST(result != INSPECT_NEXT && !reply.is_full);
    DRIVER_MUST(result != INSPECT_MORE || bytes->need > bytes->filled - bytes->scanned);
    DRIVER_MUST((result == INSPECT_WRONG) == (driver->inspector.violation != VIOLATION_NONE));
    store_add(&way->out, span_of(bytes->at, bytes->judged));
    store_add(&way->answers, writer_span(&reply));
    return result;
}

/* Judges what is held. Gives INSPECT_MORE, INSPECT_PAUSE or the end of this way. */
static inline enum inspect_result driver_run(struct driver *driver, enum mqtt_direction direction) {
    struct driver_way *way = &driver->ways[direction];
    size_t filled = way->held.size;
    /* Little room is room of its own, so that a byte written or read too far is seen. */
    bool is_small = driver->spare != DRIVER_ROOM;
    struct inspect_bytes bytes = {.at = driver->bytes,
                                  .size = is_small ? filled + driver->spare : DRIVER_ROOM,
                                  .scratch = driver->scratch,
                                  .scratch_size = INSPECT_SCRATCH_SIZE,
                                  .twins = driver->has_no_twins ? NULL : driver_twins};
    DRIVER_MUST(bytes.size >= filled);
    if (is_small)
        bytes.at = malloc(bytes.size + 1);
    DRIVER_MUST(bytes.at != NULL);
    if (filled != 0)
        memcpy(bytes.at, way->held.at, filled);
    bytes.filled = filled;
    for (;;) {
        way->result = driver_look(driver, direction, &bytes);
        if (way->result == INSPECT_CONNECT) {
            /* A session judges it and sends it on; here it goes on as it came. */
            DRIVER_MUST(bytes.judged == 0 && driver->connects++ == 0);
            store_add(&way->out, span_of(bytes.at, bytes.scanned));
        } else if (way->result == INSPECT_STARTED) {
            DRIVER_MUST(driver->starts++ == 0);
        } else if (way->result == INSPECT_FLUSH) {
            /* There must have been something to send, or nothing will ever change. */
            DRIVER_MUST(bytes.scanned != 0 || is_small);
            way->flush_count++;
        } else {
            break;
        }
        bool is_stuck = way->result == INSPECT_FLUSH && bytes.scanned == 0;
        memmove(bytes.at, bytes.at + bytes.scanned, bytes.filled - bytes.scanned);
        bytes.filled -= bytes.scanned;
        bytes.judged = bytes.scanned = 0;
        if (is_stuck) { /* a session that sent everything would have more room by now: give it */
            bytes.size += 65536 + INSPECT_HELD_MAX;
            bytes.at = realloc(bytes.at, bytes.size);
            DRIVER_MUST(bytes.at != NULL);
        }
    }
    way->need = way->result == INSPECT_MORE ? bytes.need : 0;
    way->held.size = 0;
    store_add(&way->held, span_of(bytes.at + bytes.scanned, bytes.filled - bytes.scanned));
    if (way->held.size > way->held_max)
        way->held_max = way->held.size;
    if (is_small)
        free(bytes.at);
    return way->result;
}

static inline enum inspect_result driver_feed(struct driver *driver, enum mqtt_direction direction,
                                              struct span bytes) {
    struct driver_way *way = &driver->ways[direction];
    if (driver_is_over(way->result))
        return way->result;
    unsigned starts = driver->starts;
    store_add(&way->held, bytes);
    if (driver->is_lazy && way->held.size < way->need)
        return way->result;
    enum inspect_result result = driver_run(driver, direction);
    /* The CONNACK is through: what the device sent early may go now. */
    if (driver->starts != starts && driver->ways[MQTT_TO_BROKER].result == INSPECT_PAUSE)
        driver_run(driver, MQTT_TO_BROKER);
    return result;
}

/* A small generator of our own, so that a seed means the same everywhere. */
static inline uint32_t driver_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Feeds in pieces of 1 to `most` bytes. */
static inline enum inspect_result driver_feed_chopped(struct driver *driver, enum mqtt_direction direction,
                                                      struct span bytes, uint64_t *seed, size_t most) {
    enum inspect_result result = driver->ways[direction].result;
    while (bytes.size != 0) {
        size_t size = 1 + driver_random(seed) % most;
        if (size > bytes.size)
            size = bytes.size;
        result = driver_feed(driver, direction, span_first(bytes, size));
        bytes = span_after(bytes, size);
    }
    return result;
}

/* Forgets what went out so far. */
static inline void driver_forget(struct driver *driver) {
    for (size_t i = 0; i < 2; i++)
        driver->ways[i].out.size = driver->ways[i].answers.size = 0;
}

static inline struct span driver_out(const struct driver *driver, enum mqtt_direction direction) {
    return store_span(&driver->ways[direction].out);
}

static inline struct span driver_answers(const struct driver *driver, enum mqtt_direction direction) {
    return store_span(&driver->ways[direction].answers);
}

#endif
