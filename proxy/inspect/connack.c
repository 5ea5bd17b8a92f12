/* The CONNACK: what the broker grants, made no more than what we grant, so that an MQTT 5 device is promised
 * nothing that it will not get (MQTT 5.0 3.2.2.3). */
#include "inspect/mount.h"
#include "inspect/steps.h"
#include "mqtt/write.h"

/* What may be promised: the least of two, said or not. */
static const struct promise_row {
    enum mqtt_prop prop;
    uint8_t id, size; /* bytes of the value */
    uint32_t unsaid;  /* what it means to say nothing */
} rows[] = {
    {MQTT_PROP_RECEIVE_MAXIMUM, 0x21, 2, WINDOW_UNLIMITED},
    {MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0x22, 2, 0},
    {MQTT_PROP_MAXIMUM_QOS, 0x24, 1, 2},
    {MQTT_PROP_RETAIN_AVAILABLE, 0x25, 1, 1},
    {MQTT_PROP_MAXIMUM_PACKET_SIZE, 0x27, 4, UINT32_MAX},
    {MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE, 0x28, 1, 1},
    {MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE, 0x29, 1, 1},
    {MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE, 0x2A, 1, 1},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

struct promises {
    bool is_said[MQTT_PROP_COUNT];
    uint32_t value[MQTT_PROP_COUNT];
    bool is_changed;
};

/* What we grant. */
static uint32_t granted(const struct inspect_limits *limits, const struct promise_row *row) {
    switch (row->prop) {
    case MQTT_PROP_RECEIVE_MAXIMUM:
        return limits->receive_maximum == 0 ? row->unsaid : limits->receive_maximum;
    case MQTT_PROP_TOPIC_ALIAS_MAXIMUM: return limits->max_topic_alias;
    case MQTT_PROP_MAXIMUM_QOS: return limits->max_qos;
    case MQTT_PROP_RETAIN_AVAILABLE:
        return limits->retain_available && limits->retain_policy != RETAIN_REFUSE;
    case MQTT_PROP_MAXIMUM_PACKET_SIZE:
        return limits->max_packet_size == 0 ? row->unsaid : limits->max_packet_size;
    case MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE: return limits->wildcard_subscriptions;
    case MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE: return limits->subscription_identifiers;
    case MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE: return limits->shared_subscriptions;
    default: return row->unsaid;
    }
}

static void promise(struct promises *promises, const struct mqtt_props *props, const struct promise_row *row,
                    uint32_t ours) {
    uint32_t theirs = mqtt_props_number(props, row->prop, row->unsaid);
    uint32_t value = theirs < ours ? theirs : ours;
    promises->is_said[row->prop] = mqtt_props_has(props, row->prop) || value != row->unsaid;
    promises->value[row->prop] = value;
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

/* The device's name as the device knows it: the one that we made, or its own, of which it is told nothing. */
static bool is_renamed(const struct inspector *inspector, const struct mqtt_props *props) {
    return inspector->assigned_client_id.size != 0 ||
           (inspector->is_client_id_ours && mqtt_props_has(props, MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER));
}

/* The same, less what a mount_point adds to the device's packets on their way. */
static uint32_t granted_before_growth(const struct inspector *inspector, const struct mqtt_props *props,
                                      const struct promise_row *row) {
    uint32_t ours = granted(&inspector->limits, row);
    if (row->prop != MQTT_PROP_MAXIMUM_PACKET_SIZE)
        return ours;
    uint32_t theirs = mount_packet_max(inspector, mqtt_props_number(props, row->prop, row->unsaid));
    return theirs < ours ? theirs : ours;
}

static struct promises promises_of(const struct inspector *inspector, const struct mqtt_props *props) {
    struct promises promises = {.is_changed = is_renamed(inspector, props)};
    for (size_t i = 0; i < ROW_COUNT; i++)
        promise(&promises, props, &rows[i], granted_before_growth(inspector, props, &rows[i]));
    promise_keep_alive(inspector, &promises, props);
    if (promises.value[MQTT_PROP_MAXIMUM_QOS] == 2) {
        /* Only 0 and 1 may be said (3.2.2.3.4); 2 is said by saying nothing. */
        promises.is_said[MQTT_PROP_MAXIMUM_QOS] = false;
    }
    return promises;
}

static void write_promises(struct writer *writer, const struct promises *promises) {
    if (promises->is_said[MQTT_PROP_SERVER_KEEP_ALIVE]) {
        writer_u8(writer, 0x13);
        writer_u16(writer, (uint16_t)promises->value[MQTT_PROP_SERVER_KEEP_ALIVE]);
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
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
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].prop == prop)
            return true;
    return prop == MQTT_PROP_SERVER_KEEP_ALIVE;
}

/* Does this property of the broker's stay as it came? `is_short`: what may be left out is
 * (3.2.2-19, 3.2.2-20). */
static bool is_kept(const struct inspector *inspector, const struct mqtt_props *props, enum mqtt_prop prop,
                    bool is_short) {
    if (prop == MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER)
        return !is_renamed(inspector, props);
    if (prop == MQTT_PROP_REASON_STRING || prop == MQTT_PROP_USER_PROPERTY)
        return !is_short;
    return !is_promise(prop);
}

/* Empty when it does not fit. */
static struct span rewritten_connack(const struct inspector *inspector, const struct inspect_bytes *bytes,
                                     const struct mqtt_connack *connack, const struct promises *promises,
                                     bool is_short) {
    /* Properties first, behind room for the longest header (5), flags, code (2) and property length (4). */
    const size_t front = 11;
    struct writer props = writer_of(bytes->scratch + front, bytes->scratch_size - front);
    struct reader block = reader_of(connack->props.raw);
    struct mqtt_prop_item item;
    while (mqtt_props_next(&block, &item))
        if (is_kept(inspector, &connack->props, item.prop, is_short))
            writer_bytes(&props, item.whole);
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

static enum inspect_result pass_promises(struct inspector *inspector, struct inspect_bytes *bytes,
                                         const struct mqtt_frame *frame, const struct mqtt_connack *connack,
                                         const struct promises *promises) {
    if (!promises->is_changed) {
        step_pass(bytes, mqtt_frame_size(frame));
        return INSPECT_NEXT;
    }
    struct span packet = rewritten_connack(inspector, bytes, connack, promises, false);
    if (packet.size != 0 && !inspect_fits_device(inspector, packet.size))
        packet = rewritten_connack(inspector, bytes, connack, promises, true);
    if (packet.size == 0)
        return INSPECT_NO_MEMORY;
    if (!inspect_fits_device(inspector, packet.size)) {
        /* It cannot be told its limits, and would break them. */
        inspector->refused_reason = MQTT_REASON_PACKET_TOO_LARGE;
        return INSPECT_REFUSED;
    }
    if (!step_splice(bytes, mqtt_frame_size(frame), packet))
        return INSPECT_FLUSH;
    tally_add(&inspector->tally->rows[METRIC_packets_rewritten], 1);
    return INSPECT_NEXT;
}

enum inspect_result step_connack(struct inspector *inspector, struct inspect_bytes *bytes,
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
    struct promises promises = promises_of(inspector, &connack.props);
    enum inspect_result result = pass_promises(inspector, bytes, frame, &connack, &promises);
    if (result != INSPECT_NEXT)
        return result;
    /* Only now: a FLUSH above means that the CONNACK is judged once more. */
    inspector->from_device.aliases.max = (uint16_t)promises.value[MQTT_PROP_TOPIC_ALIAS_MAXIMUM];
    inspector->from_device.window.max = (uint16_t)promises.value[MQTT_PROP_RECEIVE_MAXIMUM];
    if (promises.is_said[MQTT_PROP_SERVER_KEEP_ALIVE]) /* 0 means no keep alive (3.2.2-21) */
        inspector->keep_alive_s = (uint16_t)promises.value[MQTT_PROP_SERVER_KEEP_ALIVE];
    inspector->broker_packet_max =
        mqtt_props_number(&connack.props, MQTT_PROP_MAXIMUM_PACKET_SIZE, 0); /* 0 is never said */
    inspector->state = INSPECT_OPEN;
    return INSPECT_STARTED;
}
