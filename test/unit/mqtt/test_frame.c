/* The fixed header: which first bytes, which lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"
#include "unit/mqtt/guard.h"

static enum mqtt_outcome read(const void *bytes, size_t size, enum mqtt_version version,
                              enum mqtt_direction direction, struct mqtt_frame *frame,
                              enum violation *violation) {
    *violation = VIOLATION_NONE;
    return mqtt_frame_read(guard_copy(span_of(bytes, size)), version, direction, frame, violation);
}

/* The first bytes that may come, in full. */
struct first_bytes {
    enum mqtt_version version;
    enum mqtt_direction direction;
    const char *hex;
};
#define PUBLISHES "30 31 32 33 34 35 3a 3b 3c 3d "
static const struct first_bytes first_bytes[] = {
    {MQTT_VERSION_NONE, MQTT_TO_BROKER, "10"},
    {MQTT_VERSION_NONE, MQTT_TO_DEVICE, ""},
    {MQTT_VERSION_31, MQTT_TO_BROKER, "10 " PUBLISHES "40 50 62 6a 70 82 8a a2 aa c0 e0"},
    {MQTT_VERSION_31, MQTT_TO_DEVICE, "20 " PUBLISHES "40 50 62 6a 70 90 b0 d0"},
    {MQTT_VERSION_311, MQTT_TO_BROKER, "10 " PUBLISHES "40 50 62 70 82 a2 c0 e0"},
    {MQTT_VERSION_311, MQTT_TO_DEVICE, "20 " PUBLISHES "40 50 62 70 90 b0 d0"},
    {MQTT_VERSION_5, MQTT_TO_BROKER, "10 " PUBLISHES "40 50 62 70 82 a2 c0 e0 f0"},
    {MQTT_VERSION_5, MQTT_TO_DEVICE, "20 " PUBLISHES "40 50 62 70 90 b0 d0 e0 f0"},
};

static void first_bytes_are_judged_at_once(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof first_bytes / sizeof first_bytes[0]; i++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char word[3] = {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15], 0};
            bool may_come = strstr(first_bytes[i].hex, word) != NULL;
            uint8_t bytes[1] = {(uint8_t)byte};
            struct mqtt_frame frame;
            enum violation violation;
            enum mqtt_outcome outcome =
                read(bytes, 1, first_bytes[i].version, first_bytes[i].direction, &frame, &violation);
            if (outcome != (may_come ? MQTT_MORE : MQTT_WRONG))
                fail_msg("version %d, direction %d, %02x: outcome %d", first_bytes[i].version,
                         first_bytes[i].direction, byte, outcome);
            assert_int_equal(violation == VIOLATION_NONE, may_come);
        }
}

