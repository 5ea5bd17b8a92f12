/* source: where a name of a device is taken from: username_from and clientid_from. Called by value.c. */
#ifndef DRAWBRIDGE_CONF_SOURCE_H
#define DRAWBRIDGE_CONF_SOURCE_H

#include "conf/value.h"

/* `cn`, `san_dns:2`, ...; what follows a # is a comment. A wrong value is a finding and false. */
bool source_read(const struct value_place *place, const struct conf_row *row, const char *keyword,
                 struct span rest, struct conf_source *field);

/* "san_dns:2"; "none" without any. Returns `room`. */
const char *source_print(struct conf_source source, char *room, size_t room_size);

#endif
