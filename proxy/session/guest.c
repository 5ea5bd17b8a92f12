/* guest: a session seen from the lobby: may it come to the broker, and what does its failure cost it. */
#include "base/log.h"
#include "base/text.h"
#include "session/inside.h"

static struct lobby_rules rules_of(const struct session *session) {
    return (struct lobby_rules){session->generation->conf, session_terms(session)->listener,
                                session->listener_index};
}

static uint64_t now_ms(const struct session *session) {
    return session->host->now_ms(session->host);
}

static void count(struct session *session, enum metric metric) {
    tally_add(&session->host->tally->rows[metric], 1);
}

/* How long a ClientHello may be on its way before somebody else may have the place. */
#define SILENCE_MS 1000
/* Handshakes looked at: those in front that are no longer silent are few, or about to end. */
#define SHED_LOOK_MAX 64

static void join_shaking(struct session *session) {
    struct session_host *host = session->host;
    if (host->shaking_last == NULL)
        host->shaking_last = &host->shaking_first;
    session->arrived_ms = now_ms(session);
    session->next_shaking = NULL;
    session->previous_shaking = host->shaking_last;
    *host->shaking_last = session;
    host->shaking_last = &session->next_shaking;
}

static void leave_shaking(struct session *session) {
    if (session->previous_shaking == NULL)
        return;
    *session->previous_shaking = session->next_shaking;
    if (session->next_shaking != NULL)
        session->next_shaking->previous_shaking = session->previous_shaking;
    else
        session->host->shaking_last = session->previous_shaking;
    session->previous_shaking = NULL;
}

void session_keep_guest(struct session *session, const struct guest *guest) {
    session->guest = *guest;
    if (guest->is_shaking)
        join_shaking(session);
}

bool session_shed_silent(struct session_host *host) {
    struct session *session = host->shaking_first;
    for (int i = 0; i < SHED_LOOK_MAX && session != NULL; i++, session = session->next_shaking) {
        if (now_ms(session) - session->arrived_ms < SILENCE_MS)
            return false;
        if (link_is_silent(session->device)) {
            session_end(session, SESSION_END_HANDSHAKE_SHED);
            return true;
        }
    }
    return false;
}

bool session_is_banned(struct session *session, struct span username, struct span client_id) {
    const struct lobby_rules rules = rules_of(session);
    bool is_banned = session->host->lobby != NULL &&
                     lobby_is_banned(session->host->lobby, &rules, username, client_id, now_ms(session));
    if (is_banned)
        count(session, METRIC_connects_banned);
    return is_banned;
}

enum lobby_answer session_seat(struct session *session) {
    if (session->host->lobby == NULL)
        return LOBBY_WELCOME;
    const struct lobby_rules rules = rules_of(session);
    struct span username = session->has_username ? heap_span(&session->username) : SPAN_NONE;
    enum lobby_answer answer = lobby_seat(session->host->lobby, &rules, username,
                                          heap_span(&session->client_id), now_ms(session), &session->guest);
    if (answer == LOBBY_OVER_ADDRESS)
        count(session, METRIC_connects_over_address);
    if (answer == LOBBY_OVER_USERNAME)
        count(session, METRIC_connects_over_username);
    return answer;
}

bool session_take_hold(struct session *session) {
    struct session_host *host = session->host;
    const struct engine *engine = session->device->engine;
    const struct conf_source source = {CONF_SOURCE_FINGERPRINT, 1};
    struct span name = engine == NULL ? SPAN_NONE : engine_peer_name(engine, source);
    if (host->holds == NULL || !session_terms(session)->listener->one_session_per_certificate ||
        name.size == 0)
        return true;
    session->hold = holds_take(host->holds, name, &host->holder, session);
    return session->hold != NULL;
}

void session_drop_hold(struct session *session) {
    holds_give_back(session->host->holds, session->hold);
    session->hold = NULL;
}

void session_end_lost(struct session_host *host) {
    struct session *session;
    while ((session = holds_next_lost(host->holds, &host->holder)) != NULL)
        session_end(session, SESSION_END_TAKEN_OVER);
}

