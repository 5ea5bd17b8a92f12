#include "mqtt/topic.h"
#include "policy/acl_set.h"

/* The walk, as mosquitto 2.1 does it:
 *
 *     $SYS, $share -> the user's denies, newest first -> the user's grants -> odd names stop here
 *                  -> the patterns' denies, newest first -> the patterns' grants -> no
 *
 * The first rule that matches and whose access covers the request ends it; so a grant of the user's beats a
 * deny of the patterns. */

static struct verdict say(bool is_allowed, const char *words) {
    return (struct verdict){.is_allowed = is_allowed, .words = words};
}

static struct verdict speak(const struct acl_binding *binding, const struct acl_rule *rule) {
    return (struct verdict){
        .is_allowed = rule->access != ACL_DENY, .file = binding->acl->path, .line = rule->line};
}

static const char no_acl[] = "no acl_file restricts it";
static const char no_grant[] = "no rule grants it";
static const char odd_name[] = "username or client id holds + or #, patterns do not apply to it";
static const char sys_is_not_written[] = "$SYS may not be written";
static const char share_is_no_topic[] = "topics that begin with $share do not exist";
static const char share_is_wrong[] = "no valid shared subscription";

static bool is_share(struct span topic) {
    return span_begins_with(topic, SPAN_LITERAL("$share"));
}

static const struct acl_rule *first_match(const struct acl_rule *rule, enum acl_access access,
                                          const struct acl_identity *identity,
                                          const struct acl_topic *topic) {
    for (; rule != NULL; rule = rule->next)
        if ((rule->access == ACL_DENY || (rule->access & access) != 0) && acl_rule_concerns(rule, identity) &&
            acl_rule_matches(rule, identity, topic))
            return rule;
    return NULL;
}

static const struct acl_rule *first_match_in(const struct acl_list *list, enum acl_access access,
                                             const struct acl_identity *identity,
                                             const struct acl_topic *topic) {
    const struct acl_rule *deny = first_match(list->denies, access, identity, topic);
    return deny != NULL ? deny : first_match(list->grants, access, identity, topic);
}

static bool has_rules(const struct acl_list *list) {
    return list->denies != NULL || list->grants != NULL;
}

static struct verdict ask(const struct acl_binding *binding, struct span bytes, enum acl_access access) {
    if (is_share(bytes))
        return say(false, share_is_no_topic);
    if (binding->acl == NULL)
        return say(true, no_acl);
    struct acl_topic topic = acl_topic(bytes);
    const struct acl_rule *rule = NULL;
    if (binding->user != NULL)
        rule = first_match_in(&binding->user->list, access, &binding->identity, &topic);
    const struct acl_list *patterns = &binding->acl->patterns;
    if (rule == NULL && has_rules(patterns)) {
        if (binding->is_odd)
            return say(false, odd_name);
        rule = first_match_in(patterns, access, &binding->identity, &topic);
    }
    return rule == NULL ? say(false, no_grant) : speak(binding, rule);
}

struct verdict acl_may_write(const struct acl_binding *binding, struct span topic) {
    if (span_begins_with(topic, SPAN_LITERAL("$SYS")) &&
        !mqtt_topic_matches(SPAN_LITERAL("$SYS/broker/connection/+/state"), topic))
        return say(false, sys_is_not_written);
    return ask(binding, topic, ACL_WRITE);
}

struct verdict acl_may_read(const struct acl_binding *binding, struct span topic) {
    return ask(binding, topic, ACL_READ);
}

/* Subscriptions. mosquitto grants every one and holds back what may not be read at each delivery; here a
 * subscription that could never deliver anything is refused at once. Every grant is met with the filter, and
 * of the topics they have in common one of every number of levels is held against the denies that come before
 * the grant. It is exact: see struct acl_common. */

static const struct acl_rule *first_deny(const struct acl_common *common, uint32_t level_count,
                                         const struct acl_list *list) {
    for (const struct acl_rule *deny = list->denies; deny != NULL; deny = deny->next)
        if (acl_rule_concerns(deny, common->identity) && acl_common_is_denied(common, level_count, deny))
            return deny;
    return NULL;
}

/* NULL when a common topic is left, else the deny that spoke first. `own` and `shared` hold the denies that
 * count, each may be NULL. */
static const struct acl_rule *deny_of_all(const struct acl_common *common, const struct acl_list *own,
                                          const struct acl_list *shared) {
    uint32_t last = common->level_count_min, deepest = 0;
    if (own != NULL)
        deepest = own->deny_level_count_max;
    if (shared != NULL && shared->deny_level_count_max > deepest)
        deepest = shared->deny_level_count_max;
    /* Beyond the deepest deny only those that end in # match, and they match all numbers of levels alike. */
    if (common->is_open && deepest + 1 > last)
        last = deepest + 1;
    const struct acl_rule *spoke = NULL;
    for (uint32_t count = common->level_count_min; count <= last; count++) {
        const struct acl_rule *deny = own == NULL ? NULL : first_deny(common, count, own);
        if (deny == NULL && shared != NULL)
            deny = first_deny(common, count, shared);
        if (deny == NULL)
            return NULL;
        if (spoke == NULL)
            spoke = deny;
    }
    return spoke;
}

/* The first grant of `list` that leaves the subscription something; NULL when none does, and *spoke, when not
 * set yet, is the first deny that took something away. */
static const struct acl_rule *find_grant(struct acl_common *common, const struct acl_list *list,
                                         const struct acl_list *own, const struct acl_list *shared,
                                         const struct acl_rule **spoke) {
    for (const struct acl_rule *grant = list->grants; grant != NULL; grant = grant->next) {
        if ((grant->access & ACL_READ) == 0 || !acl_rule_concerns(grant, common->identity) ||
            !acl_common_with(common, grant))
            continue;
        const struct acl_rule *deny = deny_of_all(common, own, shared);
        if (deny == NULL)
            return grant;
        if (*spoke == NULL)
            *spoke = deny;
    }
    return NULL;
}

struct verdict acl_may_subscribe(const struct acl_binding *binding, struct span filter) {
    struct span share_name, inner;
    if (mqtt_topic_split_share(filter, &share_name, &inner)) {
        if (inner.size == 0)
            return say(false, share_is_wrong);
        filter = inner;
    }
    if (is_share(filter))
        return say(false, share_is_no_topic);
    if (binding->acl == NULL)
        return say(true, no_acl);
    struct acl_common common = acl_common_begin(&binding->identity, filter);
    const struct acl_list *own = binding->user == NULL ? NULL : &binding->user->list;
    const struct acl_list *patterns = &binding->acl->patterns;
    const struct acl_rule *grant = NULL, *spoke = NULL;
    if (own != NULL)
        grant = find_grant(&common, own, own, NULL, &spoke);
    if (grant == NULL && !binding->is_odd)
        grant = find_grant(&common, patterns, own, patterns, &spoke);
    if (grant != NULL)
        return speak(binding, grant);
    if (spoke != NULL)
        return speak(binding, spoke);
    return say(false, binding->is_odd && has_rules(patterns) ? odd_name : no_grant);
}
