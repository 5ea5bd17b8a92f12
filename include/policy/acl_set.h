/* acl_set: what a whole ACL file is compiled to. Inner room of policy/acl.h. */
#ifndef DRAWBRIDGE_POLICY_ACL_SET_H
#define DRAWBRIDGE_POLICY_ACL_SET_H

#include "policy/acl_rule.h"
#include "policy/names.h"

struct acl {
    const char *path;          /* as findings and verdicts name it */
    struct names *users;       /* struct acl_user by username */
    struct acl_user anonymous; /* `topic` lines before the first `user`: clients without a username */
    struct acl_list patterns;  /* everybody */
    size_t rule_count;
};

#endif
