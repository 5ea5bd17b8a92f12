/* What devices send: what passes, what is cut out and answered, what ends the session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/conversation.h"
#include "unit/inspect/each_sample.h"

static struct small_policy policy;

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};
#define EACH_VERSION(version)                                                                                \
    size_t v_ = 0;                                                                                           \
    v_ < 3 && ((version) = versions[v_], true);                                                              \
    v_++

static void test_good_samples_pass(void **state) {
    (void)state;
    good_samples_pass(MQTT_TO_BROKER);
}

static void test_bad_samples_are_wrong(void **state) {
    (void)state;
    bad_samples_are_wrong(MQTT_TO_BROKER);
}

static void test_order(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        bool is_5 = version == MQTT_VERSION_5;
        check_order_row(MQTT_TO_BROKER, INSPECT_BEFORE_CONNECT, version, false, "FCFFFFFFFFFFFFFF");
        check_order_row(MQTT_TO_BROKER, INSPECT_BEFORE_CONNACK, version, false,
                        is_5 ? "T2DHHHHHHDHDHDGA" : "T2DHHHHHHDHDHDGT");
        check_order_row(MQTT_TO_BROKER, INSPECT_OPEN, version, false,
                        is_5 ? "T2DPPPPPPDPDPDGA" : "T2DPPPPPPDPDPDGT");
        check_order_row(MQTT_TO_BROKER, INSPECT_OVER, version, false, "XXXXXXXXXXXXXXXX");
    }
    /* With a method only AUTH and DISCONNECT may come before the CONNACK (MQTT 5.0 3.1.2-30). */
    check_order_row(MQTT_TO_BROKER, INSPECT_BEFORE_CONNACK, MQTT_VERSION_5, true, "T2DOOOOOODODODGP");
    check_order_row(MQTT_TO_BROKER, INSPECT_OPEN, MQTT_VERSION_5, true, "T2DPPPPPPDPDPDGP");
}

/* What a CONNECT tells the inspector. */
static void test_connect(void **state) {
    (void)state;
    struct inspect_limits limits = driver_no_limits();
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct driver *driver = driver_create(&limits, NULL);
        struct span props = bytes_of_hex("11 00 00 00 01 22 00 07 15 00 02 61 62");
        struct span connect = connect_packet(version, props, "dev", 77);
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, connect), INSPECT_MORE);
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), connect);
        assert_int_equal(driver->inspector.version, version);
        assert_int_equal(driver->inspector.keep_alive_s, 77);
        assert_int_equal(driver->inspector.state, INSPECT_BEFORE_CONNACK);
        bool is_5 = version == MQTT_VERSION_5;
        assert_int_equal(driver->inspector.has_session_expiry, is_5);
        assert_int_equal(driver->inspector.from_broker.aliases.max, is_5 ? 7 : 0);
        assert_bytes(driver->inspector.auth_method, is_5 ? SPAN_LITERAL("ab") : SPAN_NONE);
        driver_destroy(driver);
        packets_forget();
    }
}

/* What follows the CONNECT at once waits for the CONNACK, and is judged then. */
static void test_early_packets(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct inspect_limits limits = driver_no_limits();
        struct driver *driver = driver_create(&limits, policy.acl);
        struct span connect = connect_packet(version, SPAN_NONE, "dev", 77), ping = bytes_of_hex("c0 00");
        struct span good = publish_packet(version, (struct publish_fields){.topic = "ok/1"});
        struct span bad = publish_packet(version, (struct publish_fields){.topic = "no/1"});
        struct span early = join(join(good, bad), ping);
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, join(connect, early)), INSPECT_PAUSE);
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), connect);
        assert_bytes(store_span(&driver->ways[MQTT_TO_BROKER].held), early);
        assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, connack_packet(version, 0, SPAN_NONE)),
                         INSPECT_MORE);
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), join(connect, join(good, ping)));
        driver_destroy(driver);
        packets_forget();
    }
}

