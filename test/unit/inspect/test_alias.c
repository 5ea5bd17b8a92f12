/* Topic aliases: the map itself, and both ways of the inspector with packets that are kept back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/conversation.h"

static struct small_policy policy;

/* ---- the map ---- */

static void test_map(void **state) {
    (void)state;
    struct alias_map map = {.max = 20};
    assert_null(alias_find(&map, 0));
    assert_null(alias_find(&map, 1));
    assert_null(alias_find(&map, 65535));
    assert_false(alias_set(&map, 0, SPAN_LITERAL("a"), true));
    assert_false(alias_set(&map, 21, SPAN_LITERAL("a"), true));
    assert_true(alias_set(&map, 20, SPAN_LITERAL("twenty"), false));
    assert_null(alias_find(&map, 19));
    assert_null(alias_find(&map, 21));
    struct alias_entry *entry = alias_find(&map, 20);
    assert_non_null(entry);
    assert_bytes(span_of(entry->topic, entry->size), SPAN_LITERAL("twenty"));
    assert_false(entry->is_known);
    /* Known once, the same topic stays known; another topic is as known as is said. */
    assert_true(alias_set(&map, 20, SPAN_LITERAL("twenty"), true));
    assert_true(alias_set(&map, 20, SPAN_LITERAL("twenty"), false));
    assert_true(alias_find(&map, 20)->is_known);
    assert_true(alias_set(&map, 20, SPAN_LITERAL("other"), false));
    assert_false(alias_find(&map, 20)->is_known);
    assert_int_equal(map.bytes, 5);
    assert_true(alias_set(&map, 1, SPAN_LITERAL("one"), true));
    assert_int_equal(map.bytes, 8);
    alias_clear(&map);
    assert_null(alias_find(&map, 20));
    assert_int_equal(map.bytes, 0);
    assert_int_equal(map.max, 20);
    assert_true(alias_set(&map, 20, SPAN_LITERAL("again"), true));
    alias_clear(&map);
}

static void test_map_full_range(void **state) {
    (void)state;
    struct alias_map map = {.max = 65535};
    char text[16];
    for (unsigned i = 65535; i >= 1; i--) {
        int size = snprintf(text, sizeof text, "%u", i);
        assert_true(alias_set(&map, (uint16_t)i, span_of(text, (size_t)size), i % 2 == 0));
    }
    for (unsigned i = 1; i <= 65535; i++) {
        const struct alias_entry *entry = alias_find(&map, (uint16_t)i);
        int size = snprintf(text, sizeof text, "%u", i);
        assert_true(span_is_equal(span_of(entry->topic, entry->size), span_of(text, (size_t)size)));
        assert_int_equal(entry->is_known, i % 2 == 0);
    }
    alias_clear(&map);
}

/* A device with 65,535 aliases of 65,535 bytes would take 4 GiB. */
static void test_map_bound(void **state) {
    (void)state;
    struct alias_map map = {.max = 65535};
    static uint8_t topic[65535];
    memset(topic, 't', sizeof topic);
    unsigned count = 0;
    while (alias_set(&map, (uint16_t)(count + 1), span_of(topic, sizeof topic), true))
        count++;
    assert_int_equal(count, ALIAS_BYTES_MAX / 65535);
    assert_true(map.bytes <= ALIAS_BYTES_MAX);
    assert_null(alias_find(&map, (uint16_t)(count + 1)));
    /* What is full may still change to something shorter, and then has room again. */
    assert_true(alias_set(&map, 1, SPAN_LITERAL("short"), true));
    assert_true(alias_set(&map, (uint16_t)(count + 1), span_of(topic, sizeof topic - 5), true));
    alias_clear(&map);
}

/* ---- both ways ---- */

static struct setup alias_setup(enum mqtt_direction direction, uint16_t max) {
    struct setup setup = setup_of(MQTT_VERSION_5, policy.acl);
    struct writer writer = packets_open();
    writer_u8(&writer, 0x22);
    writer_u16(&writer, max);
    if (direction == MQTT_TO_BROKER)
        setup.connack_props = packets_close(&writer);
    else
        setup.connect_props = packets_close(&writer);
    return setup;
}

