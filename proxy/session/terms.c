#include "session/terms.h"

#include "inspect/rules.h"

_Static_assert((int)RETAIN_ALLOW == CONF_RETAIN_ALLOW && (int)RETAIN_STRIP == CONF_RETAIN_STRIP &&
                   (int)RETAIN_REFUSE == CONF_RETAIN_REFUSE,
               "both name the policies in the same order");

/* The bits of a subscription's options (MQTT 5.0 3.8.3.1). */
#define NO_LOCAL            0x04
#define RETAIN_AS_PUBLISHED 0x08
#define RETAIN_HANDLING     0x30

unsigned terms_host_number(const struct terms *terms, struct span name) {
    unsigned number = terms->tls == NULL || terms->host_count == 0 ? 0 : tls_context_number(terms->tls, name);
    return number <= terms->host_count ? number : 0;
}

static void set_rules(struct inspect_limits *limits, const struct conf_listener *listener) {
    limits->topics = (struct topic_rules){
        .is_dollar_refused = !listener->dollar_topics,
        .max_length = (uint32_t)listener->max_topic_length,
        .max_levels = (uint32_t)listener->max_topic_levels,
    };
    topic_rules_forbid(&limits->topics, span_of_text(listener->forbidden_topic_chars));
    limits->retain_policy = (enum retain_policy)listener->retain_policy;
    limits->max_user_properties = (uint32_t)listener->max_user_properties;
    limits->max_user_properties_size = (uint32_t)listener->max_user_properties_size;
    limits->is_response_topic_judged = listener->response_topic_acl;
    limits->wildcard_subscriptions = listener->wildcard_subscriptions;
    limits->shared_subscriptions = listener->shared_subscriptions;
    limits->subscription_identifiers = listener->subscription_identifiers;
    limits->refused_options = (uint8_t)((listener->no_local ? 0 : NO_LOCAL) |
                                        (listener->retain_as_published ? 0 : RETAIN_AS_PUBLISHED) |
                                        (listener->retain_handling ? 0 : RETAIN_HANDLING));
    limits->min_wildcard_levels = (uint32_t)listener->min_wildcard_levels;
    limits->max_subscriptions = (uint32_t)listener->max_subscriptions;
    limits->max_filters_per_subscribe = (uint32_t)listener->max_filters_per_subscribe;
}

void terms_set_limits(struct terms *terms) {
    const struct conf_listener *listener = terms->listener;
    terms->limits = (struct inspect_limits){
        .max_packet_size = (uint32_t)listener->max_packet_size,
        .message_size_limit = (uint32_t)listener->message_size_limit,
        .max_qos = (uint8_t)listener->max_qos,
        .retain_available = listener->retain_available,
        .max_topic_alias = (uint16_t)listener->max_topic_alias,
        .max_keepalive_s = (uint16_t)listener->max_keepalive,
        .receive_maximum = (uint16_t)listener->receive_maximum,
        .is_broker_counted = listener->enforce_receive_maximum,
        .is_subscribe_silent = listener->acl_subscribe == CONF_ACL_SUBSCRIBE_SILENT,
        .is_deny_disconnect = listener->deny_publish == CONF_DENY_PUBLISH_DISCONNECT,
    };
    set_rules(&terms->limits, listener);
    rules_seal(&terms->limits);
}
