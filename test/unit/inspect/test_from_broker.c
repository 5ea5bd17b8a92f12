/* What the broker sends: the CONNACK with our limits put in, deliveries that policy keeps back, and the
 * answers that are merged with ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/conversation.h"
#include "unit/inspect/each_sample.h"

static struct small_policy policy;

static void test_good_samples_pass(void **state) {
    (void)state;
    good_samples_pass(MQTT_TO_DEVICE);
}

static void test_bad_samples_are_wrong(void **state) {
    (void)state;
    bad_samples_are_wrong(MQTT_TO_DEVICE);
}

static void test_order(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++) {
        bool is_5 = version == 5;
        enum mqtt_version which = (enum mqtt_version)version;
        check_order_row(MQTT_TO_DEVICE, INSPECT_BEFORE_CONNECT, which, false, "FDFFFFFFFFFFFFFF");
        check_order_row(MQTT_TO_DEVICE, INSPECT_BEFORE_CONNACK, which, false,
                        is_5 ? "TDSOOOOODODODOOA" : "TDSOOOOODODODODT");
        check_order_row(MQTT_TO_DEVICE, INSPECT_OPEN, which, false,
                        is_5 ? "TDOPPPPPDPDPDPGA" : "TDOPPPPPDPDPDPDT");
        check_order_row(MQTT_TO_DEVICE, INSPECT_OVER, which, false, "XXXXXXXXXXXXXXXX");
    }
    check_order_row(MQTT_TO_DEVICE, INSPECT_BEFORE_CONNACK, MQTT_VERSION_5, true, "TDSOOOOODODODOOP");
    check_order_row(MQTT_TO_DEVICE, INSPECT_OPEN, MQTT_VERSION_5, true, "TDOPPPPPDPDPDPGP");
}

/* ---- CONNACK ---- */

/* What of a CONNACK's properties reaches the device: read again with the strict reader. */
struct told {
    struct mqtt_connack connack;
    struct driver *driver;
};

static struct told tell(const struct setup *setup, struct span props, struct span assigned) {
    struct told told = {.driver = driver_connect(setup)};
    told.driver->inspector.assigned_client_id = assigned;
    struct span connack = connack_packet(setup->version, 0, props);
    struct mqtt_frame frame;
    enum violation violation;
    assert_int_equal(driver_feed(told.driver, MQTT_TO_DEVICE, connack), INSPECT_MORE);
    struct span out = driver_out(told.driver, MQTT_TO_DEVICE);
    assert_int_equal(mqtt_frame_read(out, setup->version, MQTT_TO_DEVICE, &frame, &violation), MQTT_WHOLE);
    assert_int_equal(mqtt_frame_size(&frame), out.size);
    assert_int_equal(
        mqtt_connack_read(span_after(out, frame.header_size), setup->version, &told.connack, &violation),
        MQTT_WHOLE);
    assert_int_equal(told.driver->starts, 1);
    assert_int_equal(told.driver->inspector.state, INSPECT_OPEN);
    return told;
}

#define UNSAID 0xABCDEF
static uint32_t told_number(const struct told *told, enum mqtt_prop prop) {
    return mqtt_props_number(&told->connack.props, prop, UNSAID);
}

static void check_told(const struct setup *setup, const char *props, enum mqtt_prop prop, uint32_t wanted) {
    struct told told = tell(setup, bytes_of_hex(props), SPAN_NONE);
    if (told_number(&told, prop) != wanted)
        fail_msg("'%s', property %d: %u instead of %u", props, prop, told_number(&told, prop), wanted);
    driver_destroy(told.driver);
    packets_forget();
}

static void test_connack_unchanged(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.limits.max_packet_size = 1000;
    setup.limits.max_qos = 1;
    setup.limits.retain_available = false;
    setup.limits.max_topic_alias = 10;
    setup.limits.max_keepalive_s = 60;
    /* The broker promises less than we: its packet stays as it is. */
    struct span props = bytes_of_hex("27 00 00 03 e7 24 00 25 00 22 00 09 13 00 3b 1f 00 02 68 69");
    struct driver *driver = driver_connect(&setup);
    struct span connack = connack_packet(MQTT_VERSION_5, 0, props);
    driver_feed(driver, MQTT_TO_DEVICE, connack);
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE), connack);
    assert_int_equal(tally_read(&driver->tally.rows[METRIC_packets_rewritten]), 0);
    assert_int_equal(driver->inspector.from_device.aliases.max, 9);
    assert_int_equal(driver->inspector.keep_alive_s, 59);
    driver_destroy(driver);
    packets_forget();
}

