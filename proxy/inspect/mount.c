#include "inspect/mount.h"

#include <stdlib.h>

#include "inspect/steps.h"
#include "mqtt/topic.h"
#include "mqtt/write.h"

/* In the scratch: the topic of a PUBLISH stands behind the longest fixed header and its own size, so that the
 * head is put together around it. */
#define TOPIC_PLACE 7

/* A response topic's identifier and size in front of its text. */
#define RESPONSE_ID    0x08
#define RESPONSE_FRONT 3

#define REMAINING_MAX 268435455 /* the protocol's end */

/* ---- binding ---- */

struct binding {
    struct acl_identity identity;
    uint8_t reason;
    const char *words;
};

/* The value of a placeholder, empty when it may not stand in a topic. */
static struct span value_of(struct binding *binding, uint8_t letter) {
    bool is_client_id = letter == 'c';
    const struct acl_identity *identity = &binding->identity;
    struct span value = is_client_id             ? identity->client_id
                        : identity->has_username ? identity->username
                                                 : SPAN_NONE;
    binding->reason = is_client_id ? MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID : MQTT_REASON_NOT_AUTHORIZED;
    if (value.size == 0) {
        binding->words = is_client_id ? "it has no client id for the %c of mount_point"
                                      : "it has no username for the %u of mount_point";
        return SPAN_NONE;
    }
    if (!mqtt_topic_is_name(value) || span_has_byte(value, '/')) {
        binding->words = is_client_id ? "its client id holds / + or #, and mount_point takes it as %c"
                                      : "its username holds / + or #, and mount_point takes it as %u";
        return SPAN_NONE;
    }
    return value;
}

static void fill_in(struct binding *binding, struct span pattern, struct writer *writer) {
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t next = i + 1 < pattern.size ? pattern.at[i + 1] : 0;
        if (pattern.at[i] != '%' || (next != 'c' && next != 'u')) {
            writer_u8(writer, pattern.at[i]);
            continue;
        }
        struct span value = value_of(binding, next);
        if (value.size == 0)
            return;
        writer_bytes(writer, value);
        i++;
    }
    binding->reason = MQTT_REASON_NOT_AUTHORIZED;
    if (writer->is_full) {
        binding->words = "its mount_point would be longer than 65,534 bytes";
    } else if (writer_size(writer) != 0 && writer->start[0] == '$') {
        /* "$share/" and "$SYS/" must not be put together from a name. */
        binding->words = "its mount_point would begin with $";
    }
}

bool mount_bind(struct inspector *inspector, const char *pattern, struct acl_identity identity,
                uint8_t *reason, const char **words) {
    if (pattern == NULL)
        return true;
    struct binding binding = {.identity = identity, .reason = MQTT_REASON_SERVER_UNAVAILABLE};
    uint8_t *room = malloc(MOUNT_SIZE_MAX);
    struct writer writer = writer_of(room, MOUNT_SIZE_MAX);
    if (room == NULL)
        binding.words = "memory is out";
    else
        fill_in(&binding, span_of_text(pattern), &writer);
    /* Kept in its own size: every session has one. */
    uint8_t *kept = binding.words == NULL ? malloc(writer_size(&writer)) : NULL;
    if (kept != NULL) {
        memcpy(kept, room, writer_size(&writer));
        inspector->mount = span_of(kept, writer_size(&writer));
        free(room);
        return true;
    }
    free(room);
    if (binding.words == NULL) {
        binding.reason = MQTT_REASON_SERVER_UNAVAILABLE;
        binding.words = "memory is out";
    }
    *reason = binding.reason;
    *words = binding.words;
    return false;
}

/* ---- topics and filters ---- */

static bool is_too_long(const struct inspector *inspector, struct span topic) {
    return inspector->mount.size + topic.size > UINT16_MAX;
}

