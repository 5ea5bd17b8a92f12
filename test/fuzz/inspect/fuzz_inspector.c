/* Inspector: a conversation both ways, made of the input's records, through one inspector with a small
 * policy. It runs three times: each record at once; chopped, with hardly any room to rewrite; chopped and
 * looked at only when the inspector said it is worth it. What must hold:
 *   - the three say the same: chopping changes nothing that leaves, and nothing that is answered;
 *   - what leaves, either way, and what we answer is whole packets that are good for a strict reader, in
 * order;
 *   - whoever gets them never sees a topic, by name or by alias, that policy forbids, nor a filter, nor a QoS
 *     above the limit, and knows every alias that is used;
 *   - with a mount point no topic, filter or response topic gets out of it;
 *   - the cursors keep their order (the driver watches them), and nothing is lost in memory. */
#include "inspect/mount.h"
#include "inspect/pace.h"
#include "inspect/rules.h"
#include "mqtt/topic.h"
#include "unit/inspect/driver.h"
#include "unit/mqtt/whole.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char rules[] = "topic readwrite ok/#\n"
                            "topic write out/#\n"
                            "topic read in/#\n"
                            "topic deny ok/secret\n"
                            "topic readwrite m/ok/#\n"
                            "topic write m/out/#\n"
                            "topic read m/in/#\n"
                            "topic readwrite mok/#\n";

