#include "mqtt/write.h"

#define REMAINING_MAX 268435455u

static void write_varint(struct writer *writer, uint32_t value) {
    uint8_t bytes[4];
    writer_bytes(writer, span_of(bytes, mqtt_varint_write(bytes, value)));
}

void mqtt_write_frame(struct writer *writer, enum mqtt_type type, uint8_t flags, uint32_t remaining) {
    if (remaining > REMAINING_MAX) {
        writer->is_full = true;
        return;
    }
    writer_u8(writer, (uint8_t)((unsigned)type << 4 | flags));
    write_varint(writer, remaining);
}

/* The fixed header, if the whole packet has room: no half packet is ever written. */
static bool begin_packet(struct writer *writer, enum mqtt_type type, uint8_t flags, size_t remaining) {
    if (remaining > REMAINING_MAX ||
        (size_t)(writer->end - writer->at) < 1 + mqtt_varint_size((uint32_t)remaining) + remaining)
        writer->is_full = true;
    if (writer->is_full)
        return false;
    mqtt_write_frame(writer, type, flags, (uint32_t)remaining);
    return true;
}

/* A property block that holds at most a reason string: its size with its length, and the block itself. */
static size_t reason_props_size(struct span reason_string) {
    size_t size = reason_string.size == 0 ? 0 : 3 + reason_string.size;
    return mqtt_varint_size((uint32_t)size) + size;
}

static void write_reason_props(struct writer *writer, struct span reason_string) {
    write_varint(writer, reason_string.size == 0 ? 0 : (uint32_t)(3 + reason_string.size));
    if (reason_string.size == 0)
        return;
    writer_u8(writer, 0x1F);
    writer_string(writer, reason_string);
}

uint8_t mqtt_connack_code_of(uint8_t reason) {
    switch (reason) {
    case MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION: return 1;
    case MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID: return 2;
    case MQTT_REASON_BAD_USER_NAME_OR_PASSWORD: return 4;
    case MQTT_REASON_NOT_AUTHORIZED:
    case MQTT_REASON_BANNED:
    case MQTT_REASON_BAD_AUTHENTICATION_METHOD: return 5;
    default: return reason < 0x80 ? 0 : 3;
    }
}

void mqtt_write_connack(struct writer *writer, enum mqtt_version version, uint8_t reason,
                        struct span reason_string) {
    bool is_5 = version == MQTT_VERSION_5;
    if (reason_string.size > UINT16_MAX)
        writer->is_full = true;
    if (!begin_packet(writer, MQTT_CONNACK, 0, 2 + (is_5 ? reason_props_size(reason_string) : 0)))
        return;
    writer_u8(writer, 0);
    writer_u8(writer, is_5 ? reason : mqtt_connack_code_of(reason));
    if (is_5)
        write_reason_props(writer, reason_string);
}

void mqtt_write_ack(struct writer *writer, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id,
                    uint8_t reason, struct span reason_string) {
    bool is_5 = version == MQTT_VERSION_5;
    bool has_props = is_5 && reason_string.size != 0;
    bool has_reason = is_5 && (reason != MQTT_REASON_SUCCESS || has_props);
    if (reason_string.size > UINT16_MAX)
        writer->is_full = true;
    size_t remaining = 2 + (has_reason ? 1u : 0u) + (has_props ? reason_props_size(reason_string) : 0);
    if (!begin_packet(writer, type, type == MQTT_PUBREL ? 2 : 0, remaining))
        return;
    writer_u16(writer, packet_id);
    if (has_reason)
        writer_u8(writer, reason);
    if (has_props)
        write_reason_props(writer, reason_string);
}

void mqtt_write_suback(struct writer *writer, enum mqtt_version version, enum mqtt_type type,
                       uint16_t packet_id, struct span codes) {
    bool is_5 = version == MQTT_VERSION_5;
    if (type == MQTT_UNSUBACK && !is_5)
        codes = SPAN_NONE;
    if (codes.size > REMAINING_MAX || !begin_packet(writer, type, 0, 2 + (is_5 ? 1u : 0u) + codes.size)) {
        writer->is_full = true;
        return;
    }
    writer_u16(writer, packet_id);
    if (is_5)
        write_reason_props(writer, SPAN_NONE);
    writer_bytes(writer, codes);
}

