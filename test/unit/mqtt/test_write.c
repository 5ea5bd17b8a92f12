/* What we write: byte for byte, good to our own readers, whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/write.h"
#include "unit/mqtt/samples.h"
#include "unit/mqtt/whole.h"

static uint8_t room[200000];

static struct writer new_writer(void) {
    memset(room, 0xEE, sizeof room);
    return writer_of(room, sizeof room);
}

static void expect(const struct writer *writer, struct span bytes) {
    assert_false(writer->is_full);
    assert_int_equal(writer_size(writer), bytes.size);
    assert_memory_equal(writer->start, bytes.at, bytes.size);
}
#define EXPECT(call, text)                                                                                   \
    do {                                                                                                     \
        struct writer writer = new_writer();                                                                 \
        call;                                                                                                \
        expect(&writer, SPAN_LITERAL(text));                                                                 \
    } while (0)

static void packets_byte_for_byte(void **state) {
    (void)state;
    const struct span no = SPAN_NONE, why = SPAN_LITERAL("why");
    EXPECT(mqtt_write_connack(&writer, MQTT_VERSION_31, 0x87, why), "\x20\2\0\5");
    EXPECT(mqtt_write_connack(&writer, MQTT_VERSION_311, 0, no), "\x20\2\0\0");
    EXPECT(mqtt_write_connack(&writer, MQTT_VERSION_NONE, 0x84, no), "\x20\2\0\1");
    EXPECT(mqtt_write_connack(&writer, MQTT_VERSION_5, 0x87, no), "\x20\3\0\x87\0");
    EXPECT(mqtt_write_connack(&writer, MQTT_VERSION_5, 0x87, why), "\x20\x09\0\x87\6\x1F\0\3why");
    EXPECT(mqtt_write_ack(&writer, MQTT_VERSION_311, MQTT_PUBACK, 258, 0x87, why), "\x40\2\1\2");
    EXPECT(mqtt_write_ack(&writer, MQTT_VERSION_5, MQTT_PUBREL, 258, 0, no), "\x62\2\1\2");
    EXPECT(mqtt_write_ack(&writer, MQTT_VERSION_5, MQTT_PUBREC, 258, 0x87, no), "\x50\3\1\2\x87");
    EXPECT(mqtt_write_ack(&writer, MQTT_VERSION_5, MQTT_PUBCOMP, 258, 0, why), "\x70\x0A\1\2\0\6\x1F\0\3why");
    EXPECT(mqtt_write_suback(&writer, MQTT_VERSION_311, MQTT_SUBACK, 7, SPAN_LITERAL("\0\x80")),
           "\x90\4\0\7\0\x80");
    EXPECT(mqtt_write_suback(&writer, MQTT_VERSION_5, MQTT_SUBACK, 7, SPAN_LITERAL("\x87")),
           "\x90\4\0\7\0\x87");
    EXPECT(mqtt_write_suback(&writer, MQTT_VERSION_31, MQTT_UNSUBACK, 7, SPAN_LITERAL("\0\0")), "\xB0\2\0\7");
    EXPECT(mqtt_write_suback(&writer, MQTT_VERSION_5, MQTT_UNSUBACK, 7, SPAN_LITERAL("\x11")),
           "\xB0\4\0\7\0\x11");
    EXPECT(mqtt_write_disconnect(&writer, MQTT_VERSION_311, 0x8B, why), "\xE0\0");
    EXPECT(mqtt_write_disconnect(&writer, MQTT_VERSION_5, 0, no), "\xE0\0");
    EXPECT(mqtt_write_disconnect(&writer, MQTT_VERSION_5, 0x8B, no), "\xE0\2\x8B\0");
    EXPECT(mqtt_write_disconnect(&writer, MQTT_VERSION_5, 0x8B, why), "\xE0\x08\x8B\6\x1F\0\3why");
    EXPECT(mqtt_write_pingresp(&writer), "\xD0\0");
    EXPECT(mqtt_write_frame(&writer, MQTT_PUBLISH, 3, 200), "\x33\xC8\1");
}

/* Everything in every version and with every size of reason string reads back. */
static void what_we_write_we_can_read(void **state) {
    (void)state;
    static uint8_t letters[65535];
    memset(letters, 'x', sizeof letters);
    const size_t sizes[] = {0, 1, 121, 122, 123, 124, 125, 126, 127, 128, 16376, 16380, 16384, 65535};
    for (int version = 3; version <= 5; version++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct span string = span_of(letters, sizes[i]);
            struct writer writer = new_writer();
            mqtt_write_connack(&writer, (enum mqtt_version)version, 0x87, string);
            for (enum mqtt_type type = MQTT_PUBACK; type <= MQTT_PUBREC; type++)
                mqtt_write_ack(&writer, (enum mqtt_version)version, type, 9, i % 2 == 0 ? 0 : 0x97, string);
            mqtt_write_suback(&writer, (enum mqtt_version)version, MQTT_SUBACK, 9, SPAN_LITERAL("\0\1\x80"));
            mqtt_write_pingresp(&writer);
            if (version == 5)
                mqtt_write_disconnect(&writer, MQTT_VERSION_5, 0x8B, SPAN_LITERAL("bye"));
            if (3 * sizes[i] + 100 > sizeof room)
                continue;
            assert_false(writer.is_full);
            struct span left = writer_span(&writer);
            unsigned count = 0;
            while (left.size != 0) {
                enum violation violation = VIOLATION_NONE;
                struct mqtt_frame frame;
                assert_int_equal(whole_read(left, (enum mqtt_version)version, MQTT_TO_DEVICE, &violation),
                                 MQTT_WHOLE);
                mqtt_frame_read(left, (enum mqtt_version)version, MQTT_TO_DEVICE, &frame, &violation);
                left = span_after(left, mqtt_frame_size(&frame));
                count++;
            }
            assert_int_equal(count, version == 5 ? 6 : 5);
        }
}

