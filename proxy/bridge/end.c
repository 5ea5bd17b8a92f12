#include <stdlib.h>

#include "base/log.h"
#include "bridge/inside.h"
#include "bridge/probe.h"
#include "crypto/random.h"

/* How soon the local broker is tried again; it is near, and nothing is lost on the way but time. */
#define LOCAL_BASE_MS 500
#define LOCAL_CAP_MS  5000
/* MQTT 5.0 3.1.2.11.2: never. */
#define EXPIRY_NEVER UINT32_MAX
/* How often an end looks whether the other one has gone, for new terms. */
#define TERMS_EVERY_MS 20
/* What the local broker may send without an acknowledgement, so that many messages share one commit. */
#define LOCAL_RECEIVE_MAX 1000

static const struct conf_bridge *conf_of(const struct end *end) {
    return end->bridge->terms.conf;
}

static bool is_remote(const struct end *end) {
    return end->side == SIDE_REMOTE;
}

static const char *side_words(const struct end *end) {
    return is_remote(end) ? "remote" : "local";
}

static const struct bridge_place *place_of(const struct end *end) {
    return is_remote(end) ? &end->bridge->terms.remotes[end->place] : &end->bridge->terms.local;
}

static void set_deadline(struct end *end, uint64_t delay_ms) {
    struct loop *loop = end->bridge->host->loop;
    wheel_set(loop_wheel(loop), &end->deadline, loop_now_ms(loop) + delay_ms);
}

static void enter(struct end *end, enum end_state state) {
    end->state = state;
    bridge_gauge(end->bridge, is_remote(end) ? BRIDGE_METRIC_remote_up : BRIDGE_METRIC_local_up,
                 state == END_UP);
    if (is_remote(end))
        bridge_gauge(end->bridge, BRIDGE_METRIC_state, state);
    if (state == END_RESTING || state == END_CLOSING ||
        state == END_CONNECTING) /* the client has its own there */
        wheel_cancel(loop_wheel(end->bridge->host->loop), &end->deadline);
}

/* ---- which version ---- */

struct rung {
    enum mqtt_version version;
    bool is_bridge; /* mosquitto's bit, which gives No Local and Retain As Published to older versions */
};

/* From the best to the oldest; the count. */
static unsigned list_rungs(const struct end *end, struct rung rungs[4]) {
    static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};
    enum mqtt_version first =
        is_remote(end) ? versions[conf_of(end)->bridge_protocol_version] : MQTT_VERSION_5;
    bool tries_private = !is_remote(end) || conf_of(end)->try_private;
    enum mqtt_version old = first == MQTT_VERSION_31 ? MQTT_VERSION_31 : MQTT_VERSION_311;
    unsigned count = 0;
    if (first == MQTT_VERSION_5)
        rungs[count++] = (struct rung){MQTT_VERSION_5, false};
    if (tries_private)
        rungs[count++] = (struct rung){old, true};
    rungs[count++] = (struct rung){old, false};
    if (!is_remote(end))
        rungs[count++] = (struct rung){MQTT_VERSION_31, false};
    return count;
}

static struct rung rung_of(const struct end *end) {
    struct rung rungs[4];
    unsigned count = list_rungs(end, rungs);
    return rungs[end->tried_rung < count ? end->tried_rung : count - 1];
}

/* ---- CONNECT ---- */

static uint32_t receive_max_of(const struct end *end) {
    int32_t own = conf_of(end)->bridge_receive_maximum,
            all = end->bridge->terms.program->max_inflight_messages;
    if (!is_remote(end))
        return LOCAL_RECEIVE_MAX;
    return own > 0 ? (uint32_t)own : all > 0 ? (uint32_t)all : 65535u;
}

static uint32_t expiry_of(const struct end *end, bool is_clean) {
    int32_t wanted = conf_of(end)->bridge_session_expiry_interval;
    if (is_remote(end) && wanted >= 0)
        return (uint32_t)wanted;
    return is_clean ? 0 : EXPIRY_NEVER;
}

