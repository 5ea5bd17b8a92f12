/* error: what is told to a person who wrote a configuration. All findings are collected, none ends the
 * reading; each is one line, `file:line: sentence`. */
#ifndef DRAWBRIDGE_BASE_ERROR_H
#define DRAWBRIDGE_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

enum finding_kind {
    FINDING_ERROR,   /* the configuration is refused */
    FINDING_WARNING, /* accepted, but most likely not what is wanted */
    FINDING_NOTICE,  /* accepted; worth one line in the log */
};

struct finding {
    struct finding *next;
    enum finding_kind kind;
    char text[]; /* "file:line: sentence", no line end */
};

struct findings {
    struct finding *first;
    struct finding **last;
    size_t error_count;
    size_t warning_count;
    size_t size;        /* findings kept; no more than a hundred are, the rest is only counted */
    bool out_of_memory; /* something could not be written down; counts as an error */
};

void findings_init(struct findings *findings);
void findings_clear(struct findings *findings);

/* line 0: the sentence is about the whole file; file NULL: about no file. */
void findings_add(struct findings *findings, enum finding_kind kind, const char *file, unsigned line,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

static inline bool findings_refuse(const struct findings *findings) {
    return findings->error_count != 0 || findings->out_of_memory;
}

#endif
