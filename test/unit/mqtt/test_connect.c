/* CONNECT and CONNACK: what comes out of the good ones, and the fine points of the versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/writer.h"
#include "unit/mqtt/guard.h"
#include "unit/mqtt/samples.h"
#include "unit/mqtt/whole.h"

#define BODY(text) guard_copy(SPAN_LITERAL(text))

static enum mqtt_outcome read(struct span body, struct mqtt_connect *connect, enum violation *violation) {
    *violation = VIOLATION_NONE;
    return mqtt_connect_read(body, connect, violation);
}

static void all_fields_come_out(void **state) {
    (void)state;
    struct mqtt_connect connect;
    enum violation violation;
    struct span body = BODY("\0\4MQTT\5\xF6\x01\x02"
                            "\5\x11\0\0\0\7"
                            "\0\3dev"
                            "\5\x18\0\0\0\x09"
                            "\0\4will\0\2\0\xFF"
                            "\0\4user\0\2\xFE\0");
    assert_int_equal(read(body, &connect, &violation), MQTT_WHOLE);
    assert_int_equal(connect.version, MQTT_VERSION_5);
    assert_false(connect.is_bridge);
    assert_true(connect.clean_start);
    assert_int_equal(connect.keep_alive_s, 258);
    assert_true(span_is_text(connect.client_id, "dev"));
    assert_true(connect.has_will && connect.will_retain);
    assert_int_equal(connect.will_qos, 2);
    assert_true(span_is_text(connect.will_topic, "will"));
    assert_true(span_is_equal(connect.will_payload, SPAN_LITERAL("\0\xFF")));
    assert_int_equal(mqtt_props_number(&connect.props, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0), 7);
    assert_int_equal(mqtt_props_number(&connect.will_props, MQTT_PROP_WILL_DELAY_INTERVAL, 0), 9);
    assert_true(connect.has_username && span_is_text(connect.username, "user"));
    assert_true(connect.has_password && span_is_equal(connect.password, SPAN_LITERAL("\xFE\0")));
}

static void bare_ones_have_no_more(void **state) {
    (void)state;
    struct mqtt_connect connect;
    enum violation violation;
    assert_int_equal(read(BODY("\0\6MQIsdp\x83\0\0\0\0\0"), &connect, &violation), MQTT_WHOLE);
    assert_int_equal(connect.version, MQTT_VERSION_31);
    assert_true(connect.is_bridge);
    assert_false(connect.clean_start || connect.has_will || connect.has_username || connect.has_password);
    assert_int_equal(connect.client_id.size, 0);
    assert_int_equal(connect.props.present, 0);
}

/* Name and level, in full: every level with each name. */
static void names_and_levels(void **state) {
    (void)state;
    for (unsigned level = 0; level < 256; level++) {
        uint8_t old[] = "\0\6MQIsdp_\2\0\0\0\1a", new[] = "\0\4MQTT_\2\0\0\0\1a",
                five[] = "\0\4MQTT_\2\0\0\0\0\1a";
        old[8] = new[6] = five[6] = (uint8_t)level;
        struct mqtt_connect connect;
        enum violation violation;
        read(guard_copy(span_of(old, sizeof old - 1)), &connect, &violation);
        assert_int_equal(violation,
                         level == 3 || level == 0x83 ? VIOLATION_NONE : VIOLATION_PROTOCOL_VERSION);
        assert_int_equal(connect.version, MQTT_VERSION_31);
        bool is_5 = level == 5;
        read(guard_copy(is_5 ? span_of(five, sizeof five - 1) : span_of(new, sizeof new - 1)), &connect,
             &violation);
        assert_int_equal(violation,
                         is_5 || level == 4 || level == 0x84 ? VIOLATION_NONE : VIOLATION_PROTOCOL_VERSION);
        assert_int_equal(connect.version, (level & 0x7F) >= 5 ? MQTT_VERSION_5 : MQTT_VERSION_311);
    }
}

static void the_version_is_known_when_a_later_field_is_wrong(void **state) {
    (void)state;
    struct mqtt_connect connect;
    enum violation violation;
    assert_int_equal(read(BODY("\0\4MQTT\5\2\0\0\0\0\1\xFF"), &connect, &violation), MQTT_WRONG);
    assert_int_equal(connect.version, MQTT_VERSION_5);
    assert_int_equal(read(BODY("\0\4MQTX\5\2\0\0\0\0\1a"), &connect, &violation), MQTT_WRONG);
    assert_int_equal(connect.version, MQTT_VERSION_NONE);
    assert_int_equal(violation, VIOLATION_PROTOCOL_NAME);
}

