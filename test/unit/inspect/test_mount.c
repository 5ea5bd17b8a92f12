/* mount_point: every topic of a session, both ways, however it is chopped; who is refused because of it; and
 * that rules are asked about the broker's topics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/conversation.h"

#define MOUNT "plant/"

static struct small_policy policy; /* of the small policy's topics, below MOUNT */

static struct setup mounted(int version, const struct acl *acl) {
    struct setup setup = setup_of((enum mqtt_version)version, acl);
    setup.mount_point = MOUNT;
    return setup;
}

static struct span plain_publish(int version, const char *topic, const char *payload) {
    return publish_packet((enum mqtt_version)version,
                          (struct publish_fields){.topic = topic, .payload = span_of_text(payload)});
}

static struct span response_prop(const char *topic) {
    struct writer writer = packets_open();
    writer_u8(&writer, 0x08);
    writer_string(&writer, span_of_text(topic));
    return packets_close(&writer);
}

static struct span with_props(struct span props, const char *topic) {
    return publish_packet(
        MQTT_VERSION_5,
        (struct publish_fields){
            .qos = 1, .id = 9, .topic = topic, .props = props, .payload = SPAN_LITERAL("payload")});
}

/* A text of that many bytes, in the pool, with a NUL behind. */
static const char *long_text(size_t size) {
    struct writer writer = packets_open();
    for (size_t i = 0; i < size; i++)
        writer_u8(&writer, (uint8_t)('a' + i % 26));
    writer_u8(&writer, 0);
    return (const char *)packets_close(&writer).at;
}

/* ---- binding ---- */

static void test_bind(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *client_id, *username; /* username NULL: none */
        const char *mount;                          /* NULL: refused */
        uint8_t reason;
        const char *words;
    } rows[] = {
        {"a/b/", "dev", NULL, "a/b/", 0, NULL},
        {"%c/", "dev", NULL, "dev/", 0, NULL},
        {"%u/", "dev", "ann", "ann/", 0, NULL},
        {"a-%u/%c/x/", "dev", "ann", "a-ann/dev/x/", 0, NULL},
        {"%%c/%d%/", "dev", NULL, "%dev/%d%/", 0, NULL},
        {"a/%", "dev", NULL, "a/%", 0, NULL},
        {"x$%c/", "$SYS", NULL, "x$$SYS/", 0, NULL},
        {"%c/", "%u", "ann", "%u/", 0, NULL}, /* filled in once */
        {"%u/", "dev", NULL, NULL, 0x87, "it has no username for the %u of mount_point"},
        {"%u/", "dev", "", NULL, 0x87, "it has no username for the %u of mount_point"},
        {"%u/", "dev", "a/b", NULL, 0x87, "its username holds / + or #, and mount_point takes it as %u"},
        {"%u/", "dev", "+", NULL, 0x87, "its username holds / + or #, and mount_point takes it as %u"},
        {"%u/", "dev", "a#", NULL, 0x87, "its username holds / + or #, and mount_point takes it as %u"},
        {"%c/", "../x", "ann", NULL, 0x85, "its client id holds / + or #, and mount_point takes it as %c"},
        {"%c/", "#", "ann", NULL, 0x85, "its client id holds / + or #, and mount_point takes it as %c"},
        {"%c/", "a\xff", "ann", NULL, 0x85, "its client id holds / + or #, and mount_point takes it as %c"},
        {"x/%c/", "", "ann", NULL, 0x85, "it has no client id for the %c of mount_point"},
        {"%u/", "dev", "$SYS", NULL, 0x87, "its mount_point would begin with $"},
        {"%c/", "$share", NULL, NULL, 0x87, "its mount_point would begin with $"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct inspect_limits limits = driver_no_limits();
        struct driver *driver = driver_create(&limits, NULL);
        struct acl_identity identity = {rows[i].username != NULL, span_of_text(rows[i].username),
                                        span_of_text(rows[i].client_id), NULL};
        uint8_t reason = 0;
        const char *words = NULL;
        bool is_bound = mount_bind(&driver->inspector, rows[i].pattern, identity, &reason, &words);
        assert_int_equal(is_bound, rows[i].mount != NULL);
        assert_bytes(driver->inspector.mount, span_of_text(rows[i].mount));
        assert_int_equal(reason, rows[i].reason);
        if (!is_bound)
            assert_string_equal(words, rows[i].words);
        driver_destroy(driver);
    }
}

