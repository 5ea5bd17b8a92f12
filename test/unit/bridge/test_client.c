/* One side of a bridge on a link made by hand: what it says, what it makes of what it hears, and how it ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/bridge/pipe.h"

struct told {
    unsigned connacks, publishes, acks, subacks, reads, drains, ends;
    uint8_t code, reason;
    uint16_t packet_id;
    enum mqtt_type type;
    enum client_end end;
    char words[256], topic[64], payload[64];
};

static struct told told;
static struct client client;

static void on_connack(struct client *one, const struct mqtt_connack *connack) {
    assert_ptr_equal(one, &client);
    told.connacks++;
    told.code = connack->code;
}

static void put(char *room, struct span bytes) {
    snprintf(room, 64, "%.*s", (int)bytes.size, (const char *)bytes.at);
}

static void on_publish(struct client *one, const struct mqtt_publish *publish, struct span topic,
                       struct span payload) {
    (void)one;
    told.publishes++;
    told.packet_id = publish->packet_id;
    put(told.topic, topic);
    put(told.payload, payload);
}

static void on_ack(struct client *one, enum mqtt_type type, uint16_t packet_id, uint8_t reason) {
    (void)one;
    told.acks++;
    told.type = type;
    told.packet_id = packet_id;
    told.reason = reason;
}

static void on_suback(struct client *one, enum mqtt_type type, uint16_t packet_id, struct span codes) {
    (void)one;
    told.subacks++;
    told.type = type;
    told.packet_id = packet_id;
    told.code = codes.size == 0 ? 0xFF : codes.at[0];
}

static void on_drained(struct client *one) {
    (void)one;
    told.drains++;
}

static void on_read(struct client *one) {
    (void)one;
    told.reads++;
}

static void on_ended(struct client *one, enum client_end end, const char *words) {
    assert_int_equal(one->state, CLIENT_IDLE);
    told.ends++;
    told.end = end;
    snprintf(told.words, sizeof told.words, "%s", words);
}

static const struct client_events events = {on_connack, on_publish, on_ack,  on_suback,
                                            on_drained, on_read,    on_ended};
static const struct conf_backend where = {.text = "broker:1883"};

static void begin(enum mqtt_version version, uint16_t keep_alive_s) {
    pipe_begin();
    told = (struct told){0};
    client_init(&client, NULL, NULL, &events, NULL);
    const struct client_wish wish = {
        .where = &where,
        .connect = {.version = version, .client_id = SPAN_LITERAL("c"), .keep_alive_s = keep_alive_s},
        .timeout_ms = 5000,
        .max_packet_size = 200,
        .topic_alias_max = 5};
    client_connect(&client, &wish);
    assert_int_equal(client.state, CLIENT_DIALING);
}

static void say(struct span bytes) {
    pipe_say(bytes, 100000);
}

static void begin_open(enum mqtt_version version, uint16_t keep_alive_s) {
    begin(version, keep_alive_s);
    pipe_open();
    say(version == MQTT_VERSION_5 ? SPAN_LITERAL("\x20\3\0\0\0") : SPAN_LITERAL("\x20\2\0\0"));
    assert_true(client_is_open(&client));
    pipe_.written_size = 0;
}

static void expect_end(enum client_end end) {
    pipe_settle();
    assert_int_equal(told.ends, 1);
    assert_string_equal(client_end_label(told.end), client_end_label(end));
    assert_int_not_equal(told.words[0], 0);
    assert_int_equal(pipe_.wheel.count, 0);
    client_clear(&client);
}

static void expect_written(struct span wanted) {
    assert_int_equal(pipe_.written_size, wanted.size);
    assert_memory_equal(pipe_.written, wanted.at, wanted.size);
    pipe_.written_size = 0;
}

static void it_connects(void **state) {
    (void)state;
    begin(MQTT_VERSION_311, 60);
    assert_int_equal(pipe_.written_size, 0);
    pipe_open();
    expect_written(SPAN_LITERAL("\x10\x0d\0\4MQTT\4\0\0\x3c\0\1c"));
    assert_int_equal(client.state, CLIENT_GREETING);
    pipe_say(SPAN_LITERAL("\x20\2\0\0"), 1); /* byte by byte */
    assert_int_equal(told.connacks, 1);
    assert_true(client_is_open(&client));
    client_close(&client, CLIENT_OURS, true);
    expect_written(SPAN_LITERAL("\xe0\0"));
    assert_int_equal(pipe_.manner, LINK_POLITELY);
    expect_end(CLIENT_OURS);
}

