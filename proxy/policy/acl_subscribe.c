/* Subscriptions. mosquitto grants every one and holds back what may not be read at each delivery; here a
 * subscription that could never deliver anything is refused at once. Every grant is met with the filter, and
 * of the topics they have in common one of every number of levels is held against the denies that come before
 * the grant. It is exact: see struct acl_common.
 *
 * In a long list the sieve finds the grants and the index the denies, so that rules that have nothing in
 * common with the filter cost nothing. What is left is this: a filter with wildcards that many grants meet,
 * every one of them taken away by a deny of its own (a/+/secret, with a/1/# ... a/N/# granted and a/1/secret
 * ... a/N/secret denied), costs a look at each of these grants, some hundred nanoseconds, until one is left.
 * Denies that take the whole filter away, or a grant of the same list as a whole, are seen at once.
 *
 * As soon as one list of a session has a `subscribe` rule, these rules alone judge, and what they ask for is
 * simpler: a whole filter is covered by one of them, or it is not. */
#include "mqtt/topic.h"
#include "policy/acl_say.h"
#include "policy/acl_sieve.h"

static const char share_is_wrong[] = "no valid shared subscription";
static const char no_subscribe[] = "no subscribe rule covers the whole of it";

struct asking {
    const struct acl_binding *binding;
    struct acl_values values;
    struct acl_levels levels; /* of the filter */
    struct acl_common common;
    const struct acl_rule *spoke; /* the first deny that took something away */
};

/* ---- a `subscribe` rule, or a deny, over the whole filter ---- */

static const struct acl_rule *first_cover(const struct acl_rule *rule, enum acl_access access,
                                          const struct acl_values *values, const struct acl_topic *filter) {
    for (; rule != NULL; rule = rule->next)
        if (acl_rule_is_about(rule, (uint8_t)access, values) && acl_rule_may_match(rule, filter) &&
            acl_rule_covers(rule, values, filter->bytes))
            return rule;
    return NULL;
}

static const struct acl_rule *first_cover_in(const struct acl_list *list, enum acl_access access,
                                             const struct acl_values *values,
                                             const struct acl_topic *filter) {
    if (list->index != NULL)
        return acl_index_first_cover(list->index, access, values, filter->bytes);
    const struct acl_rule *deny = first_cover(list->denies, access, values, filter);
    return deny != NULL ? deny : first_cover(list->grants, access, values, filter);
}

static struct verdict is_covered(const struct acl_binding *binding, struct span bytes) {
    struct acl_values values = acl_values_of(&binding->identity);
    struct acl_topic filter = acl_topic(bytes);
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return acl_say(false, acl_odd_name);
        const struct acl_rule *rule = first_cover_in(list, ACL_SUBSCRIBE, &values, &filter);
        if (rule != NULL)
            return acl_speak(binding, rule);
    }
    return acl_say(false, no_subscribe);
}

/* Does a deny of the lists up to `last` take the whole filter away, whatever grants there are? */
static bool is_hopeless(const struct asking *asking, const struct acl_list *last) {
    struct acl_topic filter = acl_topic(asking->common.filter);
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(asking->binding, &lists)) != NULL;) {
        if (list->denies != NULL && first_cover_in(list, ACL_DENY, &asking->values, &filter) != NULL)
            return true;
        if (list == last)
            break;
    }
    return false;
}

/* ---- a topic that may be read ---- */

static const struct acl_rule *first_deny(const struct asking *asking, uint32_t level_count,
                                         const struct acl_list *list) {
    if (list->denies != NULL && list->index != NULL)
        return acl_index_first_deny(list->index, &asking->common, level_count, &asking->values);
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
    const struct acl_rule *spoke = first_deny_up_to(asking, common->level_count_min, list), *deny = spoke;
    if (spoke == NULL || !common->is_open)
        return spoke;
    /* A deny that ends in # matches whatever is deeper. So do all beyond the deepest one, and all alike. */
    uint32_t last = deepest_up_to(asking->binding, list) + 1;
    for (uint32_t count = common->level_count_min + 1; count <= last && !deny->is_open; count++) {
        deny = first_deny_up_to(asking, count, list);
        if (deny == NULL)
            return NULL;
    }
    return spoke;
}

