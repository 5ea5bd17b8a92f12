/* acl: mosquitto 2.1's acl_file. Compiled once per configuration, bound once per session, asked once per
 * packet. Immutable after compiling: shared by all workers without a lock. */
#ifndef DRAWBRIDGE_POLICY_ACL_H
#define DRAWBRIDGE_POLICY_ACL_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

struct acl;      /* kept by its arena */
struct acl_rule; /* one line of the file */
struct acl_user; /* the rules of one user */

/* Compiles the text of an ACL file; nothing of it is needed afterwards. Semantics of mosquitto 2.1: `pattern`
 * compares %c and %u as whole levels, never as text within one. `path` names it in findings and
 * verdicts. Every line that is no rule is an error finding; an empty file (no rule at all) is an error too,
 * since it would deny or allow everything by accident. NULL when there were errors or memory was out (which
 * is a finding too). */
struct acl *acl_compile(struct arena *arena, const char *path, struct span text, struct findings *findings);

/* Who asks: the final client id and username, after everything that maps them. Spans borrowed as long as the
 * binding. */
struct acl_identity {
    bool has_username;
    struct span username;
    struct span client_id;
};

/* The rules that concern one session. Filled by acl_bind; borrows from the acl and the identity. */
struct acl_binding {
    const struct acl *acl; /* NULL: no acl_file, everything is allowed but for the $SYS and $share rules */
    const struct acl_user *user; /* NULL: the file has no `user` line for this username */
    struct acl_identity identity;
    bool is_odd; /* the username or client id holds + or #: patterns deny */
};
/* An empty username is none, as in mosquitto. */
void acl_bind(struct acl_binding *binding, const struct acl *acl, struct acl_identity identity);

/* An answer and who gave it. */
struct verdict {
    bool is_allowed;
    const char *file; /* of the rule that spoke; NULL when none did */
    unsigned line;
    const char *words; /* why, when no rule spoke: "no rule grants it", "$SYS may not be written", ... */
};

/* `topic` is a valid topic name, aliases resolved. */
struct verdict acl_may_write(const struct acl_binding *binding, struct span topic);
struct verdict acl_may_read(const struct acl_binding *binding, struct span topic);
/* `filter` is a valid filter, "$share/name/" allowed in front: is there at least one topic that it matches
 * and that may be read? */
struct verdict acl_may_subscribe(const struct acl_binding *binding, struct span filter);

/* How many rules, for the start-up line. */
size_t acl_rule_count(const struct acl *acl);

#endif