static void test_connack_limits(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.limits.max_qos = 1;
    check_told(&setup, "", MQTT_PROP_MAXIMUM_QOS, 1);
    check_told(&setup, "24 00", MQTT_PROP_MAXIMUM_QOS, 0);
    check_told(&setup, "24 01", MQTT_PROP_MAXIMUM_QOS, 1);
    setup.limits.max_qos = 0;
    check_told(&setup, "24 01", MQTT_PROP_MAXIMUM_QOS, 0);
    setup.limits.max_qos = 2;
    check_told(&setup, "", MQTT_PROP_MAXIMUM_QOS, UNSAID);
    setup.limits.retain_available = false;
    check_told(&setup, "", MQTT_PROP_RETAIN_AVAILABLE, 0);
    check_told(&setup, "25 01", MQTT_PROP_RETAIN_AVAILABLE, 0);
    check_told(&setup, "25 00", MQTT_PROP_RETAIN_AVAILABLE, 0);
    setup.limits.retain_available = true;
    check_told(&setup, "25 00", MQTT_PROP_RETAIN_AVAILABLE, 0);
    check_told(&setup, "", MQTT_PROP_RETAIN_AVAILABLE, UNSAID);
    setup.limits.max_packet_size = 1000;
    check_told(&setup, "", MQTT_PROP_MAXIMUM_PACKET_SIZE, 1000);
    check_told(&setup, "27 00 00 03 e9", MQTT_PROP_MAXIMUM_PACKET_SIZE, 1000);
    check_told(&setup, "27 00 00 03 e7", MQTT_PROP_MAXIMUM_PACKET_SIZE, 999);
    setup.limits.max_packet_size = 0;
    check_told(&setup, "", MQTT_PROP_MAXIMUM_PACKET_SIZE, UNSAID);
    setup.limits.receive_maximum = 20;
    check_told(&setup, "", MQTT_PROP_RECEIVE_MAXIMUM, 20);
    check_told(&setup, "21 00 15", MQTT_PROP_RECEIVE_MAXIMUM, 20);
    check_told(&setup, "21 00 13", MQTT_PROP_RECEIVE_MAXIMUM, 19);
    setup.limits.receive_maximum = 0;
    check_told(&setup, "", MQTT_PROP_RECEIVE_MAXIMUM, UNSAID);
    check_told(&setup, "21 00 13", MQTT_PROP_RECEIVE_MAXIMUM, 19);
    setup.limits.max_topic_alias = 10;
    check_told(&setup, "", MQTT_PROP_TOPIC_ALIAS_MAXIMUM, UNSAID);
    check_told(&setup, "22 00 0b", MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 10);
    check_told(&setup, "22 00 0a", MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 10);
    check_told(&setup, "22 00 05", MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 5);
    setup.limits.max_keepalive_s = 30; /* the device asked for 60 */
    check_told(&setup, "", MQTT_PROP_SERVER_KEEP_ALIVE, 30);
    check_told(&setup, "13 00 1f", MQTT_PROP_SERVER_KEEP_ALIVE, 30);
    check_told(&setup, "13 00 1d", MQTT_PROP_SERVER_KEEP_ALIVE, 29);
    check_told(&setup, "13 00 00", MQTT_PROP_SERVER_KEEP_ALIVE, 30); /* never, says the broker */
    setup.limits.max_keepalive_s = 60;
    check_told(&setup, "", MQTT_PROP_SERVER_KEEP_ALIVE, UNSAID);
    setup.limits.max_keepalive_s = 0;
    check_told(&setup, "", MQTT_PROP_SERVER_KEEP_ALIVE, UNSAID);
}

/* Three kinds of subscriptions: said where it is no, by either side. */
static void test_connack_subscriptions(void **state) {
    (void)state;
    static const struct {
        enum mqtt_prop prop;
        const char *yes, *no;
        size_t limit;
    } rows[] = {
        {MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE, "28 01", "28 00",
         offsetof(struct inspect_limits, wildcard_subscriptions)},
        {MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE, "29 01", "29 00",
         offsetof(struct inspect_limits, subscription_identifiers)},
        {MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE, "2a 01", "2a 00",
         offsetof(struct inspect_limits, shared_subscriptions)},
    };
    for (size_t i = 0; i < 3; i++) {
        struct setup setup = setup_of(MQTT_VERSION_5, NULL);
        check_told(&setup, "", rows[i].prop, UNSAID);
        check_told(&setup, rows[i].yes, rows[i].prop, 1);
        check_told(&setup, rows[i].no, rows[i].prop, 0);
        *(bool *)((char *)&setup.limits + rows[i].limit) = false;
        check_told(&setup, "", rows[i].prop, 0);
        check_told(&setup, rows[i].yes, rows[i].prop, 0);
        check_told(&setup, rows[i].no, rows[i].prop, 0);
        for (size_t k = 0; k < 3; k++)
            if (k != i)
                check_told(&setup, "", rows[k].prop, UNSAID);
    }
}

