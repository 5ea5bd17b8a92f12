/* context_load: from settings to an SSL_CTX, everything checked on the way. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/inside.h"
#include "crypto/load.h"

/* Forward secret and authenticated only; AES-128 before the rest, since brokers' and devices' CPUs are small.
 */
#define CIPHERS_TLS12                                                                                        \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                             \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"                                             \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
/* Forward secret ones among those with pre-shared keys; OpenSSL has no GCM there. */
#define CIPHERS_PSK   "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:ECDHE-PSK-AES256-CBC-SHA384"
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
/* X25519 costs the server three quarters of P-256 and 3 KiB less per connection. */
#define GROUPS "X25519:P-256:P-384:P-521"

#define CERT_LIST_MAX_BYTES (32 * 1024)
#define VERIFY_DEPTH        9
#define CA_NAMES_MAX_BYTES  (16 * 1024)
#define CIPHERS_MAX_BYTES   4096

/* Modes and options that no setting changes. */
void context_set_fixed(SSL_CTX *ssl_ctx) {
    /* AUTO_RETRY: a call that met only a KeyUpdate goes on reading instead of leaving bytes behind. */
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_AUTO_RETRY | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION /* OpenSSL 3.2 */
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION | SSL_OP_NO_TX_CERTIFICATE_COMPRESSION);
#endif
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl_ctx, 1);
    /* One copy for many small records, and its buffer is given back once for all of them. */
    SSL_CTX_set_read_ahead(ssl_ctx, 1);
    SSL_CTX_set_max_early_data(ssl_ctx, 0); /* a replayed CONNECT or PUBLISH would count twice */
    SSL_CTX_set_recv_max_early_data(ssl_ctx, 0);
    SSL_CTX_set_max_cert_list(ssl_ctx, CERT_LIST_MAX_BYTES);
    SSL_CTX_set_verify_depth(ssl_ctx, VERIFY_DEPTH);
    SSL_CTX_set_dh_auto(ssl_ctx, 1); /* only for those whose `ciphers` ask for it */
}

static void set_version(struct loading *loading, SSL_CTX *ssl_ctx) {
    const char *wanted = loading->settings->tls_version;
    int version = 0;
    if (wanted == NULL || strcmp(wanted, "tlsv1.2") == 0)
        version = TLS1_2_VERSION;
    else if (strcmp(wanted, "tlsv1.3") == 0)
        version = TLS1_3_VERSION;
    else
        loading_say(loading, FINDING_ERROR,
                    "tls_version '%s' is unknown: it is tlsv1.2 or tlsv1.3, the lowest allowed", wanted);
    if (version != 0)
        SSL_CTX_set_min_proto_version(ssl_ctx, version);
}

/* Suites without encryption or without a certificate are never offered, whatever `ciphers` says: an anonymous
 * suite would let in a device without the certificate that is required. */
static void set_ciphers(struct loading *loading, SSL_CTX *ssl_ctx) {
    const char *wanted = loading->settings->ciphers;
    const char *ciphers = wanted != NULL                        ? wanted
                          : loading->settings->psk_file == NULL ? CIPHERS_TLS12
                                                                : CIPHERS_PSK,
               *ciphers_tls13 = loading->settings->ciphers_tls13;
    char list[CIPHERS_MAX_BYTES], groups[] = GROUPS; /* the macro wants them changeable */
    if ((size_t)snprintf(list, sizeof list, "%s:!aNULL:!eNULL", ciphers) >= sizeof list ||
        SSL_CTX_set_cipher_list(ssl_ctx, list) != 1)
        loading_say(loading, FINDING_ERROR, "ciphers '%.200s' names no cipher that this OpenSSL has%s",
                    ciphers,
                    strncmp(ciphers, "TLS_", 4) == 0 ? ": those of TLS 1.3 belong to ciphers_tls1.3"
                                                     : "; openssl ciphers -v lists those of TLS 1.2");
    if (SSL_CTX_set_ciphersuites(ssl_ctx, ciphers_tls13 == NULL ? CIPHERS_TLS13 : ciphers_tls13) != 1 ||
        (ciphers_tls13 != NULL && *ciphers_tls13 == '\0'))
        loading_say(
            loading, FINDING_ERROR,
            "ciphers_tls1.3 '%.200s' names a suite that this OpenSSL does not have; openssl ciphers -s "
            "-tls1_3 lists them",
            ciphers_tls13);
    if (SSL_CTX_set1_groups_list(ssl_ctx, groups) != 1)
        loading_say(loading, FINDING_ERROR, "this OpenSSL does not have the key exchange groups %s", GROUPS);
    ERR_clear_error();
}

/* OpenSSL's security level speaks here: keys and hashes that are too weak. */
static void set_own(struct loading *loading, SSL_CTX *ssl_ctx) {
    STACK_OF(X509) *rest = sk_X509_dup(loading->own->chain);
    X509 *own = rest == NULL ? NULL : sk_X509_shift(rest);
    ERR_clear_error();
    if (own == NULL || SSL_CTX_use_cert_and_key(ssl_ctx, own, loading->own->key, rest, 1) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        loading_say(
            loading, FINDING_ERROR,
            "certfile %s and keyfile %s cannot be used: OpenSSL says '%s'; make new ones, with RSA of "
            "2048 bits or ECDSA P-256, and SHA-256",
            loading->own->certfile, loading->own->keyfile, reason == NULL ? "out of memory" : reason);
    }
    sk_X509_free(rest);
    ERR_clear_error();
}

