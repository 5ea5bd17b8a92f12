/* The way from the broker to the device. The broker is somebody's program too: what a strict reader refuses
 * never reaches a device. */
#include "inspect/mount.h"
#include "inspect/steps.h"
#include "mqtt/subscribe.h"
#include "mqtt/write.h"

/* What the CONNACK of version 5 must say so that the device knows our limits as well as the broker's
 * (MQTT 5.0 3.2.2.3). */
struct promises {
    bool is_said[MQTT_PROP_COUNT];
    uint32_t value[MQTT_PROP_COUNT];
    bool is_changed;
};

static void promise(struct promises *promises, const struct mqtt_props *props, enum mqtt_prop prop,
                    uint32_t unsaid, uint32_t ours) {
    uint32_t theirs = mqtt_props_number(props, prop, unsaid);
    uint32_t value = theirs < ours ? theirs : ours;
    promises->is_said[prop] = mqtt_props_has(props, prop) || value != unsaid;
    promises->value[prop] = value;
    if (value != theirs)
        promises->is_changed = true;
}

static void promise_keep_alive(const struct inspector *inspector, struct promises *promises,
                               const struct mqtt_props *props) {
    uint32_t max = inspector->limits.max_keepalive_s;
    uint32_t value = mqtt_props_number(props, MQTT_PROP_SERVER_KEEP_ALIVE, inspector->keep_alive_s);
    bool is_said = mqtt_props_has(props, MQTT_PROP_SERVER_KEEP_ALIVE);
    if (max != 0 && (value == 0 || value > max)) {
        value = max;
        promises->is_changed = is_said = true;
    }
    promises->is_said[MQTT_PROP_SERVER_KEEP_ALIVE] = is_said;
    promises->value[MQTT_PROP_SERVER_KEEP_ALIVE] = value;
}

static void write_promises(struct writer *writer, const struct promises *promises) {
    static const struct {
        enum mqtt_prop prop;
        uint8_t id, size;
    } rows[] = {{MQTT_PROP_SERVER_KEEP_ALIVE, 0x13, 2},
                {MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0x22, 2},
                {MQTT_PROP_MAXIMUM_QOS, 0x24, 1},
                {MQTT_PROP_RETAIN_AVAILABLE, 0x25, 1},
                {MQTT_PROP_MAXIMUM_PACKET_SIZE, 0x27, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!promises->is_said[rows[i].prop])
            continue;
        uint32_t value = promises->value[rows[i].prop];
        writer_u8(writer, rows[i].id);
        if (rows[i].size == 1)
            writer_u8(writer, (uint8_t)value);
        else if (rows[i].size == 2)
            writer_u16(writer, (uint16_t)value);
        else
            writer_u32(writer, value);
    }
}

static bool is_promise(enum mqtt_prop prop) {
    return prop == MQTT_PROP_SERVER_KEEP_ALIVE || prop == MQTT_PROP_TOPIC_ALIAS_MAXIMUM ||
           prop == MQTT_PROP_MAXIMUM_QOS || prop == MQTT_PROP_RETAIN_AVAILABLE ||
           prop == MQTT_PROP_MAXIMUM_PACKET_SIZE || prop == MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER;
}

static struct span rewritten_connack(const struct inspector *inspector, const struct inspect_bytes *bytes,
                                     const struct mqtt_connack *connack, const struct promises *promises) {
    /* Properties first, behind room for the longest header (5), flags, code (2) and property length (4). */
    const size_t front = 11;
    struct writer props = writer_of(bytes->scratch + front, bytes->scratch_size - front);
    struct reader block = reader_of(connack->props.raw);
    struct mqtt_prop_item item;
    while (mqtt_props_next(&block, &item)) {
        bool is_ours =
            item.prop != MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER || inspector->assigned_client_id.size != 0;
        if (!is_promise(item.prop) || !is_ours)
            writer_bytes(&props, item.whole);
    }
    write_promises(&props, promises);
    if (inspector->assigned_client_id.size != 0) {
        writer_u8(&props, 0x12);
        writer_string(&props, inspector->assigned_client_id);
    }
    uint8_t room[16], length[4];
    unsigned length_size = mqtt_varint_write(length, (uint32_t)writer_size(&props));
    struct writer head = writer_of(room, sizeof room);
    mqtt_write_frame(&head, MQTT_CONNACK, 0, (uint32_t)(2 + length_size + writer_size(&props)));
    writer_u8(&head, connack->session_present);
    writer_u8(&head, connack->code);
    writer_bytes(&head, span_of(length, length_size));
    if (props.is_full || head.is_full)
        return SPAN_NONE;
    uint8_t *start = props.start - writer_size(&head);
    memcpy(start, room, writer_size(&head));
    return span_of(start, writer_size(&head) + writer_size(&props));
}

