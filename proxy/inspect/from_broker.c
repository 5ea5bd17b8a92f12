/* The way from the broker to the device. The broker is somebody's program too: what a strict reader refuses
 * never reaches a device. */
#include "inspect/counting.h"
#include "inspect/mount.h"
#include "inspect/steps.h"
#include "mqtt/write.h"

static enum inspect_result take_publish(struct inspector *inspector, struct inspect_bytes *bytes,
                                        const struct mqtt_frame *frame) {
    struct inspect_way *way = &inspector->from_broker;
    struct mqtt_publish publish;
    bool is_bare;
    enum inspect_result result = step_publish_head(inspector, way, bytes, frame, &publish, &is_bare);
    if (result != INSPECT_NEXT)
        return result;
    struct verdict verdict = acl_may_read(&inspector->acl, publish.topic);
    bool is_fitting = step_publish_fits(inspector, way, frame, &publish, is_bare);
    if (verdict.is_allowed && mount_is_on(inspector) && !mount_has_inside(inspector, publish.topic)) {
        verdict = (struct verdict){.words = "it is outside of the device's mount_point"};
        tally_add(&inspector->tally->rows[METRIC_delivery_outside_mount_point], 1);
        is_fitting = true; /* that is not why */
    }
    if (verdict.is_allowed && !is_fitting)
        verdict = (struct verdict){.words = "it is larger than the device's Maximum Packet Size"};
    if (verdict.is_allowed)
        return step_publish_pass(inspector, way, bytes, frame, &publish, is_bare);
    tally_add(&inspector->tally->rows[is_fitting ? METRIC_delivery_refused : METRIC_delivery_too_large], 1);
    step_tell_refusal(inspector, MQTT_PUBLISH, MQTT_TO_DEVICE, publish.topic, verdict);
    /* The broker hears a success, in the device's place: a refusal would only make it send the message
     * elsewhere or again. */
    return step_publish_cut(inspector, way, bytes, &publish, MQTT_REASON_SUCCESS);
}

/* `front`, which is all up to the codes, then all codes in the order of the device's filters. */
static struct writer merged_suback(const struct inspect_bytes *bytes, struct span front,
                                   const struct mqtt_suback *suback, const struct merge *merge) {
    struct writer writer = writer_of(bytes->scratch, bytes->scratch_size);
    mqtt_write_frame(&writer, MQTT_SUBACK, 0, (uint32_t)front.size + merge->code_count);
    writer_bytes(&writer, front);
    for (uint32_t i = 0, next = 0; i < merge->code_count; i++)
        writer_u8(&writer, merge_is_open(merge->codes[i]) ? suback->codes.at[next++] : merge->codes[i]);
    return writer;
}

/* A broker must not grant more than it was asked for, which is at most max_qos; a device is never told so. */
static void lower_codes(struct inspector *inspector, struct inspect_bytes *bytes, struct span codes) {
    uint8_t *at = bytes->at + (codes.at - bytes->at);
    bool is_changed = false;
    for (size_t i = 0; i < codes.size; i++)
        if (at[i] <= 2 && at[i] > inspector->limits.max_qos) {
            at[i] = inspector->limits.max_qos;
            is_changed = true;
        }
    if (is_changed)
        tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
}

static enum inspect_result take_suback(struct inspector *inspector, struct inspect_bytes *bytes,
                                       const struct mqtt_frame *frame) {
    struct mqtt_suback suback;
    enum violation violation = VIOLATION_NONE;
    if (mqtt_suback_read(step_body(bytes, frame), frame->type, inspector->version, &suback, &violation) !=
        MQTT_WHOLE)
        return step_wrong(inspector, violation);
    bool is_unsubscribe = frame->type == MQTT_UNSUBACK;
    struct merge *merge = merge_find(&inspector->merges, suback.packet_id);
    if (!is_unsubscribe)
        lower_codes(inspector, bytes, suback.codes);
    if (merge == NULL || merge->is_unsubscribe != is_unsubscribe) {
        step_pass(bytes, mqtt_frame_size(frame));
        return INSPECT_NEXT;
    }
    if (suback.codes.size != merge->open_count)
        return step_wrong(inspector, VIOLATION_SUBACK_COUNT);
    if (!counting_settle(inspector, merge, suback.codes))
        return INSPECT_NO_MEMORY;
    if (merge->open_count == merge->code_count) {
        step_pass(bytes, mqtt_frame_size(frame));
        merge_remove(&inspector->merges, merge);
        return INSPECT_NEXT;
    }
    struct span body = step_body(bytes, frame);
    struct span front = span_first(body, (size_t)(suback.codes.at - body.at));
    struct writer writer = merged_suback(bytes, front, &suback, merge);
    if (!inspect_fits_device(inspector, writer_size(&writer))) {
        const uint8_t bare[] = {body.at[0], body.at[1], 0}; /* properties may be left out (3.9.2.1.2) */
        writer = merged_suback(bytes, span_of(bare, sizeof bare), &suback, merge);
    }
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
    default:
        step_acknowledged(&inspector->from_device, frame->type, &ack);
        step_pass(bytes, mqtt_frame_size(frame));
        break;
    }
    return result;
}

/* One of them is as good as another: the device hears as many as it has asked for. */
static enum inspect_result take_pingresp(struct inspector *inspector, struct inspect_bytes *bytes,
                                         const struct mqtt_frame *frame) {
    bool is_ours = inspector->own_pings != 0;
    (is_ours ? step_cut : step_pass)(bytes, mqtt_frame_size(frame));
    inspector->own_pings -= is_ours;
    return INSPECT_NEXT;
}

static enum inspect_result take_packet(struct inspector *inspector, struct inspect_bytes *bytes,
                                       const struct mqtt_frame *frame, struct writer *reply) {
    if (frame->type == MQTT_CONNACK)
        return step_connack(inspector, bytes, frame);
    if (inspector->state == INSPECT_BEFORE_CONNACK && frame->type != MQTT_AUTH)
        return step_wrong(inspector, VIOLATION_PACKET_ORDER);
    switch (frame->type) {
    case MQTT_PUBLISH: return take_publish(inspector, bytes, frame);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: return take_suback(inspector, bytes, frame);
    case MQTT_PINGRESP: return take_pingresp(inspector, bytes, frame);
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
