/* announce: what a proxy in front of us says of a device, in a PROXY protocol header. */
#include <stdlib.h>

#include "base/text.h"
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
