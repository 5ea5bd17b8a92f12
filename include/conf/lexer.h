/* lexer: lines of the dialect: a keyword, a space, the rest.
 *
 * A comment is a line whose first byte is '#'. Only the space separates; spaces in front are skipped;
 * carriage returns and line feeds at the end are cut. */
#ifndef DRAWBRIDGE_CONF_LEXER_H
#define DRAWBRIDGE_CONF_LEXER_H

#include "base/span.h"

struct lexer {
    struct span left; /* what was not read yet; borrowed */
    unsigned line;    /* number of the last line read, from 1 */
};

struct lexer_line {
    unsigned number;
    struct span whole;   /* without the line end */
    struct span keyword; /* up to the first space */
    struct span rest;    /* behind that space, not trimmed */
};

static inline struct lexer lexer_of(struct span text) {
    return (struct lexer){text, 0};
}

/* The next line that is neither blank nor a comment; false at the end. Spans borrow from the text. */
bool lexer_next(struct lexer *lexer, struct lexer_line *line);

/* Cuts blanks (spaces and tabs) off both ends. */
struct span lexer_trim(struct span text);

/* Takes the first token, up to a byte of `separators`, off *rest. False when there is none. */
bool lexer_token(struct span *rest, const char *separators, struct span *token);

#endif
