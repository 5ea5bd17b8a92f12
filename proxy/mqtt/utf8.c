#include "mqtt/utf8.h"

#define EVERY_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

static inline uint64_t has_zero_byte(uint64_t word) {
    return (word - EVERY_BYTE(0x01)) & ~word & EVERY_BYTE(0x80);
}

/* Is there a byte in it that wants a closer look: not ASCII, U+0000, `+` or `#`? `+` and `#` differ in one
 * bit, so both are sought at once. */
static inline bool is_remarkable(uint64_t word) {
    uint64_t wildcard = (word | EVERY_BYTE('+' ^ '#')) ^ EVERY_BYTE('+' | '#');
    return ((word & EVERY_BYTE(0x80)) | has_zero_byte(word) | has_zero_byte(wildcard)) != 0;
}

static inline uint64_t load_8(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t load_4(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* One to eight bytes as a word, some of them twice. */
static inline uint64_t load_few(const uint8_t *at, size_t size) {
    if (size >= 4)
        return (uint64_t)load_4(at) << 32 | load_4(at + size - 4);
    return EVERY_BYTE(at[0]) >> 24 << 24 | (uint64_t)at[size / 2] << 16 | (uint64_t)at[size - 1] << 8 | at[0];
}

/* Where the next remarkable byte may be: all bytes in front of the place are plain. */
static inline size_t skip_plain(const uint8_t *at, size_t size) {
    size_t i = 0;
    while (size - i > 8) {
        if (is_remarkable(load_8(at + i)))
            return i;
        i += 8;
    }
    return i == size || is_remarkable(load_few(at + i, size - i)) ? i : size;
}

static inline bool is_between(uint8_t byte, uint8_t low, uint8_t high) {
    return byte >= low && byte <= high;
}

/* The size of the well-formed character at the start, 0 when there is none (Unicode, table 3-7): no over-long
 * forms, no surrogates, nothing above U+10FFFF. */
static size_t character_size(const uint8_t *at, size_t size) {
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    if (is_between(first, 0xC2, 0xDF))
        return size >= 2 && is_between(at[1], 0x80, 0xBF) ? 2 : 0;
    if (is_between(first, 0xE0, 0xEF)) {
        uint8_t low = first == 0xE0 ? 0xA0 : 0x80;
        uint8_t high = first == 0xED ? 0x9F : 0xBF;
        return size >= 3 && is_between(at[1], low, high) && is_between(at[2], 0x80, 0xBF) ? 3 : 0;
    }
    if (is_between(first, 0xF0, 0xF4)) {
        uint8_t low = first == 0xF0 ? 0x90 : 0x80;
        uint8_t high = first == 0xF4 ? 0x8F : 0xBF;
        return size >= 4 && is_between(at[1], low, high) && is_between(at[2], 0x80, 0xBF) &&
                       is_between(at[3], 0x80, 0xBF)
                   ? 4
                   : 0;
    }
    return 0;
}

/* Behind a remarkable byte the next eight are looked at one by one, so that a text in a foreign script does
 * not pay for a word test per character. */
unsigned mqtt_utf8_flaws(struct span bytes) {
    unsigned flaws = 0;
    size_t i = 0;
    while (i < bytes.size) {
        i += skip_plain(bytes.at + i, bytes.size - i);
        for (size_t stop = i + 8; i < stop && i < bytes.size;) {
            uint8_t byte = bytes.at[i];
            size_t size = character_size(bytes.at + i, bytes.size - i);
            if (size == 0)
                return flaws | MQTT_FLAW_UTF8;
            if (byte == 0)
                flaws |= MQTT_FLAW_NUL;
            if (byte == '+' || byte == '#')
                flaws |= MQTT_FLAW_WILDCARD;
            i += size;
        }
    }
    return flaws;
}

enum violation mqtt_utf8_judge(struct span bytes) {
    unsigned flaws = mqtt_utf8_flaws(bytes);
    return (flaws & MQTT_FLAW_UTF8) != 0  ? VIOLATION_STRING_UTF8
           : (flaws & MQTT_FLAW_NUL) != 0 ? VIOLATION_STRING_NUL
                                          : VIOLATION_NONE;
}
