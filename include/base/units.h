/* units: numbers as people write them. */
#ifndef DRAWBRIDGE_BASE_UNITS_H
#define DRAWBRIDGE_BASE_UNITS_H

#include "base/span.h"

/* "10s", "500ms", "5m", "8h", "7d"; a bare number is seconds. False when it is no duration or does not fit.
 */
bool units_read_duration_ms(struct span text, uint64_t *value_ms);

/* "100", "64k", "1m", "2g" (powers of 1024, either case). False when it is no size or does not fit. */
bool units_read_size_bytes(struct span text, uint64_t *value_bytes);

/* mosquitto's integers: C rules with base 0 (decimal, 0x hexadecimal, 0 octal), signed 32 bit, nothing behind
 * the number. */
bool units_read_int(struct span text, int32_t *value);

#endif