/* Version 5 wants the shortest length, which shows only once the version is known. */
static void test_connect_length(void **state) {
    (void)state;
    struct inspect_limits limits = driver_no_limits();
    struct driver *driver = driver_create(&limits, NULL);
    struct span connect = connect_packet(MQTT_VERSION_5, SPAN_NONE, "dev", 0);
    struct writer writer = packets_open();
    writer_u8(&writer, 0x10);
    writer_u8(&writer, (uint8_t)(connect.at[1] | 0x80));
    writer_u8(&writer, 0);
    writer_bytes(&writer, span_after(connect, 2));
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, packets_close(&writer)), INSPECT_WRONG);
    assert_int_equal(driver->inspector.violation, VIOLATION_MALFORMED_LENGTH);
    assert_int_equal(driver->inspector.version, MQTT_VERSION_5);
    driver_destroy(driver);
}

static void test_publish_allowed_and_not(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        bool is_5 = version == MQTT_VERSION_5;
        struct span payload = SPAN_LITERAL("hello");
        struct span good = SPAN_NONE, input = SPAN_NONE, answers = SPAN_NONE;
        const char *topics[] = {"ok/a", "no/way", "out/b", "in/c", "ok/secret", "$SYS/x", "ok"};
        const bool may[] = {true, false, true, false, false, false, true};
        for (uint16_t i = 0; i < 7; i++) {
            uint8_t qos = i % 3;
            struct span publish = publish_packet(
                version, (struct publish_fields){
                             .qos = qos, .id = (uint16_t)(100 + i), .topic = topics[i], .payload = payload});
            input = join(input, publish);
            if (may[i])
                good = join(good, publish);
            else if (qos != 0)
                answers = join(answers, ack_packet(version, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
                                                   (uint16_t)(100 + i), is_5 ? 0x87 : 0));
        }
        check_passes(&setup, MQTT_TO_BROKER, input, good, answers);
        packets_forget();
    }
}

static void test_refused_qos_0(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct driver *driver = driver_open(&setup);
    struct span publish =
        publish_packet(MQTT_VERSION_311, (struct publish_fields){.topic = "no/way", .payload = SPAN_NONE});
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, publish), INSPECT_MORE);
    assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
    assert_int_equal(driver_answers(driver, MQTT_TO_BROKER).size, 0);
    assert_int_equal(driver->refusals, 1);
    assert_int_equal(driver->refusal.type, MQTT_PUBLISH);
    assert_int_equal(driver->refusal.direction, MQTT_TO_BROKER);
    assert_string_equal(driver->refused_topic, "no/way");
    assert_false(driver->refusal.verdict.is_allowed);
    assert_int_equal(tally_read(&driver->tally.rows[METRIC_publish_refused]), 1);
    /* A rule that denies is named with its line. */
    driver_feed(driver, MQTT_TO_BROKER,
                publish_packet(MQTT_VERSION_311, (struct publish_fields){.topic = "ok/secret"}));
    assert_int_equal(driver->refusals, 2);
    assert_string_equal(driver->refusal.verdict.file, "acl");
    assert_int_equal(driver->refusal.verdict.line, 4);
    driver_destroy(driver);
}

