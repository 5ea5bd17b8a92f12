/* The way from the device to the broker.
 *
 *     BEFORE_CONNECT --CONNECT--> BEFORE_CONNACK --(the broker's CONNACK)--> OPEN --DISCONNECT--> OVER
 *                                  only AUTH and DISCONNECT,
 *                                  everything else waits
 */
#include <stdlib.h>

#include "inspect/counting.h"
#include "inspect/mount.h"
#include "inspect/pace.h"
#include "inspect/rules.h"
#include "inspect/steps.h"
#include "mqtt/write.h"

/* What the device wants of the packets that it is sent (MQTT 5.0 3.1.2.11); before 5.0 nothing. */
static void learn_wishes(struct inspector *inspector, const struct mqtt_connect *connect) {
    const struct mqtt_props *props = &connect->props;
    inspector->from_broker.aliases.max = (uint16_t)mqtt_props_number(props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0);
    /* Unless somebody wants it the broker is trusted to keep the device's Receive Maximum: brokers in use
     * miscount it (mosquitto 2.0), and most devices are better off with a message too many than without their
     * session. */
    if (inspector->limits.is_broker_counted)
        inspector->from_broker.window.max =
            (uint16_t)mqtt_props_number(props, MQTT_PROP_RECEIVE_MAXIMUM, WINDOW_UNLIMITED);
    inspector->device_max_packet_size = mqtt_props_number(props, MQTT_PROP_MAXIMUM_PACKET_SIZE, 0);
    inspector->may_tell_reasons = connect->version == MQTT_VERSION_5 &&
                                  mqtt_props_number(props, MQTT_PROP_REQUEST_PROBLEM_INFORMATION, 1) != 0;
}

static enum inspect_result take_connect(struct inspector *inspector, struct inspect_bytes *bytes,
                                        const struct mqtt_frame *frame) {
    struct mqtt_connect *connect = inspector->connect;
    enum violation violation = VIOLATION_NONE;
    *connect = (struct mqtt_connect){.version = MQTT_VERSION_NONE};
    enum mqtt_outcome outcome = mqtt_connect_read(step_body(bytes, frame), connect, &violation);
    inspector->version = connect->version;
    if (outcome == MQTT_WHOLE && connect->version == MQTT_VERSION_5 && !mqtt_frame_is_minimal(frame)) {
        outcome = MQTT_WRONG;
        violation = VIOLATION_MALFORMED_LENGTH;
    }
    if (outcome != MQTT_WHOLE)
        return step_wrong(inspector, violation);
    if (mqtt_props_has(&connect->props, MQTT_PROP_AUTHENTICATION_METHOD)) {
        struct span method = connect->props.text[MQTT_PROP_AUTHENTICATION_METHOD];
        uint8_t *copy = malloc(method.size + 1);
        if (copy == NULL)
            return INSPECT_NO_MEMORY;
        if (method.size != 0)
            memcpy(copy, method.at, method.size);
        inspector->auth_method = span_of(copy, method.size);
    }
    inspector->has_session_expiry =
        mqtt_props_number(&connect->props, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0) != 0;
    learn_wishes(inspector, connect);
    inspector->keep_alive_s = connect->keep_alive_s;
    inspector->state = INSPECT_BEFORE_CONNACK;
    step_cut(bytes, mqtt_frame_size(frame));
    return INSPECT_CONNECT;
}

/* The bytes that pass lose nothing but their retain flag (MQTT 5.0 3.3.1.3). */
static void strip_retain(struct inspector *inspector, struct inspect_bytes *bytes, struct mqtt_frame *frame) {
    bytes->at[bytes->scanned] &= 0xFE;
    frame->flags &= 0xE;
    tally_add(&inspector->tally->rows[METRIC_retain_stripped], 1);
}