static struct span write_props(struct end *end, bool is_clean) {
    struct writer writer = writer_of(end->props, sizeof end->props);
    uint32_t expiry_s = expiry_of(end, is_clean);
    if (expiry_s != 0) {
        writer_u8(&writer, 0x11); /* Session Expiry Interval */
        writer_u32(&writer, expiry_s);
    }
    writer_u8(&writer, 0x21); /* Receive Maximum */
    writer_u16(&writer, (uint16_t)receive_max_of(end));
    if (conf_of(end)->bridge_max_packet_size > 0 && is_remote(end)) {
        writer_u8(&writer, 0x27); /* Maximum Packet Size */
        writer_u32(&writer, (uint32_t)conf_of(end)->bridge_max_packet_size);
    }
    if (conf_of(end)->bridge_max_topic_alias > 0) {
        writer_u8(&writer, 0x22); /* Topic Alias Maximum */
        writer_u16(&writer, (uint16_t)conf_of(end)->bridge_max_topic_alias);
    }
    return writer_span(&writer);
}

static bool says_state(const struct end *end) {
    const struct conf_bridge *conf = conf_of(end);
    return conf->notifications && (!is_remote(end) || !conf->notifications_local_only);
}

static void connect_as(struct end *end, struct mqtt_connect *connect) {
    const struct bridge_terms *terms = &end->bridge->terms;
    const struct conf_bridge *conf = terms->conf;
    struct rung rung = rung_of(end);
    bool is_clean = is_remote(end) ? conf->cleansession : conf->local_cleansession;
    *connect = (struct mqtt_connect){
        .version = rung.version,
        .is_bridge = rung.is_bridge,
        .clean_start = is_clean,
        .keep_alive_s = (uint16_t)conf->keepalive_interval,
        .client_id = span_of_text(is_remote(end) ? terms->remote_clientid : terms->local_clientid),
        .has_will = says_state(end),
        .will_retain = end->will_retain && (!is_remote(end) || profile_has_retain(conf, rung.version)),
        .will_qos = end->will_qos,
        .will_topic = span_of_text(terms->state_topic),
        .will_payload = SPAN_LITERAL("0"),
        .username = is_remote(end) ? end->bridge->remote_username : terms->local_username,
        .password = is_remote(end) ? end->bridge->remote_password : terms->local_password};
    connect->has_username = connect->username.at != NULL;
    if (end->password.bytes != NULL)
        connect->password = password_span(&end->password);
    connect->has_password =
        connect->password.at != NULL && (rung.version == MQTT_VERSION_5 || connect->has_username);
    if (!connect->has_will) {
        connect->will_retain = false;
        connect->will_qos = 0;
    }
    if (rung.version == MQTT_VERSION_5)
        connect->props.raw = write_props(end, is_clean);
}

void end_enter_preparing(struct end *end, uint64_t timeout_ms) {
    enter(end, END_PREPARING);
    set_deadline(end, timeout_ms);
}

void end_connect(struct end *end) {
    const struct conf_bridge *conf = conf_of(end);
    const struct bridge_place *place = place_of(end);
    struct client_wish wish = {.where = &place->where,
                               .link = place->link,
                               .websocket_host = place->websocket_host,
                               .websocket_path = place->websocket_path,
                               .timeout_ms = conf->bridge_connect_timeout_ms,
                               .max_packet_size = is_remote(end) ? (uint32_t)conf->bridge_max_packet_size : 0,
                               .topic_alias_max = (uint16_t)conf->bridge_max_topic_alias};
    connect_as(end, &wish.connect);
    log_debug("Bridge %s: connecting to the %s broker at %s.", conf->name, side_words(end), place->text);
    enter(end, END_CONNECTING);
    client_connect(&end->client, &wish);
}

static void begin(struct end *end) {
    if (!bridge_take_terms(end->bridge, end)) {
        enter(end, END_WAITING);
        set_deadline(end, TERMS_EVERY_MS);
        return;
    }
    if (end->place >= end->bridge->terms.remote_count)
        end->place = 0;
    end_prepare(end);
}

/* ---- trying again ---- */

static uint64_t random_below(uint64_t limit) {
    uint64_t value = 0;
    return limit == 0 || !random_fill(&value, sizeof value) ? 0 : value % limit;
}