/* QoS 2 before version 5: nobody may say no, so the exchange is played to its end here. */
static void test_refused_qos_2(void **state) {
    (void)state;
    for (int version = 3; version <= 4; version++) {
        struct setup setup = setup_of((enum mqtt_version)version, policy.acl);
        struct publish_fields no = {.qos = 2, .id = 7, .topic = "no/way"};
        struct publish_fields again = {.qos = 2, .id = 7, .topic = "no/way", .dup = true};
        struct span pubrel = ack_packet(setup.version, MQTT_PUBREL, 7, 0);
        struct span pubrec = ack_packet(setup.version, MQTT_PUBREC, 7, 0);
        struct span pubcomp = ack_packet(setup.version, MQTT_PUBCOMP, 7, 0);
        struct span first = publish_packet(setup.version, no);
        check_passes(&setup, MQTT_TO_BROKER, join(first, pubrel), SPAN_NONE, join(pubrec, pubcomp));
        /* Sent again: answered again. A PUBREL that is not ours goes on. */
        check_passes(&setup, MQTT_TO_BROKER,
                     join(join(first, publish_packet(setup.version, again)), join(pubrel, pubrel)), pubrel,
                     join(join(pubrec, pubrec), pubcomp));
        /* The same id used afterwards by an allowed message is the broker's. */
        struct publish_fields yes = {.qos = 2, .id = 7, .topic = "ok/1"};
        struct span allowed = publish_packet(setup.version, yes);
        check_passes(&setup, MQTT_TO_BROKER, join(join(first, allowed), pubrel), join(allowed, pubrel),
                     pubrec);
        packets_forget();
    }
}

/* A PUBREC with a reason of failure ends the exchange (4.3.3-4): no PUBREL is ours. */
static void test_refused_qos_2_version_5(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    struct span no =
        publish_packet(MQTT_VERSION_5, (struct publish_fields){.qos = 2, .id = 65535, .topic = "no/way"});
    struct span pubrel = ack_packet(MQTT_VERSION_5, MQTT_PUBREL, 65535, 0);
    check_passes(&setup, MQTT_TO_BROKER, join(no, pubrel), pubrel,
                 ack_packet(MQTT_VERSION_5, MQTT_PUBREC, 65535, 0x87));
    packets_forget();
}

static void test_deny_disconnect(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.limits.is_deny_disconnect = true;
    setup.limits.message_size_limit = 10;
    struct span yes = publish_packet(MQTT_VERSION_5, (struct publish_fields){.topic = "ok/1"});
    struct span no = publish_packet(MQTT_VERSION_5, (struct publish_fields){.topic = "no"});
    struct span big = publish_packet(
        MQTT_VERSION_5, (struct publish_fields){.topic = "ok/1", .payload = SPAN_LITERAL("eleven byte")});
    check_stream(&setup, &(struct stream){.direction = MQTT_TO_BROKER,
                                          .input = join(join(yes, no), yes),
                                          .out = yes,
                                          .result = INSPECT_REFUSED});
    struct driver *driver = driver_open(&setup);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, no), INSPECT_REFUSED);
    assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_NOT_AUTHORIZED);
    driver_destroy(driver);
    driver = driver_open(&setup);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, big), INSPECT_REFUSED);
    assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_QUOTA_EXCEEDED);
    driver_destroy(driver);
    packets_forget();
}

static struct span long_payload(size_t size) {
    struct writer writer = packets_open();
    for (size_t i = 0; i < size; i++)
        writer_u8(&writer, (uint8_t)(i * 31 + i / 251));
    return packets_close(&writer);
}

/* Payloads are passed or cut as they come: nothing of them is ever held. */
static void test_payload_streams(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        struct publish_fields yes = {.topic = "ok/1", .payload = long_payload(150000)};
        struct publish_fields no = {.topic = "no/way", .payload = long_payload(70001)};
        struct span good = publish_packet(version, yes), bad = publish_packet(version, no);
        struct span ping = bytes_of_hex("c0 00");
        struct span input = join(join(good, bad), join(good, join(bad, ping)));
        struct span out = join(join(good, good), ping);
        check_passes(&setup, MQTT_TO_BROKER, input, out, SPAN_NONE);
        struct driver *driver = driver_open(&setup);
        uint64_t seed = 5;
        driver_feed_chopped(driver, MQTT_TO_BROKER, input, &seed, 3000);
        assert_true(driver->ways[MQTT_TO_BROKER].held_max < 16);
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), out);
        driver_destroy(driver);
        packets_forget();
    }
}