static void test_bind_long(void **state) {
    (void)state;
    for (size_t size = 65533; size <= 65534; size++) {
        struct inspect_limits limits = driver_no_limits();
        struct driver *driver = driver_create(&limits, NULL);
        struct acl_identity identity = {.client_id = span_of(long_text(size), size)};
        uint8_t reason = 0;
        const char *words = NULL;
        assert_int_equal(mount_bind(&driver->inspector, "%c/", identity, &reason, &words), size == 65533);
        if (size == 65534)
            assert_string_equal(words, "its mount_point would be longer than 65,534 bytes");
        driver_destroy(driver);
        packets_forget();
    }
}

/* ---- PUBLISH ---- */

static void test_publish(void **state) {
    (void)state;
    static const char *const topics[] = {"a",          "a/b",     "/",    "$SYS/x",
                                         "$share/g/x", "plant/a", "a//b", "\xc3\xa4"};
    for (int version = 3; version <= 5; version++)
        for (uint8_t qos = 0; qos <= 2; qos++) {
            struct setup setup = mounted(version, NULL);
            struct span short_ones = SPAN_NONE, long_ones = SPAN_NONE;
            for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
                char topic[64];
                snprintf(topic, sizeof topic, MOUNT "%s", topics[i]);
                struct publish_fields fields = {.qos = qos,
                                                .retain = i % 2 == 0,
                                                .dup = qos != 0,
                                                .id = (uint16_t)(i + 1),
                                                .topic = topics[i],
                                                .payload = span_of(long_text(i * 40), i * 40)};
                short_ones = join(short_ones, publish_packet(setup.version, fields));
                fields.topic = topic;
                long_ones = join(long_ones, publish_packet(setup.version, fields));
            }
            check_passes(&setup, MQTT_TO_BROKER, short_ones, long_ones, SPAN_NONE);
            check_passes(&setup, MQTT_TO_DEVICE, long_ones, short_ones, SPAN_NONE);
            packets_forget();
        }
}

/* What is not below the mount point never arrives. The broker hears a success, so that no packet id stays. */
static void test_outside(void **state) {
    (void)state;
    static const char *const outside[] = {"plant", "plant/",       "plan/x",  "Plant/x",
                                          "x",     "$SYS/plant/x", "plantx/y"};
    for (int version = 3; version <= 5; version++) {
        struct setup setup = mounted(version, NULL);
        struct span input = SPAN_NONE, answers = SPAN_NONE;
        for (uint16_t i = 0; i < 7; i++) {
            uint8_t qos = (uint8_t)(i % 3);
            struct publish_fields fields = {
                .qos = qos, .id = (uint16_t)(i + 1), .topic = outside[i], .payload = SPAN_LITERAL("secret")};
            input = join(input, publish_packet(setup.version, fields));
            if (qos != 0)
                answers = join(answers, ack_packet(setup.version, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
                                                   (uint16_t)(i + 1), 0));
        }
        input = join(input, plain_publish(version, MOUNT "in", "fine"));
        check_passes(&setup, MQTT_TO_DEVICE, input, plain_publish(version, "in", "fine"), answers);
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_DEVICE, input);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_delivery_outside_mount_point]), 7);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_delivery_refused]), 7);
        assert_int_equal(driver->refusals, 7);
        assert_string_equal(driver->refusal.verdict.words, "it is outside of the device's mount_point");
        /* The rest of the QoS 2 exchange is answered too. */
        driver_forget(driver);
        driver_feed(driver, MQTT_TO_DEVICE, ack_packet(setup.version, MQTT_PUBREL, 3, 0));
        assert_bytes(driver_answers(driver, MQTT_TO_DEVICE), ack_packet(setup.version, MQTT_PUBCOMP, 3, 0));
        assert_int_equal(driver_out(driver, MQTT_TO_DEVICE).size, 0);
        driver_destroy(driver);
        packets_forget();
    }
}