static void nobody_answers(void **state) {
    (void)state;
    begin(MQTT_VERSION_311, 60);
    pipe_pass(5200);
    expect_end(CLIENT_CONNECT_TIMEOUT);
    begin(MQTT_VERSION_311, 60);
    pipe_open();
    pipe_pass(5200);
    expect_end(CLIENT_CONNECT_TIMEOUT);
    begin(MQTT_VERSION_311, 60);
    pipe_refuse(-111);
    expect_end(CLIENT_UNREACHABLE);
    begin(MQTT_VERSION_311, 60);
    pipe_open();
    pipe_.link.events->on_end(&pipe_.link, 0);
    expect_end(CLIENT_CLOSED);
}

static void refusals_are_told(void **state) {
    (void)state;
    begin(MQTT_VERSION_311, 60);
    pipe_open();
    say(SPAN_LITERAL("\x20\2\0\5"));
    assert_int_equal(told.code, 5);
    expect_end(CLIENT_REFUSED);
    begin(MQTT_VERSION_5, 60);
    pipe_open();
    say(SPAN_LITERAL("\x20\2\0\1")); /* in the words of 3.1.1 */
    assert_int_equal(told.code, MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION);
    expect_end(CLIENT_REFUSED);
    begin(MQTT_VERSION_5, 60);
    pipe_open();
    say(SPAN_LITERAL("\x20\3\0\x9a\0"));
    assert_int_equal(told.code, 0x9A);
    expect_end(CLIENT_REFUSED);
}

static void messages_and_acknowledgements_are_told(void **state) {
    static const struct span bytes = {
        (const uint8_t *)"\x32\7\0\1t\0\7hi\x40\2\0\x0b\x50\2\0\x0c\x62\2\0\x0d\x90\3\0\x0e\1\xb0\2\0\x0f",
        30};
    for (size_t piece = 1; piece <= bytes.size; piece++) {
        begin_open(MQTT_VERSION_311, 60);
        pipe_say(bytes, piece);
        assert_int_equal(told.publishes, 1);
        assert_string_equal(told.topic, "t");
        assert_string_equal(told.payload, "hi");
        assert_int_equal(told.acks, 3);
        assert_int_equal(told.subacks, 2);
        assert_int_equal(told.packet_id, 15);
        client_close(&client, CLIENT_OURS, false);
        expect_end(CLIENT_OURS);
    }
    (void)state;
}

static void aliases_stand_for_topics(void **state) {
    (void)state;
    begin_open(MQTT_VERSION_5, 60);
    say(SPAN_LITERAL("\x30\x09\0\1t\3\x23\0\2hi"));
    say(SPAN_LITERAL("\x30\x08\0\0\3\x23\0\2yo"));
    assert_int_equal(told.publishes, 2);
    assert_string_equal(told.topic, "t");
    assert_string_equal(told.payload, "yo");
    say(SPAN_LITERAL("\x30\x08\0\0\3\x23\0\3yo")); /* never set */
    assert_int_equal(told.publishes, 2);
    expect_end(CLIENT_PROTOCOL);
    begin_open(MQTT_VERSION_5, 60);
    say(SPAN_LITERAL("\x30\x09\0\1t\3\x23\0\6hi")); /* above 5 */
    expect_end(CLIENT_PROTOCOL);
}

