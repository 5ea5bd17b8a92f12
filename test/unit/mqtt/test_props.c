/* Properties: which, where, how often, with what value; variable byte integers; the step-wise walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "mqtt/props.h"
#include "unit/mqtt/guard.h"

/* A block without its length -> what the reader says. */
static enum mqtt_outcome read_block(struct span block, int type, enum mqtt_direction direction,
                                    struct mqtt_props *props, enum violation *violation) {
    uint8_t bytes[4096];
    unsigned size = mqtt_varint_write(bytes, (uint32_t)block.size);
    assert_true(size + block.size <= sizeof bytes);
    if (block.size != 0)
        memcpy(bytes + size, block.at, block.size);
    struct reader reader = reader_of(guard_copy(span_of(bytes, size + block.size)));
    *violation = VIOLATION_NONE;
    enum mqtt_outcome outcome = mqtt_props_read(&reader, type, direction, props, violation);
    if (outcome == MQTT_WHOLE)
        assert_int_equal(reader_left(&reader), 0);
    return outcome;
}
#define BLOCK(...) ((struct span){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

/* Table 2-4 a second time: where each property may stand. Letters: C CONNECT, W will, c CONNACK, P PUBLISH,
 * p PUBLISH from the broker only, a the four acknowledgements, S SUBSCRIBE, s SUBACK, U UNSUBSCRIBE, u
 * UNSUBACK, D DISCONNECT, d DISCONNECT by the device only, b by the broker only, A AUTH. */
struct property {
    uint8_t id;
    enum mqtt_prop prop;
    const char *places;
    const char *value; /* in hex */
};
static const struct property properties[] = {
    {0x01, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, "PW", "01"},
    {0x02, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, "PW", "00000102"},
    {0x03, MQTT_PROP_CONTENT_TYPE, "PW", "000161"},
    {0x08, MQTT_PROP_RESPONSE_TOPIC, "PW", "000161"},
    {0x09, MQTT_PROP_CORRELATION_DATA, "PW", "0001ff"},
    {0x0B, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, "pS", "8001"},
    {0x11, MQTT_PROP_SESSION_EXPIRY_INTERVAL, "Ccd", "ffffffff"},
    {0x12, MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER, "c", "000161"},
    {0x13, MQTT_PROP_SERVER_KEEP_ALIVE, "c", "0000"},
    {0x15, MQTT_PROP_AUTHENTICATION_METHOD, "CcA", "000161"},
    {0x16, MQTT_PROP_AUTHENTICATION_DATA, "CcA", "0001ff"},
    {0x17, MQTT_PROP_REQUEST_PROBLEM_INFORMATION, "C", "00"},
    {0x18, MQTT_PROP_WILL_DELAY_INTERVAL, "W", "00000000"},
    {0x19, MQTT_PROP_REQUEST_RESPONSE_INFORMATION, "C", "01"},
    {0x1A, MQTT_PROP_RESPONSE_INFORMATION, "c", "000161"},
    {0x1C, MQTT_PROP_SERVER_REFERENCE, "cb", "000161"},
    {0x1F, MQTT_PROP_REASON_STRING, "casuDA", "000161"},
    {0x21, MQTT_PROP_RECEIVE_MAXIMUM, "Cc", "0001"},
    {0x22, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, "Cc", "0000"},
    {0x23, MQTT_PROP_TOPIC_ALIAS, "P", "0001"},
    {0x24, MQTT_PROP_MAXIMUM_QOS, "c", "01"},
    {0x25, MQTT_PROP_RETAIN_AVAILABLE, "c", "00"},
    {0x26, MQTT_PROP_USER_PROPERTY, "CWcPasSuUDA", "00016b000176"},
    {0x27, MQTT_PROP_MAXIMUM_PACKET_SIZE, "Cc", "00000001"},
    {0x28, MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE, "c", "01"},
    {0x29, MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE, "c", "01"},
    {0x2A, MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE, "c", "00"},
};
#define PROPERTY_COUNT (sizeof properties / sizeof properties[0])

