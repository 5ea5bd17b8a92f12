#include "inspect/steps.h"

#include <stdlib.h>

#include "inspect/mount.h"
#include "inspect/twins.h"
#include "mqtt/write.h"

void step_pass(struct inspect_bytes *bytes, size_t count) {
    if (bytes->judged != bytes->scanned)
        memmove(bytes->at + bytes->judged, bytes->at + bytes->scanned, count);
    bytes->judged += count;
    bytes->scanned += count;
}

void step_cut(struct inspect_bytes *bytes, size_t count) {
    bytes->scanned += count;
}

bool step_splice(struct inspect_bytes *bytes, size_t count, struct span packet) {
    size_t gap = bytes->scanned + count - bytes->judged;
    if (packet.size > gap) {
        size_t room = bytes->size - bytes->filled;
        if (room < packet.size - gap)
            return false;
        /* The tail moves once, to the end of the room: packets in it that grow too find a gap in front. */
        uint8_t *tail = bytes->at + bytes->scanned + count;
        memmove(tail + room, tail, bytes->filled - bytes->scanned - count);
        bytes->filled += room;
        bytes->scanned += room;
    }
    memcpy(bytes->at + bytes->judged, packet.at, packet.size);
    bytes->judged += packet.size;
    bytes->scanned += count;
    return true;
}

enum inspect_result step_more(struct inspect_bytes *bytes, size_t count) {
    bytes->need = count;
    return INSPECT_MORE;
}

enum inspect_result step_wrong(struct inspector *inspector, enum violation violation) {
    inspector->violation = violation;
    tally_add(&inspector->tally->violations[violation], 1);
    return INSPECT_WRONG;
}

bool step_payload(struct inspect_way *way, struct inspect_bytes *bytes) {
    size_t there = bytes->filled - bytes->scanned;
    size_t count = way->payload_left < there ? way->payload_left : there;
    (way->is_cutting ? step_cut : step_pass)(bytes, count);
    way->payload_left -= (uint32_t)count;
    return way->payload_left == 0;
}

static struct span rest_of(const struct inspect_bytes *bytes) {
    return span_of(bytes->at + bytes->scanned, bytes->filled - bytes->scanned);
}

/* The protocol level of a CONNECT that its fixed header already condemns, so that version 5 can be told why.
 * Nine bytes behind the header hold either name and the level. */
#define LEVEL_BYTES 9
static void learn_version(struct inspector *inspector, struct span body) {
    if (span_begins_with(body, SPAN_LITERAL("\0\4MQTT\5")))
        inspector->version = MQTT_VERSION_5;
}

bool step_frame(struct inspector *inspector, const struct inspect_way *way, struct inspect_bytes *bytes,
                struct mqtt_frame *frame, enum inspect_result *result) {
    struct span rest = rest_of(bytes);
    enum violation violation = VIOLATION_NONE;
    if (rest.size == 0) {
        *result = step_more(bytes, 1);
        return false;
    }
    switch (mqtt_frame_read(rest, inspector->version, way->direction, frame, &violation)) {
    case MQTT_WRONG:
        if (violation == VIOLATION_PACKET_TRUNCATED && inspector->state == INSPECT_BEFORE_CONNECT)
            learn_version(inspector, span_after(rest, frame->header_size));
        *result = step_wrong(inspector, violation);
        return false;
    case MQTT_MORE: *result = step_more(bytes, rest.size + 1); return false;
    case MQTT_WHOLE: break;
    }
    bool is_limited = way->direction == MQTT_TO_BROKER && inspector->limits.max_packet_size != 0;
    size_t size = mqtt_frame_size(frame);
    if ((is_limited && size > inspector->limits.max_packet_size) ||
        (frame->type != MQTT_PUBLISH && size > INSPECT_HELD_MAX)) {
        if (inspector->state == INSPECT_BEFORE_CONNECT) {
            size_t enough =
                frame->header_size + (frame->remaining < LEVEL_BYTES ? frame->remaining : LEVEL_BYTES);
            if (rest.size < enough) {
                *result = step_more(bytes, enough);
                return false;
            }
            learn_version(inspector, span_after(rest, frame->header_size));
        }
        *result = step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
        return false;
    }
    /* A PUBLISH that is too large for the device is left out, which the broker should have done (3.1.2-25).
     */
    if (way->direction == MQTT_TO_DEVICE && frame->type != MQTT_PUBLISH &&
        !inspect_fits_device(inspector, size)) {
        *result = step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
        return false;
    }
    if (frame->type != MQTT_PUBLISH && rest.size < size) {
        *result = step_more(bytes, size);
        return false;
    }
    return true;
}

