/* From a source into the queue: what came is named anew, put, and acknowledged when it is committed. */
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "bridge/inside.h"
#include "mqtt/topic.h"

/* Not on the disk yet. The source's window bounds them; this is for brokers that know none. */
#define STORING_COUNT_MAX 4096
#define STORING_BYTES_MAX (64u * 1024 * 1024)

/* ---- reading more, or not ---- */

static bool is_clogged(const struct lane_state *lane) {
    return lane->storing_count >= STORING_COUNT_MAX || lane->storing_bytes >= STORING_BYTES_MAX;
}

static void watch_source(struct lane_state *lane) {
    client_read(&lane->source->client, !is_clogged(lane));
}

/* ---- acknowledging ---- */

/* To a connection of the same session for QoS 2: the id is ours until the PUBREL. For QoS 1 to the same
 * connection only: on another one the broker sends the message again, and may use its id for another one once
 * that is acknowledged. */
static void acknowledge(struct lane_state *lane, const struct message *message, uint8_t source_qos) {
    struct end *source = lane->source;
    if (source_qos == 1 && message->source_connection == source->connection)
        client_write_ack(&source->client, MQTT_PUBACK, message->source_packet_id, MQTT_REASON_SUCCESS);
    else if (source_qos == 2 && message->source_session == source->session)
        client_write_ack(&source->client, MQTT_PUBREC, message->source_packet_id, MQTT_REASON_SUCCESS);
}

/* What is left out is acknowledged like any other. */
static void leave_out(struct lane_state *lane, const struct mqtt_publish *publish, enum lane_metric metric) {
    lane_count(lane, metric);
    if (publish->qos != 0)
        client_write_ack(&lane->source->client, publish->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
                         publish->packet_id, MQTT_REASON_SUCCESS);
}

/* ---- a message ---- */

/* All properties but those that belong to one connection, and the expiry, which shrinks with time
 * (MQTT 5.0 3.3.2.3). */
static struct span keep_props(struct lane_state *lane, const struct mqtt_publish *publish) {
    struct writer writer = writer_of(lane->bridge->scratch + SCRATCH_TOPIC, SCRATCH_PROPS);
    struct reader block = reader_of(publish->props.raw);
    struct mqtt_prop_item item;
    if (publish->props.present == 0)
        return SPAN_NONE;
    while (mqtt_props_next(&block, &item))
        if (item.prop != MQTT_PROP_TOPIC_ALIAS && item.prop != MQTT_PROP_SUBSCRIPTION_IDENTIFIER &&
            item.prop != MQTT_PROP_MESSAGE_EXPIRY_INTERVAL)
            writer_bytes(&writer, item.whole);
    return writer_span(&writer);
}

static int16_t priority_of(const struct lane_state *lane, struct span topic) {
    const struct conf_priority *one = lane->bridge->terms.conf->queue_priority;
    for (; one != NULL; one = one->next)
        if (mqtt_topic_matches(span_of_text(one->filter), topic))
            return one->priority;
    return 0;
}

static struct message *make_message(struct lane_state *lane, const struct mqtt_publish *publish,
                                    struct span topic, struct span mapped, struct span payload) {
    const struct bridge_terms *terms = &lane->bridge->terms;
    struct message *message = message_create(mapped, keep_props(lane, publish), payload);
    if (message == NULL)
        return NULL;
    message->lane = (uint8_t)lane->lane;
    message->qos = publish->qos;
    if (terms->program->upgrade_outgoing_qos)
        message->qos = routes_qos(terms->routes, lane->lane, topic);
    message->retain = publish->retain && (lane->lane == LANE_IN || terms->conf->bridge_outgoing_retain);
    message->came_s = time(NULL);
    if (mqtt_props_has(&publish->props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL) && publish->props.present != 0)
        message->expires_s = message->came_s + publish->props.number[MQTT_PROP_MESSAGE_EXPIRY_INTERVAL];
    message->priority = priority_of(lane, topic);
    message->source_connection = lane->source->connection;
    message->source_session = lane->source->session;
    message->source_packet_id = publish->packet_id;
    message->source_id = publish->qos == 2 ? publish->packet_id : 0;
    return message;
}

