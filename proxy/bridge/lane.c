/* From the queue to a target: what is sent, what is acknowledged, what is sent again. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "bridge/inside.h"

/* A fetch brings so many rows, and is asked for when fewer than half of that are left. */
#define FETCH_COUNT 256
#define FETCH_BYTES (2u * 1024 * 1024)
/* After a connection ended without progress so many messages go one at a time, so that the one that did it is
 * found. */
#define CAREFUL_COUNT 40
/* Messages in flight at most, whatever the other side allows. */
#define WINDOW_MAX 1024

static const struct conf_bridge *conf_of(const struct lane_state *lane) {
    return lane->bridge->terms.conf;
}

static bool is_newest_first(const struct lane_state *lane) {
    return conf_of(lane)->queue_order == CONF_ORDER_NEWEST_FIRST;
}

static uint64_t now_ms_of(const struct lane_state *lane) {
    return loop_now_ms(lane->bridge->host->loop);
}

static struct flight *find_flight(const struct lane_state *lane, int64_t number) {
    struct flight *one = lane->flights;
    while (one != NULL && one->number != number)
        one = one->next;
    return one;
}

/* ---- supplies ---- */

static int compare_numbers(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static void fetch(struct lane_state *lane, unsigned which) {
    struct supply *supply = &lane->supplies[which];
    int64_t skip[SUPPLY_COUNT_MAX + 1 + WINDOW_MAX];
    size_t count = 0;
    if (!lane->is_running || supply->is_fetching || !supply->has_more || supply->count >= FETCH_COUNT / 2)
        return;
    for (const struct message *one = supply->first; one != NULL; one = one->next)
        skip[count++] = one->number;
    for (const struct flight *one = lane->flights; one != NULL && count < sizeof skip / sizeof skip[0];
         one = one->next)
        if (one->state != FLIGHT_LOST)
            skip[count++] = one->number;
    qsort(skip, count, sizeof skip[0], compare_numbers);
    struct store_wish wish = {.lane = lane->lane,
                              .above = supply->above,
                              .up_to = supply->up_to,
                              .is_newest_first = is_newest_first(lane),
                              .count = FETCH_COUNT,
                              .bytes = FETCH_BYTES,
                              .skip = skip,
                              .skip_count = count};
    supply->is_fetching = queue_fetch(lane->bridge->queue, &wish, supply->tag << 1 | which);
}

static unsigned supply_of(const struct lane_state *lane, int64_t number) {
    return number <= lane->supplies[1].up_to ? 1 : 0;
}

void lane_supply(struct lane_state *lane, struct message *message) {
    struct supply *supply = &lane->supplies[supply_of(lane, message->number)];
    if (lane->is_running) {
        supply_offer(supply, message, is_newest_first(lane));
        return;
    }
    supply->has_more = true; /* it is on the disk; that is enough while nobody takes it */
    free(message);
}

/* A row that was put before the fetch and answered after it was asked may have been sent since. It has a
 * flight until it is gone from the disk, so it is known. */
static void leave_flying(const struct lane_state *lane, struct queue_answer *answer) {
    for (struct message **link = &answer->first; *link != NULL;) {
        struct message *one = *link;
        const struct flight *flight = find_flight(lane, one->number);
        if (flight == NULL || flight->state == FLIGHT_LOST) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        free(one);
    }
}

static void on_fetched(struct lane_state *lane, struct queue_answer *answer) {
    struct supply *supply = &lane->supplies[answer->tag & 1];
    if (answer->tag >> 1 != (supply->tag & (UINT32_MAX >> 1)))
        return; /* of an earlier connection; freed with the answer */
    supply->is_fetching = false;
    supply->has_more = answer->has_more;
    leave_flying(lane, answer);
    supply_take(supply, answer->first, is_newest_first(lane));
    answer->first = NULL;
}

/* ---- flights ---- */

static uint16_t id_of(int64_t number) {
    return (uint16_t)(number % ID_OF_ROWS + 1);
}

static bool is_open(const struct flight *flight) {
    return flight->state == FLIGHT_SENT || flight->state == FLIGHT_RELEASING ||
           flight->state == FLIGHT_RELEASED;
}

static void set_flight(struct lane_state *lane, struct flight *flight, enum flight_state state) {
    lane->open_count -= is_open(flight);
    flight->state = (uint8_t)state;
    lane->open_count += is_open(flight);
    lane_gauge(lane, LANE_METRIC_in_flight, lane->open_count);
}

static struct flight *find_open(const struct lane_state *lane, uint16_t packet_id) {
    struct flight *one = lane->flights;
    while (one != NULL && (one->packet_id != packet_id || !is_open(one)))
        one = one->next;
    return one;
}

static void append_flight(struct lane_state *lane, struct flight *flight) {
    flight->next = NULL;
    *(lane->flights == NULL ? &lane->flights : &lane->last_flight->next) = flight;
    lane->last_flight = flight;
}

static void unlink_flight(struct lane_state *lane, struct flight *flight) {
    struct flight *before = NULL;
    for (struct flight *one = lane->flights; one != flight; one = one->next)
        before = one;
    *(before == NULL ? &lane->flights : &before->next) = flight->next;
    if (lane->last_flight == flight)
        lane->last_flight = before;
}

static void end_flight(struct lane_state *lane, struct flight *flight) {
    set_flight(lane, flight, FLIGHT_DELETING); /* it does not count as open any more */
    bit_clear(lane->taken, flight->packet_id);
    unlink_flight(lane, flight);
    free(flight);
}

static struct flight *add_flight(struct lane_state *lane, int64_t number, uint8_t qos) {
    struct flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    *flight =
        (struct flight){.number = number, .qos = qos, .packet_id = id_of(number), .state = FLIGHT_DELETING};
    bit_set(lane->taken, flight->packet_id);
    append_flight(lane, flight);
    return flight;
}

/* A row that is done with goes from the disk; its packet id is free when it is gone. */
static void delete (struct lane_state *lane, struct flight *flight) {
    set_flight(lane, flight, FLIGHT_DELETING);
    if (!queue_delete(lane->bridge->queue, lane->lane, flight->number))
        end_break(lane->target, CLIENT_NO_MEMORY);
}

uint64_t lane_waiting_ms(const struct lane_state *lane, uint64_t now_ms) {
    uint64_t oldest_ms = now_ms;
    for (const struct flight *one = lane->flights; one != NULL; one = one->next)
        if ((one->state == FLIGHT_SENT || one->state == FLIGHT_RELEASED) && one->sent_ms < oldest_ms)
            oldest_ms = one->sent_ms;
    return now_ms - oldest_ms;
}

/* ---- sending ---- */

static size_t window_of(const struct lane_state *lane) {
    int32_t own = lane->bridge->terms.program->max_inflight_messages;
    size_t most = lane->target->receive_max,
           known = lane->lane == LANE_OUT ? profile_of(conf_of(lane))->inflight_max : 0;
    if (lane->careful != 0)
        return 1;
    if (own > 0 && (size_t)own < most)
        most = (size_t)own;
    if (known != 0 && known < most)
        most = known;
    return most > WINDOW_MAX ? WINDOW_MAX : most;
}

static void note_sent(struct lane_state *lane, const struct client_publish *publish) {
    lane_count(lane, LANE_METRIC_sent);
    if (lane->target->echo != NULL)
        echo_note(lane->target->echo, publish->topic, publish->payload, now_ms_of(lane));
}

/* As the target wants it; false: it takes no message of that size. */
static bool fit(struct lane_state *lane, struct client_publish *publish) {
    const struct end *target = lane->target;
    if (publish->qos > target->max_qos) {
        publish->qos = target->max_qos;
        lane_count(lane, LANE_METRIC_qos_lowered);
    }
    if (publish->retain && !target->has_retain) {
        publish->retain = false;
        lane_count(lane, LANE_METRIC_retain_cleared);
    }
    return target->max_packet_size == 0 ||
           client_publish_size(end_version(target), publish) <= target->max_packet_size;
}

void lane_send_qos0(struct lane_state *lane, const struct client_publish *wanted) {
    struct client_publish publish = *wanted;
    if (!fit(lane, &publish)) {
        lane_count(lane, LANE_METRIC_too_large);
        return;
    }
    char room[PROFILE_WORDS_SIZE];
    if (profile_judge(conf_of(lane), lane->lane, end_version(lane->target), &publish, room) != NULL) {
        lane_count(lane, LANE_METRIC_over_limits);
        return;
    }
    client_write_publish(&lane->target->client, &publish);
    note_sent(lane, &publish);
}

/* Out of the way, with a reason that stays beside it. */
static void bury(struct lane_state *lane, int64_t number, enum lane_metric metric, const char *reason) {
    lane_count(lane, metric);
    log_warning("Bridge %s: message %lld is a dead letter now: %s. See drawbridge queue inspect %s.",
                conf_of(lane)->name, (long long)number, reason, conf_of(lane)->name);
    if (!queue_bury(lane->bridge->queue, number, reason))
        end_break(lane->target, CLIENT_NO_MEMORY);
}

static void bury_unsent(struct lane_state *lane, const struct message *message, enum lane_metric metric,
                        const char *reason) {
    struct flight *lost = find_flight(lane, message->number);
    if (lost != NULL)
        end_flight(lane, lost);
    bury(lane, message->number, metric, reason);
}

static bool is_too_old(const struct lane_state *lane, const struct message *message, int64_t now_s) {
    int64_t most_s = (int64_t)(conf_of(lane)->queue_max_age_ms / 1000);
    return (message->expires_s != 0 && message->expires_s <= now_s) ||
           (most_s != 0 && message->came_s + most_s < now_s);
}

/* The flight of a message that is about to be sent: its old one, or a new one. NULL: memory is out. */
static struct flight *take_off(struct lane_state *lane, struct message *message, uint8_t qos) {
    struct flight *flight = find_flight(lane, message->number);
    if (flight != NULL) {
        message->is_repeated = true;
        unlink_flight(lane, flight);
        append_flight(lane, flight);
    } else {
        flight = add_flight(lane, message->number, qos);
    }
    if (lane->maybe_sent != 0) {
        lane->maybe_sent--;
        message->is_repeated = true;
    }
    if (flight == NULL)
        return NULL;
    flight->qos = qos;
    flight->sent_ms = now_ms_of(lane);
    flight->session = lane->target->session;
    return flight;
}

static void send_message(struct lane_state *lane, struct message *message) {
    int64_t now_s = time(NULL);
    struct client_publish publish = {.topic = message_topic(message),
                                     .props = message_props(message),
                                     .payload = message_payload(message),
                                     .qos = message->qos,
                                     .retain = message->retain,
                                     .has_expiry = message->expires_s != 0,
                                     .expiry_s = (uint32_t)(message->expires_s - now_s)};
    if (!fit(lane, &publish)) {
        bury_unsent(lane, message, LANE_METRIC_too_large, "it is larger than the other broker takes");
        return;
    }
    char room[PROFILE_WORDS_SIZE];
    const char *limit = profile_judge(conf_of(lane), lane->lane, end_version(lane->target), &publish, room);
    if (limit != NULL) {
        bury_unsent(lane, message, LANE_METRIC_over_limits, limit);
        return;
    }
    struct flight *flight = take_off(lane, message, publish.qos);
    if (flight == NULL) {
        end_break(lane->target, CLIENT_NO_MEMORY);
        return;
    }
    publish.packet_id = flight->packet_id;
    publish.dup = message->is_repeated;
    client_write_publish(&lane->target->client, &publish);
    note_sent(lane, &publish);
    if (message->is_repeated)
        lane_count(lane, LANE_METRIC_repeated);
    if (publish.qos == 0)
        delete (lane, flight);
    else
        set_flight(lane, flight, FLIGHT_SENT);
}

/* The drain rate holds back the backlog; false: not yet, and the deadline is set. */
static bool may_drain(struct lane_state *lane, const struct message *message) {
    const struct rate *count = &conf_of(lane)->drain_rate, *bytes = &conf_of(lane)->drain_bytes_rate;
    uint64_t now_ms = now_ms_of(lane), size = message_size(message), wait_ms = 0, more_ms = 0;
    if (rate_is_set(count))
        wait_ms = bucket_wait_ms(&lane->count_bucket, count, 1, now_ms);
    if (rate_is_set(bytes)) /* one that is larger than the burst waits for a full bucket, and leaves a debt */
        more_ms = bucket_wait_ms(&lane->bytes_bucket, bytes, size, now_ms);
    wait_ms = more_ms > wait_ms ? more_ms : wait_ms;
    if (wait_ms != 0) {
        wheel_set(loop_wheel(lane->bridge->host->loop), &lane->deadline, now_ms + wait_ms);
        return false;
    }
    if (rate_is_set(count))
        bucket_charge(&lane->count_bucket, count, 1, now_ms);
    if (rate_is_set(bytes))
        bucket_charge(&lane->bytes_bucket, bytes, size, now_ms);
    return true;
}

/* Can it be taken now? A packet id is free again when the row that had it is gone from the disk. */
static bool may_send(const struct lane_state *lane, const struct message *message) {
    const struct flight *own = find_flight(lane, message->number);
    return own != NULL ? own->state == FLIGHT_LOST : !bit_has(lane->taken, id_of(message->number));
}

/* The next message, live ones first; NULL: none, or not now. */
static struct message *next_message(struct lane_state *lane) {
    for (unsigned which = 0; which < 2; which++) {
        struct supply *supply = &lane->supplies[which];
        const struct message *first = supply->first;
        if (first != NULL && may_send(lane, first) && (which == 0 || may_drain(lane, first)))
            return supply_pop(supply);
    }
    return NULL;
}

void lane_pump(struct lane_state *lane) {
    int64_t now_s = time(NULL);
    size_t window = window_of(lane);
    while (lane->is_running && lane->open_count < window && !client_is_congested(&lane->target->client)) {
        struct message *message = next_message(lane);
        if (message == NULL)
            break;
        lane->active_ms = now_ms_of(lane);
        if (!is_too_old(lane, message, now_s)) {
            send_message(lane, message);
        } else {
            struct flight *lost = find_flight(lane, message->number);
            if (lost != NULL)
                end_flight(lane, lost);
            lane_count(lane, LANE_METRIC_dropped_aged);
            (void)queue_delete(lane->bridge->queue, lane->lane, message->number);
        }
        free(message);
    }
    fetch(lane, 0);
    fetch(lane, 1);
}

static void on_due(struct deadline *deadline, uint64_t now_ms) {
    struct lane_state *lane = (struct lane_state *)((char *)deadline - offsetof(struct lane_state, deadline));
    (void)now_ms;
    lane_pump(lane);
    client_flush(&lane->target->client);
}

/* ---- acknowledgements ---- */

static void progress(struct lane_state *lane) {
    lane->has_progress = true;
    lane->careful -= lane->careful != 0;
}

/* The other side has it. */
static void arrive(struct lane_state *lane, struct flight *flight) {
    lane_count(lane, LANE_METRIC_acknowledged);
    progress(lane);
    delete (lane, flight);
}

static void refuse(struct lane_state *lane, struct flight *flight, uint8_t reason) {
    char words[128];
    snprintf(words, sizeof words, "the other broker refuses it: %s", mqtt_reason_words(reason));
    int64_t number = flight->number;
    progress(lane);
    set_flight(lane, flight, FLIGHT_DELETING); /* the burial's answer frees it */
    bury(lane, number, LANE_METRIC_refused, words);
}

static void hear_rec(struct lane_state *lane, struct flight *flight, uint16_t packet_id, uint8_t reason) {
    if (flight == NULL)
        client_write_ack(&lane->target->client, MQTT_PUBREL, packet_id, MQTT_REASON_SUCCESS);
    else if (flight->state == FLIGHT_RELEASED)
        client_write_ack(&lane->target->client, MQTT_PUBREL, packet_id, MQTT_REASON_SUCCESS);
    else if (flight->state != FLIGHT_SENT || flight->qos != 2)
        return;
    else if (reason >= 0x80)
        refuse(lane, flight, reason);
    else {
        progress(lane);
        set_flight(lane, flight, FLIGHT_RELEASING);
        if (!queue_release(lane->bridge->queue, flight->number))
            end_break(lane->target, CLIENT_NO_MEMORY);
    }
}

void lane_hear_ack(struct lane_state *lane, enum mqtt_type type, uint16_t packet_id, uint8_t reason) {
    struct flight *flight = find_open(lane, packet_id);
    if (type == MQTT_PUBREC) {
        hear_rec(lane, flight, packet_id, reason);
    } else if (flight == NULL) {
        return;
    } else if (type == MQTT_PUBACK && flight->state == FLIGHT_SENT && flight->qos == 1) {
        if (reason >= 0x80)
            refuse(lane, flight, reason);
        else
            arrive(lane, flight);
    } else if (type == MQTT_PUBCOMP && flight->state == FLIGHT_RELEASED) {
        arrive(lane,
               flight); /* with "packet identifier not found" as well: it was released, so it was there */
    }
}

/* ---- the target comes and goes ---- */

/* What was published and is acknowledged as received needs its PUBREL; in another session nobody waits for
 * that any more. */
static void release(struct lane_state *lane, struct flight *flight) {
    if (flight->session != lane->target->session) {
        lane_count(lane, LANE_METRIC_acknowledged);
        delete (lane, flight);
        return;
    }
    flight->sent_ms = now_ms_of(lane);
    client_write_ack(&lane->target->client, MQTT_PUBREL, flight->packet_id, MQTT_REASON_SUCCESS);
}

void lane_target_greeted(struct lane_state *lane) {
    struct flight *next;
    lane->has_progress = false;
    for (struct flight *one = lane->flights; one != NULL; one = next) {
        next = one->next;
        if (!lane->target->is_new_session) /* also for those of an earlier process */
            one->session = lane->target->session;
        if (one->state == FLIGHT_RELEASED)
            release(lane, one);
        else if (one->state == FLIGHT_LOST && lane->target->is_new_session)
            end_flight(lane, one); /* the broker knows nothing of it: it is sent as new */
    }
    if (lane->target->is_new_session)
        lane->maybe_sent = 0;
}

void lane_target_up(struct lane_state *lane) {
    const struct conf_bridge *conf = conf_of(lane);
    bool has_rate =
        lane->lane == LANE_OUT && (rate_is_set(&conf->drain_rate) || rate_is_set(&conf->drain_bytes_rate));
    int64_t last = lane->last_number;
    lane->is_running = lane->bridge->is_open;
    for (unsigned which = 0; which < 2; which++) {
        supply_clear(&lane->supplies[which]);
        lane->supplies[which].has_more = true;
    }
    lane->supplies[0].above = has_rate ? last : 0;
    lane->supplies[0].up_to = INT64_MAX;
    lane->supplies[1].above = 0;
    lane->supplies[1].up_to = has_rate ? last : 0;
    lane->supplies[1].has_more = has_rate;
    lane_pump(lane);
}

/* The connection ended with messages unanswered: the oldest of them may be what the broker cannot bear. It is
 * sent alone then, and given up on when that ends so too. Where others got through, ahead of it by their
 * priority or because they are live, it is suspected when it was the oldest at the end before as well. Its
 * number is what we remember: in a new session it has another flight. */
static void suspect(struct lane_state *lane, enum client_end why) {
    struct flight *oldest = lane->flights;
    bool is_theirs = why == CLIENT_CLOSED || why == CLIENT_DISCONNECTED;
    while (oldest != NULL && oldest->state != FLIGHT_SENT)
        oldest = oldest->next;
    if (oldest == NULL || !is_theirs || conf_of(lane)->dead_letter_after == 0)
        return;
    bool was_alone = lane->careful != 0, is_known = oldest->number == lane->suspect;
    if (!is_known)
        lane->strikes = 0;
    lane->suspect = oldest->number;
    if (!was_alone && !is_known && lane->has_progress)
        return;
    lane->careful = CAREFUL_COUNT;
    lane->strikes++;
    if (!was_alone || lane->strikes < (unsigned)conf_of(lane)->dead_letter_after)
        return;
    set_flight(lane, oldest, FLIGHT_DELETING);
    bury(lane, oldest->number, LANE_METRIC_poisonous,
         "the other broker ended the connection over it, again and again");
}

void lane_target_gone(struct lane_state *lane, enum client_end why) {
    lane->is_running = false;
    wheel_cancel(loop_wheel(lane->bridge->host->loop), &lane->deadline);
    suspect(lane, why);
    for (struct flight *one = lane->flights; one != NULL; one = one->next)
        if (one->state == FLIGHT_SENT)
            set_flight(lane, one, FLIGHT_LOST);
    for (unsigned which = 0; which < 2; which++) {
        supply_clear(&lane->supplies[which]);
        lane->supplies[which].has_more = true;
    }
}

/* ---- the queue's answers ---- */

void lane_opened(struct lane_state *lane, struct queue_answer *answer) {
    for (struct message **link = &answer->first; *link != NULL;) {
        struct message *one = *link;
        if (one->lane != lane->lane) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        struct flight *flight =
            find_flight(lane, one->number) == NULL ? add_flight(lane, one->number, 2) : NULL;
        if (flight != NULL)
            set_flight(lane, flight, FLIGHT_RELEASED);
        free(one);
    }
    if (answer->received[lane->lane] != NULL)
        memcpy(lane->received, answer->received[lane->lane], BITS_SIZE);
    lane->last_number = answer->last_number;
    lane->maybe_sent = answer->is_new ? 0 : WINDOW_MAX;
}

static void on_released(struct lane_state *lane, int64_t number) {
    struct flight *flight = find_flight(lane, number);
    if (flight == NULL || flight->state != FLIGHT_RELEASING)
        return;
    set_flight(lane, flight, FLIGHT_RELEASED);
    flight->sent_ms = now_ms_of(lane);
    if (client_is_open(&lane->target->client))
        release(lane, flight);
}

static void on_row_gone(struct lane_state *lane, int64_t number) {
    struct flight *flight = find_flight(lane, number);
    if (flight != NULL && flight->state == FLIGHT_DELETING)
        end_flight(lane, flight);
}

/* By overflow or age: what is under way goes on, what is not is forgotten. */
static void on_dropped(struct lane_state *lane, const struct queue_answer *answer) {
    struct flight *flight = find_flight(lane, answer->number);
    lane_count(lane, answer->is_aged ? LANE_METRIC_dropped_aged : LANE_METRIC_dropped_overflow);
    supply_remove(&lane->supplies[supply_of(lane, answer->number)], answer->number);
    if (flight != NULL && flight->state == FLIGHT_LOST)
        end_flight(lane, flight);
}

void lane_answered(struct lane_state *lane, struct queue_answer *answer) {
    switch (answer->kind) {
    case QUEUE_PUT:
        if (answer->first->number > lane->last_number)
            lane->last_number = answer->first->number;
        lane_stored(lane, answer);
        break;
    case QUEUE_RELEASE: on_released(lane, answer->number); break;
    case QUEUE_DELETE:
    case QUEUE_BURY: on_row_gone(lane, answer->number); break;
    case QUEUE_FORGET: lane_forgot(lane, answer); break;
    case QUEUE_FETCH: on_fetched(lane, answer); break;
    case QUEUE_DROPPED: on_dropped(lane, answer); break;
    case QUEUE_OPENED:
    case QUEUE_FORGET_ALL: break;
    }
}

bool lane_is_drained(const struct lane_state *lane) {
    return lane->bridge->queue_state.depth[lane->lane].count == 0 && lane->storing_count == 0 &&
           lane->open_count == 0;
}

/* ---- begin and end ---- */

bool lane_init(struct lane_state *lane, struct bridge *bridge, enum lane which) {
    *lane = (struct lane_state){.bridge = bridge,
                                .lane = which,
                                .source = &bridge->ends[which == LANE_OUT ? SIDE_LOCAL : SIDE_REMOTE],
                                .target = &bridge->ends[which == LANE_OUT ? SIDE_REMOTE : SIDE_LOCAL],
                                .received = calloc(1, BITS_SIZE),
                                .storing = calloc(1, BITS_SIZE),
                                .taken = calloc(1, BITS_SIZE)};
    lane->deadline.on_due = on_due;
    lane->supplies[0].up_to = INT64_MAX;
    return lane->received != NULL && lane->storing != NULL && lane->taken != NULL;
}

void lane_clear(struct lane_state *lane) {
    wheel_cancel(loop_wheel(lane->bridge->host->loop), &lane->deadline);
    for (unsigned which = 0; which < 2; which++)
        supply_clear(&lane->supplies[which]);
    while (lane->flights != NULL) {
        struct flight *flight = lane->flights;
        lane->flights = flight->next;
        free(flight);
    }
    while (lane->held != NULL) {
        struct message *message = lane->held;
        lane->held = message->next;
        free(message);
    }
    free(lane->received);
    free(lane->storing);
    free(lane->taken);
}