struct span step_with_header(struct writer *body, const struct mqtt_frame *frame) {
    uint8_t head[5];
    struct writer header = writer_of(head, sizeof head);
    mqtt_write_frame(&header, frame->type, frame->flags, (uint32_t)writer_size(body));
    if (body->is_full || header.is_full)
        return SPAN_NONE;
    uint8_t *start = body->start - writer_size(&header);
    memcpy(start, head, writer_size(&header));
    return span_of(start, writer_size(&header) + writer_size(body));
}

struct span step_body(const struct inspect_bytes *bytes, const struct mqtt_frame *frame) {
    return span_of(bytes->at + bytes->scanned + frame->header_size, frame->remaining);
}

enum inspect_result step_publish_head(struct inspector *inspector, struct inspect_way *way,
                                      struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                                      struct mqtt_publish *publish, bool *is_bare) {
    struct span rest = rest_of(bytes);
    enum violation violation = VIOLATION_NONE;
    switch (mqtt_publish_read(frame, rest, inspector->version, way->direction, publish, &violation)) {
    case MQTT_WRONG: return step_wrong(inspector, violation);
    case MQTT_MORE:
        /* A head can announce 256 MiB of properties in ten bytes: it is not waited for. */
        if (publish->head_size > INSPECT_HELD_MAX)
            return step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
        return step_more(bytes, publish->head_size);
    case MQTT_WHOLE: break;
    }
    if (publish->head_size > INSPECT_HELD_MAX) /* whether it came whole must make no difference */
        return step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
    *is_bare = publish->topic.size == 0;
    if (mount_is_on(inspector) && way->direction == MQTT_TO_BROKER) {
        enum inspect_result result = mount_publish(inspector, bytes, publish);
        if (result != INSPECT_NEXT)
            return result;
    }
    if (publish->topic_alias == 0)
        return INSPECT_NEXT;
    if (publish->topic_alias > way->aliases.max)
        return step_wrong(inspector, VIOLATION_TOPIC_ALIAS);
    if (*is_bare) {
        const struct alias_entry *entry = alias_find(&way->aliases, publish->topic_alias);
        if (entry == NULL)
            return step_wrong(inspector, VIOLATION_TOPIC_ALIAS);
        publish->topic = span_of(entry->topic, entry->size);
    }
    return INSPECT_NEXT;
}

/* The head with the topic where the bare one had none. */
static enum inspect_result head_with_topic(struct inspector *inspector, const struct inspect_bytes *bytes,
                                           const struct mqtt_frame *frame, const struct mqtt_publish *publish,
                                           struct span *head) {
    /* 256 MiB is the protocol's end: a packet that would not fit with its topic is too large. */
    if (frame->remaining + publish->topic.size > 268435455)
        return step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
    struct writer writer = writer_of(bytes->scratch, bytes->scratch_size);
    const uint8_t *old = bytes->at + bytes->scanned;
    size_t behind_topic = frame->header_size + 2u;
    mqtt_write_frame(&writer, MQTT_PUBLISH, frame->flags, frame->remaining + (uint32_t)publish->topic.size);
    writer_string(&writer, publish->topic);
    writer_bytes(&writer, span_of(old + behind_topic, publish->head_size - behind_topic));
    *head = writer_span(&writer);
    return writer.is_full ? INSPECT_NO_MEMORY : INSPECT_NEXT;
}

bool step_publish_fits(struct inspector *inspector, struct inspect_way *way, const struct mqtt_frame *frame,
                       const struct mqtt_publish *publish, bool is_bare) {
    size_t size = mqtt_frame_size(frame), remaining = frame->remaining;
    const struct alias_entry *entry = is_bare ? alias_find(&way->aliases, publish->topic_alias) : NULL;
    bool is_untold = entry != NULL && !entry->is_known;
    bool is_cut =
        mount_has_inside(inspector, publish->topic) && inspector->mount.size != 0 && (!is_bare || is_untold);
    remaining += is_untold ? publish->topic.size : 0;
    remaining -= is_cut ? inspector->mount.size : 0;
    if (is_untold || is_cut)
        size = 1 + mqtt_varint_size((uint32_t)remaining) + remaining;
    return inspect_fits_device(inspector, size);
}

