/* A session whose device sends too fast: it is not read, keeps its keep alive, costs nothing, and goes on
 * when its time has come or when a new configuration lets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/session/talk.h"

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};
#define EACH_VERSION(version)                                                                                \
    size_t v_ = 0;                                                                                           \
    v_ < 3 && ((version) = versions[v_], true);                                                              \
    v_++

static struct generation *with(const char *lines) {
    char conf[512];
    snprintf(conf, sizeof conf, TALK_CONF "%s", lines);
    return generation_of(conf, NULL, NULL);
}

/* An open session under these lines. */
static struct talk open_with(const char *lines, enum mqtt_version version) {
    struct generation *generation = with(lines);
    struct talk talk = talk_begin(generation, version);
    generation_drop(generation);
    talk_open(&talk);
    return talk;
}

static void reload(struct talk *talk, const char *lines) {
    struct generation *generation = with(lines);
    world_reload(talk->world, generation);
    generation_drop(generation);
    session_wake_delayed(&talk->world->host);
    world_advance(talk->world, 2 * WHEEL_TICK_MS);
}

static struct span publish(enum mqtt_version version, uint16_t id) {
    return publish_packet(version, (struct publish_fields){.qos = 1, .topic = "ok/1", .id = id});
}

static struct span many(enum mqtt_version version, uint16_t first, uint16_t count) {
    struct span all = SPAN_NONE;
    for (uint16_t i = 0; i < count; i++)
        all = join(all, publish(version, (uint16_t)(first + i)));
    return all;
}

static void assert_metric(const struct talk *talk, enum metric metric, uint64_t wanted) {
    assert_int_equal(world_metric(talk->world, metric), wanted);
}

static void test_delay_and_go_on(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct talk talk = open_with("publish_rate 1/s burst 3\n", version);
        size_t before = fake_written(talk.broker).size;
        struct span input = many(version, 1, 5);
        fake_say(talk.device, input);
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 3));
        assert_true(session_is_delayed(talk_session(&talk)));
        assert_false(talk.device->link.is_reading);
        assert_true(talk.broker->link.is_reading);
        assert_metric(&talk, METRIC_rate_delayed, 1);
        assert_metric(&talk, METRIC_backpressure_stops, 0); /* the broker is not slow */
        fake_push(talk.device, ping());
        world_advance(talk.world, 900);
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 3));
        world_advance(talk.world, 200);
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 4));
        assert_false(talk.device->link.is_reading);
        unsigned starts = talk.device->starts;
        world_advance(talk.world, 1100);
        assert_bytes(written_behind(talk.broker, before), input);
        assert_true(talk.device->link.is_reading);
        assert_int_equal(talk.device->starts, starts + 1);
        assert_null(talk_session(&talk)->from_device.held.at);
        assert_metric(&talk, METRIC_rate_delayed, 2);
        fake_pump(talk.device, SIZE_MAX);
        assert_bytes(written_behind(talk.broker, before), join(input, ping()));
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* What the link hands over although it should not read any more waits behind the rest. */
static void test_held_while_delayed(void **state) {
    (void)state;
    struct talk talk = open_with("publish_rate 1/s burst 1\n", MQTT_VERSION_311);
    size_t before = fake_written(talk.broker).size;
    fake_say(talk.device, many(MQTT_VERSION_311, 1, 2));
    struct span late = join(span_first(publish(MQTT_VERSION_311, 3), 4), SPAN_NONE);
    struct link *link = &talk.device->link;
    struct link_room room = link->events->on_room(link);
    memcpy(room.at, late.at, late.size);
    talk.world->now += 1100; /* its time has come, but the wheel has not turned yet */
    link->events->on_bytes(link, late.size);
    assert_metric(&talk, METRIC_rate_delayed, 1);
    assert_bytes(written_behind(talk.broker, before), publish(MQTT_VERSION_311, 1));
    world_advance(talk.world, 1200);
    assert_bytes(written_behind(talk.broker, before), many(MQTT_VERSION_311, 1, 2));
    assert_true(link->is_reading);
    fake_say(talk.device, span_after(publish(MQTT_VERSION_311, 3), 4));
    world_advance(talk.world, 1200);
    assert_bytes(written_behind(talk.broker, before), many(MQTT_VERSION_311, 1, 3));
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* Two hours with a keep alive of a minute: our silence is not the device's, and the broker hears PINGREQs of
 * ours in good time, whose answers the device does not see. */
static void test_keep_alive(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct talk talk = open_with("publish_rate 1/h burst 1\n", version);
        fake_say(talk.device, many(version, 1, 3));
        size_t heard = fake_written(talk.device).size;
        for (unsigned minute = 0; minute < 120; minute++) {
            size_t before = fake_written(talk.broker).size;
            world_advance(talk.world, 60000);
            assert_state(&talk, SESSION_OPEN);
            struct span words = written_behind(talk.broker, before);
            size_t pings = 0;
            for (size_t i = 0; i + 1 < words.size; i++)
                pings += words.at[i] == 0xC0 && words.at[i + 1] == 0;
            assert_in_range(pings, 3, 4);
            for (size_t i = 0; i < pings; i++)
                fake_say(talk.broker, pong());
        }
        assert_int_equal(fake_written(talk.device).size, heard);
        world_advance(talk.world, 500); /* the third */
        assert_true(talk.device->link.is_reading);
        fake_say(talk.device, ping());
        fake_say(talk.broker, pong());
        assert_bytes(written_behind(talk.device, heard), pong());
        /* From now on its silence is its own. */
        world_advance(talk.world, 89000);
        assert_state(&talk, SESSION_OPEN);
        world_advance(talk.world, 2000);
        talk_end(&talk, SESSION_END_KEEP_ALIVE);
    }
}