struct place {
    int type;
    enum mqtt_direction direction;
    const char *letters;
};
static const struct place places[] = {
    {MQTT_CONNECT, MQTT_TO_BROKER, "C"},     {MQTT_PROPS_OF_WILL, MQTT_TO_BROKER, "W"},
    {MQTT_CONNACK, MQTT_TO_DEVICE, "c"},     {MQTT_PUBLISH, MQTT_TO_BROKER, "P"},
    {MQTT_PUBLISH, MQTT_TO_DEVICE, "Pp"},    {MQTT_PUBACK, MQTT_TO_BROKER, "a"},
    {MQTT_PUBACK, MQTT_TO_DEVICE, "a"},      {MQTT_PUBREC, MQTT_TO_BROKER, "a"},
    {MQTT_PUBREL, MQTT_TO_DEVICE, "a"},      {MQTT_PUBCOMP, MQTT_TO_BROKER, "a"},
    {MQTT_SUBSCRIBE, MQTT_TO_BROKER, "S"},   {MQTT_SUBACK, MQTT_TO_DEVICE, "s"},
    {MQTT_UNSUBSCRIBE, MQTT_TO_BROKER, "U"}, {MQTT_UNSUBACK, MQTT_TO_DEVICE, "u"},
    {MQTT_DISCONNECT, MQTT_TO_BROKER, "Dd"}, {MQTT_DISCONNECT, MQTT_TO_DEVICE, "Db"},
    {MQTT_AUTH, MQTT_TO_BROKER, "A"},        {MQTT_AUTH, MQTT_TO_DEVICE, "A"},
};
#define PLACE_COUNT (sizeof places / sizeof places[0])

/* The property's bytes; authentication data brings its method along where it is needed. */
static size_t put_property(const struct property *property, bool with_method, uint8_t *out) {
    size_t size = 0;
    if (with_method && property->prop == MQTT_PROP_AUTHENTICATION_DATA) {
        const uint8_t method[] = {0x15, 0, 1, 'm'};
        memcpy(out, method, sizeof method);
        size = sizeof method;
    }
    out[size++] = property->id;
    for (const char *at = property->value; *at != 0; at += 2) {
        unsigned value;
        assert_int_equal(sscanf(at, "%2x", &value), 1);
        out[size++] = (uint8_t)value;
    }
    return size;
}

static void every_property_in_every_place(void **state) {
    (void)state;
    assert_int_equal(PROPERTY_COUNT, 27);
    assert_int_equal(MQTT_PROP_COUNT, 27);
    for (size_t i = 0; i < PROPERTY_COUNT; i++)
        for (size_t k = 0; k < PLACE_COUNT; k++) {
            bool may = strpbrk(properties[i].places, places[k].letters) != NULL;
            uint8_t block[32];
            size_t size = put_property(&properties[i], may, block);
            struct mqtt_props props;
            enum violation violation;
            enum mqtt_outcome outcome =
                read_block(span_of(block, size), places[k].type, places[k].direction, &props, &violation);
            if (outcome != (may ? MQTT_WHOLE : MQTT_WRONG))
                fail_msg("property %02x in type %d, direction %d: %d", properties[i].id, places[k].type,
                         places[k].direction, outcome);
            if (may)
                assert_true(mqtt_props_has(&props, properties[i].prop));
            else
                assert_true(violation == VIOLATION_PROPERTY_PLACE ||
                            violation == VIOLATION_PROPERTY_DIRECTION);
        }
}

static void every_identifier(void **state) {
    (void)state;
    for (unsigned id = 0; id < 256; id++) {
        bool is_known = false;
        for (size_t i = 0; i < PROPERTY_COUNT; i++)
            is_known |= properties[i].id == id;
        struct mqtt_props props;
        enum violation violation;
        const uint8_t block[] = {(uint8_t)id};
        read_block(span_of(block, sizeof block), MQTT_CONNECT, MQTT_TO_BROKER, &props, &violation);
        assert_int_equal(violation == VIOLATION_PROPERTY_UNKNOWN, !is_known);
    }
}

