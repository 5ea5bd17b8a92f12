/* remote: the values of a bridge that have a little grammar of their own, but for its routes. Called by
 * value.c. */
#ifndef DRAWBRIDGE_CONF_REMOTE_H
#define DRAWBRIDGE_CONF_REMOTE_H

#include "conf/value.h"

/* In all of them what follows a # is a comment, and a wrong value is a finding and false. */

/* HOST[:PORT] or [IPV6][:PORT], several with spaces between. */
bool remote_read_addresses(const struct value_place *place, const struct conf_row *row, const char *keyword,
                           struct span rest, const struct conf_addresses **field);
bool remote_are_equal_addresses(const struct conf_addresses *a, const struct conf_addresses *b);
const char *remote_print_addresses(const struct conf_addresses *addresses, char *room, size_t room_size);

/* SECONDS [CAP [STABLE]] */
bool remote_read_restart(const struct value_place *place, const struct conf_row *row, const char *keyword,
                         struct span rest, struct conf_restart *field);
const char *remote_print_restart(const struct conf_restart *restart, char *room, size_t room_size);

/* IDLE INTERVAL COUNT */
bool remote_read_keepalive(const struct value_place *place, const struct conf_row *row, const char *keyword,
                           struct span rest, struct conf_keepalive *field);
const char *remote_print_keepalive(const struct conf_keepalive *keepalive, char *room, size_t room_size);

/* A number of bytes, perhaps with k, m or g behind it. */
bool remote_read_size(const struct value_place *place, const char *keyword, struct span rest,
                      uint64_t *field);

/* FILTER N, added to the end of the list. */
bool remote_read_priority(const struct value_place *place, const struct conf_row *row, const char *keyword,
                          struct span rest, struct conf_priority **first);
bool remote_are_equal_priorities(const struct conf_priority *a, const struct conf_priority *b);
const char *remote_print_priorities(const struct conf_priority *first, char *room, size_t room_size);

#endif
