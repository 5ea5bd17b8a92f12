/* certs: makes keys, certificates and lists for the tests of crypto/, good ones and every kind of odd one,
 * into a folder of their own. Everything asserts: a test cannot go on without its files. */
#ifndef DRAWBRIDGE_TEST_CRYPTO_CERTS_H
#define DRAWBRIDGE_TEST_CRYPTO_CERTS_H

#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"

#define CERT_DAY (24 * 3600L)

static char certs_folder[64];

static inline void certs_begin(void) {
    strcpy(certs_folder, "/tmp/drawbridge-certs.XXXXXX");
    assert_non_null(mkdtemp(certs_folder));
}

static inline int certs_remove(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static inline void certs_end(void) {
    nftw(certs_folder, certs_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path in the folder; one of sixteen turns of static room. */
static inline const char *certs_path(const char *name) {
    static char paths[16][160];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", certs_folder, name);
    return path;
}

/* A list of one crlfile; one of sixteen turns of static room. */
static inline const struct conf_pattern *paths_of(const char *path) {
    static struct conf_pattern patterns[16];
    static char texts[16][160];
    static unsigned turn;
    unsigned which = turn++ % 16;
    snprintf(texts[which], sizeof texts[0], "%s", path);
    patterns[which] = (struct conf_pattern){.text = texts[which]};
    return &patterns[which];
}

struct cert {
    EVP_PKEY *key;
    X509 *x509;
};

/* What a certificate shall be; zero gives a good leaf for a year. */
struct cert_wish {
    const char *name;
    size_t name_size;      /* for names with a NUL; 0: strlen */
    const struct cert *by; /* NULL: signed by itself */
    bool is_ca, is_nameless,
        is_plain;            /* plain: version 1, no extensions, as the classic tutorial makes them */
    long from_s, until_s;    /* relative to now; 0: an hour ago, in a year */
    const char *alt, *usage; /* extension values; NULL: none */
    const char *unit;        /* one more part of the subject */
    EVP_PKEY *key;           /* used instead of a new one */
    int rsa_bits;
    const EVP_MD *hash;
};

static inline void cert_extend(X509 *x509, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline struct cert cert_make(struct cert_wish wish) {
    struct cert cert;
    if (wish.key != NULL) {
        cert.key = wish.key;
        assert_int_equal(EVP_PKEY_up_ref(wish.key), 1);
    } else {
        cert.key = wish.rsa_bits != 0 ? EVP_RSA_gen((unsigned)wish.rsa_bits) : EVP_EC_gen("P-256");
    }
    cert.x509 = X509_new();
    assert_non_null(cert.key);
    assert_non_null(cert.x509);
    X509_set_version(cert.x509, wish.is_plain ? X509_VERSION_1 : X509_VERSION_3);
    static long serial = 1000;
    ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert.x509), wish.from_s != 0 ? wish.from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert.x509), wish.until_s != 0 ? wish.until_s : 365 * CERT_DAY);
    X509_NAME *subject = X509_get_subject_name(cert.x509);
    if (!wish.is_nameless) {
        int size = wish.name_size != 0 ? (int)wish.name_size : -1;
        assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
                                                    (const unsigned char *)wish.name, size, -1, 0),
                         1);
    }
    if (wish.unit != NULL)
        X509_NAME_add_entry_by_NID(subject, NID_organizationalUnitName, MBSTRING_UTF8,
                                   (const unsigned char *)wish.unit, -1, -1, 0);
    X509 *issuer = wish.by != NULL ? wish.by->x509 : cert.x509;
    X509_set_issuer_name(cert.x509, X509_get_subject_name(issuer));
    X509_set_pubkey(cert.x509, cert.key);
    if (!wish.is_plain) {
        cert_extend(cert.x509, issuer, NID_basic_constraints,
                    wish.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
        if (wish.is_ca)
            cert_extend(cert.x509, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
        if (wish.usage != NULL)
            cert_extend(cert.x509, issuer, NID_ext_key_usage, wish.usage);
        if (wish.alt != NULL)
            cert_extend(cert.x509, issuer, NID_subject_alt_name, wish.alt);
        cert_extend(cert.x509, issuer, NID_subject_key_identifier, "hash");
    }
    EVP_PKEY *signer = wish.by != NULL ? wish.by->key : cert.key;
    assert_true(X509_sign(cert.x509, signer, wish.hash != NULL ? wish.hash : EVP_sha256()) > 0);
    return cert;
}

static inline void cert_free(struct cert *cert) {
    EVP_PKEY_free(cert->key);
    X509_free(cert->x509);
    *cert = (struct cert){NULL, NULL};
}

static inline FILE *certs_open(const char *path, mode_t mode) {
    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(chmod(path, mode), 0);
    return file;
}

/* Each writes one file and returns its path. Several certificates: the first comes first. */
static inline const char *certs_write(const char *name, const X509 *const *list, size_t count) {
    const char *path = certs_path(name);
    FILE *file = certs_open(path, 0644);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(PEM_write_X509(file, list[i]), 1);
    fclose(file);
    return path;
}

static inline const char *cert_write(const char *name, const struct cert *cert) {
    const X509 *one = cert->x509;
    return certs_write(name, &one, 1);
}

static inline const char *key_write(const char *name, const struct cert *cert) {
    const char *path = certs_path(name);
    FILE *file = certs_open(path, 0600);
    assert_int_equal(PEM_write_PrivateKey(file, cert->key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    return path;
}

static inline const char *text_write(const char *name, const char *text, size_t size) {
    const char *path = certs_path(name);
    FILE *file = certs_open(path, 0600);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
    return path;
}

/* A list of the CA with up to one revoked certificate. */
static inline const char *list_write(const char *name, const struct cert *by, const X509 *revoked,
                                     long from_s, long until_s) {
    X509_CRL *list = X509_CRL_new();
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(by->x509));
    ASN1_TIME *time = ASN1_TIME_new();
    X509_CRL_set1_lastUpdate(list, X509_gmtime_adj(time, from_s));
    X509_CRL_set1_nextUpdate(list, X509_gmtime_adj(time, until_s));
    if (revoked != NULL) {
        X509_REVOKED *row = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(revoked));
        X509_REVOKED_set_serialNumber(row, serial);
        X509_REVOKED_set_revocationDate(row, X509_gmtime_adj(time, from_s));
        X509_CRL_add0_revoked(list, row);
        ASN1_INTEGER_free(serial);
    }
    ASN1_TIME_free(time);
    assert_true(X509_CRL_sign(list, by->key, EVP_sha256()) > 0);
    const char *path = certs_path(name);
    FILE *file = certs_open(path, 0644);
    assert_int_equal(PEM_write_X509_CRL(file, list), 1);
    fclose(file);
    X509_CRL_free(list);
    return path;
}

#endif
