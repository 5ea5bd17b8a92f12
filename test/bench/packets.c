/* packets: the few MQTT packets that a bench needs. Built for speed of the load, not as a checker of anybody.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

void bytes_add(struct bytes *bytes, const void *data, size_t size) {
    if (bytes->size + size > bytes->room) {
        bytes->room = (bytes->size + size) * 2;
        bytes->data = realloc(bytes->data, bytes->room);
        if (bytes->data == NULL)
            die("out of memory");
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void bytes_free(struct bytes *bytes) {
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* ---- reading ---- */

/* Takes one byte of the fixed header. False: a fifth length byte. */
static bool take_header(struct packet_reader *reader, uint8_t byte) {
    if (!reader->has_first) {
        reader->first = byte;
        reader->has_first = true;
        return true;
    }
    reader->remaining |= (uint32_t)(byte & 0x7f) << (7 * reader->length_size++);
    reader->has_length = (byte & 0x80) == 0;
    return reader->has_length || reader->length_size < 4;
}

bool packet_read(struct packet_reader *reader, const uint8_t *bytes, size_t size,
                 void (*on_packet)(void *owner, const struct packet *packet), void *owner) {
    const uint8_t *end = bytes + size;
    while (bytes < end || reader->has_length) {
        if (!reader->has_length) {
            if (!take_header(reader, *bytes++))
                return false;
            continue;
        }
        size_t part = reader->remaining - reader->taken;
        const uint8_t *body = bytes;
        bool is_whole = reader->taken == 0; /* the body lies in one piece before us: no copy */
        if (part > (size_t)(end - bytes)) {
            part = (size_t)(end - bytes);
            is_whole = false;
        }
        if (!is_whole && reader->taken < PACKET_PREFIX) {
            size_t room = PACKET_PREFIX - reader->taken;
            memcpy(reader->prefix + reader->taken, bytes, part < room ? part : room);
        }
        bytes += part;
        reader->taken += (uint32_t)part;
        if (reader->taken < reader->remaining)
            return true;
        struct packet packet = {.first = reader->first, .remaining = reader->remaining};
        packet.body = is_whole ? body : reader->prefix;
        packet.body_size = is_whole || packet.remaining < PACKET_PREFIX ? packet.remaining : PACKET_PREFIX;
        reader->first = reader->length_size = 0;
        reader->has_first = reader->has_length = false;
        reader->remaining = reader->taken = 0;
        on_packet(owner, &packet);
    }
    return true;
}

uint16_t packet_publish_id(const struct packet *packet) {
    if (packet->body_size < 2)
        return 0;
    size_t at = 2u + ((size_t)packet->body[0] << 8 | packet->body[1]);
    return packet->body_size < at + 2 ? 0 : (uint16_t)(packet->body[at] << 8 | packet->body[at + 1]);
}

/* ---- writing ---- */

static void add_byte(struct bytes *out, unsigned value) {
    uint8_t byte = (uint8_t)value;
    bytes_add(out, &byte, 1);
}

static void add_two(struct bytes *out, unsigned value) {
    add_byte(out, value >> 8);
    add_byte(out, value & 0xff);
}

static void add_text(struct bytes *out, const char *text) {
    add_two(out, (unsigned)strlen(text));
    bytes_add(out, text, strlen(text));
}

static void add_header(struct bytes *out, unsigned first, size_t remaining) {
    add_byte(out, first);
    do {
        add_byte(out, (remaining & 0x7f) | (remaining > 0x7f ? 0x80 : 0));
        remaining >>= 7;
    } while (remaining > 0);
}

static size_t text_size(const char *text) {
    return text == NULL ? 0 : 2 + strlen(text);
}

void packet_add_connect(struct bytes *out, const struct connect_options *options) {
    bool is_5 = options->version == MQTT_5;
    unsigned flags = 0x02u | (options->user != NULL ? 0x80u : 0) | (options->password != NULL ? 0x40u : 0);
    add_header(out, CONNECT << 4,
               10u + is_5 + text_size(options->client_id) + text_size(options->user) +
                   text_size(options->password));
    add_text(out, "MQTT");
    add_byte(out, (unsigned)options->version);
    add_byte(out, flags);
    add_two(out, options->keep_alive_seconds);
    if (is_5)
        add_byte(out, 0); /* no properties */
    add_text(out, options->client_id);
    if (options->user != NULL)
        add_text(out, options->user);
    if (options->password != NULL)
        add_text(out, options->password);
}

void packet_add_connack(struct bytes *out, int version) {
    add_header(out, CONNACK << 4, version == MQTT_5 ? 3 : 2);
    add_two(out, 0);
    if (version == MQTT_5)
        add_byte(out, 0);
}

void packet_add_publish(struct bytes *out, int version, const char *topic, size_t payload_size, uint16_t id) {
    bool is_5 = version == MQTT_5, has_id = id != 0;
    add_header(out, PUBLISH << 4 | (has_id ? 0x02u : 0),
               text_size(topic) + has_id * 2u + is_5 + payload_size);
    add_text(out, topic);
    if (has_id)
        add_two(out, id);
    if (is_5)
        add_byte(out, 0);
    for (size_t i = 0; i < payload_size; i++)
        add_byte(out, "0123456789abcdef"[i & 15]);
}

void packet_add_subscribe(struct bytes *out, int version, uint16_t id, const char *filter) {
    add_header(out, SUBSCRIBE << 4 | 0x02, 2u + (version == MQTT_5) + text_size(filter) + 1u);
    add_two(out, id);
    if (version == MQTT_5)
        add_byte(out, 0);
    add_text(out, filter);
    add_byte(out, 0); /* QoS 0 */
}

void packet_add_suback(struct bytes *out, int version, uint16_t id) {
    add_header(out, SUBACK << 4, version == MQTT_5 ? 4 : 3);
    add_two(out, id);
    if (version == MQTT_5)
        add_byte(out, 0);
    add_byte(out, 0); /* QoS 0 granted */
}

void packet_add_puback(struct bytes *out, uint16_t id) {
    add_header(out, PUBACK << 4, 2);
    add_two(out, id);
}

void packet_add_empty(struct bytes *out, int type) {
    add_header(out, (unsigned)type << 4, 0);
}