static void out_of_memory(struct lane_state *lane) {
    log_error("Bridge %s: memory is out: the connection is given up, so that the message comes again.",
              lane->bridge->terms.conf->name);
    end_break(lane->source, CLIENT_NO_MEMORY);
}

/* Over to the disk. */
static void store(struct lane_state *lane, struct message *message) {
    size_t size = message_size(message);
    if (message->source_id != 0)
        bit_set(lane->storing, message->source_id);
    lane->storing_count++;
    lane->storing_bytes += size;
    if (!queue_put(lane->bridge->queue, message)) {
        lane->storing_count--;
        lane->storing_bytes -= size;
        out_of_memory(lane);
    }
    if (is_clogged(lane))
        watch_source(lane);
}

/* stop_reading: what is not acknowledged fills the source's window, and it stops by itself. */
static bool must_hold(const struct lane_state *lane) {
    struct bridge *bridge = lane->bridge;
    if (bridge->terms.conf->queue_overflow != CONF_OVERFLOW_STOP_READING)
        return false;
    if (lane->held != NULL)
        return true;
    queue_look(bridge->queue, &bridge->queue_state); /* what was put since the last answers counts as well */
    return bridge->queue_state.is_full;
}

static void hold(struct lane_state *lane, struct message *message) {
    message->next = NULL;
    *(lane->held == NULL ? &lane->held : &lane->last_held->next) = message;
    lane->last_held = message;
    lane->held_count++;
    lane->storing_count++;
    lane->storing_bytes += message_size(message);
    if (message->source_id != 0)
        bit_set(lane->storing, message->source_id);
    if (is_clogged(lane))
        watch_source(lane);
}

void lane_let_go(struct lane_state *lane) {
    while (lane->held != NULL) {
        struct message *message = lane->held;
        lane->held = NULL; /* so that must_hold asks for the room alone */
        bool is_full = must_hold(lane);
        lane->held = message;
        if (is_full)
            return;
        lane->held = message->next;
        lane->held_count--;
        lane->storing_count--;
        lane->storing_bytes -= message_size(message);
        store(lane, message);
    }
}

static bool is_queueing_offline(const struct lane_state *lane) {
    const struct conf_bridge *conf = lane->bridge->terms.conf;
    return lane->is_running || !(lane->lane == LANE_OUT ? conf->local_cleansession : conf->cleansession);
}

