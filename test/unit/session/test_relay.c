/* Bytes through a session: our own words at packet boundaries only, back-pressure, what is held, AUTH. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/session/talk.h"

static struct generation *generation;

static struct span payload_of(size_t size) {
    struct writer writer = packets_open();
    for (size_t i = 0; i < size; i++)
        writer_u8(&writer, (uint8_t)(i * 13 + i / 256));
    return packets_close(&writer);
}

static struct span publish(enum mqtt_version version, const char *topic, uint8_t qos, uint16_t id,
                           struct span payload) {
    return publish_packet(version,
                          (struct publish_fields){.qos = qos, .topic = topic, .id = id, .payload = payload});
}

static struct talk open_talk(enum mqtt_version version) {
    struct talk talk = talk_begin(generation, version);
    talk_open(&talk);
    return talk;
}

static void say_goodbye(struct talk *talk) {
    fake_drain(talk->broker);
    fake_drain(talk->device);
    fake_say(talk->device, bye());
    talk_end(talk, SESSION_END_DEVICE_GOODBYE);
}

/* ---- our own words ---- */

/* The answer to a refused PUBLISH waits behind the packet that is under way to the device. */
static void test_answer_waits_for_the_boundary(void **state) {
    (void)state;
    for (size_t most = 1; most <= 100000; most *= 10) {
        struct talk talk = open_talk(MQTT_VERSION_5);
        size_t before = fake_written(talk.device).size;
        struct span long_one = publish(MQTT_VERSION_5, "in/1", 0, 0, payload_of(5000));
        struct span next = publish(MQTT_VERSION_5, "in/2", 0, 0, payload_of(100));
        struct span ack = bytes_of_hex("40 03 00 07 87 40 03 00 08 87");
        fake_push(talk.broker, span_first(long_one, 3000));
        fake_pump(talk.broker, most);
        fake_say(talk.device, publish(MQTT_VERSION_5, "no/1", 1, 7, payload_of(10)));
        fake_say(talk.device, publish(MQTT_VERSION_5, "no/1", 1, 8, payload_of(10)));
        assert_bytes(written_behind(talk.device, before), span_first(long_one, 3000));
        fake_push(talk.broker, span_first(span_after(long_one, 3000), 1999));
        fake_pump(talk.broker, most);
        assert_bytes(written_behind(talk.device, before), span_first(long_one, 4999));
        fake_push(talk.broker, join(span_after(long_one, 4999), next));
        fake_pump(talk.broker, most);
        assert_bytes(written_behind(talk.device, before), join(join(long_one, ack), next));
        assert_null(talk_session(&talk)->from_broker.owed.at);
        say_goodbye(&talk);
    }
}

/* The same towards the broker: its PUBACK for a delivery that was kept back. */
static void test_answer_to_the_broker_waits(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_311);
    size_t before = fake_written(talk.broker).size;
    struct span up = publish(MQTT_VERSION_311, "ok/1", 1, 1, payload_of(1000));
    fake_say(talk.device, span_first(up, 500));
    fake_say(talk.broker, publish(MQTT_VERSION_311, "no/1", 1, 9, payload_of(10)));
    fake_say(talk.broker, publish(MQTT_VERSION_311, "no/2", 2, 10, payload_of(10)));
    assert_bytes(written_behind(talk.broker, before), span_first(up, 500));
    fake_say(talk.device, join(span_after(up, 500), ping()));
    assert_bytes(written_behind(talk.broker, before),
                 join(join(up, bytes_of_hex("40 02 00 09 50 02 00 0a")), ping()));
    say_goodbye(&talk);
}

