#include "policy/acl.h"

#include "policy/acl_set.h"
#include "policy/acl_sieve.h"
#include "policy/lines.h"

void acl_complain_of_memory(struct acl_compiling *compiling) {
    compiling->findings->out_of_memory = true;
    ACL_COMPLAIN(compiling, FINDING_ERROR, "memory is out");
}

static struct acl *create(struct arena *arena, const char *path, size_t line_count) {
    struct acl *acl = arena_alloc(arena, sizeof *acl);
    if (acl == NULL)
        return NULL;
    acl->path = arena_text(arena, span_of_text(path));
    acl->users = names_create(arena, line_count);
    acl->groups = names_create(arena, 0);
    acl->anonymous.list.next = &acl->patterns;
    acl->lists = &acl->anonymous.list;
    return acl->path == NULL || acl->users == NULL || acl->groups == NULL ? NULL : acl;
}

struct acl *acl_compile(struct arena *arena, const char *path, struct span text, struct findings *findings) {
    struct acl_compiling compiling = {.arena = arena, .findings = findings, .path = path};
    size_t errors_before = findings->error_count;
    struct acl *acl = create(arena, path, lines_count(text));
    if (acl == NULL) {
        acl_complain_of_memory(&compiling);
        return NULL;
    }
    compiling.acl = acl;
    compiling.list = &acl->anonymous.list;
    for (struct span rest = text, line; lines_next(&rest, &line);) {
        compiling.line++;
        acl_read_line(&compiling, line);
    }
    acl_read_end(&compiling);
    compiling.line = 0;
    if (acl->rule_count == 0 && findings->error_count == errors_before)
        ACL_COMPLAIN(&compiling, FINDING_ERROR, "no rule in it; without a rule nobody could do anything");
    for (struct acl_list *list = acl->lists; list != NULL; list = list->next)
        if (!acl_index_list(arena, list) || !acl_sieve_list(arena, list)) {
            acl_complain_of_memory(&compiling);
            break;
        }
    return findings->error_count == errors_before ? acl : NULL;
}

static bool is_odd(struct span name) {
    return span_has_byte(name, '+') || span_has_byte(name, '#');
}

const struct acl_list *acl_lists_next(const struct acl_binding *binding, struct acl_lists *lists) {
    if (lists->stage == 0) {
        lists->stage = 1;
        if (binding->user != NULL) {
            lists->membership = binding->user->memberships;
            return &binding->user->list;
        }
    }
    if (lists->membership != NULL) {
        const struct acl_group *group = lists->membership->group;
        lists->membership = lists->membership->next;
        return &group->list;
    }
    if (lists->stage != 1)
        return NULL;
    lists->stage = 2;
    return &binding->acl->patterns;
}

void acl_bind(struct acl_binding *binding, const struct acl *acl, struct acl_identity identity) {
    identity.has_username = identity.has_username && identity.username.size != 0;
    *binding = (struct acl_binding){.acl = acl, .identity = identity};
    binding->is_odd = (identity.has_username && is_odd(identity.username)) || is_odd(identity.client_id);
    if (acl == NULL)
        return;
    binding->user = identity.has_username ? names_find(acl->users, identity.username) : &acl->anonymous;
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;)
        binding->has_subscribe_rules |= list->has_subscribe;
}

size_t acl_rule_count(const struct acl *acl) {
    return acl->rule_count;
}
