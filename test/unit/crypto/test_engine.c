/* engine: against an OpenSSL client, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/inside.h"
#include "unit/crypto/pair.h"

#define MIB (1024 * 1024)

static struct cert ca, server, device, strange_ca;
static struct tls_context *plain, *strict; /* strict requires a certificate and has a CRL */
static struct cert revoked;
static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct tls_settings settings_of(bool is_strict) {
    struct tls_settings settings = {.file = "gate.conf",
                                    .line = 1,
                                    .certfile = certs_path("server.crt"),
                                    .keyfile = certs_path("server.key"),
                                    .session_context = "8883",
                                    .now_s = time(NULL)};
    if (is_strict) {
        settings.cafile = certs_path("ca.crt");
        settings.crlfile = certs_path("ca.crl");
        settings.require_certificate = true;
    }
    return settings;
}

static struct tls_context *load(const struct tls_settings *settings) {
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
static void talk(struct pair *pair) {
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

static void expect_trouble(struct tls_context *context, struct client_wish wish, enum tls_trouble trouble) {
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

static void both_versions(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair =
            pair_of(plain, (struct client_wish){.version = versions[i], .cafile = certs_path("ca.crt")});
        assert_int_equal(engine_state_of(pair.server), ENGINE_SHAKING);
        assert_true(pair_shake(&pair));
        assert_string_equal(engine_version(pair.server), i == 0 ? "TLSv1.2" : "TLSv1.3");
        assert_string_equal(engine_cipher(pair.server),
                            i == 0 ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256");
        assert_false(engine_is_resumed(pair.server));
        assert_false(engine_peer_has_certificate(pair.server));
        assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_NONE);
        assert_int_equal(SSL_get_negotiated_group(pair.client), NID_X25519);
        talk(&pair);
        pair_free(&pair);
    }
}

static void byte_by_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pair pair = pair_of(i < 2 ? plain : strict,
                                   (struct client_wish){.version = versions[i % 2], .cert = &device});
        pair.step = 1;
        pair.room = 1;
        assert_true(pair_shake(&pair));
        talk(&pair);
        pair_free(&pair);
    }
}

/* Every size of room must give the same bytes. */
static void a_mebibyte_each_way(void **state) {
    (void)state;
    static const size_t steps[] = {0, 1400, 16384, 65536}, rooms[] = {0, 100, 16384, 3};
    uint8_t *big = malloc(MIB), *back = malloc(MIB);
    for (size_t i = 0; i < MIB; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t i = 0; i < 8; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i % 2]});
        pair.step = steps[i / 2];
        pair.room = rooms[i / 2];
        assert_true(pair_shake(&pair));
        assert_int_equal(SSL_write(pair.client, big, MIB), MIB);
        pair_carry(&pair);
        assert_int_equal(pair.got_size, MIB);
        assert_memory_equal(pair.got, big, MIB);
        size_t sent = 0, received = 0, turns = 0;
        while (received < MIB) {
            size_t taken = engine_write(pair.server, span_of(big + sent, MIB - sent), &pair.out);
            assert_true(taken >= ENGINE_WRITE_MAX || sent + taken == MIB);
            assert_true(pair.out.filled <= pair.out.size);
            sent += taken;
            turns++;
            pair_deliver(&pair);
            int count;
            while (received < MIB &&
                   (count = SSL_read(pair.client, back + received, (int)(MIB - received))) > 0)
                received += (size_t)count;
        }
        assert_true(turns <= 16); /* as many records as fit at once */
        assert_memory_equal(back, big, MIB);
        pair_free(&pair);
    }
    free(big);
    free(back);
}

static size_t little_step(size_t room) {
    return room < 2000                          ? 37
           : room >= 16384 && room < 16420      ? 1
           : room < 16384 && room + 511 > 16384 ? 16384 - room
                                                : 511;
}

/* Room of every size around one record: nothing is written beyond, nothing is lost. */
static void little_room_to_write(void **state) {
    (void)state;
    uint8_t *big = calloc(1, 65536), *guard = malloc(ENGINE_OUT_SIZE + 64);
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        size_t taken_sum = 0, got_sum = 0;
        for (size_t room = 0; room < 40000; room += little_step(room)) {
            memset(guard, 0xA5, ENGINE_OUT_SIZE + 64);
            struct engine_out out = {guard, ENGINE_OUT_SIZE, ENGINE_OUT_SIZE - room};
            size_t taken = engine_write(pair.server, span_of(big, 65536), &out);
            assert_int_equal(engine_state_of(pair.server), ENGINE_OPEN);
            assert_true(out.filled <= out.size && taken <= room);
            for (size_t k = 0; k < 64; k++)
                assert_int_equal(guard[ENGINE_OUT_SIZE + k], 0xA5);
            size_t start = ENGINE_OUT_SIZE - room;
            assert_true(taken != 0 || out.filled == start);
            if (out.filled != start)
                BIO_write(pair.to_client, guard + start, (int)(out.filled - start));
            taken_sum += taken;
        }
        int count;
        while ((count = SSL_read(pair.client, guard, 65536)) > 0)
            got_sum += (size_t)count;
        assert_int_equal(got_sum, taken_sum);
        assert_true(taken_sum > 100000);
        pair_free(&pair);
    }
    free(big);
    free(guard);
}