/* Without a keep alive nobody asks for a sign of life. */
static void test_no_keep_alive(void **state) {
    (void)state;
    struct generation *generation = with("packet_rate 1/h burst 1\n");
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    generation_drop(generation);
    talk_wait(&talk, SPAN_NONE, 0);
    fake_say(talk.broker, talk_connack(&talk, 0));
    size_t before = fake_written(talk.broker).size;
    fake_say(talk.device, join(ping(), ping()));
    world_advance(talk.world, 3590000);
    assert_bytes(written_behind(talk.broker, before), ping());
    world_advance(talk.world, 11000);
    assert_bytes(written_behind(talk.broker, before), join(ping(), ping()));
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* Deliveries go on; their acknowledgements wait. */
static void test_deliveries_go_on(void **state) {
    (void)state;
    struct talk talk = open_with("publish_rate 1/h burst 1\n", MQTT_VERSION_5);
    fake_say(talk.device, many(MQTT_VERSION_5, 1, 2));
    size_t before = fake_written(talk.device).size;
    struct span delivery =
        publish_packet(MQTT_VERSION_5, (struct publish_fields){.qos = 1, .topic = "in/1", .id = 7});
    for (unsigned i = 0; i < 10; i++)
        fake_say(talk.broker, delivery);
    assert_int_equal(written_behind(talk.device, before).size, 10 * delivery.size);
    fake_say(talk.broker, bytes_of_hex("e0 02 8e 00"));
    talk_end(&talk, SESSION_END_BROKER_GOODBYE);
}

static void test_reload_releases(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct talk talk = open_with("publish_rate 1/h burst 5\n", version);
        size_t before = fake_written(talk.broker).size;
        fake_say(talk.device, many(version, 1, 9));
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 5));
        reload(&talk, "publish_rate 2/h burst 5\n"); /* what is spent stays spent */
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 5));
        assert_true(session_is_delayed(talk_session(&talk)));
        reload(&talk, "publish_rate 2/h burst 7\n");
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 7));
        reload(&talk, "");
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 9));
        assert_null(talk_session(&talk)->pacing);
        assert_null(talk_session(&talk)->inspector.pace);
        reload(&talk, "publish_rate 1/h burst 2\n"); /* at its next packet */
        fake_say(talk.device, many(version, 10, 3));
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 11));
        reload(&talk, "publish_rate 1/h burst 2\nrate_action refuse\n");
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 11));
        assert_false(session_is_delayed(talk_session(&talk)));
        assert_metric(&talk, METRIC_rate_refused, 1);
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* A word of the broker lets the session take on the new rates before the delayed device is looked at again.
 */
