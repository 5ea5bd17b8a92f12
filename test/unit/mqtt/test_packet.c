/* The tables: violations, reason codes, packet names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <ctype.h>

#include "mqtt/packet.h"

static void labels_are_the_names_in_lower_case(void **state) {
    (void)state;
    static const char *const names[] = {
        "NONE",
#define VIOLATION(name, reason, clause, sentence) #name,
#include "mqtt/violations.def"
#undef VIOLATION
    };
    for (int i = 0; i < VIOLATION_COUNT; i++) {
        const char *label = violation_rows[i].name;
        assert_int_equal(strlen(label), strlen(names[i]));
        for (size_t k = 0; label[k] != 0; k++)
            assert_int_equal(label[k], tolower((unsigned char)names[i][k]));
    }
    assert_string_equal(violation_rows[VIOLATION_SUBSCRIPTION_ID_NOT_SUPPORTED].name,
                        "subscription_id_not_supported");
}

/* A row tells something, and its reason is one that we can send to a device. */
static void rows_are_whole(void **state) {
    (void)state;
    for (int i = 1; i < VIOLATION_COUNT; i++) {
        const struct violation_row *row = &violation_rows[i];
        assert_true(strncmp(row->clause, "MQTT 5.0 ", 9) == 0 ||
                    strncmp(row->clause, "MQTT 3.1.1 ", 11) == 0);
        assert_true(strlen(row->sentence) > 10);
        assert_true(islower((unsigned char)row->sentence[0]) || isupper((unsigned char)row->sentence[0]));
        assert_true(row->reason >= 0x80);
        assert_true(mqtt_reason_may_travel(row->reason, MQTT_DISCONNECT, MQTT_TO_DEVICE) ||
                    mqtt_reason_may_travel(row->reason, MQTT_CONNACK, MQTT_TO_DEVICE));
        for (int k = 1; k < i; k++)
            assert_string_not_equal(row->sentence, violation_rows[k].sentence);
    }
    assert_int_equal(violation_rows[VIOLATION_PROTOCOL_VERSION].reason, 0x84);
    assert_int_equal(violation_rows[VIOLATION_PACKET_TOO_LARGE].reason, 0x95);
    assert_int_equal(violation_rows[VIOLATION_TOPIC_NAME].reason, 0x90);
    assert_int_equal(violation_rows[VIOLATION_TOPIC_FILTER].reason, 0x8F);
    assert_int_equal(violation_rows[VIOLATION_TOPIC_ALIAS].reason, 0x94);
    assert_int_equal(violation_rows[VIOLATION_PACKET_ORDER].reason, 0x82);
}

/* The tables of chapter 3, written down a second time, packet by packet. */
struct reason_list {
    enum mqtt_type type;
    enum mqtt_direction direction;
    const char *hex;
};
static const struct reason_list reason_lists[] = {
    {MQTT_CONNACK, MQTT_TO_DEVICE, "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f"},
    {MQTT_PUBACK, MQTT_TO_DEVICE, "00 10 80 83 87 90 91 97 99"},
    {MQTT_PUBACK, MQTT_TO_BROKER, "00 80 83 87 90 91 97 99"},
    {MQTT_PUBREC, MQTT_TO_DEVICE, "00 10 80 83 87 90 91 97 99"},
    {MQTT_PUBREC, MQTT_TO_BROKER, "00 80 83 87 90 91 97 99"},
    {MQTT_PUBREL, MQTT_TO_DEVICE, "00 92"},
    {MQTT_PUBREL, MQTT_TO_BROKER, "00 92"},
    {MQTT_PUBCOMP, MQTT_TO_DEVICE, "00 92"},
    {MQTT_PUBCOMP, MQTT_TO_BROKER, "00 92"},
    {MQTT_SUBACK, MQTT_TO_DEVICE, "00 01 02 80 83 87 8f 91 97 9e a1 a2"},
    {MQTT_UNSUBACK, MQTT_TO_DEVICE, "00 11 80 83 87 8f 91"},
    {MQTT_DISCONNECT, MQTT_TO_BROKER, "00 04 80 81 82 83 90 93 94 95 96 97 98 99"},
    {MQTT_DISCONNECT, MQTT_TO_DEVICE,
     "00 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2"},
    {MQTT_AUTH, MQTT_TO_BROKER, "18 19"},
    {MQTT_AUTH, MQTT_TO_DEVICE, "00 18"},
};

static bool is_listed(const char *hex, unsigned value) {
    char word[3] = {"0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15], 0};
    return strstr(hex, word) != NULL;
}

static void reasons_stand_where_the_tables_say(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof reason_lists / sizeof reason_lists[0]; i++) {
        const struct reason_list *list = &reason_lists[i];
        for (unsigned reason = 0; reason < 256; reason++) {
            bool is = is_listed(list->hex, reason);
            assert_int_equal(mqtt_reason_may_travel((uint8_t)reason, list->type, list->direction), is);
            if (is)
                assert_true(mqtt_reason_is_allowed((uint8_t)reason, list->type));
        }
    }
    assert_true(mqtt_reason_is_allowed(0x04, MQTT_DISCONNECT));
    for (unsigned reason = 0; reason < 256; reason++) {
        assert_false(mqtt_reason_is_allowed((uint8_t)reason, MQTT_CONNECT));
        assert_false(mqtt_reason_is_allowed((uint8_t)reason, MQTT_PUBLISH));
        assert_false(mqtt_reason_is_allowed((uint8_t)reason, MQTT_PINGRESP));
    }
}

static void words_and_names(void **state) {
    (void)state;
    assert_string_equal(mqtt_reason_words(0x87), "Not authorized");
    assert_string_equal(mqtt_reason_words(0x00), "Success");
    assert_string_equal(mqtt_reason_words(0x03), "unknown reason");
    assert_string_equal(mqtt_reason_words(0xFF), "unknown reason");
    assert_string_equal(mqtt_type_name(MQTT_PUBLISH), "PUBLISH");
    assert_string_equal(mqtt_type_name(MQTT_AUTH), "AUTH");
    assert_string_equal(mqtt_type_name((enum mqtt_type)0), "reserved");
    assert_string_equal(mqtt_type_name((enum mqtt_type)16), "reserved");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_the_names_in_lower_case),
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(reasons_stand_where_the_tables_say),
        cmocka_unit_test(words_and_names),
    };
    return cmocka_run_group_tests_name("mqtt/packet", tests, NULL, NULL);
}
