/* secret: a text that no finding and no log line shows, or `@` and the file that holds it. Called by value.c.
 */
#ifndef DRAWBRIDGE_CONF_SECRET_H
#define DRAWBRIDGE_CONF_SECRET_H

#include "conf/value.h"

bool secret_read(const struct value_place *place, const char *keyword, struct span rest,
                 const struct conf_secret **field);

/* The same text, or the same file, whatever is in it. */
bool secret_is_equal(const struct conf_secret *a, const struct conf_secret *b);

/* "@/path", "a text that is not shown" or "none". Returns `room`. */
const char *secret_print(const struct conf_secret *secret, char *room, size_t room_size);

#endif