/* A packet whose head has not left is no packet under way; neither is one that is cut out. */
static void test_answer_does_not_wait(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_311);
    size_t before = fake_written(talk.device).size;
    struct span kept_back = publish(MQTT_VERSION_311, "no/1", 0, 0, payload_of(1000));
    struct span refused = publish(MQTT_VERSION_311, "no/1", 1, 7, payload_of(10));
    struct span ack = bytes_of_hex("40 02 00 07");
    struct span good = publish(MQTT_VERSION_311, "in/1", 0, 0, payload_of(100));
    fake_say(talk.broker, span_first(kept_back, 500));
    fake_say(talk.device, refused);
    assert_bytes(written_behind(talk.device, before), ack);
    fake_say(talk.broker, join(span_after(kept_back, 500), span_first(good, 6)));
    fake_say(talk.device, refused);
    assert_bytes(written_behind(talk.device, before), join(ack, ack));
    fake_say(talk.broker, span_after(good, 6));
    assert_bytes(written_behind(talk.device, before), join(join(ack, ack), good));
    say_goodbye(&talk);
}

/* A last word in the middle of a packet would be taken for its payload. */
static void test_no_last_word_within_a_packet(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct talk talk = open_talk(MQTT_VERSION_5);
        size_t before = fake_written(talk.device).size;
        struct span down = publish(MQTT_VERSION_5, "in/1", 0, 0, payload_of(1000));
        fake_say(talk.broker, span_first(down, 500));
        if (i % 2 == 1) /* an answer that will never find its boundary */
            fake_say(talk.device, publish(MQTT_VERSION_5, "no/1", 1, 7, payload_of(10)));
        if (i < 2)
            fake_end(talk.broker, 0);
        else
            fake_say(talk.device, bytes_of_hex("36 00"));
        assert_bytes(written_behind(talk.device, before), span_first(down, 500));
        talk_end(&talk, i < 2 ? SESSION_END_BROKER_CLOSED : SESSION_END_DEVICE_WRONG);
    }
}

/* A device that is refused without end while a packet is under way to it fills no memory. */
static void test_owed_is_bounded(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_5);
    size_t before = fake_written(talk.device).size;
    struct span down = publish(MQTT_VERSION_5, "in/1", 0, 0, payload_of(1000));
    fake_say(talk.broker, span_first(down, 500));
    struct writer flood = packets_open(), acks;
    const unsigned count = 60000;
    for (unsigned i = 1; i <= count; i++) {
        const uint8_t packet_[] = {0x32, 7, 0, 2, 'n', 'o', (uint8_t)(i >> 8), (uint8_t)i, 0};
        writer_bytes(&flood, span_of(packet_, sizeof packet_));
    }
    fake_say(talk.device, packets_close(&flood));
    const struct heap *owed = &talk_session(&talk)->from_broker.owed;
    assert_false(talk.device->link.is_reading);
    assert_true(owed->size > SESSION_OWED_MAX);
    assert_true(owed->room <= 4 * SESSION_OWED_MAX);
    assert_true(talk.device->delivered < talk.device->in.size);
    fake_say(talk.broker, span_after(down, 500));
    assert_true(talk.device->link.is_reading);
    fake_pump(talk.device, SIZE_MAX);
    acks = packets_open();
    for (unsigned i = 1; i <= count; i++)
        mqtt_write_ack(&acks, MQTT_VERSION_5, MQTT_PUBACK, (uint16_t)i, 0x87, SPAN_NONE);
    assert_bytes(written_behind(talk.device, before), join(down, packets_close(&acks)));
    say_goodbye(&talk);
}

/* The same the other way round: deliveries that are kept back while the device's own packet is under way, and
 * a broker that reads none of our answers. */
static void test_owed_to_the_broker_is_bounded(void **state) {
    (void)state;
    struct writer flood = packets_open();
    for (unsigned i = 1; i <= 60000; i++) {
        const uint8_t packet_[] = {0x32, 6, 0, 2, 'n', 'o', (uint8_t)(i >> 8), (uint8_t)i};
        writer_bytes(&flood, span_of(packet_, sizeof packet_));
    }
    struct span deliveries = packets_close(&flood);
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        struct talk talk = open_talk(MQTT_VERSION_311);
        size_t before = fake_written(talk.broker).size;
        struct span up = publish(MQTT_VERSION_311, "ok/1", 0, 0, payload_of(1000));
        talk.broker->is_slow = is_slow;
        if (!is_slow)
            fake_say(talk.device, span_first(up, 500));
        fake_say(talk.broker, deliveries);
        assert_false(talk.broker->link.is_reading);
        assert_true(talk_session(&talk)->from_device.owed.size <= 2 * SESSION_OWED_MAX);
        assert_true(link_pending(&talk.broker->link) <= SESSION_OWED_MAX + LINK_ROOM_MIN + 64 * 1024);
        talk.broker->is_slow = false;
        fake_drain(talk.broker);
        fake_say(talk.device, is_slow ? up : span_after(up, 500));
        assert_true(talk.broker->link.is_reading);
        fake_pump(talk.broker, SIZE_MAX);
        assert_int_equal(talk.broker->delivered, talk.broker->in.size);
        assert_int_equal(written_behind(talk.broker, before).size, up.size + 60000 * 4);
        say_goodbye(&talk);
        /* The talk forgets its packets, but these are needed again. */
        packets_pooled = (size_t)(deliveries.at + deliveries.size - packets_pool);
    }
    packets_forget();
}

