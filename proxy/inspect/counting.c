#include "inspect/counting.h"

#include "inspect/steps.h"

bool counting_subscribe(struct inspector *inspector, struct merge *merge, uint32_t index, struct span filter,
                        struct ruling *ruling) {
    struct subscriptions *subscriptions = &inspector->subscriptions;
    uint32_t max = inspector->limits.max_subscriptions;
    if (max == 0) {
        if (subscriptions->slots != NULL) /* a reload has lifted the limit: from now on nothing is known */
            subscriptions_clear(subscriptions);
        return true;
    }
    uint64_t hash = subscription_hash(filter);
    if (subscriptions_have(subscriptions, hash))
        return true;
    if (subscriptions->count >= max) {
        *ruling = rules_refuse_filter(RULE_SUBSCRIPTIONS);
        return true;
    }
    return subscriptions_add(subscriptions, hash) && merge_count(merge, index, hash);
}

void counting_undo(struct inspector *inspector, const struct merge *merge) {
    for (uint32_t i = 0; i < merge->hash_count; i++)
        subscriptions_remove(&inspector->subscriptions, merge->hashes[i]);
}

/* Only an UNSUBACK of version 5 can say that a filter stays (MQTT 5.0 3.11.3). */
static enum inspect_result wait_for_unsuback(struct inspector *inspector,
                                             const struct mqtt_subscribe *unsubscribe, struct merge **merge) {
    *merge = NULL;
    if (inspector->version != MQTT_VERSION_5)
        return INSPECT_NEXT;
    if (merge_find(&inspector->merges, unsubscribe->packet_id) != NULL)
        return step_wrong(inspector, VIOLATION_PACKET_ID_IN_USE);
    if (inspector->merges.count >= MERGE_COUNT_MAX) {
        inspector->refused_reason = MQTT_REASON_QUOTA_EXCEEDED;
        return INSPECT_REFUSED;
    }
    *merge = merge_add(&inspector->merges, unsubscribe->packet_id, unsubscribe->filter_count);
    if (*merge == NULL)
        return INSPECT_NO_MEMORY;
    (*merge)->is_unsubscribe = true;
    (*merge)->open_count = unsubscribe->filter_count;
    memset((*merge)->codes, MERGE_OPEN, unsubscribe->filter_count);
    return INSPECT_NEXT;
}

enum inspect_result counting_unsubscribe(struct inspector *inspector,
                                         const struct mqtt_subscribe *unsubscribe) {
    struct subscriptions *subscriptions = &inspector->subscriptions;
    struct merge *merge;
    if (subscriptions->count == 0)
        return INSPECT_NEXT;
    enum inspect_result result = wait_for_unsuback(inspector, unsubscribe, &merge);
    if (result != INSPECT_NEXT)
        return result;
    struct reader entries = reader_of(unsubscribe->entries);
    struct mqtt_subscribe_entry entry;
    for (uint32_t i = 0; mqtt_subscribe_next(&entries, MQTT_UNSUBSCRIBE, &entry); i++) {
        uint64_t hash = subscription_hash(entry.filter);
        if (!subscriptions_have(subscriptions, hash))
            continue;
        subscriptions_remove(subscriptions, hash);
        if (merge != NULL && !merge_count(merge, i, hash))
            return INSPECT_NO_MEMORY;
    }
    if (merge != NULL && merge->hash_count == 0)
        merge_remove(&inspector->merges, merge);
    return INSPECT_NEXT;
}

bool counting_settle(struct inspector *inspector, const struct merge *merge, struct span codes) {
    uint32_t code = 0, hash = 0;
    for (uint32_t i = 0; i < merge->code_count && hash < merge->hash_count; i++) {
        if (!merge_is_open(merge->codes[i]))
            continue;
        bool is_refused = codes.at[code++] >= 0x80;
        if (merge->codes[i] != MERGE_COUNTED)
            continue;
        uint64_t counted = merge->hashes[hash++];
        if (!is_refused)
            continue;
        if (!merge->is_unsubscribe)
            subscriptions_remove(&inspector->subscriptions, counted);
        else if (!subscriptions_add(&inspector->subscriptions, counted))
            return false;
    }
    return true;
}