/* Room that cannot take what must be said ends the engine, whatever it was doing. */
static void no_room_to_answer(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_3_VERSION});
    SSL_do_handshake(pair.client);
    pair.out.filled = pair.out.size - 10;
    uint8_t hello[4096];
    int size = BIO_read(pair.from_client, hello, sizeof hello);
    assert_int_equal(engine_feed(pair.server, span_of(hello, (size_t)size), &pair.out), ENGINE_BROKEN);
    assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_FLOOD);
    assert_true(pair.out.filled <= pair.out.size);
    pair.out.filled = 0;
    pair_free(&pair);
}

static SSL_SESSION *kept;
static int on_session(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static SSL_CTX *resuming_client(void) {
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl_ctx, on_session);
    return ssl_ctx;
}

/* Shakes with the kept session (if any); true when it was resumed. */
static bool is_resumed(struct tls_context *context, SSL_CTX *ssl_ctx, int version, const struct cert *cert) {
    SSL_SESSION *session = kept == NULL ? NULL : SSL_SESSION_dup(kept);
    struct pair pair = pair_of(
        context,
        (struct client_wish){.version = version, .ssl_ctx = ssl_ctx, .cert = cert, .session = session});
    assert_true(pair_shake(&pair));
    talk(&pair);
    bool result = engine_is_resumed(pair.server);
    assert_int_equal(result, SSL_session_reused(pair.client));
    assert_int_equal(engine_peer_has_certificate(pair.server), cert != NULL && context != plain);
    if (context != plain && cert != NULL) {
        char name[64];
        size_t size;
        assert_true(engine_peer_common_name(pair.server, name, sizeof name, &size));
        assert_string_equal(name, "device-1");
    }
    SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else the session is spoilt */
    pair_free(&pair);
    SSL_SESSION_free(session);
    return result;
}

static void forget_session(void) {
    SSL_SESSION_free(kept);
    kept = NULL;
}

static void tickets_resume(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        SSL_CTX *ssl_ctx = resuming_client();
        struct tls_context *context = i < 2 ? plain : strict;
        const struct cert *cert = i < 2 ? NULL : &device;
        assert_false(is_resumed(context, ssl_ctx, versions[i % 2], cert));
        assert_non_null(kept);
        assert_true(is_resumed(context, ssl_ctx, versions[i % 2], cert));
        assert_true(is_resumed(context, ssl_ctx, versions[i % 2], cert));
        forget_session();
        SSL_CTX_free(ssl_ctx);
    }
}

/* One ticket for each handshake, no more. */
static int session_count;
static int on_session_counted(SSL *ssl, SSL_SESSION *session) {
    (void)ssl, (void)session;
    session_count++;
    return 0;
}

static void one_ticket_each(void **state) {
    (void)state;
    SSL_CTX *ssl_ctx = resuming_client();
    SSL_CTX_sess_set_new_cb(ssl_ctx, on_session_counted);
    session_count = 0;
    is_resumed(plain, ssl_ctx, TLS1_3_VERSION, NULL);
    assert_int_equal(session_count, 1);
    SSL_CTX_free(ssl_ctx);
}

static void share_ticket_keys(struct tls_context *with) {
    unsigned char keys[80];
    assert_int_equal(SSL_CTX_get_tlsext_ticket_keys(plain->ssl_ctx, keys, sizeof keys), 1);
    assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(with->ssl_ctx, keys, sizeof keys), 1);
}

