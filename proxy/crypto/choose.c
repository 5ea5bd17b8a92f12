/* choose: what a ClientHello decides before anything else is said: which host's certificates and demands, and
 * whether the device is taken at all.
 *
 * Here and not later: version, ticket and cipher are settled right after, by what was chosen. What OpenSSL
 * asks the context of the beginning all the same (ticket keys) finds the chosen one by its engine. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "crypto/inside.h"

#define NAME_SIZE_MAX 255

/* ---- names ---- */

static int compare(struct span name, const char *other) {
    size_t size = strlen(other);
    int order = memcmp(name.at, other, name.size < size ? name.size : size);
    return order != 0 ? order : name.size < size ? -1 : name.size > size;
}

/* Where the name is, or belongs. */
static size_t place_of(const struct tls_context *context, struct span name, bool *is_there) {
    size_t low = 0, high = context->host_count;
    *is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(name, context->hosts[middle].name);
        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

enum tls_host_added tls_context_add_host(struct tls_context *context, struct span name,
                                         struct tls_context *host, unsigned number) {
    bool is_there;
    size_t place = place_of(context, name, &is_there);
    if (is_there)
        return TLS_HOST_THERE;
    char *text = strndup((const char *)name.at, name.size);
    struct tls_host *grown =
        text == NULL ? NULL : realloc(context->hosts, (context->host_count + 1) * sizeof *grown);
    if (grown == NULL) {
        free(text);
        return TLS_HOST_NO_MEMORY;
    }
    context->hosts = grown;
    memmove(grown + place + 1, grown + place, (context->host_count - place) * sizeof *grown);
    grown[place] = (struct tls_host){text, tls_context_keep(host), number};
    context->host_count++;
    return TLS_HOST_ADDED;
}

void choose_clear(struct tls_context *context) {
    for (size_t i = 0; i < context->host_count; i++) {
        free(context->hosts[i].name);
        tls_context_drop(context->hosts[i].context);
    }
    free(context->hosts);
}

/* "*.example.com" for "a.example.com"; `room` has space for the name and one byte. Empty: nothing to look
 * for. */
static struct span starred(struct span name, char *room) {
    const uint8_t *dot = name.size == 0 ? NULL : memchr(name.at, '.', name.size);
    if (dot == NULL || dot == name.at)
        return SPAN_NONE;
    size_t rest = name.size - (size_t)(dot - name.at);
    room[0] = '*';
    memcpy(room + 1, dot, rest);
    return span_of(room, rest + 1);
}

/* The exact name wins over the star. */
static const struct tls_host *find(const struct tls_context *context, struct span name) {
    char room[NAME_SIZE_MAX + 2];
    bool is_there = false;
    if (name.size == 0 || name.size > NAME_SIZE_MAX || name.at[0] == '*')
        return NULL;
    size_t place = place_of(context, name, &is_there);
    struct span star = is_there ? SPAN_NONE : starred(name, room);
    if (star.size != 0)
        place = place_of(context, star, &is_there);
    return is_there ? &context->hosts[place] : NULL;
}

unsigned tls_context_number(const struct tls_context *context, struct span name) {
    const struct tls_host *host = find(context, name);
    return host == NULL ? 0 : host->number;
}

/* ---- names in certificates ---- */

static size_t lower(struct span name, char *room) {
    if (name.size == 0 || name.size > NAME_SIZE_MAX || span_has_byte(name, 0))
        return 0;
    for (size_t i = 0; i < name.size; i++)
        room[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] | 0x20 : name.at[i]);
    room[name.size] = '\0';
    return name.size;
}

static void each_name_of(X509 *certificate, void (*tell)(void *keeper, struct span name), void *keeper) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        char room[NAME_SIZE_MAX + 1];
        const ASN1_STRING *text = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != GEN_DNS)
            continue;
        size_t size = lower(span_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)), room);
        if (size != 0)
            tell(keeper, span_of(room, size));
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

void tls_context_each_name(const struct tls_context *context, void (*tell)(void *keeper, struct span name),
                           void *keeper) {
    for (size_t i = 0; i < context->own_count; i++)
        each_name_of(context->owns[i].certificate, tell, keeper);
}