/* A limit that was put in does not cost the others, nor what we do not know. */
static void test_connack_keeps_the_rest(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.limits.max_topic_alias = 4;
    struct span props =
        join(bytes_of_hex("21 00 0a 22 00 20 27 00 01 00 00 28 00 29 00 2a 00 11 00 00 00 09 12 "
                          "00 01 78 1f 00 02 68 69"),
             join(user_prop("a", "1"), user_prop("a", "2")));
    struct told told = tell(&setup, props, SPAN_NONE);
    assert_int_equal(told_number(&told, MQTT_PROP_RECEIVE_MAXIMUM), 10);
    assert_int_equal(told_number(&told, MQTT_PROP_TOPIC_ALIAS_MAXIMUM), 4);
    assert_int_equal(told_number(&told, MQTT_PROP_MAXIMUM_PACKET_SIZE), 65536);
    assert_int_equal(told_number(&told, MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE), 0);
    assert_int_equal(told_number(&told, MQTT_PROP_SESSION_EXPIRY_INTERVAL), 9);
    assert_bytes(told.connack.props.text[MQTT_PROP_REASON_STRING], SPAN_LITERAL("hi"));
    assert_int_equal(told.connack.props.user_count, 2);
    assert_int_equal(told.driver->inspector.from_device.aliases.max, 4);
    assert_int_equal(tally_read(&told.driver->tally.rows[METRIC_packets_rewritten]), 1);
    /* A client id that the broker made is told. */
    assert_bytes(told.connack.props.text[MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER], SPAN_LITERAL("x"));
    driver_destroy(told.driver);
    packets_forget();
}

static void test_connack_assigned_client_id(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    struct told told = tell(&setup, SPAN_NONE, SPAN_LITERAL("auto-1"));
    assert_bytes(told.connack.props.text[MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER], SPAN_LITERAL("auto-1"));
    driver_destroy(told.driver);
    told = tell(&setup, bytes_of_hex("12 00 01 78 21 00 0a"), SPAN_LITERAL("auto-1"));
    assert_bytes(told.connack.props.text[MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER], SPAN_LITERAL("auto-1"));
    assert_int_equal(told_number(&told, MQTT_PROP_RECEIVE_MAXIMUM), 10);
    driver_destroy(told.driver);
    /* Before version 5 there is no place to tell it. */
    setup.version = MQTT_VERSION_311;
    told = tell(&setup, SPAN_NONE, SPAN_LITERAL("auto-1"));
    assert_bytes(driver_out(told.driver, MQTT_TO_DEVICE), bytes_of_hex("20 02 00 00"));
    driver_destroy(told.driver);
    packets_forget();
}

/* With another client id at the broker, the device hears of its own or of none. */
static void test_connack_hides_the_broker_client_id(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    const struct {
        const char *props, *assigned, *out;
    } rows[] = {
        {"12 00 03 70 2d 78 21 00 0a", "", "20 06 00 00 03 21 00 0a"},
        {"12 00 03 70 2d 78 21 00 0a", "x", "20 0a 00 00 07 21 00 0a 12 00 01 78"},
        {"21 00 0a", "", "20 06 00 00 03 21 00 0a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct driver *driver = driver_connect(&setup);
        driver->inspector.is_client_id_ours = true;
        driver->inspector.assigned_client_id = span_of_text(rows[i].assigned);
        driver_feed(driver, MQTT_TO_DEVICE, connack_packet(MQTT_VERSION_5, 0, bytes_of_hex(rows[i].props)));
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), bytes_of_hex(rows[i].out));
        driver_destroy(driver);
    }
    packets_forget();
}

/* ---- the device's Maximum Packet Size (MQTT 5.0 3.1.2-24) ---- */

static struct setup setup_of_size(uint8_t size) {
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    char hex[16];
    snprintf(hex, sizeof hex, "27 00 00 00 %02x", size);
    setup.connect_props = bytes_of_hex(hex);
    return setup;
}

