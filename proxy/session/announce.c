/* announce: what a proxy in front of us says of a device in a PROXY protocol header, and what we tell the
 * broker in one. */
#include <stdlib.h>

#include "base/text.h"
#include "crypto/engine.h"
#include "session/inside.h"

static struct span keep(uint8_t **room, struct span text) {
    struct span kept = {*room, text.size};
    if (text.size != 0)
        memcpy(*room, text.at, text.size);
    *room += text.size;
    return kept;
}

/* Names with a NUL or ill-formed UTF-8 name nobody, as in a certificate that we verify ourselves. */
static bool is_name(struct span text) {
    return text.size != 0 && !span_has_byte(text, 0) && text_is_utf8(text);
}

static struct announced *copy(const struct proxy_header *header) {
    const struct proxy_tls *tls = &header->tls;
    struct announced *announced =
        calloc(1, sizeof *announced + tls->version.size + tls->cipher.size + tls->common_name.size);
    if (announced == NULL)
        return NULL;
    uint8_t *room = announced->texts;
    announced->ends = header->ends;
    announced->ends.source_path = SPAN_NONE;
    announced->tls = *tls;
    announced->tls.version = keep(&room, tls->version);
    announced->tls.cipher = keep(&room, tls->cipher);
    announced->tls.common_name = keep(&room, tls->common_name);
    if (proxy_tls_is_verified(tls) && is_name(tls->common_name))
        announced->facts.common_name = announced->tls.common_name;
    return announced;
}

void session_announce(struct session *session, const struct proxy_header *header, uint64_t began_ms) {
    session->announced = copy(header);
    if (session->announced == NULL) {
        session_end(session, SESSION_END_NO_MEMORY);
        return;
    }
    if (session->state == SESSION_SHAKING)
        wheel_set(session->host->wheel, &session->deadline,
                  began_ms + session_terms(session)->listener->handshake_timeout_ms);
}

struct span session_announced_name(const struct session *session) {
    return session->announced == NULL ? SPAN_NONE : session->announced->facts.common_name;
}

const struct facts *session_announced_facts(const struct session *session) {
    bool is_verified = session->announced != NULL && proxy_tls_is_verified(&session->announced->tls);
    return is_verified ? &session->announced->facts : NULL;
}

/* ---- to the broker ---- */

void session_note_local(struct session *session, const struct address *local) {
    session->local = *local;
}

/* The device's own ends: of the header that it came with, or of its connection. */
static struct proxy_ends ends_of(const struct session *session) {
    if (session->announced != NULL && session->announced->ends.family != PROXY_UNKNOWN)
        return session->announced->ends;
    static const enum proxy_family families[] = {[IP_V4] = PROXY_V4, [IP_V6] = PROXY_V6};
    struct proxy_ends ends = {.family = PROXY_UNKNOWN};
    enum ip_family source = address_bytes(&session->address, ends.source, &ends.source_port);
    enum ip_family destination = address_bytes(&session->local, ends.destination, &ends.destination_port);
    if (source != IP_NONE && source == destination)
        ends.family = families[source];
    return ends;
}

static struct proxy_tls tls_of(const struct session *session) {
    const struct engine *engine = session->device->engine;
    if (engine == NULL)
        return session->announced != NULL ? session->announced->tls : (struct proxy_tls){0};
    struct proxy_tls tls = {.client = PROXY_TLS_USED,
                            .verify = 1,
                            .version = span_of_text(engine_version(engine)),
                            .cipher = span_of_text(engine_cipher(engine))};
    if (!engine_peer_has_certificate(engine))
        return tls;
    tls.verify = 0;
    tls.client |= PROXY_TLS_CERT_SESSION | (engine_is_resumed(engine) ? 0 : PROXY_TLS_CERT_CONN);
    tls.common_name = engine_peer_name(engine, (struct conf_source){CONF_SOURCE_CN, 1});
    return tls;
}

bool session_write_prelude(struct session *session) {
    static const enum proxy_form forms[] = {[CONF_PROXY_V1] = PROXY_FORM_V1,
                                            [CONF_PROXY_V2] = PROXY_FORM_V2,
                                            [CONF_PROXY_V2_SSL] = PROXY_FORM_V2_SSL};
    int wanted = session->generation->conf->backend_proxy_protocol;
    uint8_t room[PROXY_WRITTEN_MAX];
    heap_clear(&session->prelude);
    if (wanted == CONF_PROXY_OFF)
        return true;
    struct proxy_ends ends = ends_of(session);
    struct proxy_tls tls = tls_of(session);
    struct writer writer = writer_of(room, sizeof room);
    proxy_header_write(&writer, forms[wanted], &ends, &tls);
    return heap_add(&session->prelude, writer_span(&writer));
}
