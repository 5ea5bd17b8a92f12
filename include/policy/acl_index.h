/* acl_index: finds the first rule of a long list that speaks about a topic, at a cost that does not grow with
 * the rules about other topics. Inner room of policy/acl.h.
 *
 *     root -- sensors -- hall -- (any) -- temperature      a level is found by its hash; (any) stands for +
 *          \- (any) -- status                               and for marks, and is always walked along
 *
 * The tree only picks candidates: each is still asked whether it matches, so that it decides nothing itself.
 * Levels beyond ACL_INDEX_DEPTH are not in it: rules that go on there wait at its leaves. */
#ifndef DRAWBRIDGE_POLICY_ACL_INDEX_H
#define DRAWBRIDGE_POLICY_ACL_INDEX_H

#include "base/arena.h"
#include "policy/acl_rule.h"

/* A list that is not longer is walked along quicker. */
#define ACL_INDEX_RULES_MIN 16

/* Gives the rules their ranks and, when there are many, the list its index. False when memory is out. */
bool acl_index_list(struct arena *arena, struct acl_list *list);

/* The first rule in the order of the walk that matches the topic and is a deny or grants `access`. */
const struct acl_rule *acl_index_first(const struct acl_index *index, enum acl_access access,
                                       const struct acl_values *values, const struct acl_topic *topic);

/* The first that is a deny or grants `access` and covers the whole filter. */
const struct acl_rule *acl_index_first_cover(const struct acl_index *index, enum acl_access access,
                                             const struct acl_values *values, struct span filter);

/* The first deny that matches all common topics of that many levels. */
const struct acl_rule *acl_index_first_deny(const struct acl_index *index, const struct acl_common *common,
                                            uint32_t level_count, const struct acl_values *values);

#endif
