/* context_client: how we connect to the broker: whom we believe, and what we show. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "crypto/inside.h"
#include "crypto/load.h"

#define ALPN_SIZE_MAX 4096

struct client_loading {
    struct loading loading; /* first */
    const struct tls_client_settings *wanted;
    char cafile[24], capath[24], certfile[24], keyfile[24]; /* the keywords */
};

static const char *prefix_of(const struct tls_client_settings *wanted) {
    return wanted->prefix == NULL ? "backend_" : wanted->prefix;
}

/* The keyword's beginning and its end. */
static void name(const struct tls_client_settings *wanted, const char *end, char room[24]) {
    snprintf(room, 24, "%s%s", prefix_of(wanted), end);
}

static void say_no_memory(struct loading *loading) {
    loading_say(loading, FINDING_ERROR, "memory is out while TLS to the broker is set up");
}

/* ---- the certificate that the broker is shown ---- */

static int on_password_asked(char *room, int size, int purpose, void *was_asked) {
    (void)room, (void)size, (void)purpose;
    *(bool *)was_asked = true;
    return -1;
}

static void load_key(struct client_loading *client) {
    struct loading *loading = &client->loading;
    struct file file;
    bool was_asked = false;
    if (!file_read(&file, loading, client->keyfile, client->wanted->keyfile))
        return;
    BIO *bio = BIO_new_mem_buf(file.bytes, (int)file.size);
    if (bio != NULL)
        loading->own->key = PEM_read_bio_PrivateKey(bio, NULL, on_password_asked, &was_asked);
    BIO_free(bio);
    ERR_clear_error();
    if (loading->own->key == NULL && was_asked)
        loading_say(loading, FINDING_ERROR,
                    "%s %s is encrypted, and nobody can type its password when the proxy starts: write it "
                    "without one with openssl pkey -in %s -out NEW.key, mode 0600",
                    client->keyfile, file.path, file.path);
    else if (loading->own->key == NULL)
        file_say_wrong(&file, loading, "a private key");
    else if ((file.mode & S_IRWXO) != 0)
        loading_say(loading, FINDING_WARNING, "%s %s may be read by every user of this machine: chmod o= %s",
                    client->keyfile, file.path, file.path);
    file_clear(&file);
}

static void load_own(struct client_loading *client) {
    struct loading *loading = &client->loading;
    struct file file;
    if (client->wanted->certfile == NULL)
        return;
    if (file_read(&file, loading, client->certfile, client->wanted->certfile)) {
        if (file_certificates(&file, loading, loading->own->chain) == 0)
            file_say_wrong(&file, loading, "a certificate");
        file_clear(&file);
    }
    load_key(client);
}

static void check_own(struct client_loading *client) {
    struct loading *loading = &client->loading;
    X509 *own = sk_X509_value(loading->own->chain, 0);
    if (own == NULL || loading->own->key == NULL)
        return;
    if (X509_check_private_key(own, loading->own->key) != 1)
        loading_say(loading, FINDING_ERROR,
                    "%s %s is not the key of the first certificate in %s %s: both must come from the same "
                    "certificate request",
                    client->keyfile, client->wanted->keyfile, client->certfile, client->wanted->certfile);
    int64_t until_s = time_s_of(X509_get0_notAfter(own)), now_s = client->wanted->now_s;
    if (until_s < now_s || time_s_of(X509_get0_notBefore(own)) > now_s)
        loading_say(loading, FINDING_ERROR, "%s %s: the certificate %s %s: make a new one", client->certfile,
                    client->wanted->certfile, until_s < now_s ? "expired on" : "is not valid yet and ends on",
                    date_of(until_s).text);
    else if (X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1)
        loading_say(
            loading, FINDING_WARNING,
            "%s %s: the certificate is not made for a client (its extendedKeyUsage says so), so brokers "
            "refuse it: make one with extendedKeyUsage clientAuth",
            client->certfile, client->wanted->certfile);
    ERR_clear_error();
}

static void use_own(struct client_loading *client, SSL_CTX *ssl_ctx) {
    struct loading *loading = &client->loading;
    STACK_OF(X509) *rest = sk_X509_dup(loading->own->chain);
    X509 *own = rest == NULL ? NULL : sk_X509_shift(rest);
    ERR_clear_error();
    if (own == NULL || SSL_CTX_use_cert_and_key(ssl_ctx, own, loading->own->key, rest, 1) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        loading_say(loading, FINDING_ERROR, "%s %s and %s %s cannot be used: OpenSSL says '%s'",
                    client->certfile, client->wanted->certfile, client->keyfile, client->wanted->keyfile,
                    reason == NULL ? "out of memory" : reason);
    }
    sk_X509_free(rest);
    ERR_clear_error();
}