static void test_boundary(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct driver *driver = driver_open(&setup);
    const struct inspect_way *way = &driver->inspector.from_device;
    struct span yes = publish_packet(MQTT_VERSION_311,
                                     (struct publish_fields){.topic = "ok/1", .payload = long_payload(10)});
    struct span no = publish_packet(MQTT_VERSION_311,
                                    (struct publish_fields){.topic = "no/1", .payload = long_payload(10)});
    assert_true(inspect_is_at_boundary(way));
    driver_feed(driver, MQTT_TO_BROKER, span_first(yes, 5));
    assert_true(inspect_is_at_boundary(way)); /* nothing of it has left */
    driver_feed(driver, MQTT_TO_BROKER, span_first(span_after(yes, 5), 10));
    assert_false(inspect_is_at_boundary(way));
    driver_feed(driver, MQTT_TO_BROKER, span_after(yes, 15));
    assert_true(inspect_is_at_boundary(way));
    driver_feed(driver, MQTT_TO_BROKER, span_first(no, 12));
    assert_int_not_equal(way->payload_left, 0);
    assert_true(inspect_is_at_boundary(way)); /* what is cut is no part of the stream */
    driver_feed(driver, MQTT_TO_BROKER, span_after(no, 12));
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), yes);
    driver_destroy(driver);
    packets_forget();
}

/* ---- limits ---- */

static void test_max_packet_size(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        struct span publish =
            publish_packet(version, (struct publish_fields){.topic = "ok/1", .payload = long_payload(50)});
        struct span subscribe = subscribe_packet(version, 1, SPAN_NONE, "ok/a:0 ok/b:0 ok/c:0 ok/d:0");
        struct span packets[] = {publish, subscribe};
        for (size_t i = 0; i < 2; i++) {
            setup.limits.max_packet_size = (uint32_t)packets[i].size;
            check_passes(&setup, MQTT_TO_BROKER, packets[i], packets[i], SPAN_NONE);
            setup.limits.max_packet_size--;
            check_wrong(&setup, MQTT_TO_BROKER, join(bytes_of_hex("c0 00"), packets[i]),
                        bytes_of_hex("c0 00"), VIOLATION_PACKET_TOO_LARGE);
        }
        /* It is a limit for devices, not for the broker. */
        check_passes(&setup, MQTT_TO_DEVICE, publish, publish, SPAN_NONE);
        packets_forget();
    }
    /* A CONNECT is a packet as well; its version is waited for, so that 5.0 can be told why. */
    struct inspect_limits limits = driver_no_limits();
    limits.max_packet_size = 100;
    struct driver *driver = driver_create(&limits, NULL);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, bytes_of_hex("10 63 00 04 4d 51 54 54 05 02")),
                     INSPECT_MORE);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, bytes_of_hex("00")), INSPECT_WRONG);
    assert_int_equal(driver->inspector.version, MQTT_VERSION_5);
    assert_int_equal(driver->inspector.violation, VIOLATION_PACKET_TOO_LARGE);
    driver_destroy(driver);
}

static void test_message_size_limit(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.message_size_limit = 50;
        struct publish_fields fields = {.qos = 1, .id = 3, .topic = "ok/1", .payload = long_payload(50)};
        struct span fits = publish_packet(version, fields);
        fields.payload = long_payload(51);
        struct span too_large = publish_packet(version, fields);
        /* 0x95 is no reason that a PUBACK may have (3.4.2.1). */
        check_passes(&setup, MQTT_TO_BROKER, join(too_large, fits), fits,
                     ack_packet(version, MQTT_PUBACK, 3, MQTT_REASON_QUOTA_EXCEEDED));
        packets_forget();
    }
}