/* QoS 0 goes straight across. */
static void hear_qos0(struct lane_state *lane, const struct mqtt_publish *publish, struct span topic,
                      struct span mapped, struct span payload) {
    const struct bridge_terms *terms = &lane->bridge->terms;
    bool is_raised =
        terms->program->upgrade_outgoing_qos && routes_qos(terms->routes, lane->lane, topic) != 0;
    bool is_lazy = terms->conf->start_type == CONF_START_LAZY && lane->lane == LANE_OUT;
    bool is_queued = is_raised || terms->program->queue_qos0_messages || (is_lazy && !lane->is_running);
    if (!is_raised && lane->is_running && !client_is_congested(&lane->target->client)) {
        bool has_retain = publish->retain && (lane->lane == LANE_IN || terms->conf->bridge_outgoing_retain);
        bool has_expiry =
            publish->props.present != 0 && mqtt_props_has(&publish->props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
        const struct client_publish out = {
            .topic = mapped,
            .props = keep_props(lane, publish),
            .payload = payload,
            .retain = has_retain,
            .has_expiry = has_expiry,
            .expiry_s = has_expiry ? publish->props.number[MQTT_PROP_MESSAGE_EXPIRY_INTERVAL] : 0};
        lane_send_qos0(lane, &out);
        return;
    }
    if (!is_queued || !is_queueing_offline(lane)) {
        lane_count(lane, LANE_METRIC_dropped_qos0);
        return;
    }
    struct message *message = make_message(lane, publish, topic, mapped, payload);
    if (message == NULL)
        lane_count(lane, LANE_METRIC_dropped_qos0);
    else
        store(lane, message);
}

/* Of several copies, which overlapping filters make, one is taken. */
static bool is_other_copy(const struct lane_state *lane, const struct mqtt_publish *publish,
                          struct span topic) {
    struct reader block = reader_of(publish->props.raw);
    struct mqtt_prop_item item;
    bool has_id = false;
    if (publish->props.present == 0 || !mqtt_props_has(&publish->props, MQTT_PROP_SUBSCRIPTION_IDENTIFIER))
        return false;
    while (mqtt_props_next(&block, &item))
        if (item.prop == MQTT_PROP_SUBSCRIPTION_IDENTIFIER) {
            if (routes_takes_copy(lane->bridge->terms.routes, lane->lane, topic, item.number))
                return false;
            has_id = true;
        }
    return has_id;
}

void lane_hear(struct lane_state *lane, const struct mqtt_publish *publish, struct span topic,
               struct span payload) {
    struct bridge *bridge = lane->bridge;
    struct writer room = writer_of(bridge->scratch, SCRATCH_TOPIC - 1);
    struct span mapped = topic;
    if (publish->qos == 2 && bit_has(lane->storing, publish->packet_id))
        return; /* a repetition; its PUBREC comes with the commit */
    if (publish->qos == 2 && bit_has(lane->received, publish->packet_id)) {
        client_write_ack(&lane->source->client, MQTT_PUBREC, publish->packet_id, MQTT_REASON_SUCCESS);
        return;
    }
    if (bridge->is_draining) /* not ours any more: it stays with its broker */
        return;
    lane_count(lane, LANE_METRIC_received);
    lane->active_ms = loop_now_ms(bridge->host->loop);
    enum route_answer answer = routes_map(bridge->terms.routes, lane->lane, topic, &room, &mapped, NULL);
    if (answer == ROUTE_NONE || answer == ROUTE_WRONG) {
        leave_out(lane, publish, answer == ROUTE_NONE ? LANE_METRIC_unmatched : LANE_METRIC_bad_topics);
        return;
    }
    if (is_other_copy(lane, publish, topic)) {
        leave_out(lane, publish, LANE_METRIC_copies);
        return;
    }
    if (lane->source->echo != NULL && echo_take(lane->source->echo, topic, payload, lane->active_ms)) {
        leave_out(lane, publish, LANE_METRIC_echoes);
        return;
    }
    if (publish->qos == 0) {
        hear_qos0(lane, publish, topic, mapped, payload);
        return;
    }
    if (!is_queueing_offline(lane)) {
        leave_out(lane, publish, LANE_METRIC_dropped_offline);
        return;
    }
    struct message *message = make_message(lane, publish, topic, mapped, payload);
    if (message == NULL)
        out_of_memory(lane);
    else if (must_hold(lane))
        hold(lane, message);
    else
        store(lane, message);
}

void lane_hear_release(struct lane_state *lane, uint16_t packet_id) {
    if (!bit_has(lane->received, packet_id)) {
        client_write_ack(&lane->source->client, MQTT_PUBCOMP, packet_id, MQTT_REASON_SUCCESS);
        return;
    }
    if (!queue_forget(lane->bridge->queue, lane->lane, packet_id))
        out_of_memory(lane);
}

void lane_source_greeted(struct lane_state *lane) {
    if (!lane->source->is_new_session)
        return;
    memset(lane->received, 0, BITS_SIZE);
    memset(lane->storing, 0, BITS_SIZE);
    if (!queue_forget_all(lane->bridge->queue, lane->lane))
        out_of_memory(lane);
}

/* ---- the queue's answers ---- */

void lane_stored(struct lane_state *lane, struct queue_answer *answer) {
    struct message *message = answer->first;
    bool is_same_session = message->source_session == lane->source->session;
    uint8_t source_qos = message->source_id != 0 ? 2 : message->source_packet_id != 0 ? 1 : 0;
    bool was_clogged = is_clogged(lane);
    answer->first = NULL;
    lane->storing_count--;
    lane->storing_bytes -= message_size(message);
    if (message->source_id != 0 && is_same_session) {
        bit_clear(lane->storing, message->source_id);
        bit_set(lane->received, message->source_id);
    }
    acknowledge(lane, message, source_qos);
    if (answer->is_refused) {
        lane_count(lane, LANE_METRIC_dropped_overflow);
        free(message);
    } else {
        lane_supply(lane, message);
    }
    if (was_clogged)
        watch_source(lane);
}

void lane_forgot(struct lane_state *lane, const struct queue_answer *answer) {
    bit_clear(lane->received, answer->packet_id);
    client_write_ack(&lane->source->client, MQTT_PUBCOMP, answer->packet_id, MQTT_REASON_SUCCESS);
}