/* ---- whom we believe ---- */

static bool is_address(const char *host) {
    unsigned char room[16];
    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

static bool set_name(const struct tls_client_settings *wanted, SSL_CTX *ssl_ctx) {
    const char *name = wanted->sni != NULL ? wanted->sni : wanted->host;
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ssl_ctx);
    if (wanted->is_insecure)
        return true;
    if (name == NULL) /* never seen: the configuration was checked; but nothing is believed without a name */
        return false;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1
                            : X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static bool set_trust(struct client_loading *client, SSL_CTX *ssl_ctx) {
    const struct tls_client_settings *wanted = client->wanted;
    struct loading *loading = &client->loading;
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    bool has_authority = wanted->cafile != NULL || wanted->capath != NULL || wanted->uses_system;
    if (wanted->psk != NULL || (wanted->is_insecure && !has_authority)) { /* the key is the proof */
        SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_NONE, NULL);
        return true;
    }
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, NULL);
    if ((!has_authority || wanted->uses_system) && SSL_CTX_set_default_verify_paths(ssl_ctx) != 1)
        return false;
    for (int i = 0; i < sk_X509_num(loading->authorities); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(loading->authorities, i)) != 1)
            return false;
    return set_name(wanted, ssl_ctx);
}

/* ---- all of it ---- */

/* "a,b" as the wire wants it: each name behind its length. */
static bool set_alpn(const char *names, SSL_CTX *ssl_ctx) {
    uint8_t room[ALPN_SIZE_MAX + 1];
    size_t size = names == NULL ? 0 : strlen(names), start = 0;
    if (size == 0 || size >= ALPN_SIZE_MAX)
        return size == 0;
    memcpy(room + 1, names, size);
    for (size_t i = 1; i <= size + 1; i++)
        if (i == size + 1 || room[i] == ',') {
            room[start] = (uint8_t)(i - start - 1);
            start = i;
        }
    return SSL_CTX_set_alpn_protos(ssl_ctx, room, (unsigned)size + 1) == 0; /* 0 is success here */
}

