/* password: one that is fetched for each connection anew, from a file or from what a command printed. */
#ifndef DRAWBRIDGE_BRIDGE_PASSWORD_H
#define DRAWBRIDGE_BRIDGE_PASSWORD_H

#include <stdbool.h>

#include "base/span.h"

/* Of an MQTT string, 1.5.4. */
#define PASSWORD_SIZE_MAX 65535
/* A file or an output of more than that is none of ours. */
#define PASSWORD_SOURCE_MAX (64 * 1024 + 2)

struct password {
    uint8_t *bytes; /* NULL: none */
    size_t size;
    int64_t expires_s; /* seconds since the epoch; 0: it does not say */
};

/* The first line of what a file or a command gave, without its newline. False, with the reason in `words`: it
 * is empty or too long. */
bool password_take(struct password *password, struct span source, char *words, size_t words_size);
/* The same of a file, which is read at once. */
bool password_read_file(struct password *password, const char *path, char *words, size_t words_size);
/* Wiped and freed; expires_s stays. May be called twice. */
void password_forget(struct password *password);
static inline struct span password_span(const struct password *password) {
    return span_of(password->bytes, password->size);
}

#endif
