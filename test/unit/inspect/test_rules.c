/* The options about messages and subscriptions, held against what devices send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "inspect/rules.h"
#include "unit/inspect/conversation.h"

static struct small_policy policy;

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};
#define EACH_VERSION(version)                                                                                \
    size_t v_ = 0;                                                                                           \
    v_ < 3 && ((version) = versions[v_], true);                                                              \
    v_++

/* ---- PUBLISH ---- */

/* The same PUBLISH at every QoS: cut, and answered with that reason in version 5, between two that pass. The
 * limits are sealed here. */
static void check_refused(struct setup *setup, struct publish_fields fields, uint8_t reason, enum rule rule) {
    rules_seal(&setup->limits);
    struct span good = publish_packet(setup->version, (struct publish_fields){.topic = "ok/1"});
    fields.id = 9;
    for (uint8_t qos = 0; qos < 3; qos++) {
        fields.qos = qos;
        struct span bad = publish_packet(setup->version, fields), answer = SPAN_NONE;
        if (qos != 0)
            answer = ack_packet(setup->version, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, 9, reason);
        check_passes(setup, MQTT_TO_BROKER, join(join(good, bad), good), join(good, good), answer);
        struct driver *driver = driver_open(setup);
        driver_feed(driver, MQTT_TO_BROKER, bad);
        assert_int_equal(driver->refusals, 1);
        assert_string_equal(driver->refusal.verdict.words, rule_rows[rule].words);
        assert_int_equal(tally_read(&driver->tally.rules[rule]), 1);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_publish_refused]), 1);
        driver_destroy(driver);
    }
}

static void check_allowed(struct setup *setup, struct publish_fields fields) {
    rules_seal(&setup->limits);
    struct span publish = publish_packet(setup->version, fields);
    check_passes(setup, MQTT_TO_BROKER, publish, publish, SPAN_NONE);
}

static void test_topic_rules(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, NULL);
        setup.limits.topics.max_length = 6;
        check_allowed(&setup, (struct publish_fields){.topic = "ok/345"});
        check_refused(&setup, (struct publish_fields){.topic = "ok/3456"}, 0x90, RULE_TOPIC_LENGTH);
        setup = setup_of(version, NULL);
        setup.limits.topics.max_levels = 2;
        check_allowed(&setup, (struct publish_fields){.topic = "ok/"});
        check_refused(&setup, (struct publish_fields){.topic = "ok//"}, 0x90, RULE_TOPIC_LEVELS);
        setup = setup_of(version, NULL);
        topic_rules_forbid(&setup.limits.topics, SPAN_LITERAL("."));
        check_allowed(&setup, (struct publish_fields){.topic = "ok/a"});
        check_refused(&setup, (struct publish_fields){.topic = "ok.a"}, 0x90, RULE_TOPIC_CHARS);
        setup = setup_of(version, NULL);
        check_allowed(&setup, (struct publish_fields){.topic = "$CONTROL/a"});
        setup.limits.topics.is_dollar_refused = true;
        check_refused(&setup, (struct publish_fields){.topic = "$CONTROL/a"}, 0x90, RULE_TOPIC_DOLLAR);
        packets_forget();
    }
}

/* What an alias stands for is judged, not the empty topic. */
static void test_topic_rules_with_aliases(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    setup.connack_props = bytes_of_hex("22 00 05");
    setup.limits.topics.max_length = 6;
    rules_seal(&setup.limits);
    struct publish_fields set = {.qos = 1, .id = 1, .topic = "too/long", .props = alias_prop(1)};
    struct publish_fields use = {.qos = 1, .id = 2, .topic = "", .props = alias_prop(1)};
    struct span input = join(publish_packet(MQTT_VERSION_5, set), publish_packet(MQTT_VERSION_5, use));
    check_passes(&setup, MQTT_TO_BROKER, input, SPAN_NONE,
                 join(ack_packet(MQTT_VERSION_5, MQTT_PUBACK, 1, 0x90),
                      ack_packet(MQTT_VERSION_5, MQTT_PUBACK, 2, 0x90)));
    packets_forget();
}

