/* inside: what the files of a bridge share: bridge.c, end.c, prepare.c, lane.c, intake.c, supply.c. */
#ifndef DRAWBRIDGE_BRIDGE_INSIDE_H
#define DRAWBRIDGE_BRIDGE_INSIDE_H

#include "base/rate.h"
#include "bridge/bridge.h"
#include "bridge/echo.h"
#include "bridge/password.h"
#include "bridge/profile.h"

/* ---- end: one side ----
 *
 *     RESTING --wanted--> PREPARING --the password is there--> CONNECTING --CONNACK--> SUBSCRIBING --all
 * answered--> UP ^                 ^     |                                 |                       | | | time
 * is up  |     | there is none                   +-----------------------+-------> CLOSING <-------+
 *        +-- not wanted -- WAITING <-----------------------------------------------------------------+
 *
 * PREPARING is passed at once, but where a command has the password (prepare.c).
 *
 * Every step but RESTING has a deadline. */
enum side { SIDE_LOCAL, SIDE_REMOTE };
enum end_state {
    END_RESTING,
    END_WAITING,
    END_CONNECTING,
    END_SUBSCRIBING,
    END_UP,
    END_CLOSING,
    END_PREPARING
};

/* Packet ids: rows of the queue have those below, which follow from their numbers; the rest is for what the
 * ends say. */
#define ID_OF_ROWS    65000
#define ID_OF_NOTICES 65501
#define ANSWERS_MAX   100 /* SUBSCRIBEs and UNSUBSCRIBEs that may wait for their answer at a time */

struct end {
    struct bridge *bridge;
    enum side side;
    enum end_state state;
    bool is_wanted;
    struct client client;
    struct deadline deadline;
    size_t place;  /* which of the addresses */
    unsigned rung; /* which protocol version, of those that are left to try */
    unsigned tried_rung;
    uint64_t backoff_ms, up_ms;
    uint32_t connection; /* grows with each CONNACK */
    uint32_t session;    /* grows when the broker had no session of ours */
    bool is_new_session;
    bool is_greeted, is_up_once; /* on this connection: CONNACK came; it was UP */
    bool was_up;                 /* in this process */
    bool is_hurried; /* to another version or address: at once, nothing is wrong with the broker */
    /* What the CONNACK and its refusals taught. */
    uint32_t receive_max, max_packet_size;
    uint8_t max_qos, will_qos;
    bool has_retain, has_no_local, has_subscription_ids, will_retain;
    uint16_t alias_max;
    /* SUBSCRIBING */
    size_t next_line;
    unsigned answers_due;
    uint16_t last_id, last_notice_id;
    struct echo *echo;   /* what was published to this side, where it has no No Local; NULL: it has */
    struct probe *probe; /* of the first address, while connected to another */
    uint8_t props[32];
    /* PREPARING, and what came of it */
    struct process *process;  /* of remote_password_command, while it runs */
    struct password password; /* from a file or a command; forgotten when the CONNECT is answered */
    int64_t last_expires_s;   /* of the password before */
    int64_t renew_s;          /* seconds since the epoch: connect anew then; 0: never */
};

void end_init(struct end *end, struct bridge *bridge, enum side side);
/* Connects when it rests, and stays connected. */
void end_want(struct end *end);
/* Leaves. */
void end_rest(struct end *end);
/* Before it leaves for good: takes its subscriptions back and ends its session, so that the broker does not
 * go on queueing for nobody. */
void end_forget(struct end *end);
/* Breaks the connection; it is tried again as long as it is wanted. */
void end_break(struct end *end, enum client_end why);
/* prepare.c: goes on with end_connect, or end_unprepared. */
void end_prepare(struct end *end);
void end_prepare_late(struct end *end); /* its time is up */
void end_prepare_cancel(struct end *end);
/* The password is about to expire, and the connection was broken over it. */
bool end_renews(struct end *end);
/* end.c, for prepare.c */
void end_enter_preparing(struct end *end, uint64_t timeout_ms);
void end_connect(struct end *end);
void end_unprepared(struct end *end, const char *words);
/* Subscribes anew, so that the local broker sends its retained messages. */
void end_subscribe_again(struct end *end);
/* The state message, retained: payload "1" or "0". */
void end_say_state(struct end *end, bool is_up);
/* Gone altogether: may be freed. */
bool end_is_idle(const struct end *end);
void end_clear(struct end *end);
static inline bool end_is_up(const struct end *end) {
    return end->state == END_UP;
}
static inline enum mqtt_version end_version(const struct end *end) {
    return end->client.wish.connect.version;
}

