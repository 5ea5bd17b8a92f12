/* pair: an OpenSSL client on memory BIOs, talking to an engine of ours. */
#ifndef DRAWBRIDGE_TEST_CRYPTO_PAIR_H
#define DRAWBRIDGE_TEST_CRYPTO_PAIR_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "crypto/engine.h"
#include "unit/crypto/certs.h"

struct client_wish {
    int version;             /* TLS1_2_VERSION, TLS1_3_VERSION; 0: both */
    const struct cert *cert; /* shown to the server */
    const char *ciphers, *groups, *alpn;
    const char *cafile;    /* NULL: trusts everything */
    SSL_SESSION *session;  /* resumed */
    SSL_CTX *ssl_ctx;      /* a context to use instead of a new one; borrowed */
    long options_to_clear; /* of the SSL */
};

struct pair {
    struct engine *server;
    SSL_CTX *ssl_ctx;
    SSL *client;
    BIO *to_client, *from_client;
    size_t step; /* bytes fed at once; 0: everything there is, up to 64 KiB */
    size_t room; /* bytes read at once; 0: 64 KiB */
    uint8_t *got;
    size_t got_size, got_room;
    struct engine_out out;
    size_t sent_size; /* ciphertext of the server, in all */
};

static inline struct pair pair_of(struct tls_context *context, struct client_wish wish) {
    struct pair pair = {.got_room = 4 * 1024 * 1024};
    pair.out.size = ENGINE_OUT_SIZE;
    pair.out.room = malloc(pair.out.size);
    pair.got = malloc(pair.got_room);
    pair.server = engine_expect(context);
    assert_non_null(pair.server);
    pair.ssl_ctx = wish.ssl_ctx != NULL ? wish.ssl_ctx : SSL_CTX_new(TLS_client_method());
    if (wish.ssl_ctx != NULL)
        SSL_CTX_up_ref(wish.ssl_ctx);
    SSL_CTX_set_security_level(pair.ssl_ctx, 0);
    pair.client = SSL_new(pair.ssl_ctx);
    assert_non_null(pair.client);
    if (wish.version != 0) {
        SSL_set_min_proto_version(pair.client, wish.version);
        SSL_set_max_proto_version(pair.client, wish.version);
    }
    if (wish.cert != NULL) {
        assert_int_equal(SSL_use_certificate(pair.client, wish.cert->x509), 1);
        assert_int_equal(SSL_use_PrivateKey(pair.client, wish.cert->key), 1);
    }
    if (wish.ciphers != NULL)
        assert_int_equal(SSL_set_cipher_list(pair.client, wish.ciphers), 1);
    if (wish.groups != NULL) {
        char groups[64]; /* the macro wants it changeable */
        snprintf(groups, sizeof groups, "%s", wish.groups);
        assert_int_equal(SSL_set1_groups_list(pair.client, groups), 1);
    }
    if (wish.alpn != NULL)
        SSL_set_alpn_protos(pair.client, (const unsigned char *)wish.alpn, (unsigned)strlen(wish.alpn));
    if (wish.cafile != NULL) {
        SSL_CTX_load_verify_file(pair.ssl_ctx, wish.cafile);
        SSL_set_verify(pair.client, SSL_VERIFY_PEER, NULL);
    }
    if (wish.session != NULL)
        SSL_set_session(pair.client, wish.session);
    pair.to_client = BIO_new(BIO_s_mem());
    pair.from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(pair.to_client, -1);
    BIO_set_mem_eof_return(pair.from_client, -1);
    SSL_set_bio(pair.client, pair.to_client, pair.from_client);
    SSL_set_connect_state(pair.client);
    return pair;
}

static inline void pair_free(struct pair *pair) {
    engine_destroy(pair->server);
    SSL_free(pair->client);
    SSL_CTX_free(pair->ssl_ctx);
    free(pair->out.room);
    free(pair->got);
    ERR_clear_error();
}

/* Carries what the server said to the client. */
static inline bool pair_deliver(struct pair *pair) {
    bool is_some = pair->out.filled != 0;
    if (is_some)
        assert_int_equal(BIO_write(pair->to_client, pair->out.room, (int)pair->out.filled), pair->out.filled);
    pair->sent_size += pair->out.filled;
    pair->out.filled = 0;
    return is_some;
}

/* Feeds and reads as the link does. The bytes lie in a block of their own, freed at once, so that an engine
 * that remembers them is seen. */
static inline void pair_feed(struct pair *pair, const uint8_t *bytes, size_t size) {
    uint8_t *own = malloc(size);
    if (size != 0)
        memcpy(own, bytes, size);
    engine_feed(pair->server, span_of(own, size), &pair->out);
    pair_deliver(pair);
    size_t count, room = pair->room != 0 ? pair->room : 65536;
    do {
        assert_true(pair->got_size + room <= pair->got_room);
        count = engine_read(pair->server, pair->got + pair->got_size, room, &pair->out);
        pair->got_size += count;
        pair_deliver(pair);
    } while (count > 0);
    free(own);
}

/* Carries everything the client said; false when that was nothing. */
static inline bool pair_carry(struct pair *pair) {
    static uint8_t bytes[65536];
    bool is_some = false;
    for (;;) {
        int count = BIO_read(pair->from_client, bytes,
                             (int)(pair->step != 0 && pair->step < sizeof bytes ? pair->step : sizeof bytes));
        if (count <= 0)
            return is_some;
        is_some = true;
        pair_feed(pair, bytes, (size_t)count);
    }
}

/* Until neither side has more to say. True when both have finished the handshake. */
static inline bool pair_shake(struct pair *pair) {
    for (;;) {
        ERR_clear_error();
        SSL_do_handshake(pair->client);
        bool is_some = pair_carry(pair);
        is_some = pair_deliver(pair) || is_some;
        if (!is_some)
            break;
    }
    char none[1];
    if (SSL_is_init_finished(pair->client)) {
        ERR_clear_error();
        SSL_read(pair->client, none, 0); /* takes in the ticket */
        SSL_peek(pair->client, none, 1);
    }
    return SSL_is_init_finished(pair->client) && engine_state_of(pair->server) == ENGINE_OPEN;
}

#endif
