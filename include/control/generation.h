/* generation: turns a configuration into what sessions live under: policies compiled, certificates loaded.
 * All or nothing. */
#ifndef DRAWBRIDGE_CONTROL_GENERATION_H
#define DRAWBRIDGE_CONTROL_GENERATION_H

#include "session/terms.h"

/* Takes the configuration (given, also on failure). `running`: the generation whose listeners are open, NULL
 * at start; each of its listeners must be in the new configuration, else that is an error finding (it needs a
 * restart). NULL when there were errors. */
struct generation *generation_load(struct conf *conf, const struct generation *running,
                                   struct findings *findings);

/* The whole file, given (free its bytes); at == NULL after a finding at `origin` was added. */
struct span generation_read_file(const char *path, struct conf_origin origin, struct findings *findings);

/* http_proxy.c: what is dialled, and asked, on the way to a broker behind an HTTP proxy. host stays NULL
 * after an error finding. */
struct http_proxy_wish {
    const char *keyword; /* for findings, as its origin */
    struct conf_origin origin;
    struct span url;
    const char *password_file; /* NULL: none */
    struct conf_origin password_origin;
    const struct conf_backend *broker;
};
void http_proxy_make(struct arena *arena, const struct http_proxy_wish *wish, struct backend_http_proxy *made,
                     struct findings *findings);
/* http_proxy.c: fills in generation->http_proxy from its configuration. */
void http_proxy_load(struct generation *generation, struct findings *findings);

#endif
