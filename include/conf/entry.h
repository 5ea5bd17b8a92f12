/* entry: the values that say how fast something may come. Called by value.c. */
#ifndef DRAWBRIDGE_CONF_ENTRY_H
#define DRAWBRIDGE_CONF_ENTRY_H

#include "conf/value.h"

/* N[/s|/m|/h] [burst M]; what follows a # is a comment. */
bool entry_read_rate(const struct value_place *place, const struct conf_row *row, const char *keyword,
                     struct span rest, struct rate *field);

#endif
