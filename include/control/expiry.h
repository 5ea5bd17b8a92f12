/* expiry: when the certificates of listeners, hosts and pem_dir end. */
#ifndef DRAWBRIDGE_CONTROL_EXPIRY_H
#define DRAWBRIDGE_CONTROL_EXPIRY_H

#include "session/terms.h"

struct expiry {
    const struct conf_listener *listener; /* or host */
    const char *path;                     /* of the certfile */
    int64_t expires_s;                    /* of its chain's first certificate to end; since the epoch */
};

/* Calls back with each certfile of the generation. */
void expiry_each(const struct generation *generation, void (*tell)(void *keeper, const struct expiry *expiry),
                 void *keeper);

/* Logs those that have come below 30, 7 or 1 days, or ended, since `before_s`. Each step is logged once;
 * those with less than a day left, and those that ended, at every look. */
void expiry_tell(const struct generation *generation, int64_t before_s, int64_t now_s);

/* What is logged of a certificate, "" for nothing, in `room`; for expiry_tell and its test. */
const char *expiry_words(const struct expiry *expiry, int64_t before_s, int64_t now_s, char *room,
                         size_t room_size);

#endif