/* A server that cannot do what is asked for is not spoken to, so that all of this may be left to OpenSSL. */
static void set_versions(struct client_loading *client, SSL_CTX *ssl_ctx) {
    const struct tls_client_settings *wanted = client->wanted;
    struct loading *loading = &client->loading;
    bool is_13 = wanted->tls_version != NULL && strcmp(wanted->tls_version, "tlsv1.3") == 0;
    const char *ciphers = wanted->ciphers != NULL ? wanted->ciphers : wanted->psk != NULL ? "PSK" : NULL;
    char list[2048];
    SSL_CTX_set_min_proto_version(ssl_ctx, is_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    if (wanted->psk != NULL)
        SSL_CTX_set_max_proto_version(ssl_ctx, TLS1_2_VERSION);
    if (wanted->tls_version != NULL && !is_13 && strcmp(wanted->tls_version, "tlsv1.2") != 0)
        loading_say(loading, FINDING_ERROR, "%stls_version is '%.40s'; it may be tlsv1.2 or tlsv1.3",
                    prefix_of(wanted), wanted->tls_version);
    if (ciphers != NULL && ((size_t)snprintf(list, sizeof list, "%s:!aNULL:!eNULL", ciphers) >= sizeof list ||
                            SSL_CTX_set_cipher_list(ssl_ctx, list) != 1))
        loading_say(loading, FINDING_ERROR,
                    "%sciphers '%.200s' names no cipher that this OpenSSL has; openssl ciphers -v lists "
                    "those of TLS 1.2",
                    prefix_of(wanted), ciphers);
    if (wanted->ciphers_tls13 != NULL &&
        (*wanted->ciphers_tls13 == '\0' || SSL_CTX_set_ciphersuites(ssl_ctx, wanted->ciphers_tls13) != 1))
        loading_say(loading, FINDING_ERROR,
                    "%sciphers_tls1.3 '%.200s' names a suite that this OpenSSL does not have",
                    prefix_of(wanted), wanted->ciphers_tls13);
    ERR_clear_error();
}

/* The broker is told who we are, and both must have the same key. */
static unsigned on_psk_wanted(SSL *ssl, const char *hint, char *identity, unsigned identity_size,
                              unsigned char *key, unsigned key_size) {
    const struct engine *engine = SSL_get_app_data(ssl);
    const struct psk_own *own = &engine->context->psk_own;
    (void)hint;
    if (own->identity == NULL || strlen(own->identity) >= identity_size || own->size > key_size)
        return 0;
    memcpy(identity, own->identity, strlen(own->identity) + 1);
    memcpy(key, own->key, own->size);
    return own->size;
}

/* False: memory is out. */
static bool set_psk(struct client_loading *client, struct tls_context *context) {
    const struct tls_client_settings *wanted = client->wanted;
    if (wanted->psk == NULL)
        return true;
    long size = 0;
    unsigned char *key = OPENSSL_hexstr2buf(wanted->psk, &size);
    bool is_good = key != NULL && size > 0 && size <= PSK_OWN_MAX;
    if (!is_good)
        loading_say(
            &client->loading, FINDING_ERROR,
            "%spsk is no key in hexadecimal of 1 to %d bytes; write two digits for each byte, without 0x",
            prefix_of(wanted), PSK_OWN_MAX);
    else
        memcpy(context->psk_own.key, key, (size_t)size);
    context->psk_own.size = is_good ? (unsigned)size : 0;
    context->psk_own.identity = strdup(wanted->psk_identity == NULL ? "" : wanted->psk_identity);
    OPENSSL_clear_free(key, size > 0 ? (size_t)size : 0);
    ERR_clear_error();
    SSL_CTX_set_psk_client_callback(context->ssl_ctx, on_psk_wanted);
    return context->psk_own.identity != NULL;
}

static struct tls_context *build(struct client_loading *client) {
    const struct tls_client_settings *wanted = client->wanted;
    struct loading *loading = &client->loading;
    struct tls_context *context = calloc(1, sizeof *context);
    SSL_CTX *ssl_ctx = context == NULL ? NULL : SSL_CTX_new(TLS_client_method());
    if (ssl_ctx == NULL) {
        free(context);
        say_no_memory(loading);
        return NULL;
    }
    context->ssl_ctx = ssl_ctx;
    context->references = 1;
    context->is_client = true;
    context_set_fixed(ssl_ctx);
    set_versions(client, ssl_ctx);
    bool has_own = sk_X509_num(loading->own->chain) != 0 && loading->own->key != NULL;
    if (has_own)
        use_own(client, ssl_ctx);
    if (has_own && !own_keep(loading, context))
        say_no_memory(loading);
    const char *sni = wanted->sni != NULL                                 ? wanted->sni
                      : wanted->host != NULL && !is_address(wanted->host) ? wanted->host
                                                                          : NULL;
    context->sni = sni == NULL ? NULL : strdup(sni);
    if ((sni != NULL && context->sni == NULL) || !set_trust(client, ssl_ctx) ||
        !set_alpn(wanted->alpn, ssl_ctx) || !set_psk(client, context))
        say_no_memory(loading);
    if (wanted->requires_ocsp)
        staple_demand(context);
    return context;
}

struct tls_context *tls_context_load_client(const struct tls_client_settings *settings,
                                            struct findings *findings) {
    const struct tls_settings place = {
        .file = settings->file, .line = settings->line, .now_s = settings->now_s};
    struct client_loading client = {
        .loading = {.settings = &place,
                    .findings = findings,
                    .errors_before = findings->error_count,
                    .owns = {{.certfile = settings->certfile, .chain = sk_X509_new_null()}},
                    .own_count = 1,
                    .authorities = sk_X509_new_null()},
        .wanted = settings};
    struct loading *loading = &client.loading;
    loading->own = loading->owns;
    name(settings, "cafile", client.cafile);
    name(settings, "capath", client.capath);
    name(settings, "certfile", client.certfile);
    name(settings, "keyfile", client.keyfile);
    struct tls_context *context = NULL;
    if (loading->own->chain == NULL || loading->authorities == NULL) {
        say_no_memory(loading);
    } else {
        load_own(&client);
        if (settings->cafile != NULL)
            trust_read_file(loading, client.cafile, settings->cafile);
        if (settings->capath != NULL)
            trust_read_folder(loading, client.capath, settings->capath);
        check_own(&client);
        context = build(&client);
    }
    own_clear(loading);
    sk_X509_pop_free(loading->authorities, X509_free);
    ERR_clear_error();
    if (loading_is_good(loading))
        return context;
    tls_context_drop(context);
    return NULL;
}
