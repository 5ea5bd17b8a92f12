#include "differ/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lines_clear(struct lines *lines) {
    lines->size = 0;
    if (lines->at != NULL)
        lines->at[0] = 0;
}

void lines_free(struct lines *lines) {
    free(lines->at);
    *lines = (struct lines){NULL, 0, 0};
}

const char *lines_text(const struct lines *lines) {
    return lines->at == NULL ? "" : lines->at;
}

static char *make_room(struct lines *lines, size_t count) {
    if (lines->room - lines->size < count + 1) {
        lines->room = 2 * lines->room + count + 256;
        lines->at = realloc(lines->at, lines->room);
        if (lines->at == NULL)
            abort();
    }
    return lines->at + lines->size;
}

void lines_add_text(struct lines *lines, const char *text) {
    size_t size = strlen(text);
    memcpy(make_room(lines, size), text, size + 1);
    lines->size += size;
}

__attribute__((format(printf, 2, 3))) static void add(struct lines *lines, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *room = make_room(lines, 128);
    int size = vsnprintf(room, 128, format, arguments);
    va_end(arguments);
    if (size < 0 || size >= 128)
        abort();
    lines->size += (size_t)size;
}

#define SHOWN 48

/* The beginning in letters, or %XX; a longer one with its size and a hash of all. */
static void add_bytes(struct lines *lines, const char *name, struct ref_bytes bytes) {
    static const char digits[] = "0123456789abcdef";
    size_t shown = bytes.size < SHOWN ? bytes.size : SHOWN;
    add(lines, " %s=", name);
    char *room = make_room(lines, 3 * shown), *start = room;
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = bytes.at[i];
        if (byte > ' ' && byte < 0x7F && byte != '%') {
            *room++ = (char)byte;
        } else {
            *room++ = '%';
            *room++ = digits[byte >> 4];
            *room++ = digits[byte & 15];
        }
    }
    *room = 0;
    lines->size += (size_t)(room - start);
    if (shown == bytes.size)
        return;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.at[i]) * 1099511628211u;
    add(lines, "~%zu:%016llx", bytes.size, (unsigned long long)hash);
}

static void add_prop(struct lines *lines, const struct ref_prop *prop, const char *name) {
    add(lines, " %s%02x=%u", name, prop->id, prop->number);
    if (prop->text.size != 0)
        add_bytes(lines, "text", prop->text);
    if (prop->value.size != 0)
        add_bytes(lines, "value", prop->value);
}

/* By identifier: only among the same does the order mean anything (MQTT 5.0 3.3.2.3.7). */
static void add_props(struct lines *lines, const struct ref_props *props, const char *name) {
    for (size_t row = 0; row < ref_prop_row_count && props->count != 0; row++)
        for (size_t i = 0; i < props->count; i++)
            if (props->list[i].id == ref_prop_rows[row].id)
                add_prop(lines, &props->list[i], name);
}

static void add_connect(struct lines *lines, const struct ref_packet *packet) {
    add(lines, " v%d bridge=%d clean=%d keep-alive=%u", packet->version, packet->is_bridge, packet->is_clean,
        packet->keep_alive);
    add_bytes(lines, "client-id", packet->client_id);
    if (packet->has_will) {
        add(lines, " will-qos=%d will-retain=%d", packet->will_qos, packet->will_retain);
        add_bytes(lines, "will-topic", packet->will_topic);
        add_bytes(lines, "will-payload", packet->will_payload);
        add_props(lines, &packet->will_props, "will-prop-");
    }
    if (packet->has_username)
        add_bytes(lines, "username", packet->username);
    if (packet->has_password)
        add_bytes(lines, "password", packet->password);
}

void lines_add_packet(struct lines *lines, const struct ref_packet *packet, struct ref_bytes topic) {
    static const char *const names[16] = {
        "?",         "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
        "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};
    add(lines, "%s", names[packet->type]);
    if (packet->type == REF_CONNECT)
        add_connect(lines, packet);
    if (packet->type == REF_CONNACK)
        add(lines, " session-present=%d", packet->session_present);
    if (packet->packet_id != 0)
        add(lines, " id=%u", packet->packet_id);
    if (packet->reason != 0)
        add(lines, " reason=%02x", (unsigned)packet->reason);
    if (packet->type == REF_PUBLISH) {
        add(lines, " qos=%d retain=%d dup=%d", packet->qos, packet->is_retained, packet->is_dup);
        add_bytes(lines, "topic", topic);
        add_bytes(lines, "payload", packet->payload);
    }
    for (size_t i = 0; i < packet->filter_count; i++) {
        add_bytes(lines, "filter", packet->filters[i].text);
        add(lines, ":%02x", packet->filters[i].options);
    }
    if (packet->codes.size != 0)
        add_bytes(lines, "codes", packet->codes);
    add_props(lines, &packet->props, "prop-");
    add(lines, "\n");
}