static void refusals_have_their_names(void **state) {
    (void)state;
    const struct {
        uint8_t first;
        enum mqtt_version version;
        enum mqtt_direction direction;
        enum violation violation;
    } rows[] = {
        {0x00, MQTT_VERSION_311, MQTT_TO_BROKER, VIOLATION_PACKET_TYPE},
        {0xF0, MQTT_VERSION_311, MQTT_TO_BROKER, VIOLATION_PACKET_TYPE},
        {0xC0, MQTT_VERSION_NONE, MQTT_TO_BROKER, VIOLATION_FIRST_PACKET},
        {0x16, MQTT_VERSION_NONE, MQTT_TO_BROKER, VIOLATION_PACKET_FLAGS},
        {0x10, MQTT_VERSION_NONE, MQTT_TO_DEVICE, VIOLATION_PACKET_DIRECTION},
        {0x20, MQTT_VERSION_5, MQTT_TO_BROKER, VIOLATION_PACKET_DIRECTION},
        {0xE0, MQTT_VERSION_311, MQTT_TO_DEVICE, VIOLATION_PACKET_DIRECTION},
        {0x36, MQTT_VERSION_311, MQTT_TO_BROKER, VIOLATION_QOS},
        {0x3F, MQTT_VERSION_31, MQTT_TO_DEVICE, VIOLATION_QOS},
        {0x38, MQTT_VERSION_31, MQTT_TO_BROKER, VIOLATION_PUBLISH_DUP},
        {0x8A, MQTT_VERSION_311, MQTT_TO_BROKER, VIOLATION_PACKET_FLAGS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mqtt_frame frame;
        enum violation violation;
        assert_int_equal(read(&rows[i].first, 1, rows[i].version, rows[i].direction, &frame, &violation),
                         MQTT_WRONG);
        assert_int_equal(violation, rows[i].violation);
    }
}

/* Every length at the edges, in every form from the shortest to five bytes, and every cut of it. */
static void lengths_in_every_form(void **state) {
    (void)state;
    const uint32_t lengths[] = {12, 127, 128, 16383, 16384, 2097151, 2097152, 268435455};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (unsigned size = mqtt_varint_size(lengths[i]); size <= 5; size++)
            for (int version = 3; version <= 5; version++) {
                uint8_t bytes[6] = {0x30};
                for (unsigned k = 0; k < size; k++)
                    bytes[1 + k] =
                        (uint8_t)((k < 4 ? lengths[i] >> 7 * k & 0x7F : 0) | (k + 1 < size ? 0x80 : 0));
                bool is_minimal = size == mqtt_varint_size(lengths[i]);
                struct mqtt_frame frame;
                enum violation violation;
                for (unsigned cut = 0; cut < 1 + size && cut < 5; cut++)
                    assert_int_equal(
                        read(bytes, cut, (enum mqtt_version)version, MQTT_TO_BROKER, &frame, &violation),
                        MQTT_MORE);
                enum mqtt_outcome outcome =
                    read(bytes, 1 + size, (enum mqtt_version)version, MQTT_TO_BROKER, &frame, &violation);
                if (size == 5 || (version == 5 && !is_minimal)) {
                    assert_int_equal(outcome, MQTT_WRONG);
                    assert_int_equal(violation, VIOLATION_MALFORMED_LENGTH);
                    continue;
                }
                assert_int_equal(outcome, MQTT_WHOLE);
                assert_int_equal(frame.remaining, lengths[i]);
                assert_int_equal(frame.header_size, 1 + size);
                assert_int_equal(mqtt_frame_size(&frame), 1 + size + lengths[i]);
                assert_int_equal(mqtt_frame_is_minimal(&frame), is_minimal);
            }
}

/* The fifth length byte need not come: the fourth announces it. */
static void fourth_byte_that_goes_on_is_wrong(void **state) {
    (void)state;
    const uint8_t bytes[] = {0x10, 0x80, 0x80, 0x80, 0x80};
    struct mqtt_frame frame;
    enum violation violation;
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(read(bytes, size, MQTT_VERSION_NONE, MQTT_TO_BROKER, &frame, &violation), MQTT_MORE);
    assert_int_equal(read(bytes, 5, MQTT_VERSION_NONE, MQTT_TO_BROKER, &frame, &violation), MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_MALFORMED_LENGTH);
}

/* Least and most remaining length of each type; -1: no bound. */
static void lengths_that_a_type_cannot_have(void **state) {
    (void)state;
    const struct {
        uint8_t first;
        enum mqtt_direction direction;
        int least_3, most_3, least_5, most_5;
    } rows[] = {
        {0x10, MQTT_TO_BROKER, 12, -1, 13, -1}, {0x20, MQTT_TO_DEVICE, 2, 2, 3, -1},
        {0x30, MQTT_TO_BROKER, 2, -1, 3, -1},   {0x32, MQTT_TO_BROKER, 4, -1, 5, -1},
        {0x34, MQTT_TO_DEVICE, 4, -1, 5, -1},   {0x40, MQTT_TO_BROKER, 2, 2, 2, -1},
        {0x50, MQTT_TO_DEVICE, 2, 2, 2, -1},    {0x62, MQTT_TO_BROKER, 2, 2, 2, -1},
        {0x70, MQTT_TO_DEVICE, 2, 2, 2, -1},    {0x82, MQTT_TO_BROKER, 2, -1, 3, -1},
        {0x90, MQTT_TO_DEVICE, 2, -1, 3, -1},   {0xA2, MQTT_TO_BROKER, 2, -1, 3, -1},
        {0xB0, MQTT_TO_DEVICE, 2, 2, 3, -1},    {0xC0, MQTT_TO_BROKER, 0, 0, 0, 0},
        {0xD0, MQTT_TO_DEVICE, 0, 0, 0, 0},     {0xE0, MQTT_TO_BROKER, 0, 0, 0, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int version = 3; version <= 5; version++)
            for (int remaining = 0; remaining < 128; remaining++) {
                int least = version == 5 ? rows[i].least_5 : rows[i].least_3;
                int most = version == 5 ? rows[i].most_5 : rows[i].most_3;
                const uint8_t bytes[2] = {rows[i].first, (uint8_t)remaining};
                struct mqtt_frame frame;
                enum violation violation;
                enum mqtt_outcome outcome =
                    read(bytes, 2, (enum mqtt_version)version, rows[i].direction, &frame, &violation);
                enum violation expected = remaining < least               ? VIOLATION_PACKET_TRUNCATED
                                          : most >= 0 && remaining > most ? VIOLATION_PACKET_TRAILING
                                                                          : VIOLATION_NONE;
                assert_int_equal(violation, expected);
                assert_int_equal(outcome, expected == VIOLATION_NONE ? MQTT_WHOLE : MQTT_WRONG);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_bytes_are_judged_at_once),
        cmocka_unit_test(refusals_have_their_names),
        cmocka_unit_test(lengths_in_every_form),
        cmocka_unit_test(fourth_byte_that_goes_on_is_wrong),
        cmocka_unit_test(lengths_that_a_type_cannot_have),
    };
    return cmocka_run_group_tests_name("mqtt/frame", tests, NULL, NULL);
}
