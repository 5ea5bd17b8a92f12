/* Which PUBLISHes wait for their acknowledgement, against the simplest thing that could be right; and Receive
 * Maximum in both ways of the inspector (MQTT 5.0 4.9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/conversation.h"

static struct small_policy policy;

/* ---- the set ---- */

static void test_unlimited(void **state) {
    (void)state;
    const uint16_t maxima[] = {0, WINDOW_UNLIMITED};
    for (size_t i = 0; i < 2; i++) {
        struct window window = {.max = maxima[i]};
        for (uint32_t id = 1; id <= 65535; id++)
            assert_int_equal(window_take(&window, (uint16_t)id), WINDOW_TAKEN);
        window_free(&window, 7);
        assert_int_equal(window.count, 0);
        assert_null(window.many.bits); /* nothing is watched, nothing is kept */
    }
}

static void test_at_random(void **state) {
    (void)state;
    const uint16_t maxima[] = {1, 2, WINDOW_FEW - 1, WINDOW_FEW, WINDOW_FEW + 1, 100, 65534};
    static bool has[65536];
    for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
        struct window window = {.max = maxima[i]};
        uint64_t seed = i;
        uint32_t count = 0;
        memset(has, 0, sizeof has);
        for (size_t step = 0; step < 20000; step++) {
            /* Few ids, so that each is met again; more taking than freeing, so that it gets full. */
            uint16_t id =
                (uint16_t)(1 + driver_random(&seed) % (maxima[i] * 2u < 300 ? maxima[i] * 2u : 300));
            if (driver_random(&seed) % 5 < 3) {
                bool is_full = !has[id] && count == maxima[i];
                assert_int_equal(window_take(&window, id), is_full ? WINDOW_FULL : WINDOW_TAKEN);
                if (is_full)
                    continue;
                count += !has[id];
                has[id] = true;
            } else {
                window_free(&window, id);
                count -= has[id];
                has[id] = false;
            }
            assert_int_equal(window.count, count);
        }
        assert_int_equal(window.many.bits != NULL, maxima[i] > WINDOW_FEW);
        window_clear(&window);
    }
}

/* ---- both ways of a session; each takes two ---- */

static struct setup setup_of_two(void) {
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.connect_props = bytes_of_hex("21 00 02");
    setup.connack_props = bytes_of_hex("21 00 02");
    setup.limits.is_broker_counted = true;
    return setup;
}

static struct span publish(uint8_t qos, uint16_t id, const char *topic) {
    return publish_packet(MQTT_VERSION_5, (struct publish_fields){.qos = qos, .id = id, .topic = topic});
}

static struct span ack(uint8_t first, uint8_t id, int reason) {
    const uint8_t body[] = {0, id, (uint8_t)reason};
    return packet(first, span_of(body, reason < 0 ? 2 : 3));
}

struct move {
    char who; /* 'd'evice, 'b'roker */
    uint8_t type;
    uint8_t id;
    int value; /* of a PUBLISH its QoS, else the reason; -1: none */
    bool is_too_much;
};

static void check_moves(const struct setup *setup, const char *name, const struct move *moves, size_t count,
                        enum mqtt_direction violator) {
    struct driver *driver = driver_open(setup);
    for (size_t i = 0; i < count; i++) {
        const struct move *move = &moves[i];
        enum mqtt_direction direction = move->who == 'd' ? MQTT_TO_BROKER : MQTT_TO_DEVICE;
        struct span bytes =
            move->type == MQTT_PUBLISH
                ? publish((uint8_t)move->value, move->id, direction == MQTT_TO_BROKER ? "out/x" : "in/x")
                : ack((uint8_t)(move->type << 4 | (move->type == MQTT_PUBREL ? 2 : 0)), move->id,
                      move->value);
        enum inspect_result result = driver_feed(driver, direction, bytes);
        if (result != (move->is_too_much ? INSPECT_WRONG : INSPECT_MORE))
            fail_msg("%s, move %zu: %d", name, i, result);
        if (move->is_too_much) {
            assert_int_equal(direction, violator);
            assert_int_equal(driver->inspector.violation, VIOLATION_RECEIVE_MAXIMUM);
        }
    }
    driver_destroy(driver);
    packets_forget();
}