/* 0x9A is no reason that a PUBACK or PUBREC may have (MQTT 5.0 3.4.2.1). */
static void test_retain_refuse(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.retain_policy = RETAIN_REFUSE;
        check_allowed(&setup, (struct publish_fields){.topic = "ok/1"});
        check_refused(&setup, (struct publish_fields){.topic = "ok/1", .retain = true}, 0x87, RULE_RETAIN);
        setup.limits.is_deny_disconnect = true;
        struct driver *driver = driver_open(&setup);
        struct span retained =
            publish_packet(version, (struct publish_fields){.topic = "ok/1", .retain = true});
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, retained), INSPECT_REFUSED);
        assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_RETAIN_NOT_SUPPORTED);
        driver_destroy(driver);
        packets_forget();
    }
}

/* One bit of the bytes that pass changes. */
static void test_retain_strip(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.retain_policy = RETAIN_STRIP;
        rules_seal(&setup.limits);
        struct span input = SPAN_NONE, out = SPAN_NONE;
        for (uint8_t qos = 0; qos < 3; qos++) {
            struct publish_fields fields = {.qos = qos,
                                            .id = 5,
                                            .topic = "ok/1",
                                            .retain = true,
                                            .dup = qos != 0,
                                            .payload = SPAN_LITERAL("payload")};
            input = join(input, publish_packet(version, fields));
            fields.retain = false;
            out = join(out, publish_packet(version, fields));
            input = join(input, publish_packet(version, fields)); /* without it nothing changes */
            out = join(out, publish_packet(version, fields));
        }
        check_passes(&setup, MQTT_TO_BROKER, input, out, SPAN_NONE);
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_BROKER, input);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_retain_stripped]), 3);
        assert_int_equal(driver->refusals, 0);
        driver_destroy(driver);
        /* one behind the other, so that none is taken for its neighbour */
        struct publish_fields same = {.topic = "ok/1", .payload = SPAN_LITERAL("same")};
        struct span plain = publish_packet(version, same);
        same.retain = true;
        struct span kept = publish_packet(version, same);
        check_passes(&setup, MQTT_TO_BROKER,
                     join(join(kept, kept), join(join(plain, plain), join(kept, kept))),
                     join(join(plain, plain), join(join(plain, plain), join(plain, plain))), SPAN_NONE);
        /* it is a rule for devices: what is delivered keeps its flag */
        struct span delivered =
            publish_packet(version, (struct publish_fields){.topic = "ok/1", .retain = true});
        check_passes(&setup, MQTT_TO_DEVICE, delivered, delivered, SPAN_NONE);
        /* retain_available false goes first, as in mosquitto */
        setup.limits.retain_available = false;
        check_wrong(&setup, MQTT_TO_BROKER, input, SPAN_NONE, VIOLATION_RETAIN_NOT_SUPPORTED);
        packets_forget();
    }
}

/* A head that is rewritten, because the broker does not know its alias, loses the flag too. */
static void test_retain_strip_with_aliases(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.connack_props = bytes_of_hex("22 00 05");
    setup.limits.retain_policy = RETAIN_STRIP;
    setup.limits.message_size_limit = 3;
    rules_seal(&setup.limits);
    struct publish_fields set = {
        .topic = "ok/1", .props = alias_prop(1), .payload = SPAN_LITERAL("long"), .retain = true};
    struct publish_fields use = {
        .topic = "", .props = alias_prop(1), .payload = SPAN_LITERAL("yes"), .retain = true};
    struct publish_fields told = {.topic = "ok/1", .props = alias_prop(1), .payload = SPAN_LITERAL("yes")};
    check_passes(&setup, MQTT_TO_BROKER,
                 join(publish_packet(MQTT_VERSION_5, set), publish_packet(MQTT_VERSION_5, use)),
                 publish_packet(MQTT_VERSION_5, told), SPAN_NONE);
    packets_forget();
}