/* ---- supply: messages of a lane that are in memory, the next to go in front; the rest is on the disk alone
 * ---- */

#define SUPPLY_COUNT_MAX 256
#define SUPPLY_BYTES_MAX (4u * 1024 * 1024)

struct supply {
    struct message *first;
    size_t count, bytes;
    bool has_more; /* there are rows behind these on the disk */
    bool is_fetching;
    unsigned tag;         /* of the fetch; an answer with another tag is of an earlier life */
    int64_t above, up_to; /* numbers that belong here */
};

bool supply_has(const struct supply *supply, int64_t number);
/* A row that was just committed; given. */
void supply_offer(struct supply *supply, struct message *message, bool is_newest_first);
/* What a fetch brought; given. */
void supply_take(struct supply *supply, struct message *first, bool is_newest_first);
struct message *supply_pop(struct supply *supply);
void supply_remove(struct supply *supply, int64_t number);
/* Forgets what is in memory. */
void supply_clear(struct supply *supply);

/* ---- lane: one direction ---- */

enum flight_state {
    FLIGHT_SENT,
    FLIGHT_RELEASING, /* PUBREC came, the disk is told */
    FLIGHT_RELEASED,  /* PUBREL was sent, or is to be */
    FLIGHT_DELETING,  /* done; the disk is told, and the packet id still taken */
    FLIGHT_LOST,      /* sent on a connection that is gone: to be sent again, under its id */
};

struct flight {
    struct flight *next;
    int64_t number;
    uint64_t sent_ms;
    uint32_t session; /* of the target, in which it was sent */
    uint16_t packet_id;
    uint8_t qos;
    uint8_t state; /* enum flight_state */
};

struct lane_state {
    struct bridge *bridge;
    enum lane lane;
    struct end *source, *target;
    /* From the source */
    uint8_t *received; /* a bit per packet id: QoS 2, on the disk, PUBREL not seen yet */
    uint8_t *storing;  /* ... and on its way to the disk */
    size_t storing_count, storing_bytes;
    struct message *held, *last_held; /* not put: stop_reading */
    size_t held_count;
    /* To the target */
    struct supply supplies[2]; /* [0]: all, or the live ones; [1]: the backlog, where a drain rate is set */
    struct flight *flights, *last_flight;
    size_t open_count;   /* of them SENT, RELEASING or RELEASED */
    uint8_t *taken;      /* a bit per packet id: not free */
    bool is_running;     /* the target is up, and this lane serves it */
    unsigned careful;    /* so many messages go one by one, since a connection ended without any progress */
    int64_t suspect;     /* the number of the oldest that was unanswered when a connection ended; 0: none */
    unsigned strikes;    /* connections that ended over it */
    bool has_progress;   /* something was acknowledged on this connection */
    unsigned maybe_sent; /* so many of the first rows may have been sent before we were started */
    struct bucket count_bucket, bytes_bucket;
    struct deadline deadline; /* of the drain rate */
    int64_t last_number;      /* of the rows that are on the disk */
    uint64_t active_ms;
};

/* intake.c and lane.c, for each other */
void lane_send_qos0(struct lane_state *lane, const struct client_publish *publish);
void lane_supply(struct lane_state *lane, struct message *message);
void lane_stored(struct lane_state *lane, struct queue_answer *answer);
void lane_forgot(struct lane_state *lane, const struct queue_answer *answer);
/* Puts what was held back, as far as there is room again. */
void lane_let_go(struct lane_state *lane);

bool lane_init(struct lane_state *lane, struct bridge *bridge, enum lane which);
void lane_clear(struct lane_state *lane);
/* From the source's client. */
void lane_hear(struct lane_state *lane, const struct mqtt_publish *publish, struct span topic,
               struct span payload);