struct looking {
    struct span name, star;
    bool is_found;
};

static void on_own_name(void *keeper, struct span name) {
    struct looking *looking = keeper;
    looking->is_found |=
        span_is_equal(name, looking->name) || (looking->star.size != 0 && span_is_equal(name, looking->star));
}

static bool is_own_name(const struct tls_context *context, struct span name) {
    char room[NAME_SIZE_MAX + 2];
    struct looking looking = {name, starred(name, room), false};
    if (name.size != 0)
        tls_context_each_name(context, on_own_name, &looking);
    return looking.is_found;
}

/* ---- the ClientHello ---- */

/* The one host_name of the extension (RFC 6066 3); empty when it is missing or odd. */
static size_t offered_name(SSL *ssl, char *room) {
    const unsigned char *at;
    size_t size;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &at, &size) != 1 || size < 5)
        return 0;
    size_t list_size = (size_t)at[0] << 8 | at[1], name_size = (size_t)at[3] << 8 | at[4];
    if (list_size != size - 2 || at[2] != TLSEXT_NAMETYPE_host_name || name_size != size - 5)
        return 0;
    return lower(span_of(at + 5, name_size), room);
}

static int refuse(SSL *ssl, int *alert, int which, enum tls_trouble trouble) {
    struct engine *engine = SSL_get_app_data(ssl);
    engine->doubt = (uint8_t)trouble;
    *alert = which;
    return SSL_CLIENT_HELLO_ERROR;
}

/* SSL_set_SSL_CTX takes certificates, CAs and the session id context along, but not this. */
static bool adopt(struct engine *engine, struct tls_context *context) {
    SSL *ssl = engine->ssl;
    if (SSL_set_SSL_CTX(ssl, context->ssl_ctx) == NULL)
        return false;
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(context->ssl_ctx),
                   SSL_CTX_get_verify_callback(context->ssl_ctx));
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~SSL_CTX_get_options(context->ssl_ctx));
    SSL_set_options(ssl, SSL_CTX_get_options(context->ssl_ctx));
    tls_context_drop(engine->context);
    engine->context = tls_context_keep(context);
    return true;
}

/* Asked once more after a HelloRetryRequest, when the choice is made. */
static int on_client_hello(SSL *ssl, int *alert, void *user) {
    struct engine *engine = SSL_get_app_data(ssl);
    const struct tls_context *listener = engine->listener;
    char room[NAME_SIZE_MAX + 1];
    (void)user;
    if (!alpn_may_come(listener, ssl))
        return refuse(ssl, alert, SSL_AD_NO_APPLICATION_PROTOCOL, TLS_TROUBLE_NO_SHARED_PROTOCOL);
    if (engine->is_chosen || (listener->host_count == 0 && !listener->is_sni_strict))
        return SSL_CLIENT_HELLO_SUCCESS;
    engine->is_chosen = true;
    struct span name = span_of(room, offered_name(ssl, room));
    const struct tls_host *host = find(listener, name);
    if (host == NULL && listener->is_sni_strict && !is_own_name(listener, name))
        return refuse(ssl, alert, SSL_AD_UNRECOGNIZED_NAME, TLS_TROUBLE_UNKNOWN_HOST);
    if (name.size != 0)
        engine->host_name = strndup(room, name.size);
    bool is_good =
        (name.size == 0 || engine->host_name != NULL) && (host == NULL || adopt(engine, host->context));
    return is_good ? SSL_CLIENT_HELLO_SUCCESS
                   : refuse(ssl, alert, SSL_AD_INTERNAL_ERROR, TLS_TROUBLE_OUT_OF_MEMORY);
}

/* That the name was of use is said to the device (RFC 6066 3). */
static int on_name_acknowledged(SSL *ssl, int *alert, void *user) {
    const struct engine *engine = SSL_get_app_data(ssl);
    (void)alert, (void)user;
    return engine->context != engine->listener ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

void choose_use(struct tls_context *context) {
    SSL_CTX_set_client_hello_cb(context->ssl_ctx, on_client_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(context->ssl_ctx, on_name_acknowledged);
}

struct span engine_host_name(const struct engine *engine) {
    return engine->host_name == NULL ? SPAN_NONE : span_of_text(engine->host_name);
}