/* All contexts get the same ticket keys here, so that only the binding can tell them apart. */
static void tickets_stay_with_their_listener(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(false);
    struct tls_context *same = load(&settings);
    settings.session_context = "8884";
    struct tls_context *elsewhere = load(&settings);
    settings = settings_of(true);
    struct tls_context *demanding = load(&settings);
    settings.crlfile = list_write("newer.crl", &ca, NULL, -60, 30 * CERT_DAY);
    struct tls_context *relisted = load(&settings);
    settings.crlfile = certs_path("ca.crl");
    settings.disable_client_cert_date_checks = true;
    struct tls_context *lenient = load(&settings);
    share_ticket_keys(lenient);
    share_ticket_keys(same);
    share_ticket_keys(elsewhere);
    share_ticket_keys(demanding);
    share_ticket_keys(relisted);
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *ssl_ctx = resuming_client();
        assert_false(is_resumed(plain, ssl_ctx, versions[i], NULL));
        assert_true(is_resumed(same, ssl_ctx, versions[i], NULL)); /* the keys are shared indeed */
        assert_false(is_resumed(elsewhere, ssl_ctx, versions[i], NULL));
        forget_session();
        assert_false(is_resumed(plain, ssl_ctx, versions[i], NULL));
        assert_false(is_resumed(demanding, ssl_ctx, versions[i], &device));
        assert_true(is_resumed(demanding, ssl_ctx, versions[i], &device));
        assert_false(is_resumed(relisted, ssl_ctx, versions[i], &device));
        forget_session();
        assert_false(is_resumed(lenient, ssl_ctx, versions[i], &device));
        assert_false(is_resumed(demanding, ssl_ctx, versions[i], &device));
        forget_session();
        SSL_CTX_free(ssl_ctx);
    }
    tls_context_drop(same);
    tls_context_drop(elsewhere);
    tls_context_drop(demanding);
    tls_context_drop(relisted);
    tls_context_drop(lenient);
}

/* A certificate that has ended when its ticket comes back. One context that does not look at dates gives the
 * ticket; all that binds it is made equal, so that only the date can refuse it. */
static void tickets_end_with_the_certificate(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    struct tls_context *strict_twin = load(&settings);
    settings.disable_client_cert_date_checks = true;
    struct tls_context *lenient = load(&settings);
    struct tls_context *contexts[] = {strict_twin, lenient};
    for (size_t i = 0; i < 2; i++) {
        share_ticket_keys(contexts[i]);
        SSL_CTX_set_session_id_context(contexts[i]->ssl_ctx, (const unsigned char *)"equal", 5);
    }
    struct cert old = cert_make((struct cert_wish){.name = "device-1", .by = &ca, .until_s = -60});
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *ssl_ctx = resuming_client();
        assert_false(is_resumed(lenient, ssl_ctx, versions[i], &device));
        assert_true(is_resumed(strict_twin, ssl_ctx, versions[i], &device));
        forget_session();
        assert_false(is_resumed(lenient, ssl_ctx, versions[i], &old));
        assert_true(is_resumed(lenient, ssl_ctx, versions[i], &old));
        assert_false(
            is_resumed(strict_twin, ssl_ctx, versions[i], &device)); /* a full one, with a newer one */
        forget_session();
        SSL_CTX_free(ssl_ctx);
    }
    cert_free(&old);
    tls_context_drop(strict_twin);
    tls_context_drop(lenient);
}

static void certificates_of_devices(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(strict, (struct client_wish){.version = versions[i], .cert = &device});
        assert_true(pair_shake(&pair));
        char text[200];
        size_t size;
        assert_true(engine_peer_has_certificate(pair.server));
        assert_true(engine_peer_common_name(pair.server, text, sizeof text, &size));
        assert_string_equal(text, "device-1");
        assert_int_equal(size, 8);
        assert_true(engine_peer_subject(pair.server, text, sizeof text, &size));
        assert_string_equal(text, "OU=K\\C3\\BCche\\, Haus,CN=device-1");
        assert_int_equal(size, strlen(text));
        assert_true(engine_peer_common_name(pair.server, text, 9, &size));
        assert_false(engine_peer_common_name(pair.server, text, 8, &size));
        assert_false(engine_peer_subject(pair.server, text, 0, &size));
        talk(&pair);
        pair_free(&pair);
    }
}

/* A listener that requires none asks for none and believes none. */
static void certificates_nobody_asked_for(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.cert = &device});
    assert_true(pair_shake(&pair));
    char text[20];
    size_t size;
    assert_false(engine_peer_has_certificate(pair.server));
    assert_false(engine_peer_common_name(pair.server, text, sizeof text, &size));
    assert_false(engine_peer_subject(pair.server, text, sizeof text, &size));
    pair_free(&pair);
}

static void expect_certificate(struct cert_wish wish, enum tls_trouble trouble) {
    struct cert cert = cert_make(wish);
    expect_trouble(strict, (struct client_wish){.cert = &cert}, trouble);
    cert_free(&cert);
}

