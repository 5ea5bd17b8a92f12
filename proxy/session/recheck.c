/* recheck: sessions that may not stay under a new generation, looked for at once: a device whose certificate was
 * revoked would hold its connection open for days without saying a word. Everything else of a generation is
 * taken on at the next packet. */
#include "session/inside.h"

bool session_is_revoked(const struct session *session) {
    const struct engine *engine = session->device->engine;
    const struct tls_context *now = session->host->generation->terms[session->listener_index].tls;
    return engine != NULL && now != NULL && engine_is_revoked(engine, now);
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
        if (session->state == SESSION_ENDING)
            continue;
        if (session_is_revoked(session))
            session_end(session, SESSION_END_CERTIFICATE_REVOKED);
        else if (!session_is_known(session, &host->generation->terms[session->listener_index]))
            session_end(session, SESSION_END_REVOKED);
    }
}
