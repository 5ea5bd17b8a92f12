/* recheck: sessions that may not stay under a new generation, looked for at once: a device whose certificate
 * was revoked would hold its connection open for days without saying a word. Everything else of a generation
 * is taken on at the next packet. */
#include "session/inside.h"

/* Where it belongs in the generation in force. */
static const struct terms *terms_now(const struct session *session) {
    const struct terms *terms = &session->host->generation->terms[session->listener_index];
    const struct engine *engine = session->device->engine;
    unsigned number = engine == NULL ? 0 : terms_host_number(terms, engine_host_name(engine));
    return number == 0 ? terms : &terms->hosts[number - 1];
}

enum session_end session_judge_device(const struct session *session) {
    const struct engine *engine = session->device->engine;
    const struct tls_context *now = terms_now(session)->tls;
    if (engine == NULL || now == NULL)
        return SESSION_END_NONE;
    if (engine_is_revoked(engine, now))
        return SESSION_END_CERTIFICATE_REVOKED;
    return engine_is_psk_gone(engine, now) ? SESSION_END_PSK_GONE : SESSION_END_NONE;
}

bool session_is_known(const struct session *session, const struct terms *terms) {
    if (session->credential == 0 || terms->accounts == NULL)
        return true;
    const struct account *account = accounts_find(terms->accounts, heap_span(&session->username));
    return account != NULL && session_credential(account) == session->credential;
}

void session_recheck_all(struct session_host *host) {
    struct session *next;
    for (struct session *session = host->first; session != NULL; session = next) {
        next = session->next;
        if (session->state == SESSION_ENDING || session->state == SESSION_SHAKING)
            continue; /* who shakes hands is judged when that is done */
        enum session_end end = session_judge_device(session);
        if (end != SESSION_END_NONE)
            session_end(session, end);
        else if (!session_is_known(session, terms_now(session)))
            session_end(session, SESSION_END_REVOKED);
    }
}