/* Rules speak of the broker's topics: WRITE behind the mount point, READ before it is cut off. */
static void test_rules_see_the_whole_topic(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++) {
        struct setup setup = mounted(version, policy.acl);
        check_passes(&setup, MQTT_TO_BROKER,
                     join(plain_publish(version, "out/1", "yes"), plain_publish(version, "no/1", "no")),
                     plain_publish(version, MOUNT "out/1", "yes"), SPAN_NONE);
        check_passes(
            &setup, MQTT_TO_DEVICE,
            join(plain_publish(version, MOUNT "in/1", "yes"), plain_publish(version, MOUNT "out/1", "no")),
            plain_publish(version, "in/1", "yes"), SPAN_NONE);
        struct driver *driver = driver_open(&setup);
        driver_feed(driver, MQTT_TO_BROKER, plain_publish(version, "ok/secret", "no"));
        assert_string_equal(driver->refused_topic, MOUNT "ok/secret");
        assert_int_equal(driver->refusal.verdict.line, 4);
        driver_destroy(driver);
        packets_forget();
    }
}

static void check_longest(int version, size_t size, bool is_good) {
    struct setup setup = mounted(version, NULL);
    struct driver *driver = driver_open(&setup);
    const char *topic = long_text(size);
    driver_feed(driver, MQTT_TO_BROKER,
                publish_packet(setup.version, (struct publish_fields){.qos = 1, .id = 5, .topic = topic}));
    if (is_good) {
        char *whole = malloc(size + sizeof MOUNT);
        assert_non_null(whole);
        snprintf(whole, size + sizeof MOUNT, MOUNT "%s", topic);
        assert_bytes(
            driver_out(driver, MQTT_TO_BROKER),
            publish_packet(setup.version, (struct publish_fields){.qos = 1, .id = 5, .topic = whole}));
        free(whole);
    } else {
        assert_int_equal(driver->ways[MQTT_TO_BROKER].result, INSPECT_REFUSED);
        assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_TOPIC_NAME_INVALID);
        assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_mount_point_refused]), 1);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_publish_refused]), 1);
    }
    driver_destroy(driver);
    packets_forget();
}

static void test_longest_topic(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++) {
        check_longest(version, 65535 - strlen(MOUNT), true);
        check_longest(version, 65536 - strlen(MOUNT), false);
        check_longest(version, 65535, false);
    }
}

/* The longest of everything at once still fits into the scratch. */
static void test_longest_head(void **state) {
    (void)state;
    struct setup setup = mounted(5, NULL);
    struct span front = response_prop(long_text(1000));
    struct span user = user_prop("n", long_text(65500)), more = user_prop("n", long_text(33300));
    struct span props = join(front, join(user, more));
    static char mount_point[64510];
    memset(mount_point, 'm', 64508);
    mount_point[64508] = '/';
    setup.mount_point = mount_point;
    struct driver *driver = driver_open(&setup);
    enum inspect_result result =
        driver_feed(driver, MQTT_TO_BROKER,
                    publish_packet(MQTT_VERSION_5, (struct publish_fields){.topic = "t", .props = props}));
    assert_int_equal(result, INSPECT_MORE);
    assert_true(driver_out(driver, MQTT_TO_BROKER).size > 228000);
    driver_destroy(driver);
    packets_forget();
}

static void test_too_large_for_the_broker(void **state) {
    (void)state;
    struct setup setup = mounted(5, NULL);
    setup.connack_props = bytes_of_hex("27 00 00 00 40"); /* 64 bytes */
    char payload[65];
    for (size_t size = 50; size <= 53; size++) {
        memset(payload, 'x', size);
        payload[size] = 0;
        struct span wanted = plain_publish(5, MOUNT "a", payload);
        if (wanted.size <= 64)
            check_passes(&setup, MQTT_TO_BROKER, plain_publish(5, "a", payload), wanted, SPAN_NONE);
        else
            check_wrong(&setup, MQTT_TO_BROKER, plain_publish(5, "a", payload), SPAN_NONE,
                        VIOLATION_PACKET_TOO_LARGE);
    }
    check_wrong(&setup, MQTT_TO_BROKER,
                subscribe_packet(MQTT_VERSION_5, 1, SPAN_NONE, "a:0 b:0 c:0 d:0 e:0 f:0"), SPAN_NONE,
                VIOLATION_PACKET_TOO_LARGE);
    packets_forget();
}

