/* packets: whole packets for the tests of inspect/ and session/, written byte by byte, and the small policy
 * and the comparisons that go with them. */
#ifndef TEST_UNIT_INSPECT_PACKETS_H
#define TEST_UNIT_INSPECT_PACKETS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/writer.h"
#include "mqtt/props.h"
#include "mqtt/write.h"
#include "policy/acl.h"

/* Built packets live here until packets_forget; a test builds few. */
#define PACKETS_POOL (4u * 1024 * 1024)
static uint8_t packets_pool[PACKETS_POOL];
static size_t packets_pooled;

static inline void packets_forget(void) {
    packets_pooled = 0;
}

/* A writer over what is left of the pool; close it with packets_close. */
static inline struct writer packets_open(void) {
    return writer_of(packets_pool + packets_pooled, sizeof packets_pool - packets_pooled);
}

static inline struct span packets_close(const struct writer *writer) {
    if (writer->is_full)
        abort();
    packets_pooled += writer_size(writer);
    return writer_span(writer);
}

/* A first byte, the remaining length, the body. */
static inline struct span packet(uint8_t first, struct span body) {
    struct writer writer = packets_open();
    mqtt_write_frame(&writer, (enum mqtt_type)(first >> 4), first & 15, (uint32_t)body.size);
    writer_bytes(&writer, body);
    return packets_close(&writer);
}

static inline struct span bytes_of_hex(const char *hex) {
    struct writer writer = packets_open();
    unsigned value;
    int used;
    for (; sscanf(hex, " %2x%n", &value, &used) == 1; hex += used)
        writer_u8(&writer, (uint8_t)value);
    return packets_close(&writer);
}

static inline struct span join(struct span a, struct span b) {
    struct writer writer = packets_open();
    writer_bytes(&writer, a);
    writer_bytes(&writer, b);
    return packets_close(&writer);
}

static inline void write_props(struct writer *writer, enum mqtt_version version, struct span props) {
    if (version != MQTT_VERSION_5)
        return;
    uint8_t room[4];
    writer_bytes(writer, span_of(room, mqtt_varint_write(room, (uint32_t)props.size)));
    writer_bytes(writer, props);
}

static inline struct span connect_packet(enum mqtt_version version, struct span props, const char *client_id,
                                         uint16_t keep_alive_s) {
    struct writer body = packets_open();
    writer_string(&body, span_of_text(version == MQTT_VERSION_31 ? "MQIsdp" : "MQTT"));
    writer_u8(&body, (uint8_t)version);
    writer_u8(&body, 2);
    writer_u16(&body, keep_alive_s);
    write_props(&body, version, props);
    writer_string(&body, span_of_text(client_id));
    return packet(0x10, packets_close(&body));
}

static inline struct span connack_packet(enum mqtt_version version, uint8_t code, struct span props) {
    struct writer body = packets_open();
    writer_u8(&body, 0);
    writer_u8(&body, code);
    write_props(&body, version, props);
    return packet(0x20, packets_close(&body));
}

struct publish_fields {
    uint8_t qos;
    bool retain, dup;
    uint16_t id;
    const char *topic;
    struct span props, payload;
};

static inline struct span publish_packet(enum mqtt_version version, struct publish_fields fields) {
    struct writer body = packets_open();
    writer_string(&body, span_of_text(fields.topic));
    if (fields.qos != 0)
        writer_u16(&body, fields.id);
    write_props(&body, version, fields.props);
    writer_bytes(&body, fields.payload);
    uint8_t first = (uint8_t)(0x30 | fields.qos << 1 | (fields.retain ? 1 : 0) | (fields.dup ? 8 : 0));
    return packet(first, packets_close(&body));
}

/* `filters` is "FILTER:OPTIONS FILTER:OPTIONS ...", options in hex. */
static inline struct span subscribe_packet(enum mqtt_version version, uint16_t id, struct span props,
                                           const char *filters) {
    struct writer body = packets_open();
    char filter[128];
    unsigned options;
    int used;
    writer_u16(&body, id);
    write_props(&body, version, props);
    for (; sscanf(filters, " %127[^: ]:%x%n", filter, &options, &used) == 2; filters += used) {
        writer_string(&body, span_of_text(filter));
        writer_u8(&body, (uint8_t)options);
    }
    return packet(0x82, packets_close(&body));
}

static inline struct span suback_packet(enum mqtt_version version, uint16_t id, struct span props,
                                        struct span codes) {
    struct writer body = packets_open();
    writer_u16(&body, id);
    write_props(&body, version, props);
    writer_bytes(&body, codes);
    return packet(0x90, packets_close(&body));
}

/* PUBACK, PUBREC, PUBREL, PUBCOMP with or without a reason. */
static inline struct span ack_packet(enum mqtt_version version, enum mqtt_type type, uint16_t id,
                                     uint8_t reason) {
    struct writer writer = packets_open();
    mqtt_write_ack(&writer, version, type, id, reason, SPAN_NONE);
    return packets_close(&writer);
}

/* A property of the alias and one of the user. */
static inline struct span alias_prop(uint16_t alias) {
    struct writer writer = packets_open();
    writer_u8(&writer, 0x23);
    writer_u16(&writer, alias);
    return packets_close(&writer);
}

static inline struct span user_prop(const char *name, const char *value) {
    struct writer writer = packets_open();
    writer_u8(&writer, 0x26);
    writer_string(&writer, span_of_text(name));
    writer_string(&writer, span_of_text(value));
    return packets_close(&writer);
}

static inline void print_bytes(const char *name, struct span bytes) {
    fprintf(stderr, "%s (%zu bytes):", name, bytes.size);
    for (size_t i = 0; i < bytes.size && i < 200; i++)
        fprintf(stderr, " %02x", bytes.at[i]);
    fprintf(stderr, "%s\n", bytes.size > 200 ? " ..." : "");
}

#define assert_bytes(found, wanted)                                                                          \
    do {                                                                                                     \
        struct span found_ = (found), wanted_ = (wanted);                                                    \
        if (!span_is_equal(found_, wanted_)) {                                                               \
            print_bytes("found ", found_);                                                                   \
            print_bytes("wanted", wanted_);                                                                  \
            fail_msg("%s is not %s", #found, #wanted);                                                       \
        }                                                                                                    \
    } while (0)

/* What all tests here may and may not do, as a client without a username. */
#define PACKETS_ACL                                                                                          \
    "topic readwrite ok/#\n"                                                                                 \
    "topic write out/#\n"                                                                                    \
    "topic read in/#\n"                                                                                      \
    "topic deny ok/secret\n"

struct small_policy {
    struct arena *arena;
    const struct acl *acl;
};

static inline struct small_policy small_policy_create(const char *text) {
    struct small_policy policy = {.arena = arena_create()};
    struct findings findings;
    findings_init(&findings);
    policy.acl = acl_compile(policy.arena, "acl", span_of_text(text), &findings);
    for (const struct finding *finding = findings.first; finding != NULL; finding = finding->next)
        fprintf(stderr, "%s\n", finding->text);
    findings_clear(&findings);
    if (policy.acl == NULL)
        abort();
    return policy;
}

#endif