void session_shaken(struct session *session) {
    leave_shaking(session);
    if (session->host->lobby != NULL)
        lobby_shaken(session->host->lobby, &session->guest);
}

void session_leave(struct session *session) {
    if (session->host->lobby != NULL)
        lobby_leave(session->host->lobby, &session->guest);
}

/* ---- failures ---- */

/* What a device did wrong; not what we, our certificate or our limits did to it. */
static bool is_devices_trouble(enum tls_trouble trouble) {
    switch (trouble) {
    case TLS_TROUBLE_NONE:
    case TLS_TROUBLE_OUT_OF_MEMORY:
    case TLS_TROUBLE_DEVICE_DISTRUSTS_US:
    case TLS_TROUBLE_CRL_EXPIRED:
    case TLS_TROUBLE_CERTIFICATE_WITHOUT_CRL: return false;
    default: return true;
    }
}

/* A limit is no proof of bad intent, and a ban that fed itself would never end. */
static bool is_devices_refusal(uint8_t reason) {
    switch (reason) {
    case MQTT_REASON_SERVER_UNAVAILABLE:
    case MQTT_REASON_SERVER_BUSY:
    case MQTT_REASON_BANNED:
    case MQTT_REASON_QUOTA_EXCEEDED:
    case MQTT_REASON_CONNECTION_RATE_EXCEEDED: return false;
    default: return true;
    }
}

/* The broker knows the passwords when there is no password_file (MQTT 3.1.1 3.2.2.3, MQTT 5.0 3.2.2.2). */
static bool is_wrong_password(enum mqtt_version version, uint8_t code) {
    if (version != MQTT_VERSION_5)
        return code == 4 || code == 5;
    return code == MQTT_REASON_BAD_USER_NAME_OR_PASSWORD || code == MQTT_REASON_NOT_AUTHORIZED ||
           code == MQTT_REASON_BAD_AUTHENTICATION_METHOD;
}

bool session_has_failed(const struct session *session) {
    const struct inspector *inspector = &session->inspector;
    switch (session->end) {
    case SESSION_END_PASSWORD_WRONG: return true;
    case SESSION_END_TLS_FAILED: return is_devices_trouble(engine_trouble(session->device->engine));
    case SESSION_END_DEVICE_WRONG: return !session->is_started;
    case SESSION_END_DEVICE_REFUSED:
    case SESSION_END_CONNECT_REFUSED:
        return !session->is_started && is_devices_refusal(inspector->refused_reason);
    case SESSION_END_BROKER_REFUSED: return is_wrong_password(inspector->version, inspector->connack_code);
    default: return false;
    }
}

static void log_ban(const struct conf_ban *ban, const char *what, const char *who) {
    log_notice("Banned %s %s for %llu s: %llu failures within %llu s.", what, who,
               (unsigned long long)ban->ban_ms / 1000, (unsigned long long)ban->count,
               (unsigned long long)ban->window_ms / 1000);
}

void session_note_failure(struct session *session) {
    if (!session_has_failed(session))
        return;
    count(session, METRIC_failures);
    if (session->host->lobby == NULL)
        return;
    const struct lobby_rules rules = rules_of(session);
    const struct conf_ban *ban = &rules.listener->ban_after;
    struct span username = session->has_username ? heap_span(&session->username) : SPAN_NONE;
    struct span client_id = heap_span(&session->client_id);
    unsigned banned =
        lobby_fail(session->host->lobby, &rules, &session->guest, username, client_id, now_ms(session));
    char text[NETWORK_TEXT_SIZE], quoted[TEXT_QUOTED_SIZE];
    if ((banned & CONF_BAN_ADDRESS) != 0) {
        count(session, METRIC_bans_of_addresses);
        log_ban(ban, "address", visitor_address_print(&session->guest.ip, text));
    }
    if ((banned & CONF_BAN_USERNAME) != 0) {
        count(session, METRIC_bans_of_usernames);
        log_ban(ban, "username", text_quote(quoted, sizeof quoted, username));
    }
    if ((banned & CONF_BAN_CLIENTID) != 0) {
        count(session, METRIC_bans_of_clientids);
        log_ban(ban, "client id", text_quote(quoted, sizeof quoted, client_id));
    }
}