/* What may be left out of a CONNACK is, before the device is refused. */
static void test_connack_fits_the_device(void **state) {
    (void)state;
    const struct {
        uint8_t size;
        const char *out; /* NULL: refused */
    } rows[] = {{26, "20 14 00 00 11 1f 00 05 68 65 6c 6c 6f 26 00 01 61 00 01 31 24 01"},
                {21, "20 05 00 00 02 24 01"},
                {7, "20 05 00 00 02 24 01"},
                {6, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct setup setup = setup_of_size(rows[i].size);
        setup.limits.max_qos = 1;
        struct driver *driver = driver_connect(&setup);
        /* The broker's own packet must fit as it is. */
        struct span props = bytes_of_hex("1f 00 05 68 65 6c 6c 6f 26 00 01 61 00 01 31");
        if (rows[i].size < 20)
            props = SPAN_NONE;
        enum inspect_result result =
            driver_feed(driver, MQTT_TO_DEVICE, connack_packet(MQTT_VERSION_5, 0, props));
        assert_int_equal(result, rows[i].out == NULL ? INSPECT_REFUSED : INSPECT_MORE);
        if (rows[i].out != NULL)
            assert_bytes(driver_out(driver, MQTT_TO_DEVICE), bytes_of_hex(rows[i].out));
        else
            assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_PACKET_TOO_LARGE);
        driver_destroy(driver);
        packets_forget();
    }
}

static void test_deliveries_fit_the_device(void **state) {
    (void)state;
    struct setup setup = setup_of_size(30);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct publish_fields fields = {.qos = qos, .id = 7, .topic = "in/x"};
        size_t head = publish_packet(MQTT_VERSION_5, fields).size;
        uint8_t payload[64] = {0};
        fields.payload = span_of(payload, 30 - head);
        struct span fits = publish_packet(MQTT_VERSION_5, fields);
        assert_int_equal(fits.size, 30);
        fields.payload.size++;
        fields.id = 8;
        struct span large = publish_packet(MQTT_VERSION_5, fields);
        const char *const answers[] = {"", "40 02 00 08", "50 02 00 08"};
        check_passes(&setup, MQTT_TO_DEVICE, join(large, fits), fits, bytes_of_hex(answers[qos]));
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_DEVICE, large);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_delivery_too_large]), 1);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_delivery_refused]), 0);
        assert_int_equal(driver->refusals, 1);
        driver_destroy(driver);
        packets_forget();
        setup = setup_of_size(30);
    }
}

/* A bare alias that the device does not know yet gets its topic, and must fit with it. */
static void test_alias_with_its_topic_fits(void **state) {
    (void)state;
    struct setup setup = setup_of_size(20);
    setup.connect_props = join(setup.connect_props, bytes_of_hex("22 00 05"));
    struct driver *driver = driver_open(&setup);
    struct publish_fields fields = {.topic = "in/xyz", .props = bytes_of_hex("23 00 01")};
    uint8_t payload[64] = {0};
    fields.payload = span_of(payload, 20);
    driver_feed(driver, MQTT_TO_DEVICE,
                publish_packet(MQTT_VERSION_5, fields)); /* too large: the alias is not told */
    fields.topic = "";
    fields.payload.size = 20 - 14 + 1; /* with the topic 21 bytes, without it 15 */
    driver_feed(driver, MQTT_TO_DEVICE, publish_packet(MQTT_VERSION_5, fields));
    assert_int_equal(driver_out(driver, MQTT_TO_DEVICE).size, 0);
    fields.payload.size--;
    driver_feed(driver, MQTT_TO_DEVICE, publish_packet(MQTT_VERSION_5, fields));
    assert_int_equal(driver_out(driver, MQTT_TO_DEVICE).size, 20);
    driver_destroy(driver);
    packets_forget();
}

static void test_answers_fit_the_device(void **state) {
    (void)state;
    struct setup setup = setup_of_size(8);
    /* Three codes make a SUBACK of eight bytes, whoever says them. */
    struct span three = subscribe_packet(MQTT_VERSION_5, 5, SPAN_NONE, "in/a:0 no/b:0 in/c:0");
    check_passes(&setup, MQTT_TO_BROKER, three,
                 subscribe_packet(MQTT_VERSION_5, 5, SPAN_NONE, "in/a:0 in/c:0"), SPAN_NONE);
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_BROKER, three);
    /* The broker's words are left out, for with them and our code it would be too large. */
    driver->inspector.device_max_packet_size = 12;
    driver_feed(driver, MQTT_TO_DEVICE, bytes_of_hex("90 0a 00 05 05 1f 00 02 68 69 00 00"));
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE), bytes_of_hex("90 06 00 05 00 00 87 00"));
    driver_destroy(driver);
    packets_forget();
    setup = setup_of_size(8);
    driver = driver_open(&setup);
    struct span four = subscribe_packet(MQTT_VERSION_5, 5, SPAN_NONE, "in/a:0 no/b:0 in/c:0 in/d:0");
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, four), INSPECT_REFUSED);
    assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_PACKET_TOO_LARGE);
    driver_destroy(driver);
    packets_forget();
    /* Nothing else may be left out: the broker breaks the protocol. */
    setup = setup_of_size(8);
    check_wrong(&setup, MQTT_TO_DEVICE, bytes_of_hex("e0 08 87 06 1f 00 03 61 62 63"), SPAN_NONE,
                VIOLATION_PACKET_TOO_LARGE);
    packets_forget();
}