/* A packet that does not fit leaves the room as it was, however little is missing. */
static void no_half_packets(void **state) {
    (void)state;
    struct mqtt_connect connect = {.version = MQTT_VERSION_5, .client_id = SPAN_LITERAL("dev")};
    for (int what = 0; what < 6; what++) {
        size_t whole = 0;
        for (size_t size = sizeof room; size != SIZE_MAX; size = size == sizeof room ? whole : size - 1) {
            struct writer writer = new_writer();
            writer.end = room + size;
            const struct span why = SPAN_LITERAL("why");
            switch (what) {
            case 0: mqtt_write_connack(&writer, MQTT_VERSION_5, 0x87, why); break;
            case 1: mqtt_write_ack(&writer, MQTT_VERSION_5, MQTT_PUBACK, 1, 0x87, why); break;
            case 2: mqtt_write_suback(&writer, MQTT_VERSION_5, MQTT_SUBACK, 1, why); break;
            case 3: mqtt_write_disconnect(&writer, MQTT_VERSION_5, 0x87, why); break;
            case 4: mqtt_write_pingresp(&writer); break;
            default: mqtt_write_connect(&writer, &connect); break;
            }
            if (size == sizeof room)
                whole = writer_size(&writer);
            assert_true(whole >= 2);
            assert_int_equal(writer.is_full, size < whole);
            assert_int_equal(writer_size(&writer), size < whole ? 0 : whole);
            assert_int_equal(room[size < whole ? 0 : whole], 0xEE);
        }
    }
}

