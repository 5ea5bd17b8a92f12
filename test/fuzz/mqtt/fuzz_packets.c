/* Packets: the first byte chooses version, direction and where the bytes are cut, the rest is a stream that
 * is read packet by packet, each first in part and then whole, always up to a guard page. What must hold:
 *   - what a part says stays true when more comes: WRONG stays WRONG for the same reason, a head stays the
 * head;
 *   - reading twice gives the same;
 *   - a good packet taken apart (properties, filters) covers its bytes exactly;
 *   - what is written from what was read reads back the same. */
#include "mqtt/write.h"
#include "unit/mqtt/guard.h"
#include "unit/mqtt/whole.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

static uint8_t written[GUARD_SIZE];

static void check_props(const struct mqtt_props *props, struct span packet) {
    if (props->raw.size != 0)
        MUST(props->raw.at >= packet.at && props->raw.at + props->raw.size <= packet.at + packet.size);
    struct reader block = reader_of(props->raw);
    struct mqtt_prop_item item;
    uint32_t present = 0, user_count = 0;
    size_t size = 0;
    while (mqtt_props_next(&block, &item)) {
        present |= 1u << item.prop;
        user_count += item.prop == MQTT_PROP_USER_PROPERTY;
        size += item.whole.size;
    }
    MUST(present == props->present && user_count == props->user_count && size == props->raw.size);
}

static bool is_same_connect(const struct mqtt_connect *a, const struct mqtt_connect *b) {
    return a->version == b->version && a->is_bridge == b->is_bridge && a->clean_start == b->clean_start &&
           a->keep_alive_s == b->keep_alive_s && a->has_will == b->has_will && a->will_qos == b->will_qos &&
           a->will_retain == b->will_retain && a->has_username == b->has_username &&
           a->has_password == b->has_password && span_is_equal(a->client_id, b->client_id) &&
           span_is_equal(a->will_topic, b->will_topic) && span_is_equal(a->will_payload, b->will_payload) &&
           span_is_equal(a->username, b->username) && span_is_equal(a->password, b->password) &&
           span_is_equal(a->props.raw, b->props.raw) && span_is_equal(a->will_props.raw, b->will_props.raw);
}

static enum mqtt_version check_connect(struct span body) {
    struct mqtt_connect connect, again;
    enum violation violation;
    MUST(mqtt_connect_read(body, &connect, &violation) == MQTT_WHOLE);
    check_props(&connect.props, body);
    check_props(&connect.will_props, body);
    struct writer writer = writer_of(written, sizeof written);
    mqtt_write_connect(&writer, &connect);
    MUST(!writer.is_full);
    struct mqtt_frame frame;
    struct span packet = writer_span(&writer);
    MUST(mqtt_frame_read(packet, MQTT_VERSION_NONE, MQTT_TO_BROKER, &frame, &violation) == MQTT_WHOLE);
    MUST(mqtt_frame_size(&frame) == packet.size && mqtt_frame_is_minimal(&frame));
    /* 3.1 may announce a name or password and leave it out: written again they are not announced. */
    MUST(frame.remaining == body.size);
    MUST(mqtt_connect_read(span_after(packet, frame.header_size), &again, &violation) == MQTT_WHOLE);
    MUST(is_same_connect(&connect, &again));
    return connect.version;
}

static void check_subscribe(struct span body, enum mqtt_type type, enum mqtt_version version) {
    struct mqtt_subscribe subscribe;
    struct mqtt_subscribe_entry entry;
    enum violation violation;
    MUST(mqtt_subscribe_read(body, type, version, &subscribe, &violation) == MQTT_WHOLE);
    check_props(&subscribe.props, body);
    struct reader entries = reader_of(subscribe.entries);
    uint32_t count = 0;
    size_t size = 0;
    for (; mqtt_subscribe_next(&entries, type, &entry); count++)
        size += entry.whole.size;
    MUST(count == subscribe.filter_count && count != 0 && size == subscribe.entries.size);
    MUST(subscribe.entries.at + subscribe.entries.size == body.at + body.size);
}

static void check_ack(struct span body, enum mqtt_type type, enum mqtt_version version,
                      enum mqtt_direction direction) {
    struct mqtt_ack ack, again;
    enum violation violation;
    MUST(mqtt_ack_read(body, type, version, direction, &ack, &violation) == MQTT_WHOLE);
    check_props(&ack.props, body);
    if (type == MQTT_AUTH)
        return;
    struct span reason_string = mqtt_props_has(&ack.props, MQTT_PROP_REASON_STRING)
                                    ? ack.props.text[MQTT_PROP_REASON_STRING]
                                    : SPAN_NONE;
    struct writer writer = writer_of(written, sizeof written);
    if (type == MQTT_DISCONNECT)
        mqtt_write_disconnect(&writer, version, ack.reason, reason_string);
    else
        mqtt_write_ack(&writer, version, type, ack.packet_id, ack.reason, reason_string);
    MUST(!writer.is_full);
    struct mqtt_frame frame;
    struct span packet = writer_span(&writer);
    MUST(mqtt_frame_read(packet, version, direction, &frame, &violation) == MQTT_WHOLE);
    MUST(mqtt_frame_size(&frame) == packet.size);
    MUST(mqtt_ack_read(span_after(packet, frame.header_size), type, version, direction, &again, &violation) ==
         MQTT_WHOLE);
    MUST(again.packet_id == ack.packet_id && again.reason == ack.reason);
}