static void certificates_that_are_refused(void **state) {
    (void)state;
    expect_trouble(strict, (struct client_wish){0}, TLS_TROUBLE_CERTIFICATE_MISSING);
    expect_trouble(strict, (struct client_wish){.cert = &revoked}, TLS_TROUBLE_CERTIFICATE_REVOKED);
    expect_certificate((struct cert_wish){.name = "x", .by = &strange_ca}, TLS_TROUBLE_UNKNOWN_CA);
    expect_certificate((struct cert_wish){.name = "x"}, TLS_TROUBLE_UNKNOWN_CA);
    expect_certificate((struct cert_wish){.name = "x", .by = &ca, .from_s = -99 * CERT_DAY, .until_s = -9},
                       TLS_TROUBLE_CERTIFICATE_EXPIRED);
    expect_certificate((struct cert_wish){.name = "x", .by = &ca, .from_s = 99},
                       TLS_TROUBLE_CERTIFICATE_NOT_YET_VALID);
    expect_certificate((struct cert_wish){.name = "x", .by = &ca, .usage = "serverAuth"},
                       TLS_TROUBLE_CERTIFICATE_WRONG_PURPOSE);
    struct cert twin = cert_make((struct cert_wish){.name = "Test CA", .is_ca = true});
    expect_certificate((struct cert_wish){.name = "x", .by = &twin}, TLS_TROUBLE_CERTIFICATE_BAD);
    cert_free(&twin);
}

static void names_that_are_refused(void **state) {
    (void)state;
    char text[200];
    size_t size;
    struct cert cert =
        cert_make((struct cert_wish){.name = "admin\0.evil", .name_size = 11, .by = &ca, .unit = "x"});
    struct pair pair = pair_of(strict, (struct client_wish){.cert = &cert});
    assert_true(pair_shake(&pair));
    assert_true(engine_peer_has_certificate(pair.server));
    assert_false(engine_peer_common_name(pair.server, text, sizeof text, &size));
    assert_true(engine_peer_subject(pair.server, text, sizeof text, &size));
    assert_string_equal(text, "OU=x,CN=admin\\00.evil");
    pair_free(&pair);
    cert_free(&cert);
    cert = cert_make((struct cert_wish){.is_nameless = true, .by = &ca, .unit = "x"});
    pair = pair_of(strict, (struct client_wish){.cert = &cert});
    assert_true(pair_shake(&pair));
    assert_false(engine_peer_common_name(pair.server, text, sizeof text, &size));
    pair_free(&pair);
    cert_free(&cert);
}

/* Without a list of its CA no certificate is accepted, and an empty list accepts. */
static void lists_fail_closed(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    struct cert second = cert_make((struct cert_wish){.name = "Second CA", .is_ca = true});
    const X509 *both[] = {ca.x509, second.x509};
    settings.cafile = certs_write("both.crt", both, 2);
    struct tls_context *context = load(&settings);
    struct cert cert = cert_make((struct cert_wish){.name = "x", .by = &second});
    expect_trouble(context, (struct client_wish){.cert = &cert}, TLS_TROUBLE_CERTIFICATE_WITHOUT_CRL);
    tls_context_drop(context);
    /* A list that ends while we run. */
    settings.crlfile = list_write("brief.crl", &ca, NULL, -CERT_DAY, -60);
    settings.cafile = certs_path("ca.crt");
    settings.now_s -= 3600;
    settings.now_s += 60; /* within the list's time for the loader, past it for the handshake */
    struct findings findings;
    findings_init(&findings);
    context = tls_context_load(&settings, &findings);
    findings_clear(&findings);
    assert_non_null(context);
    expect_trouble(context, (struct client_wish){.cert = &device}, TLS_TROUBLE_CRL_EXPIRED);
    tls_context_drop(context);
    cert_free(&cert);
    cert_free(&second);
}