bool step_suback_fits(const struct inspector *inspector, uint32_t filter_count) {
    size_t remaining = 2 + 1 + (size_t)filter_count;
    return inspect_fits_device(inspector, 1 + mqtt_varint_size((uint32_t)remaining) + remaining);
}

/* The sender may have only so many exchanges open (MQTT 5.0 3.3.4-7, 3.3.4-9). */
static enum inspect_result take_place(struct inspector *inspector, struct inspect_way *way,
                                      const struct mqtt_publish *publish) {
    if (publish->qos == 0)
        return INSPECT_NEXT;
    switch (window_take(&way->window, publish->packet_id)) {
    case WINDOW_TAKEN: return INSPECT_NEXT;
    case WINDOW_FULL: return step_wrong(inspector, VIOLATION_RECEIVE_MAXIMUM);
    case WINDOW_NO_MEMORY: break;
    }
    return INSPECT_NO_MEMORY;
}

void step_acknowledged(struct inspect_way *way, enum mqtt_type type, const struct mqtt_ack *ack) {
    if (type == MQTT_PUBACK || type == MQTT_PUBCOMP || (type == MQTT_PUBREC && ack->reason >= 0x80))
        window_free(&way->window, ack->packet_id);
}

enum inspect_result step_publish_pass(struct inspector *inspector, struct inspect_way *way,
                                      struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                                      const struct mqtt_publish *publish, bool is_bare) {
    enum inspect_result place = take_place(inspector, way, publish);
    if (place != INSPECT_NEXT)
        return place;
    struct alias_entry *entry = is_bare ? alias_find(&way->aliases, publish->topic_alias) : NULL;
    bool is_untold = entry != NULL && !entry->is_known;
    bool is_mounted = mount_is_on(inspector) &&
                      (!is_bare || is_untold || mqtt_props_has(&publish->props, MQTT_PROP_RESPONSE_TOPIC));
    struct span head = SPAN_NONE;
    enum inspect_result result = INSPECT_NEXT;
    if (is_mounted)
        result = mount_head(inspector, way, bytes, frame, publish, is_bare && !is_untold, &head);
    else if (is_untold)
        result = head_with_topic(inspector, bytes, frame, publish, &head);
    if (result != INSPECT_NEXT)
        return result;
    /* While the topic still stands where it came; judging the packet once more changes nothing in this. */
    if (publish->topic_alias != 0 && !is_bare &&
        !alias_set(&way->aliases, publish->topic_alias, publish->topic, true))
        return INSPECT_NO_MEMORY;
    if (head.size == 0)
        step_pass(bytes, publish->head_size);
    else if (!step_splice(bytes, publish->head_size, head))
        return INSPECT_FLUSH;
    else
        tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
    if (is_untold)
        entry->is_known = true;
    if (publish->qos == 2)
        id_set_remove(&way->ours, publish->packet_id);
    way->payload_left = publish->payload_size;
    way->is_cutting = false;
    if (head.size == 0)
        twins_pass(inspector, way, bytes, frame, publish);
    return INSPECT_NEXT;
}

enum inspect_result step_publish_cut(struct inspector *inspector, struct inspect_way *way,
                                     struct inspect_bytes *bytes, const struct mqtt_publish *publish,
                                     uint8_t reason) {
    /* What is kept from a device takes no place of its: it never sees it. */
    enum inspect_result place =
        way->direction == MQTT_TO_BROKER ? take_place(inspector, way, publish) : INSPECT_NEXT;
    if (place != INSPECT_NEXT)
        return place;
    if (publish->topic_alias != 0 && !alias_set(&way->aliases, publish->topic_alias, publish->topic, false))
        return INSPECT_NO_MEMORY;
    if (publish->qos == 2) {
        /* A PUBREC that says no ends the exchange in version 5 (4.3.3-4); otherwise a PUBREL will come, for
         * us. */
        bool is_over = inspector->version == MQTT_VERSION_5 && reason >= 0x80;
        if (!is_over && !id_set_add(&way->ours, publish->packet_id))
            return INSPECT_NO_MEMORY;
    }
    way->answer.type = publish->qos == 0 ? 0 : publish->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;
    way->answer.packet_id = publish->packet_id;
    way->answer.reason = reason;
    step_cut(bytes, publish->head_size);
    way->payload_left = publish->payload_size;
    way->is_cutting = true;
    return INSPECT_NEXT;
}