/* Whole packets that a record can call by number: the fuzzer need not find them letter by letter. */
static const char *const packets_5[] = {
    "30 09 00 04 6f 6b 2f 31 00 68 69",                               /* PUBLISH ok/1 */
    "32 0b 00 04 6e 6f 2f 31 00 01 00 68 69",                         /* no/1, QoS 1 */
    "34 0b 00 04 6e 6f 2f 31 00 02 00 68 69",                         /* no/1, QoS 2 */
    "34 0b 00 04 6f 6b 2f 31 00 02 00 68 69",                         /* ok/1, QoS 2 */
    "62 02 00 02",                                                    /* PUBREL */
    "30 0a 00 04 6f 6b 2f 31 03 23 00 01",                            /* ok/1 as alias 1 */
    "30 0a 00 04 6e 6f 2f 31 03 23 00 01",                            /* no/1 as alias 1 */
    "30 06 00 00 03 23 00 01",                                        /* alias 1 */
    "30 12 00 04 6f 6b 2f 31 03 23 00 02 74 6f 6f 6c 6f 6e 67 21",    /* ok/1 as alias 2, long */
    "30 06 00 00 03 23 00 02",                                        /* alias 2 */
    "82 0e 00 01 00 00 03 6f 6b 2f 01 00 03 6e 6f 2f 01",             /* SUBSCRIBE ok/ and no/ */
    "82 08 00 01 00 00 02 6e 6f 02",                                  /* no */
    "82 12 00 01 02 0b 01 00 04 6f 6b 2f 23 02 00 04 69 6e 2f 2b 2e", /* ok/#, in/+ */
    "90 04 00 01 00 01",                                              /* SUBACK, one code */
    "90 05 00 01 00 01 02",                                           /* two codes */
    "a2 08 00 03 00 00 03 61 2f 62",                                  /* UNSUBSCRIBE */
    "b0 04 00 03 00 00",                                              /* UNSUBACK */
    "c0 00",
    "d0 00",
    "e0 00",
    "f0 07 18 05 15 00 02 53 43", /* AUTH */
    "40 02 00 01",
    "50 02 00 02",
    "70 02 00 02",
    "20 03 00 00 00",
    "20 06 00 00 03 22 00 05",
    "10 10 00 04 4d 51 54 54 05 02 00 3c 00 00 03 64 65 76",
    "10 18 00 04 4d 51 54 54 05 02 00 3c 08 15 00 02 53 43 22 00 05 00 03 64 65 76",
    "30 0b 00 06 6d 2f 6f 6b 2f 31 00 68 69",                         /* m/ok/1 */
    "34 0d 00 06 6d 2f 6e 6f 2f 31 00 02 00 68 69",                   /* m/no/1, QoS 2 */
    "30 0c 00 06 6d 2f 6f 6b 2f 31 03 23 00 01",                      /* m/ok/1 as alias 1 */
    "30 0f 00 04 6f 6b 2f 31 06 08 00 03 6f 6b 2f 68 69",             /* ok/1, response topic ok/ */
    "30 13 00 06 6d 2f 6f 6b 2f 31 08 08 00 05 6d 2f 6f 6b 2f 68 69", /* the same with m/ in front */
    "30 0c 00 00 09 23 00 01 08 00 03 6f 6b 2f",                      /* alias 1, response topic ok/ */
    "20 08 00 00 05 27 00 00 00 40",                                  /* Maximum Packet Size 64 */
    "82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 23 00",          /* $share/g/# */
    /* for the rules about messages and subscriptions */
    "31 0f 00 04 6f 6b 2f 31 07 08 00 04 6f 6b 2f 32 68",
    "32 18 00 04 6f 6b 2f 31 00 03 0e 26 00 01 61 00 01 62 26 00 01 61 00 01 62 68",
    "82 1e 00 01 00 00 04 6f 6b 2f 2b 04 00 0b 24 73 68 61 72 65 2f 67 2f 6f 6b 00 00 03 2b 2f 61 18",
    "82 18 00 01 0e 26 00 01 61 00 01 62 26 00 01 61 00 01 62 00 04 6f 6b 2f 33 00",
    "a2 16 00 02 0e 26 00 01 61 00 01 62 26 00 01 61 00 01 62 00 03 6f 6b 2f",
    "b0 04 00 02 00 87",
    "90 04 00 01 00 87",
};
static const char *const packets_4[] = {
    "30 08 00 04 6f 6b 2f 31 68 69",
    "32 0a 00 04 6e 6f 2f 31 00 01 68 69",
    "34 0a 00 04 6e 6f 2f 31 00 02 68 69",
    "34 0a 00 04 6f 6b 2f 31 00 02 68 69",
    "62 02 00 02",
    "82 0d 00 01 00 03 6f 6b 2f 01 00 03 6e 6f 2f 01",
    "82 07 00 01 00 02 6e 6f 02",
    "82 87 00 00 01 00 02 6f 6b 02",
    "90 03 00 01 01",
    "90 04 00 01 01 02",
    "a2 07 00 03 00 03 61 2f 62",
    "b0 02 00 03",
    "c0 00",
    "d0 00",
    "e0 00",
    "40 02 00 01",
    "50 02 00 02",
    "70 02 00 02",
    "20 02 00 00",
    "10 0f 00 04 4d 51 54 54 04 02 00 3c 00 03 64 65 76",
    "30 0a 00 06 6d 2f 6f 6b 2f 31 68 69",
    "34 0c 00 06 6d 2f 6e 6f 2f 31 00 02 68 69",
    "82 0f 00 01 00 0a 24 73 68 61 72 65 2f 67 2f 23 00",
    /* for the rules about messages and subscriptions */
    "31 07 00 04 6f 6b 2f 31 68",
    "82 16 00 01 00 04 6f 6b 2f 61 00 00 04 6f 6b 2f 62 00 00 03 2b 2f 23 00",
    "a2 08 00 02 00 04 6f 6b 2f 61",
    "90 03 00 01 80",
};

static const struct acl *policy(void) {
    static const struct acl *acl;
    if (acl != NULL)
        return acl;
    static struct arena *arena; /* kept to the end */
    struct findings findings;
    findings_init(&findings);
    arena = arena_create();
    acl = acl_compile(arena, "acl", span_of_text(rules), &findings);
    DRIVER_MUST(acl != NULL);
    return acl;
}

/* The first two bytes. */
struct plan {
    struct inspect_limits limits;
    enum mqtt_version version;
    bool is_open; /* CONNECT and CONNACK are behind it */
    bool has_acl;
    const char *mount_point;
    unsigned action; /* of its rates, enum pace_action; 0: it has none */
};

