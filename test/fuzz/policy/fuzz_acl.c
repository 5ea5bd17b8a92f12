#include <stdlib.h>

#include "mqtt/topic.h"
#include "policy/acl_set.h"

/* Input: username, client id, topic, each ended by a NUL byte, then the ACL file. A username of one `-` is
 * none. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void must(bool is_true) {
    if (!is_true)
        abort();
}

static struct span cut(struct span *rest) {
    const uint8_t *nul = rest->size == 0 ? NULL : memchr(rest->at, '\0', rest->size);
    struct span field = nul == NULL ? *rest : span_first(*rest, (size_t)(nul - rest->at));
    *rest = span_after(*rest, nul == NULL ? field.size : field.size + 1);
    return field;
}

static void check(const struct verdict *verdict) {
    must((verdict->line == 0) == (verdict->words != NULL));
    must((verdict->line == 0) == (verdict->file == NULL));
}

/* The walk along the lists that an index must not differ from. */
static const struct acl_rule *slow_first(const struct acl_binding *binding, enum acl_access access,
                                         struct span bytes) {
    struct acl_values values = acl_values_of(&binding->identity);
    struct acl_topic topic = acl_topic(bytes);
    const struct acl_list *list;
    for (struct acl_lists lists = {0}; (list = acl_lists_next(binding, &lists)) != NULL;) {
        if (binding->is_odd && list->has_patterns)
            return NULL;
        const struct acl_rule *const chains[] = {list->denies, list->grants};
        for (size_t i = 0; i < 2; i++)
            for (const struct acl_rule *rule = chains[i]; rule != NULL; rule = rule->next)
                if (acl_rule_is_about(rule, (uint8_t)access, &values) &&
                    acl_rule_matches(rule, &values, &topic))
                    return rule;
    }
    return NULL;
}

static void compare(const struct acl_binding *binding, struct span topic) {
    if (binding->acl == NULL || !mqtt_topic_is_name(topic) || topic.at[0] == '$')
        return;
    const struct acl_rule *read = slow_first(binding, ACL_READ, topic);
    const struct acl_rule *write = slow_first(binding, ACL_WRITE, topic);
    must(acl_may_read(binding, topic).line == (read == NULL ? 0 : read->line));
    must(acl_may_write(binding, topic).line == (write == NULL ? 0 : write->line));
    /* What one rule allows with limits is never more than without. */
    struct verdict all = acl_may_publish(binding, topic, 2, true),
                   least = acl_may_publish(binding, topic, 0, false);
    must(!all.is_allowed || least.is_allowed);
    must(!least.is_allowed || acl_may_write(binding, topic).is_allowed);
}

static void ask(const struct acl_binding *binding, struct span topic) {
    if (mqtt_topic_is_name(topic)) {
        struct verdict write = acl_may_write(binding, topic), read = acl_may_read(binding, topic);
        check(&write);
        check(&read);
        must(!span_begins_with(topic, SPAN_LITERAL("$share")) || (!write.is_allowed && !read.is_allowed));
        /* A subscription without wildcards is as good as its one topic; $share/g/x is none of it. */
        struct span group, inner;
        struct verdict subscribe = acl_may_subscribe(binding, topic);
        if (!mqtt_topic_split_share(topic, &group, &inner) && !binding->has_subscribe_rules)
            must(subscribe.is_allowed == read.is_allowed);
        /* All topics there are, in two halves. */
        struct span all = topic.at[0] == '$' ? SPAN_LITERAL("$SYS/#") : SPAN_LITERAL("#");
        struct verdict of_all = acl_may_subscribe(binding, all);
        check(&of_all);
        if (read.is_allowed && !binding->has_subscribe_rules &&
            (topic.at[0] != '$' || mqtt_topic_matches(all, topic)))
            must(of_all.is_allowed);
    }
    if (mqtt_topic_is_filter(topic)) {
        struct verdict subscribe = acl_may_subscribe(binding, topic);
        check(&subscribe);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct span rest = span_of(bytes, size);
    struct acl_identity identity;
    identity.username = cut(&rest);
    identity.client_id = cut(&rest);
    identity.has_username = !span_is_text(identity.username, "-");
    struct span topic = cut(&rest);
    /* A certificate that says what the device says. */
    const struct span names[] = {identity.client_id, identity.username};
    const struct facts facts = {
        .common_name = identity.username, .sans = names, .units = names, .san_count = 2, .unit_count = 2};
    identity.facts = identity.client_id.size % 2 == 1 ? &facts : NULL;
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    if (arena == NULL)
        return 0;
    struct acl *acl = acl_compile(arena, "f", rest, &findings);
    must((acl == NULL) == findings_refuse(&findings));
    must(acl == NULL || acl_rule_count(acl) != 0);
    struct acl_binding binding;
    if (acl != NULL) {
        acl_bind(&binding, acl, identity);
        ask(&binding, topic);
        compare(&binding, topic);
    }
    acl_bind(&binding, NULL, identity);
    ask(&binding, topic);
    findings_clear(&findings);
    arena_destroy(arena);
    return 0;
}
