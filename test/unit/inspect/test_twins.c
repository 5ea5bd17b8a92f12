/* Behind a PUBLISH that passed, others that differ from it, or from one before it, in nothing but a payload
 * that is no longer pass unasked: whatever differs otherwise must be asked about as if it had come alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "inspect/pace.h"
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

/* ---- what has passed before ---- */

/* Two PUBLISHes in one piece, so that both are known afterwards. */
static void learn(struct driver *driver, enum mqtt_direction direction, struct span one, struct span other) {
    struct span both = join(one, other);
    driver_feed(driver, direction, join(both, both));
    assert_bytes(driver_out(driver, direction), join(both, both));
    driver_forget(driver);
}

/* Behind one that passes as it came: does it pass as well? */
static bool may_pass(struct driver *driver, enum mqtt_direction direction, struct span packet) {
    struct span first = say(driver->inspector.version, 0x30, "ok/first", 5);
    driver_feed(driver, direction, join(first, packet));
    struct span out = driver_out(driver, direction);
    assert_true(span_begins_with(out, first));
    bool is_passed = span_is_equal(out, join(first, packet));
    assert_true(is_passed || span_is_equal(out, first));
    driver_forget(driver);
    return is_passed;
}

#define DIRECTIONS                                                                                           \
    { MQTT_TO_BROKER, MQTT_TO_DEVICE }

/* Puts other rules below what was allowed, as nobody does: what is known is not held against them, and by
 * this it is seen that it is known. */
static void exchange(struct driver *driver, const struct acl *acl) {
    uint64_t number = driver->inspector.acl.number;
    acl_bind(&driver->inspector.acl, acl, driver->inspector.acl.identity);
    driver->inspector.acl.number = number;
}

static void test_known_ones_are_not_asked_about(void **state) {
    (void)state;
    const enum mqtt_direction directions[] = DIRECTIONS;
    for (size_t v = 0; v < 3; v++)
        for (size_t d = 0; d < 2; d++) {
            struct setup setup = setup_of(versions[v], NULL);
            struct driver *driver = driver_open(&setup);
            struct span known = say(versions[v], 0x30, "no/1", 20), other = say(versions[v], 0x30, "no/2", 9);
            learn(driver, directions[d], known, other);
            exchange(driver, policy.acl);
            assert_true(may_pass(driver, directions[d], known));
            assert_true(may_pass(driver, directions[d], say(versions[v], 0x30, "no/1", 19)));
            assert_true(may_pass(driver, directions[d], other));
            assert_false(may_pass(driver, directions[d], say(versions[v], 0x30, "no/1", 21)));
            assert_false(may_pass(driver, directions[d], say(versions[v], 0x31, "no/1", 20)));
            assert_false(may_pass(driver, directions[d], say(versions[v], 0x30, "no/3", 20)));
            driver->has_no_twins = true;
            assert_false(may_pass(driver, directions[d], known));
            driver_destroy(driver);
            packets_forget();
        }
}

/* Sessions whose numbers are this far apart have the same places in the table. */
#define SAME_PLACES (UINT64_C(1) << 32)

/* The sessions of a worker have one table. */
static void test_another_session(void **state) {
    (void)state;
    const enum mqtt_direction directions[] = DIRECTIONS;
    for (size_t v = 0; v < 3; v++)
        for (size_t d = 0; d < 2; d++) {
            struct setup free_one = setup_of(versions[v], NULL), held_one = setup_of(versions[v], policy.acl);
            struct driver *free_driver = driver_open(&free_one), *held_driver = driver_open(&held_one);
            struct span known = say(versions[v], 0x30, "no/1", 20);
            learn(held_driver, directions[d], say(versions[v], 0x30, "ok/1", 20),
                  say(versions[v], 0x30, "ok/2", 20));
            learn(free_driver, directions[d], known, say(versions[v], 0x30, "no/2", 20));
            assert_false(may_pass(held_driver, directions[d], known));
            held_driver->inspector.acl.number = free_driver->inspector.acl.number + SAME_PLACES;
            assert_false(may_pass(held_driver, directions[d], known));
            assert_int_equal(held_driver->refusals, 2);
            assert_true(may_pass(free_driver, directions[d], known));
            driver_destroy(free_driver);
            driver_destroy(held_driver);
            packets_forget();
        }
}