/* The same exchanges with the parts of device and broker changed: the statement is the same one. */
static void check_both_ways(const char *name, const struct move *moves, size_t count) {
    struct setup setup = setup_of_two();
    struct move turned[32];
    for (size_t i = 0; i < count; i++) {
        turned[i] = moves[i];
        turned[i].who = moves[i].who == 'd' ? 'b' : 'd';
    }
    check_moves(&setup, name, moves, count, MQTT_TO_BROKER);
    setup = setup_of_two();
    check_moves(&setup, name, turned, count, MQTT_TO_DEVICE);
}

#define CHECK(name, ...)                                                                                     \
    do {                                                                                                     \
        const struct move moves[] = {__VA_ARGS__};                                                           \
        check_both_ways(name, moves, sizeof moves / sizeof moves[0]);                                        \
    } while (0)
#define SENDS(id, qos)                                                                                       \
    { 'd', MQTT_PUBLISH, id, qos, false }
#define TOO_MUCH(id, qos)                                                                                    \
    { 'd', MQTT_PUBLISH, id, qos, true }
#define SAYS(type, id)                                                                                       \
    { 'd', MQTT_##type, id, -1, false }
#define HEARS(type, id)                                                                                      \
    { 'b', MQTT_##type, id, -1, false }

static void test_both_ways(void **state) {
    (void)state;
    CHECK("a third", SENDS(1, 1), SENDS(2, 2), TOO_MUCH(3, 1));
    CHECK("QoS 0 takes none", SENDS(1, 1), SENDS(2, 1), SENDS(0, 0), SENDS(0, 0), TOO_MUCH(3, 2));
    CHECK("PUBACK frees", SENDS(1, 1), SENDS(2, 1), HEARS(PUBACK, 1), SENDS(3, 1), TOO_MUCH(1, 1));
    CHECK("PUBREC does not", SENDS(1, 2), SENDS(2, 1), HEARS(PUBREC, 1), TOO_MUCH(3, 1));
    CHECK("nor PUBREL", SENDS(1, 2), SENDS(2, 1), HEARS(PUBREC, 1), SAYS(PUBREL, 1), TOO_MUCH(3, 1));
    CHECK("PUBCOMP does", SENDS(1, 2), SENDS(2, 1), HEARS(PUBREC, 1), SAYS(PUBREL, 1), HEARS(PUBCOMP, 1),
          SENDS(3, 1), TOO_MUCH(4, 1));
    CHECK("a PUBREC that refuses does", SENDS(1, 2), SENDS(2, 1), {'b', MQTT_PUBREC, 1, 0x87, false},
          SENDS(3, 1), TOO_MUCH(4, 1));
    CHECK("the same once more takes no other", SENDS(1, 1), SENDS(2, 1), SENDS(1, 1), SENDS(2, 1),
          TOO_MUCH(3, 1));
    /* Exchanges of an earlier connection end here and give no place back (4.9). */
    CHECK("old PUBREL", SAYS(PUBREL, 9), HEARS(PUBCOMP, 9), HEARS(PUBACK, 8), SENDS(1, 1), SENDS(2, 1),
          TOO_MUCH(3, 1));
    CHECK("the other way's acknowledgements", SENDS(1, 1), SENDS(2, 1), SAYS(PUBACK, 1), SAYS(PUBCOMP, 2),
          TOO_MUCH(3, 1));
    /* A reason that only a broker has (no matching subscribers) refuses nothing. */
    const struct move good[] = {SENDS(1, 2), SENDS(2, 1), {'b', MQTT_PUBREC, 1, 0x10, false}, TOO_MUCH(3, 1)};
    struct setup setup = setup_of_two();
    check_moves(&setup, "a PUBREC with a good reason", good, 4, MQTT_TO_BROKER);
}

/* What we answer ourselves has its place from its head to our answer. */
static void test_answered_here(void **state) {
    (void)state;
    struct setup setup = setup_of_two();
    struct driver *driver = driver_open(&setup);
    for (uint16_t id = 1; id <= 20; id++) {
        uint8_t qos = (uint8_t)(1 + id % 2);
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, publish(qos, id, "no/x")), INSPECT_MORE);
    }
    assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
    driver_feed(driver, MQTT_TO_BROKER, publish(1, 30, "out/x"));
    driver_feed(driver, MQTT_TO_BROKER, publish(1, 31, "out/x"));
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, publish(1, 32, "no/x")), INSPECT_WRONG);
    assert_int_equal(driver->inspector.violation, VIOLATION_RECEIVE_MAXIMUM);
    driver_destroy(driver);
    packets_forget();
}