static enum inspect_result refuse(struct inspector *inspector, enum mqtt_type type, struct span topic,
                                  uint8_t reason) {
    struct verdict verdict = {.words = "it is too long behind mount_point"};
    tally_add(&inspector->tally->rows[METRIC_mount_point_refused], 1);
    step_tell_refusal(inspector, type, MQTT_TO_BROKER, topic, verdict);
    inspector->refused_reason = reason;
    return INSPECT_REFUSED;
}

static void join(uint8_t *room, struct span a, struct span b) {
    memcpy(room, a.at, a.size);
    memcpy(room + a.size, b.at, b.size);
}

enum inspect_result mount_publish(struct inspector *inspector, struct inspect_bytes *bytes,
                                  struct mqtt_publish *publish) {
    struct span mount = inspector->mount, topic = publish->topic;
    bool has_response = mqtt_props_has(&publish->props, MQTT_PROP_RESPONSE_TOPIC);
    struct span response = has_response ? publish->props.text[MQTT_PROP_RESPONSE_TOPIC] : SPAN_NONE;
    bool is_topic_too_long = topic.size != 0 && is_too_long(inspector, topic);
    if (is_topic_too_long || is_too_long(inspector, response)) {
        tally_add(&inspector->tally->rows[METRIC_publish_refused], 1);
        return refuse(inspector, MQTT_PUBLISH, is_topic_too_long ? topic : response,
                      MQTT_REASON_TOPIC_NAME_INVALID);
    }
    if (topic.size == 0)
        return INSPECT_NEXT;
    join(bytes->scratch + TOPIC_PLACE, mount, topic);
    publish->topic = span_of(bytes->scratch + TOPIC_PLACE, mount.size + topic.size);
    return INSPECT_NEXT;
}

struct span mount_response_topic(const struct inspector *inspector, const struct inspect_bytes *bytes,
                                 const struct mqtt_props *props) {
    if (!mqtt_props_has(props, MQTT_PROP_RESPONSE_TOPIC))
        return SPAN_NONE;
    struct span topic = props->text[MQTT_PROP_RESPONSE_TOPIC];
    if (!mount_is_on(inspector))
        return topic;
    uint8_t *place = bytes->scratch + TOPIC_PLACE + UINT16_MAX;
    join(place, inspector->mount, topic);
    return span_of(place, inspector->mount.size + topic.size);
}

/* What stands in front of the mount point: "$share/NAME/" or nothing. Mosquitto shares before 5.0 as well. */
static struct span share_of(struct span filter) {
    struct span name, inner;
    if (!mqtt_topic_split_share(filter, &name, &inner) || inner.size == 0)
        return SPAN_NONE;
    return span_first(filter, (size_t)(inner.at - filter.at));
}

void mount_write_filter(struct writer *writer, const struct inspector *inspector, struct span filter) {
    struct span mount = inspector->mount;
    if (mount.size == 0) {
        writer_string(writer, filter);
        return;
    }
    struct span share = share_of(filter), inner = span_after(filter, share.size);
    /* A valid filter can only be spoiled where the two meet: `a` and `#` make `a#` (MQTT 5.0 4.7.1-1). */
    bool is_spoiled = mount.at[mount.size - 1] != '/' && (inner.at[0] == '#' || inner.at[0] == '+');
    if (is_spoiled || is_too_long(inspector, filter)) {
        writer->is_full = true;
        return;
    }
    writer_u16(writer, (uint16_t)(mount.size + filter.size));
    writer_bytes(writer, share);
    writer_bytes(writer, mount);
    writer_bytes(writer, inner);
}

struct span mount_filter(const struct inspector *inspector, const struct inspect_bytes *bytes,
                         struct span filter) {
    if (!mount_is_on(inspector))
        return filter;
    struct writer writer = writer_of(bytes->scratch, bytes->scratch_size);
    mount_write_filter(&writer, inspector, filter);
    return writer.is_full ? SPAN_NONE : span_after(writer_span(&writer), 2);
}

/* ---- packets with filters ---- */