static void dates_may_be_ignored(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    settings.disable_client_cert_date_checks = true;
    struct tls_context *context = load(&settings);
    struct cert_wish wishes[] = {
        {.name = "old", .by = &ca, .from_s = -99 * CERT_DAY, .until_s = -9},
        {.name = "new", .by = &ca, .from_s = 9 * CERT_DAY},
    };
    for (size_t i = 0; i < 4; i++) {
        struct cert cert = cert_make(wishes[i / 2]);
        struct pair pair = pair_of(context, (struct client_wish){.version = versions[i % 2], .cert = &cert});
        assert_true(pair_shake(&pair));
        assert_true(engine_peer_has_certificate(pair.server));
        pair_free(&pair);
        cert_free(&cert);
    }
    struct cert cert =
        cert_make((struct cert_wish){.name = "x", .by = &strange_ca, .until_s = -9, .from_s = -99});
    expect_trouble(context, (struct client_wish){.cert = &cert}, TLS_TROUBLE_UNKNOWN_CA);
    expect_trouble(context, (struct client_wish){.cert = &revoked}, TLS_TROUBLE_CERTIFICATE_REVOKED);
    expect_trouble(context, (struct client_wish){0}, TLS_TROUBLE_CERTIFICATE_MISSING);
    cert_free(&cert);
    tls_context_drop(context);
    /* The CA's own end is not forgiven. */
    struct cert old_ca = cert_make(
        (struct cert_wish){.name = "Old CA", .is_ca = true, .from_s = -99 * CERT_DAY, .until_s = -60});
    settings.cafile = cert_write("old.crt", &old_ca);
    settings.crlfile = NULL;
    struct findings findings;
    findings_init(&findings);
    context = tls_context_load(&settings, &findings);
    findings_clear(&findings);
    assert_non_null(context); /* with a warning only */
    cert = cert_make((struct cert_wish){.name = "x", .by = &old_ca});
    expect_trouble(context, (struct client_wish){.cert = &cert}, TLS_TROUBLE_CERTIFICATE_EXPIRED);
    cert_free(&cert);
    cert_free(&old_ca);
    tls_context_drop(context);
}

/* As with mosquitto, a CA between the root and the server may stand in cafile; a client that has the root
 * only is satisfied, and the root itself is not sent. */
static void the_chain_is_completed(void **state) {
    (void)state;
    struct cert middle = cert_make((struct cert_wish){.name = "middle", .is_ca = true, .by = &ca});
    struct cert leaf = cert_make((struct cert_wish){.name = "leaf", .alt = "DNS:leaf", .by = &middle});
    struct tls_settings settings = settings_of(false);
    const X509 *authorities[] = {ca.x509, middle.x509};
    settings.certfile = cert_write("leaf.crt", &leaf);
    settings.keyfile = key_write("leaf.key", &leaf);
    settings.cafile = certs_write("both.crt", authorities, 2);
    struct tls_context *context = load(&settings);
    for (size_t i = 0; i < 2; i++) {
        struct pair pair =
            pair_of(context, (struct client_wish){.version = versions[i], .cafile = certs_path("ca.crt")});
        assert_true(pair_shake(&pair));
        assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(pair.client)), 2);
        talk(&pair);
        pair_free(&pair);
    }
    tls_context_drop(context);
    cert_free(&middle);
    cert_free(&leaf);
}

/* A suite without certificates would be the way around require_certificate. */
static void no_way_around_the_certificate(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    settings.ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    struct tls_context *context = load(&settings);
    expect_trouble(context, (struct client_wish){.version = TLS1_2_VERSION, .ciphers = "aNULL:@SECLEVEL=0"},
                   TLS_TROUBLE_NO_SHARED_CIPHER);
    expect_trouble(context, (struct client_wish){.version = TLS1_2_VERSION, .ciphers = "eNULL:@SECLEVEL=0"},
                   TLS_TROUBLE_NO_SHARED_CIPHER);
    tls_context_drop(context);
}