/* Decorrelated jitter: many bridges that lost the same broker do not come back at the same moment. */
static uint64_t next_delay_ms(struct end *end) {
    const struct conf_restart *restart = &conf_of(end)->restart_timeout;
    uint64_t base_ms = is_remote(end) ? restart->base_s * UINT64_C(1000) : LOCAL_BASE_MS;
    uint64_t cap_ms = is_remote(end) ? restart->cap_s * UINT64_C(1000) : LOCAL_CAP_MS;
    uint64_t before_ms = end->backoff_ms < base_ms ? base_ms : end->backoff_ms;
    uint64_t most_ms = before_ms * 3 < cap_ms ? before_ms * 3 : cap_ms;
    end->backoff_ms = most_ms <= base_ms ? base_ms : base_ms + random_below(most_ms - base_ms + 1);
    return end->backoff_ms;
}

static void wait_and_try(struct end *end, uint64_t delay_ms) {
    enter(end, END_WAITING);
    set_deadline(end, delay_ms);
}

/* The version was not understood: an older one. False: there is none left. */
static bool step_down(struct end *end, const struct mqtt_connack *connack) {
    struct rung rungs[4];
    bool is_version =
        connack->code == (end_version(end) == MQTT_VERSION_5 ? MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION : 1);
    if (!is_version || end->tried_rung + 1 >= list_rungs(end, rungs))
        return false;
    end->rung = ++end->tried_rung; /* for good */
    return true;
}

/* Brokers that close the connection over a version that they do not know: the other ones in turn. */
static void try_other_rung(struct end *end) {
    struct rung rungs[4];
    unsigned count = list_rungs(end, rungs);
    if (is_remote(end) && conf_of(end)->bridge_protocol_version == CONF_BRIDGE_MQTTV50)
        return; /* a closed connection says too little for a loss of MQTT 5 */
    end->tried_rung = end->tried_rung + 1 < count ? end->tried_rung + 1 : end->rung;
}

static void next_place(struct end *end) {
    size_t count = is_remote(end) ? end->bridge->terms.remote_count : 1;
    end->place = (end->place + 1) % count;
}

/* ---- packets ---- */

static uint16_t next_notice_id(struct end *end) {
    end->last_notice_id = end->last_notice_id < ID_OF_NOTICES || end->last_notice_id == UINT16_MAX
                              ? ID_OF_NOTICES
                              : (uint16_t)(end->last_notice_id + 1);
    return end->last_notice_id;
}

void end_say_state(struct end *end, bool is_up) {
    if (!says_state(end) || !client_is_open(&end->client))
        return;
    const struct client_publish publish = {.topic = span_of_text(end->bridge->terms.state_topic),
                                           .payload = is_up ? SPAN_LITERAL("1") : SPAN_LITERAL("0"),
                                           .qos = end->max_qos == 0 ? 0 : 1,
                                           .packet_id = next_notice_id(end),
                                           .retain = end->has_retain};
    client_write_publish(&end->client, &publish);
}

/* What this side's SUBSCRIBE asks for (MQTT 5.0 3.8.3.1). Retained messages of the local broker are wanted
 * when the remote one is there to take them. */
static uint8_t options_of(const struct end *end, struct span filter, uint8_t qos) {
    unsigned options = qos > end->max_qos ? end->max_qos : qos;
    bool is_shared = span_begins_with(filter, SPAN_LITERAL("$share/"));
    bool wants_retained = is_remote(end) || end_is_up(&end->bridge->ends[SIDE_REMOTE]);
    return (uint8_t)(options | (is_shared ? 0u : 4u) | 8u | (wants_retained ? 0u : 2u << 4));
}

static uint16_t next_id(struct end *end) {
    end->last_id = end->last_id < ID_OF_ROWS + 1 || end->last_id + 1 >= ID_OF_NOTICES
                       ? ID_OF_ROWS + 1
                       : (uint16_t)(end->last_id + 1);
    return end->last_id;
}

static void finish_subscribing(struct end *end) {
    if (end->state != END_SUBSCRIBING)
        return;
    end->up_ms = loop_now_ms(end->bridge->host->loop);
    end->was_up = end->is_up_once = true;
    enter(end, END_UP);
    set_deadline(end, 1000);
    bridge_end_up(end);
}