static void test_reload_and_a_delivery(void **state) {
    (void)state;
    struct talk talk = open_with("publish_rate 1/h burst 1\n", MQTT_VERSION_5);
    size_t before = fake_written(talk.broker).size;
    fake_say(talk.device, many(MQTT_VERSION_5, 1, 3));
    struct generation *generation = with("publish_rate 1/h burst 2\n");
    world_reload(talk.world, generation);
    generation_drop(generation);
    session_wake_delayed(&talk.world->host);
    fake_say(talk.broker, ack_packet(MQTT_VERSION_5, MQTT_PUBACK, 1, 0));
    world_advance(talk.world, 2 * WHEEL_TICK_MS);
    assert_bytes(written_behind(talk.broker, before), many(MQTT_VERSION_5, 1, 2));
    assert_true(session_is_delayed(talk_session(&talk)));
    fake_end(talk.device, -ECONNRESET);
    talk_end(&talk, SESSION_END_DEVICE_LOST);
}

/* It has closed: what it said before goes its way in its time, a DISCONNECT too. */
static void test_device_closes_while_delayed(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct talk talk = open_with("publish_rate 1/s burst 1\n", MQTT_VERSION_311);
        size_t before = fake_written(talk.broker).size;
        struct span input = many(MQTT_VERSION_311, 1, 3);
        fake_say(talk.device, i == 1 ? join(input, bye()) : input);
        fake_end(talk.device, i == 2 ? -ECONNRESET : 0);
        if (i == 2) {
            talk_end(&talk, SESSION_END_DEVICE_LOST);
            continue;
        }
        world_advance(talk.world, 1200);
        assert_state(&talk, SESSION_OPEN);
        assert_false(talk.device->link.is_reading);
        world_advance(talk.world, 1200);
        assert_bytes(written_behind(talk.broker, before), i == 1 ? join(input, bye()) : input);
        talk_end(&talk, i == 1 ? SESSION_END_DEVICE_GOODBYE : SESSION_END_DEVICE_CLOSED);
    }
}

static void test_broker_closes_while_delayed(void **state) {
    (void)state;
    struct talk talk = open_with("publish_rate 1/s burst 1\n", MQTT_VERSION_5);
    fake_say(talk.device, many(MQTT_VERSION_5, 1, 3));
    fake_end(talk.broker, 0);
    talk_end(&talk, SESSION_END_BROKER_CLOSED);
}

/* A broker that has gone notices nothing, but our PINGREQ does. */
static void test_ping_fails(void **state) {
    (void)state;
    struct talk talk = open_with("publish_rate 1/h burst 1\n", MQTT_VERSION_5);
    fake_say(talk.device, many(MQTT_VERSION_5, 1, 2));
    talk.broker->write_error = -EPIPE;
    world_advance(talk.world, 16000);
    talk_end(&talk, SESSION_END_BROKER_CLOSED);
}

static void test_disconnect(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct talk talk = open_with("publish_rate 1/h burst 2\nrate_action disconnect\n", version);
        size_t before = fake_written(talk.broker).size, told = fake_written(talk.device).size;
        fake_say(talk.device, many(version, 1, 3));
        assert_bytes(written_behind(talk.broker, before), many(version, 1, 2));
        assert_bytes(written_behind(talk.device, told),
                     version == MQTT_VERSION_5 ? bytes_of_hex("e0 02 96 00") : SPAN_NONE);
        assert_metric(&talk, METRIC_rate_disconnected, 1);
        talk_end(&talk, SESSION_END_RATE_EXCEEDED);
    }
}

/* ---- shared meters ---- */

struct other {
    struct fake *device, *broker;
    size_t before;
};