/* The grants of a list that may have topics in common with the filter, one after the other. */
struct meeting {
    const struct acl_rule *next; /* of a short list */
    bool is_sieved;
    struct acl_sieving sieving;
};

static void meet(struct meeting *meeting, const struct asking *asking, const struct acl_list *list) {
    meeting->next = list->grants;
    meeting->is_sieved = list->sieve != NULL;
    if (meeting->is_sieved)
        acl_sieve_begin(&meeting->sieving, list->sieve, &asking->values, &asking->levels);
    if (meeting->is_sieved && asking->spoke != NULL)
        acl_sieve_skip_dead(&meeting->sieving);
}

static const struct acl_rule *meet_next(struct meeting *meeting, const struct asking *asking) {
    const struct acl_rule *grant;
    do {
        grant = meeting->is_sieved ? acl_sieve_next(&meeting->sieving) : meeting->next;
        if (grant == NULL)
            return NULL;
        meeting->next = grant->next;
    } while ((grant->access & ACL_READ) == 0 || !acl_common_may_share(&asking->common, grant) ||
             !acl_rule_concerns(grant, &asking->values));
    return grant;
}

/* Does the grant, in one of its variants, leave the subscription something? *deny is one that took something
 * away, if any did. */
static bool leaves_something(struct asking *asking, const struct acl_rule *grant, const struct acl_list *list,
                             const struct acl_rule **deny) {
    size_t count = acl_variant_count(grant, &asking->values);
    *deny = NULL;
    for (size_t i = 0; i < count; i++) {
        struct acl_values variant = acl_variant(grant, &asking->values, i);
        if (!acl_common_with(&asking->common, grant, &variant))
            continue;
        *deny = deny_of_all(asking, list);
        if (*deny == NULL)
            return true;
        if (asking->spoke == NULL)
            asking->spoke = *deny;
    }
    return false;
}

/* The first grant that leaves the subscription something, NULL when there is none. Once it is known which
 * deny will speak for all, grants that are dead anyhow are of no interest, and it is worth to look for a deny
 * over the whole filter: at once whether it is the one just met, and at the second time whether it is any. */
static const struct acl_rule *find_grant(struct asking *asking, const struct acl_list *list, bool *is_over) {
    struct meeting meeting;
    const struct acl_rule *grant, *deny;
    unsigned denied_count = 0;
    meet(&meeting, asking, list);
    while (!*is_over && (grant = meet_next(&meeting, asking)) != NULL) {
        bool was_silent = asking->spoke == NULL;
        if (leaves_something(asking, grant, list, &deny))
            return grant;
        if (deny == NULL)
            continue;
        if (was_silent && meeting.is_sieved)
            acl_sieve_skip_dead(&meeting.sieving);
        denied_count++;
        *is_over = (denied_count == 1 && acl_rule_covers(deny, &asking->values, asking->common.filter)) ||
                   (denied_count == 2 && is_hopeless(asking, list));
    }
    return NULL;
}

static struct verdict may_read_some(const struct acl_binding *binding, struct span filter) {
    struct asking asking = {.binding = binding,
                            .values = acl_values_of(&binding->identity),
                            .levels = acl_levels_of(filter),
                            .common = acl_common_begin(filter)};
    const struct acl_list *list;
    bool is_over = false;
    for (struct acl_lists lists = {0}; !is_over && (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return asking.spoke == NULL ? acl_say(false, acl_odd_name) : acl_speak(binding, asking.spoke);
        const struct acl_rule *grant = find_grant(&asking, list, &is_over);
        if (grant != NULL)
            return acl_speak(binding, grant);
    }
    return asking.spoke == NULL ? acl_say(false, acl_no_grant) : acl_speak(binding, asking.spoke);
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
