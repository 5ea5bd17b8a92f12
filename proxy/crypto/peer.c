/* peer: who the device is, by the certificate that was verified. Read once, right after the handshake. */
#include "crypto/inside.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/network.h"
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

/* RFC 2253 escapes everything odd, a NUL among it. Given to the caller, NULL when there is none. */
static BIO *whole_name(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        return bio;
    BIO_free(bio);
    return NULL;
}

/* Names on their way into an identity: all SANs, borrowed from their extension, and the OUs, whose texts are
 * ours to free. */
struct gathered {
    struct span sans[PEER_SANS_MAX]; /* empty where the name is refused: it keeps its number */
    uint8_t kinds[PEER_SANS_MAX];    /* enum conf_source_kind */
    char addresses[PEER_NAMES_MAX][NETWORK_TEXT_SIZE];
    struct span units[PEER_NAMES_MAX];
    void *ours[PEER_NAMES_MAX];
    size_t san_count, name_count, address_count, unit_count; /* names: those that rules speak of */
};

static struct span span_of_string(const ASN1_STRING *text) {
    return text == NULL ? SPAN_NONE : span_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
}

static enum conf_source_kind kind_of(int type) {
    switch (type) {
    case GEN_DNS: return CONF_SOURCE_SAN_DNS;
    case GEN_URI: return CONF_SOURCE_SAN_URI;
    case GEN_EMAIL: return CONF_SOURCE_SAN_EMAIL;
    case GEN_IPADD: return CONF_SOURCE_SAN_IP;
    default: return CONF_SOURCE_NONE;
    }
}

/* An address as text in the room; empty when it has neither 4 nor 16 bytes. */
static struct span address_text(struct span bytes, char *room) {
    if (bytes.size != 4 && bytes.size != 16)
        return SPAN_NONE;
    const struct ip ip = ip_of_bytes(bytes.size == 4 ? IP_V4 : IP_V6, bytes.at);
    return span_of_text(ip_print(&ip, room));
}

/* Of each kind the first PEER_NAMES_MAX. */
static void gather_sans(const GENERAL_NAMES *sans, struct gathered *gathered) {
    size_t counts[CONF_SOURCE_PSK_IDENTITY] = {0};
    for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
        int type;
        const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(sans, i), &type);
        enum conf_source_kind kind = kind_of(type);
        if (kind == CONF_SOURCE_NONE || counts[kind]++ >= PEER_NAMES_MAX)
            continue;
        /* The others are IA5String: printable ASCII and nothing else, or is_fit says no. */
        struct span text = span_of_string(value);
        if (kind == CONF_SOURCE_SAN_IP)
            text = address_text(text, gathered->addresses[gathered->address_count++]);
        else if (!is_fit(text))
            text = SPAN_NONE;
        else if (gathered->name_count < PEER_NAMES_MAX)
            gathered->name_count++;
        gathered->kinds[gathered->san_count] = (uint8_t)kind;
        gathered->sans[gathered->san_count++] = text;
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
        gathered->units[gathered->unit_count++] = unit;
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

/* Everything but the SANs and OUs. */
struct texts {
    struct span name, subject, issuer;
    char *serial; /* OPENSSL_free */
    uint8_t fingerprint[SHA256_SIZE], key[SHA256_SIZE];
};

static void place_sans(struct identity *identity, const struct gathered *gathered, char **at) {
    struct facts *facts = &identity->facts;
    struct span *names = identity->names, *addresses = names + gathered->name_count;
    facts->sans = names;
    facts->addresses = addresses;
    identity->sans = addresses + gathered->address_count;
    for (size_t i = 0; i < gathered->san_count; i++) {
        struct span text = identity->sans[i] = place(at, gathered->sans[i]);
        if (gathered->kinds[i] == CONF_SOURCE_SAN_IP)
            addresses[facts->address_count++] = text;
        else if (text.size != 0 && facts->san_count < gathered->name_count)
            names[facts->san_count++] = text;
    }
    identity->units = identity->sans + gathered->san_count;
    facts->units = identity->units;
    for (size_t i = 0; i < gathered->unit_count; i++)
        identity->units[facts->unit_count++] = place(at, gathered->units[i]);
    identity->kinds = (uint8_t *)*at;
    identity->san_count = (uint16_t)gathered->san_count;
    memcpy(*at, gathered->kinds, gathered->san_count);
    *at += gathered->san_count;
}

