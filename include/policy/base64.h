/* base64: RFC 4648 section 4 as password files use it: the standard alphabet, padded, no line breaks. */
#ifndef DRAWBRIDGE_POLICY_BASE64_H
#define DRAWBRIDGE_POLICY_BASE64_H

#include "base/span.h"

/* Characters for `size` bytes, without a NUL. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Writes BASE64_SIZE(bytes.size) characters, no NUL; returns their number. */
size_t base64_write(char *room, struct span bytes);

/* Reads all of the text. False when a byte is not of the alphabet, padding is missing or misplaced, bits
 * behind the last byte are not zero, or more than room_size bytes come out; the room may be half filled
 * then. */
bool base64_read(struct span text, uint8_t *room, size_t room_size, size_t *size);

#endif