static struct span response_prop(const char *topic) {
    struct writer writer = packets_open();
    writer_u8(&writer, 0x08);
    writer_string(&writer, span_of_text(topic));
    return packets_close(&writer);
}

static void test_response_topic(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    struct publish_fields mine = {.topic = "ok/1", .props = response_prop("out/answers")};
    struct publish_fields denied = {.topic = "ok/1", .props = response_prop("ok/secret")};
    struct publish_fields alien = {.topic = "ok/1", .props = response_prop("in/answers")};
    check_allowed(&setup, alien); /* nobody asked */
    setup.limits.is_response_topic_judged = true;
    check_allowed(&setup, mine);
    check_refused(&setup, denied, 0x87, RULE_RESPONSE_TOPIC);
    check_refused(&setup, alien, 0x87, RULE_RESPONSE_TOPIC);
    /* the line that forbids it is named */
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_BROKER, publish_packet(MQTT_VERSION_5, denied));
    assert_string_equal(driver->refusal.verdict.file, "acl");
    assert_int_equal(driver->refusal.verdict.line, 4);
    driver_destroy(driver);
    /* and it is a topic like any other */
    setup.limits.is_response_topic_judged = false;
    setup.limits.topics.max_length = 6;
    check_refused(&setup, denied, 0x90, RULE_TOPIC_LENGTH);
    packets_forget();
}

static void test_user_properties(void **state) {
    (void)state;
    struct span two = join(user_prop("a", "12"), user_prop("bc", "")), three = join(two, user_prop("", "x"));
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.limits.max_user_properties = 2;
    check_allowed(&setup, (struct publish_fields){.topic = "ok/1", .props = two});
    check_refused(&setup, (struct publish_fields){.topic = "ok/1", .props = three}, 0x97,
                  RULE_USER_PROPERTIES);
    /* names and values together; other properties do not count */
    setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.limits.max_user_properties_size = 5;
    struct span other = response_prop("a/long/response/topic");
    check_allowed(&setup, (struct publish_fields){.topic = "ok/1", .props = join(two, other)});
    check_refused(&setup, (struct publish_fields){.topic = "ok/1", .props = join(other, three)}, 0x97,
                  RULE_USER_PROPERTIES_SIZE);
    packets_forget();
}

static void test_deny_disconnect(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.is_deny_disconnect = true;
        setup.limits.topics.max_length = 6;
        rules_seal(&setup.limits);
        struct driver *driver = driver_open(&setup);
        struct span bad = publish_packet(version, (struct publish_fields){.topic = "ok/3456"});
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, bad), INSPECT_REFUSED);
        assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_TOPIC_NAME_INVALID);
        assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
        driver_destroy(driver);
        packets_forget();
    }
}

/* ---- SUBSCRIBE ---- */

/* One filter that passes and one that does not: the broker sees the first, and its SUBACK is completed. All
 * refused: it sees nothing. */
