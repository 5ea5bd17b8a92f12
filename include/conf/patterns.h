/* patterns: lines that add up, one list in the order of the file: clientid_allow and clientid_deny, and plain
 * texts and paths. Called by value.c. */
#ifndef DRAWBRIDGE_CONF_PATTERNS_H
#define DRAWBRIDGE_CONF_PATTERNS_H

#include "conf/value.h"

/* Adds one line to the end of the list; `keyword` ends in _allow or _deny. */
bool patterns_read(const struct value_place *place, const char *keyword, struct span rest,
                   struct conf_pattern **first);

bool patterns_are_equal(const struct conf_pattern *a, const struct conf_pattern *b);

/* "allow dev-*, deny *"; "none" without any. Returns `room`. */
const char *patterns_print(const struct conf_pattern *first, char *room, size_t room_size);

enum pattern_kind {
    PATTERN_TEXT,
    PATTERN_PATH,
    PATTERN_PLACED_PATH, /* its place in the list counts, so that it may stand there twice */
};

/* The same for plain texts, or paths; the same line twice is warned of and counts once. */
bool patterns_add(const struct value_place *place, const char *keyword, struct span rest,
                  enum pattern_kind kind, struct conf_pattern **first);
/* "a, b"; "none" without any. Returns `room`. */
const char *patterns_print_all(const struct conf_pattern *first, char *room, size_t room_size);

#endif