static void test_max_qos_and_retain(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        struct span qos[3], retained;
        for (uint8_t i = 0; i < 3; i++)
            qos[i] = publish_packet(version, (struct publish_fields){.qos = i, .id = 1, .topic = "ok/1"});
        retained = publish_packet(version, (struct publish_fields){.retain = true, .topic = "ok/1"});
        for (uint8_t max = 0; max < 3; max++) {
            setup.limits.max_qos = max;
            for (uint8_t i = 0; i < 3; i++)
                if (i <= max)
                    check_passes(&setup, MQTT_TO_BROKER, qos[i], qos[i], SPAN_NONE);
                else
                    check_wrong(&setup, MQTT_TO_BROKER, qos[i], SPAN_NONE, VIOLATION_QOS_NOT_SUPPORTED);
        }
        check_passes(&setup, MQTT_TO_BROKER, retained, retained, SPAN_NONE);
        setup.limits.retain_available = false;
        check_wrong(&setup, MQTT_TO_BROKER, join(qos[0], retained), qos[0], VIOLATION_RETAIN_NOT_SUPPORTED);
        packets_forget();
    }
}

/* ---- what is held until it is whole ---- */

/* A SUBSCRIBE of exactly `size` bytes, one filter after the other. */
static struct span big_subscribe(size_t size) {
    struct writer body = packets_open();
    writer_u16(&body, 9);
    size_t left = size - 4 - 2; /* three bytes of length */
    while (left != 0) {
        size_t entry = left > 60000 ? 50000 : left;
        writer_u16(&body, (uint16_t)(entry - 3));
        writer_bytes(&body, SPAN_LITERAL("ok/"));
        for (size_t i = 6; i < entry; i++)
            writer_u8(&body, 'x');
        writer_u8(&body, 0);
        left -= entry;
    }
    struct span packet_ = packet(0x82, packets_close(&body));
    assert_int_equal(packet_.size, size);
    return packet_;
}

static void test_held_bound(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct span most = big_subscribe(INSPECT_HELD_MAX);
    check_passes(&setup, MQTT_TO_BROKER, most, most, SPAN_NONE);
    struct span more = big_subscribe(INSPECT_HELD_MAX + 1);
    check_wrong(&setup, MQTT_TO_BROKER, more, SPAN_NONE, VIOLATION_PACKET_TOO_LARGE);
    /* The head says it: nothing is waited for. */
    check_wrong(&setup, MQTT_TO_BROKER, span_first(more, 4), SPAN_NONE, VIOLATION_PACKET_TOO_LARGE);
    packets_forget();
}

/* The head of a PUBLISH of version 5 can be long: topic and properties. */
static struct span publish_with_head(size_t head_size) {
    struct writer body = packets_open(), props;
    struct publish_fields fields = {.topic = "ok/1", .payload = SPAN_LITERAL("payload")};
    (void)body;
    struct span value = long_payload(60000);
    char *text = malloc(value.size + 1);
    memset(text, 'v', value.size);
    text[value.size] = 0;
    fields.props = user_prop("k", text);
    size_t base = 1 + 3 + 2 + 4 + 3 + fields.props.size;
    text[head_size - base - 6] = 0;
    struct span second = user_prop("k", text);
    free(text);
    props = packets_open();
    writer_bytes(&props, fields.props);
    writer_bytes(&props, second);
    fields.props = packets_close(&props);
    struct span whole = publish_packet(MQTT_VERSION_5, fields);
    assert_int_equal(whole.size, head_size + 7);
    return whole;
}

static void test_held_bound_of_publish_heads(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    struct span most = publish_with_head(INSPECT_HELD_MAX);
    check_passes(&setup, MQTT_TO_BROKER, most, most, SPAN_NONE);
    check_passes(&setup, MQTT_TO_DEVICE, most, most, SPAN_NONE);
    /* The answer does not depend on how the bytes came. */
    struct span more = publish_with_head(INSPECT_HELD_MAX + 1);
    check_wrong(&setup, MQTT_TO_BROKER, more, SPAN_NONE, VIOLATION_PACKET_TOO_LARGE);
    check_wrong(&setup, MQTT_TO_DEVICE, more, SPAN_NONE, VIOLATION_PACKET_TOO_LARGE);
    /* Properties of 256 MiB announced in a few bytes. */
    check_wrong(&setup, MQTT_TO_BROKER, bytes_of_hex("30 ff ff ff 7f 00 04 6f 6b 2f 31 f0 ff ff 7f"),
                SPAN_NONE, VIOLATION_PACKET_TOO_LARGE);
    packets_forget();
}

