/* admit: judges a CONNECT, in mosquitto's order, and writes what the broker shall get. */
#include <stdlib.h>

#include "base/hash.h"
#include "crypto/engine.h"
#include "inspect/mount.h"
#include "inspect/rules.h"
#include "mqtt/topic.h"
#include "mqtt/write.h"
#include "policy/clientid.h"
#include "session/inside.h"

struct refusal {
    uint8_t reason;
    const char *words;
    enum metric metric;        /* of its own; METRIC_COUNT: none */
    struct conf_origin origin; /* of the line that spoke, for the log; line 0: none */
};
#define ADMITTED ((struct refusal){.metric = METRIC_COUNT})

static struct refusal refuse(uint8_t reason, const char *words) {
    return (struct refusal){.reason = reason, .words = words, .metric = METRIC_COUNT};
}

static struct refusal refuse_counted(enum metric metric, uint8_t reason, const char *words) {
    return (struct refusal){.reason = reason, .words = words, .metric = metric};
}

static bool heap_set(struct heap *heap, struct span bytes) {
    heap->size = 0;
    return heap_add(heap, bytes);
}

/* A device without a client id gets one from us, so that rules with %c, the log and the broker all mean the
 * same. */
static struct refusal judge_client_id(struct session *session, struct mqtt_connect *connect,
                                      bool *is_changed) {
    const struct conf_listener *listener = session_terms(session)->listener;
    if (connect->client_id.size != 0)
        return ADMITTED;
    bool must_have = connect->version == MQTT_VERSION_31 ||
                     (connect->version == MQTT_VERSION_311 && !connect->clean_start) ||
                     !listener->allow_zero_length_clientid;
    if (must_have)
        return refuse_counted(METRIC_clientid_missing_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
                              "it has no client id");
    uint8_t random[16];
    char room[512];
    size_t size = session->host->random(random, sizeof random)
                      ? clientid_generate(room, sizeof room, listener->auto_id_prefix, random)
                      : 0;
    if (size == 0 || !heap_set(&session->client_id, span_of(room, size)))
        return refuse(MQTT_REASON_SERVER_UNAVAILABLE, "no client id can be made for it");
    connect->client_id = heap_span(&session->client_id);
    *is_changed = true;
    return ADMITTED;
}

/* The client id as it is now, which may be the username. */
static struct refusal judge_final_client_id(const struct session *session,
                                            const struct mqtt_connect *connect) {
    static const struct {
        enum metric metric;
        uint8_t reason;
    } faults[] = {
        [CLIENTID_CHARS] = {METRIC_clientid_chars_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID},
        [CLIENTID_LENGTH] = {METRIC_clientid_length_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID},
        [CLIENTID_PREFIX] = {METRIC_clientid_prefix_refused, MQTT_REASON_NOT_AUTHORIZED},
        [CLIENTID_DENIED] = {METRIC_clientid_pattern_refused, MQTT_REASON_NOT_AUTHORIZED},
        [CLIENTID_NOT_ALLOWED] = {METRIC_clientid_pattern_refused, MQTT_REASON_NOT_AUTHORIZED},
    };
    const struct terms *terms = session_terms(session);
    bool is_made = connect->client_id.at == session->client_id.at && session->client_id.at != NULL;
    struct clientid_verdict verdict = clientid_judge(terms->listener, connect->client_id, is_made);
    if (verdict.fault != CLIENTID_GOOD)
        return (struct refusal){faults[verdict.fault].reason, verdict.words, faults[verdict.fault].metric,
                                verdict.origin};
    if (terms->identity.clientid_prefix.size + connect->client_id.size > UINT16_MAX)
        return refuse_counted(METRIC_clientid_length_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
                              "its client id is too long for backend_clientid_prefix in front of it");
    return ADMITTED;
}

/* Borrowed from the engine, which lives as long as the device's link can bring anything to judge. */
static const struct facts *device_facts(const struct session *session) {
    const struct engine *engine = session->device->engine;
    return engine == NULL ? session_announced_facts(session) : engine_peer_facts(engine);
}

