/* acl_say: verdicts and their words. Inner room of policy/acl.h. */
#ifndef DRAWBRIDGE_POLICY_ACL_SAY_H
#define DRAWBRIDGE_POLICY_ACL_SAY_H

#include "policy/acl_set.h"

static const char acl_no_acl[] = "no acl_file restricts it";
static const char acl_no_grant[] = "no rule grants it";
static const char acl_odd_name[] = "username or client id holds + or #, patterns do not apply to it";
static const char acl_share_is_no_topic[] = "topics that begin with $share do not exist";

static inline struct verdict acl_say(bool is_allowed, const char *words) {
    return (struct verdict){.is_allowed = is_allowed, .words = words};
}

static inline struct verdict acl_speak(const struct acl_binding *binding, const struct acl_rule *rule) {
    return (struct verdict){.is_allowed = rule->access != ACL_DENY,
                            .file = binding->acl->path,
                            .line = rule->line,
                            .has_max_qos = rule->max_qos < 2,
                            .max_qos = rule->max_qos,
                            .is_retain_refused = rule->is_retain_refused};
}

static inline bool acl_is_share(struct span topic) {
    return span_begins_with(topic, SPAN_LITERAL("$share"));
}

#endif
