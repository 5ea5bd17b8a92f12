/* revocation: what a new list means for a device that is in already. Thousands of sessions are asked after a
 * reload, so a look into the lists comes first, and the verification of a handshake, signatures and all, only
 * where that finds something. */
#include "crypto/inside.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

static bool digest_lists(const STACK_OF(X509_CRL) * lists, bool checks_chain, uint8_t *digest) {
    uint8_t each[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const char how = checks_chain ? 'c' : 'l';
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    bool is_good =
        sum != NULL && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(sum, &how, 1) == 1;
    for (int i = 0; is_good && i < sk_X509_CRL_num(lists); i++)
        is_good = X509_CRL_digest(sk_X509_CRL_value(lists, i), EVP_sha256(), each, &size) == 1 &&
                  EVP_DigestUpdate(sum, each, size) == 1;
    is_good = is_good && EVP_DigestFinal_ex(sum, digest, NULL) == 1;
    EVP_MD_CTX_free(sum);
    return is_good;
}

bool revocation_prepare(struct tls_context *context, STACK_OF(X509_CRL) * lists, bool checks_chain) {
    context->lists = sk_X509_CRL_new_null();
    context->checks_chain = checks_chain;
    if (context->lists == NULL || !digest_lists(lists, checks_chain, context->lists_digest))
        return false;
    for (int i = 0; i < sk_X509_CRL_num(lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(lists, i);
        if (sk_X509_CRL_push(context->lists, list) == 0)
            return false;
        X509_CRL_up_ref(list);
    }
    return true;
}

STACK_OF(X509) * revocation_chain(const struct tls_context *context, X509 *certificate) {
    STACK_OF(X509) *chain =
        X509_build_chain(certificate, NULL, SSL_CTX_get_cert_store(context->ssl_ctx), 1, NULL, NULL);
    ERR_clear_error();
    return chain;
}

/* Any list counts here, an overtaken one too. */
static bool is_listed(const struct tls_context *context, X509 *certificate) {
    for (int i = 0; i < sk_X509_CRL_num(context->lists); i++) {
        X509_REVOKED *row;
        if (X509_CRL_get0_by_cert(sk_X509_CRL_value(context->lists, i), &row, certificate) == 1)
            return true;
    }
    return false;
}

static bool is_any_listed(const struct tls_context *context, const STACK_OF(X509) * chain) {
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (is_listed(context, sk_X509_value(chain, i)))
            return true;
    return false;
}

bool engine_is_revoked(const struct engine *engine, const struct tls_context *now) {
    X509 *certificate = engine->identity == NULL ? NULL : SSL_get0_peer_certificate(engine->ssl);
    if (certificate == NULL ||
        memcmp(engine->context->lists_digest, now->lists_digest, sizeof now->lists_digest) == 0)
        return false; /* as when it came in */
    STACK_OF(X509) *chain = SSL_get0_verified_chain(engine->ssl), *built = NULL;
    if (chain == NULL)
        chain = built = revocation_chain(engine->context, certificate);
    bool is_suspect = is_listed(now, certificate);
    /* A chain that cannot be looked at is not good: the device may come anew with all of it. */
    if (now->checks_chain && !is_suspect)
        is_suspect = chain == NULL || is_any_listed(now, chain);
    bool is_revoked = is_suspect && peer_verify(now->ssl_ctx, certificate, chain) != NULL;
    sk_X509_pop_free(built, X509_free);
    ERR_clear_error();
    return is_revoked;
}
