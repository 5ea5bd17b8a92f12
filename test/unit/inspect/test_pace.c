/* How fast devices may send: what passes, what waits, what is cut out and answered, and what ends the
 * session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "inspect/pace.h"
#include "unit/inspect/conversation.h"

#define NOW UINT64_C(1000000)

static struct small_policy policy;

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};
#define EACH_VERSION(version)                                                                                \
    size_t v_ = 0;                                                                                           \
    v_ < 3 && ((version) = versions[v_], true);                                                              \
    v_++

static struct rate rate_of(const char *text) {
    struct rate rate;
    DRIVER_MUST(rate_read(span_of_text(text), &rate));
    return rate;
}

static struct meter meter_of(const char *text) {
    struct rate rate = rate_of(text);
    struct meter meter;
    meter_init(&meter, &rate, NULL, NOW);
    return meter;
}

static struct pace pace_of(enum pace_action action) {
    struct pace pace = {.action = action};
    pace_begin(&pace, NOW, NOW);
    return pace;
}

static struct driver *open_with(enum mqtt_version version, struct pace *pace) {
    struct setup setup = setup_of(version, policy.acl);
    struct driver *driver = driver_open(&setup);
    driver->inspector.pace = pace;
    return driver;
}

static struct span publish(enum mqtt_version version, uint8_t qos, uint16_t id) {
    return publish_packet(
        version,
        (struct publish_fields){.qos = qos, .topic = "ok/a", .id = id, .payload = SPAN_LITERAL("hello")});
}

static struct span many(enum mqtt_version version, uint8_t qos, uint16_t first, uint16_t count) {
    static uint8_t room[2000 * 32];
    struct writer all = writer_of(room, sizeof room);
    for (uint16_t i = 0; i < count; i++) {
        size_t pooled = packets_pooled;
        writer_bytes(&all, publish(version, qos, (uint16_t)(first + i)));
        packets_pooled = pooled;
    }
    struct writer copy = packets_open();
    writer_bytes(&copy, writer_span(&all));
    return packets_close(&copy);
}

static uint64_t metric(const struct driver *driver, enum metric row) {
    return tally_read(&driver->tally.rows[row]);
}

static struct span ping(void) {
    return SPAN_LITERAL("\xc0\0");
}

/* Time goes on, and what is held is judged again. */
static enum inspect_result run_at(struct driver *driver, uint64_t since_ms, uint64_t now_ms) {
    pace_begin(driver->inspector.pace, since_ms, now_ms);
    return driver_run(driver, MQTT_TO_BROKER);
}

static void finish(struct driver *driver) {
    driver_destroy(driver);
    packets_forget();
}

/* The burst passes, the next one waits until its time has come, whatever its QoS. */
static void test_delay(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version))
        for (uint8_t qos = 0; qos < 3; qos++) {
            struct meter meter = meter_of("2/s burst 5");
            struct pace pace = pace_of(PACE_DELAY);
            pace.meters[PACE_MESSAGES][PACE_DEVICE] = &meter;
            struct driver *driver = open_with(version, &pace);
            struct span input = join(many(version, qos, 1, 7), ping());
            assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, input), INSPECT_DELAY);
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), many(version, qos, 1, 5));
            assert_int_equal(pace.due_ms, NOW + 500);
            assert_int_equal(run_at(driver, NOW + 499, NOW + 499), INSPECT_DELAY);
            assert_int_equal(pace.due_ms, NOW + 500);
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), many(version, qos, 1, 5));
            assert_int_equal(run_at(driver, NOW + 500, NOW + 500), INSPECT_DELAY);
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), many(version, qos, 1, 6));
            assert_int_equal(run_at(driver, NOW + 1000, NOW + 1000), INSPECT_MORE);
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), input);
            assert_int_equal(driver_answers(driver, MQTT_TO_BROKER).size, 0);
            assert_int_equal(metric(driver, METRIC_rate_delayed), 2);
            assert_int_equal(pace.stopped_count, 2);
            assert_int_equal(meter.waiting, 0);
            finish(driver);
        }
}

/* packet_rate counts every packet but DISCONNECT, and delays those that are no PUBLISH whatever the action.
 */