/* What the device may send is so much smaller as its packets grow. */
static void test_promised_packet_size(void **state) {
    (void)state;
    static const struct {
        const char *connack, *told;
        uint32_t ours;
    } rows[] = {
        {"20 08 00 00 05 27 00 00 00 c8", "20 08 00 00 05 27 00 00 00 b8", 0}, /* 200: 184 */
        {"20 08 00 00 05 27 00 00 00 c8", "20 08 00 00 05 27 00 00 00 64", 100},
        {"20 08 00 00 05 27 00 00 00 05", "20 08 00 00 05 27 00 00 00 01", 0},
        {"20 03 00 00 00", "20 03 00 00 00", 0},
        {"20 03 00 00 00", "20 08 00 00 05 27 00 00 00 64", 100},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct setup setup = mounted(5, NULL);
        setup.limits.max_packet_size = rows[i].ours;
        struct driver *driver = driver_connect(&setup);
        driver_feed(driver, MQTT_TO_DEVICE, bytes_of_hex(rows[i].connack));
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), bytes_of_hex(rows[i].told));
        driver_destroy(driver);
        packets_forget();
    }
}

/* ---- aliases ---- */

static void test_aliases(void **state) {
    (void)state;
    struct setup setup = mounted(5, policy.acl);
    setup.connect_props = setup.connack_props = bytes_of_hex("22 00 0a");
    struct span one = alias_prop(1), two = alias_prop(2);
    /* The broker learns the alias with the mounted topic; bare ones pass as they are. */
    struct span bare = with_props(one, "");
    check_passes(&setup, MQTT_TO_BROKER, join(with_props(one, "ok/1"), join(bare, bare)),
                 join(with_props(one, MOUNT "ok/1"), join(bare, bare)), SPAN_NONE);
    check_passes(&setup, MQTT_TO_DEVICE, join(with_props(one, MOUNT "ok/1"), join(bare, bare)),
                 join(with_props(one, "ok/1"), join(bare, bare)), SPAN_NONE);
    /* Told anew with another topic. */
    check_passes(&setup, MQTT_TO_BROKER, join(with_props(one, "ok/1"), join(with_props(one, "ok/2"), bare)),
                 join(with_props(one, MOUNT "ok/1"), join(with_props(one, MOUNT "ok/2"), bare)), SPAN_NONE);
    /* A bare one is judged by the mounted topic. */
    struct span no = ack_packet(MQTT_VERSION_5, MQTT_PUBACK, 9, MQTT_REASON_NOT_AUTHORIZED);
    check_passes(
        &setup, MQTT_TO_BROKER,
        join(with_props(one, "no/1"), join(bare, join(with_props(two, "ok/1"), with_props(two, "")))),
        join(with_props(two, MOUNT "ok/1"), with_props(two, "")), join(no, no));
    struct span taken = ack_packet(MQTT_VERSION_5, MQTT_PUBACK, 9, 0);
    check_passes(&setup, MQTT_TO_DEVICE, join(with_props(one, MOUNT "no/1"), bare), SPAN_NONE,
                 join(taken, taken));
    check_passes(&setup, MQTT_TO_DEVICE, join(with_props(one, "ok/1"), bare), SPAN_NONE, join(taken, taken));
    check_wrong(&setup, MQTT_TO_BROKER, with_props(two, ""), SPAN_NONE, VIOLATION_TOPIC_ALIAS);
    packets_forget();
}

/* An alias that the receiver was not told, since the message that told it was refused for its size: the bare
 * one gets the topic, mounted. Towards the device the same after a change of rules. */