/* One packet for each line, in file order; some brokers take few filters in one packet. */
static void subscribe_more(struct end *end) {
    const struct routes *routes = end->bridge->terms.routes;
    enum lane here = is_remote(end) ? LANE_IN : LANE_OUT, there = is_remote(end) ? LANE_OUT : LANE_IN;
    struct span filter;
    uint8_t qos;
    while (end->next_line < routes_count(routes) && end->answers_due < ANSWERS_MAX) {
        size_t line = end->next_line++;
        if (routes_source(routes, line, here, &filter, &qos)) {
            client_write_subscribe(&end->client, next_id(end), filter, options_of(end, filter, qos),
                                   end->has_subscription_ids ? routes_subscription_id(routes, line, here)
                                                             : 0);
            end->answers_due++;
        } else if (is_remote(end) && conf_of(end)->bridge_attempt_unsubscribe &&
                   routes_target(routes, line, there, &filter) && filter.size != 0) {
            client_write_unsubscribe(&end->client, next_id(end), filter);
            end->answers_due++;
        }
    }
    if (end->answers_due == 0)
        finish_subscribing(end);
}

void end_subscribe_again(struct end *end) {
    if (end->state != END_UP)
        return;
    end->next_line = 0;
    subscribe_more(end);
    client_flush(&end->client);
}

static void on_suback(struct client *client, enum mqtt_type type, uint16_t packet_id, struct span codes) {
    struct end *end = client->owner;
    (void)packet_id;
    for (size_t i = 0; type == MQTT_SUBACK && i < codes.size; i++)
        if (codes.at[i] >= 0x80) {
            bridge_count(end->bridge, BRIDGE_METRIC_subscriptions_refused, 1);
            log_warning("Bridge %s: the %s broker refuses a subscription: %s.", conf_of(end)->name,
                        side_words(end),
                        end_version(end) == MQTT_VERSION_5 ? mqtt_reason_words(codes.at[i]) : "failure");
        }
    end->answers_due -= end->answers_due != 0;
    subscribe_more(end);
}

static void learn(struct end *end, const struct mqtt_connack *connack) {
    const struct mqtt_props *props = &connack->props;
    bool is_5 = end_version(end) == MQTT_VERSION_5;
    int32_t own = conf_of(end)->bridge_max_packet_size;
    end->receive_max = is_5 ? mqtt_props_number(props, MQTT_PROP_RECEIVE_MAXIMUM, 65535) : 65535;
    end->max_packet_size = is_5 ? mqtt_props_number(props, MQTT_PROP_MAXIMUM_PACKET_SIZE, 0) : 0;
    if (is_remote(end) && own > 0 && (end->max_packet_size == 0 || (uint32_t)own < end->max_packet_size))
        end->max_packet_size = (uint32_t)own;
    end->max_qos = is_5 ? (uint8_t)mqtt_props_number(props, MQTT_PROP_MAXIMUM_QOS, 2) : 2;
    end->has_retain = !is_5 || mqtt_props_number(props, MQTT_PROP_RETAIN_AVAILABLE, 1) != 0;
    if (is_remote(end)) {
        const struct profile *profile = profile_of(conf_of(end));
        end->max_qos = end->max_qos < profile->qos_max ? end->max_qos : profile->qos_max;
        end->has_retain = end->has_retain && profile_has_retain(conf_of(end), end_version(end));
    }
    end->alias_max = is_5 ? (uint16_t)mqtt_props_number(props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0) : 0;
    end->has_subscription_ids =
        is_5 && mqtt_props_number(props, MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE, 1) != 0;
    uint32_t own_aliases = (uint32_t)conf_of(end)->bridge_max_topic_alias,
             their_aliases = (uint32_t)profile_of(conf_of(end))->alias_max;
    if (is_remote(end) && their_aliases != 0 && their_aliases < own_aliases)
        own_aliases = their_aliases;
    client_may_send(&end->client, end->alias_max < own_aliases ? end->alias_max : own_aliases,
                    end->max_packet_size);
    end->has_no_local = is_5 || rung_of(end).is_bridge;
    if (is_5 && mqtt_props_has(props, MQTT_PROP_SERVER_KEEP_ALIVE))
        client_set_keep_alive(&end->client, (uint16_t)props->number[MQTT_PROP_SERVER_KEEP_ALIVE]);
    end->rung = end->tried_rung;
    end->is_new_session = !connack->session_present;
    end->session += end->is_new_session;
    end->connection++;
    echo_destroy(end->echo);
    end->echo = end->has_no_local ? NULL : echo_create();
}