/* ---- back-pressure ---- */

static void test_slow_broker(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_311);
    size_t before = fake_written(talk.broker).size;
    struct span up = publish(MQTT_VERSION_311, "ok/1", 0, 0, payload_of(300000));
    talk.broker->is_slow = true;
    unsigned rounds = 0;
    fake_push(talk.device, up);
    for (; talk.device->delivered < up.size; rounds++) {
        fake_pump(talk.device, SIZE_MAX);
        /* One read fills it, and no more is read until all of that is gone. */
        assert_false(talk.device->link.is_reading);
        assert_true(link_pending(&talk.broker->link) <= 64 * 1024);
        assert_true(talk.broker->link.is_reading); /* the other way is free */
        assert_null(talk_session(&talk)->from_device.held.at);
        fake_drain(talk.broker);
        assert_true(talk.device->link.is_reading);
    }
    assert_true(rounds >= 5);
    assert_int_equal(world_metric(talk.world, METRIC_backpressure_stops), rounds);
    assert_bytes(written_behind(talk.broker, before), up);
    say_goodbye(&talk);
}

static void test_slow_device(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_311);
    size_t before = fake_written(talk.device).size;
    struct span down = publish(MQTT_VERSION_311, "in/1", 0, 0, payload_of(200000));
    talk.device->is_slow = true;
    fake_push(talk.broker, down);
    while (talk.broker->delivered < down.size + 4) {
        fake_pump(talk.broker, SIZE_MAX);
        assert_false(talk.broker->link.is_reading);
        assert_true(link_pending(&talk.device->link) <= 64 * 1024);
        assert_true(talk.device->link.is_reading); /* what it says still counts */
        fake_drain(talk.device);
    }
    assert_bytes(written_behind(talk.device, before), down);
    say_goodbye(&talk);
}

/* A device that never reads its answers is not read from for ever. */
static void test_device_that_reads_no_answers(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_5);
    talk.device->is_slow = true;
    struct writer flood = packets_open();
    for (unsigned i = 1; i <= 100000; i++) {
        const uint8_t packet_[] = {0x32, 7, 0, 2, 'n', 'o', 0, (uint8_t)(i | 1), 0};
        writer_bytes(&flood, span_of(packet_, sizeof packet_));
    }
    fake_say(talk.device, packets_close(&flood));
    assert_false(talk.device->link.is_reading);
    assert_true(link_pending(&talk.device->link) <= SESSION_OWED_MAX + LINK_ROOM_MIN + 64 * 1024);
    talk.device->is_slow = false;
    fake_drain(talk.device);
    assert_true(talk.device->link.is_reading);
    fake_pump(talk.device, SIZE_MAX);
    assert_int_equal(talk.device->delivered, talk.device->in.size);
    say_goodbye(&talk);
}

/* Slow and fast, in pieces of any size, both ways at once, answers between: in the end all is as it should.
 */
