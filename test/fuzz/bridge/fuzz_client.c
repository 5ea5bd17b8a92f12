/* The first byte says which version and in what pieces; the rest is what a broker sends to a bridge. Whatever
 * it is, the client ends it or goes on, tells only whole packets, and says only whole ones. */
#include "mqtt/packet.h"
#include "unit/bridge/pipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())
#define PACKET_MAX       4096

static unsigned ends, connacks;

static void on_connack(struct client *client, const struct mqtt_connack *connack) {
    CHECK(connacks++ == 0);
    CHECK((connack->code == 0) == client_is_open(client));
}

static void on_publish(struct client *client, const struct mqtt_publish *publish, struct span topic,
                       struct span payload) {
    CHECK(connacks == 1 && topic.size != 0 && topic.size + payload.size <= PACKET_MAX);
    CHECK((publish->qos == 0) == (publish->packet_id == 0));
    if (publish->qos != 0)
        client_write_ack(client, publish->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, publish->packet_id,
                         MQTT_REASON_SUCCESS);
    const struct client_publish copy = {.topic = topic, .payload = payload};
    if (payload.size == 3 && payload.at[0] == 'x') /* what owners do within a call */
        client_close(client, CLIENT_OURS, true);
    else
        client_write_publish(client, &copy);
}

static void on_ack(struct client *client, enum mqtt_type type, uint16_t packet_id, uint8_t reason) {
    CHECK(packet_id != 0);
    if (type == MQTT_PUBREC && reason < 0x80)
        client_write_ack(client, MQTT_PUBREL, packet_id, MQTT_REASON_SUCCESS);
}

static void on_suback(struct client *client, enum mqtt_type type, uint16_t packet_id, struct span codes) {
    (void)client;
    CHECK(packet_id != 0 && (type == MQTT_UNSUBACK || codes.size != 0));
}

static void on_drained(struct client *client) {
    CHECK(client_is_open(client));
}

static void on_read(struct client *client) {
    CHECK(client_is_open(client) || client->state == CLIENT_GREETING);
}

static void on_ended(struct client *client, enum client_end end, const char *words) {
    CHECK(client->state == CLIENT_IDLE && end != CLIENT_NONE && words[0] != '\0');
    ends++;
}

static const struct client_events events = {on_connack, on_publish, on_ack,  on_suback,
                                            on_drained, on_read,    on_ended};

static void check_written(enum mqtt_version version) {
    struct span rest = pipe_written();
    while (rest.size != 0) {
        struct mqtt_frame frame;
        enum violation violation;
        CHECK(mqtt_frame_read(rest, version, MQTT_TO_BROKER, &frame, &violation) == MQTT_WHOLE);
        CHECK(mqtt_frame_size(&frame) <= rest.size);
        rest = span_after(rest, mqtt_frame_size(&frame));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5,
                                                 MQTT_VERSION_5};
    static const struct conf_backend where = {.text = "broker:1883"};
    struct client client;
    if (size == 0)
        return 0;
    enum mqtt_version version = versions[bytes[0] & 3];
    size_t piece = (bytes[0] & 4) != 0 ? SIZE_MAX : 1 + (bytes[0] >> 3);
    ends = connacks = 0;
    pipe_begin();
    client_init(&client, NULL, NULL, &events, NULL);
    const struct client_wish wish = {
        .where = &where,
        .connect = {.version = version, .client_id = SPAN_LITERAL("c"), .keep_alive_s = 10},
        .timeout_ms = 5000,
        .max_packet_size = PACKET_MAX,
        .topic_alias_max = 3};
    client_connect(&client, &wish);
    pipe_open();
    pipe_say(span_of(bytes + 1, size - 1), piece);
    check_written(version);
    pipe_settle();
    if (ends == 0) {
        pipe_pass(30000); /* silence is an end, too */
        pipe_settle();
    }
    CHECK(ends == 1 && pipe_.wheel.count == 0);
    client_clear(&client);
    return 0;
}