/* The property length is written even where it could be left out: some clients do not know the form without
 * it. */
void mqtt_write_disconnect(struct writer *writer, enum mqtt_version version, uint8_t reason,
                           struct span reason_string) {
    bool is_bare = version != MQTT_VERSION_5 || (reason == MQTT_REASON_SUCCESS && reason_string.size == 0);
    if (reason_string.size > UINT16_MAX)
        writer->is_full = true;
    if (!begin_packet(writer, MQTT_DISCONNECT, 0, is_bare ? 0 : 1 + reason_props_size(reason_string)) ||
        is_bare)
        return;
    writer_u8(writer, reason);
    write_reason_props(writer, reason_string);
}

void mqtt_write_pingresp(struct writer *writer) {
    begin_packet(writer, MQTT_PINGRESP, 0, 0);
}

static uint8_t connect_flags(const struct mqtt_connect *connect) {
    unsigned flags = connect->clean_start ? 0x02 : 0;
    if (connect->has_will)
        flags |= 0x04u | (connect->will_qos & 3u) << 3 | (connect->will_retain ? 0x20u : 0);
    if (connect->has_password)
        flags |= 0x40;
    if (connect->has_username)
        flags |= 0x80;
    return (uint8_t)flags;
}

static void write_props(struct writer *writer, const struct mqtt_props *props) {
    write_varint(writer, (uint32_t)props->raw.size);
    writer_bytes(writer, props->raw);
}

static void write_connect_body(struct writer *writer, const struct mqtt_connect *connect) {
    bool is_5 = connect->version == MQTT_VERSION_5;
    writer_string(writer, span_of_text(connect->version == MQTT_VERSION_31 ? "MQIsdp" : "MQTT"));
    writer_u8(writer, (uint8_t)((unsigned)connect->version | (connect->is_bridge && !is_5 ? 0x80u : 0)));
    writer_u8(writer, connect_flags(connect));
    writer_u16(writer, connect->keep_alive_s);
    if (is_5)
        write_props(writer, &connect->props);
    writer_string(writer, connect->client_id);
    if (connect->has_will) {
        if (is_5)
            write_props(writer, &connect->will_props);
        writer_string(writer, connect->will_topic);
        writer_string(writer, connect->will_payload);
    }
    if (connect->has_username)
        writer_string(writer, connect->username);
    if (connect->has_password)
        writer_string(writer, connect->password);
}

/* The bytes that write_connect_body takes; more than a packet can hold when a field is too long. */
static size_t connect_body_size(const struct mqtt_connect *connect) {
    bool is_5 = connect->version == MQTT_VERSION_5;
    if (connect->props.raw.size > REMAINING_MAX || connect->will_props.raw.size > REMAINING_MAX)
        return SIZE_MAX;
    const struct span texts[] = {
        connect->client_id,
        connect->has_will ? connect->will_topic : SPAN_NONE,
        connect->has_will ? connect->will_payload : SPAN_NONE,
        connect->has_username ? connect->username : SPAN_NONE,
        connect->has_password ? connect->password : SPAN_NONE,
    };
    size_t size = (connect->version == MQTT_VERSION_31 ? 8u : 6u) + 4 + 2 + (connect->has_will ? 4u : 0u) +
                  (connect->has_username ? 2u : 0u) + (connect->has_password ? 2u : 0u);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].size > UINT16_MAX)
            return SIZE_MAX;
        size += texts[i].size;
    }
    if (is_5)
        size += mqtt_varint_size((uint32_t)connect->props.raw.size) + connect->props.raw.size;
    if (is_5 && connect->has_will)
        size += mqtt_varint_size((uint32_t)connect->will_props.raw.size) + connect->will_props.raw.size;
    return size;
}

void mqtt_write_connect(struct writer *writer, const struct mqtt_connect *connect) {
    if (begin_packet(writer, MQTT_CONNECT, 0, connect_body_size(connect)))
        write_connect_body(writer, connect);
}