static void test_alias_put_in(void **state) {
    (void)state;
    struct setup setup = mounted(5, NULL);
    setup.connect_props = setup.connack_props = bytes_of_hex("22 00 0a");
    setup.limits.message_size_limit = 10;
    struct span one = alias_prop(1), answer = response_prop("r");
    struct span large = publish_packet(
        MQTT_VERSION_5,
        (struct publish_fields){.topic = "a/b", .props = one, .payload = SPAN_LITERAL("01234567890")});
    struct span bare = with_props(one, ""), both = with_props(join(answer, one), "");
    check_passes(&setup, MQTT_TO_BROKER, join(large, join(both, bare)),
                 join(with_props(join(response_prop(MOUNT "r"), one), MOUNT "a/b"), bare), SPAN_NONE);
    setup.limits.message_size_limit = 0;
    setup.acl = policy.acl;
    for (size_t spare = 0; spare < 12; spare++) {
        struct driver *driver = driver_open(&setup);
        driver->spare = spare;
        driver_feed(driver, MQTT_TO_DEVICE, with_props(one, MOUNT "new/b"));
        acl_bind(&driver->inspector.acl, NULL, driver->inspector.acl.identity);
        driver_feed(driver, MQTT_TO_DEVICE, join(bare, bare));
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), join(with_props(one, "new/b"), bare));
        driver_destroy(driver);
    }
    packets_forget();
}

/* ---- response topics ---- */

static void test_response_topics(void **state) {
    (void)state;
    struct setup setup = mounted(5, NULL);
    struct span front = user_prop("front", "1"),
                back = join(bytes_of_hex("09 00 02 68 69"), user_prop("back", "2"));
    const struct {
        struct span device, broker;
    } rows[] = {
        {response_prop("r"), response_prop(MOUNT "r")},
        {join(front, response_prop("r/s")), join(front, response_prop(MOUNT "r/s"))},
        {join(response_prop("r"), back), join(response_prop(MOUNT "r"), back)},
        {join(front, join(response_prop("r"), back)), join(front, join(response_prop(MOUNT "r"), back))},
        /* the length of the properties gets a byte longer */
        {join(response_prop("r"), user_prop("n", long_text(115))),
         join(response_prop(MOUNT "r"), user_prop("n", long_text(115)))},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_passes(&setup, MQTT_TO_BROKER, with_props(rows[i].device, "t"),
                     with_props(rows[i].broker, MOUNT "t"), SPAN_NONE);
        check_passes(&setup, MQTT_TO_DEVICE, with_props(rows[i].broker, MOUNT "t"),
                     with_props(rows[i].device, "t"), SPAN_NONE);
    }
    /* One from outside would be another topic for the device: it is left out, what goes with it stays. */
    static const char *const outside[] = {"r", "plant", "plant/", "plantx/r"};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        check_passes(&setup, MQTT_TO_DEVICE,
                     with_props(join(front, join(response_prop(outside[i]), back)), MOUNT "t"),
                     with_props(join(front, back), "t"), SPAN_NONE);
    packets_forget();
}

static void test_long_response_topic(void **state) {
    (void)state;
    struct setup setup = mounted(5, NULL);
    for (size_t size = 65529; size <= 65530; size++) {
        struct driver *driver = driver_open(&setup);
        enum inspect_result result =
            driver_feed(driver, MQTT_TO_BROKER, with_props(response_prop(long_text(size)), "t"));
        assert_int_equal(result, size == 65529 ? INSPECT_MORE : INSPECT_REFUSED);
        driver_destroy(driver);
        packets_forget();
    }
}

/* ---- SUBSCRIBE and UNSUBSCRIBE ---- */

