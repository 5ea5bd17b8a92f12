#include <stdlib.h>

#include "mqtt/topic.h"
#include "policy/acl.h"

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

static void ask(const struct acl_binding *binding, struct span topic) {
    if (mqtt_topic_is_name(topic)) {
        struct verdict write = acl_may_write(binding, topic), read = acl_may_read(binding, topic);
        check(&write);
        check(&read);
        must(!span_begins_with(topic, SPAN_LITERAL("$share")) || (!write.is_allowed && !read.is_allowed));
        /* A subscription without wildcards is as good as its one topic; $share/g/x is none of it. */
        struct span group, inner;
        struct verdict subscribe = acl_may_subscribe(binding, topic);
        if (!mqtt_topic_split_share(topic, &group, &inner))
            must(subscribe.is_allowed == read.is_allowed);
        /* All topics there are, in two halves. */
        struct span all = topic.at[0] == '$' ? SPAN_LITERAL("$SYS/#") : SPAN_LITERAL("#");
        struct verdict of_all = acl_may_subscribe(binding, all);
        check(&of_all);
        if (read.is_allowed && (topic.at[0] != '$' || mqtt_topic_matches(all, topic)))
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
    }
    acl_bind(&binding, NULL, identity);
    ask(&binding, topic);
    findings_clear(&findings);
    arena_destroy(arena);
    return 0;
}
