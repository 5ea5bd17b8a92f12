/* reply: the last words to a device, and the lines about it in the log. */
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "mqtt/write.h"
#include "session/inside.h"

static bool can_tell_connack(const struct session *session) {
    const struct inspector *inspector = &session->inspector;
    if (inspector->version == MQTT_VERSION_NONE || session->is_started || inspector->state == INSPECT_OVER)
        return false;
    /* A CONNECT that breaks the protocol gets an answer only in 5.0 (3.1.4-1), but for the version itself
     * (MQTT 3.1.1 3.1.2-2). */
    bool is_broken = session->end == SESSION_END_DEVICE_WRONG && session->state <= SESSION_GREETING;
    return !is_broken || inspector->version == MQTT_VERSION_5 ||
           inspector->violation == VIOLATION_PROTOCOL_VERSION;
}

/* A reason that this packet may carry (MQTT 5.0 3.2.2.2, 3.14.2.1): the same row of ends.def serves both. */
static uint8_t fitting(uint8_t reason, enum mqtt_type type) {
    if (mqtt_reason_may_travel(reason, type, MQTT_TO_DEVICE))
        return reason;
    return type == MQTT_CONNACK ? MQTT_REASON_SERVER_UNAVAILABLE : MQTT_REASON_UNSPECIFIED_ERROR;
}

static void write_last_words(const struct session *session, struct writer *writer, uint8_t reason,
                             struct span reason_string) {
    const struct inspector *inspector = &session->inspector;
    if (can_tell_connack(session))
        mqtt_write_connack(writer, inspector->version, fitting(reason, MQTT_CONNACK), reason_string);
    else if (session->is_started && inspector->version == MQTT_VERSION_5 &&
             inspector->state == INSPECT_OPEN && inspect_is_at_boundary(&inspector->from_broker))
        mqtt_write_disconnect(writer, inspector->version, fitting(reason, MQTT_DISCONNECT), reason_string);
}

void session_tell(struct session *session, uint8_t reason, const char *words) {
    struct inspector *inspector = &session->inspector;
    struct link *device = session->device;
    uint8_t room[512];
    if (device == NULL || !device->is_open || reason == 0)
        return;
    struct writer writer = writer_of(room, sizeof room);
    write_last_words(session, &writer, reason, inspector->may_tell_reasons ? span_of_text(words) : SPAN_NONE);
    if (writer.is_full || !inspect_fits_device(inspector, writer_size(&writer))) {
        /* Too large with the words (MQTT 5.0 3.2.2-19, 3.14.2-3): the reason alone may fit. */
        writer = writer_of(room, sizeof room);
        write_last_words(session, &writer, reason, SPAN_NONE);
    }
    if (writer_size(&writer) == 0 || !inspect_fits_device(inspector, writer_size(&writer)))
        return;
    struct span pieces[2] = {heap_span(&session->from_broker.owed), writer_span(&writer)};
    (void)link_write(device, pieces, 2); /* it ends anyway */
}

const char *session_user_words(const struct session *session, char *room, size_t size) {
    char quoted[TEXT_QUOTED_SIZE];
    if (!session->has_username)
        return "";
    snprintf(room, size, ", u'%s'", text_quote(quoted, sizeof quoted, heap_span(&session->username)));
    return room;
}

void session_log_start(struct session *session) {
    if (!session->generation->conf->connection_messages)
        return;
    char address[ADDRESS_TEXT_SIZE], client[TEXT_QUOTED_SIZE], user[TEXT_QUOTED_SIZE + 8];
    const struct link *device = session->device;
    char tls[TEXT_QUOTED_SIZE] = "";
    if (device->engine != NULL)
        snprintf(tls, sizeof tls, "%s", engine_version(device->engine));
    else if (session->announced != NULL && (session->announced->tls.client & PROXY_TLS_USED) != 0)
        text_quote(tls, sizeof tls, session->announced->tls.version); /* spoken with the proxy in front */
    log_notice("New client connected from %s as %s (p%d, k%u%s%s%s).",
               address_print(&session->address, address),
               text_quote(client, sizeof client, heap_span(&session->client_id)), session->inspector.version,
               session->inspector.keep_alive_s, session_user_words(session, user, sizeof user),
               tls[0] == '\0' ? "" : ", ", tls);
}

void session_log_end(struct session *session, const char *words) {
    static const enum log_kind kinds[] = {
#define END(name, label, kind, reason, sentence) kind,
#include "session/ends.def"
#undef END
    };
    enum log_kind kind = kinds[session->end];
    bool is_normal = session->end == SESSION_END_DEVICE_GOODBYE || session->end == SESSION_END_DEVICE_CLOSED;
    if (!log_is_on(kind) || (is_normal && !session->generation->conf->connection_messages))
        return;
    char address[ADDRESS_TEXT_SIZE], client[TEXT_QUOTED_SIZE], user[TEXT_QUOTED_SIZE + 8];
    char ip[NETWORK_TEXT_SIZE], front[NETWORK_TEXT_SIZE + 24] = "";
    const struct ip from = address_ip(&session->address);
    /* The address of a failure stands in front of everything that a device may choose, where no client id can
     * forge it: etc/fail2ban/filter.d/drawbridge.conf reads it there. */
    if (session_has_failed(session) && from.family != IP_NONE)
        snprintf(front, sizeof front,
                 from.family == IP_V4 ? "Failure from %s: " : "Failure from [%s]: ", ip_print(&from, ip));
    log_line(kind, "%sClient %s%s [%s] is gone: %s.", front,
             session->client_id.size == 0 ? "(no client id)"
                                          : text_quote(client, sizeof client, heap_span(&session->client_id)),
             session_user_words(session, user, sizeof user), address_print(&session->address, address),
             words);
}

void session_on_refused(void *owner, const struct inspect_refusal *refusal) {
    struct session *session = owner;
    if (session->host->on_refused != NULL)
        session->host->on_refused(session->host, refusal);
    denials_note(session, refusal);
}