static void test_filters(void **state) {
    (void)state;
    static const struct {
        const char *mount_point, *filter, *wanted; /* NULL: can be none */
    } rows[] = {
        {MOUNT, "a/b", MOUNT "a/b"},
        {MOUNT, "#", MOUNT "#"},
        {MOUNT, "+/x/#", MOUNT "+/x/#"},
        {MOUNT, "/", MOUNT "/"},
        {MOUNT, "$SYS/#", MOUNT "$SYS/#"},
        {MOUNT, "$share/g/a/+", "$share/g/" MOUNT "a/+"},
        {MOUNT, "$share/g/#", "$share/g/" MOUNT "#"},
        {MOUNT, "$share/g/$share/h/x", "$share/g/" MOUNT "$share/h/x"},
        {MOUNT, "$shared/g/x", MOUNT "$shared/g/x"},
        {MOUNT, "$share", MOUNT "$share"},
        /* no good shared subscriptions: before 5.0 they are filters like others, and stay inside */
        {MOUNT, "$share/g", MOUNT "$share/g"},
        {MOUNT, "$share//x", MOUNT "$share//x"},
        /* without a slash the two are joined as they are, if they can be */
        {"a", "b/c", "ab/c"},
        {"a", "/c", "a/c"},
        {"a", "#", NULL},
        {"a", "+/b", NULL},
        {"a", "$share/g/#", NULL},
        {"a", "$share/g/b", "$share/g/ab"},
        {NULL, "$share/g/#", "$share/g/#"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct setup setup = mounted(4, NULL);
        setup.mount_point = rows[i].mount_point;
        struct driver *driver = driver_open(&setup);
        struct inspect_bytes bytes = {.scratch = driver->scratch, .scratch_size = INSPECT_SCRATCH_SIZE};
        assert_bytes(mount_filter(&driver->inspector, &bytes, span_of_text(rows[i].filter)),
                     span_of_text(rows[i].wanted));
        driver_destroy(driver);
    }
}

struct subscription {
    int version;
    const char *mount_point, *filters, *passed, *codes, *told;
    uint8_t max_qos;
};

static void check_subscription(const struct subscription *row, uint64_t *seed, size_t most) {
    struct setup setup = mounted(row->version, policy.acl);
    setup.limits.max_qos = row->max_qos;
    if (row->mount_point != NULL) {
        setup.mount_point = row->mount_point;
        setup.acl = NULL;
    }
    struct driver *driver = driver_open(&setup);
    driver->spare = driver_random(seed) % 64;
    struct span props = row->version == 5 ? join(bytes_of_hex("0b 85 01"), user_prop("n", "v")) : SPAN_NONE;
    driver_feed_chopped(driver, MQTT_TO_BROKER, subscribe_packet(setup.version, 0x0102, props, row->filters),
                        seed, most);
    struct span told = suback_packet(setup.version, 0x0102, SPAN_NONE, bytes_of_hex(row->told));
    if (row->passed[0] == 0) {
        assert_bytes(driver_answers(driver, MQTT_TO_BROKER), told);
        assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
    } else {
        assert_bytes(driver_out(driver, MQTT_TO_BROKER),
                     subscribe_packet(setup.version, 0x0102, props, row->passed));
        driver_feed_chopped(driver, MQTT_TO_DEVICE,
                            suback_packet(setup.version, 0x0102, SPAN_NONE, bytes_of_hex(row->codes)), seed,
                            most);
        assert_bytes(driver_out(driver, MQTT_TO_DEVICE), told);
    }
    /* However often it was looked at, each filter is counted once. */
    size_t refused = 0;
    for (const char *at = row->told; *at != 0; at++)
        refused += *at == '8' && at[1] != ' ' && at[1] != 0;
    if (row->codes[0] == 0 || strchr(row->codes, '8') == NULL)
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_subscribe_refused]), refused);
    assert_int_equal(driver->inspector.merges.count, 0);
    driver_destroy(driver);
    packets_forget();
}

static void test_subscribe(void **state) {
    (void)state;
    static const struct subscription rows[] = {
        {3, NULL, "ok/a:0 in/b:1", MOUNT "ok/a:0 " MOUNT "in/b:1", "00 01", "00 01", 2},
        {4, NULL, "ok/a:2 no/a:0 in/#:1", MOUNT "ok/a:1 " MOUNT "in/#:1", "01 01", "01 80 01", 1},
        {5, NULL, "no/1:0 ok/a:2d #:1", MOUNT "ok/a:2d " MOUNT "#:1", "01 00", "87 01 00", 2},
        {5, NULL, "$share/g/ok/1:2 $share/g/no/1:1", "$share/g/" MOUNT "ok/1:2", "02", "02 87", 2},
        {4, NULL, "$share/g/ok/1:2", "$share/g/" MOUNT "ok/1:2", "02", "02", 2},
        {4, NULL, "no/1:0 no/2:1", "", "", "80 80", 2},
        {5, NULL, "no/1:0", "", "", "87", 2},
        {3, NULL, "$SYS/#:0", "", "", "80", 2},
        /* joined as they are: what is no filter then is told so */
        {4, "x", "#:0 a:1 +/b:0", "xa:1", "01", "80 01 80", 2},
        {5, "x", "#:0 a:1 +/b:0", "xa:1", "01", "8f 01 8f", 2},
        {5, "x", "#:0", "", "", "8f", 2},
    };
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t most = 1; most < 60; most += most / 4 + 1)
            check_subscription(&rows[i], &seed, most);
}

