/* stage: a CA, a server, devices and two listeners, for the tests of the engine. */
#ifndef DRAWBRIDGE_TEST_CRYPTO_STAGE_H
#define DRAWBRIDGE_TEST_CRYPTO_STAGE_H

#include "crypto/inside.h"
#include "unit/crypto/pair.h"

static struct cert ca, server, device, strange_ca;
static struct tls_context *plain, *strict; /* strict requires a certificate and has a CRL */
static struct cert revoked;
static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static inline struct tls_settings settings_of(bool is_strict) {
    struct tls_settings settings = {.file = "gate.conf",
                                    .line = 1,
                                    .certfile = certs_path("server.crt"),
                                    .keyfile = certs_path("server.key"),
                                    .session_context = "8883",
                                    .now_s = time(NULL)};
    if (is_strict) {
        settings.cafile = certs_path("ca.crt");
        settings.crlfiles = paths_of(certs_path("ca.crl"));
        settings.require_certificate = true;
    }
    return settings;
}

static inline struct tls_context *load(const struct tls_settings *settings) {
    struct findings findings;
    findings_init(&findings);
    struct tls_context *context = tls_context_load(settings, &findings);
    for (struct finding *each = findings.first; each != NULL; each = each->next)
        print_error("%s\n", each->text);
    findings_clear(&findings);
    assert_non_null(context);
    return context;
}

/* A short word each way. */
static inline void talk(struct pair *pair) {
    char word[8];
    pair->got_size = 0;
    assert_int_equal(SSL_write(pair->client, "ping", 4), 4);
    pair_carry(pair);
    assert_int_equal(pair->got_size, 4);
    assert_memory_equal(pair->got, "ping", 4);
    assert_int_equal(engine_write(pair->server, SPAN_LITERAL("pong"), &pair->out), 4);
    pair_deliver(pair);
    assert_int_equal(SSL_read(pair->client, word, sizeof word), 4);
    assert_memory_equal(word, "pong", 4);
}

static inline void expect_trouble(struct tls_context *context, struct client_wish wish,
                                  enum tls_trouble trouble) {
    for (size_t i = 0; i < 2; i++) {
        struct client_wish each = wish;
        if (each.version == 0)
            each.version = versions[i];
        struct pair pair = pair_of(context, each);
        assert_false(pair_shake(&pair));
        assert_int_equal(engine_state_of(pair.server), ENGINE_BROKEN);
        if (engine_trouble(pair.server) != trouble)
            fail_msg("%s instead of %s", tls_trouble_name(engine_trouble(pair.server)),
                     tls_trouble_name(trouble));
        assert_false(engine_peer_has_certificate(pair.server));
        /* Final: nothing more is said or taken. */
        assert_int_equal(engine_feed(pair.server, SPAN_LITERAL("\x16\x03\x01"), &pair.out), ENGINE_BROKEN);
        assert_int_equal(engine_write(pair.server, SPAN_LITERAL("x"), &pair.out), 0);
        engine_close(pair.server, &pair.out);
        assert_int_equal(pair.out.filled, 0);
        assert_int_equal(engine_state_of(pair.server), ENGINE_BROKEN);
        assert_int_equal(ERR_peek_error() != 0 && ERR_GET_LIB(ERR_peek_error()) != ERR_LIB_SSL, 0);
        pair_free(&pair);
    }
}

static inline int stage_begin(void **state) {
    (void)state;
    certs_begin();
    ca = cert_make((struct cert_wish){.name = "Test CA", .is_ca = true});
    strange_ca = cert_make((struct cert_wish){.name = "Strange CA", .is_ca = true});
    server = cert_make((struct cert_wish){.name = "localhost", .by = &ca, .alt = "DNS:localhost"});
    device = cert_make((struct cert_wish){.name = "device-1",
                                          .by = &ca,
                                          .unit = "K\xC3\xBC"
                                                  "che, Haus"});
    revoked = cert_make((struct cert_wish){.name = "thief", .by = &ca});
    cert_write("ca.crt", &ca);
    list_write("ca.crl", &ca, revoked.x509, -3600, 30 * CERT_DAY);
    cert_write("server.crt", &server);
    key_write("server.key", &server);
    struct tls_settings settings = settings_of(false);
    plain = load(&settings);
    settings = settings_of(true);
    strict = load(&settings);
    return 0;
}

static inline int stage_finish(void **state) {
    (void)state;
    tls_context_drop(plain);
    tls_context_drop(strict);
    cert_free(&ca);
    cert_free(&strange_ca);
    cert_free(&server);
    cert_free(&device);
    cert_free(&revoked);
    certs_end();
    return 0;
}

#endif
