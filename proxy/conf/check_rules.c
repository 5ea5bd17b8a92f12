/* The options about messages and subscriptions: what no topic can hold, and what has no effect beside
 * another. */
#include "conf/check.h"

/* What was set for all listeners is told at the first of them only. */
static bool is_told(const struct conf *conf, const struct conf_listener *listener, enum conf_option option) {
    const struct conf_origin *origin = &listener->origins[option];
    for (const struct conf_listener *other = conf->listeners; other < listener; other++)
        if (other->origins[option].line == origin->line && other->origins[option].file == origin->file)
            return true;
    return false;
}

/* A finding at the line of an option that was set. */
#define AT_OPTION(conf, findings, kind, listener, option, ...)                                               \
    do {                                                                                                     \
        struct conf_origin origin_ = (listener)->origins[option];                                            \
        if (origin_.line != 0 && !is_told(conf, listener, option))                                           \
            findings_add(findings, kind, origin_.file, origin_.line, __VA_ARGS__);                           \
    } while (0)

static void check_listener(const struct conf *conf, const struct conf_listener *listener,
                           struct findings *findings) {
    struct span forbidden = span_of_text(listener->forbidden_topic_chars);
    if (span_has_byte(forbidden, '+') || span_has_byte(forbidden, '#'))
        AT_OPTION(
            conf, findings, FINDING_ERROR, listener, CONF_forbidden_topic_chars,
            "forbidden_topic_chars holds + or #, the wildcards, which no topic can hold; remove it, and "
            "use wildcard_subscriptions false to refuse them in filters");
    if (listener->retain_policy != CONF_RETAIN_ALLOW && !listener->retain_available)
        AT_OPTION(conf, findings, FINDING_WARNING, listener, CONF_retain_policy,
                  "retain_policy has no effect beside retain_available false, which disconnects a device "
                  "that publishes a retained message; remove one of the two");
    if (listener->min_wildcard_levels != 0 && !listener->wildcard_subscriptions)
        AT_OPTION(conf, findings, FINDING_WARNING, listener, CONF_min_wildcard_levels,
                  "min_wildcard_levels has no effect beside wildcard_subscriptions false; remove one of the "
                  "two");
    else if (listener->max_topic_levels != 0 && listener->min_wildcard_levels >= listener->max_topic_levels)
        AT_OPTION(conf, findings, FINDING_WARNING, listener, CONF_min_wildcard_levels,
                  "min_wildcard_levels leaves no filter with a wildcard, for max_topic_levels is not above "
                  "it; raise max_topic_levels, or write wildcard_subscriptions false if that is meant");
    if (listener->response_topic_acl && listener->acl_file == NULL)
        AT_OPTION(
            conf, findings, FINDING_WARNING, listener, CONF_response_topic_acl,
            "response_topic_acl true has no effect but below $SYS, for there is no acl_file; add one or "
            "remove the line");
}

void conf_check_rules(const struct conf *conf, struct findings *findings) {
    for (size_t i = 0; i < conf->listener_count; i++)
        check_listener(conf, &conf->listeners[i], findings);
}