void lane_hear_release(struct lane_state *lane, uint16_t packet_id);
/* From the target's. */
void lane_hear_ack(struct lane_state *lane, enum mqtt_type type, uint16_t packet_id, uint8_t reason);
/* The target is connected (before it is up), is up, is gone. */
void lane_target_greeted(struct lane_state *lane);
void lane_target_up(struct lane_state *lane);
void lane_target_gone(struct lane_state *lane, enum client_end why);
/* The source is connected. */
void lane_source_greeted(struct lane_state *lane);
/* Sends what may be sent now. */
void lane_pump(struct lane_state *lane);
/* From the queue. The answer's message may be taken out of it. */
void lane_opened(struct lane_state *lane, struct queue_answer *answer);
void lane_answered(struct lane_state *lane, struct queue_answer *answer);
/* How long the oldest message waits for its acknowledgement. */
uint64_t lane_waiting_ms(const struct lane_state *lane, uint64_t now_ms);
/* Nothing is left to send; as far as the queue's depth goes, too. */
bool lane_is_drained(const struct lane_state *lane);

/* ---- the bridge itself ---- */

struct bridge {
    struct bridge_host *host;
    struct bridge_terms terms;
    struct bridge_terms pending;   /* of a reload, for the next connection */
    bool has_pending, has_changed; /* they are there; they say something else */
    struct bridge_tally *tally;
    struct queue *queue;
    struct queue_state queue_state; /* as it was last looked at */
    bool is_open;                   /* the queue */
    struct end ends[2];
    struct lane_state lanes[LANE_COUNT];
    struct span remote_username, remote_password; /* at NULL: none */
    uint8_t *scratch; /* SCRATCH_TOPIC + SCRATCH_PROPS: a mapped topic, then properties */
    bool is_stopping, is_draining;
    struct deadline deadline; /* once a second; at last, the farewell */
    void (*on_gone)(void *owner);
    void *owner;
};

#define SCRATCH_TOPIC 65536
#define SCRATCH_PROPS (256 * 1024)

/* What the ends tell. */
void bridge_end_greeted(struct end *end);
void bridge_end_up(struct end *end);
void bridge_end_gone(struct end *end, enum client_end why, bool was_open);
/* New terms, if there are any, before an end connects. Not under the feet of the other end, which uses the
 * old ones. False: it has to go first, and is on its way. */
bool bridge_take_terms(struct bridge *bridge, const struct end *end);

static inline struct lane_state *lane_from(struct end *end) {
    return &end->bridge->lanes[end->side == SIDE_LOCAL ? LANE_OUT : LANE_IN];
}
static inline struct lane_state *lane_to(struct end *end) {
    return &end->bridge->lanes[end->side == SIDE_LOCAL ? LANE_IN : LANE_OUT];
}
static inline void bridge_count(struct bridge *bridge, enum bridge_metric metric, int64_t amount) {
    uint64_t *row = &bridge->tally->rows[metric];
    __atomic_store_n(row, *row + (uint64_t)amount, __ATOMIC_RELAXED);
}
static inline void bridge_gauge(struct bridge *bridge, enum bridge_metric metric, uint64_t value) {
    __atomic_store_n(&bridge->tally->rows[metric], value, __ATOMIC_RELAXED);
}
static inline void lane_count(struct lane_state *lane, enum lane_metric metric) {
    uint64_t *row = &lane->bridge->tally->lanes[lane->lane][metric];
    __atomic_store_n(row, *row + 1, __ATOMIC_RELAXED);
}
static inline void lane_gauge(struct lane_state *lane, enum lane_metric metric, uint64_t value) {
    __atomic_store_n(&lane->bridge->tally->lanes[lane->lane][metric], value, __ATOMIC_RELAXED);
}

static inline bool bit_has(const uint8_t *bits, uint16_t id) {
    return (bits[id >> 3] >> (id & 7) & 1) != 0;
}
static inline void bit_set(uint8_t *bits, uint16_t id) {
    bits[id >> 3] = (uint8_t)(bits[id >> 3] | 1u << (id & 7));
}
static inline void bit_clear(uint8_t *bits, uint16_t id) {
    bits[id >> 3] = (uint8_t)(bits[id >> 3] & ~(1u << (id & 7)));
}
#define BITS_SIZE 8192

#endif