static void check_filter(struct setup *setup, const char *good, const char *bad, uint8_t code,
                         enum rule rule) {
    enum mqtt_version version = setup->version;
    uint8_t told = version == MQTT_VERSION_5 ? code : 0x80;
    const uint8_t both_codes[] = {0, told, 0}, bad_code[] = {told};
    char filters[256];
    snprintf(filters, sizeof filters, "%s %s %s", good, bad, good);
    struct span input = subscribe_packet(version, 7, SPAN_NONE, filters);
    snprintf(filters, sizeof filters, "%s %s", good, good);
    struct span out = subscribe_packet(version, 7, SPAN_NONE, filters);
    check_passes(setup, MQTT_TO_BROKER, input, out, SPAN_NONE);
    const uint8_t granted[] = {0, 0};
    check_stream(setup, &(struct stream){.direction = MQTT_TO_DEVICE,
                                         .before = input,
                                         .input = suback_packet(version, 7, SPAN_NONE, span_of(granted, 2)),
                                         .out = suback_packet(version, 7, SPAN_NONE, span_of(both_codes, 3)),
                                         .result = INSPECT_MORE});
    input = subscribe_packet(version, 7, SPAN_NONE, bad);
    check_passes(setup, MQTT_TO_BROKER, input, SPAN_NONE,
                 suback_packet(version, 7, SPAN_NONE, span_of(bad_code, 1)));
    struct driver *driver = driver_open(setup);
    driver_feed(driver, MQTT_TO_BROKER, input);
    assert_int_equal(driver->refusals, 1);
    assert_string_equal(driver->refusal.verdict.words, rule_rows[rule].words);
    assert_int_equal(tally_read(&driver->tally.rules[rule]), 1);
    assert_int_equal(tally_read(&driver->tally.rows[METRIC_subscribe_refused]), 1);
    driver_destroy(driver);
}

static void check_filters_pass(struct setup *setup, const char *filters) {
    struct span packet_ = subscribe_packet(setup->version, 7, SPAN_NONE, filters);
    check_passes(setup, MQTT_TO_BROKER, packet_, packet_, SPAN_NONE);
}

static void test_filter_rules(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, NULL);
        setup.limits.topics.max_length = 6;
        check_filter(&setup, "ok/345:0", "ok/3456:0", 0x8F, RULE_TOPIC_LENGTH);
        setup = setup_of(version, NULL);
        setup.limits.topics.max_levels = 2;
        check_filter(&setup, "ok/+:0", "ok/+/#:0", 0x8F, RULE_TOPIC_LEVELS);
        setup = setup_of(version, NULL);
        topic_rules_forbid(&setup.limits.topics, SPAN_LITERAL("."));
        check_filter(&setup, "ok/a:0", "ok.a:0", 0x8F, RULE_TOPIC_CHARS);
        setup = setup_of(version, NULL);
        setup.limits.topics.is_dollar_refused = true;
        check_filter(&setup, "$share/g/a:0", "$SYS/#:0", 0x8F, RULE_TOPIC_DOLLAR);
        setup = setup_of(version, NULL);
        setup.limits.wildcard_subscriptions = false;
        check_filter(&setup, "a/b:0", "a/+:0", 0xA2, RULE_WILDCARD);
        check_filter(&setup, "$share/g/b:0", "$share/g/#:0", 0xA2, RULE_WILDCARD);
        setup = setup_of(version, NULL);
        setup.limits.min_wildcard_levels = 2;
        check_filter(&setup, "a/b/#:0", "a/+/b:0", 0x8F, RULE_WILDCARD_LEVELS);
        check_filter(&setup, "a:0", "#:0", 0x8F, RULE_WILDCARD_LEVELS);
        check_filter(&setup, "$share/g/a/b/+:0", "$share/g/a/+:0", 0x8F, RULE_WILDCARD_LEVELS);
        setup = setup_of(version, NULL);
        setup.limits.shared_subscriptions = false;
        check_filter(&setup, "a/#:0", "$share/g/a:0", 0x9E, RULE_SHARED);
        /* the options rule what acl_subscribe silent does not */
        setup.limits.is_subscribe_silent = true;
        check_filter(&setup, "a/#:0", "$share/g/a:0", 0x9E, RULE_SHARED);
        packets_forget();
    }
}