/* One of each kind: a level, no level, one that makes little packets large. */
static const char *mount_point_of(unsigned number) {
    static char large[300];
    memset(large, 'm', sizeof large - 2);
    large[sizeof large - 2] = '/';
    const char *const all[] = {NULL, "m/", "m", large};
    return all[number];
}

static struct plan plan_of(uint8_t first, uint8_t second) {
    struct plan plan = {.version = (first & 1) != 0 ? MQTT_VERSION_5 : MQTT_VERSION_311,
                        .is_open = (first & 2) != 0,
                        .has_acl = (first & 4) == 0,
                        .mount_point = mount_point_of((second >> 6) ^ (second & 3)),
                        .action = (unsigned)(second >> 6 ^ first >> 6)};
    plan.limits = (struct inspect_limits){.max_qos = (uint8_t)(2 - (first >> 3 & 3) % 3),
                                          .retain_available = (first & 0x20) == 0,
                                          .is_subscribe_silent = (first & 0x40) != 0,
                                          .is_deny_disconnect = (first & 0x80) != 0,
                                          .max_topic_alias = second & 7,
                                          .message_size_limit = (second & 8) != 0 ? 6 : 0,
                                          .max_packet_size = (second & 0x10) != 0 ? 60 : 0,
                                          .max_keepalive_s = (second & 0x20) != 0 ? 30 : 0,
                                          .wildcard_subscriptions = true,
                                          .shared_subscriptions = true,
                                          .subscription_identifiers = true};
    if ((second & 0x40) != 0) {
        plan.limits.topics =
            (struct topic_rules){.is_dollar_refused = true, .max_length = 5, .max_levels = 2};
        topic_rules_forbid(&plan.limits.topics, SPAN_LITERAL("2\xC3\xA9"));
        plan.limits.retain_policy = RETAIN_STRIP;
        plan.limits.max_user_properties = 1;
        plan.limits.max_user_properties_size = 4;
        plan.limits.is_response_topic_judged = true;
    }
    if ((second & 0x80) != 0) {
        plan.limits.shared_subscriptions = plan.limits.subscription_identifiers = false;
        plan.limits.refused_options = 0x0C;
        plan.limits.min_wildcard_levels = 1;
        plan.limits.max_subscriptions = 2;
        plan.limits.max_filters_per_subscribe = 3;
    }
    rules_seal(&plan.limits);
    return plan;
}

static struct span canned(enum mqtt_version version, uint8_t number) {
    static uint8_t room[64];
    bool is_5 = version == MQTT_VERSION_5;
    size_t count = is_5 ? sizeof packets_5 / sizeof packets_5[0] : sizeof packets_4 / sizeof packets_4[0];
    const char *hex = (is_5 ? packets_5 : packets_4)[number % count];
    size_t size = 0;
    unsigned value;
    for (int used; sscanf(hex, " %2x%n", &value, &used) == 1; hex += used)
        room[size++] = (uint8_t)value;
    return span_of(room, size);
}

/* A record: bit 7 of its first byte is the direction; the rest is how many bytes follow, or 127: the number
 * of a canned packet follows. */
static bool next_record(struct reader *input, enum mqtt_version version, enum mqtt_direction *direction,
                        struct span *record) {
    if (reader_left(input) == 0)
        return false;
    uint8_t tag = reader_u8(input);
    *direction = (tag & 0x80) != 0 ? MQTT_TO_DEVICE : MQTT_TO_BROKER;
    size_t count = tag & 0x7F, left = reader_left(input);
    if (count == 0x7F)
        *record = canned(version, reader_u8(input));
    else
        *record = reader_bytes(input, count < left ? count : left);
    return true;
}

/* ---- what the receiver sees ---- */

struct receiver {
    const struct driver *driver;
    const struct plan *plan;
    enum mqtt_version version;
    enum mqtt_direction direction;
    struct span topics[65536]; /* by alias, as it was told */
};

