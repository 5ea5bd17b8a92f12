/* staple: ocsp_file, the word of the CA that a certificate of ours is not revoked, handed out with it (RFC
 * 6066 8). Who renews the file is scripts/ocsp-refresh or its like; we read it at the start and at each
 * reload. */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/inside.h"
#include "crypto/load.h"

#define DAY_S   (24 * 3600)
#define CLOCK_S 300 /* by which clocks may differ */

static X509 *issuer_of(const struct loading *loading, const struct own *own) {
    X509 *certificate = sk_X509_value(own->chain, 0);
    for (int i = 1; i < sk_X509_num(own->chain); i++)
        if (X509_check_issued(sk_X509_value(own->chain, i), certificate) == X509_V_OK)
            return sk_X509_value(own->chain, i);
    X509 *signer = trust_signer_of(loading, certificate);
    return signer != NULL || X509_check_issued(certificate, certificate) != X509_V_OK ? signer : certificate;
}

/* The answer about this certificate. Without its issuer at hand the serial number has to do. */
static OCSP_SINGLERESP *find_answer(OCSP_BASICRESP *basic, X509 *certificate, X509 *issuer) {
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
        OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(one);
        ASN1_OBJECT *hash;
        ASN1_INTEGER *serial;
        if (OCSP_id_get0_info(NULL, &hash, NULL, &serial, id) != 1 ||
            ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) != 0)
            continue;
        if (issuer == NULL)
            return one;
        OCSP_CERTID *wanted = OCSP_cert_to_id(EVP_get_digestbyobj(hash), certificate, issuer);
        bool is_it = wanted != NULL && OCSP_id_issuer_cmp(wanted, id) == 0;
        OCSP_CERTID_free(wanted);
        if (is_it)
            return one;
    }
    return NULL;
}

/* By the issuer itself, or by a responder that it certified for that. */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer) {
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *helpers = sk_X509_new_null();
    bool is_good = store != NULL && helpers != NULL && X509_STORE_add_cert(store, issuer) == 1 &&
                   X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                   sk_X509_push(helpers, issuer) != 0 && OCSP_basic_verify(basic, helpers, store, 0) == 1;
    sk_X509_free(helpers);
    X509_STORE_free(store);
    ERR_clear_error();
    return is_good;
}

/* Takes the bytes of the file. A response that is over is not handed out, and no reason to stay away: devices
 * that want one will say so. */
static void take(struct loading *loading, struct tls_own *own, struct file *file, OCSP_SINGLERESP *answer) {
    ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
    int reason, status = OCSP_single_get0_status(answer, &reason, NULL, &from, &until);
    int64_t now_s = loading->settings->now_s;
    int64_t until_s = until == NULL ? INT64_MAX : time_s_of(until);
    if (status == V_OCSP_CERTSTATUS_REVOKED)
        loading_say(
            loading, FINDING_WARNING,
            "ocsp_file %s says that certfile %s is revoked, and devices are told so: get a new certificate",
            file->path, own->path);
    if (until_s < now_s)
        loading_say(
            loading, FINDING_WARNING,
            "ocsp_file %s expired on %s and is not handed out: fetch a new one, see scripts/ocsp-refresh",
            file->path, date_of(until_s).text);
    else if (until_s - now_s < DAY_S)
        loading_say(loading, FINDING_WARNING,
                    "ocsp_file %s expires in %lld hours: fetch a new one, see scripts/ocsp-refresh",
                    file->path, (long long)((until_s - now_s) / 3600));
    free(own->staple);
    own->staple = file->bytes;
    own->staple_size = file->size;
    own->staple_until_s = until_s;
    file->bytes = NULL;
}

static void match(struct loading *loading, struct tls_context *context, struct file *file,
                  OCSP_BASICRESP *basic) {
    for (size_t i = 0; i < context->own_count; i++) {
        X509 *issuer = issuer_of(loading, &loading->owns[i]);
        OCSP_SINGLERESP *answer = find_answer(basic, context->owns[i].certificate, issuer);
        if (answer == NULL)
            continue;
        ASN1_GENERALIZEDTIME *from = NULL;
        OCSP_single_get0_status(answer, NULL, NULL, &from, NULL);
        if (issuer != NULL && !is_signed(basic, issuer))
            loading_say(
                loading, FINDING_ERROR,
                "ocsp_file %s is not signed by the CA of certfile %s: fetch it from that CA's responder",
                file->path, context->owns[i].path);
        else if (time_s_of(from) > loading->settings->now_s + CLOCK_S)
            loading_say(loading, FINDING_ERROR,
                        "ocsp_file %s is not valid before %s: check the clock of this machine", file->path,
                        date_of(time_s_of(from)).text);
        else
            take(loading, &context->owns[i], file, answer);
        if (issuer == NULL)
            loading_say(loading, FINDING_WARNING,
                        "ocsp_file %s cannot be checked for its signature: put the CA that signed certfile "
                        "%s behind the "
                        "certificate in that file, or into cafile",
                        file->path, context->owns[i].path);
        return;
    }
    loading_say(loading, FINDING_ERROR,
                "ocsp_file %s is about none of this listener's or host's certificates", file->path);
}

static void load(struct loading *loading, struct tls_context *context, const char *path) {
    struct file file;
    if (!file_read(&file, loading, "ocsp_file", path))
        return;
    const unsigned char *at = file.bytes;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)file.size);
    bool is_whole = response != NULL && at == file.bytes + file.size;
    int status = is_whole ? OCSP_response_status(response) : -1;
    OCSP_BASICRESP *basic =
        status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response) : NULL;
    if (!is_whole)
        loading_say(loading, FINDING_ERROR,
                    "ocsp_file %s is no OCSP response in DER form, or a damaged one: fetch it anew", path);
    else if (basic == NULL)
        loading_say(loading, FINDING_ERROR, "ocsp_file %s holds no answer, but '%s': fetch it anew", path,
                    OCSP_response_status_str(status));
    else
        match(loading, context, &file, basic);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    file_clear(&file);
    ERR_clear_error();
}

/* The device asked; OpenSSL has chosen the certificate by now. */
static int on_asked(SSL *ssl, void *user) {
    const struct engine *engine = SSL_get_app_data(ssl);
    const X509 *shown = SSL_get_certificate(ssl);
    (void)user;
    for (size_t i = 0; i < engine->context->own_count; i++) {
        const struct tls_own *own = &engine->context->owns[i];
        if (own->certificate != shown || own->staple == NULL || own->staple_until_s < (int64_t)time(NULL))
            continue;
        unsigned char *copy = OPENSSL_memdup(own->staple, own->staple_size);
        if (copy == NULL)
            return SSL_TLSEXT_ERR_NOACK;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)own->staple_size); /* given */
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

void staple_load(struct loading *loading, struct tls_context *context) {
    const struct tls_settings *settings = loading->settings;
    for (size_t i = 0; i < settings->ocsp_count; i++)
        load(loading, context, settings->ocsp_files[i]);
    if (settings->ocsp_count != 0)
        SSL_CTX_set_tlsext_status_cb(context->ssl_ctx, on_asked);
}