static void test_filter_options(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    check_filters_pass(&setup, "a:04 a:08 a:10 a:20 a:2c");
    setup.limits.refused_options = 0x04;
    check_filters_pass(&setup, "a:08 a:10 a:20");
    check_filter(&setup, "a:28", "a:2c", 0x83, RULE_NO_LOCAL);
    setup.limits.refused_options = 0x08;
    check_filters_pass(&setup, "a:04 a:10 a:20");
    check_filter(&setup, "a:24", "a:08", 0x83, RULE_RETAIN_AS_PUBLISHED);
    setup.limits.refused_options = 0x30;
    check_filters_pass(&setup, "a:04 a:08 a:0c");
    check_filter(&setup, "a:0c", "a:10", 0x83, RULE_RETAIN_HANDLING);
    check_filter(&setup, "a:0c", "a:20", 0x83, RULE_RETAIN_HANDLING);
    packets_forget();
}

/* What is wrong with the packet as a whole is said of each filter. */
static void test_whole_subscribe(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, NULL);
    struct span identifier = bytes_of_hex("0b 07"), users = join(user_prop("a", "b"), user_prop("c", "d"));
    const uint8_t a1[] = {0xA1, 0xA1}, x97[] = {0x97, 0x97};
    setup.limits.subscription_identifiers = false;
    check_filters_pass(&setup, "a:0 b:1");
    check_passes(&setup, MQTT_TO_BROKER, subscribe_packet(MQTT_VERSION_5, 7, identifier, "a:0 b:1"),
                 SPAN_NONE, suback_packet(MQTT_VERSION_5, 7, SPAN_NONE, span_of(a1, 2)));
    setup = setup_of(MQTT_VERSION_5, NULL);
    setup.limits.max_user_properties = 1;
    check_passes(&setup, MQTT_TO_BROKER, subscribe_packet(MQTT_VERSION_5, 7, users, "a:0 b:1"), SPAN_NONE,
                 suback_packet(MQTT_VERSION_5, 7, SPAN_NONE, span_of(x97, 2)));
    setup.limits.max_user_properties = 2;
    setup.limits.max_user_properties_size = 3;
    check_passes(&setup, MQTT_TO_BROKER, subscribe_packet(MQTT_VERSION_5, 7, users, "a:0 b:1"), SPAN_NONE,
                 suback_packet(MQTT_VERSION_5, 7, SPAN_NONE, span_of(x97, 2)));
    packets_forget();
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        setup = setup_of(version, NULL);
        setup.limits.max_filters_per_subscribe = 2;
        check_filters_pass(&setup, "a:0 b:1");
        uint8_t code = version == MQTT_VERSION_5 ? 0x97 : 0x80;
        const uint8_t codes[] = {code, code, code};
        check_passes(&setup, MQTT_TO_BROKER, subscribe_packet(version, 7, SPAN_NONE, "a:0 b:1 c:2"),
                     SPAN_NONE, suback_packet(version, 7, SPAN_NONE, span_of(codes, 3)));
        packets_forget();
    }
}

/* ---- max_subscriptions ---- */

static struct span unsubscribe_of(enum mqtt_version version, uint16_t id, struct span props,
                                  const char *filter) {
    struct writer body = packets_open();
    writer_u16(&body, id);
    write_props(&body, version, props);
    writer_string(&body, span_of_text(filter));
    return packet(0xA2, packets_close(&body));
}

static struct span unsuback_of(enum mqtt_version version, uint16_t id, uint8_t code) {
    struct writer writer = packets_open();
    mqtt_write_suback(&writer, version, MQTT_UNSUBACK, id, span_of(&code, 1));
    return packets_close(&writer);
}

/* Subscribes one filter, and the broker answers with `granted`. Gives the code that the device hears. */
static uint8_t subscribe_one(struct driver *driver, uint16_t id, const char *filter, uint8_t granted) {
    enum mqtt_version version = driver->inspector.version;
    char text[64];
    snprintf(text, sizeof text, "%s:0", filter);
    driver_forget(driver);
    driver_feed(driver, MQTT_TO_BROKER, subscribe_packet(version, id, SPAN_NONE, text));
    struct span answer = driver_answers(driver, MQTT_TO_BROKER);
    if (answer.size == 0) {
        driver_feed(driver, MQTT_TO_DEVICE, suback_packet(version, id, SPAN_NONE, span_of(&granted, 1)));
        answer = driver_out(driver, MQTT_TO_DEVICE);
    }
    assert_int_equal(answer.at[0], 0x90);
    return answer.at[answer.size - 1];
}