static void test_both_ways_at_random(void **state) {
    (void)state;
    for (uint64_t round = 1; round <= 30; round++) {
        uint64_t seed = round;
        struct talk talk = open_talk(MQTT_VERSION_311);
        size_t device_before = fake_written(talk.device).size, broker_before = fake_written(talk.broker).size;
        size_t device_in = talk.device->in.size, broker_in = talk.broker->in.size;
        struct span up = SPAN_NONE, down = SPAN_NONE;
        unsigned refused_up = 0, refused_down = 0;
        struct span input_up = SPAN_NONE, input_down = SPAN_NONE;
        for (unsigned i = 0; i < 12; i++) {
            bool is_good = driver_random(&seed) % 2 == 0;
            struct span packet_ = publish(MQTT_VERSION_311, is_good ? "ok/1" : "no/1", 1, 1,
                                          payload_of(driver_random(&seed) % 40000));
            input_up = join(input_up, packet_);
            up = is_good ? join(up, packet_) : up;
            refused_up += !is_good;
            is_good = driver_random(&seed) % 2 == 0;
            packet_ = publish(MQTT_VERSION_311, is_good ? "in/1" : "no/1", 1, 2,
                              payload_of(driver_random(&seed) % 40000));
            input_down = join(input_down, packet_);
            down = is_good ? join(down, packet_) : down;
            refused_down += !is_good;
            if (packets_pooled > PACKETS_POOL * 3 / 4)
                break;
        }
        fake_push(talk.device, input_up);
        fake_push(talk.broker, input_down);
        talk.device->is_slow = talk.broker->is_slow = true;
        while (talk.device->delivered < device_in + input_up.size ||
               talk.broker->delivered < broker_in + input_down.size) {
            struct fake *fake = driver_random(&seed) % 2 == 0 ? talk.device : talk.broker;
            if (driver_random(&seed) % 3 == 0)
                fake_drain(fake);
            else
                fake_pump(fake, 1 + driver_random(&seed) % (driver_random(&seed) % 4 == 0 ? 300 : 70000));
        }
        fake_drain(talk.device);
        fake_drain(talk.broker);
        /* Taken apart again: the deliveries in order, and an answer for each refusal. */
        struct span left = written_behind(talk.device, device_before);
        unsigned acks = 0;
        struct writer writer = packets_open();
        while (left.size != 0) {
            struct mqtt_frame frame;
            enum violation violation;
            assert_int_equal(mqtt_frame_read(left, MQTT_VERSION_311, MQTT_TO_DEVICE, &frame, &violation),
                             MQTT_WHOLE);
            assert_true(mqtt_frame_size(&frame) <= left.size);
            struct span one = span_first(left, mqtt_frame_size(&frame));
            if (frame.type == MQTT_PUBACK)
                acks++;
            else
                writer_bytes(&writer, one);
            left = span_after(left, one.size);
        }
        assert_int_equal(acks, refused_up);
        assert_bytes(packets_close(&writer), down);
        assert_int_equal(written_behind(talk.broker, broker_before).size, up.size + 4 * refused_down);
        say_goodbye(&talk);
    }
}

/* ---- what is held ---- */

static void test_long_subscribe(void **state) {
    (void)state;
    struct talk talk = open_talk(MQTT_VERSION_311);
    size_t before = fake_written(talk.broker).size;
    struct writer body = packets_open();
    writer_u16(&body, 1);
    while (writer_size(&body) + 1004 <= INSPECT_HELD_MAX - 4) {
        writer_u16(&body, 1001);
        writer_bytes(&body, SPAN_LITERAL("ok/"));
        for (size_t i = 3; i < 1001; i++)
            writer_u8(&body, 'f');
        writer_u8(&body, 0);
    }
    struct span subscribe = packet(0x82, packets_close(&body));
    fake_push(talk.device, span_first(subscribe, subscribe.size - 1));
    fake_pump(talk.device, 777);
    assert_int_equal(written_behind(talk.broker, before).size, 0);
    const struct heap *held = &talk_session(&talk)->from_device.held;
    assert_int_equal(held->size, subscribe.size - 1);
    assert_true(held->room < 2 * INSPECT_HELD_MAX);
    fake_say(talk.device, span_after(subscribe, subscribe.size - 1));
    assert_bytes(written_behind(talk.broker, before), subscribe);
    assert_null(held->at);
    say_goodbye(&talk);
}

/* ---- AUTH ---- */

static const char scram_props[] = "15 00 05 53 43 52 41 4d";

