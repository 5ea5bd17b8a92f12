/* acl_set: what a whole ACL file is compiled to. Inner room of policy/acl.h. */
#ifndef DRAWBRIDGE_POLICY_ACL_SET_H
#define DRAWBRIDGE_POLICY_ACL_SET_H

#include "policy/acl_index.h"
#include "policy/acl_rule.h"
#include "policy/names.h"

struct acl {
    const char *path;          /* as findings and verdicts name it */
    struct names *users;       /* struct acl_user by username */
    struct acl_user anonymous; /* `topic` lines before the first `user`: clients without a username */
    struct names *groups;      /* struct acl_group by name */
    struct acl_list patterns;  /* everybody */
    struct acl_list *lists;    /* all of them */
    struct acl_group *group_list;
    size_t rule_count;
};

/* Reads one line after the other; acl.c calls it. */
struct acl_compiling {
    struct arena *arena;
    struct findings *findings;
    const char *path;
    unsigned line;
    struct acl *acl;
    struct acl_list *list;   /* whom `topic` lines concern now */
    struct acl_group *group; /* NULL outside of groups */
    uint32_t group_count;
};
void acl_read_line(struct acl_compiling *compiling, struct span line);
/* What can be said only when all lines are read. */
void acl_read_end(struct acl_compiling *compiling);
void acl_complain_of_memory(struct acl_compiling *compiling);

#define ACL_COMPLAIN(compiling, kind, ...)                                                                   \
    findings_add((compiling)->findings, (kind), (compiling)->path, (compiling)->line, __VA_ARGS__)

#endif