static void unsubscribe_one(struct driver *driver, uint16_t id, const char *filter, uint8_t code) {
    enum mqtt_version version = driver->inspector.version;
    struct span unsubscribe = unsubscribe_of(version, id, SPAN_NONE, filter);
    struct span unsuback = unsuback_of(version, id, code);
    driver_forget(driver);
    driver_feed(driver, MQTT_TO_BROKER, unsubscribe);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), unsubscribe);
    driver_feed(driver, MQTT_TO_DEVICE, unsuback);
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE), unsuback);
}

static void test_max_subscriptions(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        uint8_t full = version == MQTT_VERSION_5 ? 0x97 : 0x80;
        setup.limits.max_subscriptions = 2;
        struct driver *driver = driver_open(&setup);
        assert_int_equal(subscribe_one(driver, 1, "ok/a", 0), 0);
        assert_int_equal(subscribe_one(driver, 2, "ok/a", 1), 1); /* the same again */
        assert_int_equal(subscribe_one(driver, 3, "no/a", 0), version == MQTT_VERSION_5 ? 0x87 : 0x80);
        assert_int_equal(subscribe_one(driver, 4, "ok/b", 0x80), 0x80); /* the broker refused: not counted */
        assert_int_equal(subscribe_one(driver, 5, "ok/c", 0), 0);
        assert_int_equal(subscribe_one(driver, 6, "ok/d", 0), full);
        assert_int_equal(subscribe_one(driver, 7, "ok/c", 0), 0);
        unsubscribe_one(driver, 8, "ok/x", 0); /* was never there */
        assert_int_equal(subscribe_one(driver, 9, "ok/d", 0), full);
        unsubscribe_one(driver, 10, "ok/a", 0);
        assert_int_equal(subscribe_one(driver, 11, "$share/g/ok/c", 0), 0); /* another than ok/c */
        assert_int_equal(subscribe_one(driver, 12, "ok/a", 0), full);
        assert_int_equal(tally_read(&driver->tally.rules[RULE_SUBSCRIPTIONS]), 3);
        assert_int_equal(driver->inspector.merges.count, 0);
        /* a reload can lower the limit, lift it, and set it again */
        driver->inspector.limits.max_subscriptions = 1;
        unsubscribe_one(driver, 13, "ok/c", 0);
        assert_int_equal(subscribe_one(driver, 14, "ok/a", 0), full);
        driver->inspector.limits.max_subscriptions = 0;
        for (uint16_t i = 0; i < 10; i++)
            assert_int_equal(subscribe_one(driver, (uint16_t)(20 + i), "ok/e", 0), 0);
        assert_int_equal(driver->inspector.subscriptions.count, 0);
        driver->inspector.limits.max_subscriptions = 1;
        assert_int_equal(subscribe_one(driver, 30, "ok/a", 0), 0);
        driver_destroy(driver);
        packets_forget();
    }
}

/* A device that swaps one for another need not wait for the UNSUBACK. */
static void test_max_subscriptions_without_waiting(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.max_subscriptions = 1;
        struct span a = subscribe_packet(version, 1, SPAN_NONE, "ok/a:0");
        struct span b = subscribe_packet(version, 3, SPAN_NONE, "ok/b:0");
        struct span input = join(join(a, unsubscribe_of(version, 2, SPAN_NONE, "ok/a")), b);
        check_passes(&setup, MQTT_TO_BROKER, input, input, SPAN_NONE);
        packets_forget();
    }
}

