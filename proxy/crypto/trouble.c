/* trouble: one cause out of what OpenSSL says when a connection fails. */
#include "crypto/inside.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>

static const struct {
    const char *name, *sentence;
} troubles[] = {
#define TLS_TROUBLE(name, sentence) {#name, sentence},
#include "crypto/troubles.def"
#undef TLS_TROUBLE
};

/* The rows' names in small letters. */
static char names[TLS_TROUBLE_COUNT][32];

static void make_names(void) {
    for (size_t i = 0; i < TLS_TROUBLE_COUNT; i++)
        for (size_t k = 0; k + 1 < sizeof *names && troubles[i].name[k] != '\0'; k++) {
            char letter = troubles[i].name[k];
            names[i][k] = (char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
        }
}

const char *tls_trouble_name(enum tls_trouble trouble) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_names);
    return names[trouble < TLS_TROUBLE_COUNT ? trouble : TLS_TROUBLE_OTHER];
}

const char *tls_trouble_sentence(enum tls_trouble trouble) {
    return troubles[trouble < TLS_TROUBLE_COUNT ? trouble : TLS_TROUBLE_OTHER].sentence;
}

static enum tls_trouble of_verification(long result) {
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return TLS_TROUBLE_CERTIFICATE_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID: return TLS_TROUBLE_CERTIFICATE_NOT_YET_VALID;
    case X509_V_ERR_CERT_REVOKED: return TLS_TROUBLE_CERTIFICATE_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE: return TLS_TROUBLE_CERTIFICATE_WITHOUT_CRL;
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID: return TLS_TROUBLE_CRL_EXPIRED;
    case X509_V_ERR_INVALID_PURPOSE: return TLS_TROUBLE_CERTIFICATE_WRONG_PURPOSE;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG: return TLS_TROUBLE_UNKNOWN_CA;
    case X509_V_ERR_OUT_OF_MEM: return TLS_TROUBLE_OUT_OF_MEMORY;
    default: return TLS_TROUBLE_CERTIFICATE_BAD;
    }
}

/* RFC 8446 6.2: what the device says of our certificate, and everything else it may say. */
static enum tls_trouble of_alert(int alert) {
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE:
    case SSL_AD_DECRYPT_ERROR: return TLS_TROUBLE_DEVICE_DISTRUSTS_US;
    case SSL_AD_PROTOCOL_VERSION: return TLS_TROUBLE_UNSUPPORTED_VERSION;
    default: return TLS_TROUBLE_PEER_ALERT;
    }
}

static enum tls_trouble of_reason(const SSL *ssl, int reason) {
    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255)
        return of_alert(reason - SSL_AD_REASON_OFFSET);
    switch (reason) {
    case SSL_R_NO_SHARED_CIPHER: return TLS_TROUBLE_NO_SHARED_CIPHER;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_INAPPROPRIATE_FALLBACK:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return TLS_TROUBLE_UNSUPPORTED_VERSION;
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SHARED_GROUPS: return TLS_TROUBLE_NO_SHARED_GROUP;
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS: return TLS_TROUBLE_NO_SHARED_SIGNATURE;
    case SSL_R_NO_APPLICATION_PROTOCOL: return TLS_TROUBLE_NO_SHARED_PROTOCOL;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return TLS_TROUBLE_CERTIFICATE_MISSING;
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return of_verification(SSL_get_verify_result(ssl));
    case SSL_R_EXCESSIVE_MESSAGE_SIZE: /* a chain above max_cert_list */
    case SSL_R_BAD_SIGNATURE:
    case SSL_R_CERT_LENGTH_MISMATCH: return TLS_TROUBLE_CERTIFICATE_BAD;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return TLS_TROUBLE_PLAIN_HTTP;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_RECORD:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_LENGTH_MISMATCH:
    case SSL_R_LENGTH_TOO_SHORT:
    case SSL_R_BAD_LENGTH:
    case SSL_R_BAD_EXTENSION:
    case SSL_R_DIGEST_CHECK_FAILED: return TLS_TROUBLE_BAD_RECORD;
    default: return TLS_TROUBLE_OTHER;
    }
}

/* The oldest entry that tells something decides: later ones say where it passed through. */
enum tls_trouble trouble_of(const SSL *ssl) {
    enum tls_trouble trouble = TLS_TROUBLE_OTHER;
    unsigned long error;
    while ((error = ERR_get_error()) != 0) {
        if (trouble != TLS_TROUBLE_OTHER)
            continue;
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
            trouble = TLS_TROUBLE_OUT_OF_MEMORY;
        else if (ERR_GET_LIB(error) == ERR_LIB_SSL)
            trouble = of_reason(ssl, ERR_GET_REASON(error));
    }
    return trouble;
}