/* Twice the same: only user properties, and subscription identifiers in a PUBLISH. Every property cut at
 * every byte: too short. */
static void twice_and_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < PROPERTY_COUNT; i++)
        for (size_t k = 0; k < PLACE_COUNT; k++) {
            if (strpbrk(properties[i].places, places[k].letters) == NULL)
                continue;
            uint8_t block[64];
            size_t front = put_property(&properties[i], true, block);
            size_t size = front + put_property(&properties[i], false, block + front);
            bool may_repeat =
                properties[i].prop == MQTT_PROP_USER_PROPERTY ||
                (properties[i].prop == MQTT_PROP_SUBSCRIPTION_IDENTIFIER && places[k].type == MQTT_PUBLISH);
            struct mqtt_props props;
            enum violation violation;
            enum mqtt_outcome outcome =
                read_block(span_of(block, size), places[k].type, places[k].direction, &props, &violation);
            assert_int_equal(outcome, may_repeat ? MQTT_WHOLE : MQTT_WRONG);
            assert_int_equal(violation, may_repeat ? VIOLATION_NONE : VIOLATION_PROPERTY_REPEATED);
            size_t start = properties[i].prop == MQTT_PROP_AUTHENTICATION_DATA ? 4 : 0;
            for (size_t cut = start + 1; cut < front; cut++) {
                outcome =
                    read_block(span_of(block, cut), places[k].type, places[k].direction, &props, &violation);
                assert_int_equal(outcome, MQTT_WRONG);
                assert_int_equal(violation, VIOLATION_PROPERTY_TRUNCATED);
            }
        }
}