enum inspect_result mount_make_room(struct inspector *inspector, const struct inspect_bytes *bytes,
                                    const struct mqtt_frame *frame, uint32_t filter_count) {
    size_t growth = inspector->mount.size * filter_count + 2; /* and the fixed header's */
    size_t size = mqtt_frame_size(frame) + growth;
    if (size > INSPECT_SCRATCH_SIZE - 5 ||
        (inspector->broker_packet_max != 0 && size > inspector->broker_packet_max))
        return step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
    size_t room = bytes->size - bytes->filled + bytes->scanned - bytes->judged;
    return room < growth ? INSPECT_FLUSH : INSPECT_NEXT;
}

enum inspect_result mount_unsubscribe(struct inspector *inspector, struct inspect_bytes *bytes,
                                      const struct mqtt_frame *frame,
                                      const struct mqtt_subscribe *unsubscribe, bool has_properties) {
    struct span old = step_body(bytes, frame);
    struct writer body = writer_of(bytes->scratch + 5, bytes->scratch_size - 5);
    struct reader entries = reader_of(unsubscribe->entries);
    struct mqtt_subscribe_entry entry;
    if (has_properties) {
        writer_bytes(&body, span_first(old, (size_t)(unsubscribe->entries.at - old.at)));
    } else { /* of version 5, since there were some: none is left */
        writer_u16(&body, unsubscribe->packet_id);
        writer_u8(&body, 0);
    }
    while (mqtt_subscribe_next(&entries, MQTT_UNSUBSCRIBE, &entry)) {
        mount_write_filter(&body, inspector, entry.filter);
        /* The SUBACK of such a filter was a refusal, so that there is nothing to take back. */
        if (body.is_full)
            return refuse(inspector, MQTT_UNSUBSCRIBE, entry.filter, MQTT_REASON_TOPIC_FILTER_INVALID);
    }
    if (!step_splice(bytes, mqtt_frame_size(frame), step_with_header(&body, frame)))
        return INSPECT_FLUSH;
    tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
    return INSPECT_NEXT;
}

/* ---- response topics ---- */

/* A property block in which the response topic is replaced by `front` and `text`; by nothing when both are
 * empty. */
struct block {
    struct span before, front, text, after;
    size_t size;
};

static struct block block_of(const struct mqtt_props *props, struct span front, struct span text) {
    struct span old = props->text[MQTT_PROP_RESPONSE_TOPIC];
    size_t before = (size_t)(old.at - props->raw.at) - RESPONSE_FRONT;
    struct block block = {.before = span_first(props->raw, before),
                          .front = front,
                          .text = text,
                          .after = span_after(props->raw, before + RESPONSE_FRONT + old.size)};
    size_t size = front.size + text.size;
    block.size = block.before.size + block.after.size + (size == 0 ? 0 : RESPONSE_FRONT + size);
    return block;
}

static void write_block(struct writer *writer, const struct block *block) {
    size_t size = block->front.size + block->text.size;
    writer_bytes(writer, block->before);
    if (size != 0) {
        writer_u8(writer, RESPONSE_ID);
        writer_u16(writer, (uint16_t)size);
        writer_bytes(writer, block->front);
        writer_bytes(writer, block->text);
    }
    writer_bytes(writer, block->after);
}

bool mount_has_inside(const struct inspector *inspector, struct span topic) {
    return topic.size > inspector->mount.size && span_begins_with(topic, inspector->mount);
}

static struct block changed_block(const struct inspector *inspector, enum mqtt_direction direction,
                                  const struct mqtt_props *props) {
    if (!mqtt_props_has(props, MQTT_PROP_RESPONSE_TOPIC))
        return (struct block){.before = props->raw, .size = props->raw.size};
    struct span text = props->text[MQTT_PROP_RESPONSE_TOPIC];
    if (direction == MQTT_TO_BROKER)
        return block_of(props, inspector->mount, text);
    bool is_inside = mount_has_inside(inspector, text);
    return block_of(props, SPAN_NONE, is_inside ? span_after(text, inspector->mount.size) : SPAN_NONE);
}

