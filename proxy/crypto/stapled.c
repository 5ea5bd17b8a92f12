/* stapled: bridge_require_ocsp: what the server's CA says of its certificate, stapled to the handshake (RFC
 * 6066 8). */
#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "crypto/inside.h"

#define CLOCK_S 300 /* by which clocks may differ */

/* Does the response say, signed and in time, that this certificate is good? */
static bool is_good(SSL *ssl, OCSP_BASICRESP *basic, X509 *certificate, STACK_OF(X509) * chain) {
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    int reason, status = V_OCSP_CERTSTATUS_UNKNOWN;
    ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
    if (OCSP_basic_verify(basic, chain, store, 0) != 1)
        return false;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *issuer = sk_X509_value(chain, i);
        if (X509_check_issued(issuer, certificate) != X509_V_OK)
            continue;
        OCSP_CERTID *id = OCSP_cert_to_id(NULL, certificate, issuer);
        bool is_found =
            id != NULL && OCSP_resp_find_status(basic, id, &status, &reason, NULL, &from, &until) == 1;
        OCSP_CERTID_free(id);
        if (is_found)
            return status == V_OCSP_CERTSTATUS_GOOD && OCSP_check_validity(from, until, CLOCK_S, -1) == 1;
    }
    return false;
}

/* 1: go on; 0: the handshake ends with bad_certificate_status_response. */
static int on_answer(SSL *ssl, void *user) {
    const unsigned char *bytes = NULL;
    long size = SSL_get_tlsext_status_ocsp_resp(ssl, &bytes);
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    (void)user;
    OCSP_RESPONSE *response = bytes == NULL || size <= 0 ? NULL : d2i_OCSP_RESPONSE(NULL, &bytes, size);
    OCSP_BASICRESP *basic =
        response != NULL && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
            ? OCSP_response_get1_basic(response)
            : NULL;
    /* The verified chain has the issuer also where the server left it out; it may not be there yet in
     * TLS 1.2. */
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    if (chain == NULL)
        chain = SSL_get_peer_cert_chain(ssl);
    bool is_accepted =
        basic != NULL && certificate != NULL && chain != NULL && is_good(ssl, basic, certificate, chain);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return is_accepted ? 1 : 0;
}

void staple_demand(struct tls_context *context) {
    SSL_CTX_set_tlsext_status_type(context->ssl_ctx, TLSEXT_STATUSTYPE_ocsp);
    SSL_CTX_set_tlsext_status_cb(context->ssl_ctx, on_answer);
}