/* A device without a certificate on a listener where it is optional: its own words count. */
static bool is_uncertified(const struct session *session) {
    const struct engine *engine = session->device->engine;
    if (session_terms(session)->listener->require_certificate != CONF_CERTIFICATE_OPTIONAL)
        return false;
    return engine != NULL ? !engine_peer_has_certificate(engine)
                          : session->announced != NULL && session_announced_facts(session) == NULL;
}

/* allow_issuer and its like. */
static struct refusal judge_certificate(const struct session *session) {
    const struct terms *terms = session_terms(session);
    const struct facts *facts = device_facts(session);
    if (terms->certificates == NULL || is_uncertified(session))
        return ADMITTED;
    if (facts == NULL)
        return refuse(MQTT_REASON_NOT_AUTHORIZED, "it has no certificate that could be allowed");
    struct certificate_verdict verdict = certificate_judge(terms->certificates, facts);
    if (verdict.is_allowed)
        return ADMITTED;
    return (struct refusal){MQTT_REASON_NOT_AUTHORIZED, verdict.words, METRIC_certificate_refused,
                            verdict.origin};
}

/* Borrowed from the engine, which lives as long as the device's link can bring anything to judge. */
static struct span certificate_name(const struct session *session, struct conf_source source) {
    struct span name = session->device->engine != NULL ? engine_peer_name(session->device->engine, source)
                       : source.kind == CONF_SOURCE_CN ? session_announced_name(session)
                                                       : SPAN_NONE;
    return name.size > UINT16_MAX ? SPAN_NONE : name;
}

static struct refusal take_certificate_name(struct session *session, struct mqtt_connect *connect,
                                            bool *is_changed) {
    struct span name = certificate_name(session, conf_listener_user_source(session_terms(session)->listener));
    if (name.size == 0)
        return refuse_counted(METRIC_certificate_name_refused, MQTT_REASON_BAD_USER_NAME_OR_PASSWORD,
                              session->device->engine == NULL && session->announced == NULL
                                  ? "the listener has no TLS to take a name from"
                                  : "its certificate has no name that can be a username");
    connect->has_username = true;
    connect->username = name;
    connect->has_password = false;
    connect->password = SPAN_NONE;
    *is_changed = true;
    return ADMITTED;
}

/* clientid_from and use_username_as_clientid. */
static struct refusal take_client_id(struct session *session, struct mqtt_connect *connect, struct span sent,
                                     bool *is_changed) {
    const struct conf_listener *listener = session_terms(session)->listener;
    bool is_from_certificate = listener->clientid_from.kind != CONF_SOURCE_NONE && !is_uncertified(session);
    struct span client_id = SPAN_NONE;
    if (is_from_certificate) {
        client_id = certificate_name(session, listener->clientid_from);
        if (client_id.size == 0)
            return refuse_counted(METRIC_certificate_name_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
                                  "its certificate has no name that can be a client id");
    } else if (listener->use_username_as_clientid) {
        if (!connect->has_username || connect->username.size == 0)
            return refuse(MQTT_REASON_NOT_AUTHORIZED, "it has no username to be its client id");
        client_id = connect->username;
    } else {
        return ADMITTED;
    }
    if (listener->clientid_must_match && !span_is_equal(sent, client_id)) {
        struct refusal refusal = refuse_counted(
            METRIC_clientid_mismatch_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
            is_from_certificate
                ? "its client id is not the one of its certificate, against clientid_must_match"
                : "its client id is not its username, against clientid_must_match");
        refusal.origin = listener->origins[CONF_clientid_must_match];
        return refusal;
    }
    if (!span_is_equal(sent, client_id)) {
        session->inspector.is_client_id_ours = true;
        *is_changed = true;
    }
    connect->client_id = client_id;
    return ADMITTED;
}

