/* dial_trouble: one cause out of what OpenSSL says when a connection to the broker fails. */
#include "crypto/inside.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

static const struct {
    const char *label, *sentence;
} troubles[] = {
#define DIAL_TROUBLE(name, label, sentence) {label, sentence},
#include "crypto/dial_troubles.def"
#undef DIAL_TROUBLE
};

const char *dial_trouble_label(enum dial_trouble trouble) {
    return troubles[trouble].label;
}

const char *dial_trouble_sentence(enum dial_trouble trouble) {
    return troubles[trouble].sentence;
}

static enum dial_trouble of_verification(long result) {
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return DIAL_TROUBLE_CERTIFICATE_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID: return DIAL_TROUBLE_CERTIFICATE_NOT_YET_VALID;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return DIAL_TROUBLE_WRONG_NAME;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* a CA made anew under its old name */
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG: return DIAL_TROUBLE_UNKNOWN_CA;
    case X509_V_ERR_OUT_OF_MEM: return DIAL_TROUBLE_OUT_OF_MEMORY;
    default: return DIAL_TROUBLE_CERTIFICATE_BAD;
    }
}

/* RFC 8446 6.2: what the broker says. */
static enum dial_trouble of_alert(int alert) {
    switch (alert) {
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_INSUFFICIENT_SECURITY: return DIAL_TROUBLE_HANDSHAKE_REFUSED;
    case SSL_AD_PROTOCOL_VERSION: return DIAL_TROUBLE_UNSUPPORTED_VERSION;
    case SSL_AD_UNRECOGNIZED_NAME: return DIAL_TROUBLE_NAME_REFUSED;
    case SSL_AD_NO_APPLICATION_PROTOCOL: return DIAL_TROUBLE_ALPN_REFUSED;
    case SSL_AD_UNKNOWN_PSK_IDENTITY: return DIAL_TROUBLE_PSK_REFUSED;
    case SSL_AD_CERTIFICATE_REQUIRED: return DIAL_TROUBLE_CERTIFICATE_WANTED;
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_DECRYPT_ERROR: return DIAL_TROUBLE_CERTIFICATE_REFUSED;
    default: return DIAL_TROUBLE_PEER_ALERT;
    }
}

static enum dial_trouble of_reason(const SSL *ssl, int reason) {
    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255)
        return of_alert(reason - SSL_AD_REASON_OFFSET);
    switch (reason) {
    case SSL_R_INVALID_STATUS_RESPONSE: return DIAL_TROUBLE_NOT_STAPLED;
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return of_verification(SSL_get_verify_result(ssl));
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG: return DIAL_TROUBLE_NOT_TLS;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return DIAL_TROUBLE_UNSUPPORTED_VERSION;
    case SSL_R_BAD_SIGNATURE:
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
    case SSL_R_DH_KEY_TOO_SMALL:
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK: return DIAL_TROUBLE_CERTIFICATE_BAD;
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_RECORD:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_LENGTH_MISMATCH:
    case SSL_R_BAD_LENGTH:
    case SSL_R_BAD_EXTENSION:
    case SSL_R_DIGEST_CHECK_FAILED: return DIAL_TROUBLE_BAD_RECORD;
    default: return DIAL_TROUBLE_OTHER;
    }
}

/* The oldest entry that tells something decides. They stay: trouble_of empties the queue. */
enum dial_trouble dial_trouble_of(const SSL *ssl) {
    unsigned long error = ERR_peek_error();
    if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
        return DIAL_TROUBLE_OUT_OF_MEMORY;
    return ERR_GET_LIB(error) == ERR_LIB_SSL ? of_reason(ssl, ERR_GET_REASON(error)) : DIAL_TROUBLE_OTHER;
}
