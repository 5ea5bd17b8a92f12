#include "inspect/rules.h"

#define OPTION_NO_LOCAL            0x04
#define OPTION_RETAIN_AS_PUBLISHED 0x08
#define OPTION_RETAIN_HANDLING     0x30

void rules_seal(struct inspect_limits *limits) {
    const struct topic_rules *topics = &limits->topics;
    limits->has_message_rules = topics->is_dollar_refused || topics->has_chars || topics->max_length != 0 ||
                                topics->max_levels != 0 || limits->retain_policy != RETAIN_ALLOW ||
                                limits->max_user_properties != 0 || limits->max_user_properties_size != 0 ||
                                limits->is_response_topic_judged;
}

static const struct ruling allowed = {.verdict = {.is_allowed = true}};

static struct ruling refuse_message(enum rule rule) {
    return (struct ruling){{.words = rule_rows[rule].words}, rule, rule_rows[rule].publish_reason};
}

struct ruling rules_refuse_filter(enum rule rule) {
    return (struct ruling){{.words = rule_rows[rule].words}, rule, rule_rows[rule].subscribe_code};
}

enum rule rules_judge_user_properties(const struct inspect_limits *limits, const struct mqtt_props *props) {
    if (limits->max_user_properties != 0 && props->user_count > limits->max_user_properties)
        return RULE_USER_PROPERTIES;
    uint32_t limit = limits->max_user_properties_size;
    if (limit == 0 || props->user_count == 0 || props->raw.size <= limit)
        return RULE_NONE;
    struct reader block = reader_of(props->raw);
    struct mqtt_prop_item item;
    size_t size = 0;
    while (mqtt_props_next(&block, &item))
        if (item.prop == MQTT_PROP_USER_PROPERTY)
            size += item.text.size + item.value.size;
    return size > limit ? RULE_USER_PROPERTIES_SIZE : RULE_NONE;
}

static struct ruling judge_response_topic(const struct inspect_limits *limits, const struct acl_binding *acl,
                                          const struct message *message) {
    struct span topic = message->response_topic;
    enum rule rule = topics_judge_name(&limits->topics, span_after(topic, message->mount_size));
    if (rule != RULE_NONE)
        return refuse_message(rule);
    if (!limits->is_response_topic_judged)
        return allowed;
    struct verdict verdict = acl_may_write(acl, topic);
    if (verdict.is_allowed)
        return allowed;
    struct ruling ruling = refuse_message(RULE_RESPONSE_TOPIC);
    ruling.verdict.file = verdict.file;
    ruling.verdict.line = verdict.line;
    return ruling;
}

struct ruling rules_judge_message(const struct inspect_limits *limits, const struct acl_binding *acl,
                                  const struct message *message) {
    enum rule rule = topics_judge_name(&limits->topics, span_after(message->topic, message->mount_size));
    if (rule == RULE_NONE && message->is_retained && limits->retain_policy == RETAIN_REFUSE)
        rule = RULE_RETAIN;
    if (rule == RULE_NONE)
        rule = rules_judge_user_properties(limits, message->props);
    if (rule != RULE_NONE)
        return refuse_message(rule);
    return message->response_topic.size == 0 ? allowed : judge_response_topic(limits, acl, message);
}

struct ruling rules_judge_subscribe(const struct inspect_limits *limits,
                                    const struct mqtt_subscribe *subscribe) {
    enum rule rule = RULE_NONE;
    if (limits->max_filters_per_subscribe != 0 && subscribe->filter_count > limits->max_filters_per_subscribe)
        rule = RULE_FILTERS;
    else if (!limits->subscription_identifiers &&
             mqtt_props_has(&subscribe->props, MQTT_PROP_SUBSCRIPTION_IDENTIFIER))
        rule = RULE_SUBSCRIPTION_ID;
    else
        rule = rules_judge_user_properties(limits, &subscribe->props);
    return rule == RULE_NONE ? allowed : rules_refuse_filter(rule);
}

static enum rule judge_wildcards(const struct inspect_limits *limits, struct span filter) {
    uint32_t literal_levels;
    if ((limits->wildcard_subscriptions && limits->min_wildcard_levels == 0) ||
        !topics_has_wildcard(filter, &literal_levels))
        return RULE_NONE;
    if (!limits->wildcard_subscriptions)
        return RULE_WILDCARD;
    return literal_levels < limits->min_wildcard_levels ? RULE_WILDCARD_LEVELS : RULE_NONE;
}

static enum rule judge_options(uint8_t refused) {
    return (refused & OPTION_NO_LOCAL) != 0              ? RULE_NO_LOCAL
           : (refused & OPTION_RETAIN_AS_PUBLISHED) != 0 ? RULE_RETAIN_AS_PUBLISHED
           : (refused & OPTION_RETAIN_HANDLING) != 0     ? RULE_RETAIN_HANDLING
                                                         : RULE_NONE;
}

struct ruling rules_judge_filter(const struct inspect_limits *limits,
                                 const struct mqtt_subscribe_entry *entry) {
    enum rule rule = topics_judge_filter(&limits->topics, entry->filter);
    if (rule == RULE_NONE && !limits->shared_subscriptions && topics_is_shared(entry->filter))
        rule = RULE_SHARED;
    if (rule == RULE_NONE)
        rule = judge_wildcards(limits, entry->filter);
    if (rule == RULE_NONE)
        rule = judge_options(entry->options & limits->refused_options);
    return rule == RULE_NONE ? allowed : rules_refuse_filter(rule);
}

uint8_t rules_ack_reason(uint8_t reason) {
    return mqtt_reason_may_travel(reason, MQTT_PUBACK, MQTT_TO_DEVICE) ? reason : MQTT_REASON_NOT_AUTHORIZED;
}

void rules_count(struct tally *tally, enum rule rule) {
    if (rule != RULE_NONE)
        tally_add(&tally->rules[rule], 1);
}

void rules_count_refused(struct tally *tally, const struct verdict *verdict) {
    tally_add(&tally->rows[METRIC_publish_refused], 1);
    if (verdict->broken == ACL_LIMIT_QOS)
        tally_add(&tally->rows[METRIC_acl_maxqos_refused], 1);
    else if (verdict->broken == ACL_LIMIT_RETAIN)
        tally_add(&tally->rows[METRIC_acl_noretain_refused], 1);
}