/* Within one packet the first are served; the SUBACK is put together. */
static void test_max_subscriptions_in_one_packet(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.max_subscriptions = 2;
        uint8_t full = version == MQTT_VERSION_5 ? 0x97 : 0x80;
        struct span input = subscribe_packet(version, 7, SPAN_NONE, "ok/a:0 ok/b:1 ok/c:2 ok/a:2 ok/d:0");
        check_passes(&setup, MQTT_TO_BROKER, input,
                     subscribe_packet(version, 7, SPAN_NONE, "ok/a:0 ok/b:1 ok/a:2"), SPAN_NONE);
        const uint8_t granted[] = {0, 0x80, 2}, codes[] = {0, 0x80, full, 2, full};
        check_stream(&setup,
                     &(struct stream){.direction = MQTT_TO_DEVICE,
                                      .before = input,
                                      .input = suback_packet(version, 7, SPAN_NONE, span_of(granted, 3)),
                                      .out = suback_packet(version, 7, SPAN_NONE, span_of(codes, 5)),
                                      .result = INSPECT_MORE});
        /* ok/b was refused by the broker, so there is room for one */
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_BROKER, input);
        driver_feed(driver, MQTT_TO_DEVICE, suback_packet(version, 7, SPAN_NONE, span_of(granted, 3)));
        assert_int_equal(driver->inspector.subscriptions.count, 1);
        assert_int_equal(subscribe_one(driver, 8, "ok/c", 0), 0);
        assert_int_equal(subscribe_one(driver, 9, "ok/d", 0), full);
        driver_destroy(driver);
        /* a SUBACK with another number of codes is the broker's fault */
        check_stream(&setup,
                     &(struct stream){.direction = MQTT_TO_DEVICE,
                                      .before = subscribe_packet(version, 7, SPAN_NONE, "ok/a:0"),
                                      .input = suback_packet(version, 7, SPAN_NONE, span_of(granted, 3)),
                                      .result = INSPECT_WRONG,
                                      .violation = VIOLATION_SUBACK_COUNT});
        packets_forget();
    }
}

/* Version 5 can refuse an UNSUBSCRIBE: the filter still counts. */
static void test_max_subscriptions_refused_unsubscribe(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.limits.max_subscriptions = 1;
    struct driver *driver = driver_open(&setup);
    assert_int_equal(subscribe_one(driver, 1, "ok/a", 0), 0);
    unsubscribe_one(driver, 2, "ok/a", 0x87);
    assert_int_equal(subscribe_one(driver, 3, "ok/b", 0), 0x97);
    unsubscribe_one(driver, 4, "ok/a", 0x11);
    assert_int_equal(subscribe_one(driver, 5, "ok/b", 0), 0);
    assert_int_equal(driver->inspector.merges.count, 0);
    /* the packet id of one that waits for its answer is taken */
    driver_feed(driver, MQTT_TO_BROKER, unsubscribe_of(MQTT_VERSION_5, 6, SPAN_NONE, "ok/b"));
    assert_int_equal(
        driver_feed(driver, MQTT_TO_BROKER, subscribe_packet(MQTT_VERSION_5, 6, SPAN_NONE, "ok/c:0")),
        INSPECT_WRONG);
    assert_int_equal(driver->inspector.violation, VIOLATION_PACKET_ID_IN_USE);
    driver_destroy(driver);
    packets_forget();
}

/* ---- what no rule may do ---- */

