/* peer: who the device is, by the certificate that was verified. Read once, right after the handshake. */
#include "crypto/inside.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
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

/* Names on their way into an identity: the SANs, borrowed from their extension, then the OUs, whose texts
 * are ours to free. */
struct gathered {
    struct span names[2 * PEER_NAMES_MAX];
    void *ours[PEER_NAMES_MAX];
    size_t san_count, unit_count;
};

static struct span gather_text(const ASN1_STRING *text) {
    return text == NULL ? SPAN_NONE : span_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
}

static void gather_sans(const GENERAL_NAMES *sans, struct gathered *gathered) {
    for (int i = 0; i < sk_GENERAL_NAME_num(sans) && gathered->san_count < PEER_NAMES_MAX; i++) {
        int type;
        const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(sans, i), &type);
        /* All three are IA5String: printable ASCII and nothing else, or is_fit says no. */
        bool is_text = type == GEN_DNS || type == GEN_URI || type == GEN_EMAIL;
        struct span text = is_text ? gather_text(value) : SPAN_NONE;
        if (is_fit(text))
            gathered->names[gathered->san_count++] = text;
    }
}

static void gather_units(X509_NAME *subject, struct gathered *gathered) {
    int index = -1;
    while (gathered->unit_count < PEER_NAMES_MAX &&
           (index = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, index)) >= 0) {
        unsigned char *text = NULL;
        int length =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
        struct span unit = span_of(text, length < 0 ? 0 : (size_t)length);
        if (length < 0 || !is_fit(unit)) {
            OPENSSL_free(text);
            continue;
        }
        gathered->ours[gathered->unit_count] = text;
        gathered->names[gathered->san_count + gathered->unit_count++] = unit;
    }
}

static struct span place(char **at, struct span text) {
    struct span placed = span_of(*at, text.size);
    if (text.size != 0)
        memcpy(*at, text.at, text.size);
    (*at)[text.size] = '\0';
    *at += text.size + 1;
    return placed;
}

static struct identity *identity_of(struct span name, struct span subject, const struct gathered *gathered) {
    size_t count = gathered->san_count + gathered->unit_count, size = name.size + 1 + subject.size + 1;
    for (size_t i = 0; i < count; i++)
        size += gathered->names[i].size + 1;
    struct identity *identity = malloc(sizeof *identity + count * sizeof(struct span) + size);
    if (identity == NULL)
        return NULL;
    char *at = (char *)(identity->names + count);
    identity->facts = (struct facts){.common_name = place(&at, name),
                                     .sans = identity->names,
                                     .units = identity->names + gathered->san_count,
                                     .san_count = (uint16_t)gathered->san_count,
                                     .unit_count = (uint16_t)gathered->unit_count};
    identity->subject = place(&at, subject);
    for (size_t i = 0; i < count; i++)
        identity->names[i] = place(&at, gathered->names[i]);
    return identity;
}

struct identity *peer_identity_of(X509 *certificate) {
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
    struct gathered gathered = {.san_count = 0};
    GENERAL_NAMES *sans = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    gather_sans(sans, &gathered);
    gather_units(subject, &gathered);
    struct identity *identity = identity_of(name, whole, &gathered);
    for (size_t i = 0; i < gathered.unit_count; i++)
        OPENSSL_free(gathered.ours[i]);
    GENERAL_NAMES_free(sans);
    OPENSSL_free(name_text);
    BIO_free(bio);
    ERR_clear_error();
    return identity;
}

struct identity *peer_identity(const SSL *ssl, bool *is_out_of_memory) {
    *is_out_of_memory = false;
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    struct identity *identity = peer_identity_of(certificate);
    *is_out_of_memory = identity == NULL;
    return identity;
}

bool engine_peer_has_certificate(const struct engine *engine) {
    return engine->identity != NULL;
}

const struct facts *engine_peer_facts(const struct engine *engine) {
    return engine->identity == NULL ? NULL : &engine->identity->facts;
}

static bool hand_out(struct span text, char *room, size_t room_size, size_t *size) {
    if (text.size == 0 || text.size >= room_size)
        return false;
    memcpy(room, text.at, text.size + 1);
    *size = text.size;
    return true;
}

bool engine_peer_common_name(const struct engine *engine, char *room, size_t room_size, size_t *size) {
    const struct identity *identity = engine->identity;
    return identity != NULL && hand_out(identity->facts.common_name, room, room_size, size);
}

bool engine_peer_subject(const struct engine *engine, char *room, size_t room_size, size_t *size) {
    const struct identity *identity = engine->identity;
    return identity != NULL && hand_out(identity->subject, room, room_size, size);
}
