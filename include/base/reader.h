/* reader: a cursor over borrowed bytes with a sticky short flag.
 * A read past the end yields zero (or the empty span) and sets is_short; the caller looks at the flag once,
 * at the end. */
#ifndef DRAWBRIDGE_BASE_READER_H
#define DRAWBRIDGE_BASE_READER_H

#include "base/span.h"

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool is_short;
};

static inline struct reader reader_of(struct span bytes) {
    return (struct reader){bytes.at, bytes.size == 0 ? bytes.at : bytes.at + bytes.size, false};
}

static inline size_t reader_left(const struct reader *reader) {
    return reader->at == NULL ? 0 : (size_t)(reader->end - reader->at);
}

static inline struct span reader_bytes(struct reader *reader, size_t count) {
    if (reader_left(reader) < count) {
        reader->is_short = true;
        reader->at = reader->end;
        return SPAN_NONE;
    }
    struct span found = {reader->at, count};
    if (count != 0)
        reader->at += count;
    return found;
}

static inline uint8_t reader_u8(struct reader *reader) {
    struct span found = reader_bytes(reader, 1);
    return found.size == 1 ? found.at[0] : 0;
}

static inline uint16_t reader_u16(struct reader *reader) {
    struct span found = reader_bytes(reader, 2);
    return found.size == 2 ? (uint16_t)(found.at[0] << 8 | found.at[1]) : 0;
}

static inline uint32_t reader_u32(struct reader *reader) {
    struct span found = reader_bytes(reader, 4);
    return found.size == 4 ? (uint32_t)found.at[0] << 24 | (uint32_t)found.at[1] << 16 |
                                 (uint32_t)found.at[2] << 8 | found.at[3]
                           : 0;
}

/* Two bytes of length, then that many bytes: MQTT's string and binary data (MQTT 5.0 1.5.4, 1.5.6). */
static inline struct span reader_string(struct reader *reader) {
    uint16_t size = reader_u16(reader);
    return reader_bytes(reader, size);
}

#endif