static void values(void **state) {
    (void)state;
    const struct {
        struct span block;
        int type;
        enum mqtt_direction direction;
        enum violation violation;
    } rows[] = {
        {BLOCK(0x01, 0), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_NONE},
        {BLOCK(0x01, 2), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_PROPERTY_VALUE},
        {BLOCK(0x17, 1), MQTT_CONNECT, MQTT_TO_BROKER, VIOLATION_NONE},
        {BLOCK(0x17, 255), MQTT_CONNECT, MQTT_TO_BROKER, VIOLATION_PROPERTY_VALUE},
        {BLOCK(0x21, 0, 0), MQTT_CONNECT, MQTT_TO_BROKER, VIOLATION_PROPERTY_VALUE},
        {BLOCK(0x27, 0, 0, 0, 0), MQTT_CONNECT, MQTT_TO_BROKER, VIOLATION_PROPERTY_VALUE},
        {BLOCK(0x23, 0, 0), MQTT_PUBLISH, MQTT_TO_DEVICE, VIOLATION_TOPIC_ALIAS},
        {BLOCK(0x0B, 0), MQTT_SUBSCRIBE, MQTT_TO_BROKER, VIOLATION_PROPERTY_VALUE},
        {BLOCK(0x0B, 0xFF, 0xFF, 0xFF, 0x7F), MQTT_SUBSCRIBE, MQTT_TO_BROKER, VIOLATION_NONE},
        {BLOCK(0x0B, 0x81, 0x00), MQTT_SUBSCRIBE, MQTT_TO_BROKER, VIOLATION_MALFORMED_LENGTH},
        {BLOCK(0x0B, 0x81, 0x80, 0x80, 0x80, 1), MQTT_SUBSCRIBE, MQTT_TO_BROKER, VIOLATION_MALFORMED_LENGTH},
        {BLOCK(0x08, 0, 0), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_PROPERTY_RESPONSE_TOPIC},
        {BLOCK(0x08, 0, 1, '#'), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_PROPERTY_RESPONSE_TOPIC},
        {BLOCK(0x08, 0, 1, 0xFF), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_STRING_UTF8},
        {BLOCK(0x03, 0, 1, '#'), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_NONE},
        {BLOCK(0x03, 0, 1, 0), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_STRING_NUL},
        {BLOCK(0x09, 0, 2, 0, 0xFF), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_NONE},
        {BLOCK(0x26, 0, 1, 0, 0, 0), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_STRING_NUL},
        {BLOCK(0x26, 0, 0, 0, 1, 0xC0), MQTT_PUBLISH, MQTT_TO_BROKER, VIOLATION_STRING_UTF8},
        {BLOCK(0x16, 0, 0), MQTT_CONNECT, MQTT_TO_BROKER, VIOLATION_AUTH_METHOD},
        {BLOCK(0x16, 0, 0, 0x15, 0, 0), MQTT_CONNECT, MQTT_TO_BROKER, VIOLATION_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mqtt_props props;
        enum violation violation;
        enum mqtt_outcome outcome =
            read_block(rows[i].block, rows[i].type, rows[i].direction, &props, &violation);
        if (violation != rows[i].violation || (outcome == MQTT_WHOLE) != (violation == VIOLATION_NONE))
            fail_msg("row %zu: %s", i, violation_rows[violation].name);
    }
}

static void what_was_read_is_there(void **state) {
    (void)state;
    const struct span block = BLOCK(0x26, 0, 1, 'k', 0, 1, 'v', 0x02, 0, 0, 1, 2, 0x23, 0xFF, 0xFE, 0x09, 0,
                                    2, 7, 8, 0x26, 0, 0, 0, 0);
    struct mqtt_props props;
    enum violation violation;
    assert_int_equal(read_block(block, MQTT_PUBLISH, MQTT_TO_BROKER, &props, &violation), MQTT_WHOLE);
    assert_int_equal(props.user_count, 2);
    assert_true(span_is_equal(props.raw, block));
    assert_int_equal(mqtt_props_number(&props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, 9), 258);
    assert_int_equal(mqtt_props_number(&props, MQTT_PROP_TOPIC_ALIAS, 9), 0xFFFE);
    assert_int_equal(mqtt_props_number(&props, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 9), 9);
    assert_true(span_is_equal(props.text[MQTT_PROP_CORRELATION_DATA], BLOCK(7, 8)));
    assert_true(mqtt_props_has(&props, MQTT_PROP_USER_PROPERTY));
    assert_false(mqtt_props_has(&props, MQTT_PROP_CONTENT_TYPE));
    assert_int_equal(read_block(SPAN_NONE, MQTT_PUBLISH, MQTT_TO_BROKER, &props, &violation), MQTT_WHOLE);
    assert_int_equal(props.present, 0);
    assert_int_equal(props.user_count, 0);
    assert_int_equal(props.raw.size, 0);
}

/* The walk gives the same properties, and their bytes put together are the block. */
static void the_walk_takes_a_block_apart(void **state) {
    (void)state;
    uint8_t bytes[256];
    size_t size = 0;
    for (size_t i = 0; i < PROPERTY_COUNT; i++)
        size += put_property(&properties[i], false, bytes + size);
    struct reader block = reader_of(guard_copy(span_of(bytes, size)));
    struct mqtt_prop_item item;
    size_t count = 0, at = 0;
    while (mqtt_props_next(&block, &item)) {
        assert_int_equal(item.prop, properties[count++].prop);
        assert_int_equal(item.whole.at[0], properties[count - 1].id);
        assert_memory_equal(item.whole.at, bytes + at, item.whole.size);
        at += item.whole.size;
        if (item.prop == MQTT_PROP_USER_PROPERTY)
            assert_true(span_is_text(item.text, "k") && span_is_text(item.value, "v"));
        if (item.prop == MQTT_PROP_SUBSCRIPTION_IDENTIFIER)
            assert_int_equal(item.number, 128);
    }
    assert_int_equal(count, PROPERTY_COUNT);
    assert_int_equal(at, size);
    struct reader none = reader_of(SPAN_NONE);
    assert_false(mqtt_props_next(&none, &item));
}

/* A walk over bytes that nobody judged ends, and stays inside. */
static void the_walk_ends_on_bad_bytes(void **state) {
    (void)state;
    const struct span blocks[] = {BLOCK(0), BLOCK(0xFF, 1), BLOCK(0x02, 0, 0), BLOCK(0x0B, 0x80),
                                  BLOCK(0x26, 0, 1, 'k', 0, 9, 'v')};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        struct reader block = reader_of(guard_copy(blocks[i]));
        struct mqtt_prop_item item;
        assert_false(mqtt_props_next(&block, &item));
    }
}