static void on_connack(struct client *client, const struct mqtt_connack *connack) {
    struct end *end = client->owner;
    bool is_5 = end_version(end) == MQTT_VERSION_5;
    password_forget(&end->password);
    if (connack->code == 0) {
        learn(end, connack);
        end->is_greeted = true;
        bridge_count(end->bridge,
                     is_remote(end) ? BRIDGE_METRIC_remote_connects : BRIDGE_METRIC_local_connects, 1);
        enter(end, END_SUBSCRIBING);
        set_deadline(end, conf_of(end)->bridge_connect_timeout_ms);
        bridge_end_greeted(end);
        end->next_line = end->answers_due = 0;
        subscribe_more(end);
        return;
    }
    if (step_down(end, connack))
        end->is_hurried = true; /* at once: nothing is wrong with the broker */
    else if (is_5 && connack->code == MQTT_REASON_RETAIN_NOT_SUPPORTED)
        end->will_retain = false;
    else if (is_5 && connack->code == MQTT_REASON_QOS_NOT_SUPPORTED && end->will_qos > 0)
        end->will_qos--;
}

static void on_publish(struct client *client, const struct mqtt_publish *publish, struct span topic,
                       struct span payload) {
    struct end *end = client->owner;
    lane_hear(lane_from(end), publish, topic, payload);
}

static void on_ack(struct client *client, enum mqtt_type type, uint16_t packet_id, uint8_t reason) {
    struct end *end = client->owner;
    if (type == MQTT_PUBREL)
        lane_hear_release(lane_from(end), packet_id);
    else if (packet_id <= ID_OF_ROWS)
        lane_hear_ack(lane_to(end), type, packet_id, reason);
}

static void on_read(struct client *client) {
    struct end *end = client->owner;
    lane_pump(&end->bridge->lanes[LANE_OUT]);
    lane_pump(&end->bridge->lanes[LANE_IN]);
    client_flush(&end->bridge->ends[is_remote(end) ? SIDE_LOCAL : SIDE_REMOTE].client);
}

static void on_drained(struct client *client) {
    struct end *end = client->owner;
    lane_pump(lane_to(end));
    client_flush(client);
}

/* ---- the end ---- */

static void log_end(const struct end *end, enum client_end why, bool was_open, const char *words) {
    const char *name = conf_of(end)->name, *where = place_of(end)->text;
    if (why == CLIENT_OURS)
        log_notice("Bridge %s: disconnected from the %s broker at %s.", name, side_words(end), where);
    else if (why == CLIENT_NO_PASSWORD)
        log_warning(
            "Bridge %s: no connection to the %s broker at %s was tried, for there is no password: %s.", name,
            side_words(end), where, words);
    else
        log_line(was_open ? LOG_KIND_WARNING : LOG_KIND_NOTICE, "Bridge %s: the %s broker at %s %s: %s.",
                 name, side_words(end), where, was_open ? "is lost" : "is not there", words);
}

static void on_ended(struct client *client, enum client_end why, const char *words) {
    struct end *end = client->owner;
    struct bridge *bridge = end->bridge;
    bool was_open = end->is_greeted, is_hurried = end->is_hurried;
    uint64_t now_ms = loop_now_ms(bridge->host->loop);
    uint64_t *row = &bridge->tally->ends[end->side][why];
    __atomic_store_n(row, *row + 1, __ATOMIC_RELAXED);
    if (why != CLIENT_OURS)
        bridge_count(bridge, is_remote(end) ? BRIDGE_METRIC_remote_failures : BRIDGE_METRIC_local_failures,
                     1);
    if (is_hurried && why == CLIENT_REFUSED)
        log_notice("Bridge %s: the %s broker does not know this version of MQTT; an older one is tried.",
                   conf_of(end)->name, side_words(end));
    else
        log_end(end, why, was_open, words);
    if (end->is_up_once && now_ms - end->up_ms >= conf_of(end)->restart_timeout.stable_s * UINT64_C(1000))
        end->backoff_ms = 0;
    if (!was_open && why == CLIENT_CLOSED)
        try_other_rung(end);
    password_forget(&end->password);
    end->is_greeted = end->is_up_once = end->is_hurried = false;
    probe_destroy(end->probe);
    end->probe = NULL;
    if (!end->is_wanted) {
        enter(end, END_RESTING);
    } else if (is_hurried) {
        wait_and_try(end, 0);
    } else {
        if (why != CLIENT_OURS && why != CLIENT_NO_PASSWORD)
            next_place(end);
        wait_and_try(end, next_delay_ms(end));
    }
    bridge_end_gone(end, why, was_open);
}