void step_answer(const struct inspector *inspector, struct inspect_way *way, struct writer *reply) {
    if (way->answer.type == 0)
        return;
    mqtt_write_ack(reply, inspector->version, (enum mqtt_type)way->answer.type, way->answer.packet_id,
                   way->answer.reason, SPAN_NONE);
    const struct mqtt_ack ack = {.packet_id = way->answer.packet_id, .reason = way->answer.reason};
    step_acknowledged(way, (enum mqtt_type)way->answer.type, &ack);
    way->answer.type = 0;
}

void step_pubrel(struct inspector *inspector, struct inspect_way *way, struct inspect_bytes *bytes,
                 const struct mqtt_frame *frame, uint16_t packet_id, struct writer *reply) {
    if (!id_set_has(&way->ours, packet_id)) {
        step_pass(bytes, mqtt_frame_size(frame));
        return;
    }
    id_set_remove(&way->ours, packet_id);
    window_free(&way->window, packet_id);
    mqtt_write_ack(reply, inspector->version, MQTT_PUBCOMP, packet_id, MQTT_REASON_SUCCESS, SPAN_NONE);
    step_cut(bytes, mqtt_frame_size(frame));
}

bool step_auth_is_right(struct inspector *inspector, enum mqtt_direction direction,
                        const struct mqtt_ack *auth, enum inspect_result *result) {
    enum violation violation = VIOLATION_NONE;
    bool has_method = mqtt_props_has(&auth->props, MQTT_PROP_AUTHENTICATION_METHOD);
    if (inspector->auth_method.size == 0)
        violation = VIOLATION_AUTH_UNASKED;
    else if (!has_method && direction == MQTT_TO_DEVICE)
        violation = VIOLATION_NONE; /* the broker may leave the properties out (3.15.2.1) */
    else if (!has_method ||
             !span_is_equal(auth->props.text[MQTT_PROP_AUTHENTICATION_METHOD], inspector->auth_method))
        violation = VIOLATION_AUTH_METHOD_CHANGED;
    if (violation != VIOLATION_NONE)
        *result = step_wrong(inspector, violation);
    return violation == VIOLATION_NONE;
}

struct verdict step_judge_filter(const struct inspector *inspector, struct span filter) {
    struct verdict verdict = acl_may_subscribe(&inspector->acl, filter);
    if (inspector->limits.is_subscribe_silent && !inspector->acl.has_subscribe_rules)
        verdict.is_allowed = true;
    return verdict;
}

uint8_t step_filter_max_qos(const struct inspector *inspector, const struct verdict *verdict) {
    uint8_t max_qos = verdict_max_qos(verdict);
    return max_qos < inspector->limits.max_qos ? max_qos : inspector->limits.max_qos;
}

void step_tell_refusal(struct inspector *inspector, enum mqtt_type type, enum mqtt_direction direction,
                       struct span topic, struct verdict verdict) {
    if (inspector->on_refused != NULL)
        inspector->on_refused(inspector->owner, &(struct inspect_refusal){type, direction, topic, verdict});
}

void inspector_init(struct inspector *inspector, const struct inspect_limits *limits, struct tally *tally) {
    *inspector = (struct inspector){.limits = *limits, .tally = tally};
    inspector->from_device.direction = MQTT_TO_BROKER;
    inspector->from_broker.direction = MQTT_TO_DEVICE;
}

void inspector_clear(struct inspector *inspector) {
    struct inspect_way *ways[] = {&inspector->from_device, &inspector->from_broker};
    for (size_t i = 0; i < 2; i++) {
        alias_clear(&ways[i]->aliases);
        id_set_clear(&ways[i]->ours);
        window_clear(&ways[i]->window);
    }
    merge_clear(&inspector->merges);
    subscriptions_clear(&inspector->subscriptions);
    free((void *)(uintptr_t)inspector->auth_method.at);
    free((void *)(uintptr_t)inspector->mount.at);
    inspector->auth_method = inspector->mount = SPAN_NONE;
}