static void nothing_in_common(void **state) {
    (void)state;
    expect_trouble(plain, (struct client_wish){.version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"},
                   TLS_TROUBLE_UNSUPPORTED_VERSION);
    expect_trouble(plain,
                   (struct client_wish){.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES256-SHA"},
                   TLS_TROUBLE_NO_SHARED_CIPHER);
    expect_trouble(plain,
                   (struct client_wish){.version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"},
                   TLS_TROUBLE_NO_SHARED_CIPHER); /* our key is ECDSA */
    expect_trouble(plain, (struct client_wish){.version = TLS1_3_VERSION, .groups = "X448"},
                   TLS_TROUBLE_NO_SHARED_GROUP);
    struct tls_settings settings = settings_of(false);
    settings.tls_version = "tlsv1.3";
    struct tls_context *context = load(&settings);
    expect_trouble(context, (struct client_wish){.version = TLS1_2_VERSION}, TLS_TROUBLE_UNSUPPORTED_VERSION);
    tls_context_drop(context);
}

/* The device's alert comes back, and ours reaches the device. */
static void alerts_of_both_sides(void **state) {
    (void)state;
    cert_write("strange.crt", &strange_ca);
    expect_trouble(plain, (struct client_wish){.cafile = certs_path("strange.crt")},
                   TLS_TROUBLE_DEVICE_DISTRUSTS_US);
    struct pair pair =
        pair_of(plain, (struct client_wish){.version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"});
    assert_false(pair_shake(&pair));
    assert_int_equal(pair.sent_size, 7);
    pair_free(&pair);
    pair = pair_of(strict, (struct client_wish){.version = TLS1_2_VERSION});
    assert_false(pair_shake(&pair));
    assert_int_equal(SSL_get_shutdown(pair.client), SSL_RECEIVED_SHUTDOWN); /* a fatal alert */
    pair_free(&pair);
}

static void application_protocols(void **state) {
    (void)state;
    static const struct {
        const char *offer, *chosen;
    } samples[] = {
        {"\4mqtt", "mqtt"}, {"\2h2\10http/1.1\4mqtt", "mqtt"}, {"\2h2", ""}, {"\5mqttx", ""}, {"\4mqtx", ""}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.alpn = samples[i].offer});
        assert_true(pair_shake(&pair));
        const unsigned char *chosen = NULL;
        unsigned size = 0;
        SSL_get0_alpn_selected(pair.client, &chosen, &size);
        assert_true(span_is_text(span_of(chosen, size), samples[i].chosen));
        pair_free(&pair);
    }
}

static void both_sides_say_goodbye(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        char none[8];
        /* The device first, right behind its last bytes. */
        SSL_write(pair.client, "bye", 3);
        SSL_shutdown(pair.client);
        pair_carry(&pair);
        assert_int_equal(pair.got_size, 3);
        assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
        assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_NONE);
        assert_int_equal(engine_write(pair.server, SPAN_LITERAL("x"), &pair.out), 0);
        engine_close(pair.server, &pair.out);
        assert_true(pair.out.filled > 0);
        pair_deliver(&pair);
        assert_int_equal(SSL_read(pair.client, none, sizeof none), 0);
        assert_int_equal(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
        pair_free(&pair);
        /* We first, and once only. */
        pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        engine_close(pair.server, &pair.out);
        assert_true(pair_deliver(&pair));
        engine_close(pair.server, &pair.out);
        assert_false(pair_deliver(&pair));
        assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
        assert_int_equal(SSL_read(pair.client, none, sizeof none), 0);
        SSL_shutdown(pair.client);
        pair_carry(&pair);
        assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
        pair_free(&pair);
    }
    /* In the handshake there is nobody to say it to. */
    struct pair pair = pair_of(plain, (struct client_wish){0});
    engine_close(pair.server, &pair.out);
    assert_int_equal(pair.out.filled, 0);
    assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
    pair_free(&pair);
}

static void what_is_not_tls(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum tls_trouble trouble;
    } samples[] = {
        {"\x10\x0F\0\4MQTT\4\2\0\x3C\0\3abc", 17, TLS_TROUBLE_PLAIN_MQTT},
        {"GET /mqtt HTTP/1.1\r\n", 20, TLS_TROUBLE_PLAIN_HTTP},
        {"POST", 4, TLS_TROUBLE_PLAIN_HTTP},
        {"PRI * HTTP/2.0", 14, TLS_TROUBLE_PLAIN_HTTP},
        {"PROXY TCP4 ", 11, TLS_TROUBLE_PLAIN_PROXY},
        {"\r\n\r\n\0\r\nQUIT\n", 12, TLS_TROUBLE_PLAIN_PROXY},
        {"GOT ", 4, TLS_TROUBLE_NOT_TLS},
        {"hello", 5, TLS_TROUBLE_NOT_TLS},
        {"\0", 1, TLS_TROUBLE_NOT_TLS},
        {"\x80\x2E\1\3\1", 5, TLS_TROUBLE_UNSUPPORTED_VERSION},
        {"\xFF\xFF\xFF\xFF", 4, TLS_TROUBLE_NOT_TLS},
        {"\x16\2", 2, TLS_TROUBLE_NOT_TLS},
        {"\x16\3\1\0\3\1\0\0\0", 9, TLS_TROUBLE_NOT_TLS},
        {"\x16\3\1\2\0\2\0\1\xFC", 9, TLS_TROUBLE_NOT_TLS},
        {"\x16\3\1\x40\0\1\0\x40\1", 9, TLS_TROUBLE_HELLO_TOO_BIG},
        {"\x16\3\1\x40\0\1\xFF\xFF\xFF", 9, TLS_TROUBLE_HELLO_TOO_BIG},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t step = 1; step <= samples[i].size;
             step += samples[i].size > 1 ? samples[i].size - 1 : 1) {
            struct pair pair = pair_of(plain, (struct client_wish){0});
            for (size_t at = 0; at < samples[i].size; at += step)
                pair_feed(&pair, (const uint8_t *)samples[i].bytes + at,
                          samples[i].size - at < step ? samples[i].size - at : step);
            assert_int_equal(engine_state_of(pair.server), ENGINE_BROKEN);
            if (engine_trouble(pair.server) != samples[i].trouble)
                fail_msg("sample %zu: %s", i, tls_trouble_name(engine_trouble(pair.server)));
            assert_int_equal(pair.sent_size, 0);
            pair_free(&pair);
        }
}

/* The whole of what a client says in a handshake, to be cut and bent. */
static size_t record_flight(struct tls_context *context, int version, uint8_t *flight, size_t flight_room) {
    struct pair pair = pair_of(context, (struct client_wish){.version = version, .cert = &device});
    size_t size = 0;
    for (bool is_some = true; is_some;) {
        is_some = false;
        SSL_do_handshake(pair.client);
        int count = BIO_read(pair.from_client, flight + size, (int)(flight_room - size));
        if (count > 0) {
            pair_feed(&pair, flight + size, (size_t)count);
            size += (size_t)count;
            is_some = true;
        }
    }
    assert_int_equal(engine_state_of(pair.server), ENGINE_OPEN);
    pair_free(&pair);
    return size;
}

/* Cut after every byte and destroyed there: no leak (LeakSanitizer looks), no stale pointer. */
static void cut_and_destroyed_anywhere(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t flight[8192];
        size_t size = record_flight(strict, versions[i], flight, sizeof flight);
        for (size_t cut = 0; cut < size; cut += cut < 700 ? 1 : 7) {
            struct pair pair = pair_of(strict, (struct client_wish){.version = versions[i], .cert = &device});
            size_t said = 0;
            while (said < cut) {
                SSL_do_handshake(pair.client);
                int count = BIO_read(pair.from_client, flight, (int)(cut - said));
                if (count <= 0)
                    break;
                said += (size_t)count;
                pair_feed(&pair, flight, (size_t)count);
            }
            assert_int_equal(engine_state_of(pair.server), SSL_is_init_finished(pair.client) && said >= size
                                                               ? ENGINE_OPEN
                                                               : engine_state_of(pair.server));
            assert_int_not_equal(engine_state_of(pair.server), ENGINE_BROKEN);
            if (cut % 3 == 0)
                engine_close(pair.server, &pair.out);
            pair_free(&pair);
        }
    }
    engine_destroy(NULL);
}

