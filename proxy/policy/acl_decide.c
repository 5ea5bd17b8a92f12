#include "mqtt/topic.h"
#include "policy/acl_say.h"

/* The walk, as mosquitto 2.1 does it, with groups between the user and the patterns:
 *
 *     $SYS, $share -> the user's denies, newest first -> the user's grants
 *                  -> likewise each of its groups
 *                  -> the patterns' denies, newest first -> the patterns' grants -> no
 *
 * The first rule that matches and whose access covers the request ends it; so a grant of the user's beats a
 * deny of the patterns. Odd names stop at the first list that holds patterns. */

static const char sys_is_not_written[] = "$SYS may not be written";

static const struct acl_rule *first_match(const struct acl_rule *rule, enum acl_access access,
                                          const struct acl_values *values, const struct acl_topic *topic) {
    for (; rule != NULL; rule = rule->next)
        if (acl_rule_is_about(rule, (uint8_t)access, values) && acl_rule_matches(rule, values, topic))
            return rule;
    return NULL;
}

static const struct acl_rule *first_match_in(const struct acl_list *list, enum acl_access access,
                                             const struct acl_values *values, const struct acl_topic *topic) {
    if (list->index != NULL)
        return acl_index_first(list->index, access, values, topic);
    const struct acl_rule *deny = first_match(list->denies, access, values, topic);
    return deny != NULL ? deny : first_match(list->grants, access, values, topic);
}

static struct verdict ask(const struct acl_binding *binding, struct span bytes, enum acl_access access) {
    if (acl_is_share(bytes))
        return acl_say(false, acl_share_is_no_topic);
    if (binding->acl == NULL)
        return acl_say(true, acl_no_acl);
    struct acl_topic topic = acl_topic(bytes);
    struct acl_values values = acl_values_of(&binding->identity);
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return acl_say(false, acl_odd_name);
        const struct acl_rule *rule = first_match_in(list, access, &values, &topic);
        if (rule != NULL)
            return acl_speak(binding, rule);
    }
    return acl_say(false, acl_no_grant);
}

struct verdict acl_may_write(const struct acl_binding *binding, struct span topic) {
    if (span_begins_with(topic, SPAN_LITERAL("$SYS")) &&
        !mqtt_topic_matches(SPAN_LITERAL("$SYS/broker/connection/+/state"), topic))
        return acl_say(false, sys_is_not_written);
    return ask(binding, topic, ACL_WRITE);
}

struct verdict acl_may_publish(const struct acl_binding *binding, struct span topic, uint8_t qos,
                               bool is_retained) {
    struct verdict verdict = acl_may_write(binding, topic);
    if (!verdict.is_allowed)
        return verdict;
    if (qos > verdict_max_qos(&verdict)) {
        verdict.broken = ACL_LIMIT_QOS;
        verdict.words = "its QoS is above the maxqos of the rule";
    } else if (is_retained && verdict.is_retain_refused) {
        verdict.broken = ACL_LIMIT_RETAIN;
        verdict.words = "it is retained, and the rule says noretain";
    }
    verdict.is_allowed = verdict.broken == ACL_LIMIT_NONE;
    return verdict;
}

struct verdict acl_may_read(const struct acl_binding *binding, struct span topic) {
    return ask(binding, topic, ACL_READ);
}