static void test_connack_refusing(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++) {
        struct setup setup = setup_of((enum mqtt_version)version, NULL);
        setup.limits.max_qos = 0;
        struct driver *driver = driver_connect(&setup);
        uint8_t code = version == 5 ? 0x87 : 5;
        struct span connack = connack_packet(setup.version, code, SPAN_NONE);
        assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, join(connack, bytes_of_hex("d0 00"))),
                         INSPECT_GOODBYE);
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), connack);
        assert_int_equal(driver->inspector.connack_code, code);
        assert_int_equal(driver->inspector.state, INSPECT_OVER);
        assert_int_equal(driver->starts, 0);
        driver_destroy(driver);
    }
    packets_forget();
}

/* However it is chopped, and with hardly any room to write the longer packet. */
static void test_connack_chopped(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.limits.max_qos = 1;
    setup.limits.retain_available = false;
    struct span connack = connack_packet(MQTT_VERSION_5, 0, bytes_of_hex("22 00 05"));
    struct span wanted = bytes_of_hex("20 0a 00 00 07 22 00 05 24 01 25 00");
    struct span ping = bytes_of_hex("d0 00");
    uint64_t seed = 3;
    for (unsigned round = 0; round < 200; round++) {
        struct driver *driver = driver_connect(&setup);
        driver->spare = round % 20;
        driver_feed_chopped(driver, MQTT_TO_DEVICE, join(connack, ping), &seed, 1 + round % 7);
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), join(wanted, ping));
        driver_destroy(driver);
        if (round == 0)
            continue;
        packets_pooled -= 2 * (connack.size + ping.size);
    }
    packets_forget();
}

/* Without room the CONNACK is judged again, and then as if for the first time. */
static void test_connack_flushed(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.limits.max_keepalive_s = 30;
    setup.limits.max_topic_alias = 3;
    for (size_t spare = 0; spare < 12; spare++) {
        struct driver *driver = driver_connect(&setup);
        driver->spare = spare;
        driver_feed(driver, MQTT_TO_DEVICE, connack_packet(MQTT_VERSION_5, 0, bytes_of_hex("22 00 05")));
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), bytes_of_hex("20 09 00 00 06 13 00 1e 22 00 03"));
        assert_int_equal(driver->ways[MQTT_TO_DEVICE].flush_count, spare < 3);
        assert_int_equal(driver->inspector.keep_alive_s, 30);
        assert_int_equal(driver->inspector.from_device.aliases.max, 3);
        driver_destroy(driver);
        packets_forget();
    }
}

/* ---- deliveries ---- */

static void test_deliveries(void **state) {
    (void)state;
    for (int number = 3; number <= 5; number++) {
        enum mqtt_version version = (enum mqtt_version)number;
        struct setup setup = setup_of(version, policy.acl);
        struct span good = SPAN_NONE, input = SPAN_NONE, answers = SPAN_NONE;
        const char *topics[] = {"ok/a", "no/way", "in/b", "out/c", "ok/secret", "no/2", "in"};
        const bool may[] = {true, false, true, false, false, false, true};
        for (uint16_t i = 0; i < 7; i++) {
            uint8_t qos = (uint8_t)((i + 1) % 3);
            struct publish_fields fields = {.qos = qos,
                                            .id = (uint16_t)(i + 1),
                                            .topic = topics[i],
                                            .retain = true,
                                            .payload = SPAN_LITERAL("x")};
            struct span publish = publish_packet(version, fields);
            input = join(input, publish);
            if (may[i])
                good = join(good, publish);
            else if (qos != 0) /* the broker hears a success, in the device's place */
                answers = join(
                    answers, ack_packet(version, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, (uint16_t)(i + 1), 0));
        }
        check_passes(&setup, MQTT_TO_DEVICE, input, good, answers);
        packets_forget();
    }
}

static void test_refused_delivery_of_qos_2(void **state) {
    (void)state;
    for (int number = 3; number <= 5; number++) {
        enum mqtt_version version = (enum mqtt_version)number;
        struct setup setup = setup_of(version, policy.acl);
        struct span no =
            publish_packet(version, (struct publish_fields){.qos = 2, .id = 300, .topic = "no/way"});
        struct span pubrel = ack_packet(version, MQTT_PUBREL, 300, 0);
        struct span answers =
            join(ack_packet(version, MQTT_PUBREC, 300, 0), ack_packet(version, MQTT_PUBCOMP, 300, 0));
        check_passes(&setup, MQTT_TO_DEVICE, join(no, join(pubrel, pubrel)), pubrel, answers);
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_DEVICE, no);
        assert_int_equal(driver->refusal.direction, MQTT_TO_DEVICE);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_delivery_refused]), 1);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_publish_refused]), 0);
        /* The same id on the device's own way is another exchange. */
        driver_forget(driver);
        driver_feed(driver, MQTT_TO_BROKER, pubrel);
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), pubrel);
        driver_destroy(driver);
        packets_forget();
    }
}