/* One byte of the client's first flight turned over: never open with a wrong transcript, never a crash. */
static void bent_anywhere(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t hello[4096];
        struct pair first = pair_of(plain, (struct client_wish){.version = versions[i]});
        SSL_do_handshake(first.client);
        int size = BIO_read(first.from_client, hello, sizeof hello);
        pair_free(&first);
        for (int at = 0; at < size; at++) {
            struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
            SSL_do_handshake(pair.client);
            assert_int_equal(BIO_read(pair.from_client, hello, sizeof hello), size);
            hello[at] ^= 0x41;
            pair_feed(&pair, hello, (size_t)size);
            bool is_open = pair_shake(&pair);
            assert_true(!is_open || at == 2); /* the record version is ignored by RFC 8446 5.1 */
            pair_free(&pair);
        }
    }
}

static void records_that_were_changed(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        uint8_t record[200];
        SSL_write(pair.client, "good", 4);
        SSL_write(pair.client, "evil", 4);
        int size = BIO_read(pair.from_client, record, sizeof record);
        record[size - 1] ^= 1;
        pair_feed(&pair, record, (size_t)size);
        assert_int_equal(pair.got_size, 4); /* what came before counts */
        assert_int_equal(engine_state_of(pair.server), ENGINE_BROKEN);
        assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_BAD_RECORD);
        assert_true(pair.sent_size > 0);
        pair_free(&pair);
    }
}

static void renegotiation_is_refused(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_2_VERSION});
    assert_true(pair_shake(&pair));
    size_t before = pair.sent_size;
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    SSL_do_handshake(pair.client);
    pair_carry(&pair);
    assert_in_range(pair.sent_size - before, 1, 40); /* an alert, no ServerHello */
    assert_int_not_equal(engine_state_of(pair.server), ENGINE_BROKEN);
    pair_free(&pair);
}

static void keys_are_updated(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_3_VERSION});
    assert_true(pair_shake(&pair));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        talk(&pair);
    }
    pair_free(&pair);
}