static void check_publish(const struct mqtt_frame *frame, struct span packet, enum mqtt_version version,
                          enum mqtt_direction direction) {
    struct mqtt_publish publish;
    enum violation violation;
    MUST(mqtt_publish_read(frame, packet, version, direction, &publish, &violation) == MQTT_WHOLE);
    check_props(&publish.props, packet);
    MUST(publish.head_size + publish.payload_size == mqtt_frame_size(frame));
    MUST((publish.packet_id != 0) == (publish.qos != 0) && publish.qos <= 2);
    MUST(publish.topic.size != 0 || publish.topic_alias != 0);
    /* The head alone is enough, one byte less is not. */
    struct span head = guard_copy(span_first(packet, publish.head_size));
    MUST(mqtt_publish_read(frame, head, version, direction, &publish, &violation) == MQTT_WHOLE);
    size_t head_size = publish.head_size;
    head = guard_copy(span_first(head, head_size - 1));
    MUST(mqtt_publish_read(frame, head, version, direction, &publish, &violation) == MQTT_MORE);
    MUST(publish.head_size > head.size && publish.head_size <= head_size);
}

/* A packet that was found good: what is known of its inside. Gives the version to go on with. */
static enum mqtt_version check_good(const struct mqtt_frame *frame, struct span packet,
                                    enum mqtt_version version, enum mqtt_direction direction) {
    struct span body = span_after(packet, frame->header_size);
    struct mqtt_connack connack;
    struct mqtt_suback suback;
    enum violation violation;
    switch (frame->type) {
    case MQTT_CONNECT: return check_connect(body);
    case MQTT_PUBLISH: check_publish(frame, packet, version, direction); break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE: check_subscribe(body, frame->type, version); break;
    case MQTT_CONNACK:
        MUST(mqtt_connack_read(body, version, &connack, &violation) == MQTT_WHOLE);
        check_props(&connack.props, body);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        MUST(mqtt_suback_read(body, frame->type, version, &suback, &violation) == MQTT_WHOLE);
        check_props(&suback.props, body);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: break;
    default: check_ack(body, frame->type, version, direction); break;
    }
    return version;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const enum mqtt_version versions[4] = {MQTT_VERSION_NONE, MQTT_VERSION_31, MQTT_VERSION_311,
                                                  MQTT_VERSION_5};
    if (size < 1 || size > GUARD_SIZE / 2)
        return 0;
    enum mqtt_version version = versions[bytes[0] & 3];
    enum mqtt_direction direction = (bytes[0] & 4) != 0 ? MQTT_TO_DEVICE : MQTT_TO_BROKER;
    uint32_t chance = bytes[0] * 2654435761u + (uint32_t)size;
    struct span left = span_of(bytes + 1, size - 1);
    while (left.size != 0) {
        enum violation first = VIOLATION_NONE, last = VIOLATION_NONE;
        chance = chance * 1664525u + 1013904223u;
        struct span part = span_first(left, chance % (left.size < 64 ? left.size + 1 : 64));
        enum mqtt_outcome before = whole_read(guard_copy(part), version, direction, &first);
        struct span copy = guard_copy(left);
        enum mqtt_outcome outcome = whole_read(copy, version, direction, &last);
        MUST(before == MQTT_MORE || (before == outcome && first == last));
        MUST((outcome == MQTT_WRONG) == (last != VIOLATION_NONE));
        if (outcome != MQTT_WHOLE)
            return 0;
        struct mqtt_frame frame;
        enum mqtt_version frame_version = copy.at[0] >> 4 == MQTT_CONNECT ? MQTT_VERSION_NONE : version;
        MUST(mqtt_frame_read(copy, frame_version, direction, &frame, &last) == MQTT_WHOLE);
        size_t whole = mqtt_frame_size(&frame);
        /* The same packet, now ending at the guard, and nothing behind it: the same answer. */
        copy = guard_copy(span_first(left, whole));
        MUST(whole_read(copy, version, direction, &last) == MQTT_WHOLE);
        MUST(whole_read(guard_copy(span_first(left, whole - 1)), version, direction, &last) == MQTT_MORE);
        copy = guard_copy(span_first(left, whole));
        version = check_good(&frame, copy, version, direction);
        left = span_after(left, whole);
    }
    return 0;
}