static struct refusal judge_will(const struct terms *terms, const struct mqtt_connect *connect) {
    if (!connect->has_will)
        return ADMITTED;
    bool is_v5 = connect->version == MQTT_VERSION_5;
    if (terms->listener->wills == CONF_WILLS_DENY)
        return (struct refusal){MQTT_REASON_NOT_AUTHORIZED, "it has a will, against wills deny",
                                METRIC_will_refused, terms->listener->origins[CONF_wills]};
    if (connect->will_qos > terms->limits.max_qos)
        return refuse_counted(METRIC_will_refused,
                              is_v5 ? MQTT_REASON_QOS_NOT_SUPPORTED : MQTT_REASON_NOT_AUTHORIZED,
                              "the QoS of its will is above max_qos");
    if (connect->will_retain && !terms->limits.retain_available)
        return refuse_counted(METRIC_will_refused,
                              is_v5 ? MQTT_REASON_RETAIN_NOT_SUPPORTED : MQTT_REASON_NOT_AUTHORIZED,
                              "its will is retained, against retain_available false");
    return ADMITTED;
}

/* What the options about messages say to the CONNECT as a whole. */
static struct refusal judge_rules(const struct terms *terms, struct tally *tally,
                                  const struct mqtt_connect *connect) {
    enum rule rule = rules_judge_user_properties(&terms->limits, &connect->props);
    if (rule == RULE_NONE && connect->will_retain && terms->limits.retain_policy == RETAIN_REFUSE)
        rule = RULE_RETAIN;
    if (rule == RULE_NONE)
        return ADMITTED;
    rules_count(tally, rule);
    uint8_t reason = rule_rows[rule].publish_reason;
    return refuse(connect->version == MQTT_VERSION_5 ? reason : MQTT_REASON_NOT_AUTHORIZED,
                  rule == RULE_RETAIN ? "its will is retained, and retain_policy is refuse"
                                      : rule_rows[rule].words);
}

static struct refusal judge_credentials(struct session *session, const struct mqtt_connect *connect,
                                        bool *needs_check) {
    const struct terms *terms = session_terms(session);
    const struct conf_listener *listener = terms->listener;
    /* An empty username is none, as in mosquitto and in the rules. */
    bool is_nameless = !connect->has_username || connect->username.size == 0;
    if (terms->accounts == NULL) {
        /* The broker decides; but who wrote that anonymous devices may not come in is taken at his word. */
        bool is_said = listener->origins[CONF_allow_anonymous].line != 0;
        if (is_said && !listener->allow_anonymous && is_nameless)
            return refuse(MQTT_REASON_NOT_AUTHORIZED, "it has no username, and allow_anonymous is false");
        return ADMITTED;
    }
    if (mqtt_props_has(&connect->props, MQTT_PROP_AUTHENTICATION_METHOD))
        return refuse(MQTT_REASON_BAD_AUTHENTICATION_METHOD,
                      "the password_file decides, not an authentication method");
    if (is_nameless)
        return listener->allow_anonymous
                   ? ADMITTED
                   : refuse(MQTT_REASON_NOT_AUTHORIZED, "it has no username, and allow_anonymous is false");
    *needs_check = true;
    return ADMITTED;
}

static struct refusal judge(struct session *session, struct mqtt_connect *connect, bool *is_changed,
                            bool *needs_check) {
    const struct terms *terms = session_terms(session);
    const struct conf_listener *listener = terms->listener;
    if ((listener->accept_protocol_versions & CONF_VERSION(connect->version)) == 0)
        return refuse_counted(METRIC_protocol_version_refused, MQTT_REASON_UNSUPPORTED_PROTOCOL_VERSION,
                              "its version is not in accept_protocol_versions");
    struct span sent = connect->client_id;
    struct refusal refusal = judge_certificate(session);
    if (refusal.reason == 0)
        refusal = judge_client_id(session, connect, is_changed);
    if (refusal.reason != 0)
        return refusal;
    bool is_named = conf_listener_user_source(listener).kind != CONF_SOURCE_NONE && !is_uncertified(session);
    if (is_named)
        refusal = take_certificate_name(session, connect, is_changed);
    if (refusal.reason == 0)
        refusal = take_client_id(session, connect, sent, is_changed);
    if (refusal.reason != 0)
        return refusal;
    refusal = judge_final_client_id(session, connect);
    if (refusal.reason != 0)
        return refusal;
    if (session_is_banned(session, connect->has_username ? connect->username : SPAN_NONE, connect->client_id))
        return refuse(MQTT_REASON_BANNED, "its username or client id is banned");
    refusal = judge_will(terms, connect);
    if (refusal.reason == 0)
        refusal = judge_rules(terms, session->host->tally, connect);
    if (refusal.reason != 0)
        return refusal;
    uint16_t max_keepalive_s = terms->limits.max_keepalive_s;
    if (max_keepalive_s != 0 && connect->version != MQTT_VERSION_5 &&
        (connect->keep_alive_s == 0 || connect->keep_alive_s > max_keepalive_s))
        return refuse_counted(METRIC_keepalive_refused, MQTT_REASON_CLIENT_IDENTIFIER_NOT_VALID,
                              "its keep alive is above max_keepalive");
    return is_named ? ADMITTED : judge_credentials(session, connect, needs_check);
}