static enum inspect_result take_publish(struct inspector *inspector, struct inspect_bytes *bytes,
                                        const struct mqtt_frame *frame) {
    struct inspect_way *way = &inspector->from_device;
    struct mqtt_publish publish;
    bool is_bare;
    enum inspect_result result = step_publish_head(inspector, way, bytes, frame, &publish, &is_bare);
    if (result != INSPECT_NEXT)
        return result;
    if (publish.qos > inspector->limits.max_qos)
        return step_wrong(inspector, VIOLATION_QOS_NOT_SUPPORTED);
    if (publish.retain && !inspector->limits.retain_available)
        return step_wrong(inspector, VIOLATION_RETAIN_NOT_SUPPORTED);
    if (inspector->pace != NULL && !pace_publish(inspector, bytes, frame, &publish, &result))
        return result;
    bool is_retained = rules_retains(&inspector->limits, publish.retain);
    struct verdict verdict = acl_may_publish(&inspector->acl, publish.topic, publish.qos, is_retained);
    uint8_t reason = MQTT_REASON_NOT_AUTHORIZED;
    if (verdict.is_allowed && inspector->limits.has_message_rules) {
        struct message message = {.mount_size = inspector->mount.size,
                                  .topic = publish.topic,
                                  .response_topic = mount_response_topic(inspector, bytes, &publish.props),
                                  .is_retained = publish.retain,
                                  .props = &publish.props};
        struct ruling ruling = rules_judge_message(&inspector->limits, &inspector->acl, &message);
        rules_count(inspector->tally, ruling.rule);
        verdict = ruling.verdict;
        reason = ruling.reason;
    }
    uint32_t size_limit = inspector->limits.message_size_limit;
    if (verdict.is_allowed && size_limit != 0 && publish.payload_size > size_limit) {
        verdict = (struct verdict){.words = "the message is larger than message_size_limit"};
        reason = MQTT_REASON_QUOTA_EXCEEDED; /* PUBACK and PUBREC have no code for the size (3.4.2.1) */
    }
    if (verdict.is_allowed) {
        struct mqtt_frame passed = *frame;
        if (publish.retain && !is_retained)
            strip_retain(inspector, bytes, &passed);
        return step_publish_pass(inspector, way, bytes, &passed, &publish, is_bare);
    }
    rules_count_refused(inspector->tally, &verdict);
    step_tell_refusal(inspector, MQTT_PUBLISH, MQTT_TO_BROKER, publish.topic, verdict);
    if (inspector->limits.is_deny_disconnect) {
        inspector->refused_reason = reason;
        return INSPECT_REFUSED;
    }
    return step_publish_cut(inspector, way, bytes, &publish, rules_ack_reason(reason));
}

struct judged_filters {
    uint32_t refused_count;
    bool is_lowered; /* a QoS was above max_qos or that of a rule */
};

/* `whole`: what is said of all filters of the packet; `filter`: as the broker gets it, empty when it can not.
 */
static struct ruling judge_filter(struct inspector *inspector, const struct ruling *whole,
                                  const struct mqtt_subscribe_entry *entry, struct span filter) {
    struct ruling ruling = *whole;
    if (ruling.verdict.is_allowed)
        ruling = rules_judge_filter(&inspector->limits, entry);
    if (!ruling.verdict.is_allowed)
        return ruling;
    if (filter.size == 0) {
        tally_add(&inspector->tally->rows[METRIC_mount_point_refused], 1);
        return (struct ruling){{.words = "behind mount_point it is no topic filter any more"},
                               RULE_NONE,
                               MQTT_REASON_TOPIC_FILTER_INVALID};
    }
    return (struct ruling){step_judge_filter(inspector, filter), RULE_NONE, MQTT_REASON_NOT_AUTHORIZED};
}