/* ---- AUTH and DISCONNECT ---- */

static void test_auth(void **state) {
    (void)state;
    struct span scram = bytes_of_hex("15 00 05 53 43 52 41 4d");
    struct span go_on = packet(0xF0, join(bytes_of_hex("18 08"), scram));
    struct span again = packet(0xF0, join(bytes_of_hex("19 08"), scram));
    struct span other = packet(0xF0, bytes_of_hex("18 08 15 00 05 4f 54 48 45 52"));
    struct setup without = setup_of(MQTT_VERSION_5, NULL), with = without;
    with.connect_props = scram;
    check_wrong(&without, MQTT_TO_BROKER, go_on, SPAN_NONE, VIOLATION_AUTH_UNASKED);
    check_wrong(&without, MQTT_TO_DEVICE, go_on, SPAN_NONE, VIOLATION_AUTH_UNASKED);
    check_passes(&with, MQTT_TO_BROKER, again, again, SPAN_NONE);
    check_passes(&with, MQTT_TO_DEVICE, go_on, go_on, SPAN_NONE);
    check_wrong(&with, MQTT_TO_BROKER, other, SPAN_NONE, VIOLATION_AUTH_METHOD_CHANGED);
    check_wrong(&with, MQTT_TO_DEVICE, other, SPAN_NONE, VIOLATION_AUTH_METHOD_CHANGED);
    /* A bare success of the broker needs no properties. */
    check_passes(&with, MQTT_TO_DEVICE, bytes_of_hex("f0 00"), bytes_of_hex("f0 00"), SPAN_NONE);
    packets_forget();
}

/* Before the CONNACK the broker asks and the device answers, one by one. */
static void test_auth_before_connack(void **state) {
    (void)state;
    struct span scram = bytes_of_hex("15 00 05 53 43 52 41 4d");
    struct span go_on = packet(0xF0, join(bytes_of_hex("18 08"), scram));
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.connect_props = scram;
    struct driver *driver = driver_connect(&setup);
    driver_forget(driver);
    assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, go_on), INSPECT_MORE);
    assert_true(driver->inspector.is_auth_open);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, go_on), INSPECT_MORE);
    assert_false(driver->inspector.is_auth_open);
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE), go_on);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), go_on);
    driver_feed(driver, MQTT_TO_DEVICE, go_on);
    driver_feed(driver, MQTT_TO_BROKER, go_on);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, go_on), INSPECT_WRONG);
    assert_int_equal(driver->inspector.violation, VIOLATION_PACKET_ORDER);
    driver_destroy(driver);
    packets_forget();
}

static void test_disconnect(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        struct span bye = bytes_of_hex("e0 00"), ping = bytes_of_hex("c0 00");
        /* What stands behind it goes nowhere. */
        check_stream(&setup, &(struct stream){.direction = MQTT_TO_BROKER,
                                              .input = join(join(ping, bye), ping),
                                              .out = join(ping, bye),
                                              .result = INSPECT_GOODBYE});
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_BROKER, bye);
        assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, bytes_of_hex("d0 00")), INSPECT_MORE);
        assert_int_equal(driver_out(driver, MQTT_TO_DEVICE).size, 0);
        driver_destroy(driver);
    }
    packets_forget();
}

