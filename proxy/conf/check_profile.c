/* check_profile: what the remote broker that a bridge names in `profile` stands, and what the lines of the
 * bridge would make of it. */
#include "conf/bridge.h"
#include "conf/profile.h"

#include "base/text.h"

#include <stdio.h>

#define AT(findings, kind, bridge, option, ...)                                                              \
    do {                                                                                                     \
        struct conf_origin origin_ = conf_bridge_origin(bridge, option);                                     \
        findings_add(findings, kind, origin_.file, origin_.line, __VA_ARGS__);                               \
    } while (0)

#define EVERY_VERSION (1u << CONF_BRIDGE_MQTTV31 | 1u << CONF_BRIDGE_MQTTV311 | 1u << CONF_BRIDGE_MQTTV50)
#define FROM_311      (1u << CONF_BRIDGE_MQTTV311 | 1u << CONF_BRIDGE_MQTTV50)
#define KIB           1024u

static const struct profile profiles[] = {
    [CONF_PROFILE_NONE] = {.name = "none", .takes_private = true, .versions = EVERY_VERSION, .qos_max = 2},
    [CONF_PROFILE_AWS_IOT] = {.name = "AWS IoT Core",
                              .needs_tls = true,
                              .versions = FROM_311,
                              .qos_max = 1,
                              .payload_max_bytes = 128 * KIB,
                              .topic_max_bytes = 256,
                              .topic_max_slashes = 7,
                              .clientid_max_bytes = 128,
                              .filters_max = 50,
                              .inflight_max = 100,
                              .publishes_per_s = 100,
                              .bytes_per_s = 512 * KIB,
                              .keepalive_min_s = 30,
                              .keepalive_max_s = 1200},
    [CONF_PROFILE_AZURE_IOTHUB] = {.name = "Azure IoT Hub",
                                   .needs_tls = true,
                                   .versions = 1u << CONF_BRIDGE_MQTTV311,
                                   .qos_max = 1,
                                   .payload_max_bytes = 256 * KIB,
                                   .filters_max = 5,
                                   .keepalive_max_s = 1177},
    [CONF_PROFILE_AZURE_EVENTGRID] = {.name = "Azure Event Grid",
                                      .needs_tls = true,
                                      .needs_retain_off = true,
                                      .versions = FROM_311,
                                      .qos_max = 1,
                                      .packet_max_bytes = 512 * KIB,
                                      .keepalive_max_s = 1160,
                                      .alias_max = 10},
    [CONF_PROFILE_HIVEMQ_CLOUD] = {.name = "HiveMQ Cloud",
                                   .needs_tls = true,
                                   .versions = EVERY_VERSION,
                                   .qos_max = 2},
    [CONF_PROFILE_MOSQUITTO] = {.name = "mosquitto",
                                .takes_private = true,
                                .versions = EVERY_VERSION,
                                .qos_max = 2},
};

const struct profile *profile_of(const struct conf_bridge *bridge) {
    return &profiles[bridge->profile];
}

static bool is_set(const struct conf_bridge *bridge, enum conf_option option) {
    return bridge->origins[option].line != 0;
}

/* A value that the profile wants, where the file says nothing; else a warning when it says something else. */
static void want(struct conf_bridge *bridge, enum conf_option option, bool *field, bool wanted, char *words,
                 size_t size, struct findings *findings) {
    const char *keyword = conf_row_of(option)->keyword;
    size_t used = strlen(words);
    if (*field == wanted)
        return;
    if (is_set(bridge, option)) {
        AT(findings, FINDING_WARNING, bridge, option,
           "%s does not stand %s %s; write %s %s or remove the line", profile_of(bridge)->name, keyword,
           *field ? "true" : "false", keyword, wanted ? "true" : "false");
        return;
    }
    *field = wanted;
    snprintf(words + used, size - used, "%s%s %s", used == 0 ? "" : ", ", keyword, wanted ? "true" : "false");
}

static void lower_qos(struct conf_bridge *bridge, struct findings *findings) {
    const struct profile *profile = profile_of(bridge);
    for (struct conf_route *route = bridge->topic; route != NULL; route = route->next)
        if (route->qos > profile->qos_max) {
            findings_add(findings, FINDING_WARNING, route->origin.file, route->origin.line,
                         "%s takes no QoS above %u, so this line counts as QoS %u; write that", profile->name,
                         profile->qos_max, profile->qos_max);
            route->qos = profile->qos_max;
        }
}

void bridge_settle_profile(struct conf_bridge *bridge, struct findings *findings) {
    const struct profile *profile = profile_of(bridge);
    char words[200] = "";
    lower_qos(bridge, findings);
    if (!profile->takes_private) {
        if (bridge->bridge_protocol_version != CONF_BRIDGE_MQTTV50) /* else it is not used */
            want(bridge, CONF_try_private, &bridge->try_private, false, words, sizeof words, findings);
        if (bridge->notifications)
            want(bridge, CONF_notifications_local_only, &bridge->notifications_local_only, true, words,
                 sizeof words, findings);
        want(bridge, CONF_bridge_attempt_unsubscribe, &bridge->bridge_attempt_unsubscribe, false, words,
             sizeof words, findings);
    }
    if (profile->needs_retain_off && bridge->bridge_protocol_version != CONF_BRIDGE_MQTTV50)
        want(bridge, CONF_bridge_outgoing_retain, &bridge->bridge_outgoing_retain, false, words, sizeof words,
             findings);
    if (words[0] != '\0')
        AT(findings, FINDING_NOTICE, bridge, CONF_profile, "for %s connection %s has: %s", profile->name,
           bridge->name, words);
}

