#include "mqtt/connect.h"

#include "mqtt/topic.h"
#include "mqtt/utf8.h"

/* The flags of a CONNECT. */
enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USERNAME = 0x80,
};

/* mosquitto's bridges set it in the protocol level (its option try_private). */
#define LEVEL_BRIDGE 0x80

static enum violation read_text(struct reader *reader, struct span *text) {
    *text = reader_string(reader);
    return reader->is_short ? VIOLATION_PACKET_TRUNCATED : mqtt_utf8_judge(*text);
}

/* Name and level belong together: MQIsdp 3, MQTT 4, MQTT 5. An unknown level takes the nearest version of its
 * name, in whose words it can be answered. */
static enum violation read_protocol(struct reader *reader, struct mqtt_connect *connect) {
    struct span name = reader_string(reader);
    uint8_t level = reader_u8(reader);
    if (reader->is_short)
        return VIOLATION_PACKET_TRUNCATED;
    bool is_31 = span_is_text(name, "MQIsdp");
    if (!is_31 && !span_is_text(name, "MQTT"))
        return VIOLATION_PROTOCOL_NAME;
    uint8_t bare = level & (uint8_t)~LEVEL_BRIDGE;
    connect->version = is_31 ? MQTT_VERSION_31 : bare >= 5 ? MQTT_VERSION_5 : MQTT_VERSION_311;
    connect->is_bridge = level != bare && connect->version != MQTT_VERSION_5;
    return (connect->is_bridge ? bare : level) == connect->version ? VIOLATION_NONE
                                                                   : VIOLATION_PROTOCOL_VERSION;
}

/* 3.1 asks for less: the lowest bit is kept for later without a word on its value, and without a will the
 * will's QoS and retain are disregarded (MQTT 3.1, 3.1, "Connect flags"). Brokers read it so; a QoS of 3,
 * which exists nowhere, they refuse even there. */
static enum violation judge_flags(uint8_t flags, enum mqtt_version version) {
    bool is_31 = version == MQTT_VERSION_31;
    if ((flags & FLAG_RESERVED) != 0 && !is_31)
        return VIOLATION_CONNECT_RESERVED;
    if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        return VIOLATION_CONNECT_WILL_QOS;
    if ((flags & FLAG_WILL) == 0 && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) != 0 && !is_31)
        return VIOLATION_CONNECT_WILL_FLAGS;
    if ((flags & FLAG_PASSWORD) != 0 && (flags & FLAG_USERNAME) == 0 && version != MQTT_VERSION_5)
        return VIOLATION_CONNECT_PASSWORD;
    return VIOLATION_NONE;
}

static enum mqtt_outcome read_will(struct reader *reader, struct mqtt_connect *connect,
                                   enum violation *violation) {
    if (connect->version == MQTT_VERSION_5) {
        enum mqtt_outcome outcome =
            mqtt_props_read(reader, MQTT_PROPS_OF_WILL, MQTT_TO_BROKER, &connect->will_props, violation);
        if (outcome != MQTT_WHOLE)
            return outcome;
    }
    connect->will_topic = reader_string(reader);
    connect->will_payload = reader_string(reader);
    if (reader->is_short)
        return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
    enum violation found = mqtt_topic_judge_name(connect->will_topic);
    return found == VIOLATION_NONE ? MQTT_WHOLE : mqtt_wrong(violation, found);
}

/* In 3.1 the packet's end goes before the flags: a name or password that is announced and not there is simply
 * not given (MQTT 3.1, 3.1, "User name and password flags"). */
static bool is_left_out(const struct reader *reader, const struct mqtt_connect *connect) {
    return connect->version == MQTT_VERSION_31 && reader_left(reader) == 0;
}

static enum violation read_credentials(struct reader *reader, uint8_t flags, struct mqtt_connect *connect) {
    connect->has_username = (flags & FLAG_USERNAME) != 0 && !is_left_out(reader, connect);
    if (connect->has_username) {
        enum violation found = read_text(reader, &connect->username);
        if (found != VIOLATION_NONE)
            return found;
    }
    connect->has_password = (flags & FLAG_PASSWORD) != 0 && !is_left_out(reader, connect);
    if (connect->has_password)
        connect->password = reader_string(reader);
    if (reader->is_short)
        return VIOLATION_PACKET_TRUNCATED;
    return reader_left(reader) == 0 ? VIOLATION_NONE : VIOLATION_PACKET_TRAILING;
}

enum mqtt_outcome mqtt_connect_read(struct span body, struct mqtt_connect *connect,
                                    enum violation *violation) {
    memset(connect, 0, sizeof *connect);
    struct reader reader = reader_of(body);
    enum violation found = read_protocol(&reader, connect);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation, found);

    uint8_t flags = reader_u8(&reader);
    connect->keep_alive_s = reader_u16(&reader);
    if (reader.is_short)
        return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
    found = judge_flags(flags, connect->version);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation, found);
    connect->clean_start = (flags & FLAG_CLEAN_START) != 0;
    connect->has_will = (flags & FLAG_WILL) != 0;
    if (connect->has_will) {
        connect->will_qos = (flags & FLAG_WILL_QOS) >> 3;
        connect->will_retain = (flags & FLAG_WILL_RETAIN) != 0;
    }

    if (connect->version == MQTT_VERSION_5 &&
        mqtt_props_read(&reader, MQTT_CONNECT, MQTT_TO_BROKER, &connect->props, violation) != MQTT_WHOLE)
        return MQTT_WRONG;
    found = read_text(&reader, &connect->client_id);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation, found);
    if (connect->has_will && read_will(&reader, connect, violation) != MQTT_WHOLE)
        return MQTT_WRONG;
    found = read_credentials(&reader, flags, connect);
    return found == VIOLATION_NONE ? MQTT_WHOLE : mqtt_wrong(violation, found);
}

/* 3.1 does not use the first byte; 3.1.1 and 5.0 keep all its bits but the lowest at 0. */
static enum violation judge_connack(uint8_t flags, uint8_t code, enum mqtt_version version) {
    if (version != MQTT_VERSION_31 && (flags & 0xFE) != 0)
        return VIOLATION_CONNACK_FLAGS;
    bool is_known =
        version == MQTT_VERSION_5 ? mqtt_reason_may_travel(code, MQTT_CONNACK, MQTT_TO_DEVICE) : code <= 5;
    if (!is_known)
        return VIOLATION_CONNACK_CODE;
    if (version != MQTT_VERSION_31 && flags != 0 && code != 0)
        return VIOLATION_CONNACK_SESSION_PRESENT;
    return VIOLATION_NONE;
}

enum mqtt_outcome mqtt_connack_read(struct span body, enum mqtt_version version, struct mqtt_connack *connack,
                                    enum violation *violation) {
    mqtt_props_clear(&connack->props);
    struct reader reader = reader_of(body);
    uint8_t flags = reader_u8(&reader);
    connack->code = reader_u8(&reader);
    if (reader.is_short)
        return mqtt_wrong(violation, VIOLATION_PACKET_TRUNCATED);
    enum violation found = judge_connack(flags, connack->code, version);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation, found);
    connack->session_present = version != MQTT_VERSION_31 && flags != 0;
    if (version == MQTT_VERSION_5 &&
        mqtt_props_read(&reader, MQTT_CONNACK, MQTT_TO_DEVICE, &connack->props, violation) != MQTT_WHOLE)
        return MQTT_WRONG;
    return reader_left(&reader) == 0 ? MQTT_WHOLE : mqtt_wrong(violation, VIOLATION_PACKET_TRAILING);
}
