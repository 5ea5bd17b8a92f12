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
};

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
    if (!file_read(&file, loading, "backend_keyfile", client->wanted->keyfile))
        return;
    BIO *bio = BIO_new_mem_buf(file.bytes, (int)file.size);
    if (bio != NULL)
        loading->own->key = PEM_read_bio_PrivateKey(bio, NULL, on_password_asked, &was_asked);
    BIO_free(bio);
    ERR_clear_error();
    if (loading->own->key == NULL && was_asked)
        loading_say(loading, FINDING_ERROR,
                    "backend_keyfile %s is encrypted, and nobody can type its password when the proxy "
                    "starts: write it "
                    "without one with openssl pkey -in %s -out NEW.key, mode 0600",
                    file.path, file.path);
    else if (loading->own->key == NULL)
        file_say_wrong(&file, loading, "a private key");
    else if ((file.mode & S_IRWXO) != 0)
        loading_say(loading, FINDING_WARNING,
                    "backend_keyfile %s may be read by every user of this machine: chmod o= %s", file.path,
                    file.path);
    file_clear(&file);
}

static void load_own(struct client_loading *client) {
    struct loading *loading = &client->loading;
    struct file file;
    if (client->wanted->certfile == NULL)
        return;
    if (file_read(&file, loading, "backend_certfile", client->wanted->certfile)) {
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
                    "backend_keyfile %s is not the key of the first certificate in backend_certfile %s: both "
                    "must come "
                    "from the same certificate request",
                    client->wanted->keyfile, client->wanted->certfile);
    int64_t until_s = time_s_of(X509_get0_notAfter(own)), now_s = client->wanted->now_s;
    if (until_s < now_s || time_s_of(X509_get0_notBefore(own)) > now_s)
        loading_say(loading, FINDING_ERROR, "backend_certfile %s: the certificate %s %s: make a new one",
                    client->wanted->certfile, until_s < now_s ? "expired on" : "is not valid yet and ends on",
                    date_of(until_s).text);
    else if (X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1)
        loading_say(loading, FINDING_WARNING,
                    "backend_certfile %s: the certificate is not made for a client (its extendedKeyUsage "
                    "says so), so "
                    "brokers refuse it: make one with extendedKeyUsage clientAuth",
                    client->wanted->certfile);
    ERR_clear_error();
}

static void use_own(struct client_loading *client, SSL_CTX *ssl_ctx) {
    struct loading *loading = &client->loading;
    STACK_OF(X509) *rest = sk_X509_dup(loading->own->chain);
    X509 *own = rest == NULL ? NULL : sk_X509_shift(rest);
    ERR_clear_error();
    if (own == NULL || SSL_CTX_use_cert_and_key(ssl_ctx, own, loading->own->key, rest, 1) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        loading_say(loading, FINDING_ERROR,
                    "backend_certfile %s and backend_keyfile %s cannot be used: OpenSSL says '%s'",
                    client->wanted->certfile, client->wanted->keyfile,
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
    bool has_authority = wanted->cafile != NULL || wanted->capath != NULL;
    if (wanted->is_insecure && !has_authority) {
        SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_NONE, NULL);
        return true;
    }
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, NULL);
    if (!has_authority && SSL_CTX_set_default_verify_paths(ssl_ctx) != 1)
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
    SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_2_VERSION);
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
        !set_alpn(wanted->alpn, ssl_ctx))
        say_no_memory(loading);
    return context;
}

struct tls_context *tls_context_load_client(const struct tls_client_settings *settings,
                                            struct findings *findings) {
    const struct tls_settings place = {
        .file = settings->file, .line = settings->line, .now_s = settings->now_s};
    struct client_loading client = {{.settings = &place,
                                     .findings = findings,
                                     .errors_before = findings->error_count,
                                     .owns = {{.certfile = settings->certfile, .chain = sk_X509_new_null()}},
                                     .own_count = 1,
                                     .authorities = sk_X509_new_null()},
                                    settings};
    struct loading *loading = &client.loading;
    loading->own = loading->owns;
    struct tls_context *context = NULL;
    if (loading->own->chain == NULL || loading->authorities == NULL) {
        say_no_memory(loading);
    } else {
        load_own(&client);
        if (settings->cafile != NULL)
            trust_read_file(loading, "backend_cafile", settings->cafile);
        if (settings->capath != NULL)
            trust_read_folder(loading, "backend_capath", settings->capath);
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
