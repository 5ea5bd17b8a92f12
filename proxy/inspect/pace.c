#include "inspect/pace.h"

#include "inspect/steps.h"

/* With many sessions waiting for one meter none is sent away for longer than this at a time. */
#define TURN_MAX_MS 10000

#define ROW(name)                                                                                            \
    { name, "user_" name, "listener_" name }
static const char *const keywords[PACE_KINDS][PACE_SCOPES] = {ROW("packet_rate"), ROW("publish_rate"),
                                                              ROW("publish_bytes_rate")};
#undef ROW
#define ROW(name)                                                                                            \
    { "it comes faster than " name, "it comes faster than user_" name, "it comes faster than listener_" name }
static const char *const words[PACE_KINDS][PACE_SCOPES] = {ROW("packet_rate"), ROW("publish_rate"),
                                                           ROW("publish_bytes_rate")};
#undef ROW

const char *pace_keyword(enum pace_kind kind, enum pace_scope scope) {
    return keywords[kind][scope];
}

void pace_rest(struct pace *pace) {
    if (pace->awaited != NULL)
        __atomic_sub_fetch(&pace->awaited->waiting, 1, __ATOMIC_RELAXED);
    pace->awaited = NULL;
}

void pace_begin(struct pace *pace, uint64_t since_ms, uint64_t now_ms) {
    pace_rest(pace);
    pace->since_ms = since_ms;
    pace->now_ms = now_ms;
    memset(pace->taken, 0, sizeof pace->taken);
}

/* ---- paying ---- */

/* Gives back what was taken for kinds `first` up to, but without, the given place. */
static void undo(struct pace *pace, enum pace_kind first, enum pace_kind kind, enum pace_scope scope,
                 const uint64_t amounts[PACE_KINDS]) {
    for (unsigned k = first; k <= kind; k++)
        for (unsigned s = 0; s < (k < kind ? PACE_SCOPES : scope); s++)
            if (pace->meters[k][s] != NULL) {
                meter_return(pace->meters[k][s], amounts[k]);
                pace->taken[k][s] -= amounts[k];
            }
}

/* Takes from all meters of the kinds `first` to `last`, or from none; then the one that wants the longest
 * wait is noted. */
static bool pay(struct pace *pace, enum pace_kind first, enum pace_kind last,
                const uint64_t amounts[PACE_KINDS]) {
    for (unsigned k = first; k <= last; k++)
        for (unsigned s = 0; s < PACE_SCOPES; s++) {
            struct meter *meter = pace->meters[k][s];
            if (meter == NULL)
                continue;
            if (meter_take(meter, amounts[k], pace->since_ms, pace->now_ms)) {
                pace->taken[k][s] += amounts[k];
                continue;
            }
            undo(pace, first, k, s, amounts);
            pace->stopped_kind = k;
            pace->stopped_scope = s;
            return false;
        }
    return true;
}

/* How long until all meters of these kinds have a token. */
static uint64_t wait_ms(struct pace *pace, enum pace_kind first, enum pace_kind last) {
    uint64_t longest = 0;
    for (unsigned k = first; k <= last; k++)
        for (unsigned s = 0; s < PACE_SCOPES; s++) {
            uint64_t wait = pace->meters[k][s] == NULL ? 0 : meter_wait_ms(pace->meters[k][s], pace->now_ms);
            if (wait <= longest)
                continue;
            longest = wait;
            pace->stopped_kind = k;
            pace->stopped_scope = s;
        }
    return longest;
}

/* Sessions that wait for the same meter are woken in the same turn, and the first takes what is there: so who
 * has taken something waits until the others could have taken as much. */
static uint64_t turn_ms(const struct pace *pace, const struct meter *meter, uint64_t taken) {
    uint64_t others = __atomic_load_n(&meter->waiting, __ATOMIC_RELAXED);
    uint64_t time_ms = meter_time_ms(meter, taken);
    if (others == 0 || pace->stopped_scope == PACE_DEVICE)
        return 0;
    return time_ms >= TURN_MAX_MS / others ? TURN_MAX_MS : time_ms * others;
}