/* One more session of the same world; `username` NULL: none. */
static struct other join_in(struct talk *talk, const char *username) {
    struct other other = {.device = world_begin(talk->world, true, false)};
    struct mqtt_connect connect = {
        .version = talk->version, .clean_start = true, .keep_alive_s = 60, .client_id = SPAN_LITERAL("dev")};
    connect.has_username = username != NULL;
    if (username != NULL)
        connect.username = span_of_text(username);
    struct writer writer = packets_open();
    mqtt_write_connect(&writer, &connect);
    fake_say(other.device, packets_close(&writer));
    other.broker = talk->world->dialed;
    fake_open(other.broker);
    fake_say(other.broker, talk_connack(talk, 0));
    other.before = fake_written(other.broker).size;
    return other;
}

static size_t count_through(const struct talk *talk, const struct other *other) {
    return written_behind(other->broker, other->before).size / publish(talk->version, 1).size;
}

static void leave(const struct other *other) {
    fake_say(other->device, bye());
}

static void test_user(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct talk talk = open_with("user_publish_rate 1/h burst 5\n", version);
        struct other ann = join_in(&talk, "ann"), ann_too = join_in(&talk, "ann"),
                     bob = join_in(&talk, "bob");
        fake_say(ann.device, many(version, 1, 3));
        fake_say(ann_too.device, many(version, 1, 3));
        assert_int_equal(count_through(&talk, &ann), 3);
        assert_int_equal(count_through(&talk, &ann_too), 2);
        assert_false(ann_too.device->link.is_reading);
        fake_say(bob.device, many(version, 1, 5));
        assert_int_equal(count_through(&talk, &bob), 5);
        assert_true(bob.device->link.is_reading);
        /* A new connection brings nothing new. */
        fake_end(ann_too.device, -ECONNRESET);
        leave(&ann);
        world_settle(talk.world);
        struct other again = join_in(&talk, "ann");
        fake_say(again.device, many(version, 1, 1));
        assert_int_equal(count_through(&talk, &again), 0);
        /* The talk's own device names nobody, as does another: they are one. */
        struct other nobody = join_in(&talk, NULL);
        fake_say(talk.device, many(version, 1, 4));
        fake_say(nobody.device, many(version, 1, 2));
        assert_int_equal(count_through(&talk, &nobody), 1);
        assert_metric(&talk, METRIC_rate_delayed, 3);
        assert_int_equal(meters_count(talk.world->host.meters), 3);
        session_end_all(&talk.world->host, SESSION_END_SHUTDOWN);
        world_destroy(talk.world);
        packets_forget();
    }
}

static void test_listener(void **state) {
    (void)state;
    struct talk talk = open_with(
        "listener_packet_rate 1/h burst 5\nlistener_publish_bytes_rate 1k/s burst 1m\n", MQTT_VERSION_311);
    struct other ann = join_in(&talk, "ann"), bob = join_in(&talk, "bob");
    fake_say(ann.device, many(MQTT_VERSION_311, 1, 3));
    fake_say(bob.device, many(MQTT_VERSION_311, 1, 3));
    assert_int_equal(count_through(&talk, &ann), 3);
    assert_int_equal(count_through(&talk, &bob), 2);
    /* All of them go on when the rate is lifted, and spent tokens count for all. */
    reload(&talk, "listener_packet_rate 1/h burst 7\n");
    assert_int_equal(count_through(&talk, &bob), 3);
    fake_say(ann.device, many(MQTT_VERSION_311, 1, 2));
    assert_int_equal(count_through(&talk, &ann), 4);
    session_end_all(&talk.world->host, SESSION_END_SHUTDOWN);
    world_destroy(talk.world);
    packets_forget();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_and_go_on),
        cmocka_unit_test(test_held_while_delayed),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_no_keep_alive),
        cmocka_unit_test(test_deliveries_go_on),
        cmocka_unit_test(test_reload_releases),
        cmocka_unit_test(test_reload_and_a_delivery),
        cmocka_unit_test(test_device_closes_while_delayed),
        cmocka_unit_test(test_broker_closes_while_delayed),
        cmocka_unit_test(test_ping_fails),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_listener),
    };
    log_to_nowhere();
    return cmocka_run_group_tests_name("session/pacing", tests, NULL, NULL);
}
