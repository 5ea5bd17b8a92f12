/* span: borrowed bytes. A span never owns what it points at; whoever hands one out says how long it lives. */
#ifndef DRAWBRIDGE_BASE_SPAN_H
#define DRAWBRIDGE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *at; /* may be NULL only if size is 0 */
    size_t size;       /* bytes */
};

#define SPAN_NONE         ((struct span){NULL, 0})
#define SPAN_LITERAL(str) ((struct span){(const uint8_t *)("" str), sizeof(str) - 1})

/* For printf's "%.*s" of bytes already known to be harmless; hostile bytes go through base/text.h. */
#define SPAN_PRINT(span) (int)(span).size, (const char *)(span).at

static inline struct span span_of(const void *at, size_t size) {
    return (struct span){at, size};
}

/* The bytes of a C string without its NUL; NULL gives the empty span. */
static inline struct span span_of_text(const char *text) {
    return text == NULL ? SPAN_NONE : (struct span){(const uint8_t *)text, strlen(text)};
}

static inline bool span_is_equal(struct span a, struct span b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static inline bool span_is_text(struct span a, const char *text) {
    return span_is_equal(a, span_of_text(text));
}

static inline bool span_begins_with(struct span a, struct span start) {
    return a.size >= start.size && (start.size == 0 || memcmp(a.at, start.at, start.size) == 0);
}

static inline bool span_has_byte(struct span a, uint8_t byte) {
    return a.size != 0 && memchr(a.at, byte, a.size) != NULL;
}

/* What is left after the first `count` bytes; count must not exceed the size. */
static inline struct span span_after(struct span a, size_t count) {
    return (struct span){a.at + count, a.size - count};
}

static inline struct span span_first(struct span a, size_t count) {
    return (struct span){a.at, count};
}

#endif
