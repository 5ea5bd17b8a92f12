/* pretend: the verification of a handshake, and what follows from it, for a certificate out of a file. */
#include "crypto/inside.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>

/* As OpenSSL verifies a client's chain. */
const char *peer_verify(SSL_CTX *ssl_ctx, X509 *certificate, STACK_OF(X509) * chain) {
    X509_STORE_CTX *store_ctx = X509_STORE_CTX_new();
    const char *trouble = "memory is out";
    if (store_ctx != NULL &&
        X509_STORE_CTX_init(store_ctx, SSL_CTX_get_cert_store(ssl_ctx), certificate, chain) == 1 &&
        X509_STORE_CTX_set_default(store_ctx, "ssl_client") == 1 &&
        X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(store_ctx), SSL_CTX_get0_param(ssl_ctx)) == 1) {
        if (SSL_CTX_get_verify_callback(ssl_ctx) != NULL)
            X509_STORE_CTX_set_verify_cb(store_ctx, SSL_CTX_get_verify_callback(ssl_ctx));
        bool is_good = X509_verify_cert(store_ctx) == 1;
        trouble = is_good ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(store_ctx));
    }
    X509_STORE_CTX_free(store_ctx);
    return trouble;
}

const char *engine_pretend(struct engine *engine, struct span pem) {
    BIO *bio = pem.size > INT_MAX ? NULL : BIO_new_mem_buf(pem.at, (int)pem.size);
    X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    STACK_OF(X509) *chain = sk_X509_new_null();
    const char *trouble = "it holds no certificate in PEM";
    X509 *next;
    while (certificate != NULL && chain != NULL && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(chain, next) == 0)
            X509_free(next);
    if (certificate != NULL)
        trouble = peer_verify(engine->context->ssl_ctx, certificate, chain);
    if (trouble == NULL) {
        free(engine->identity);
        engine->identity = peer_identity_of(certificate);
        trouble = engine->identity == NULL ? "memory is out" : NULL;
    }
    sk_X509_pop_free(chain, X509_free);
    X509_free(certificate);
    BIO_free(bio);
    ERR_clear_error();
    return trouble;
}