static void test_disconnect_session_expiry(void **state) {
    (void)state;
    struct setup without = setup_of(MQTT_VERSION_5, policy.acl), with = without, zero = without;
    with.connect_props = bytes_of_hex("11 00 00 00 01");
    zero.connect_props = bytes_of_hex("11 00 00 00 00");
    struct span some = bytes_of_hex("e0 07 00 05 11 00 00 00 01");
    struct span none = bytes_of_hex("e0 07 00 05 11 00 00 00 00");
    struct stream stream = {
        .direction = MQTT_TO_BROKER, .input = some, .out = some, .result = INSPECT_GOODBYE};
    check_stream(&with, &stream);
    stream.input = stream.out = none;
    check_stream(&with, &stream);
    check_stream(&without, &stream);
    check_wrong(&without, MQTT_TO_BROKER, some, SPAN_NONE, VIOLATION_SESSION_EXPIRY);
    check_wrong(&zero, MQTT_TO_BROKER, some, SPAN_NONE, VIOLATION_SESSION_EXPIRY);
    packets_forget();
}

/* A reply needs room: without it the caller is asked to send first. */
static void test_flush_for_replies(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    struct driver *driver = driver_open(&setup);
    struct span publish =
        publish_packet(MQTT_VERSION_5, (struct publish_fields){.qos = 1, .id = 1, .topic = "no"});
    struct inspect_bytes bytes = {.size = DRIVER_ROOM, .scratch = driver->scratch, .scratch_size = 1};
    bytes.at = malloc(bytes.size);
    memcpy(bytes.at, publish.at, bytes.filled = publish.size);
    struct writer reply = writer_of(driver->reply, INSPECT_REPLY_ROOM - 1);
    assert_int_equal(inspect_from_device(&driver->inspector, &bytes, &reply), INSPECT_FLUSH);
    assert_int_equal(bytes.scanned, 0);
    reply = writer_of(driver->reply, INSPECT_REPLY_ROOM + 5);
    assert_int_equal(inspect_from_device(&driver->inspector, &bytes, &reply), INSPECT_MORE);
    assert_int_equal(writer_size(&reply), 5);
    free(bytes.at);
    driver_destroy(driver);

    /* Many small refusals in one read: more answers than one reply holds. */
    driver = driver_open(&setup);
    struct writer many = packets_open(), acks;
    for (unsigned i = 1; i <= 30000; i++) {
        const uint8_t packet_[] = {0x32, 7, 0, 2, 'n', 'o', (uint8_t)(i >> 8), (uint8_t)i, 0};
        writer_bytes(&many, span_of(packet_, sizeof packet_));
    }
    struct span input = packets_close(&many);
    acks = packets_open();
    for (unsigned i = 1; i <= 30000; i++)
        mqtt_write_ack(&acks, MQTT_VERSION_5, MQTT_PUBACK, (uint16_t)i, 0x87, SPAN_NONE);
    struct span wanted = packets_close(&acks);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, input), INSPECT_MORE);
    assert_true(driver->ways[MQTT_TO_BROKER].flush_count > 0);
    assert_bytes(driver_answers(driver, MQTT_TO_BROKER), wanted);
    driver_destroy(driver);
    packets_forget();
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
        cmocka_unit_test(test_good_samples_pass),
        cmocka_unit_test(test_bad_samples_are_wrong),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_early_packets),
        cmocka_unit_test(test_connect_length),
        cmocka_unit_test(test_publish_allowed_and_not),
        cmocka_unit_test(test_refused_qos_0),
        cmocka_unit_test(test_refused_qos_2),
        cmocka_unit_test(test_refused_qos_2_version_5),
        cmocka_unit_test(test_deny_disconnect),
        cmocka_unit_test(test_payload_streams),
        cmocka_unit_test(test_boundary),
        cmocka_unit_test(test_max_packet_size),
        cmocka_unit_test(test_message_size_limit),
        cmocka_unit_test(test_max_qos_and_retain),
        cmocka_unit_test(test_held_bound),
        cmocka_unit_test(test_held_bound_of_publish_heads),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_auth_before_connack),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_disconnect_session_expiry),
        cmocka_unit_test(test_flush_for_replies),
    };
    return cmocka_run_group_tests_name("inspect/from_device", tests, create_policy, destroy_policy);
}