static enum inspect_result delay(struct inspector *inspector, enum pace_kind first, enum pace_kind last) {
    struct pace *pace = inspector->pace;
    uint64_t wait = wait_ms(pace, first, last);
    struct meter *meter = pace->meters[pace->stopped_kind][pace->stopped_scope];
    wait += turn_ms(pace, meter, pace->taken[pace->stopped_kind][pace->stopped_scope]);
    pace->due_ms = pace->now_ms + (wait == 0 ? 1 : wait); /* 0: another worker has given back meanwhile */
    pace_rest(pace);
    pace->awaited = meter;
    __atomic_add_fetch(&meter->waiting, 1, __ATOMIC_RELAXED);
    if (!pace->is_delayed) {
        tally_add(&inspector->tally->rows[METRIC_rate_delayed], 1);
        pace->stopped_count++;
    }
    pace->is_delayed = true;
    return INSPECT_DELAY;
}

static enum inspect_result disconnect(struct inspector *inspector) {
    tally_add(&inspector->tally->rows[METRIC_rate_disconnected], 1);
    inspector->pace->stopped_count++;
    return INSPECT_TOO_FAST;
}

/* ---- packets ---- */

static bool pay_packet(struct pace *pace) {
    static const uint64_t one[PACE_KINDS] = {[PACE_PACKETS] = 1};
    pace->is_packet_paid = pace->is_packet_paid || pay(pace, PACE_PACKETS, PACE_PACKETS, one);
    return pace->is_packet_paid;
}

bool pace_packet(struct inspector *inspector, const struct mqtt_frame *frame, enum inspect_result *result) {
    struct pace *pace = inspector->pace;
    /* What comes before the CONNACK cannot come often; and the last word is never held back, or the broker
     * would send a will that was taken back. */
    if (frame->type == MQTT_PUBLISH || frame->type == MQTT_DISCONNECT || inspector->state != INSPECT_OPEN ||
        pay_packet(pace))
        return true;
    *result = pace->action == PACE_DISCONNECT ? disconnect(inspector)
                                              : delay(inspector, PACE_PACKETS, PACE_PACKETS);
    return false;
}

/* May this one be kept from the broker? The first copy of a repeated QoS 2 PUBLISH may be with the broker
 * already, which waits for its PUBREL (4.3.3): it is delayed. */
static bool may_cut(const struct pace *pace, const struct mqtt_publish *publish) {
    if (publish->qos == 0)
        return pace->action == PACE_DROP || pace->action == PACE_REFUSE;
    return pace->action == PACE_REFUSE && !(publish->qos == 2 && publish->dup);
}

static enum inspect_result cut(struct inspector *inspector, struct inspect_bytes *bytes,
                               const struct mqtt_publish *publish) {
    struct pace *pace = inspector->pace;
    struct verdict verdict = {.words = words[pace->stopped_kind][pace->stopped_scope]};
    tally_add(&inspector->tally->rows[publish->qos == 0 ? METRIC_rate_dropped : METRIC_rate_refused], 1);
    pace->stopped_count++;
    step_tell_refusal(inspector, MQTT_PUBLISH, MQTT_TO_BROKER, publish->topic, verdict);
    return step_publish_cut(inspector, &inspector->from_device, bytes, publish, MQTT_REASON_QUOTA_EXCEEDED);
}

bool pace_publish(struct inspector *inspector, struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                  const struct mqtt_publish *publish, enum inspect_result *result) {
    struct pace *pace = inspector->pace;
    const uint64_t amounts[PACE_KINDS] = {[PACE_MESSAGES] = 1, [PACE_BYTES] = mqtt_frame_size(frame)};
    bool may_pass = pay_packet(pace);
    enum pace_kind first = may_pass ? PACE_MESSAGES : PACE_PACKETS;
    enum pace_kind last = may_pass ? PACE_BYTES : PACE_PACKETS;
    if (may_pass && !pace->is_publish_paid)
        may_pass = pace->is_publish_paid = pay(pace, PACE_MESSAGES, PACE_BYTES, amounts);
    if (may_pass)
        return true;
    if (pace->action == PACE_DISCONNECT)
        *result = disconnect(inspector);
    else if (may_cut(pace, publish))
        *result = cut(inspector, bytes, publish);
    else
        *result = delay(inspector, first, last);
    return false;
}