static struct span auth_packet(void) {
    return bytes_of_hex("f0 0a 18 08 15 00 05 53 43 52 41 4d");
}

/* The CONNECT came byte by byte and was longer than the AUTH that follows: it does not make the AUTH wait. */
static void test_auth_exchange(void **state) {
    (void)state;
    for (size_t most = 1; most <= 64; most *= 4) {
        struct talk talk = talk_begin(generation, MQTT_VERSION_5);
        struct span connect = connect_packet(MQTT_VERSION_5, bytes_of_hex(scram_props), "dev", 60);
        struct span auth = auth_packet();
        fake_push(talk.device, connect);
        fake_pump(talk.device, most);
        talk.broker = talk.world->dialed;
        fake_open(talk.broker);
        assert_false(talk.device->link.is_reading);
        for (unsigned round = 0; round < 3; round++) {
            fake_push(talk.broker, auth);
            fake_pump(talk.broker, most);
            assert_true(talk.device->link.is_reading);
            fake_push(talk.device, auth);
            fake_pump(talk.device, most);
            assert_false(talk.device->link.is_reading);
            assert_bytes(written_behind(talk.broker, connect.size + round * auth.size), auth);
        }
        fake_say(talk.broker, connack_packet(MQTT_VERSION_5, 0, bytes_of_hex(scram_props)));
        assert_state(&talk, SESSION_OPEN);
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* Anything but AUTH and DISCONNECT breaks the protocol then (3.1.2-30), and nothing piles up here. */
static void test_flood_instead_of_auth(void **state) {
    (void)state;
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    talk_wait(&talk, bytes_of_hex(scram_props), 60);
    fake_say(talk.broker, auth_packet());
    assert_true(talk.device->link.is_reading);
    struct span flood = publish(MQTT_VERSION_5, "ok/1", 0, 0, payload_of(600));
    for (unsigned i = 0; i < 2000 && !talk.device->link.is_closing; i++)
        fake_say(talk.device, flood);
    assert_true(talk.device->link.is_closing);
    talk_end(&talk, SESSION_END_DEVICE_WRONG);
    /* An AUTH that never ends is bounded like every packet. */
    talk = talk_begin(generation, MQTT_VERSION_5);
    talk_wait(&talk, bytes_of_hex(scram_props), 60);
    fake_say(talk.broker, auth_packet());
    fake_say(talk.device, bytes_of_hex("f0 ff ff ff 7f 18"));
    talk_end(&talk, SESSION_END_DEVICE_WRONG);
}

static void test_disconnect_instead_of_auth(void **state) {
    (void)state;
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    talk_wait(&talk, bytes_of_hex(scram_props), 60);
    fake_say(talk.broker, auth_packet());
    size_t before = fake_written(talk.broker).size;
    fake_say(talk.device, bye());
    assert_bytes(written_behind(talk.broker, before), bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

static int create_generation(void **state) {
    (void)state;
    log_to_nowhere();
    generation = generation_of(TALK_CONF, PACKETS_ACL, NULL);
    return 0;
}

static int drop_generation(void **state) {
    (void)state;
    bool is_last = generation->references == 1;
    generation_drop(generation);
    return is_last ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_waits_for_the_boundary),
        cmocka_unit_test(test_answer_to_the_broker_waits),
        cmocka_unit_test(test_answer_does_not_wait),
        cmocka_unit_test(test_no_last_word_within_a_packet),
        cmocka_unit_test(test_owed_is_bounded),
        cmocka_unit_test(test_owed_to_the_broker_is_bounded),
        cmocka_unit_test(test_slow_broker),
        cmocka_unit_test(test_slow_device),
        cmocka_unit_test(test_device_that_reads_no_answers),
        cmocka_unit_test(test_both_ways_at_random),
        cmocka_unit_test(test_long_subscribe),
        cmocka_unit_test(test_auth_exchange),
        cmocka_unit_test(test_flood_instead_of_auth),
        cmocka_unit_test(test_disconnect_instead_of_auth),
    };
    return cmocka_run_group_tests_name("session/relay", tests, create_generation, drop_generation);
}