/* What is kept from a device takes no place there. */
static void test_kept_back(void **state) {
    (void)state;
    struct setup setup = setup_of_two();
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_DEVICE, publish(1, 1, "in/x"));
    driver_feed(driver, MQTT_TO_DEVICE, publish(2, 2, "in/x"));
    for (uint16_t id = 3; id <= 20; id++)
        assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, publish(1 + id % 2, id, "no/x")), INSPECT_MORE);
    assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, publish(1, 21, "in/x")), INSPECT_WRONG);
    driver_destroy(driver);
    packets_forget();
}

/* Unless it is wanted the broker is trusted. */
static void test_trusted(void **state) {
    (void)state;
    struct setup setup = setup_of_two();
    setup.limits.is_broker_counted = false;
    struct driver *driver = driver_open(&setup);
    for (uint16_t id = 1; id <= 20; id++)
        assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, publish(1 + id % 2, id, "in/x")), INSPECT_MORE);
    driver_destroy(driver);
    packets_forget();
}

/* A head that is judged twice, since there was no room to rewrite it, takes one place. */
static void test_streams(void **state) {
    (void)state;
    struct setup setup = setup_of_two();
    struct span two = join(publish(1, 1, "out/x"), publish(2, 2, "out/x"));
    check_wrong(&setup, MQTT_TO_BROKER, join(two, publish(1, 3, "out/x")), two, VIOLATION_RECEIVE_MAXIMUM);
    packets_forget();
}

/* What the device is held to is the lesser of the broker's and ours; 3.1.1 has no such limit. */
static void test_limits(void **state) {
    (void)state;
    const struct {
        enum mqtt_version version;
        uint16_t ours;
        const char *theirs;
        uint16_t allowed; /* 0: all */
    } rows[] = {{MQTT_VERSION_5, 0, "", 0},          {MQTT_VERSION_5, 3, "", 3},
                {MQTT_VERSION_5, 3, "21 00 14", 3},  {MQTT_VERSION_5, 50, "21 00 14", 20},
                {MQTT_VERSION_5, 0, "21 00 14", 20}, {MQTT_VERSION_311, 3, "", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct setup setup = setup_of(rows[i].version, NULL);
        setup.limits.receive_maximum = rows[i].ours;
        setup.connack_props = bytes_of_hex(rows[i].theirs);
        struct driver *driver = driver_open(&setup);
        uint16_t id = 1;
        for (; id < 100; id++) {
            size_t pooled = packets_pooled;
            enum inspect_result result = driver_feed(
                driver, MQTT_TO_BROKER,
                publish_packet(rows[i].version, (struct publish_fields){.qos = 1, .id = id, .topic = "t"}));
            packets_pooled = pooled;
            if (result != INSPECT_MORE)
                break;
        }
        assert_int_equal(id, rows[i].allowed == 0 ? 100 : rows[i].allowed + 1);
        driver_destroy(driver);
        packets_forget();
    }
}

static int create_policy(void **state) {
    (void)state;
    policy = small_policy_create(PACKETS_ACL);
    return 0;
}

static int destroy_policy(void **state) {
    (void)state;
    arena_destroy(policy.arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unlimited), cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_both_ways), cmocka_unit_test(test_answered_here),
        cmocka_unit_test(test_kept_back), cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_streams),   cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("inspect/window", tests, create_policy, destroy_policy);
}
