/* value: one value of one option, from text to its field and back. */
#ifndef DRAWBRIDGE_CONF_VALUE_H
#define DRAWBRIDGE_CONF_VALUE_H

#include "conf/rows.h"

/* Where the reader is; file NULL while defaults are read. */
struct value_place {
    struct arena *arena;
    struct findings *findings;
    const char *file; /* kept by the arena */
    unsigned line;
};

/* Reads `rest` (what follows the keyword) as a value of the OPTION row into its field in `home`, and notes
 * the origin. `keyword` is the name that was written, for findings. A wrong value is a finding and false;
 * the field is as before then. */
bool value_read(const struct value_place *place, const struct conf_row *row, const char *keyword,
                struct span rest, void *home, struct conf_origin *origin);

/* A string of the dialect: the whole rest, trimmed, kept by the arena. NULL after a finding. */
const char *value_read_string(const struct value_place *place, const char *keyword, struct span rest);

/* A path, relative to the folder of the file it stands in. */
const char *value_resolve(const struct value_place *place, const char *path);

/* The first token of a bool or a number; what follows it may only be a comment, anything else is warned of.
 */
bool value_read_bool(const struct value_place *place, const char *keyword, struct span rest, bool *value);
bool value_read_int(const struct value_place *place, const char *keyword, struct span *rest, int64_t low,
                    int64_t high, int32_t *value);

/* What follows a value that is complete: blanks or a comment; the rest is warned of. */
void value_end(const struct value_place *place, const char *keyword, struct span rest);

/* Notes that memory is out, which refuses the configuration. */
void value_out_of_memory(const struct value_place *place);

/* True when both homes hold the same value. */
bool value_is_equal(const struct conf_row *row, const void *home_a, const void *home_b);

/* The value as a person would write it, quoted; "none" where there is none. Returns `room`. */
const char *value_print(const struct conf_row *row, const void *home, char *room, size_t room_size);

#endif
