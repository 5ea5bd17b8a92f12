#include "conf/entry.h"

#include "base/text.h"
#include "conf/lexer.h"

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)

/* The value without a comment behind it. */
static struct span without_comment(struct span rest) {
    for (size_t i = 0; i < rest.size; i++)
        if (rest.at[i] == '#' && (i == 0 || rest.at[i - 1] == ' ' || rest.at[i - 1] == '\t'))
            rest.size = i;
    return lexer_trim(rest);
}

bool entry_read_rate(const struct value_place *place, const struct conf_row *row, const char *keyword,
                     struct span rest, struct rate *field) {
    char room[TEXT_QUOTED_SIZE];
    struct span text = without_comment(rest);
    if (text.size != 0 && rate_read(text, field))
        return true;
    if (text.size == 0)
        REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, row->argument);
    else
        REFUSE(place,
               "%s is '%s', which is no rate; write a number, /s, /m or /h, and perhaps a burst of at least "
               "1, such as 10/s burst 50, or 0 for no limit",
               keyword, text_quote(room, sizeof room, text));
    return false;
}