/* All flags of all versions, each with a body that fits them. */
static void all_flags(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++)
        for (unsigned flags = 0; flags < 256; flags++) {
            uint8_t bytes[64];
            struct writer body = writer_of(bytes, sizeof bytes);
            writer_string(&body, span_of_text(version == 3 ? "MQIsdp" : "MQTT"));
            writer_u8(&body, (uint8_t)version);
            writer_u8(&body, (uint8_t)flags);
            writer_u16(&body, 0);
            if (version == 5)
                writer_u8(&body, 0);
            writer_string(&body, span_of_text("id"));
            if (version == 5 && (flags & 4) != 0)
                writer_u8(&body, 0);
            for (unsigned bit = 4; bit != 0; bit = bit == 4 ? 0x80 : bit == 0x80 ? 0x40 : 0)
                for (unsigned k = 0; (flags & bit) != 0 && k < (bit == 4 ? 2u : 1u); k++)
                    writer_string(&body, span_of_text("x"));
            bool has_will = (flags & 4) != 0, is_31 = version == 3;
            bool is_good = (is_31 || (flags & 1) == 0) && (flags & 0x18) != 0x18 &&
                           (is_31 || has_will || (flags & 0x38) == 0) &&
                           (version == 5 || (flags & 0xC0) != 0x40);
            struct mqtt_connect connect;
            enum violation violation;
            if (read(guard_copy(writer_span(&body)), &connect, &violation) !=
                (is_good ? MQTT_WHOLE : MQTT_WRONG))
                fail_msg("version %d, flags %02x: %s", version, flags, violation_rows[violation].name);
            if (!is_good)
                continue;
            assert_int_equal(connect.has_will, has_will);
            assert_int_equal(connect.will_qos, has_will ? flags >> 3 & 3 : 0);
            assert_int_equal(connect.will_retain, has_will && (flags & 0x20) != 0);
            assert_int_equal(connect.has_username, (flags & 0x80) != 0);
            assert_int_equal(connect.has_password, (flags & 0x40) != 0);
            assert_int_equal(connect.clean_start, (flags & 2) != 0);
        }
}

/* 3.1: announced and not there. Elsewhere that is a packet cut short (see the samples). */
static void credentials_left_out_in_31(void **state) {
    (void)state;
    struct mqtt_connect connect;
    enum violation violation;
    assert_int_equal(read(BODY("\0\6MQIsdp\3\xC2\0\0\0\1a"), &connect, &violation), MQTT_WHOLE);
    assert_false(connect.has_username || connect.has_password);
    assert_int_equal(read(BODY("\0\6MQIsdp\3\xC2\0\0\0\1a\0\1u"), &connect, &violation), MQTT_WHOLE);
    assert_true(connect.has_username && !connect.has_password);
    assert_int_equal(read(BODY("\0\6MQIsdp\3\xC2\0\0\0\1a\0\1u\0"), &connect, &violation), MQTT_WRONG);
}

static void no_prefix_of_a_body_is_a_body(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        if (!sample->is_good || sample->bytes.at[0] != 0x10 || sample->version == MQTT_VERSION_31)
            continue;
        struct mqtt_frame frame;
        enum violation violation;
        assert_int_equal(
            mqtt_frame_read(sample->bytes, MQTT_VERSION_NONE, MQTT_TO_BROKER, &frame, &violation),
            MQTT_WHOLE);
        struct span body = span_after(sample->bytes, frame.header_size);
        for (size_t size = 0; size < body.size; size++) {
            struct mqtt_connect connect;
            if (read(guard_copy(span_first(body, size)), &connect, &violation) != MQTT_WRONG)
                fail_msg("%s, first %zu bytes", sample->name, size);
        }
    }
}

static void connacks(void **state) {
    (void)state;
    struct mqtt_connack connack;
    enum violation violation = VIOLATION_NONE;
    assert_int_equal(mqtt_connack_read(BODY("\1\0"), MQTT_VERSION_311, &connack, &violation), MQTT_WHOLE);
    assert_true(connack.session_present);
    assert_int_equal(connack.code, 0);
    assert_int_equal(mqtt_connack_read(BODY("\1\5"), MQTT_VERSION_31, &connack, &violation), MQTT_WHOLE);
    assert_false(connack.session_present);
    assert_int_equal(connack.code, 5);
    assert_int_equal(mqtt_connack_read(BODY("\0\x87\3\x21\0\5"), MQTT_VERSION_5, &connack, &violation),
                     MQTT_WHOLE);
    assert_int_equal(connack.code, 0x87);
    assert_int_equal(mqtt_props_number(&connack.props, MQTT_PROP_RECEIVE_MAXIMUM, 0), 5);
    assert_int_equal(mqtt_connack_read(BODY("\1\x87\0"), MQTT_VERSION_5, &connack, &violation), MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_CONNACK_SESSION_PRESENT);
}

/* Bodies that no fixed header would announce: the readers need no help to see it. */
static void too_short_by_themselves(void **state) {
    (void)state;
    struct mqtt_connect connect;
    struct mqtt_connack connack;
    enum violation violation;
    const struct span body = SPAN_LITERAL("\0\4MQTT\4\2\0");
    for (size_t size = 0; size <= body.size; size++) {
        assert_int_equal(read(guard_copy(span_first(body, size)), &connect, &violation), MQTT_WRONG);
        assert_int_equal(violation, VIOLATION_PACKET_TRUNCATED);
    }
    for (size_t size = 0; size < 2; size++) {
        violation = VIOLATION_NONE;
        assert_int_equal(
            mqtt_connack_read(guard_copy(span_first(body, size)), MQTT_VERSION_311, &connack, &violation),
            MQTT_WRONG);
        assert_int_equal(violation, VIOLATION_PACKET_TRUNCATED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_come_out),
        cmocka_unit_test(bare_ones_have_no_more),
        cmocka_unit_test(names_and_levels),
        cmocka_unit_test(the_version_is_known_when_a_later_field_is_wrong),
        cmocka_unit_test(all_flags),
        cmocka_unit_test(credentials_left_out_in_31),
        cmocka_unit_test(no_prefix_of_a_body_is_a_body),
        cmocka_unit_test(connacks),
        cmocka_unit_test(too_short_by_themselves),
    };
    return cmocka_run_group_tests_name("mqtt/connect", tests, NULL, NULL);
}
