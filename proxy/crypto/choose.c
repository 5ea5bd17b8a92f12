/* choose: what a ClientHello decides before anything else is said: is the device taken at all. */
#include "crypto/inside.h"

static int refuse(SSL *ssl, int *alert, int which, enum tls_trouble trouble) {
    struct engine *engine = SSL_get_app_data(ssl);
    engine->doubt = (uint8_t)trouble;
    *alert = which;
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_client_hello(SSL *ssl, int *alert, void *user) {
    const struct tls_context *context = user;
    if (!alpn_may_come(context, ssl))
        return refuse(ssl, alert, SSL_AD_NO_APPLICATION_PROTOCOL, TLS_TROUBLE_NO_SHARED_PROTOCOL);
    return SSL_CLIENT_HELLO_SUCCESS;
}

void choose_use(struct tls_context *context) {
    SSL_CTX_set_client_hello_cb(context->ssl_ctx, on_client_hello, context);
}