static void cut_will(struct mqtt_connect *connect) {
    connect->has_will = connect->will_retain = false;
    connect->will_qos = 0;
    connect->will_topic = connect->will_payload = SPAN_NONE;
    mqtt_props_clear(&connect->will_props);
}

/* The will as a message, and its retain flag as retain_policy wants it. */
static struct verdict judge_will_message(struct session *session, struct mqtt_connect *connect,
                                         bool *is_changed) {
    const struct inspector *inspector = &session->inspector;
    struct tally *tally = session->host->tally;
    const struct mqtt_props *props = &connect->will_props;
    struct message message = {.mount_size = inspector->mount.size,
                              .topic = connect->will_topic,
                              .response_topic = mqtt_props_has(props, MQTT_PROP_RESPONSE_TOPIC)
                                                    ? props->text[MQTT_PROP_RESPONSE_TOPIC]
                                                    : SPAN_NONE,
                              .is_retained = connect->will_retain,
                              .props = props};
    struct ruling ruling = rules_judge_message(&inspector->limits, &inspector->acl, &message);
    rules_count(tally, ruling.rule);
    if (ruling.verdict.is_allowed && connect->will_retain &&
        inspector->limits.retain_policy == RETAIN_STRIP) {
        connect->will_retain = false;
        *is_changed = true;
        tally_add(&tally->rows[METRIC_retain_stripped], 1);
    }
    return ruling.verdict;
}

/* The broker publishes a will by itself, long after: what may not be written is taken out of the CONNECT. */
static void judge_will_topic(struct session *session, struct mqtt_connect *connect, bool *is_changed) {
    struct inspector *inspector = &session->inspector;
    if (!connect->has_will)
        return;
    bool is_retained = rules_retains(&inspector->limits, connect->will_retain);
    struct verdict verdict =
        acl_may_publish(&inspector->acl, connect->will_topic, connect->will_qos, is_retained);
    if (verdict.is_allowed && inspector->limits.has_message_rules)
        verdict = judge_will_message(session, connect, is_changed);
    uint32_t limit = inspector->limits.message_size_limit;
    if (verdict.is_allowed && limit != 0 && connect->will_payload.size > limit)
        verdict = (struct verdict){.words = "the will is larger than message_size_limit"};
    if (verdict.is_allowed)
        return;
    rules_count_refused(session->host->tally, &verdict);
    session_on_refused(session,
                       &(struct inspect_refusal){MQTT_CONNECT, MQTT_TO_BROKER, connect->will_topic, verdict});
    cut_will(connect);
    *is_changed = true;
}

/* mount_point: binds the session to it and puts it in front of the will's topics. */
static struct refusal take_mount_point(struct session *session, struct mqtt_connect *connect,
                                       bool *is_changed) {
    struct inspector *inspector = &session->inspector;
    const char *pattern = session_terms(session)->listener->mount_point;
    uint8_t reason;
    const char *words;
    if (!mount_bind(inspector, pattern, inspector->acl.identity, &reason, &words))
        return refuse(reason, words);
    if (!mount_is_on(inspector) || !connect->has_will)
        return ADMITTED;
    if (!mount_will(inspector, connect, session->host->scratch, INSPECT_SCRATCH_SIZE)) {
        tally_add(&session->host->tally->rows[METRIC_mount_point_refused], 1);
        bool is_v5 = connect->version == MQTT_VERSION_5;
        return refuse(is_v5 ? MQTT_REASON_TOPIC_NAME_INVALID : MQTT_REASON_NOT_AUTHORIZED,
                      "the topic of its will is too long behind mount_point");
    }
    *is_changed = true;
    return ADMITTED;
}