static void test_packets(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version))
        for (enum pace_action action = PACE_DELAY; action <= PACE_DISCONNECT; action++) {
            struct meter meter = meter_of("1/h burst 5");
            struct pace pace = pace_of(action);
            pace.meters[PACE_PACKETS][PACE_USER] = &meter;
            struct driver *driver = open_with(version, &pace);
            struct span input = join(
                join(publish(version, 0, 0), ping()),
                join(subscribe_packet(version, 1, SPAN_NONE, "ok/a:0"),
                     join(ack_packet(version, MQTT_PUBACK, 3, 0), ack_packet(version, MQTT_PUBREL, 4, 0))));
            assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, input), INSPECT_MORE);
            assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, ping()),
                             action == PACE_DISCONNECT ? INSPECT_TOO_FAST : INSPECT_DELAY);
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), input);
            assert_int_equal(pace.stopped_kind, PACE_PACKETS);
            assert_int_equal(pace.stopped_scope, PACE_USER);
            assert_int_equal(metric(driver, METRIC_rate_disconnected), action == PACE_DISCONNECT);
            assert_int_equal(metric(driver, METRIC_rate_delayed), action != PACE_DISCONNECT);
            finish(driver);
        }
}

static void test_last_word_passes(void **state) {
    (void)state;
    struct meter meter = meter_of("1/h burst 1");
    struct pace pace = pace_of(PACE_DISCONNECT);
    pace.meters[PACE_PACKETS][PACE_DEVICE] = &meter;
    struct driver *driver = open_with(MQTT_VERSION_311, &pace);
    struct span input = join(ping(), SPAN_LITERAL("\xe0\0"));
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, input), INSPECT_GOODBYE);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), input);
    finish(driver);
}

/* What each action makes of each QoS: passed, 'w'aits, 'c'ut in silence, 'r'efused, 'e'nds. */
static void test_actions(void **state) {
    (void)state;
    static const char *const wanted[] = {
        [PACE_DELAY] = "www", [PACE_DROP] = "cww", [PACE_REFUSE] = "crr", [PACE_DISCONNECT] = "eee"};
    enum mqtt_version version;
    for (EACH_VERSION(version))
        for (int i = 0; i < 4 * 3 * PACE_KINDS; i++) {
            enum pace_action action = i % 4;
            uint8_t qos = (uint8_t)(i / 4 % 3);
            enum pace_kind kind = i / 12;
            struct meter meter = meter_of("1/h burst 1");
            struct pace pace = pace_of(action);
            pace.meters[kind][PACE_LISTENER] = &meter;
            struct driver *driver = open_with(version, &pace);
            struct span first = publish(version, qos, 1), second = publish(version, qos, 2);
            char what = wanted[action][qos];
            enum inspect_result result = driver_feed(driver, MQTT_TO_BROKER, join(first, second));
            assert_int_equal(result, what == 'w'   ? INSPECT_DELAY
                                     : what == 'e' ? INSPECT_TOO_FAST
                                                   : INSPECT_MORE);
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), first);
            struct span answer = SPAN_NONE;
            if (what == 'r')
                answer = ack_packet(version, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, 2,
                                    version == MQTT_VERSION_5 ? 0x97 : 0);
            assert_bytes(driver_answers(driver, MQTT_TO_BROKER), answer);
            assert_int_equal(metric(driver, METRIC_rate_delayed), what == 'w');
            assert_int_equal(metric(driver, METRIC_rate_dropped), what == 'c');
            assert_int_equal(metric(driver, METRIC_rate_refused), what == 'r');
            assert_int_equal(metric(driver, METRIC_rate_disconnected), what == 'e');
            assert_int_equal(metric(driver, METRIC_publish_refused), 0);
            assert_int_equal(driver->refusals, what == 'c' || what == 'r');
            if (driver->refusals != 0)
                assert_string_equal(driver->refused_topic, "ok/a");
            finish(driver);
        }
}

/* QoS 2 that was refused: before version 5 the exchange goes on with us, and its PUBREL is answered here. */
static void test_refused_exchange(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct meter meter = meter_of("1/h burst 1");
        struct pace pace = pace_of(PACE_REFUSE);
        pace.meters[PACE_MESSAGES][PACE_DEVICE] = &meter;
        struct driver *driver = open_with(version, &pace);
        driver_feed(driver, MQTT_TO_BROKER, join(publish(version, 2, 1), publish(version, 2, 2)));
        driver_forget(driver);
        struct span pubrel = ack_packet(version, MQTT_PUBREL, 2, 0);
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, pubrel), INSPECT_MORE);
        bool is_5 = version == MQTT_VERSION_5;
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), is_5 ? pubrel : SPAN_NONE);
        assert_bytes(driver_answers(driver, MQTT_TO_BROKER),
                     is_5 ? SPAN_NONE : ack_packet(version, MQTT_PUBCOMP, 2, 0));
        finish(driver);
    }
}

