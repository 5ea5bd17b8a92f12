/* peer: who the device is, by the certificate that was verified. Read once, right after the handshake. */
#include "crypto/inside.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/text.h"

/* A name that a C string would cut short says something else to whoever compares it (class of CVE-2009-2408).
 */
static bool is_fit(struct span text) {
    return text.size != 0 && !span_has_byte(text, 0) && text_is_utf8(text);
}

/* The first common name, as mosquitto takes it. Given to the caller (OPENSSL_free), NULL when there is none.
 */
static unsigned char *common_name(X509_NAME *subject, size_t *size) {
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (index < 0)
        return NULL;
    ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
    unsigned char *text = NULL;
    int length = value == NULL ? -1 : ASN1_STRING_to_UTF8(&text, value);
    *size = length < 0 ? 0 : (size_t)length;
    return length < 0 ? NULL : text;
}

/* RFC 2253 escapes everything odd, a NUL among it, so the text is always fit. */
static BIO *subject_text(X509_NAME *subject, size_t *size) {
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || X509_NAME_print_ex(bio, subject, 0, XN_FLAG_RFC2253) < 0) {
        BIO_free(bio);
        return NULL;
    }
    long length = BIO_get_mem_data(bio, &text);
    *size = length < 0 ? 0 : (size_t)length;
    return bio;
}

static struct identity *identity_of(struct span name, struct span subject) {
    struct identity *identity = malloc(sizeof *identity + name.size + 1 + subject.size + 1);
    if (identity == NULL)
        return NULL;
    identity->name_size = name.size;
    identity->subject_size = subject.size;
    if (name.size != 0)
        memcpy(identity->text, name.at, name.size);
    identity->text[name.size] = '\0';
    if (subject.size != 0)
        memcpy(identity->text + name.size + 1, subject.at, subject.size);
    identity->text[name.size + 1 + subject.size] = '\0';
    return identity;
}

struct identity *peer_identity(const SSL *ssl, bool *is_out_of_memory) {
    *is_out_of_memory = false;
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    X509_NAME *subject = X509_get_subject_name(certificate);
    struct span name = SPAN_NONE, whole = SPAN_NONE;
    unsigned char *name_text = common_name(subject, &name.size);
    name.at = name_text;
    if (!is_fit(name))
        name = SPAN_NONE;
    char *whole_text = NULL;
    BIO *bio = subject_text(subject, &whole.size);
    if (bio != NULL)
        BIO_get_mem_data(bio, &whole_text);
    whole.at = (uint8_t *)whole_text;
    if (!is_fit(whole))
        whole = SPAN_NONE;
    struct identity *identity = identity_of(name, whole);
    *is_out_of_memory = identity == NULL;
    OPENSSL_free(name_text);
    BIO_free(bio);
    ERR_clear_error();
    return identity;
}

bool engine_peer_has_certificate(const struct engine *engine) {
    return engine->identity != NULL;
}

static bool hand_out(const char *text, size_t text_size, char *room, size_t room_size, size_t *size) {
    if (text_size == 0 || text_size >= room_size)
        return false;
    memcpy(room, text, text_size + 1);
    *size = text_size;
    return true;
}

bool engine_peer_common_name(const struct engine *engine, char *room, size_t room_size, size_t *size) {
    const struct identity *identity = engine->identity;
    return identity != NULL && hand_out(identity->text, identity->name_size, room, room_size, size);
}

bool engine_peer_subject(const struct engine *engine, char *room, size_t room_size, size_t *size) {
    const struct identity *identity = engine->identity;
    return identity != NULL &&
           hand_out(identity->text + identity->name_size + 1, identity->subject_size, room, room_size, size);
}
