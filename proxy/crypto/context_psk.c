/* context_psk: TLS with pre-shared keys instead of certificates: psk_file and psk_hint. */
#include <openssl/err.h>

#include "crypto/inside.h"
#include "crypto/load.h"

/* TLS_AES_128_GCM_SHA256: a pre-shared key of TLS 1.3 belongs to one hash, and this is the one of keys that
 * say nothing of it (RFC 8446 4.2.11). */
static const unsigned char suite[] = {0x13, 0x01};

#define HINT_MAX 128

void psk_load(struct loading *loading) {
    struct file file;
    const struct tls_settings *settings = loading->settings;
    if (!file_read(&file, loading, "psk_file", settings->psk_file))
        return;
    if ((file.mode & S_IROTH) != 0)
        loading_say(loading, FINDING_WARNING,
                    "psk_file %s can be read by everybody on this machine: chmod o-r it", settings->psk_file);
    loading->psk_arena = arena_create();
    if (loading->psk_arena == NULL)
        loading->findings->out_of_memory = true;
    else
        loading->psk_keys = psk_read(loading->psk_arena, settings->psk_file, span_of(file.bytes, file.size),
                                     loading->findings);
    file_clear(&file);
    if (strlen(settings->psk_hint) > HINT_MAX)
        loading_say(loading, FINDING_ERROR, "psk_hint is longer than %d bytes; shorten it", HINT_MAX);
}

/* Found or not is remembered: the handshake's own errors do not tell the two apart. */
static const struct psk *find(SSL *ssl, struct span identity) {
    struct engine *engine = SSL_get_app_data(ssl);
    const struct psk *psk = psk_find(engine->context->psk_keys, identity);
    if (psk != NULL)
        engine->psk = psk;
    else
        engine->is_psk_unknown = true;
    return psk;
}

static unsigned on_asked(SSL *ssl, const char *identity, unsigned char *room, unsigned room_size) {
    if (SSL_version(ssl) >= TLS1_3_VERSION)
        return 0; /* OpenSSL falls back to here, with the identity cut at a NUL */
    const struct psk *psk = find(ssl, span_of_text(identity));
    if (psk == NULL || psk->key.size > room_size)
        return 0;
    memcpy(room, psk->key.at, psk->key.size);
    return (unsigned)psk->key.size;
}

/* TLS 1.3 (RFC 8446 4.2.11). An unknown identity is no error yet: the device may offer several. */
static int on_offered(SSL *ssl, const unsigned char *identity, size_t size, SSL_SESSION **session) {
    const struct psk *psk = find(ssl, span_of(identity, size));
    *session = NULL;
    if (psk == NULL)
        return 1;
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);
    SSL_SESSION *made = cipher == NULL ? NULL : SSL_SESSION_new();
    if (made == NULL || SSL_SESSION_set1_master_key(made, psk->key.at, psk->key.size) != 1 ||
        SSL_SESSION_set_cipher(made, cipher) != 1 ||
        SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION) != 1) {
        SSL_SESSION_free(made);
        return 0;
    }
    *session = made;
    return 1;
}

/* No tickets: they would let in a device whose key is gone, and there is no certificate to save. */
bool psk_set(struct loading *loading, struct tls_context *context) {
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    context->psk_arena = loading->psk_arena;
    context->psk_keys = loading->psk_keys;
    loading->psk_arena = NULL;
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_psk_server_callback(ssl_ctx, on_asked);
    SSL_CTX_set_psk_find_session_callback(ssl_ctx, on_offered);
    return SSL_CTX_set_num_tickets(ssl_ctx, 0) == 1 &&
           SSL_CTX_use_psk_identity_hint(ssl_ctx, loading->settings->psk_hint) == 1;
}

enum tls_trouble psk_trouble(const struct engine *engine, enum tls_trouble trouble) {
    if (engine->context->psk_keys == NULL || engine->state != ENGINE_SHAKING)
        return trouble;
    switch (trouble) {
    case TLS_TROUBLE_NO_SHARED_CIPHER:
    case TLS_TROUBLE_NO_SHARED_SIGNATURE:
    case TLS_TROUBLE_BAD_RECORD:
    case TLS_TROUBLE_OTHER: break;
    default: return trouble;
    }
    if (engine->psk != NULL)
        return TLS_TROUBLE_PSK_WRONG;
    if (engine->is_psk_unknown)
        return TLS_TROUBLE_PSK_UNKNOWN;
    return trouble == TLS_TROUBLE_NO_SHARED_CIPHER || trouble == TLS_TROUBLE_NO_SHARED_SIGNATURE
               ? TLS_TROUBLE_PSK_MISSING
               : trouble;
}

bool engine_is_psk_gone(const struct engine *engine, const struct tls_context *now) {
    if (engine->psk == NULL || engine->state != ENGINE_OPEN)
        return false;
    const struct psk *found = now->psk_keys == NULL ? NULL : psk_find(now->psk_keys, engine->psk->identity);
    return found == NULL || !span_is_equal(found->key, engine->psk->key);
}

const char *engine_pretend_psk(struct engine *engine, struct span identity) {
    const struct tls_context *context = engine->context;
    engine->psk = context->psk_keys == NULL ? NULL : psk_find(context->psk_keys, identity);
    if (engine->psk != NULL)
        return NULL;
    return context->psk_keys == NULL ? "this listener has no psk_file"
                                     : "its identity is not in the psk_file";
}