/* A session of higher limits lifts none for another. */
static void test_sizes_of_another_session(void **state) {
    (void)state;
    for (size_t v = 0; v < 3; v++) {
        struct setup setup = setup_of(versions[v], policy.acl);
        struct driver *large = driver_open(&setup);
        setup.limits.message_size_limit = 30;
        struct driver *small = driver_open(&setup);
        struct span known = say(versions[v], 0x30, "ok/1", 20), longer = say(versions[v], 0x30, "ok/1", 40);
        learn(small, MQTT_TO_BROKER, known, say(versions[v], 0x30, "ok/2", 20));
        large->inspector.acl.number = small->inspector.acl.number + SAME_PLACES;
        learn(large, MQTT_TO_BROKER, longer, say(versions[v], 0x30, "ok/2", 40));
        assert_false(may_pass(small, MQTT_TO_BROKER, longer));
        assert_true(may_pass(small, MQTT_TO_BROKER, known));
        driver_destroy(small);
        driver_destroy(large);
        packets_forget();
    }
}

/* What may be written is not what may be read. */
static void test_the_other_way(void **state) {
    (void)state;
    const char *const topics[] = {"out/1", "in/1"};
    const enum mqtt_direction directions[] = DIRECTIONS;
    for (size_t v = 0; v < 3; v++)
        for (size_t d = 0; d < 2; d++) {
            struct setup setup = setup_of(versions[v], policy.acl);
            struct driver *driver = driver_open(&setup);
            struct span known = say(versions[v], 0x30, topics[d], 20);
            learn(driver, directions[d], known, say(versions[v], 0x30, "ok/2", 20));
            assert_false(may_pass(driver, directions[1 - d], known));
            assert_true(may_pass(driver, directions[d], known));
            driver_destroy(driver);
            packets_forget();
        }
}

/* A reload binds the session anew: to other rules, or to the same under other limits. */
static void test_bound_anew(void **state) {
    (void)state;
    const enum mqtt_direction directions[] = DIRECTIONS;
    for (size_t v = 0; v < 3; v++)
        for (size_t d = 0; d < 2; d++) {
            struct setup setup = setup_of(versions[v], NULL);
            struct driver *driver = driver_open(&setup);
            struct span known = say(versions[v], 0x30, "no/1", 20), good = say(versions[v], 0x30, "ok/1", 20);
            learn(driver, directions[d], known, good);
            acl_bind(&driver->inspector.acl, policy.acl, driver->inspector.acl.identity);
            assert_false(may_pass(driver, directions[d], known));
            assert_true(may_pass(driver, directions[d], good));
            driver->inspector.limits.message_size_limit = 19;
            acl_bind(&driver->inspector.acl, policy.acl, driver->inspector.acl.identity);
            assert_int_equal(may_pass(driver, directions[d], good), directions[d] == MQTT_TO_DEVICE);
            driver_destroy(driver);
            packets_forget();
        }
}

/* maxqos and noretain of a rule. */
static void test_other_flags(void **state) {
    (void)state;
    struct small_policy limited = small_policy_create("topic write maxqos=0 noretain ok/1\n"
                                                      "topic write ok/#\n");
    for (size_t v = 0; v < 3; v++) {
        struct setup setup = setup_of(versions[v], limited.acl);
        struct driver *driver = driver_open(&setup);
        learn(driver, MQTT_TO_BROKER, say(versions[v], 0x30, "ok/1", 20), say(versions[v], 0x30, "ok/2", 20));
        for (uint8_t first = 0x31; first < 0x36; first++)
            assert_int_equal(may_pass(driver, MQTT_TO_BROKER, say(versions[v], first, "ok/1", 20)), 0);
        assert_int_equal(driver->refusals, 5);
        assert_true(may_pass(driver, MQTT_TO_BROKER, say(versions[v], 0x31, "ok/2", 20)));
        driver_destroy(driver);
        packets_forget();
    }
    arena_destroy(limited.arena);
}

/* Whoever has lost its retain flag is known as one without. */
static void test_stripped_ones(void **state) {
    (void)state;
    for (size_t v = 0; v < 3; v++) {
        struct setup setup = setup_of(versions[v], policy.acl);
        setup.limits.retain_policy = RETAIN_STRIP;
        setup.limits.has_message_rules = true;
        struct span one[] = {say(versions[v], 0x31, "ok/1", 9), say(versions[v], 0x30, "ok/2", 9),
                             say(versions[v], 0x31, "ok/2", 9), say(versions[v], 0x31, "ok/1", 9),
                             say(versions[v], 0x30, "ok/1", 9), say(versions[v], 0x31, "ok/1", 9)};
        check_like_alone(&setup, MQTT_TO_BROKER, one, 6);
        packets_forget();
    }
}