static void nonsense_ends_it(void **state) {
    static const struct span rows[] = {
        {(const uint8_t *)"\xf0\0", 2},               /* AUTH in 3.1.1 */
        {(const uint8_t *)"\x20\2\0\0", 4},           /* a second CONNACK */
        {(const uint8_t *)"\xc0\0", 2},               /* PINGREQ */
        {(const uint8_t *)"\x40\xff\xff\xff\xff", 5}, /* a length of five bytes */
        {(const uint8_t *)"\x36\5\0\1t\0\1", 7},      /* QoS 3 */
        {(const uint8_t *)"\x40\1\0", 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_open(MQTT_VERSION_311, 60);
        say(rows[i]);
        expect_end(CLIENT_PROTOCOL);
    }
    begin(MQTT_VERSION_311, 60);
    pipe_open();
    say(SPAN_LITERAL("\x30\4\0\1tx")); /* before the CONNACK */
    assert_int_equal(told.publishes, 0);
    expect_end(CLIENT_PROTOCOL);
    begin_open(MQTT_VERSION_311, 60);
    say(SPAN_LITERAL("\x30\xc9\1\0\1t")); /* 204 bytes: as soon as its length is there */
    expect_end(CLIENT_TOO_LARGE);
    begin_open(MQTT_VERSION_5, 60);
    say(SPAN_LITERAL("\xe0\2\x8b\0"));
    assert_non_null(strstr(client.words, "DISCONNECT"));
    expect_end(CLIENT_DISCONNECTED);
}

static void it_keeps_alive(void **state) {
    (void)state;
    begin_open(MQTT_VERSION_311, 10);
    pipe_pass(6000);
    expect_written(SPAN_LITERAL("\xc0\0"));
    say(SPAN_LITERAL("\xd0\0"));
    pipe_pass(6000);
    expect_written(SPAN_LITERAL("\xc0\0"));
    pipe_pass(7000);
    assert_int_equal(told.ends, 0);
    pipe_pass(6000); /* nothing for more than 15 s */
    assert_int_equal(pipe_.written_size, 0);
    expect_end(CLIENT_KEEP_ALIVE);
    begin_open(MQTT_VERSION_311, 0);
    pipe_pass(100000);
    assert_int_equal(pipe_.written_size, 0);
    client_close(&client, CLIENT_OURS, false);
    expect_end(CLIENT_OURS);
}

static void packets_are_written(void **state) {
    struct client_publish publish = {
        .topic = SPAN_LITERAL("t"), .payload = SPAN_LITERAL("hi"), .packet_id = 7, .qos = 1, .dup = true};
    (void)state;
    begin_open(MQTT_VERSION_311, 60);
    client_write_publish(&client, &publish);
    assert_int_equal(pipe_.written_size, 0);
    client_flush(&client);
    expect_written(SPAN_LITERAL("\x3a\7\0\1t\0\7hi"));
    assert_int_equal(client_publish_size(MQTT_VERSION_311, &publish), 9);
    client_write_subscribe(&client, 9, SPAN_LITERAL("a/#"), 2 | 4 | 8, 3);
    client_write_unsubscribe(&client, 10, SPAN_LITERAL("b"));
    client_flush(&client);
    expect_written(SPAN_LITERAL("\x82\x08\0\x09\0\3a/#\2\xa2\5\0\x0a\0\1b"));
    client_close(&client, CLIENT_OURS, false);
    expect_end(CLIENT_OURS);
    begin_open(MQTT_VERSION_5, 60);
    publish.has_expiry = true;
    publish.expiry_s = 9;
    publish.qos = 0;
    client_write_publish(&client, &publish);
    client_flush(&client);
    assert_int_equal(client_publish_size(MQTT_VERSION_5, &publish), pipe_.written_size);
    expect_written(SPAN_LITERAL("\x30\x0b\0\1t\5\2\0\0\0\x09hi"));
    client_write_subscribe(&client, 9, SPAN_LITERAL("a/#"), 2 | 4 | 8, 3);
    client_flush(&client);
    expect_written(SPAN_LITERAL("\x82\x0b\0\x09\2\x0b\3\0\3a/#\x0e"));
    pipe_.write_error = -32;
    client_write_publish(&client, &publish);
    client_flush(&client);
    expect_end(CLIENT_CLOSED);
}

static void what_the_kernel_does_not_take_is_congestion(void **state) {
    const struct client_publish publish = {.topic = SPAN_LITERAL("t"), .payload = SPAN_LITERAL("hi")};
    (void)state;
    begin_open(MQTT_VERSION_311, 60);
    assert_false(client_is_congested(&client));
    pipe_.is_slow = true;
    client_write_publish(&client, &publish);
    client_flush(&client);
    assert_true(client_is_congested(&client));
    pipe_.link.pending = 0;
    pipe_.link.events->on_drained(&pipe_.link);
    assert_int_equal(told.drains, 1);
    assert_false(client_is_congested(&client));
    client_close(&client, CLIENT_OURS, false);
    expect_end(CLIENT_OURS);
}

static void it_connects_again(void **state) {
    (void)state;
    begin_open(MQTT_VERSION_5, 60);
    say(SPAN_LITERAL("\x30\x09\0\1t\3\x23\0\2hi"));
    pipe_.link.events->on_end(&pipe_.link, -104);
    pipe_settle();
    assert_int_equal(told.end, CLIENT_CLOSED);
    const struct client_wish wish = client.wish;
    client_connect(&client, &wish);
    pipe_open();
    say(SPAN_LITERAL("\x20\3\0\0\0"));
    assert_true(client_is_open(&client));
    say(SPAN_LITERAL("\x30\x08\0\0\3\x23\0\2yo")); /* aliases are the connection's */
    pipe_settle();
    assert_int_equal(told.end, CLIENT_PROTOCOL);
    client_clear(&client);
    free(pipe_.written);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_connects),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(refusals_are_told),
        cmocka_unit_test(messages_and_acknowledgements_are_told),
        cmocka_unit_test(aliases_stand_for_topics),
        cmocka_unit_test(nonsense_ends_it),
        cmocka_unit_test(it_keeps_alive),
        cmocka_unit_test(packets_are_written),
        cmocka_unit_test(what_the_kernel_does_not_take_is_congestion),
        cmocka_unit_test(it_connects_again),
    };
    return cmocka_run_group_tests_name("bridge/client", tests, NULL, NULL);
}
