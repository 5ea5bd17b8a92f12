/* patterns: the lines of clientid_allow and clientid_deny, one list in the order of the file. Called by
 * value.c. */
#ifndef DRAWBRIDGE_CONF_PATTERNS_H
#define DRAWBRIDGE_CONF_PATTERNS_H

#include "conf/value.h"

/* Adds one line to the end of the list; `keyword` ends in _allow or _deny. */
bool patterns_read(const struct value_place *place, const char *keyword, struct span rest,
                   struct conf_pattern **first);

bool patterns_are_equal(const struct conf_pattern *a, const struct conf_pattern *b);

/* "allow dev-*, deny *"; "none" without any. Returns `room`. */
const char *patterns_print(const struct conf_pattern *first, char *room, size_t room_size);

#endif