/* The property length: longer than what is left, cut, over-long. */
static void the_length_of_the_block(void **state) {
    (void)state;
    const struct {
        struct span bytes;
        enum violation violation;
    } rows[] = {
        {BLOCK(0), VIOLATION_NONE},
        {BLOCK(2, 1, 1), VIOLATION_NONE},
        {BLOCK(2, 1, 1, 'x'), VIOLATION_NONE},
        {BLOCK(3, 1, 1), VIOLATION_PROPERTY_LENGTH},
        {BLOCK(0xFF, 0xFF, 0xFF, 0x7F, 1, 1), VIOLATION_PROPERTY_LENGTH},
        {BLOCK(0x80), VIOLATION_PACKET_TRUNCATED},
        {BLOCK(0x80, 0x80, 0x80), VIOLATION_PACKET_TRUNCATED},
        {BLOCK(0x82, 0, 1, 1), VIOLATION_MALFORMED_LENGTH},
        {BLOCK(0x80, 0x80, 0x80, 0x80), VIOLATION_MALFORMED_LENGTH},
        {SPAN_NONE, VIOLATION_PACKET_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reader reader = reader_of(guard_copy(rows[i].bytes));
        struct mqtt_props props;
        enum violation violation = VIOLATION_NONE;
        enum mqtt_outcome outcome =
            mqtt_props_read(&reader, MQTT_PUBLISH, MQTT_TO_BROKER, &props, &violation);
        assert_int_equal(violation, rows[i].violation);
        assert_int_equal(outcome, violation == VIOLATION_NONE ? MQTT_WHOLE : MQTT_WRONG);
    }
}

static void variable_byte_integers(void **state) {
    (void)state;
    uint32_t value;
    unsigned size;
    uint8_t room[4];
    for (uint32_t number = 0; number <= 268435455; number += number < 20000     ? 1
                                                             : number < 2100000 ? 97
                                                                                : 99991) {
        unsigned written = mqtt_varint_write(room, number);
        assert_int_equal(written, number < 128 ? 1 : number < 16384 ? 2 : number < 2097152 ? 3 : 4);
        assert_int_equal(written, mqtt_varint_size(number));
        assert_int_equal(mqtt_varint_read(span_of(room, written), &value, &size), MQTT_WHOLE);
        assert_int_equal(value, number);
        assert_int_equal(size, written);
        for (unsigned cut = 0; cut < written; cut++)
            assert_int_equal(mqtt_varint_read(span_of(room, cut), &value, &size), MQTT_MORE);
    }
    assert_int_equal(mqtt_varint_read(guard_copy(BLOCK(0x80, 0)), &value, &size), MQTT_WRONG);
    assert_int_equal(mqtt_varint_read(guard_copy(BLOCK(0xFF, 0xFF, 0)), &value, &size), MQTT_WRONG);
    assert_int_equal(mqtt_varint_read(guard_copy(BLOCK(0xFF, 0xFF, 0xFF, 0)), &value, &size), MQTT_WRONG);
    assert_int_equal(mqtt_varint_read(guard_copy(BLOCK(0xFF, 0xFF, 0xFF, 0xFF)), &value, &size), MQTT_WRONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_property_in_every_place),
        cmocka_unit_test(every_identifier),
        cmocka_unit_test(twice_and_cut),
        cmocka_unit_test(values),
        cmocka_unit_test(what_was_read_is_there),
        cmocka_unit_test(the_walk_takes_a_block_apart),
        cmocka_unit_test(the_length_of_the_block),
        cmocka_unit_test(the_walk_ends_on_bad_bytes),
        cmocka_unit_test(variable_byte_integers),
    };
    return cmocka_run_group_tests_name("mqtt/props", tests, NULL, NULL);
}