/* Each costs a token, known or not, be the rate as old as the session or come by a reload. */
static void test_paced_ones(void **state) {
    (void)state;
    struct rate rate;
    assert_true(rate_read(SPAN_LITERAL("5/s"), &rate));
    for (size_t v = 0; v < 3; v++) {
        struct setup setup = setup_of(versions[v], policy.acl);
        struct driver *driver = driver_open(&setup);
        struct span one = say(versions[v], 0x30, "ok/1", 9), two = say(versions[v], 0x30, "ok/2", 9);
        learn(driver, MQTT_TO_BROKER, one, two);
        struct pace pace = {.action = PACE_DROP};
        pace_begin(&pace, 1000000, 1000000);
        meter_init(&pace.own[PACE_MESSAGES], &rate, NULL, 1000000);
        pace.meters[PACE_MESSAGES][PACE_DEVICE] = &pace.own[PACE_MESSAGES];
        driver->inspector.pace = &pace;
        struct span all = SPAN_NONE;
        for (size_t i = 0; i < 20; i++)
            all = join(all, i % 2 == 0 ? one : two);
        driver_feed(driver, MQTT_TO_BROKER, all);
        assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 5 * one.size);
        assert_int_equal(driver->tally.rows[METRIC_rate_dropped], 15);
        driver_destroy(driver);
        packets_forget();
    }
}

/* Limits are about the payload too: an over-long length, which only version 5 forbids, makes the packet
 * larger, and its twins' payload no larger. */
static void test_sizes(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    setup.limits.message_size_limit = 3;
    struct span padded = bytes_of_hex("30 89 80 00 00 04 6f 6b 2f 31 78 78 78");
    for (size_t size = 0; size < 8; size++) {
        struct span packets[] = {padded, say(MQTT_VERSION_311, 0x30, "ok/1", size),
                                 say(MQTT_VERSION_311, 0x30, "ok/2", 1), padded,
                                 say(MQTT_VERSION_311, 0x30, "ok/1", size)};
        check_like_alone(&setup, MQTT_TO_BROKER, packets, 5);
    }
    packets_forget();
    for (size_t v = 0; v < 3; v++) { /* what is known grows with what passes */
        struct setup free_one = setup_of(versions[v], NULL);
        struct driver *driver = driver_open(&free_one);
        learn(driver, MQTT_TO_BROKER, say(versions[v], 0x30, "no/1", 5), say(versions[v], 0x30, "no/2", 5));
        learn(driver, MQTT_TO_BROKER, say(versions[v], 0x30, "no/1", 50), say(versions[v], 0x30, "no/2", 5));
        learn(driver, MQTT_TO_BROKER, say(versions[v], 0x30, "no/1", 7), say(versions[v], 0x30, "no/2", 5));
        exchange(driver, policy.acl);
        assert_true(may_pass(driver, MQTT_TO_BROKER, say(versions[v], 0x30, "no/1", 50)));
        assert_false(may_pass(driver, MQTT_TO_BROKER, say(versions[v], 0x30, "no/1", 51)));
        driver_destroy(driver);
        packets_forget();
    }
}

/* Topics of all lengths, more of them than there is room for, over and over; some are refused, some too
 * large.
 */
static void test_many(void **state) {
    (void)state;
    const enum mqtt_direction directions[] = DIRECTIONS;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    for (size_t d = 0; d < 2; d++) {
        setup.limits.message_size_limit = directions[d] == MQTT_TO_BROKER ? 8 : 0;
        struct driver *driver = driver_open(&setup);
        uint64_t allowed = 0, refused = 0;
        for (size_t round = 0; round < 3; round++)
            for (size_t i = 0; i < 5000; i += 50) {
                struct span all = SPAN_NONE, out = SPAN_NONE;
                for (size_t j = i; j < i + 50; j++) {
                    char topic[200];
                    size_t size = (j + round * 5) % 11;
                    bool is_allowed = j % 7 != 3 && (directions[d] == MQTT_TO_DEVICE || size <= 8);
                    snprintf(topic, sizeof topic, "%s/%zu/%.*s", j % 7 == 3 ? "no" : "ok", j, (int)(j % 150),
                             (const char *)text_of(150).at);
                    struct span one = say(MQTT_VERSION_5, 0x30, topic, size);
                    all = join(all, one);
                    out = is_allowed ? join(out, one) : out;
                    (*(is_allowed ? &allowed : &refused))++;
                }
                driver_feed(driver, directions[d], all);
                assert_bytes(driver_out(driver, directions[d]), out);
                driver_forget(driver);
                packets_forget();
            }
        assert_int_equal(driver->refusals, refused);
        assert_int_equal(driver->tally.packets[directions[d]][MQTT_PUBLISH], allowed + refused);
        driver_destroy(driver);
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
        cmocka_unit_test(test_known_ones_are_not_asked_about),
        cmocka_unit_test(test_another_session),
        cmocka_unit_test(test_sizes_of_another_session),
        cmocka_unit_test(test_the_other_way),
        cmocka_unit_test(test_bound_anew),
        cmocka_unit_test(test_other_flags),
        cmocka_unit_test(test_stripped_ones),
        cmocka_unit_test(test_paced_ones),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests_name("inspect/twins", tests, set_up, tear_down);
}
