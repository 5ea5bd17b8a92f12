#include "conf/secret.h"

#include "base/text.h"
#include "conf/lexer.h"

#include <stdio.h>

#define SECRET_SIZE_MAX 65535 /* of a string in MQTT */

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)

/* A comment behind the value would be part of it, and a person would look for the fault elsewhere. */
static void warn_of_comment(const struct value_place *place, const char *keyword, struct span value) {
    for (size_t i = 1; i < value.size; i++)
        if (value.at[i] == '#' && (value.at[i - 1] == ' ' || value.at[i - 1] == '\t')) {
            findings_add(
                place->findings, FINDING_WARNING, place->file, place->line,
                "the # and what follows belong to the value of %s; a comment needs a line of its own",
                keyword);
            return;
        }
}

bool secret_read(const struct value_place *place, const char *keyword, struct span rest,
                 const struct conf_secret **field) {
    struct span value = lexer_trim(rest);
    bool is_file = value.size != 0 && value.at[0] == '@';
    if (is_file)
        value = lexer_trim(span_after(value, 1));
    if (value.size == 0) {
        REFUSE(place,
               is_file ? "%s has an @ without a file; write the path behind it"
                       : "%s has no value; write one behind it or remove the line",
               keyword);
        return false;
    }
    if (value.size > SECRET_SIZE_MAX) {
        REFUSE(place, "the value of %s is longer than %d bytes; shorten it", keyword, SECRET_SIZE_MAX);
        return false;
    }
    warn_of_comment(place, keyword, value);
    struct conf_secret *secret = arena_alloc(place->arena, sizeof *secret);
    const char *text = arena_text(place->arena, value);
    if (is_file && text != NULL)
        text = value_resolve(place, text);
    if (secret == NULL || text == NULL) {
        value_out_of_memory(place);
        return false;
    }
    *(is_file ? &secret->path : &secret->text) = text;
    *field = secret;
    return true;
}

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool secret_is_equal(const struct conf_secret *a, const struct conf_secret *b) {
    return a == NULL || b == NULL ? a == b : is_same_text(a->text, b->text) && is_same_text(a->path, b->path);
}

const char *secret_print(const struct conf_secret *secret, char *room, size_t room_size) {
    char quoted[TEXT_QUOTED_SIZE];
    if (secret != NULL && secret->path != NULL)
        snprintf(room, room_size, "@%s", text_quote(quoted, sizeof quoted, span_of_text(secret->path)));
    else
        snprintf(room, room_size, "%s", secret == NULL ? "none" : "a text that is not shown");
    return room;
}
