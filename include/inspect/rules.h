/* rules: the options about messages and subscriptions (policy/rules.def), asked once per packet. Pure: what
 * is refused is counted and told by the caller. */
#ifndef DRAWBRIDGE_INSPECT_RULES_H
#define DRAWBRIDGE_INSPECT_RULES_H

#include "inspect/inspector.h"
#include "mqtt/publish.h"
#include "mqtt/subscribe.h"

/* An answer. `rule` is RULE_NONE when it is allowed, and when something that is no row of rules.def refuses.
 */
struct ruling {
    struct verdict verdict;
    enum rule rule;
    uint8_t reason; /* MQTT 5: of a PUBLISH for a DISCONNECT or a CONNACK, of a filter for the SUBACK */
};

/* To be called when the limits are complete: sets has_message_rules. */
void rules_seal(struct inspect_limits *limits);

/* What a device wants to be published: a PUBLISH, or the will of its CONNECT. */
struct message {
    size_t mount_size;                 /* bytes of the mount point in front of both: */
    struct span topic, response_topic; /* as the broker gets them, aliases resolved; empty: none */
    bool is_retained;
    const struct mqtt_props *props; /* cleared before version 5 */
};

/* What is left of a message's retain flag when it goes on. */
static inline bool rules_retains(const struct inspect_limits *limits, bool is_retained) {
    return is_retained && limits->retain_policy != RETAIN_STRIP;
}

/* Asks all rules for messages but the ACL for its topic. The response topic is judged by the rules for topics
 * and, with response_topic_acl, by the ACL. Rules for topics speak of what the device wrote, the ACL of the
 * broker's topics. */
struct ruling rules_judge_message(const struct inspect_limits *limits, const struct acl_binding *acl,
                                  const struct message *message);

/* The user properties of any packet: RULE_NONE when there are no more than allowed. */
enum rule rules_judge_user_properties(const struct inspect_limits *limits, const struct mqtt_props *props);

/* What refuses all filters of a SUBSCRIBE. */
struct ruling rules_judge_subscribe(const struct inspect_limits *limits,
                                    const struct mqtt_subscribe *subscribe);
/* What refuses one of them, the ACL and max_subscriptions left out. */
struct ruling rules_judge_filter(const struct inspect_limits *limits,
                                 const struct mqtt_subscribe_entry *entry);

/* The refusal of a filter by that rule. */
struct ruling rules_refuse_filter(enum rule rule);

/* A PUBLISH's reason as its PUBACK or PUBREC may carry it (MQTT 5.0 3.4.2.1, 3.5.2.1): NOT_AUTHORIZED stands
 * in for one that may not. */
uint8_t rules_ack_reason(uint8_t reason);

/* Counts a refusal by its option. */
void rules_count(struct tally *tally, enum rule rule);

/* Counts a PUBLISH or a will that is refused, and what of a rule of the ACL broke it. */
void rules_count_refused(struct tally *tally, const struct verdict *verdict);

#endif