bool session_admit(struct session *session, struct mqtt_connect *connect, struct span packet,
                   bool *needs_check, uint8_t *reason, const char **words) {
    bool is_changed = false, is_nameless = connect->client_id.size == 0;
    *needs_check = false;
    struct refusal refusal = judge(session, connect, &is_changed, needs_check);
    /* The names are kept first, since rules and log speak of them. */
    bool is_kept = (connect->client_id.at == session->client_id.at ||
                    heap_set(&session->client_id, connect->client_id)) &&
                   (!connect->has_username || connect->username.at == session->username.at ||
                    heap_set(&session->username, connect->username));
    session->has_username = connect->has_username;
    if (!is_kept)
        refusal = refuse(MQTT_REASON_SERVER_UNAVAILABLE, "memory is out");
    if (refusal.reason == 0) {
        struct acl_identity identity = {session->has_username, heap_span(&session->username),
                                        heap_span(&session->client_id), device_facts(session)};
        acl_bind(&session->inspector.acl, session_terms(session)->acl, identity);
        refusal = take_mount_point(session, connect, &is_changed);
    }
    if (refusal.reason == 0) {
        judge_will_topic(session, connect, &is_changed);
        if (is_nameless) /* whatever it was given, it must hear of it (MQTT 5.0 3.2.2-16) */
            session->inspector.assigned_client_id = heap_span(&session->client_id);
        if (!session_write_connect(session, connect, packet, is_changed))
            refusal = refuse(MQTT_REASON_SERVER_UNAVAILABLE, "memory is out");
    }
    if (refusal.reason != 0 && refusal.metric != METRIC_COUNT)
        tally_add(&session->host->tally->rows[refusal.metric], 1);
    session->refused_by = refusal.origin;
    *reason = refusal.reason;
    *words = refusal.words;
    return refusal.reason == 0;
}

uint64_t session_credential(const struct account *account) {
    uint64_t digest =
        hash_bytes(account->hash, sizeof account->hash) ^ hash_bytes(account->salt, account->salt_size);
    return digest == 0 ? 1 : digest;
}

void session_find_host(struct session *session) {
    const struct engine *engine = session->device == NULL ? NULL : session->device->engine;
    session->host_number = engine == NULL
                               ? 0
                               : terms_host_number(&session->generation->terms[session->listener_index],
                                                   engine_host_name(engine));
}

bool session_rebind(struct session *session) {
    struct generation *now = session->host->generation;
    if (session->generation == now)
        return true;
    generation_keep(now);
    generation_drop(session->generation);
    session->generation = now;
    session_find_host(session);
    tally_add(&session->host->tally->rows[METRIC_policy_rebinds], 1);
    const struct terms *terms = session_terms(session);
    /* What was promised in the CONNACK stays; what is judged here anew follows the rules. */
    uint8_t max_qos = session->inspector.limits.max_qos;
    bool retain_available = session->inspector.limits.retain_available;
    uint16_t max_topic_alias = session->inspector.limits.max_topic_alias;
    uint32_t max_packet_size = session->inspector.limits.max_packet_size;
    session->inspector.limits = terms->limits;
    if (session->is_started) {
        session->inspector.limits.max_qos = max_qos;
        session->inspector.limits.retain_available = retain_available;
        session->inspector.limits.max_topic_alias = max_topic_alias;
        session->inspector.limits.max_packet_size = max_packet_size;
    }
    acl_bind(&session->inspector.acl, terms->acl, session->inspector.acl.identity);
    return session_is_known(session, terms);
}

bool session_take_terms(struct session *session) {
    bool is_new = session->generation != session->host->generation;
    if (!session_rebind(session))
        session_end(session, SESSION_END_REVOKED);
    else if (is_new && session->is_started && !session_set_pace(session))
        session_end(session, SESSION_END_NO_MEMORY);
    return session->state != SESSION_ENDING;
}
