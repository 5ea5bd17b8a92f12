/* SUBSCRIBE, UNSUBSCRIBE and their answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/subscribe.h"
#include "unit/mqtt/guard.h"

#define BODY(text) guard_copy(SPAN_LITERAL(text))

static void filters_come_out_in_order(void **state) {
    (void)state;
    struct mqtt_subscribe subscribe;
    enum violation violation;
    struct span body = BODY("\1\2\3\x0B\x80\1\0\3a/#\1\0\x0A$share/g/b\x2A");
    assert_int_equal(mqtt_subscribe_read(body, MQTT_SUBSCRIBE, MQTT_VERSION_5, &subscribe, &violation),
                     MQTT_WHOLE);
    assert_int_equal(subscribe.packet_id, 258);
    assert_int_equal(subscribe.filter_count, 2);
    assert_int_equal(mqtt_props_number(&subscribe.props, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, 0), 128);
    struct reader entries = reader_of(subscribe.entries);
    struct mqtt_subscribe_entry entry;
    assert_true(mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry));
    assert_true(span_is_text(entry.filter, "a/#"));
    assert_int_equal(entry.options, 1);
    assert_true(span_is_equal(entry.whole, SPAN_LITERAL("\0\3a/#\1")));
    assert_true(mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry));
    assert_true(span_is_text(entry.filter, "$share/g/b"));
    assert_int_equal(entry.options, 0x2A);
    assert_int_equal(entry.whole.size, 13);
    assert_false(mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry));
}

static void unsubscribe_has_no_options(void **state) {
    (void)state;
    struct mqtt_subscribe subscribe;
    enum violation violation;
    struct span body = BODY("\0\1\0\1a\0\2+/");
    assert_int_equal(mqtt_subscribe_read(body, MQTT_UNSUBSCRIBE, MQTT_VERSION_31, &subscribe, &violation),
                     MQTT_WHOLE);
    assert_int_equal(subscribe.filter_count, 2);
    assert_int_equal(subscribe.props.present, 0);
    struct reader entries = reader_of(subscribe.entries);
    struct mqtt_subscribe_entry entry;
    assert_true(mqtt_subscribe_next(&entries, MQTT_UNSUBSCRIBE, &entry));
    assert_true(span_is_text(entry.filter, "a") && entry.whole.size == 3 && entry.options == 0);
    assert_true(mqtt_subscribe_next(&entries, MQTT_UNSUBSCRIBE, &entry));
    assert_true(span_is_text(entry.filter, "+/"));
    assert_false(mqtt_subscribe_next(&entries, MQTT_UNSUBSCRIBE, &entry));
}

/* Every byte of options in every version, for a plain and a shared subscription. */
static void all_options(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++)
        for (unsigned options = 0; options < 256; options++)
            for (int is_shared = 0; is_shared <= 1; is_shared++) {
                uint8_t bytes[32] = {0, 1};
                size_t size = version == 5 ? 3 : 2;
                const char *filter = is_shared ? "$share/g/a" : "a/+";
                bytes[size + 1] = (uint8_t)strlen(filter);
                memcpy(bytes + size + 2, filter, strlen(filter));
                size += 2 + strlen(filter);
                bytes[size++] = (uint8_t)options;
                bool is_good = (options & 3) != 3;
                if (version < 5)
                    is_good = options < 3;
                else
                    is_good &= options < 0x30 && !(is_shared && (options & 4) != 0);
                struct mqtt_subscribe subscribe;
                enum violation violation;
                enum mqtt_outcome outcome =
                    mqtt_subscribe_read(guard_copy(span_of(bytes, size)), MQTT_SUBSCRIBE,
                                        (enum mqtt_version)version, &subscribe, &violation);
                assert_int_equal(outcome, is_good ? MQTT_WHOLE : MQTT_WRONG);
            }
}

/* Every code in every version. */
static void all_codes(void **state) {
    (void)state;
    for (unsigned code = 0; code < 256; code++) {
        const uint8_t old[] = {0, 1, 0x80, (uint8_t)code}, new[] = {0, 1, 0, 0, (uint8_t)code};
        struct mqtt_suback suback;
        enum violation violation;
        enum mqtt_outcome outcome = mqtt_suback_read(guard_copy(span_of(old, sizeof old)), MQTT_SUBACK,
                                                     MQTT_VERSION_311, &suback, &violation);
        assert_int_equal(outcome, code < 3 || code == 0x80 ? MQTT_WHOLE : MQTT_WRONG);
        assert_int_equal(suback.codes.size, 2);
        outcome = mqtt_suback_read(guard_copy(span_of(new, sizeof new)), MQTT_SUBACK, MQTT_VERSION_5, &suback,
                                   &violation);
        assert_int_equal(outcome,
                         mqtt_reason_is_allowed((uint8_t)code, MQTT_SUBACK) ? MQTT_WHOLE : MQTT_WRONG);
        outcome = mqtt_suback_read(guard_copy(span_of(new, sizeof new)), MQTT_UNSUBACK, MQTT_VERSION_5,
                                   &suback, &violation);
        assert_int_equal(outcome,
                         mqtt_reason_is_allowed((uint8_t)code, MQTT_UNSUBACK) ? MQTT_WHOLE : MQTT_WRONG);
    }
}

static void unsuback_before_5_has_no_codes(void **state) {
    (void)state;
    struct mqtt_suback suback;
    enum violation violation;
    assert_int_equal(mqtt_suback_read(BODY("\0\7"), MQTT_UNSUBACK, MQTT_VERSION_311, &suback, &violation),
                     MQTT_WHOLE);
    assert_int_equal(suback.packet_id, 7);
    assert_int_equal(suback.codes.size, 0);
    assert_int_equal(mqtt_suback_read(BODY("\0\7\0"), MQTT_UNSUBACK, MQTT_VERSION_311, &suback, &violation),
                     MQTT_WRONG);
    assert_int_equal(violation, VIOLATION_PACKET_TRAILING);
}

/* A walk over bytes that nobody judged ends, and stays inside. */
static void the_walk_ends_on_cut_bytes(void **state) {
    (void)state;
    struct reader entries = reader_of(BODY("\0\1a\0\0\5ab"));
    struct mqtt_subscribe_entry entry;
    assert_true(mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry));
    assert_false(mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry));
    assert_true(entries.is_short);
    assert_false(mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_come_out_in_order),
        cmocka_unit_test(unsubscribe_has_no_options),
        cmocka_unit_test(all_options),
        cmocka_unit_test(all_codes),
        cmocka_unit_test(unsuback_before_5_has_no_codes),
        cmocka_unit_test(the_walk_ends_on_cut_bytes),
    };
    return cmocka_run_group_tests_name("mqtt/subscribe", tests, NULL, NULL);
}