/* Expired or early is forgiven to the device's own certificate only, never to a CA or a CRL. */
static int on_verified_without_dates(int is_good, X509_STORE_CTX *store_ctx) {
    int error = X509_STORE_CTX_get_error(store_ctx);
    if (is_good || X509_STORE_CTX_get_error_depth(store_ctx) != 0 ||
        (error != X509_V_ERR_CERT_HAS_EXPIRED && error != X509_V_ERR_CERT_NOT_YET_VALID))
        return is_good;
    X509_STORE_CTX_set_error(store_ctx, X509_V_OK);
    return 1;
}

/* A ticket stands for a certificate that was verified hours ago: one that has ended since means a full
 * handshake, which will say so. New CRLs need no look here, tickets are bound to them. */
static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                          size_t name_size, SSL_TICKET_STATUS status, void *user) {
    (void)name, (void)name_size, (void)user;
    const struct tls_context *context = ((const struct engine *)SSL_get_app_data(ssl))->context;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    X509 *certificate = SSL_SESSION_get0_peer(session);
    if (context->asks_certificate && (certificate != NULL || !context->certificate_is_optional)) {
        if (certificate == NULL ||
            (!context->ignores_client_dates && X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0))
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        /* It comes without its CAs, which a later list may revoke: we must have them. */
        STACK_OF(X509) *chain = context->checks_chain ? revocation_chain(context, certificate) : NULL;
        bool is_judgeable = !context->checks_chain || chain != NULL;
        sk_X509_pop_free(chain, X509_free);
        if (!is_judgeable)
            return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    /* A client of TLS 1.3 uses a ticket once (RFC 8446 C.4) and wants the next one for the next time. */
    bool is_renewed = status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) >= TLS1_3_VERSION;
    return is_renewed ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

/* Tells devices with several certificates which one to send. Too long a list is not sent at all, which means
 * any. */
static bool set_ca_names(struct loading *loading, SSL_CTX *ssl_ctx) {
    size_t bytes = 0;
    for (int i = 0; i < sk_X509_num(loading->authorities); i++) {
        int size = i2d_X509_NAME(X509_get_subject_name(sk_X509_value(loading->authorities, i)), NULL);
        bytes += size < 0 ? CA_NAMES_MAX_BYTES : (size_t)size + 2;
    }
    for (int i = 0; bytes <= CA_NAMES_MAX_BYTES && i < sk_X509_num(loading->authorities); i++)
        if (SSL_CTX_add_client_CA(ssl_ctx, sk_X509_value(loading->authorities, i)) != 1)
            return false;
    return true;
}

static bool set_trust(struct loading *loading, SSL_CTX *ssl_ctx) {
    const struct tls_settings *settings = loading->settings;
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    if (!settings->require_certificate) {
        SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_NONE, NULL);
        return true;
    }
    for (int i = 0; i < sk_X509_num(loading->authorities); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(loading->authorities, i)) != 1)
            return false;
    for (int i = 0; i < sk_X509_CRL_num(loading->lists); i++)
        if (X509_STORE_add_crl(store, sk_X509_CRL_value(loading->lists, i)) != 1)
            return false;
    if (settings->crlfiles != NULL &&
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK |
                                        (settings->crl_checks_chain ? X509_V_FLAG_CRL_CHECK_ALL : 0)) != 1)
        return false;
    SSL_CTX_set_verify(
        ssl_ctx, SSL_VERIFY_PEER | (settings->certificate_is_optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT),
        settings->disable_client_cert_date_checks ? on_verified_without_dates : NULL);
    return set_ca_names(loading, ssl_ctx);
}

static bool digest_text(EVP_MD_CTX *digest, const char *text) {
    return EVP_DigestUpdate(digest, text == NULL ? "" : text, text == NULL ? 1 : strlen(text) + 1) == 1;
}

/* What a ticket is bound to: the listener, what it demands of certificates, the CAs and the lists. */
static bool set_session_context(struct loading *loading, SSL_CTX *ssl_ctx) {
    const struct tls_settings *settings = loading->settings;
    unsigned char id[EVP_MAX_MD_SIZE], each[EVP_MAX_MD_SIZE];
    unsigned id_size = 0, each_size = 0;
    char demands[4] = {settings->crl_checks_chain ? 'c' : '-',
                       !settings->require_certificate      ? '-'
                       : settings->certificate_is_optional ? 'o'
                                                           : 'r',
                       settings->disable_client_cert_date_checks ? 'd' : '-', '\0'};
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                   digest_text(digest, settings->session_context) && digest_text(digest, demands);
    for (int i = 0; is_good && i < sk_X509_num(loading->authorities); i++)
        is_good = X509_digest(sk_X509_value(loading->authorities, i), EVP_sha256(), each, &each_size) == 1 &&
                  EVP_DigestUpdate(digest, each, each_size) == 1;
    is_good = is_good && digest_text(digest, "lists");
    for (int i = 0; is_good && i < sk_X509_CRL_num(loading->lists); i++)
        is_good =
            X509_CRL_digest(sk_X509_CRL_value(loading->lists, i), EVP_sha256(), each, &each_size) == 1 &&
            EVP_DigestUpdate(digest, each, each_size) == 1;
    is_good = is_good && EVP_DigestFinal_ex(digest, id, &id_size) == 1 &&
              SSL_CTX_set_session_id_context(ssl_ctx, id, id_size) == 1;
    EVP_MD_CTX_free(digest);
    return is_good;
}