/* A PUBLISH with alias; `topic` "" makes it bare. */
static struct span publish(const char *topic, uint16_t alias, const char *payload) {
    return publish_packet(MQTT_VERSION_5, (struct publish_fields){.topic = topic,
                                                                  .props = alias_prop(alias),
                                                                  .payload = span_of_text(payload)});
}

struct alias_case {
    const char *name;
    struct {
        const char *topic;
        uint16_t alias;
    } in[6];
    struct {
        const char *topic; /* NULL: cut out */
        uint16_t alias;
    } out[6];
};

/* ok/... passes both ways, no/... neither, and both with every alias. */
static const struct alias_case alias_cases[] = {
    {"taught and used",
     {{"ok/1", 1}, {"", 1}, {"ok/2", 2}, {"", 1}, {"", 2}},
     {{"ok/1", 1}, {"", 1}, {"ok/2", 2}, {"", 1}, {"", 2}}},
    {"a forbidden topic behind an alias",
     {{"no/1", 1}, {"", 1}, {"", 1}, {"ok/1", 2}, {"", 2}},
     {{NULL, 0}, {NULL, 0}, {NULL, 0}, {"ok/1", 2}, {"", 2}}},
    {"changed from allowed to forbidden and back",
     {{"ok/1", 1}, {"no/1", 1}, {"", 1}, {"ok/1", 1}, {"", 1}},
     {{"ok/1", 1}, {NULL, 0}, {NULL, 0}, {"ok/1", 1}, {"", 1}}},
    {"changed and taught anew",
     {{"ok/1", 65}, {"", 65}, {"ok/2", 65}, {"", 65}, {"ok/1", 65}, {"", 65}},
     {{"ok/1", 65}, {"", 65}, {"ok/2", 65}, {"", 65}, {"ok/1", 65}, {"", 65}}},
};

static void check_alias_case(const struct alias_case *row, enum mqtt_direction direction) {
    struct setup setup = alias_setup(direction, 65);
    struct span in = SPAN_NONE, out = SPAN_NONE;
    for (size_t i = 0; i < 6 && row->in[i].topic != NULL; i++) {
        in = join(in, publish(row->in[i].topic, row->in[i].alias, "payload"));
        if (row->out[i].topic != NULL)
            out = join(out, publish(row->out[i].topic, row->out[i].alias, "payload"));
    }
    check_passes(&setup, direction, in, out, SPAN_NONE);
    packets_forget();
}

static void test_alias_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof alias_cases / sizeof alias_cases[0]; i++) {
        check_alias_case(&alias_cases[i], MQTT_TO_BROKER);
        check_alias_case(&alias_cases[i], MQTT_TO_DEVICE);
    }
}

/* The packet that taught the alias was cut out for another reason than its topic: the next one with the bare
 * alias brings the topic, and only that one. */
static void test_topic_put_in(void **state) {
    (void)state;
    struct setup setup = alias_setup(MQTT_TO_BROKER, 10);
    setup.limits.message_size_limit = 8;
    struct span props = join(user_prop("a", "b"), alias_prop(3));
    struct publish_fields bare = {
        .qos = 1, .id = 77, .topic = "", .retain = true, .props = props, .payload = SPAN_LITERAL("8 bytes!")};
    struct publish_fields full = bare;
    full.topic = "ok/long/topic";
    struct span cut = publish("ok/long/topic", 3, "too long a payload");
    struct span in = publish_packet(MQTT_VERSION_5, bare);
    check_passes(&setup, MQTT_TO_BROKER, join(cut, join(in, in)),
                 join(publish_packet(MQTT_VERSION_5, full), in), SPAN_NONE);
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_BROKER, join(cut, join(in, in)));
    assert_int_equal(tally_read(&driver->tally.rows[METRIC_packets_rewritten]), 1);
    driver_destroy(driver);
    packets_forget();
}

/* The remaining length grows by a byte when the topic is put in. */
static void test_topic_put_in_at_the_edge_of_the_length(void **state) {
    (void)state;
    for (size_t payload_size = 100; payload_size < 140; payload_size++) {
        struct setup setup = alias_setup(MQTT_TO_BROKER, 1);
        setup.limits.message_size_limit = 200;
        static char payload[256];
        memset(payload, 'p', sizeof payload - 1);
        payload[payload_size] = 0;
        struct span bare = publish("", 1, payload), full = publish("ok/1", 1, payload);
        memset(payload, 'q', 250);
        struct span cut = publish("ok/1", 1, payload), ping = bytes_of_hex("c0 00");
        for (size_t spare = 0; spare < 8; spare++) {
            struct driver *driver = driver_open(&setup);
            driver->spare = spare;
            driver_feed(driver, MQTT_TO_BROKER, cut);
            driver_feed(driver, MQTT_TO_BROKER, join(bare, ping));
            assert_bytes(driver_out(driver, MQTT_TO_BROKER), join(full, ping));
            driver_destroy(driver);
        }
        packets_forget();
    }
}