static void see_publish(struct receiver *receiver, const struct mqtt_frame *frame, struct span packet) {
    struct mqtt_publish publish;
    enum violation violation;
    const struct plan *plan = receiver->plan;
    DRIVER_MUST(mqtt_publish_read(frame, packet, receiver->version, receiver->direction, &publish,
                                  &violation) == MQTT_WHOLE);
    struct span topic = publish.topic;
    if (publish.topic_alias != 0) {
        if (topic.size == 0)
            topic = receiver->topics[publish.topic_alias];
        receiver->topics[publish.topic_alias] = topic;
        DRIVER_MUST(topic.size != 0); /* an alias that it was never told */
    }
    struct span mount = receiver->driver->inspector.mount;
    if (receiver->direction == MQTT_TO_BROKER) {
        DRIVER_MUST(topic.size > mount.size || mount.size == 0);
        DRIVER_MUST(span_begins_with(topic, mount));
        DRIVER_MUST(!mqtt_props_has(&publish.props, MQTT_PROP_RESPONSE_TOPIC) ||
                    span_begins_with(publish.props.text[MQTT_PROP_RESPONSE_TOPIC], mount));
    } else if (mount.size != 0) { /* what the broker called it */
        static uint8_t room[2 * 65536];
        memcpy(room, mount.at, mount.size);
        memcpy(room + mount.size, topic.at, topic.size);
        topic = span_of(room, mount.size + topic.size);
    }
    struct verdict verdict = receiver->direction == MQTT_TO_BROKER
                                 ? acl_may_write(&receiver->driver->inspector.acl, topic)
                                 : acl_may_read(&receiver->driver->inspector.acl, topic);
    DRIVER_MUST(verdict.is_allowed);
    if (receiver->direction == MQTT_TO_DEVICE)
        return;
    DRIVER_MUST(publish.qos <= plan->limits.max_qos);
    DRIVER_MUST(!publish.retain || plan->limits.retain_policy == RETAIN_ALLOW);
    struct message message = {
        .mount_size = mount.size, .topic = topic, .is_retained = publish.retain, .props = &publish.props};
    if (mqtt_props_has(&publish.props, MQTT_PROP_RESPONSE_TOPIC))
        message.response_topic = publish.props.text[MQTT_PROP_RESPONSE_TOPIC];
    DRIVER_MUST(
        rules_judge_message(&plan->limits, &receiver->driver->inspector.acl, &message).verdict.is_allowed);
    DRIVER_MUST(!publish.retain || plan->limits.retain_available);
    DRIVER_MUST(plan->limits.message_size_limit == 0 ||
                publish.payload_size <= plan->limits.message_size_limit);
}

/* Shared or not, a filter begins with the mount point. */
static void must_be_inside(const struct receiver *receiver, struct span filter) {
    struct span mount = receiver->driver->inspector.mount, share_name, inner;
    if (mqtt_topic_split_share(filter, &share_name, &inner))
        filter = inner;
    DRIVER_MUST(mount.size == 0 || (filter.size > mount.size && span_begins_with(filter, mount)));
}

/* The filter that the device wrote. */
static struct span without_mount(const struct receiver *receiver, struct span filter) {
    static uint8_t room[65536];
    struct span mount = receiver->driver->inspector.mount, share_name, inner = filter;
    if (!mqtt_topic_split_share(filter, &share_name, &inner))
        inner = filter;
    struct writer writer = writer_of(room, sizeof room);
    writer_bytes(&writer, span_first(filter, (size_t)(inner.at - filter.at)));
    writer_bytes(&writer, span_after(inner, mount.size));
    return writer_span(&writer);
}

static void see_unsubscribe(const struct receiver *receiver, struct span body) {
    struct mqtt_subscribe unsubscribe;
    struct mqtt_subscribe_entry entry;
    enum violation violation;
    DRIVER_MUST(mqtt_subscribe_read(body, MQTT_UNSUBSCRIBE, receiver->version, &unsubscribe, &violation) ==
                MQTT_WHOLE);
    struct reader entries = reader_of(unsubscribe.entries);
    while (mqtt_subscribe_next(&entries, MQTT_UNSUBSCRIBE, &entry))
        must_be_inside(receiver, entry.filter);
}

