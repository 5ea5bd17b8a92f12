#include "base/units.h"

#include <errno.h>
#include <stdlib.h>

/* Digits at the start, the rest is left in *rest. */
static bool read_number(struct span text, uint64_t *value, struct span *rest) {
    size_t i = 0;
    *value = 0;
    for (; i < text.size && text.at[i] >= '0' && text.at[i] <= '9'; i++) {
        unsigned digit = text.at[i] - '0';
        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    *rest = span_after(text, i);
    return i != 0;
}

static bool multiply(uint64_t *value, uint64_t factor) {
    if (*value > UINT64_MAX / factor)
        return false;
    *value *= factor;
    return true;
}

bool units_read_duration_ms(struct span text, uint64_t *value_ms) {
    static const struct {
        const char *unit;
        uint64_t factor_ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct span rest;
    if (!read_number(text, value_ms, &rest))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (span_is_text(rest, units[i].unit))
            return multiply(value_ms, units[i].factor_ms);
    return false;
}

bool units_read_size_bytes(struct span text, uint64_t *value_bytes) {
    struct span rest;
    if (!read_number(text, value_bytes, &rest))
        return false;
    if (rest.size == 0)
        return true;
    if (rest.size != 1)
        return false;
    switch (rest.at[0] | 0x20) {
    case 'k': return multiply(value_bytes, 1u << 10);
    case 'm': return multiply(value_bytes, 1u << 20);
    case 'g': return multiply(value_bytes, 1u << 30);
    default: return false;
    }
}

bool units_read_int(struct span text, int32_t *value) {
    char room[32]; /* longer numbers cannot fit 32 bit, but for leading zeros nobody writes */
    if (text.size == 0 || text.size >= sizeof room || text.at[0] <= ' ')
        return false;
    memcpy(room, text.at, text.size);
    room[text.size] = 0;
    char *end;
    errno = 0;
    long long found = strtoll(room, &end, 0);
    if (errno != 0 || end != room + text.size || end == room || found < INT32_MIN || found > INT32_MAX)
        return false;
    *value = (int32_t)found;
    return true;
}