bool mount_will(const struct inspector *inspector, struct mqtt_connect *connect, uint8_t *scratch,
                size_t scratch_size) {
    struct mqtt_props *props = &connect->will_props;
    bool has_response = mqtt_props_has(props, MQTT_PROP_RESPONSE_TOPIC);
    struct writer writer = writer_of(scratch, scratch_size);
    if (is_too_long(inspector, connect->will_topic) ||
        (has_response && is_too_long(inspector, props->text[MQTT_PROP_RESPONSE_TOPIC])))
        return false;
    writer_bytes(&writer, inspector->mount);
    writer_bytes(&writer, connect->will_topic);
    size_t topic_size = writer_size(&writer);
    if (has_response) {
        struct block block = changed_block(inspector, MQTT_TO_BROKER, props);
        write_block(&writer, &block);
        props->text[MQTT_PROP_RESPONSE_TOPIC] = span_of(
            scratch + topic_size + block.before.size + RESPONSE_FRONT, block.front.size + block.text.size);
        props->raw = span_after(writer_span(&writer), topic_size);
    }
    connect->will_topic = span_of(scratch, topic_size);
    return !writer.is_full;
}

/* ---- PUBLISH ---- */

uint32_t mount_packet_max(const struct inspector *inspector, uint32_t broker_max) {
    if (!mount_is_on(inspector) || broker_max == UINT32_MAX)
        return broker_max;
    /* Topic and response topic, and what their sizes may add to the two lengths in front. */
    uint32_t growth = (uint32_t)(2 * inspector->mount.size) + 4;
    return broker_max > growth ? broker_max - growth : 1;
}

enum inspect_result mount_head(struct inspector *inspector, const struct inspect_way *way,
                               const struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                               const struct mqtt_publish *publish, bool is_bare, struct span *head) {
    bool is_to_broker = way->direction == MQTT_TO_BROKER;
    bool is_5 = inspector->version == MQTT_VERSION_5;
    uint8_t *place = bytes->scratch + TOPIC_PLACE;
    struct span topic = is_bare        ? SPAN_NONE
                        : is_to_broker ? publish->topic
                                       : span_after(publish->topic, inspector->mount.size);
    if (topic.size != 0 && topic.at != place)
        memcpy(place, topic.at, topic.size);
    struct writer rest = writer_of(place + topic.size, bytes->scratch_size - TOPIC_PLACE - topic.size);
    if (publish->qos != 0)
        writer_u16(&rest, publish->packet_id);
    if (is_5) {
        struct block block = changed_block(inspector, way->direction, &publish->props);
        uint8_t length[4];
        writer_bytes(&rest, span_of(length, mqtt_varint_write(length, (uint32_t)block.size)));
        write_block(&rest, &block);
    }
    size_t remaining = 2 + topic.size + writer_size(&rest) + publish->payload_size;
    uint8_t room[TOPIC_PLACE];
    struct writer front = writer_of(room, sizeof room);
    if (remaining > REMAINING_MAX)
        return step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
    mqtt_write_frame(&front, MQTT_PUBLISH, frame->flags, (uint32_t)remaining);
    writer_u16(&front, (uint16_t)topic.size);
    if (is_to_broker && inspector->broker_packet_max != 0 &&
        writer_size(&front) - 2 + remaining > inspector->broker_packet_max)
        return step_wrong(inspector, VIOLATION_PACKET_TOO_LARGE);
    if (rest.is_full || front.is_full)
        return INSPECT_NO_MEMORY;
    uint8_t *start = place - writer_size(&front);
    memcpy(start, room, writer_size(&front));
    *head = span_of(start, writer_size(&front) + topic.size + writer_size(&rest));
    return INSPECT_NEXT;
}
