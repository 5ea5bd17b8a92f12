/* alpn: the protocol that listener and device agree on (RFC 7301). */
#include <stdlib.h>

#include "crypto/inside.h"
#include "crypto/load.h"

#define NAME_MAX_BYTES 255

/* The list as it stands on the wire, each name behind its length. False after a finding. */
bool alpn_load(struct loading *loading, struct tls_context *context) {
    const char *text = loading->settings->alpn == NULL ? "mqtt" : loading->settings->alpn;
    context->is_alpn_strict = loading->settings->alpn_strict;
    context->alpn = malloc(strlen(text) + 1); /* one byte for each blank and one more */
    if (context->alpn == NULL) {
        loading_say(loading, FINDING_ERROR, "memory is out while TLS is set up");
        return false;
    }
    for (const char *at = text; *(at += strspn(at, " ,")) != '\0';) {
        size_t size = strcspn(at, " ,");
        if (size > NAME_MAX_BYTES) {
            loading_say(loading, FINDING_ERROR,
                        "alpn names a protocol of %zu bytes; it may have no more than %d", size,
                        NAME_MAX_BYTES);
            return false;
        }
        context->alpn[context->alpn_size] = (uint8_t)size;
        memcpy(context->alpn + context->alpn_size + 1, at, size);
        context->alpn_size += 1 + size;
        at += size;
    }
    if (context->alpn_size == 0)
        loading_say(loading, FINDING_ERROR, "alpn names no protocol; write alpn mqtt, or remove the line");
    return context->alpn_size != 0;
}

/* The name at the front of a list; `left` goes on behind it. False at the end, and where a length lies. */
static bool next_name(struct span *left, struct span *name) {
    if (left->size == 0 || left->at[0] == 0 || left->at[0] >= left->size)
        return false;
    *name = span_of(left->at + 1, left->at[0]);
    *left = span_after(*left, 1 + name->size);
    return true;
}

/* Ours come first: the listener's order decides. */
static int on_offered(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                      const unsigned char *offered, unsigned offered_size, void *user) {
    const struct tls_context *context = user;
    struct span ours = span_of(context->alpn, context->alpn_size), our, their;
    (void)ssl;
    while (next_name(&ours, &our)) {
        struct span theirs = span_of(offered, offered_size);
        while (next_name(&theirs, &their))
            if (span_is_equal(our, their)) {
                *chosen = their.at;
                *chosen_size = (unsigned char)their.size;
                return SSL_TLSEXT_ERR_OK;
            }
    }
    return context->is_alpn_strict ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

void alpn_use(struct tls_context *context) {
    SSL_CTX_set_alpn_select_cb(context->ssl_ctx, on_offered, context);
}

/* OpenSSL does not ask about a device that offers nothing. */
bool alpn_may_come(const struct tls_context *context, SSL *ssl) {
    const unsigned char *list;
    size_t size;
    return !context->is_alpn_strict ||
           SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &list, &size) ==
               1;
}

struct span engine_protocol(const struct engine *engine) {
    const unsigned char *name;
    unsigned size;
    SSL_get0_alpn_selected(engine->ssl, &name, &size);
    return span_of(name == NULL ? (const unsigned char *)"" : name, size);
}
