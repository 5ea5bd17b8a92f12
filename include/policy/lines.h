/* lines: security files are read line by line, as mosquitto does it. */
#ifndef DRAWBRIDGE_POLICY_LINES_H
#define DRAWBRIDGE_POLICY_LINES_H

#include "base/span.h"

/* Cuts off the next line, its LF included in neither; false at the end. The empty piece behind a last LF is
 * no line. */
static inline bool lines_next(struct span *rest, struct span *line) {
    if (rest->size == 0)
        return false;
    const uint8_t *end = memchr(rest->at, '\n', rest->size);
    *line = end == NULL ? *rest : span_first(*rest, (size_t)(end - rest->at));
    *rest = span_after(*rest, end == NULL ? line->size : line->size + 1);
    return true;
}

static inline size_t lines_count(struct span text) {
    size_t count = 0;
    for (struct span line; lines_next(&text, &line);)
        count++;
    return count;
}

/* isspace() of the C locale, a CR among them. */
static inline bool lines_is_blank(uint8_t byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static inline struct span lines_trim_end(struct span text) {
    while (text.size != 0 && lines_is_blank(text.at[text.size - 1]))
        text.size--;
    return text;
}

static inline struct span lines_trim(struct span text) {
    text = lines_trim_end(text);
    while (text.size != 0 && lines_is_blank(text.at[0]))
        text = span_after(text, 1);
    return text;
}

#endif
