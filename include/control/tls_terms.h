/* tls_terms: the part of a generation that is TLS: ticket keys, certificates, hosts. Each function adds
 * findings, and errors among them refuse the generation. */
#ifndef DRAWBRIDGE_CONTROL_TLS_TERMS_H
#define DRAWBRIDGE_CONTROL_TLS_TERMS_H

#include "session/terms.h"

/* generation->tickets; keys of our own are those of `running` (NULL at the start). */
void tls_terms_tickets(struct generation *generation, const struct generation *running,
                       struct findings *findings);

/* generation->keylog, if there shall be one; warns of it. An open one of `running` stays open. */
void tls_terms_keylog(struct generation *generation, const struct generation *running,
                      struct findings *findings);

/* terms->tls of a listener or a host, if it speaks TLS. */
void tls_terms_load(struct terms *terms, const struct generation *generation, struct findings *findings);

/* When all are loaded: makes the names of a listener's hosts and of its pem_dir known to its context. */
void tls_terms_join(struct terms *terms, const struct generation *generation, struct findings *findings);

/* What `load` and `join` made; for generation_drop. */
void tls_terms_clear(struct terms *terms);

#endif