/* Keeps what is asked of it later: names and dates. */
bool own_keep(const struct loading *loading, struct tls_context *context) {
    struct tls_own *own = &context->owns[context->own_count];
    X509 *certificate = sk_X509_value(loading->own->chain, 0);
    *own = (struct tls_own){.path = strdup(loading->own->certfile), .expires_s = INT64_MAX};
    if (own->path == NULL || X509_up_ref(certificate) != 1) {
        free(own->path);
        return false;
    }
    own->certificate = certificate;
    for (int i = 0; i < sk_X509_num(loading->own->chain); i++) {
        int64_t until_s = time_s_of(X509_get0_notAfter(sk_X509_value(loading->own->chain, i)));
        own->expires_s = until_s < own->expires_s ? until_s : own->expires_s;
    }
    context->own_count++;
    return true;
}

static bool set_tickets(const struct loading *loading, struct tls_context *context) {
    const struct tls_settings *settings = loading->settings;
    return settings->tickets == NULL || tickets_use(context, settings->tickets, settings->ticket_rotation_s);
}

static struct tls_context *build(struct loading *loading) {
    struct tls_context *context = calloc(1, sizeof *context);
    SSL_CTX *ssl_ctx = context == NULL ? NULL : SSL_CTX_new(TLS_server_method());
    if (ssl_ctx == NULL) {
        free(context);
        loading_say(loading, FINDING_ERROR, "memory is out while TLS is set up");
        return NULL;
    }
    context->ssl_ctx = ssl_ctx;
    context->references = 1;
    context->asks_certificate = loading->settings->require_certificate;
    context->certificate_is_optional = loading->settings->certificate_is_optional;
    context->ignores_client_dates = loading->settings->disable_client_cert_date_checks;
    context_set_fixed(ssl_ctx);
    if (alpn_load(loading, context))
        alpn_use(context);
    context->is_sni_strict = loading->settings->sni_strict;
    choose_use(context);
    if (loading->settings->keylog != NULL)
        keylog_use(context, loading->settings->keylog);
    set_version(loading, ssl_ctx);
    set_ciphers(loading, ssl_ctx); /* before the certificate: a list may set the security level */
    for (size_t i = 0; i < loading->own_count && loading_is_good(loading); i++) {
        loading->own = &loading->owns[i];
        set_own(loading, ssl_ctx);
        if (loading_is_good(loading) && !own_keep(loading, context))
            loading_say(loading, FINDING_ERROR, "memory is out while TLS is set up");
    }
    bool has_psk = loading->settings->psk_file != NULL;
    if ((loading_is_good(loading) && has_psk && !psk_set(loading, context)) || !set_trust(loading, ssl_ctx) ||
        !revocation_prepare(context, loading->lists, loading->settings->crl_checks_chain) ||
        !set_session_context(loading, ssl_ctx) ||
        SSL_CTX_set_session_ticket_cb(ssl_ctx, NULL, on_ticket_opened, NULL) != 1 ||
        (!has_psk && !set_tickets(loading, context)))
        loading_say(loading, FINDING_ERROR, "memory is out while TLS is set up");
    if (loading_is_good(loading))
        staple_load(loading, context);
    return context;
}

struct tls_context *tls_context_load(const struct tls_settings *settings, struct findings *findings) {
    struct loading loading = {.settings = settings,
                              .findings = findings,
                              .errors_before = findings->error_count,
                              .authorities = sk_X509_new_null(),
                              .lists = sk_X509_CRL_new_null()};
    struct tls_context *context = NULL;
    if (loading.authorities == NULL || loading.lists == NULL) {
        loading_say(&loading, FINDING_ERROR, "memory is out while TLS is set up");
    } else {
        if (settings->psk_file == NULL)
            own_load(&loading);
        else
            psk_load(&loading);
        trust_load(&loading);
        if (settings->psk_file == NULL)
            own_check(&loading);
        trust_check(&loading);
        context = build(&loading);
    }
    own_clear(&loading);
    sk_X509_pop_free(loading.authorities, X509_free);
    sk_X509_CRL_pop_free(loading.lists, X509_CRL_free);
    free((void *)loading.list_paths);
    arena_destroy(loading.psk_arena);
    ERR_clear_error();
    if (loading_is_good(&loading))
        return context;
    tls_context_drop(context);
    return NULL;
}
