/* Behind a PUBLISH that passed, others that differ from it in nothing but a payload that is no longer pass
 * unasked: whatever differs otherwise must be asked about as if it had come alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/conversation.h"

static struct small_policy policy;

/* A stream of PUBLISHes in one piece, and each for itself: all must come out alike and be counted alike. */
static void check_like_alone(const struct setup *setup, enum mqtt_direction direction,
                             const struct span *packets, size_t count) {
    struct driver *together = driver_open(setup), *alone = driver_open(setup);
    struct span all = SPAN_NONE;
    for (size_t i = 0; i < count; i++)
        all = join(all, packets[i]);
    enum inspect_result result = driver_feed(together, direction, all);
    for (size_t i = 0; i < count; i++)
        driver_feed(alone, direction, packets[i]);
    assert_int_equal(result, alone->ways[direction].result);
    assert_int_equal(together->inspector.violation, alone->inspector.violation);
    assert_bytes(driver_out(together, direction), driver_out(alone, direction));
    assert_bytes(driver_answers(together, direction), driver_answers(alone, direction));
    assert_int_equal(together->refusals, alone->refusals);
    assert_memory_equal(&together->tally, &alone->tally, sizeof together->tally);
    driver_destroy(together);
    driver_destroy(alone);
}

static struct span text_of(size_t size) {
    static const char letters[1001] = {[0 ... 999] = 'x'};
    return span_of(letters, size);
}

/* First byte, topic, payload size; in version 5 with no properties. */
static struct span say(enum mqtt_version version, uint8_t first, const char *topic, size_t size) {
    struct writer writer = packets_open();
    size_t body = 2 + strlen(topic) + ((first & 6) != 0 ? 2 : 0) + (version == MQTT_VERSION_5 ? 1 : 0) + size;
    mqtt_write_frame(&writer, MQTT_PUBLISH, first & 15, (uint32_t)body);
    writer_string(&writer, span_of_text(topic));
    if ((first & 6) != 0)
        writer_u16(&writer, 7);
    if (version == MQTT_VERSION_5)
        writer_u8(&writer, 0);
    writer_bytes(&writer, text_of(size));
    return packets_close(&writer);
}

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};

static void check_pairs(enum mqtt_direction direction, const struct inspect_limits *limits) {
    const char *const topics[] = {"ok/1", "ok/2", "ok/12", "no/1", "$SYS/x"};
    const uint8_t firsts[] = {0x30, 0x31, 0x32, 0x34, 0x36};
    const size_t sizes[] = {0, 1, 117, 118, 119, 120, 121, 122, 300, 1000};
    for (size_t v = 0; v < 3; v++)
        for (size_t t = 0; t < 5; t++)
            for (size_t f = 0; f < 5; f++)
                for (size_t s = 0; s < 10; s++) {
                    struct setup setup = setup_of(versions[v], policy.acl);
                    if (limits != NULL)
                        setup.limits = *limits;
                    struct span model = say(versions[v], 0x30, "ok/1", 120);
                    struct span other = say(versions[v], firsts[f], topics[t], sizes[s]);
                    struct span packets[] = {model, model, other, model, other, other};
                    check_like_alone(&setup, direction, packets, 6);
                    packets_forget();
                }
}

static void test_pairs_to_broker(void **state) {
    (void)state;
    check_pairs(MQTT_TO_BROKER, NULL);
}

static void test_pairs_to_device(void **state) {
    (void)state;
    check_pairs(MQTT_TO_DEVICE, NULL);
}

static void test_pairs_under_limits(void **state) {
    (void)state;
    struct inspect_limits limits = driver_no_limits();
    limits.message_size_limit = 120;
    limits.max_packet_size = 200;
    limits.retain_available = false;
    limits.max_qos = 1;
    check_pairs(MQTT_TO_BROKER, &limits);
}

/* Lengths written as they should not be, and properties, are looked at. */
static void test_odd_neighbours(void **state) {
    (void)state;
    static const char *const odd[] = {
        "30 89 00 00 04 6f 6b 2f 31 78 78 78", /* an over-long length: wrong in 5.0 alone */
        "30 89 80 00 00 04 6f 6b 2f 31 78 78 78",
        "30 05 00 04 6f 6b 2f",                /* the topic is longer than the packet */
        "30 06 00 04 6f 6b 2f 31",             /* no room for the property length: wrong in 5.0 alone */
        "30 0a 00 04 6f 6b 2f 31 02 01 00 78", /* a property, or payload */
        "30 0a 00 04 6f 6b 2f 31 03 01 00 78",
        "30 07 00 04 6f 6b 2f 31 00",
        "30 06 00 04 6f 6b 2f 2b",
        "38 07 00 04 6f 6b 2f 31 00",
        "3e 07 00 04 6f 6b 2f 31 00",
    };
    for (size_t v = 0; v < 3; v++)
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
            struct setup setup = setup_of(versions[v], policy.acl);
            struct span model = say(versions[v], 0x30, "ok/1", 300);
            struct span packets[] = {model, model, bytes_of_hex(odd[i]), model};
            check_like_alone(&setup, MQTT_TO_BROKER, packets, 4);
            check_like_alone(&setup, MQTT_TO_DEVICE, packets, 4);
            packets_forget();
        }
}

/* However a run of them is cut into pieces, also behind something that was cut out. */
static void test_chopped(void **state) {
    (void)state;
    for (size_t v = 0; v < 3; v++) {
        struct setup setup = setup_of(versions[v], policy.acl);
        struct span input = say(versions[v], 0x30, "no/1", 50), out = SPAN_NONE;
        for (size_t i = 0; i < 60; i++) {
            struct span one = say(versions[v], 0x30, "ok/1", 90 - i % 7);
            input = join(input, one);
            out = join(out, one);
            if (i % 20 == 10)
                input = join(input, say(versions[v], 0x30, "no/1", 10));
        }
        check_passes(&setup, MQTT_TO_BROKER, input, out, SPAN_NONE);
        check_passes(&setup, MQTT_TO_DEVICE, input, out, SPAN_NONE);
        packets_forget();
    }
}

static int set_up(void **state) {
    (void)state;
    policy = small_policy_create(PACKETS_ACL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_destroy(policy.arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_to_broker),
        cmocka_unit_test(test_pairs_to_device),
        cmocka_unit_test(test_pairs_under_limits),
        cmocka_unit_test(test_odd_neighbours),
        cmocka_unit_test(test_chopped),
    };
    return cmocka_run_group_tests_name("inspect/twins", tests, set_up, tear_down);
}