/* Lowers the QoS of a filter that is allowed, where it stands. */
static bool lower_qos(struct inspector *inspector, const struct inspect_bytes *bytes,
                      const struct mqtt_subscribe_entry *entry, const struct verdict *verdict) {
    uint8_t max_qos = step_filter_max_qos(inspector, verdict);
    if ((entry->options & 3) <= max_qos)
        return false;
    uint8_t *options = bytes->at + (entry->whole.at - bytes->at) + entry->whole.size - 1;
    *options = (uint8_t)((entry->options & ~3u) | max_qos);
    if (max_qos < inspector->limits.max_qos) /* by the rule */
        tally_add(&inspector->tally->rows[METRIC_acl_maxqos_lowered], 1);
    return true;
}

/* False: memory is out. */
static bool judge_filters(struct inspector *inspector, const struct inspect_bytes *bytes,
                          const struct mqtt_subscribe *subscribe, struct merge *merge,
                          struct judged_filters *judged) {
    struct ruling whole = rules_judge_subscribe(&inspector->limits, subscribe);
    struct reader entries = reader_of(subscribe->entries);
    struct mqtt_subscribe_entry entry;
    for (uint32_t i = 0; mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry); i++) {
        struct span filter = mount_filter(inspector, bytes, entry.filter);
        struct ruling ruling = judge_filter(inspector, &whole, &entry, filter);
        merge->codes[i] = MERGE_OPEN;
        if (ruling.verdict.is_allowed && !counting_subscribe(inspector, merge, i, entry.filter, &ruling))
            return false;
        if (ruling.verdict.is_allowed) {
            judged->is_lowered |= lower_qos(inspector, bytes, &entry, &ruling.verdict);
            continue;
        }
        merge->codes[i] = inspector->version == MQTT_VERSION_5 ? ruling.reason : 0x80;
        judged->refused_count++;
        tally_add(&inspector->tally->rows[METRIC_subscribe_refused], 1);
        rules_count(inspector->tally, ruling.rule);
        step_tell_refusal(inspector, MQTT_SUBSCRIBE, MQTT_TO_BROKER, filter.size == 0 ? entry.filter : filter,
                          ruling.verdict);
    }
    return true;
}

/* The SUBSCRIBE without the refused filters, mount_point put on. Empty when it does not fit. */
static struct span smaller_subscribe(const struct inspector *inspector, const struct inspect_bytes *bytes,
                                     const struct mqtt_frame *frame, const struct mqtt_subscribe *subscribe,
                                     const struct merge *merge) {
    /* The body is put together behind the longest fixed header, and the header then right in front of it. */
    struct writer body = writer_of(bytes->scratch + 5, bytes->scratch_size - 5);
    struct span old = step_body(bytes, frame);
    writer_bytes(&body, span_first(old, (size_t)(subscribe->entries.at - old.at)));
    struct reader entries = reader_of(subscribe->entries);
    struct mqtt_subscribe_entry entry;
    for (uint32_t i = 0; mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry); i++) {
        if (!merge_is_open(merge->codes[i]))
            continue;
        mount_write_filter(&body, inspector, entry.filter);
        writer_u8(&body, entry.options);
    }
    return step_with_header(&body, frame);
}