static void test_delivery_streams(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct writer writer = packets_open();
    for (unsigned i = 0; i < 100000; i++)
        writer_u8(&writer, (uint8_t)(i * 7 + i / 256));
    struct span payload = packets_close(&writer);
    struct span yes = publish_packet(
        MQTT_VERSION_311, (struct publish_fields){.qos = 1, .id = 1, .topic = "in/1", .payload = payload});
    struct span no = publish_packet(
        MQTT_VERSION_311, (struct publish_fields){.qos = 1, .id = 2, .topic = "no/1", .payload = payload});
    check_passes(&setup, MQTT_TO_DEVICE, join(join(no, yes), join(no, yes)), join(yes, yes),
                 bytes_of_hex("40 02 00 02 40 02 00 02"));
    packets_forget();
}

/* ---- SUBSCRIBE and its answer ---- */

struct subscription {
    enum mqtt_version version;
    const char *filters; /* of the device */
    const char *passed;  /* what the broker gets; "" nothing */
    const char *codes;   /* of the broker, in hex; "" no answer of the broker */
    const char *told;    /* what the device hears, in hex */
    uint8_t max_qos;
};

static const struct subscription subscriptions[] = {
    /* none refused: both packets pass as they came */
    {4, "ok/a:0 in/b:1 ok/#:2", "ok/a:0 in/b:1 ok/#:2", "00 01 02", "00 01 02", 2},
    {5, "ok/a:0 in/b:1", "ok/a:0 in/b:1", "00 87", "00 87", 2},
    /* all refused: the broker hears nothing */
    {3, "no/1:0 out/2:1", "", "", "80 80", 2},
    {4, "no/1:0 out/2:1 no/#:2", "", "", "80 80 80", 2},
    {5, "no/1:0 out/2:1 ok/secret:2", "", "", "87 87 87", 2},
    /* some refused, in every place */
    {4, "no/1:0 ok/a:1", "ok/a:1", "01", "80 01", 2},
    {4, "ok/a:1 no/1:0", "ok/a:1", "80", "80 80", 2},
    {3, "ok/a:1 no/1:0 in/b:0 no/2:2 ok/c:2", "ok/a:1 in/b:0 ok/c:2", "01 00 02", "01 80 00 80 02", 2},
    {5, "ok/a:2d no/1:0 in/b:1e", "ok/a:2d in/b:1e", "01 9e", "01 87 9e", 2},
    {5, "$share/g/no/1:0 $share/g/ok/1:2", "$share/g/ok/1:2", "02", "87 02", 2},
    /* QoS lowered, with and without refusals; options of version 5 stay */
    {4, "ok/a:2 ok/b:0", "ok/a:1 ok/b:0", "01 00", "01 00", 1},
    {4, "ok/a:2 no/a:2 ok/b:1", "ok/a:1 ok/b:1", "01 01", "01 80 01", 1},
    {5, "ok/a:2e ok/b:5", "ok/a:2c ok/b:4", "00 00", "00 00", 0},
};

static void check_subscription(const struct subscription *row, struct span props, uint64_t *seed,
                               size_t most) {
    struct setup setup = setup_of(row->version, policy.acl);
    setup.limits.max_qos = row->max_qos;
    struct driver *driver = driver_open(&setup);
    if (most != 0)
        driver->spare = driver_random(seed) % 64;
    struct span subscribe = subscribe_packet(row->version, 0x0102, props, row->filters);
    driver_feed_chopped(driver, MQTT_TO_BROKER, subscribe, seed, most == 0 ? subscribe.size : most);
    struct span told = suback_packet(row->version, 0x0102, SPAN_NONE, bytes_of_hex(row->told));
    if (row->passed[0] == 0) {
        assert_bytes(driver_out(driver, MQTT_TO_BROKER), SPAN_NONE);
        assert_bytes(driver_answers(driver, MQTT_TO_BROKER), told);
    } else {
        assert_bytes(driver_out(driver, MQTT_TO_BROKER),
                     subscribe_packet(row->version, 0x0102, props, row->passed));
        assert_bytes(driver_answers(driver, MQTT_TO_BROKER), SPAN_NONE);
        /* The broker's properties reach the device. */
        struct span reason = row->version == 5 ? bytes_of_hex("1f 00 02 68 69") : SPAN_NONE;
        driver_feed_chopped(driver, MQTT_TO_DEVICE,
                            suback_packet(row->version, 0x0102, reason, bytes_of_hex(row->codes)), seed,
                            most == 0 ? 1000 : most);
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE),
                     suback_packet(row->version, 0x0102, reason, bytes_of_hex(row->told)));
        assert_bytes(driver_answers(driver, MQTT_TO_DEVICE), SPAN_NONE);
    }
    assert_int_equal(driver->inspector.merges.count, 0);
    driver_destroy(driver);
    packets_forget();
}

