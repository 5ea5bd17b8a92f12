/* The head of a PUBLISH: how much of it is wanted, what comes out, what is refused before it is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/mqtt/guard.h"
#include "unit/mqtt/samples.h"
#include "unit/mqtt/whole.h"

static enum mqtt_outcome read(struct span bytes, enum mqtt_version version, enum mqtt_direction direction,
                              struct mqtt_publish *publish, enum violation *violation) {
    struct mqtt_frame frame;
    struct span copy = guard_copy(bytes);
    *violation = VIOLATION_NONE;
    enum mqtt_outcome outcome = mqtt_frame_read(copy, version, direction, &frame, violation);
    return outcome == MQTT_WHOLE ? mqtt_publish_read(&frame, copy, version, direction, publish, violation)
                                 : outcome;
}
#define BYTES(text) SPAN_LITERAL(text)

static void all_fields_come_out(void **state) {
    (void)state;
    struct mqtt_publish publish;
    enum violation violation;
    struct span bytes = BYTES("\x3D\x11\0\3a/b\x12\x34\5\x23\0\7\1\1hello");
    assert_int_equal(read(bytes, MQTT_VERSION_5, MQTT_TO_BROKER, &publish, &violation), MQTT_WHOLE);
    assert_true(publish.dup && publish.retain);
    assert_int_equal(publish.qos, 2);
    assert_true(span_is_text(publish.topic, "a/b"));
    assert_int_equal(publish.packet_id, 0x1234);
    assert_int_equal(publish.topic_alias, 7);
    assert_int_equal(publish.head_size, 15);
    assert_int_equal(publish.payload_size, 4);
    assert_int_equal(mqtt_props_number(&publish.props, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 0), 1);

    bytes = BYTES("\x30\x04\0\1xy");
    assert_int_equal(read(bytes, MQTT_VERSION_311, MQTT_TO_DEVICE, &publish, &violation), MQTT_WHOLE);
    assert_false(publish.dup || publish.retain);
    assert_int_equal(publish.qos, 0);
    assert_int_equal(publish.packet_id, 0);
    assert_int_equal(publish.topic_alias, 0);
    assert_int_equal(publish.props.present, 0);
    assert_int_equal(publish.head_size, 5);
    assert_int_equal(publish.payload_size, 1);
}

/* Each prefix of the head of each good sample is MORE and says how much it waits for; from the head on, the
 * answer is WHOLE and stays the same, whatever of the payload is there. */
static void the_head_is_enough(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        if (!sample->is_good || sample->bytes.at[0] >> 4 != MQTT_PUBLISH)
            continue;
        struct mqtt_publish whole, part;
        enum violation violation;
        assert_int_equal(read(sample->bytes, sample->version, sample->direction, &whole, &violation),
                         MQTT_WHOLE);
        assert_int_equal(whole.head_size + whole.payload_size, sample->bytes.size);
        struct mqtt_frame frame;
        mqtt_frame_read(sample->bytes, sample->version, sample->direction, &frame, &violation);
        for (size_t size = frame.header_size; size <= sample->bytes.size; size++) {
            enum mqtt_outcome outcome =
                read(span_first(sample->bytes, size), sample->version, sample->direction, &part, &violation);
            assert_int_equal(outcome, size < whole.head_size ? MQTT_MORE : MQTT_WHOLE);
            if (outcome == MQTT_MORE) {
                assert_true(part.head_size > size && part.head_size <= whole.head_size);
            } else {
                assert_int_equal(part.head_size, whole.head_size);
                assert_int_equal(part.payload_size, whole.payload_size);
            }
        }
    }
}

/* What stands behind the packet is not looked at. */
static void the_next_packet_is_not_read(void **state) {
    (void)state;
    struct mqtt_publish publish;
    enum violation violation;
    assert_int_equal(
        read(BYTES("\x30\3\0\5abcdefgh"), MQTT_VERSION_311, MQTT_TO_BROKER, &publish, &violation),
        MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PACKET_TRUNCATED);
    assert_int_equal(read(BYTES("\x30\4\0\1a\2\1\1xx"), MQTT_VERSION_5, MQTT_TO_BROKER, &publish, &violation),
                     MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PROPERTY_LENGTH);
    assert_int_equal(read(BYTES("\x30\4\0\1a\x80\1xx"), MQTT_VERSION_5, MQTT_TO_BROKER, &publish, &violation),
                     MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PACKET_TRUNCATED);
    assert_int_equal(read(BYTES("\x30\3\0\1a\x30\3"), MQTT_VERSION_311, MQTT_TO_BROKER, &publish, &violation),
                     MQTT_WHOLE);
    assert_int_equal(publish.payload_size, 0);
}