static enum inspect_result take_subscribe(struct inspector *inspector, struct inspect_bytes *bytes,
                                          const struct mqtt_frame *frame, struct writer *reply) {
    struct mqtt_subscribe subscribe;
    enum violation violation = VIOLATION_NONE;
    if (mqtt_subscribe_read(step_body(bytes, frame), MQTT_SUBSCRIBE, inspector->version, &subscribe,
                            &violation) != MQTT_WHOLE)
        return step_wrong(inspector, violation);
    if (!step_suback_fits(inspector, subscribe.filter_count)) {
        inspector->refused_reason = MQTT_REASON_PACKET_TOO_LARGE;
        return INSPECT_REFUSED;
    }
    if (merge_find(&inspector->merges, subscribe.packet_id) != NULL)
        return step_wrong(inspector, VIOLATION_PACKET_ID_IN_USE);
    if (inspector->merges.count >= MERGE_COUNT_MAX) {
        inspector->refused_reason = MQTT_REASON_QUOTA_EXCEEDED;
        return INSPECT_REFUSED;
    }
    if (mount_is_on(inspector)) {
        enum inspect_result result = mount_make_room(inspector, bytes, frame, subscribe.filter_count);
        if (result != INSPECT_NEXT)
            return result;
    }
    struct merge *merge = merge_add(&inspector->merges, subscribe.packet_id, subscribe.filter_count);
    if (merge == NULL)
        return INSPECT_NO_MEMORY;
    struct judged_filters judged = {0};
    if (!judge_filters(inspector, bytes, &subscribe, merge, &judged))
        return INSPECT_NO_MEMORY;
    merge->open_count = merge->code_count - judged.refused_count;
    enum inspect_result result = INSPECT_NEXT;
    if (merge->open_count == 0) {
        mqtt_write_suback(reply, inspector->version, MQTT_SUBACK, subscribe.packet_id,
                          span_of(merge->codes, merge->code_count));
        step_cut(bytes, mqtt_frame_size(frame));
    } else if (judged.refused_count == 0 && !mount_is_on(inspector)) {
        step_pass(bytes, mqtt_frame_size(frame));
        tally_add(&inspector->tally->rows[METRIC_packets_rewritten], judged.is_lowered);
    } else {
        struct span packet = smaller_subscribe(inspector, bytes, frame, &subscribe, merge);
        if (packet.size == 0)
            result = INSPECT_NO_MEMORY;
        else if (!step_splice(bytes, mqtt_frame_size(frame), packet))
            result = INSPECT_FLUSH;
        else
            tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
    }
    if (result == INSPECT_FLUSH) /* it will be judged once more */
        counting_undo(inspector, merge);
    bool is_told = judged.refused_count == 0 || merge->open_count == 0; /* no code waits for the SUBACK */
    if (result != INSPECT_NEXT || (is_told && merge->hash_count == 0))
        merge_remove(&inspector->merges, merge);
    return result;
}

/* A device may always leave: no rule refuses an UNSUBSCRIBE. User properties beyond the limits are cut out of
 * it. */
static enum inspect_result take_unsubscribe(struct inspector *inspector, struct inspect_bytes *bytes,
                                            const struct mqtt_frame *frame) {
    struct mqtt_subscribe unsubscribe;
    enum violation violation = VIOLATION_NONE;
    if (mqtt_subscribe_read(step_body(bytes, frame), MQTT_UNSUBSCRIBE, inspector->version, &unsubscribe,
                            &violation) != MQTT_WHOLE)
        return step_wrong(inspector, violation);
    enum inspect_result result = INSPECT_NEXT;
    if (mount_is_on(inspector))
        result = mount_make_room(inspector, bytes, frame, unsubscribe.filter_count);
    if (result == INSPECT_NEXT)
        result = counting_unsubscribe(inspector, &unsubscribe);
    if (result != INSPECT_NEXT)
        return result;
    enum rule rule = rules_judge_user_properties(&inspector->limits, &unsubscribe.props);
    rules_count(inspector->tally, rule);
    if (rule != RULE_NONE || mount_is_on(inspector))
        return mount_unsubscribe(inspector, bytes, frame, &unsubscribe, rule == RULE_NONE);
    step_pass(bytes, mqtt_frame_size(frame));
    return INSPECT_NEXT;
}