static const struct client_events client_events = {on_connack, on_publish, on_ack,  on_suback,
                                                   on_drained, on_read,    on_ended};

void end_unprepared(struct end *end, const char *words) {
    on_ended(&end->client, CLIENT_NO_PASSWORD, words);
}

void end_break(struct end *end, enum client_end why) {
    if (end->state == END_PREPARING) {
        end_prepare_cancel(end);
        end->is_hurried = false;
        if (end->is_wanted)
            wait_and_try(end, 0);
        else
            enter(end, END_RESTING);
    }
    if (end->state == END_CONNECTING || end->state == END_SUBSCRIBING || end->state == END_UP) {
        enter(end, END_CLOSING);
        client_close(&end->client, why, why == CLIENT_OURS);
    }
}

/* ---- time ---- */

static void on_primary(void *owner) {
    struct end *end = owner;
    log_notice("Bridge %s: the first address answers again; going back to it.", conf_of(end)->name);
    end->place = 0;
    end->is_hurried = true;
    end_break(end, CLIENT_OURS);
}

/* While connected elsewhere, the first address is looked at every five seconds. */
#define PROBE_EVERY_MS 5000

static void watch_up(struct end *end, uint64_t now_ms) {
    const struct conf_bridge *conf = conf_of(end);
    if (lane_waiting_ms(lane_to(end), now_ms) > conf->bridge_ack_timeout_ms) {
        end_break(end, CLIENT_ACK_TIMEOUT);
        return;
    }
    if (end_renews(end))
        return;
    set_deadline(end, 1000);
    if (!is_remote(end) || end->place == 0 || conf->round_robin)
        return;
    if (end->probe == NULL)
        end->probe = probe_create(end->bridge->host, &end->bridge->terms.remotes[0], on_primary, end);
    else
        probe_step(end->probe, now_ms, PROBE_EVERY_MS);
}

static void on_due(struct deadline *deadline, uint64_t now_ms) {
    struct end *end = (struct end *)((char *)deadline - offsetof(struct end, deadline));
    switch (end->state) {
    case END_WAITING: begin(end); break;
    case END_PREPARING: end_prepare_late(end); break;
    case END_SUBSCRIBING: end_break(end, CLIENT_SUBSCRIBE_TIMEOUT); break;
    case END_UP: watch_up(end, now_ms); break;
    case END_RESTING:
    case END_CONNECTING:
    case END_CLOSING: break;
    }
}

/* ---- wanted or not ---- */

void end_init(struct end *end, struct bridge *bridge, enum side side) {
    *end = (struct end){
        .bridge = bridge, .side = side, .will_retain = true, .will_qos = 1, .max_qos = 2, .has_retain = true};
    end->deadline.on_due = on_due;
    client_init(&end->client, bridge->host->loop, &bridge->host->backends, &client_events, end);
}

void end_want(struct end *end) {
    end->is_wanted = true;
    if (end->state == END_RESTING)
        wait_and_try(end, 0);
}

void end_forget(struct end *end) {
    const struct routes *routes = end->bridge->terms.routes;
    struct span filter;
    uint8_t qos;
    end->client.ends_session = true;
    for (size_t line = 0; end_is_up(end) && line < routes_count(routes); line++)
        if (routes_source(routes, line, is_remote(end) ? LANE_IN : LANE_OUT, &filter, &qos))
            client_write_unsubscribe(&end->client, next_id(end), filter);
}

void end_rest(struct end *end) {
    end->is_wanted = false;
    if (end->state == END_WAITING)
        enter(end, END_RESTING);
    else
        end_break(end, CLIENT_OURS);
}

bool end_is_idle(const struct end *end) {
    return end->state == END_RESTING;
}

void end_clear(struct end *end) {
    end_prepare_cancel(end);
    password_forget(&end->password);
    wheel_cancel(loop_wheel(end->bridge->host->loop), &end->deadline);
    client_clear(&end->client);
    echo_destroy(end->echo);
    probe_destroy(end->probe);
}