static void test_alias_wrong(void **state) {
    (void)state;
    const enum mqtt_direction directions[] = {MQTT_TO_BROKER, MQTT_TO_DEVICE};
    for (size_t i = 0; i < 2; i++) {
        struct setup setup = alias_setup(directions[i], 10), without = setup_of(MQTT_VERSION_5, policy.acl);
        struct span good = publish("ok/1", 10, "");
        check_passes(&setup, directions[i], good, good, SPAN_NONE);
        check_wrong(&setup, directions[i], join(good, publish("ok/1", 11, "")), good, VIOLATION_TOPIC_ALIAS);
        check_wrong(&setup, directions[i], join(good, publish("", 9, "")), good, VIOLATION_TOPIC_ALIAS);
        /* Who has not been told a maximum may use none. */
        check_wrong(&without, directions[i], publish("ok/1", 1, ""), SPAN_NONE, VIOLATION_TOPIC_ALIAS);
        packets_forget();
    }
}

/* The two ways have aliases of their own. */
static void test_ways_are_apart(void **state) {
    (void)state;
    struct setup setup = alias_setup(MQTT_TO_BROKER, 5);
    setup.connect_props = bytes_of_hex("22 00 05");
    struct driver *driver = driver_open(&setup);
    driver_feed(driver, MQTT_TO_BROKER, publish("ok/mine", 1, ""));
    assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, publish("", 1, "")), INSPECT_WRONG);
    assert_int_equal(driver->inspector.violation, VIOLATION_TOPIC_ALIAS);
    driver_destroy(driver);
    packets_forget();
}

/* Our own maximum holds although the broker would take more, and the device hears of it. */
static void test_our_maximum(void **state) {
    (void)state;
    struct setup setup = alias_setup(MQTT_TO_BROKER, 100);
    setup.limits.max_topic_alias = 3;
    struct span three = publish("ok/1", 3, "");
    check_wrong(&setup, MQTT_TO_BROKER, join(three, publish("ok/1", 4, "")), three, VIOLATION_TOPIC_ALIAS);
    setup.limits.max_topic_alias = 0;
    check_wrong(&setup, MQTT_TO_BROKER, publish("ok/1", 1, ""), SPAN_NONE, VIOLATION_TOPIC_ALIAS);
    packets_forget();
}

/* More aliases than memory is set aside for: the session ends, nothing else happens. */
static void test_too_many_bytes(void **state) {
    (void)state;
    struct setup setup = alias_setup(MQTT_TO_BROKER, 100);
    struct driver *driver = driver_open(&setup);
    static char topic[60001];
    memset(topic, 'a', sizeof topic - 1);
    memcpy(topic, "ok/", 3);
    enum inspect_result result = INSPECT_MORE;
    uint16_t alias = 1;
    for (; alias <= 100 && result == INSPECT_MORE; alias++) {
        size_t pooled = packets_pooled;
        result = driver_feed(driver, MQTT_TO_BROKER, publish(topic, alias, ""));
        packets_pooled = pooled;
    }
    assert_int_equal(result, INSPECT_NO_MEMORY);
    assert_int_equal(alias - 2, ALIAS_BYTES_MAX / 60000);
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
        cmocka_unit_test(test_map),          cmocka_unit_test(test_map_full_range),
        cmocka_unit_test(test_map_bound),    cmocka_unit_test(test_alias_cases),
        cmocka_unit_test(test_topic_put_in), cmocka_unit_test(test_topic_put_in_at_the_edge_of_the_length),
        cmocka_unit_test(test_alias_wrong),  cmocka_unit_test(test_ways_are_apart),
        cmocka_unit_test(test_our_maximum),  cmocka_unit_test(test_too_many_bytes),
    };
    return cmocka_run_group_tests_name("inspect/alias", tests, create_policy, destroy_policy);
}