static enum inspect_result take_connack(struct inspector *inspector, struct inspect_bytes *bytes,
                                        const struct mqtt_frame *frame) {
    struct mqtt_connack connack;
    enum violation violation = VIOLATION_NONE;
    if (inspector->state != INSPECT_BEFORE_CONNACK)
        return step_wrong(inspector, VIOLATION_PACKET_ORDER);
    if (mqtt_connack_read(step_body(bytes, frame), inspector->version, &connack, &violation) != MQTT_WHOLE)
        return step_wrong(inspector, violation);
    inspector->connack_code = connack.code;
    if (connack.code != 0 || inspector->version != MQTT_VERSION_5) {
        step_pass(bytes, mqtt_frame_size(frame));
        inspector->state = connack.code != 0 ? INSPECT_OVER : INSPECT_OPEN;
        return connack.code != 0 ? INSPECT_GOODBYE : INSPECT_STARTED;
    }
    const struct inspect_limits *limits = &inspector->limits;
    struct promises promises = {.is_changed = inspector->assigned_client_id.size != 0};
    promise(&promises, &connack.props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0, limits->max_topic_alias);
    promise(&promises, &connack.props, MQTT_PROP_MAXIMUM_QOS, 2, limits->max_qos);
    promise(&promises, &connack.props, MQTT_PROP_RETAIN_AVAILABLE, 1, limits->retain_available);
    uint32_t broker_max = mqtt_props_number(&connack.props, MQTT_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    uint32_t packet_max = mount_packet_max(inspector, broker_max);
    if (limits->max_packet_size != 0 && limits->max_packet_size < packet_max)
        packet_max = limits->max_packet_size;
    promise(&promises, &connack.props, MQTT_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX, packet_max);
    promise_keep_alive(inspector, &promises, &connack.props);
    if (promises.is_said[MQTT_PROP_MAXIMUM_QOS] && promises.value[MQTT_PROP_MAXIMUM_QOS] == 2) {
        /* Only 0 and 1 may be said (3.2.2.3.4); 2 is said by saying nothing. */
        promises.is_said[MQTT_PROP_MAXIMUM_QOS] = false;
    }
    if (promises.is_changed) {
        struct span packet = rewritten_connack(inspector, bytes, &connack, &promises);
        if (packet.size == 0)
            return INSPECT_NO_MEMORY;
        if (!step_splice(bytes, mqtt_frame_size(frame), packet))
            return INSPECT_FLUSH;
        tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
    } else {
        step_pass(bytes, mqtt_frame_size(frame));
    }
    /* Only now: a FLUSH above means that the CONNACK is judged once more. */
    inspector->from_device.aliases.max = (uint16_t)promises.value[MQTT_PROP_TOPIC_ALIAS_MAXIMUM];
    if (promises.is_said[MQTT_PROP_SERVER_KEEP_ALIVE]) /* 0 means no keep alive (3.2.2-21) */
        inspector->keep_alive_s = (uint16_t)promises.value[MQTT_PROP_SERVER_KEEP_ALIVE];
    inspector->broker_packet_max = broker_max == UINT32_MAX ? 0 : broker_max;
    inspector->state = INSPECT_OPEN;
    return INSPECT_STARTED;
}

static enum inspect_result take_publish(struct inspector *inspector, struct inspect_bytes *bytes,
                                        const struct mqtt_frame *frame) {
    struct inspect_way *way = &inspector->from_broker;
    struct mqtt_publish publish;
    bool is_bare;
    enum inspect_result result = step_publish_head(inspector, way, bytes, frame, &publish, &is_bare);
    if (result != INSPECT_NEXT)
        return result;
    struct verdict verdict = acl_may_read(&inspector->acl, publish.topic);
    if (verdict.is_allowed && mount_is_on(inspector) && !mount_has_inside(inspector, publish.topic)) {
        verdict = (struct verdict){.words = "it is outside of the device's mount_point"};
        tally_add(&inspector->tally->rows[METRIC_delivery_outside_mount_point], 1);
    }
    if (verdict.is_allowed)
        return step_publish_pass(inspector, way, bytes, frame, &publish, is_bare);
    tally_add(&inspector->tally->rows[METRIC_delivery_refused], 1);
    step_tell_refusal(inspector, MQTT_PUBLISH, MQTT_TO_DEVICE, publish.topic, verdict);
    /* The broker hears a success, in the device's place: a refusal would only make it send the message
     * elsewhere or again. */
    return step_publish_cut(inspector, way, bytes, &publish, MQTT_REASON_SUCCESS);
}

static enum inspect_result take_suback(struct inspector *inspector, struct inspect_bytes *bytes,
                                       const struct mqtt_frame *frame) {
    struct mqtt_suback suback;
    enum violation violation = VIOLATION_NONE;
    if (mqtt_suback_read(step_body(bytes, frame), frame->type, inspector->version, &suback, &violation) !=
        MQTT_WHOLE)
        return step_wrong(inspector, violation);
    struct merge *merge =
        frame->type == MQTT_SUBACK ? merge_find(&inspector->merges, suback.packet_id) : NULL;
    if (merge == NULL) {
        step_pass(bytes, mqtt_frame_size(frame));
        return INSPECT_NEXT;
    }
    if (suback.codes.size != merge->open_count)
        return step_wrong(inspector, VIOLATION_SUBACK_COUNT);
    /* The broker's packet up to its codes, then all codes in the order of the device's filters. */
    struct span body = step_body(bytes, frame);
    struct span front = span_first(body, (size_t)(suback.codes.at - body.at));
    struct writer writer = writer_of(bytes->scratch, bytes->scratch_size);
    mqtt_write_frame(&writer, MQTT_SUBACK, 0, (uint32_t)front.size + merge->code_count);
    writer_bytes(&writer, front);
    for (uint32_t i = 0, next = 0; i < merge->code_count; i++)
        writer_u8(&writer, merge->codes[i] == MERGE_OPEN ? suback.codes.at[next++] : merge->codes[i]);
    if (writer.is_full)
        return INSPECT_NO_MEMORY;
    if (!step_splice(bytes, mqtt_frame_size(frame), writer_span(&writer)))
        return INSPECT_FLUSH;
    tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
    merge_remove(&inspector->merges, merge);
    return INSPECT_NEXT;
}

static enum inspect_result take_ack(struct inspector *inspector, struct inspect_bytes *bytes,
                                    const struct mqtt_frame *frame, struct writer *reply) {
    struct mqtt_ack ack;
    enum violation violation = VIOLATION_NONE;
    enum inspect_result result = INSPECT_NEXT;
    if (mqtt_ack_read(step_body(bytes, frame), frame->type, inspector->version, MQTT_TO_DEVICE, &ack,
                      &violation) != MQTT_WHOLE)
        return step_wrong(inspector, violation);
    switch (frame->type) {
    case MQTT_PUBREL:
        step_pubrel(inspector, &inspector->from_broker, bytes, frame, ack.packet_id, reply);
        break;
    case MQTT_AUTH:
        if (!step_auth_is_right(inspector, MQTT_TO_DEVICE, &ack, &result))
            return result;
        inspector->is_auth_open = true;
        step_pass(bytes, mqtt_frame_size(frame));
        break;
    case MQTT_DISCONNECT:
        step_pass(bytes, mqtt_frame_size(frame));
        inspector->state = INSPECT_OVER;
        result = INSPECT_GOODBYE;
        break;
    default: step_pass(bytes, mqtt_frame_size(frame)); break;
    }
    return result;
}

static enum inspect_result take_packet(struct inspector *inspector, struct inspect_bytes *bytes,
                                       const struct mqtt_frame *frame, struct writer *reply) {
    if (frame->type == MQTT_CONNACK)
        return take_connack(inspector, bytes, frame);
    if (inspector->state == INSPECT_BEFORE_CONNACK && frame->type != MQTT_AUTH)
        return step_wrong(inspector, VIOLATION_PACKET_ORDER);
    switch (frame->type) {
    case MQTT_PUBLISH: return take_publish(inspector, bytes, frame);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: return take_suback(inspector, bytes, frame);
    case MQTT_PINGRESP: step_pass(bytes, mqtt_frame_size(frame)); return INSPECT_NEXT;
    default: return take_ack(inspector, bytes, frame, reply);
    }
}

enum inspect_result inspect_from_broker(struct inspector *inspector, struct inspect_bytes *bytes,
                                        struct writer *reply) {
    struct inspect_way *way = &inspector->from_broker;
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
        result = take_packet(inspector, bytes, &frame, reply);
        if (reply->is_full)
            return INSPECT_NO_MEMORY;
        if (result == INSPECT_NEXT || result == INSPECT_STARTED || result == INSPECT_GOODBYE)
            tally_add(&inspector->tally->packets[MQTT_TO_DEVICE][frame.type], 1);
        if (result != INSPECT_NEXT)
            return result;
    }
}
