/* PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/acks.h"
#include "unit/mqtt/guard.h"

static enum mqtt_outcome read(struct span body, enum mqtt_type type, enum mqtt_version version,
                              enum mqtt_direction direction, struct mqtt_ack *ack,
                              enum violation *violation) {
    memset(ack, 0xEE, sizeof *ack);
    *violation = VIOLATION_NONE;
    return mqtt_ack_read(guard_copy(body), type, version, direction, ack, violation);
}
#define BODY(text) SPAN_LITERAL(text)

static void the_short_forms(void **state) {
    (void)state;
    struct mqtt_ack ack;
    enum violation violation;
    for (enum mqtt_type type = MQTT_PUBACK; type <= MQTT_PUBCOMP; type++)
        for (int version = 3; version <= 5; version++) {
            assert_int_equal(
                read(BODY("\1\2"), type, (enum mqtt_version)version, MQTT_TO_BROKER, &ack, &violation),
                MQTT_WHOLE);
            assert_int_equal(ack.packet_id, 258);
            assert_int_equal(ack.reason, 0);
            assert_int_equal(ack.props.present, 0);
            enum mqtt_outcome rest = version == 5 ? MQTT_WHOLE : MQTT_WRONG;
            assert_int_equal(
                read(BODY("\1\2\0"), type, (enum mqtt_version)version, MQTT_TO_DEVICE, &ack, &violation),
                rest);
            assert_int_equal(
                read(BODY("\1\2\0\0"), type, (enum mqtt_version)version, MQTT_TO_DEVICE, &ack, &violation),
                rest);
        }
    for (int version = 3; version <= 5; version++) {
        assert_int_equal(
            read(SPAN_NONE, MQTT_DISCONNECT, (enum mqtt_version)version, MQTT_TO_BROKER, &ack, &violation),
            MQTT_WHOLE);
        assert_int_equal(ack.reason, 0);
        assert_int_equal(ack.packet_id, 0);
    }
    assert_int_equal(read(BODY("\x04"), MQTT_DISCONNECT, MQTT_VERSION_5, MQTT_TO_BROKER, &ack, &violation),
                     MQTT_WHOLE);
    assert_int_equal(ack.reason, 4);
    assert_int_equal(read(SPAN_NONE, MQTT_AUTH, MQTT_VERSION_5, MQTT_TO_DEVICE, &ack, &violation),
                     MQTT_WHOLE);
    assert_int_equal(read(SPAN_NONE, MQTT_AUTH, MQTT_VERSION_311, MQTT_TO_DEVICE, &ack, &violation),
                     MQTT_WRONG);
}

static void properties_come_out(void **state) {
    (void)state;
    struct mqtt_ack ack;
    enum violation violation;
    assert_int_equal(
        read(BODY("\1\2\x87\5\x1F\0\2no"), MQTT_PUBREC, MQTT_VERSION_5, MQTT_TO_DEVICE, &ack, &violation),
        MQTT_WHOLE);
    assert_int_equal(ack.reason, 0x87);
    assert_true(span_is_text(ack.props.text[MQTT_PROP_REASON_STRING], "no"));
    assert_int_equal(
        read(BODY("\0\5\x11\0\0\0\7"), MQTT_DISCONNECT, MQTT_VERSION_5, MQTT_TO_BROKER, &ack, &violation),
        MQTT_WHOLE);
    assert_int_equal(mqtt_props_number(&ack.props, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0), 7);
    assert_int_equal(
        read(BODY("\x18\x08\x15\0\1m\x16\0\1d"), MQTT_AUTH, MQTT_VERSION_5, MQTT_TO_BROKER, &ack, &violation),
        MQTT_WHOLE);
    assert_true(span_is_text(ack.props.text[MQTT_PROP_AUTHENTICATION_DATA], "d"));
}

/* Every reason, in every packet, from either side. */
static void all_reasons(void **state) {
    (void)state;
    const enum mqtt_type types[] = {MQTT_PUBACK,  MQTT_PUBREC,     MQTT_PUBREL,
                                    MQTT_PUBCOMP, MQTT_DISCONNECT, MQTT_AUTH};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (unsigned reason = 0; reason < 256; reason++)
            for (int direction = MQTT_TO_BROKER; direction <= MQTT_TO_DEVICE; direction++) {
                uint8_t bytes[8] = {0, 1};
                size_t size = types[i] == MQTT_DISCONNECT || types[i] == MQTT_AUTH ? 0 : 2;
                bytes[size++] = (uint8_t)reason;
                if (types[i] == MQTT_AUTH) {
                    const uint8_t method[] = {4, 0x15, 0, 1, 'm'};
                    memcpy(bytes + size, method, sizeof method);
                    size += sizeof method;
                }
                struct mqtt_ack ack;
                enum violation violation;
                enum mqtt_outcome outcome = read(span_of(bytes, size), types[i], MQTT_VERSION_5,
                                                 (enum mqtt_direction)direction, &ack, &violation);
                bool may = mqtt_reason_may_travel((uint8_t)reason, types[i], (enum mqtt_direction)direction);
                assert_int_equal(outcome, may ? MQTT_WHOLE : MQTT_WRONG);
                if (may)
                    assert_int_equal(ack.reason, reason);
                else
                    assert_int_equal(violation, mqtt_reason_is_allowed((uint8_t)reason, types[i])
                                                    ? VIOLATION_REASON_DIRECTION
                                                    : VIOLATION_REASON_CODE);
            }
}

static void too_short_and_of_no_type(void **state) {
    (void)state;
    struct mqtt_ack ack;
    enum violation violation;
    assert_int_equal(read(BODY("\1"), MQTT_PUBACK, MQTT_VERSION_5, MQTT_TO_BROKER, &ack, &violation),
                     MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PACKET_TRUNCATED);
    assert_int_equal(read(SPAN_NONE, MQTT_PUBACK, MQTT_VERSION_311, MQTT_TO_BROKER, &ack, &violation),
                     MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PACKET_TRUNCATED);
    assert_int_equal(read(SPAN_NONE, MQTT_AUTH, MQTT_VERSION_311, MQTT_TO_DEVICE, &ack, &violation),
                     MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PACKET_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_short_forms),
        cmocka_unit_test(properties_come_out),
        cmocka_unit_test(all_reasons),
        cmocka_unit_test(too_short_and_of_no_type),
    };
    return cmocka_run_group_tests_name("mqtt/acks", tests, NULL, NULL);
}