static void too_long_for_mqtt(void **state) {
    (void)state;
    static uint8_t letters[65536];
    memset(letters, 'x', sizeof letters);
    struct span big = span_of(letters, sizeof letters);
    struct writer writer = new_writer();
    mqtt_write_connack(&writer, MQTT_VERSION_5, 0x87, big);
    assert_true(writer.is_full && writer_size(&writer) == 0);
    writer = new_writer();
    mqtt_write_ack(&writer, MQTT_VERSION_5, MQTT_PUBACK, 1, 0x87, big);
    assert_true(writer.is_full && writer_size(&writer) == 0);
    writer = new_writer();
    mqtt_write_disconnect(&writer, MQTT_VERSION_5, 0x87, big);
    assert_true(writer.is_full && writer_size(&writer) == 0);
    writer = new_writer();
    mqtt_write_frame(&writer, MQTT_PUBLISH, 0, 268435456);
    assert_true(writer.is_full && writer_size(&writer) == 0);
    writer = new_writer();
    mqtt_write_frame(&writer, MQTT_PUBLISH, 0, 268435455);
    expect(&writer, SPAN_LITERAL("\x30\xFF\xFF\xFF\x7F"));
    /* Sizes of which no byte must be touched. */
    struct span huge = span_of(letters, 268435456);
    struct mqtt_connect connects[] = {
        {.version = MQTT_VERSION_311, .client_id = big},
        {.version = MQTT_VERSION_311, .has_password = true, .has_username = true, .password = big},
        {.version = MQTT_VERSION_5, .props.raw = huge},
        {.version = MQTT_VERSION_5, .has_will = true, .will_props.raw = huge},
    };
    for (size_t i = 0; i < sizeof connects / sizeof connects[0]; i++) {
        writer = new_writer();
        mqtt_write_connect(&writer, &connects[i]);
        assert_true(writer.is_full && writer_size(&writer) == 0);
    }
    writer = new_writer();
    mqtt_write_suback(&writer, MQTT_VERSION_5, MQTT_SUBACK, 1, huge);
    assert_true(writer.is_full && writer_size(&writer) == 0);
}

/* Every good CONNECT, read and written, gives its own bytes again; but for an over-long length, and what 3.1
 * lets stand that means nothing. */
static void connects_come_back(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    size_t count = 0;
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        if (!sample->is_good || sample->bytes.at[0] != 0x10 ||
            strncmp(sample->name, "connect-31-", 11) == 0 ||
            strncmp(sample->name, "connect-over-long", 17) == 0)
            continue;
        struct mqtt_frame frame;
        struct mqtt_connect connect;
        enum violation violation;
        assert_int_equal(
            mqtt_frame_read(sample->bytes, MQTT_VERSION_NONE, MQTT_TO_BROKER, &frame, &violation),
            MQTT_WHOLE);
        assert_int_equal(
            mqtt_connect_read(span_after(sample->bytes, frame.header_size), &connect, &violation),
            MQTT_WHOLE);
        struct writer writer = new_writer();
        mqtt_write_connect(&writer, &connect);
        expect(&writer, sample->bytes);
        count++;
    }
    assert_true(count > 40);
}

static void codes_for_old_devices(void **state) {
    (void)state;
    assert_int_equal(mqtt_connack_code_of(0), 0);
    assert_int_equal(mqtt_connack_code_of(0x84), 1);
    assert_int_equal(mqtt_connack_code_of(0x85), 2);
    assert_int_equal(mqtt_connack_code_of(0x86), 4);
    assert_int_equal(mqtt_connack_code_of(0x87), 5);
    assert_int_equal(mqtt_connack_code_of(0x8A), 5);
    assert_int_equal(mqtt_connack_code_of(0x8C), 5);
    assert_int_equal(mqtt_connack_code_of(0x88), 3);
    assert_int_equal(mqtt_connack_code_of(0xFF), 3);
    for (unsigned reason = 0x80; reason < 256; reason++)
        assert_in_range(mqtt_connack_code_of((uint8_t)reason), 1, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_byte_for_byte), cmocka_unit_test(what_we_write_we_can_read),
        cmocka_unit_test(no_half_packets),       cmocka_unit_test(too_long_for_mqtt),
        cmocka_unit_test(connects_come_back),    cmocka_unit_test(codes_for_old_devices),
    };
    return cmocka_run_group_tests_name("mqtt/write", tests, NULL, NULL);
}