static void see_subscribe(const struct receiver *receiver, struct span body) {
    struct mqtt_subscribe subscribe;
    struct mqtt_subscribe_entry entry;
    enum violation violation;
    DRIVER_MUST(mqtt_subscribe_read(body, MQTT_SUBSCRIBE, receiver->version, &subscribe, &violation) ==
                MQTT_WHOLE);
    struct reader entries = reader_of(subscribe.entries);
    DRIVER_MUST(rules_judge_subscribe(&receiver->plan->limits, &subscribe).verdict.is_allowed);
    while (mqtt_subscribe_next(&entries, MQTT_SUBSCRIBE, &entry)) {
        must_be_inside(receiver, entry.filter);
        DRIVER_MUST((entry.options & 3) <= receiver->plan->limits.max_qos);
        DRIVER_MUST(receiver->plan->limits.is_subscribe_silent ||
                    acl_may_subscribe(&receiver->driver->inspector.acl, entry.filter).is_allowed);
        entry.filter = without_mount(receiver, entry.filter);
        DRIVER_MUST(rules_judge_filter(&receiver->plan->limits, &entry).verdict.is_allowed);
    }
}

/* All of the stream: whole packets, and at its end perhaps a PUBLISH whose payload is not all there. */
static void see(struct receiver *receiver, struct span stream) {
    while (stream.size != 0) {
        enum violation violation = VIOLATION_NONE;
        bool is_connect = stream.at[0] >> 4 == MQTT_CONNECT;
        enum mqtt_outcome outcome = whole_read(stream, receiver->version, receiver->direction, &violation);
        DRIVER_MUST(outcome != MQTT_WRONG);
        struct mqtt_frame frame;
        DRIVER_MUST(mqtt_frame_read(stream, is_connect ? MQTT_VERSION_NONE : receiver->version,
                                    receiver->direction, &frame, &violation) == MQTT_WHOLE);
        DRIVER_MUST(outcome == MQTT_WHOLE || frame.type == MQTT_PUBLISH);
        size_t size = mqtt_frame_size(&frame) < stream.size ? mqtt_frame_size(&frame) : stream.size;
        struct span packet = span_first(stream, size);
        if (frame.type == MQTT_PUBLISH)
            see_publish(receiver, &frame, packet);
        if (frame.type == MQTT_SUBSCRIBE)
            see_subscribe(receiver, span_after(packet, frame.header_size));
        if (frame.type == MQTT_UNSUBSCRIBE)
            see_unsubscribe(receiver, span_after(packet, frame.header_size));
        if (receiver->direction == MQTT_TO_BROKER && !is_connect)
            DRIVER_MUST(receiver->plan->limits.max_packet_size == 0 ||
                        mqtt_frame_size(&frame) <= receiver->plan->limits.max_packet_size + 65535);
        stream = span_after(stream, size);
    }
}

static void see_all(const struct driver *driver, const struct plan *plan) {
    static struct receiver receiver;
    enum mqtt_version version =
        driver->inspector.version == MQTT_VERSION_NONE ? MQTT_VERSION_311 : driver->inspector.version;
    for (int direction = MQTT_TO_BROKER; direction <= MQTT_TO_DEVICE; direction++) {
        enum mqtt_direction back = direction == MQTT_TO_BROKER ? MQTT_TO_DEVICE : MQTT_TO_BROKER;
        memset(&receiver, 0, sizeof receiver);
        receiver.driver = driver;
        receiver.plan = plan;
        receiver.version = version;
        receiver.direction = (enum mqtt_direction)direction;
        see(&receiver, driver_out(driver, receiver.direction));
        receiver.direction = back;
        see(&receiver, driver_answers(driver, (enum mqtt_direction)direction));
    }
}

