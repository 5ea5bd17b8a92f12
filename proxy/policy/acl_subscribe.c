/* Subscriptions. mosquitto grants every one and holds back what may not be read at each delivery; here a
 * subscription that could never deliver anything is refused at once. Every grant is met with the filter, and
 * of the topics they have in common one of every number of levels is held against the denies that come before
 * the grant. It is exact: see struct acl_common.
 *
 * As soon as one list of a session has a `subscribe` rule, these rules alone judge, and what they ask for is
 * simpler: a whole filter is covered by one of them, or it is not. */
#include "mqtt/topic.h"
#include "policy/acl_say.h"

static const char share_is_wrong[] = "no valid shared subscription";
static const char no_subscribe[] = "no subscribe rule covers the whole of it";

struct asking {
    const struct acl_binding *binding;
    struct acl_values values;
    struct acl_common common;
    const struct acl_rule *spoke; /* the first deny that took something away */
};

static const struct acl_rule *first_deny(const struct asking *asking, uint32_t level_count,
                                         const struct acl_list *list) {
    for (const struct acl_rule *deny = list->denies; deny != NULL; deny = deny->next)
        if (acl_rule_concerns(deny, &asking->values) &&
            acl_common_is_denied(&asking->common, level_count, deny, &asking->values))
            return deny;
    return NULL;
}

/* The first deny in the lists up to `last`. */
static const struct acl_rule *first_deny_up_to(const struct asking *asking, uint32_t level_count,
                                               const struct acl_list *last) {
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(asking->binding, &lists)) != NULL;) {
        const struct acl_rule *deny = first_deny(asking, level_count, list);
        if (deny != NULL || list == last)
            return deny;
    }
    return NULL;
}

static uint32_t deepest_up_to(const struct acl_binding *binding, const struct acl_list *last) {
    uint32_t deepest = 0;
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (list->deny_level_count_max > deepest)
            deepest = list->deny_level_count_max;
        if (list == last)
            break;
    }
    return deepest;
}

/* NULL when a common topic is left, else the deny that spoke first. Denies of the lists up to `list` count.
 */
static const struct acl_rule *deny_of_all(const struct asking *asking, const struct acl_list *list) {
    const struct acl_common *common = &asking->common;
    uint32_t last = common->level_count_min, deepest = deepest_up_to(asking->binding, list);
    /* Beyond the deepest deny only those that end in # match, and they match all numbers of levels alike. */
    if (common->is_open && deepest + 1 > last)
        last = deepest + 1;
    const struct acl_rule *spoke = NULL;
    for (uint32_t count = common->level_count_min; count <= last; count++) {
        const struct acl_rule *deny = first_deny_up_to(asking, count, list);
        if (deny == NULL)
            return NULL;
        if (spoke == NULL)
            spoke = deny;
    }
    return spoke;
}

/* Does the grant, in one of its variants, leave the subscription something? */
static bool leaves_something(struct asking *asking, const struct acl_rule *grant,
                             const struct acl_list *list) {
    size_t count = acl_variant_count(grant, &asking->values);
    for (size_t i = 0; i < count; i++) {
        struct acl_values variant = acl_variant(grant, &asking->values, i);
        if (!acl_common_with(&asking->common, grant, &variant))
            continue;
        const struct acl_rule *deny = deny_of_all(asking, list);
        if (deny == NULL)
            return true;
        if (asking->spoke == NULL)
            asking->spoke = deny;
    }
    return false;
}

static const struct acl_rule *find_grant(struct asking *asking, const struct acl_list *list) {
    for (const struct acl_rule *grant = list->grants; grant != NULL; grant = grant->next)
        if ((grant->access & ACL_READ) != 0 && acl_common_may_share(&asking->common, grant) &&
            acl_rule_concerns(grant, &asking->values) && leaves_something(asking, grant, list))
            return grant;
    return NULL;
}

static struct verdict may_read_some(const struct acl_binding *binding, struct span filter) {
    struct asking asking = {
        .binding = binding, .values = acl_values_of(&binding->identity), .common = acl_common_begin(filter)};
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return asking.spoke == NULL ? acl_say(false, acl_odd_name) : acl_speak(binding, asking.spoke);
        const struct acl_rule *grant = find_grant(&asking, list);
        if (grant != NULL)
            return acl_speak(binding, grant);
    }
    return asking.spoke == NULL ? acl_say(false, acl_no_grant) : acl_speak(binding, asking.spoke);
}

static const struct acl_rule *first_cover(const struct acl_rule *rule, const struct acl_values *values,
                                          const struct acl_topic *filter) {
    for (; rule != NULL; rule = rule->next)
        if (acl_rule_is_about(rule, ACL_SUBSCRIBE, values) && acl_rule_may_match(rule, filter) &&
            acl_rule_covers(rule, values, filter->bytes))
            return rule;
    return NULL;
}

static struct verdict is_covered(const struct acl_binding *binding, struct span bytes) {
    struct acl_values values = acl_values_of(&binding->identity);
    struct acl_topic filter = acl_topic(bytes);
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return acl_say(false, acl_odd_name);
        const struct acl_rule *rule = first_cover(list->denies, &values, &filter);
        if (rule == NULL)
            rule = first_cover(list->grants, &values, &filter);
        if (rule != NULL)
            return acl_speak(binding, rule);
    }
    return acl_say(false, no_subscribe);
}

struct verdict acl_may_subscribe(const struct acl_binding *binding, struct span filter) {
    struct span share_name, inner;
    if (mqtt_topic_split_share(filter, &share_name, &inner)) {
        if (inner.size == 0)
            return acl_say(false, share_is_wrong);
        filter = inner;
    }
    if (acl_is_share(filter))
        return acl_say(false, acl_share_is_no_topic);
    if (binding->acl == NULL)
        return acl_say(true, acl_no_acl);
    if (binding->has_subscribe_rules)
        return is_covered(binding, filter);
    /* Without wildcards there is one topic in question, and its rule is found by the index. */
    bool is_topic = !span_has_byte(filter, '+') && !span_has_byte(filter, '#');
    return is_topic ? acl_may_read(binding, filter) : may_read_some(binding, filter);
}