static void test_subscriptions(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof subscriptions / sizeof subscriptions[0]; i++)
        for (size_t most = 0; most < 12; most++) {
            struct span props = subscriptions[i].version == 5
                                    ? join(bytes_of_hex("0b 85 01"), user_prop("name", "value"))
                                    : SPAN_NONE;
            check_subscription(&subscriptions[i], props, &seed, most);
        }
}

static void test_subscribe_silent(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    setup.limits.is_subscribe_silent = true;
    setup.limits.max_qos = 1;
    check_passes(&setup, MQTT_TO_BROKER, subscribe_packet(MQTT_VERSION_311, 5, SPAN_NONE, "no/1:2 ok/1:0"),
                 subscribe_packet(MQTT_VERSION_311, 5, SPAN_NONE, "no/1:1 ok/1:0"), SPAN_NONE);
    packets_forget();
}

/* Only what was refused waits for its SUBACK; a lowered QoS does not. */
static void test_lowered_does_not_wait(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    setup.limits.max_qos = 0;
    struct span subscribe = subscribe_packet(MQTT_VERSION_311, 1, SPAN_NONE, "ok/a:1");
    struct span lowered = subscribe_packet(MQTT_VERSION_311, 1, SPAN_NONE, "ok/a:0");
    check_passes(&setup, MQTT_TO_BROKER, join(subscribe, subscribe), join(lowered, lowered), SPAN_NONE);
    packets_forget();
}

/* SUBSCRIBE 1, 2 and 3 partly refused; the SUBACKs come in another order, with others between them. */
static void test_several_merges(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct driver *driver = driver_open(&setup);
    for (uint16_t id = 1; id <= 3; id++)
        driver_feed(driver, MQTT_TO_BROKER,
                    subscribe_packet(MQTT_VERSION_311, id, SPAN_NONE, "ok/a:1 no/1:0"));
    driver_feed(driver, MQTT_TO_BROKER, subscribe_packet(MQTT_VERSION_311, 4, SPAN_NONE, "ok/a:1"));
    assert_int_equal(driver->inspector.merges.count, 3);
    driver_forget(driver);
    struct span in =
        bytes_of_hex("90 03 00 02 01  90 03 00 04 01  b0 02 00 03  90 03 00 03 00  90 03 00 01 80");
    struct span out =
        bytes_of_hex("90 04 00 02 01 80  90 03 00 04 01  b0 02 00 03  90 04 00 03 00 80  90 04 00 01 80 80");
    assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, in), INSPECT_MORE);
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE), out);
    assert_int_equal(driver->inspector.merges.count, 0);
    /* The same id again, now wholly allowed: nothing is merged any more. */
    driver_forget(driver);
    driver_feed(driver, MQTT_TO_DEVICE, bytes_of_hex("90 03 00 01 01"));
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE), bytes_of_hex("90 03 00 01 01"));
    driver_destroy(driver);
    packets_forget();
}

static void test_merge_trouble(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct span partly = subscribe_packet(MQTT_VERSION_311, 1, SPAN_NONE, "ok/a:1 no/1:0 ok/b:0");
    /* Too few codes, too many codes. */
    check_stream(&setup, &(struct stream){.direction = MQTT_TO_DEVICE,
                                          .before = partly,
                                          .input = bytes_of_hex("90 03 00 01 01"),
                                          .result = INSPECT_WRONG,
                                          .violation = VIOLATION_SUBACK_COUNT});
    check_stream(&setup, &(struct stream){.direction = MQTT_TO_DEVICE,
                                          .before = partly,
                                          .input = bytes_of_hex("90 05 00 01 01 01 01"),
                                          .result = INSPECT_WRONG,
                                          .violation = VIOLATION_SUBACK_COUNT});
    /* The id is in use until the answer came. */
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_BROKER, partly);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, partly), INSPECT_WRONG);
    assert_int_equal(driver->inspector.violation, VIOLATION_PACKET_ID_IN_USE);
    driver_destroy(driver);
    /* A device that never waits for its answers fills no memory. */
    driver = driver_open(&setup);
    for (uint16_t id = 1; id <= MERGE_COUNT_MAX; id++)
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER,
                                     subscribe_packet(MQTT_VERSION_311, id, SPAN_NONE, "ok/a:1 no/1:0")),
                         INSPECT_MORE);
    assert_int_equal(
        driver_feed(driver, MQTT_TO_BROKER,
                    subscribe_packet(MQTT_VERSION_311, MERGE_COUNT_MAX + 1, SPAN_NONE, "ok/a:1 no/1:0")),
        INSPECT_REFUSED);
    assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_QUOTA_EXCEEDED);
    driver_destroy(driver);
    packets_forget();
}

