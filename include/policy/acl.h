/* acl: mosquitto 2.1's acl_file, and more that mosquitto does not know. Compiled once per configuration,
 * bound once per session, asked once per packet. Immutable after compiling: shared by all workers without a
 * lock.
 *
 *     group NAME                       opens a section as `user NAME` does; its rules are shared
 *     member USER ["A USER"] ...       whose: \" and \\ within double quotes stand for themselves
 *     topic|pattern subscribe FILTER   the right to subscribe, apart from the right to read
 *     ... ACCESS maxqos=N noretain FILTER
 *     pattern ACCESS %{cn}/%{san}/%{ou}   facts of the verified certificate beside %c and %u
 *
 * The order of the walk: the user's own rules, those of the groups in which it is a member (in the order in
 * which the groups first stand in the file), the patterns outside of groups, which concern everybody. In each
 * list denies come first, the newest in front, then grants in the file's order. The first rule that matches
 * and whose access covers the request decides, with its own maxqos and noretain. A `pattern` line within a
 * group concerns its members only. */
#ifndef DRAWBRIDGE_POLICY_ACL_H
#define DRAWBRIDGE_POLICY_ACL_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"
#include "policy/facts.h"

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
    const struct facts *facts; /* of the verified certificate; NULL: none */
};

/* The rules that concern one session. Filled by acl_bind; borrows from the acl and the identity. */
struct acl_binding {
    const struct acl *acl; /* NULL: no acl_file, everything is allowed but for the $SYS and $share rules */
    const struct acl_user *user; /* NULL: the file has no `user` line for this username */
    struct acl_identity identity;
    bool is_odd;              /* the username or client id holds + or #: patterns deny */
    bool has_subscribe_rules; /* some list of it has a `subscribe` rule: these alone judge a SUBSCRIBE */
    uint64_t number; /* for who remembers what was allowed under it; 0 when it was just bound: none yet */
};
/* An empty username is none, as in mosquitto. */
void acl_bind(struct acl_binding *binding, const struct acl *acl, struct acl_identity identity);

/* Why a rule that grants the topic refuses the message. */
enum acl_limit { ACL_LIMIT_NONE, ACL_LIMIT_QOS, ACL_LIMIT_RETAIN };

/* An answer and who gave it. */
struct verdict {
    bool is_allowed;
    const char *file; /* of the rule that spoke; NULL when none did */
    unsigned line;
    const char *words; /* why, when no rule spoke ("no rule grants it", "$SYS may not be written", ...) or
                          when it is not plain from the rule (its maxqos) */
    bool has_max_qos, is_retain_refused; /* `maxqos` and `noretain` of the rule that grants */
    uint8_t max_qos;
    uint8_t broken; /* enum acl_limit */
};

static inline uint8_t verdict_max_qos(const struct verdict *verdict) {
    return verdict->has_max_qos ? verdict->max_qos : 2;
}

/* `topic` is a valid topic name, aliases resolved. */
struct verdict acl_may_write(const struct acl_binding *binding, struct span topic);
/* The same for a whole message: the rule's maxqos and noretain count, too. */
struct verdict acl_may_publish(const struct acl_binding *binding, struct span topic, uint8_t qos,
                               bool is_retained);
struct verdict acl_may_read(const struct acl_binding *binding, struct span topic);
/* `filter` is a valid filter, "$share/name/" allowed in front. Without any `subscribe` rule for this session:
 * is there at least one topic that it matches and that may be read? With one: does a `subscribe` rule cover
 * the whole filter, and no deny that comes before it? What is delivered then is still judged by
 * acl_may_read. verdict_max_qos is the highest QoS to subscribe with. */
struct verdict acl_may_subscribe(const struct acl_binding *binding, struct span filter);

/* How many rules, for the start-up line. */
size_t acl_rule_count(const struct acl *acl);

#endif