/* The first copy may be with the broker already. */
static void test_repeated_qos_2_is_not_refused(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version))
        for (uint8_t qos = 1; qos < 3; qos++) {
            struct meter meter = meter_of("1/h burst 1");
            struct pace pace = pace_of(PACE_REFUSE);
            pace.meters[PACE_MESSAGES][PACE_DEVICE] = &meter;
            struct driver *driver = open_with(version, &pace);
            struct span again = publish_packet(
                version, (struct publish_fields){.qos = qos, .dup = true, .topic = "ok/a", .id = 2});
            driver_feed(driver, MQTT_TO_BROKER, publish(version, 0, 0));
            assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, again),
                             qos == 2 ? INSPECT_DELAY : INSPECT_MORE);
            finish(driver);
        }
}

/* Bytes: the whole packet counts, at its head; one bigger than the burst passes and is paid for afterwards.
 */
static void test_bytes(void **state) {
    (void)state;
    static const uint8_t payload[65000];
    struct publish_fields fields = {.topic = "ok/a", .payload = span_of(payload, sizeof payload)};
    struct span big = publish_packet(MQTT_VERSION_311, fields);
    struct meter meter = meter_of("1000/s burst 100");
    struct pace pace = pace_of(PACE_DELAY);
    pace.meters[PACE_BYTES][PACE_DEVICE] = &meter;
    struct driver *driver = open_with(MQTT_VERSION_311, &pace);
    struct span small = publish(MQTT_VERSION_311, 0, 0);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, span_first(big, 20)), INSPECT_MORE);
    assert_false(meter_is_full(&meter, NOW));
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, join(span_after(big, 20), small)), INSPECT_DELAY);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), big);
    assert_int_equal(pace.due_ms, NOW + big.size - 100 + 1);
    assert_int_equal(run_at(driver, pace.due_ms, pace.due_ms), INSPECT_MORE);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), join(big, small));
    /* Other packets cost nothing here. */
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, ping()), INSPECT_MORE);
    finish(driver);
}

/* However it is chopped and whatever must be called again for room, a packet pays once; refused ones pay too.
 */
static void test_pays_once(void **state) {
    (void)state;
    enum mqtt_version version;
    uint64_t seed = 7;
    for (EACH_VERSION(version))
        for (unsigned round = 0; round < 40; round++) {
            struct meter meters[3] = {meter_of("1/h burst 1000"), meter_of("1/h burst 1000"),
                                      meter_of("1/h burst 100000")};
            struct pace pace = pace_of(PACE_DELAY);
            pace.meters[PACE_PACKETS][PACE_DEVICE] = &meters[0];
            pace.meters[PACE_MESSAGES][PACE_USER] = &meters[1];
            pace.meters[PACE_BYTES][PACE_LISTENER] = &meters[2];
            struct driver *driver = open_with(version, &pace);
            struct span refused =
                publish_packet(version, (struct publish_fields){.qos = 1, .topic = "no/a", .id = 9});
            struct span part = subscribe_packet(version, 1, SPAN_NONE, "no/a:0 ok/a:0 no/b:0");
            struct span input =
                join(join(publish(version, 0, 0), refused), join(part, publish(version, 2, 3)));
            driver->spare = round % 2 == 0 ? DRIVER_ROOM : driver_random(&seed) % 60;
            driver->is_lazy = round % 4 < 2;
            assert_int_equal(driver_feed_chopped(driver, MQTT_TO_BROKER, input, &seed, 1 + round),
                             INSPECT_MORE);
            uint64_t bytes = publish(version, 0, 0).size + refused.size + publish(version, 2, 3).size;
            assert_int_equal(meters[0].rested_ns, NOW * 1000000 + 4 * UINT64_C(3600000000000));
            assert_int_equal(meters[1].rested_ns, NOW * 1000000 + 3 * UINT64_C(3600000000000));
            assert_int_equal(meters[2].rested_ns, NOW * 1000000 + bytes * UINT64_C(3600000000000));
            finish(driver);
        }
}