/* Each request is answered: 64 KiB of them must fit into the room that is lent. */
static void a_flood_of_key_updates(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_3_VERSION});
    assert_true(pair_shake(&pair));
    for (int i = 0; i < 2400; i++) {
        SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(pair.client);
    }
    size_t before = pair.sent_size;
    pair_carry(&pair);
    assert_int_equal(engine_state_of(pair.server), ENGINE_OPEN);
    assert_true(pair.sent_size - before > 64000);
    talk(&pair);
    pair_free(&pair);
}

/* What was fed and not read cannot be kept: it was lent. */
static void unread_bytes_end_the_engine(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){0});
    assert_true(pair_shake(&pair));
    uint8_t record[200];
    SSL_write(pair.client, "one", 3);
    int size = BIO_read(pair.from_client, record, sizeof record);
    assert_int_equal(engine_feed(pair.server, span_of(record, (size_t)size), &pair.out), ENGINE_OPEN);
    assert_int_equal(engine_feed(pair.server, span_of(record, (size_t)size), &pair.out), ENGINE_BROKEN);
    pair_free(&pair);
}

/* An error of one connection is not found by another. */
static void errors_stay_at_home(void **state) {
    (void)state;
    struct pair good = pair_of(plain, (struct client_wish){0});
    assert_true(pair_shake(&good));
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    uint8_t room[8];
    assert_int_equal(engine_read(good.server, room, sizeof room, &good.out), 0);
    assert_int_equal(engine_state_of(good.server), ENGINE_OPEN);
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    assert_int_equal(engine_write(good.server, SPAN_LITERAL("x"), &good.out), 1);
    pair_deliver(&good);
    assert_int_equal(SSL_read(good.client, room, sizeof room), 1);
    ERR_clear_error();
    struct pair bad = pair_of(plain, (struct client_wish){0});
    SSL_do_handshake(bad.client);
    uint8_t hello[4096];
    int size = BIO_read(bad.from_client, hello, sizeof hello);
    hello[9] = 0; /* the version in the ClientHello */
    engine_feed(bad.server, span_of(hello, (size_t)size), &bad.out);
    assert_int_equal(engine_state_of(bad.server), ENGINE_BROKEN);
    assert_int_equal(ERR_peek_error(), 0);
    bad.out.filled = 0;
    pair_free(&bad);
    talk(&good);
    pair_free(&good);
}

static void troubles_have_names(void **state) {
    (void)state;
    assert_string_equal(tls_trouble_name(TLS_TROUBLE_NONE), "none");
    assert_string_equal(tls_trouble_name(TLS_TROUBLE_NO_SHARED_CIPHER), "no_shared_cipher");
    for (int i = 0; i < TLS_TROUBLE_COUNT; i++) {
        const char *name = tls_trouble_name((enum tls_trouble)i);
        assert_in_range(strlen(name), 3, 30);
        for (; *name != '\0'; name++)
            assert_true((*name >= 'a' && *name <= 'z') || *name == '_');
        assert_true(strlen(tls_trouble_sentence((enum tls_trouble)i)) > 5);
    }
}

static int begin(void **state) {
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

static int finish(void **state) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(a_mebibyte_each_way),
        cmocka_unit_test(little_room_to_write),
        cmocka_unit_test(no_room_to_answer),
        cmocka_unit_test(tickets_resume),
        cmocka_unit_test(one_ticket_each),
        cmocka_unit_test(tickets_stay_with_their_listener),
        cmocka_unit_test(tickets_end_with_the_certificate),
        cmocka_unit_test(certificates_of_devices),
        cmocka_unit_test(certificates_nobody_asked_for),
        cmocka_unit_test(certificates_that_are_refused),
        cmocka_unit_test(names_that_are_refused),
        cmocka_unit_test(lists_fail_closed),
        cmocka_unit_test(dates_may_be_ignored),
        cmocka_unit_test(the_chain_is_completed),
        cmocka_unit_test(no_way_around_the_certificate),
        cmocka_unit_test(nothing_in_common),
        cmocka_unit_test(alerts_of_both_sides),
        cmocka_unit_test(application_protocols),
        cmocka_unit_test(both_sides_say_goodbye),
        cmocka_unit_test(what_is_not_tls),
        cmocka_unit_test(cut_and_destroyed_anywhere),
        cmocka_unit_test(bent_anywhere),
        cmocka_unit_test(records_that_were_changed),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_are_updated),
        cmocka_unit_test(a_flood_of_key_updates),
        cmocka_unit_test(unread_bytes_end_the_engine),
        cmocka_unit_test(errors_stay_at_home),
        cmocka_unit_test(troubles_have_names),
    };
    return cmocka_run_group_tests_name("crypto/engine", tests, begin, finish);
}
