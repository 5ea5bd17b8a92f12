/* lines: what a reader saw, as text, so that two readings are compared with strcmp and a difference can be
 * read. */
#ifndef TEST_DIFFER_LINES_H
#define TEST_DIFFER_LINES_H

#include "differ/reference.h"

struct lines {
    char *at; /* always ends in NUL once something was added; owned */
    size_t size, room;
};

void lines_clear(struct lines *lines); /* keeps the memory */
void lines_free(struct lines *lines);
const char *lines_text(const struct lines *lines); /* "" when there are none */
void lines_add_text(struct lines *lines, const char *text);

/* One line: everything that the packet says. `topic` stands in the place of a PUBLISH's own, which may be an
 * alias. */
void lines_add_packet(struct lines *lines, const struct ref_packet *packet, struct ref_bytes topic);

#endif