static void test_unsubscribe_passes(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.topics =
            (struct topic_rules){.is_dollar_refused = true, .max_length = 1, .max_levels = 1};
        setup.limits.wildcard_subscriptions = setup.limits.shared_subscriptions = false;
        setup.limits.max_filters_per_subscribe = 1;
        rules_seal(&setup.limits);
        static const char *const filters[] = {"no/way", "#", "$SYS/#", "$share/g/#"};
        for (size_t i = 0; i < 4; i++) {
            struct span unsubscribe = unsubscribe_of(version, 7, SPAN_NONE, filters[i]);
            check_passes(&setup, MQTT_TO_BROKER, unsubscribe, unsubscribe, SPAN_NONE);
        }
        packets_forget();
    }
    /* User properties beyond the limit stay here. */
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.limits.max_user_properties = 1;
    struct span one = user_prop("a", "b"), two = join(one, one);
    struct span fits = unsubscribe_of(MQTT_VERSION_5, 7, one, "a");
    check_passes(&setup, MQTT_TO_BROKER, fits, fits, SPAN_NONE);
    check_passes(&setup, MQTT_TO_BROKER, unsubscribe_of(MQTT_VERSION_5, 7, two, "a"),
                 unsubscribe_of(MQTT_VERSION_5, 7, SPAN_NONE, "a"), SPAN_NONE);
    packets_forget();
}

/* The SUBACK never says more than max_qos, whatever the broker grants. */
static void test_granted_qos(void **state) {
    (void)state;
    enum mqtt_version version;
    for (EACH_VERSION(version)) {
        struct setup setup = setup_of(version, policy.acl);
        setup.limits.max_qos = 1;
        const uint8_t granted[] = {0, 1, 2, 0x80}, told[] = {0, 1, 1, 0x80};
        check_passes(&setup, MQTT_TO_DEVICE, suback_packet(version, 7, SPAN_NONE, span_of(granted, 4)),
                     suback_packet(version, 7, SPAN_NONE, span_of(told, 4)), SPAN_NONE);
        struct span input = subscribe_packet(version, 7, SPAN_NONE, "ok/a:2 no/a:2");
        check_passes(&setup, MQTT_TO_BROKER, input, subscribe_packet(version, 7, SPAN_NONE, "ok/a:1"),
                     SPAN_NONE);
        const uint8_t two[] = {2}, both[] = {1, version == MQTT_VERSION_5 ? 0x87 : 0x80};
        check_stream(&setup, &(struct stream){.direction = MQTT_TO_DEVICE,
                                              .before = input,
                                              .input = suback_packet(version, 7, SPAN_NONE, span_of(two, 1)),
                                              .out = suback_packet(version, 7, SPAN_NONE, span_of(both, 2)),
                                              .result = INSPECT_MORE});
        packets_forget();
    }
}

/* Version 5 is told that nothing is retained, so that it need not find out. */
static void test_connack_of_retain_refuse(void **state) {
    (void)state;
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    setup.limits.retain_policy = RETAIN_REFUSE;
    struct driver *driver = driver_connect(&setup);
    driver_forget(driver);
    driver_feed(driver, MQTT_TO_DEVICE, connack_packet(MQTT_VERSION_5, 0, SPAN_NONE));
    assert_bytes(driver_out(driver, MQTT_TO_DEVICE),
                 connack_packet(MQTT_VERSION_5, 0, bytes_of_hex("25 00")));
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
        cmocka_unit_test(test_topic_rules),
        cmocka_unit_test(test_topic_rules_with_aliases),
        cmocka_unit_test(test_retain_refuse),
        cmocka_unit_test(test_retain_strip),
        cmocka_unit_test(test_retain_strip_with_aliases),
        cmocka_unit_test(test_response_topic),
        cmocka_unit_test(test_user_properties),
        cmocka_unit_test(test_deny_disconnect),
        cmocka_unit_test(test_filter_rules),
        cmocka_unit_test(test_filter_options),
        cmocka_unit_test(test_whole_subscribe),
        cmocka_unit_test(test_max_subscriptions),
        cmocka_unit_test(test_max_subscriptions_without_waiting),
        cmocka_unit_test(test_max_subscriptions_in_one_packet),
        cmocka_unit_test(test_max_subscriptions_refused_unsubscribe),
        cmocka_unit_test(test_unsubscribe_passes),
        cmocka_unit_test(test_granted_qos),
        cmocka_unit_test(test_connack_of_retain_refuse),
    };
    return cmocka_run_group_tests_name("inspect/rules", tests, create_policy, destroy_policy);
}
