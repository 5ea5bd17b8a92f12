#include <openssl/crypto.h>
#include <stdlib.h>

#include "crypto/inside.h"

struct tls_context *tls_context_keep(struct tls_context *context) {
    __atomic_add_fetch(&context->references, 1, __ATOMIC_RELAXED);
    return context;
}

void tls_context_drop(struct tls_context *context) {
    if (context == NULL || __atomic_sub_fetch(&context->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    SSL_CTX_free(context->ssl_ctx);
    free(context->sni);
    free(context->psk_own.identity);
    OPENSSL_cleanse(context->psk_own.key, sizeof context->psk_own.key);
    sk_X509_CRL_pop_free(context->lists, X509_CRL_free);
    arena_destroy(context->psk_arena);
    tickets_drop(context->tickets);
    free(context->alpn);
    for (size_t i = 0; i < context->own_count; i++) {
        X509_free(context->owns[i].certificate);
        free(context->owns[i].path);
        free(context->owns[i].staple);
    }
    choose_clear(context);
    keylog_drop(context->keylog);
    free(context);
}

int64_t tls_context_expires_s(const struct tls_context *context) {
    int64_t expires_s = INT64_MAX;
    for (size_t i = 0; i < context->own_count; i++)
        if (context->owns[i].expires_s < expires_s)
            expires_s = context->owns[i].expires_s;
    return expires_s;
}

const char *tls_context_certfile(const struct tls_context *context, size_t index, int64_t *expires_s) {
    if (index >= context->own_count)
        return NULL;
    *expires_s = context->owns[index].expires_s;
    return context->owns[index].path;
}

const char *tls_library_version(void) {
    return OpenSSL_version(OPENSSL_VERSION);
}