static void check_version(const struct conf_bridge *bridge, struct findings *findings) {
    static const char *const words[] = {"mqttv31", "mqttv311", "mqttv50"};
    const struct profile *profile = profile_of(bridge);
    if ((profile->versions & 1u << bridge->bridge_protocol_version) == 0)
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_protocol_version,
           "%s does not speak %s; write bridge_protocol_version mqttv311", profile->name,
           words[bridge->bridge_protocol_version]);
}

static void check_keepalive(const struct conf_bridge *bridge, struct findings *findings) {
    const struct profile *profile = profile_of(bridge);
    int32_t value = bridge->keepalive_interval;
    if (profile->keepalive_max_s != 0 && value > profile->keepalive_max_s)
        AT(findings, FINDING_WARNING, bridge, CONF_keepalive_interval,
           "%s allows a keepalive_interval of at most %d seconds; write a lesser one", profile->name,
           (int)profile->keepalive_max_s);
    if (value < profile->keepalive_min_s)
        AT(findings, FINDING_WARNING, bridge, CONF_keepalive_interval,
           "%s wants a keepalive_interval of at least %d seconds; write a greater one", profile->name,
           (int)profile->keepalive_min_s);
}

static void check_identity(const struct conf_bridge *bridge, struct findings *findings) {
    const struct profile *profile = profile_of(bridge);
    if (profile->clientid_max_bytes != 0 && bridge->remote_clientid != NULL &&
        strlen(bridge->remote_clientid) > profile->clientid_max_bytes)
        AT(findings, FINDING_ERROR, bridge, CONF_remote_clientid,
           "remote_clientid is longer than the %u bytes that %s allows; shorten it",
           (unsigned)profile->clientid_max_bytes, profile->name);
    if (bridge->profile != CONF_PROFILE_AZURE_IOTHUB)
        return;
    if (!is_set(bridge, CONF_remote_clientid))
        AT(findings, FINDING_WARNING, bridge, CONF_profile,
           "%s wants the device id as client id; add remote_clientid", profile->name);
    if (!is_set(bridge, CONF_remote_username))
        AT(findings, FINDING_WARNING, bridge, CONF_profile,
           "%s wants a username HUB/DEVICE/?api-version=2021-04-12; add remote_username", profile->name);
}

/* What the remote side sees of a line, as far as it is fixed. */
static const char *remote_text(const struct conf_route *route) {
    if (!route->is_remap)
        return route->remote_filter;
    return route->directions == CONF_ROUTE_OUT ? route->target : route->source_filter;
}

static bool begins_with(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static void check_line(const struct conf_bridge *bridge, const struct conf_route *route,
                       struct findings *findings) {
    const struct profile *profile = profile_of(bridge);
    const char *text = remote_text(route);
    char room[TEXT_QUOTED_SIZE];
    unsigned slashes = 0;
    /* A rule of AWS is named in front of the topic and not counted. */
    const char *counted =
        bridge->profile == CONF_PROFILE_AWS_IOT && begins_with(text, "$aws/rules/") ? "" : text;
    for (const char *at = counted; *at != '\0'; at++)
        slashes += *at == '/';
    text_quote(room, sizeof room, span_of_text(text));
    if (profile->topic_max_slashes != 0 && slashes > profile->topic_max_slashes)
        findings_add(findings, FINDING_WARNING, route->origin.file, route->origin.line,
                     "'%s' has %u slashes, but %s allows %u; shorten it", room, slashes, profile->name,
                     (unsigned)profile->topic_max_slashes);
    if (profile->topic_max_bytes != 0 && strlen(text) > profile->topic_max_bytes)
        findings_add(findings, FINDING_WARNING, route->origin.file, route->origin.line,
                     "'%s' is longer than the %u bytes that %s allows; shorten it", room,
                     (unsigned)profile->topic_max_bytes, profile->name);
    bool is_open =
        route->is_remap && text[0] == '$'; /* a placeholder or a dollar: it may become a good one */
    if (bridge->profile == CONF_PROFILE_AZURE_IOTHUB && !is_open && !begins_with(text, "devices/") &&
        !begins_with(text, "$iothub/"))
        findings_add(findings, FINDING_WARNING, route->origin.file, route->origin.line,
                     "%s knows only topics below devices/ and $iothub/, and '%s' is none; give the line a "
                     "remote prefix",
                     profile->name, room);
}

void conf_check_profile(const struct conf_bridge *bridge, struct findings *findings) {
    const struct profile *profile = profile_of(bridge);
    uint32_t filters = 0;
    check_version(bridge, findings);
    check_keepalive(bridge, findings);
    check_identity(bridge, findings);
    for (const struct conf_route *route = bridge->topic; route != NULL; route = route->next) {
        filters += (route->directions & CONF_ROUTE_IN) != 0;
        check_line(bridge, route, findings);
    }
    if (profile->filters_max != 0 && filters > profile->filters_max)
        AT(findings, FINDING_ERROR, bridge, CONF_profile,
           "connection %s has %u lines in or both, but %s allows %u subscriptions; make fewer of them",
           bridge->name, (unsigned)filters, profile->name, (unsigned)profile->filters_max);
    if (profile->needs_tls && !conf_bridge_is_tls(bridge))
        AT(findings, FINDING_WARNING, bridge, CONF_profile,
           "%s speaks TLS only; add bridge_tls_use_os_certs true or bridge_cafile", profile->name);
    if (profile->alias_max != 0 && bridge->bridge_max_topic_alias > profile->alias_max)
        AT(findings, FINDING_WARNING, bridge, CONF_bridge_max_topic_alias,
           "%s allows %d topic aliases; write bridge_max_topic_alias %d", profile->name,
           (int)profile->alias_max, (int)profile->alias_max);
}