/* ---- the three runs ---- */

enum manner { AT_ONCE, CHOPPED, CHOPPED_AND_LAZY };

/* A burst of five packets, three messages and forty bytes, and a clock that stands still. */
static struct pace *small_pace(unsigned action) {
    static struct pace pace;
    static const struct rate rates[PACE_KINDS] = {{1, 5}, {1, 3}, {1, 40}};
    if (action == 0)
        return NULL;
    pace = (struct pace){.action = (enum pace_action)action, .now_ms = 1000, .since_ms = 1000};
    for (unsigned kind = 0; kind < PACE_KINDS; kind++) {
        meter_init(&pace.own[kind], &rates[kind], NULL, 1000);
        pace.meters[kind][kind] = &pace.own[kind]; /* each of another scope */
    }
    return &pace;
}

static struct driver *converse(const struct plan *plan, struct span input, enum manner manner,
                               size_t *record_count) {
    struct driver *driver = driver_create(&plan->limits, plan->has_acl ? policy() : NULL);
    struct reader reader = reader_of(input);
    struct span record;
    enum mqtt_direction direction;
    uint64_t seed = input.size * 31 + (input.size == 0 ? 0 : input.at[input.size - 1]);
    size_t count = 0;
    uint8_t reason;
    const char *words;
    driver->is_lazy = manner == CHOPPED_AND_LAZY;
    DRIVER_MUST(
        mount_bind(&driver->inspector, plan->mount_point, driver->inspector.acl.identity, &reason, &words));
    driver->inspector.pace = small_pace(plan->action);
    if (plan->is_open) {
        bool is_5 = plan->version == MQTT_VERSION_5;
        driver_feed(driver, MQTT_TO_BROKER, canned(plan->version, is_5 ? 27 : 19));
        driver_feed(driver, MQTT_TO_DEVICE, canned(plan->version, is_5 ? 25 : 18));
        DRIVER_MUST(driver->starts == 1);
    }
    while (next_record(&reader, plan->version, &direction, &record)) {
        if (manner == CHOPPED)
            driver->spare = driver_random(&seed) % 40;
        if (manner == AT_ONCE)
            driver_feed(driver, direction, record);
        else
            driver_feed_chopped(driver, direction, record, &seed, 1 + driver_random(&seed) % 12);
        count++;
        bool is_over = driver_is_over(driver->ways[0].result) || driver_is_over(driver->ways[1].result);
        if (count == *record_count || (manner == AT_ONCE && is_over))
            break;
    }
    *record_count = count;
    return driver;
}

static void must_be_same(const struct driver *a, const struct driver *b, bool may_be_late) {
    for (int i = 0; i < 2; i++) {
        enum mqtt_direction direction = (enum mqtt_direction)i;
        DRIVER_MUST(span_is_equal(driver_out(a, direction), driver_out(b, direction)));
        DRIVER_MUST(span_is_equal(driver_answers(a, direction), driver_answers(b, direction)));
        /* Who looks late sees late that something is wrong, but no byte more has left by then. */
        bool is_late = may_be_late && a->ways[i].result == INSPECT_WRONG && b->ways[i].result == INSPECT_MORE;
        DRIVER_MUST(is_late || a->ways[i].result == b->ways[i].result);
    }
    DRIVER_MUST(a->refusals == b->refusals);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 2)
        return 0;
    struct plan plan = plan_of(bytes[0], bytes[1]);
    struct span input = span_of(bytes + 2, size - 2);
    size_t record_count = 0;
    struct driver *whole = converse(&plan, input, AT_ONCE, &record_count);
    see_all(whole, &plan);
    for (int manner = CHOPPED; manner <= CHOPPED_AND_LAZY && record_count != 0; manner++) {
        struct driver *chopped = converse(&plan, input, (enum manner)manner, &record_count);
        must_be_same(whole, chopped, manner == CHOPPED_AND_LAZY);
        driver_destroy(chopped);
    }
    driver_destroy(whole);
    return 0;
}