static enum inspect_result take_ack(struct inspector *inspector, struct inspect_bytes *bytes,
                                    const struct mqtt_frame *frame, struct writer *reply) {
    struct mqtt_ack ack;
    enum violation violation = VIOLATION_NONE;
    enum inspect_result result = INSPECT_NEXT;
    if (mqtt_ack_read(step_body(bytes, frame), frame->type, inspector->version, MQTT_TO_BROKER, &ack,
                      &violation) != MQTT_WHOLE)
        return step_wrong(inspector, violation);
    switch (frame->type) {
    case MQTT_PUBREL:
        step_pubrel(inspector, &inspector->from_device, bytes, frame, ack.packet_id, reply);
        break;
    case MQTT_AUTH:
        if (!step_auth_is_right(inspector, MQTT_TO_BROKER, &ack, &result))
            return result;
        if (inspector->state == INSPECT_BEFORE_CONNACK && !inspector->is_auth_open)
            return step_wrong(inspector, VIOLATION_PACKET_ORDER);
        inspector->is_auth_open = false;
        step_pass(bytes, mqtt_frame_size(frame));
        break;
    case MQTT_DISCONNECT:
        if (!inspector->has_session_expiry &&
            mqtt_props_number(&ack.props, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0) != 0)
            return step_wrong(inspector, VIOLATION_SESSION_EXPIRY);
        step_pass(bytes, mqtt_frame_size(frame));
        inspector->state = INSPECT_OVER;
        result = INSPECT_GOODBYE;
        break;
    default:
        step_acknowledged(&inspector->from_broker, frame->type, &ack);
        step_pass(bytes, mqtt_frame_size(frame));
        break;
    }
    return result;
}

static enum inspect_result take_packet(struct inspector *inspector, struct inspect_bytes *bytes,
                                       const struct mqtt_frame *frame, struct writer *reply) {
    bool is_before_connack = inspector->state == INSPECT_BEFORE_CONNACK;
    if (inspector->state != INSPECT_BEFORE_CONNECT && frame->type == MQTT_CONNECT)
        return step_wrong(inspector, VIOLATION_SECOND_CONNECT);
    if (is_before_connack && frame->type != MQTT_AUTH && frame->type != MQTT_DISCONNECT)
        /* With an authentication method nothing else may come before the CONNACK (MQTT 5.0 3.1.2-30). */
        return inspector->auth_method.size != 0 ? step_wrong(inspector, VIOLATION_PACKET_ORDER)
                                                : INSPECT_PAUSE;
    switch (frame->type) {
    case MQTT_CONNECT: return take_connect(inspector, bytes, frame);
    case MQTT_PUBLISH: return take_publish(inspector, bytes, frame);
    case MQTT_SUBSCRIBE: return take_subscribe(inspector, bytes, frame, reply);
    case MQTT_UNSUBSCRIBE: return take_unsubscribe(inspector, bytes, frame);
    case MQTT_PINGREQ: step_pass(bytes, mqtt_frame_size(frame)); return INSPECT_NEXT;
    default: return take_ack(inspector, bytes, frame, reply);
    }
}

enum inspect_result inspect_from_device(struct inspector *inspector, struct inspect_bytes *bytes,
                                        struct writer *reply) {
    struct inspect_way *way = &inspector->from_device;
    for (;;) {
        if (way->payload_left != 0 && !step_payload(way, bytes))
            return step_more(bytes, 1);
        if (inspector->state == INSPECT_OVER) {
            step_cut(bytes, bytes->filled - bytes->scanned);
            return step_more(bytes, 1);
        }
        if ((size_t)(reply->end - reply->at) < INSPECT_REPLY_ROOM)
            return INSPECT_FLUSH;
        step_answer(inspector, way, reply);
        struct mqtt_frame frame;
        enum inspect_result result;
        if (!step_frame(inspector, way, bytes, &frame, &result))
            return result;
        if (inspector->pace != NULL && !pace_packet(inspector, &frame, &result))
            return result;
        result = take_packet(inspector, bytes, &frame, reply);
        if (reply->is_full)
            return INSPECT_NO_MEMORY;
        if (result == INSPECT_NEXT || result == INSPECT_CONNECT || result == INSPECT_GOODBYE)
            tally_add(&inspector->tally->packets[MQTT_TO_BROKER][frame.type], 1);
        if (result != INSPECT_NEXT)
            return result;
        if (inspector->pace != NULL)
            pace_settle(inspector->pace);
    }
}