/* Refused from the beginning alone, so that nobody waits for bytes that mend nothing. */
static void refused_before_the_rest_came(void **state) {
    (void)state;
    const struct {
        struct span bytes;
        enum mqtt_version version;
        enum violation violation;
    } rows[] = {
        {BYTES("\x30\x0A\0\x09"), MQTT_VERSION_311, VIOLATION_PACKET_TRUNCATED},
        {BYTES("\x32\x0A\0\x07"), MQTT_VERSION_311, VIOLATION_PACKET_TRUNCATED},
        {BYTES("\x32\x0A\0\x06"), MQTT_VERSION_5, VIOLATION_PACKET_TRUNCATED},
        {BYTES("\x30\x0A\0\0"), MQTT_VERSION_311, VIOLATION_TOPIC_EMPTY},
        {BYTES("\x30\xFF\xFF\xFF\x7F\0\1#"), MQTT_VERSION_311, VIOLATION_TOPIC_NAME},
        {BYTES("\x32\xFF\xFF\xFF\x7F\0\1a\0\0"), MQTT_VERSION_311, VIOLATION_PACKET_ID},
        {BYTES("\x30\x0A\0\1a\x80\x80\x80\x80"), MQTT_VERSION_5, VIOLATION_MALFORMED_LENGTH},
        {BYTES("\x30\x0A\0\1a\x07"), MQTT_VERSION_5, VIOLATION_PROPERTY_LENGTH},
        {BYTES("\x30\x0A\0\0\2\1\1"), MQTT_VERSION_5, VIOLATION_TOPIC_EMPTY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mqtt_publish publish;
        enum violation violation;
        assert_int_equal(read(rows[i].bytes, rows[i].version, MQTT_TO_BROKER, &publish, &violation),
                         MQTT_WRONG);
        assert_int_equal(violation, rows[i].violation);
    }
}

/* A head of 256 MiB of properties is announced in its first bytes. */
static void a_huge_head_is_seen_early(void **state) {
    (void)state;
    struct mqtt_publish publish;
    enum violation violation;
    struct span bytes = BYTES("\x30\xFF\xFF\xFF\x7F\0\1a\xF8\xFF\xFF\x7F\x26");
    assert_int_equal(read(bytes, MQTT_VERSION_5, MQTT_TO_BROKER, &publish, &violation), MQTT_MORE);
    assert_int_equal(publish.head_size, 268435460);
    bytes = BYTES("\x30\xFF\xFF\xFF\x7F\xFF\xFF");
    assert_int_equal(read(bytes, MQTT_VERSION_311, MQTT_TO_BROKER, &publish, &violation), MQTT_MORE);
    assert_int_equal(publish.head_size, 5 + 2 + 65535);
}

/* Every length of the topic in a packet of fixed size. */
static void every_topic_length(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++)
        for (unsigned size = 0; size <= 0xFFFF; size += size < 300 ? 1 : 251) {
            uint8_t bytes[2 + 127];
            memset(bytes, 'a', sizeof bytes);
            bytes[0] = 0x32;
            bytes[1] = 127;
            bytes[2] = (uint8_t)(size >> 8);
            bytes[3] = (uint8_t)size;
            if (version == 5 && size < 123)
                bytes[6 + size] = 0;
            unsigned most = version == 5 ? 122 : 123;
            struct mqtt_publish publish;
            enum violation violation;
            enum mqtt_outcome outcome = read(span_of(bytes, sizeof bytes), (enum mqtt_version)version,
                                             MQTT_TO_BROKER, &publish, &violation);
            assert_int_equal(outcome, size >= 1 && size <= most ? MQTT_WHOLE : MQTT_WRONG);
            if (outcome == MQTT_WHOLE)
                assert_int_equal(publish.payload_size, most - size);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_come_out),         cmocka_unit_test(the_head_is_enough),
        cmocka_unit_test(the_next_packet_is_not_read), cmocka_unit_test(refused_before_the_rest_came),
        cmocka_unit_test(a_huge_head_is_seen_early),   cmocka_unit_test(every_topic_length),
    };
    return cmocka_run_group_tests_name("mqtt/publish", tests, NULL, NULL);
}