/* A dropped PUBLISH was to tell the broker an alias: the next one says the topic instead, and although it has
 * to ask for room first it pays once. */
static void test_alias_of_a_dropped_one(void **state) {
    (void)state;
    struct meter meter = meter_of("1/s burst 1");
    struct pace pace = pace_of(PACE_DROP);
    pace.meters[PACE_MESSAGES][PACE_DEVICE] = &meter;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.connack_props = bytes_of_hex("22 00 05");
    struct driver *driver = driver_open(&setup);
    driver->inspector.pace = &pace;
    struct publish_fields fields = {.topic = "ok/a", .props = alias_prop(1)};
    struct span first = publish(MQTT_VERSION_5, 0, 0), told = publish_packet(MQTT_VERSION_5, fields);
    fields.topic = "";
    struct span bare = publish_packet(MQTT_VERSION_5, fields);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, join(first, told)), INSPECT_MORE);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), first);
    pace_begin(&pace, NOW + 5000, NOW + 5000);
    driver->spare = 0;
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, bare), INSPECT_MORE);
    assert_true(driver->ways[MQTT_TO_BROKER].flush_count != 0);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), join(first, told));
    assert_int_equal(metric(driver, METRIC_rate_dropped), 1);
    assert_int_equal(meter.rested_ns, (NOW + 6000) * 1000000);
    finish(driver);
}

/* A packet takes from all meters of its kind or from none, and one that waits does not pay again. */
static void test_all_or_none(void **state) {
    (void)state;
    struct meter packets = meter_of("1/h burst 5"), own = meter_of("1/h burst 5"),
                 user = meter_of("1/h burst 5"), bytes = meter_of("1/s burst 1");
    struct pace pace = pace_of(PACE_DELAY);
    pace.meters[PACE_PACKETS][PACE_LISTENER] = &packets;
    pace.meters[PACE_MESSAGES][PACE_DEVICE] = &own;
    pace.meters[PACE_MESSAGES][PACE_USER] = &user;
    pace.meters[PACE_BYTES][PACE_USER] = &bytes;
    struct driver *driver = open_with(MQTT_VERSION_311, &pace);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, many(MQTT_VERSION_311, 0, 0, 2)), INSPECT_DELAY);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(run_at(driver, NOW + i, NOW + i), INSPECT_DELAY);
    assert_int_equal(packets.rested_ns, NOW * 1000000 + 2 * UINT64_C(3600000000000));
    assert_int_equal(own.rested_ns, NOW * 1000000 + UINT64_C(3600000000000));
    assert_int_equal(user.rested_ns, NOW * 1000000 + UINT64_C(3600000000000));
    assert_int_equal(bytes.waiting, 1);
    assert_int_equal(metric(driver, METRIC_rate_delayed), 1);
    assert_int_equal(run_at(driver, pace.due_ms, pace.due_ms), INSPECT_MORE);
    assert_int_equal(bytes.waiting, 0);
    assert_int_equal(packets.rested_ns, NOW * 1000000 + 2 * UINT64_C(3600000000000));
    finish(driver);
}

/* The longest wait counts, and its option is the one that is named. */
static void test_longest_wait(void **state) {
    (void)state;
    struct meter own = meter_of("10/s burst 1"), user = meter_of("1/s burst 1"),
                 listener = meter_of("5/s burst 1");
    struct pace pace = pace_of(PACE_DELAY);
    pace.meters[PACE_MESSAGES][PACE_DEVICE] = &own;
    pace.meters[PACE_MESSAGES][PACE_USER] = &user;
    pace.meters[PACE_MESSAGES][PACE_LISTENER] = &listener;
    struct driver *driver = open_with(MQTT_VERSION_5, &pace);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, many(MQTT_VERSION_5, 0, 0, 2)), INSPECT_DELAY);
    assert_int_equal(pace.due_ms, NOW + 1000);
    assert_string_equal(pace_keyword(pace.stopped_kind, pace.stopped_scope), "user_publish_rate");
    assert_int_equal(user.waiting, 1);
    assert_int_equal(own.waiting + listener.waiting, 0);
    pace_rest(&pace);
    pace_rest(&pace);
    assert_int_equal(user.waiting, 0);
    finish(driver);
}

