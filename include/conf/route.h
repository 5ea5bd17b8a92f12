/* route: the lines of a bridge that say which messages cross it: topic and remap. Called by value.c. */
#ifndef DRAWBRIDGE_CONF_ROUTE_H
#define DRAWBRIDGE_CONF_ROUTE_H

#include "conf/value.h"

/* Adds one line to the end of the list; `keyword` is topic or remap. A wrong one is a finding and false. */
bool route_read(const struct value_place *place, const char *keyword, struct span rest,
                struct conf_route **first);

/* The same lines in the same order, wherever they stand. */
bool routes_are_equal(const struct conf_route *a, const struct conf_route *b);

/* "topic a/# out 1, remap ..."; "none" without any. Returns `room`. */
const char *routes_print(const struct conf_route *first, char *room, size_t room_size);

/* One line as it could be written. Returns `room`. */
const char *route_print(const struct conf_route *route, char *room, size_t room_size);

/* The next word of a line: up to a space, or in double quotes with spaces in it. False at the end of the line
 * or in front of a comment; *is_broken when a quote is not closed or something stands right behind it. */
bool route_next_word(struct span *rest, struct span *word, bool *is_broken);

/* Why it is no topic filter (MQTT 5.0 4.7.1); NULL for a good one. For what holds no NUL and is UTF-8. */
const char *route_filter_trouble(struct span filter);

#endif
