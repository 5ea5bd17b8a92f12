/* words: the values with a little grammar of their own: log_dest, log_type, accept_protocol_versions, and
 * addresses. Called by value.c. */
#ifndef DRAWBRIDGE_CONF_WORDS_H
#define DRAWBRIDGE_CONF_WORDS_H

#include "conf/value.h"

/* Reads one value of a MASK option; log_dest and log_type add to what stands there. */
bool words_read_mask(const struct value_place *place, enum conf_option option, const char *keyword,
                     struct span rest, void *home);

const char *words_print_mask(enum conf_option option, const void *home, char *room, size_t room_size);

/* HOST[:PORT], [IPV6]:PORT or unix:PATH. */
bool words_read_backend(const struct value_place *place, const char *keyword, struct span rest,
                        const struct conf_backend **field);

/* HOST:PORT or [IPV6]:PORT. */
bool words_read_endpoint(const struct value_place *place, const char *keyword, struct span rest,
                         const struct conf_endpoint **field);

#endif