/* UNSUBSCRIBE's entries have no options. */
static struct span unsubscribe_packet(int version, struct span props, const char *const *filters) {
    struct writer body = packets_open();
    writer_u16(&body, 7);
    write_props(&body, (enum mqtt_version)version, props);
    for (; *filters != NULL; filters++)
        writer_string(&body, span_of_text(*filters));
    return packet(0xA2, packets_close(&body));
}

static void test_unsubscribe(void **state) {
    (void)state;
    const char *const filters[] = {"a/b", "#", "$share/g/x", "$SYS/#", NULL};
    const char *const wanted[] = {MOUNT "a/b", MOUNT "#", "$share/g/" MOUNT "x", MOUNT "$SYS/#", NULL};
    const char *const wild[] = {"a", "#", NULL};
    for (int version = 3; version <= 5; version++) {
        struct setup setup = mounted(version, policy.acl);
        struct span props = user_prop("n", "v");
        check_passes(&setup, MQTT_TO_BROKER, unsubscribe_packet(version, props, filters),
                     unsubscribe_packet(version, props, wanted), SPAN_NONE);
        setup.mount_point = "x";
        struct driver *driver = driver_open(&setup);
        assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, unsubscribe_packet(version, SPAN_NONE, wild)),
                         INSPECT_REFUSED);
        assert_int_equal(driver->inspector.refused_reason, MQTT_REASON_TOPIC_FILTER_INVALID);
        assert_int_equal(driver_out(driver, MQTT_TO_BROKER).size, 0);
        assert_int_equal(tally_read(&driver->tally.rows[METRIC_mount_point_refused]), 1);
        driver_destroy(driver);
        packets_forget();
    }
}

/* A few bytes of filters, each of which grows by a long mount point. */
static void test_subscribe_that_grows_too_much(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++)
        for (size_t i = 0; i < 2; i++) {
            struct setup setup = mounted(version, NULL);
            static char mount_point[30002];
            memset(mount_point, 'm', 30000);
            mount_point[30000] = '/';
            setup.mount_point = mount_point;
            struct driver *driver = driver_open(&setup);
            const char *filters = i == 0 ? "a:0 b:0 c:0 d:0 e:0 f:0 g:0" : "a:0 b:0 c:0 d:0 e:0 f:0 g:0 h:0";
            enum inspect_result result =
                driver_feed(driver, MQTT_TO_BROKER, subscribe_packet(setup.version, 1, SPAN_NONE, filters));
            assert_int_equal(result, i == 0 ? INSPECT_MORE : INSPECT_WRONG);
            assert_int_equal(driver->inspector.violation,
                             i == 0 ? VIOLATION_NONE : VIOLATION_PACKET_TOO_LARGE);
            assert_int_equal(driver->inspector.merges.count, 0);
            driver_destroy(driver);
            packets_forget();
        }
}

/* ---- wills ---- */

