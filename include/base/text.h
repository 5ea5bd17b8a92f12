/* text: making bytes from outside fit for a person's eyes. */
#ifndef DRAWBRIDGE_BASE_TEXT_H
#define DRAWBRIDGE_BASE_TEXT_H

#include "base/span.h"

/* Room for any quoted text that a log line carries. */
#define TEXT_QUOTED_SIZE 264

/* Writes `bytes` so that no byte of it can do harm in a log or a terminal: printable ASCII and well-formed
 * UTF-8 as it is, a backslash as \\, everything else as \xNN; too long ends in "...". Always NUL-terminated.
 * Returns `room`. room_size must be at least 8. */
char *text_quote(char *room, size_t room_size, struct span bytes);

/* Well-formed UTF-8 of Unicode (no surrogates, no over-long forms, nothing above U+10FFFF); U+0000 is allowed
 * here. */
bool text_is_utf8(struct span bytes);

/* The number of single-letter edits between two words, neighbours swapped counting as one; words longer than
 * 64 are far away. */
unsigned text_distance(const char *a, const char *b);

#endif
