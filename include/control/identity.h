/* identity: what the broker is told instead of a device's own words: backend_username, backend_password and
 * backend_clientid_prefix. */
#ifndef DRAWBRIDGE_CONTROL_IDENTITY_H
#define DRAWBRIDGE_CONTROL_IDENTITY_H

#include "session/terms.h"

/* Fills in terms->identity from its listener, reading the files behind @; what it points at is kept by the
 * arena. A file that is missing, empty or holds what no such field may hold is a finding. */
void identity_load(struct arena *arena, struct terms *terms, struct findings *findings);

/* The text of a secret, or what its file holds without the newline at its end; kept by the arena. False after
 * a finding at `origin`, and when `secret` is NULL. */
bool secret_load(struct arena *arena, const struct conf_secret *secret, struct conf_origin origin,
                 bool is_text, struct span *value, struct findings *findings);

#endif