static void test_will(void **state) {
    (void)state;
    struct setup setup = mounted(5, NULL);
    struct driver *driver = driver_open(&setup);
    struct span block = join(user_prop("a", "b"), join(response_prop("r"), user_prop("c", "d")));
    struct span wanted = join(user_prop("a", "b"), join(response_prop(MOUNT "r"), user_prop("c", "d")));
    struct writer room = packets_open();
    write_props(&room, MQTT_VERSION_5, block);
    struct reader reader = reader_of(packets_close(&room));
    struct mqtt_connect connect = {
        .version = MQTT_VERSION_5, .has_will = true, .will_topic = SPAN_LITERAL("w/x")};
    enum violation violation;
    assert_int_equal(
        mqtt_props_read(&reader, MQTT_PROPS_OF_WILL, MQTT_TO_BROKER, &connect.will_props, &violation),
        MQTT_WHOLE);
    struct mqtt_connect sent = connect;
    assert_true(mount_will(&driver->inspector, &connect, driver->scratch, INSPECT_SCRATCH_SIZE));
    assert_bytes(connect.will_topic, SPAN_LITERAL(MOUNT "w/x"));
    assert_bytes(connect.will_props.raw, wanted);
    assert_bytes(connect.will_props.text[MQTT_PROP_RESPONSE_TOPIC], SPAN_LITERAL(MOUNT "r"));
    for (size_t size = 65529; size <= 65530; size++) {
        connect = sent;
        connect.will_topic = span_of(long_text(size), size);
        assert_int_equal(mount_will(&driver->inspector, &connect, driver->scratch, INSPECT_SCRATCH_SIZE),
                         size == 65529);
        connect = sent;
        connect.will_props.text[MQTT_PROP_RESPONSE_TOPIC].size = size;
        if (size == 65530)
            assert_false(mount_will(&driver->inspector, &connect, driver->scratch, INSPECT_SCRATCH_SIZE));
    }
    driver_destroy(driver);
    packets_forget();
}

/* ---- many at once ---- */

/* 64 KiB of little PUBLISHes, in one read: in order, nothing lost. Ten bytes each and a mount point of 100,
 * so that they do not even fit into the room at once. */
static void check_flood(int version, enum mqtt_direction direction, size_t most) {
    static char mount_point[101], topic[128];
    memset(mount_point, 'm', 99);
    mount_point[99] = '/';
    struct setup setup = mounted(version, NULL);
    setup.mount_point = mount_point;
    bool is_to_broker = direction == MQTT_TO_BROKER;
    struct store input = {0}, wanted = {0};
    unsigned count = 0;
    for (; input.size < 65536; count++) {
        char payload[16];
        snprintf(payload, sizeof payload, "%05u", count);
        snprintf(topic, sizeof topic, "%st", mount_point);
        struct span a = plain_publish(version, "t", payload), b = plain_publish(version, topic, payload);
        store_add(&input, is_to_broker ? a : b);
        store_add(&wanted, is_to_broker ? b : a);
        packets_forget();
    }
    uint64_t seed = 5;
    struct driver *driver = driver_open(&setup);
    enum inspect_result result =
        most == 0 ? driver_feed(driver, direction, store_span(&input))
                  : driver_feed_chopped(driver, direction, store_span(&input), &seed, most);
    assert_int_equal(result, INSPECT_MORE);
    assert_bytes(driver_out(driver, direction), store_span(&wanted));
    assert_int_equal(driver->ways[direction].held.size, 0);
    assert_int_equal(tally_read(&driver->tally.rows[METRIC_packets_rewritten]), count);
    if (most == 0) /* one write for each room full, not for each packet */
        assert_true(driver->ways[direction].flush_count <= (is_to_broker ? 1 : 0));
    driver_destroy(driver);
    free(input.at);
    free(wanted.at);
    packets_forget();
}

static void test_flood(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++)
        for (int direction = 0; direction < 2; direction++) {
            check_flood(version, (enum mqtt_direction)direction, 0);
            check_flood(version, (enum mqtt_direction)direction, 1);
            check_flood(version, (enum mqtt_direction)direction, 1000);
        }
}

static int set_up(void **state) {
    (void)state;
    policy = small_policy_create("topic readwrite plant/ok/#\n"
                                 "topic write plant/out/#\n"
                                 "topic read plant/in/#\n"
                                 "topic deny plant/ok/secret\n");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_destroy(policy.arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bind),
        cmocka_unit_test(test_bind_long),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_rules_see_the_whole_topic),
        cmocka_unit_test(test_longest_topic),
        cmocka_unit_test(test_longest_head),
        cmocka_unit_test(test_too_large_for_the_broker),
        cmocka_unit_test(test_promised_packet_size),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_alias_put_in),
        cmocka_unit_test(test_response_topics),
        cmocka_unit_test(test_long_response_topic),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_subscribe),
        cmocka_unit_test(test_unsubscribe),
        cmocka_unit_test(test_subscribe_that_grows_too_much),
        cmocka_unit_test(test_will),
        cmocka_unit_test(test_flood),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
