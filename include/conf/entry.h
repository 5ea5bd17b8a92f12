/* entry: the values that say who may come in and how fast: rates, lists of networks, bans. Called by value.c.
 */
#ifndef DRAWBRIDGE_CONF_ENTRY_H
#define DRAWBRIDGE_CONF_ENTRY_H

#include "conf/value.h"

/* In all of them what follows a # is a comment, and a wrong value is a finding and false. */

/* N[/s|/m|/h] [burst M] */
bool entry_read_rate(const struct value_place *place, const struct conf_row *row, const char *keyword,
                     struct span rest, struct rate *field);

/* CIDR ..., separated by blanks or commas, added to what stands in *field (which is not changed itself); or
 * `none`, which takes back what stands before it. */
bool entry_read_networks(const struct value_place *place, const struct conf_row *row, const char *keyword,
                         struct span rest, const struct conf_networks **field);
const char *entry_print_networks(const struct conf_networks *networks, char *room, size_t room_size);
bool entry_is_equal_networks(const struct conf_networks *a, const struct conf_networks *b);

/* N/DURATION for DURATION [by KIND,...], or 0 */
bool entry_read_ban(const struct value_place *place, const struct conf_row *row, const char *keyword,
                    struct span rest, struct conf_ban *field);
const char *entry_print_ban(const struct conf_ban *ban, char *room, size_t room_size);

#endif