/* Woken late, a session gets what time has brought, although the burst is smaller. */
static void test_late(void **state) {
    (void)state;
    struct meter meter = meter_of("100/s burst 1");
    struct pace pace = pace_of(PACE_DELAY);
    pace.meters[PACE_MESSAGES][PACE_DEVICE] = &meter;
    struct driver *driver = open_with(MQTT_VERSION_311, &pace);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, many(MQTT_VERSION_311, 0, 0, 50)), INSPECT_DELAY);
    assert_int_equal(pace.due_ms, NOW + 10);
    assert_int_equal(run_at(driver, NOW + 10, NOW + 100), INSPECT_DELAY);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), many(MQTT_VERSION_311, 0, 0, 11));
    assert_int_equal(pace.due_ms, NOW + 110);
    finish(driver);
}

/* Many sessions with more to say than their meter allows, all woken in the same turn, always in the same
 * order: each gets its share, and all together no more than the rate. */
static void test_fair(void **state) {
    (void)state;
    enum { COUNT = 7, SECONDS = 60 };
    struct meter meter = meter_of("100/s burst 10");
    struct pace paces[COUNT];
    struct driver *drivers[COUNT];
    size_t size = publish(MQTT_VERSION_311, 0, 0).size, total = 0;
    struct span input = many(MQTT_VERSION_311, 0, 0, 2000);
    for (size_t i = 0; i < COUNT; i++) {
        paces[i] = pace_of(PACE_DELAY);
        paces[i].meters[PACE_MESSAGES][PACE_USER] = &meter;
        drivers[i] = open_with(MQTT_VERSION_311, &paces[i]);
        assert_int_equal(driver_feed(drivers[i], MQTT_TO_BROKER, input), INSPECT_DELAY);
    }
    assert_int_equal(meter.waiting, COUNT);
    for (uint64_t now = NOW + 100; now <= NOW + SECONDS * 1000; now += 100)
        for (size_t i = 0; i < COUNT; i++)
            if (paces[i].due_ms <= now)
                assert_int_equal(run_at(drivers[i], paces[i].due_ms, now), INSPECT_DELAY);
    for (size_t i = 0; i < COUNT; i++) {
        size_t passed = driver_out(drivers[i], MQTT_TO_BROKER).size / size;
        assert_in_range(passed, SECONDS * 100 / COUNT / 2, SECONDS * 100 / COUNT * 2);
        total += passed;
        pace_rest(&paces[i]);
        driver_destroy(drivers[i]);
    }
    assert_in_range(total, SECONDS * 90, SECONDS * 100 + 10 + COUNT);
    assert_int_equal(meter.waiting, 0);
    packets_forget();
}

/* The answer to a PINGREQ of ours is not for the device, which hears as many as it has asked for. */
static void test_own_pings(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        struct driver *driver = driver_open(&setup);
        struct span pong = SPAN_LITERAL("\xd0\0");
        driver->inspector.own_pings = 2;
        driver_feed(driver, MQTT_TO_DEVICE, join(pong, join(pong, pong)));
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), pong);
        driver_feed(driver, MQTT_TO_DEVICE, pong);
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), join(pong, pong));
        finish(driver);
    }
}

/* Nothing is counted before the CONNACK: what comes early waits for that, not for a rate. */
static void test_before_connack(void **state) {
    (void)state;
    struct meter meter = meter_of("1/h burst 1");
    struct pace pace = pace_of(PACE_DELAY);
    pace.meters[PACE_PACKETS][PACE_DEVICE] = &meter;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct driver *driver = driver_connect(&setup);
    driver->inspector.pace = &pace;
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, join(ping(), ping())), INSPECT_PAUSE);
    assert_true(meter_is_full(&meter, NOW));
    driver_forget(driver);
    driver_feed(driver, MQTT_TO_DEVICE, connack_packet(MQTT_VERSION_311, 0, SPAN_NONE));
    assert_int_equal(driver->ways[MQTT_TO_BROKER].result, INSPECT_DELAY);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), ping());
    finish(driver);
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
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_last_word_passes),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_refused_exchange),
        cmocka_unit_test(test_repeated_qos_2_is_not_refused),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_pays_once),
        cmocka_unit_test(test_alias_of_a_dropped_one),
        cmocka_unit_test(test_all_or_none),
        cmocka_unit_test(test_longest_wait),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_fair),
        cmocka_unit_test(test_own_pings),
        cmocka_unit_test(test_before_connack),
    };
    return cmocka_run_group_tests_name("inspect/pace", tests, create_policy, destroy_policy);
}
