/* writer: a cursor over lent room with a sticky full flag. A write that does not fit writes nothing and sets
 * is_full. */
#ifndef DRAWBRIDGE_BASE_WRITER_H
#define DRAWBRIDGE_BASE_WRITER_H

#include "base/span.h"

struct writer {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool is_full;
};

static inline struct writer writer_of(void *room, size_t size) {
    return (struct writer){room, room, (uint8_t *)room + size, false};
}

static inline size_t writer_size(const struct writer *writer) {
    return (size_t)(writer->at - writer->start);
}

static inline struct span writer_span(const struct writer *writer) {
    return (struct span){writer->start, writer_size(writer)};
}

static inline void writer_bytes(struct writer *writer, struct span bytes) {
    if (writer->is_full || (size_t)(writer->end - writer->at) < bytes.size) {
        writer->is_full = true;
        return;
    }
    if (bytes.size != 0)
        memcpy(writer->at, bytes.at, bytes.size);
    writer->at += bytes.size;
}

static inline void writer_u8(struct writer *writer, uint8_t value) {
    writer_bytes(writer, span_of(&value, 1));
}

static inline void writer_u16(struct writer *writer, uint16_t value) {
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    writer_bytes(writer, span_of(bytes, 2));
}

static inline void writer_u32(struct writer *writer, uint32_t value) {
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    writer_bytes(writer, span_of(bytes, 4));
}

/* MQTT's length-prefixed string; longer than 65,535 bytes counts as full. */
static inline void writer_string(struct writer *writer, struct span text) {
    if (text.size > UINT16_MAX || (size_t)(writer->end - writer->at) < 2 + text.size) {
        writer->is_full = true;
        return;
    }
    writer_u16(writer, (uint16_t)text.size);
    writer_bytes(writer, text);
}

#endif