static struct identity *identity_of(const struct texts *texts, const struct gathered *gathered) {
    struct span serial = span_of_text(texts->serial);
    size_t count =
        gathered->name_count + gathered->address_count + gathered->san_count + gathered->unit_count;
    size_t size =
        texts->name.size + texts->subject.size + texts->issuer.size + serial.size + 4 + gathered->san_count;
    for (size_t i = 0; i < gathered->san_count; i++)
        size += gathered->sans[i].size + 1;
    for (size_t i = 0; i < gathered->unit_count; i++)
        size += gathered->units[i].size + 1;
    struct identity *identity = calloc(1, sizeof *identity + count * sizeof(struct span) + size);
    if (identity == NULL)
        return NULL;
    char *at = (char *)(identity->names + count);
    identity->facts.common_name = place(&at, texts->name);
    identity->facts.issuer = place(&at, texts->issuer);
    identity->subject = place(&at, texts->subject);
    identity->serial = place(&at, serial);
    place_sans(identity, gathered, &at);
    memcpy(identity->key, texts->key, sizeof identity->key);
    identity->facts.key_sha256 = identity->key;
    for (size_t i = 0; i < SHA256_SIZE; i++)
        snprintf(identity->fingerprint + 2 * i, 3, "%02x", texts->fingerprint[i]);
    return identity;
}

/* As `openssl x509 -serial` writes it. */
static char *serial_text(const X509 *certificate) {
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *text = number == NULL ? NULL : BN_bn2hex(number);
    BN_free(number);
    return text;
}

/* The key as RFC 7469 2.4 pins it: its SubjectPublicKeyInfo. */
static bool key_digest(const X509 *certificate, uint8_t *digest) {
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool is_good = size > 0 && EVP_Digest(der, (size_t)size, digest, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return is_good;
}

static struct span text_of_bio(BIO *bio) {
    char *text = NULL;
    long size = bio == NULL ? 0 : BIO_get_mem_data(bio, &text);
    struct span span = span_of(text, size < 0 ? 0 : (size_t)size);
    return is_fit(span) ? span : SPAN_NONE;
}

struct identity *peer_identity_of(X509 *certificate) {
    X509_NAME *name = X509_get_subject_name(certificate);
    struct texts texts = {.serial = serial_text(certificate)};
    unsigned char *name_text = common_name(name, &texts.name.size);
    texts.name.at = name_text;
    if (!is_fit(texts.name))
        texts.name = SPAN_NONE;
    BIO *subject = whole_name(name), *issuer = whole_name(X509_get_issuer_name(certificate));
    texts.subject = text_of_bio(subject);
    texts.issuer = text_of_bio(issuer);
    struct gathered gathered = {.san_count = 0};
    GENERAL_NAMES *sans = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    gather_sans(sans, &gathered);
    gather_units(name, &gathered);
    struct identity *identity = NULL;
    if (texts.serial != NULL && X509_digest(certificate, EVP_sha256(), texts.fingerprint, NULL) == 1 &&
        key_digest(certificate, texts.key))
        identity = identity_of(&texts, &gathered);
    for (size_t i = 0; i < gathered.unit_count; i++)
        OPENSSL_free(gathered.ours[i]);
    GENERAL_NAMES_free(sans);
    OPENSSL_free(texts.serial);
    OPENSSL_free(name_text);
    BIO_free(subject);
    BIO_free(issuer);
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

static struct span find_san(const struct identity *identity, struct conf_source source) {
    uint32_t number = 0;
    for (size_t i = 0; i < identity->san_count; i++)
        if (identity->kinds[i] == source.kind && ++number == source.number)
            return identity->sans[i];
    return SPAN_NONE;
}

struct span engine_peer_name(const struct engine *engine, struct conf_source source) {
    const struct identity *identity = engine->identity;
    if (source.kind == CONF_SOURCE_PSK_IDENTITY)
        return engine->psk == NULL ? SPAN_NONE : engine->psk->identity;
    if (identity == NULL)
        return SPAN_NONE;
    switch ((enum conf_source_kind)source.kind) {
    case CONF_SOURCE_CN: return identity->facts.common_name;
    case CONF_SOURCE_SUBJECT: return identity->subject;
    case CONF_SOURCE_SAN_DNS:
    case CONF_SOURCE_SAN_URI:
    case CONF_SOURCE_SAN_EMAIL:
    case CONF_SOURCE_SAN_IP: return find_san(identity, source);
    case CONF_SOURCE_SERIAL: return identity->serial;
    case CONF_SOURCE_FINGERPRINT: return span_of(identity->fingerprint, 2 * SHA256_SIZE);
    case CONF_SOURCE_PSK_IDENTITY:
    case CONF_SOURCE_NONE: break;
    }
    return SPAN_NONE;
}