/* The most filters that fit, all but one refused: a SUBACK of 25,000 codes grows out of one with one. */
static void test_longest_merge(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_311, policy.acl);
    struct writer body = packets_open();
    unsigned count = 1;
    writer_u16(&body, 1);
    writer_string(&body, SPAN_LITERAL("ok"));
    writer_u8(&body, 0);
    for (; writer_size(&body) + 4 + 4 <= INSPECT_HELD_MAX; count++) {
        writer_string(&body, SPAN_LITERAL("n"));
        writer_u8(&body, 1);
    }
    struct span subscribe = packet(0x82, packets_close(&body));
    struct driver *driver = driver_open(&setup);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, subscribe), INSPECT_MORE);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER),
                 subscribe_packet(MQTT_VERSION_311, 1, SPAN_NONE, "ok:0"));
    driver_feed(driver, MQTT_TO_DEVICE, bytes_of_hex("90 03 00 01 02 d0 00"));
    struct span out = driver_out(driver, MQTT_TO_DEVICE);
    assert_int_equal(out.size, 4 + 2 + count + 2); /* header, id, codes, and the PINGRESP */
    assert_int_equal(out.at[6], 2);
    for (size_t i = 7; i < out.size - 2; i++)
        assert_int_equal(out.at[i], 0x80);
    assert_int_equal(out.at[out.size - 2], 0xd0);
    driver_destroy(driver);
    /* All refused: the longest answer of our own. */
    driver = driver_open(&setup);
    struct writer all = packets_open();
    writer_u16(&all, 1);
    for (count = 0; writer_size(&all) + 4 + 4 <= INSPECT_HELD_MAX; count++) {
        writer_string(&all, SPAN_LITERAL("n"));
        writer_u8(&all, 1);
    }
    struct span refused = packet(0x82, packets_close(&all));
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, refused), INSPECT_MORE);
    assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
    struct span answer = driver_answers(driver, MQTT_TO_BROKER);
    assert_int_equal(answer.size, 4 + 2 + count);
    assert_true(answer.size <= INSPECT_REPLY_ROOM);
    driver_destroy(driver);
    packets_forget();
}

static void test_disconnect(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    struct span bye = bytes_of_hex("e0 02 8b 00"), ping = bytes_of_hex("d0 00");
    check_stream(&setup, &(struct stream){.direction = MQTT_TO_DEVICE,
                                          .input = join(join(ping, bye), ping),
                                          .out = join(ping, bye),
                                          .result = INSPECT_GOODBYE});
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_DEVICE, bye);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, bytes_of_hex("c0 00")), INSPECT_MORE);
    assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
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
        cmocka_unit_test(test_connack_unchanged),
        cmocka_unit_test(test_connack_limits),
        cmocka_unit_test(test_connack_subscriptions),
        cmocka_unit_test(test_connack_keeps_the_rest),
        cmocka_unit_test(test_connack_assigned_client_id),
        cmocka_unit_test(test_connack_hides_the_broker_client_id),
        cmocka_unit_test(test_connack_fits_the_device),
        cmocka_unit_test(test_deliveries_fit_the_device),
        cmocka_unit_test(test_alias_with_its_topic_fits),
        cmocka_unit_test(test_answers_fit_the_device),
        cmocka_unit_test(test_connack_refusing),
        cmocka_unit_test(test_connack_chopped),
        cmocka_unit_test(test_connack_flushed),
        cmocka_unit_test(test_deliveries),
        cmocka_unit_test(test_refused_delivery_of_qos_2),
        cmocka_unit_test(test_delivery_streams),
        cmocka_unit_test(test_subscriptions),
        cmocka_unit_test(test_subscribe_silent),
        cmocka_unit_test(test_lowered_does_not_wait),
        cmocka_unit_test(test_several_merges),
        cmocka_unit_test(test_merge_trouble),
        cmocka_unit_test(test_longest_merge),
        cmocka_unit_test(test_disconnect),
    };
    return cmocka_run_group_tests_name("inspect/from_broker", tests, create_policy, destroy_policy);
}
