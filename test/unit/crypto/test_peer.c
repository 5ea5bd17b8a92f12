/* peer: certificates of devices and the tickets that stand for them, against an OpenSSL client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

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

/* "" for a name that is refused. */
static void expect_name(const struct engine *engine, enum conf_source_kind kind, uint32_t number,
                        const char *wanted) {
    struct span name = engine_peer_name(engine, (struct conf_source){kind, number});
    char text[300];
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(name));
    assert_string_equal(name.size == 0 ? "" : text, wanted);
    assert_int_equal(name.size, strlen(wanted));
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
        expect_name(pair.server, CONF_SOURCE_CN, 1, "device-1");
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
    settings.crlfiles = paths_of(list_write("newer.crl", &ca, NULL, -60, 30 * CERT_DAY));
    struct tls_context *relisted = load(&settings);
    settings.crlfiles = paths_of(certs_path("ca.crl"));
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
        assert_true(engine_peer_has_certificate(pair.server));
        expect_name(pair.server, CONF_SOURCE_CN, 1, "device-1");
        assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(pair.client)), 1); /* the root stays at home */
        expect_name(pair.server, CONF_SOURCE_SUBJECT, 1, "OU=K\\C3\\BCche\\, Haus,CN=device-1");
        talk(&pair);
        pair_free(&pair);
    }
}

/* A listener that requires none asks for none and believes none. */
static void certificates_nobody_asked_for(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.cert = &device});
    assert_true(pair_shake(&pair));
    assert_false(engine_peer_has_certificate(pair.server));
    for (uint32_t kind = CONF_SOURCE_NONE; kind <= CONF_SOURCE_PSK_IDENTITY; kind++)
        expect_name(pair.server, kind, 1, "");
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

static struct pair pair_with(struct tls_context *context, const struct cert *cert) {
    struct pair pair = pair_of(context, (struct client_wish){.cert = cert});
    assert_true(pair_shake(&pair));
    return pair;
}

static void names_that_are_refused(void **state) {
    (void)state;
    struct cert cert =
        cert_make((struct cert_wish){.name = "admin\0.evil", .name_size = 11, .by = &ca, .unit = "x"});
    struct pair pair = pair_with(strict, &cert);
    assert_true(engine_peer_has_certificate(pair.server));
    expect_name(pair.server, CONF_SOURCE_CN, 1, "");
    expect_name(pair.server, CONF_SOURCE_SUBJECT, 1, "OU=x,CN=admin\\00.evil");
    pair_free(&pair);
    cert_free(&cert);
    cert = cert_make((struct cert_wish){.is_nameless = true, .by = &ca, .unit = "x"});
    pair = pair_with(strict, &cert);
    expect_name(pair.server, CONF_SOURCE_CN, 1, "");
    pair_free(&pair);
    cert_free(&cert);
}

/* A DNS name of exactly these bytes. */
static void add_name(GENERAL_NAMES *names, struct span bytes) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, bytes.at, (int)bytes.size);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, name);
}

/* A SAN that is refused keeps its number, so that no other name takes its place. */
static void odd_alternative_names(void **state) {
    (void)state;
    static const struct span texts[] = {
        {(const uint8_t *)"good.one", 8},  {(const uint8_t *)"nul\0.evil", 9},
        {(const uint8_t *)"\xff\xfe", 2},  {(const uint8_t *)"", 0},
        {(const uint8_t *)"good.five", 9},
    };
    struct cert cert = cert_make((struct cert_wish){.name = "x", .by = &ca});
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        add_name(names, texts[i]);
    assert_int_equal(X509_add1_ext_i2d(cert.x509, NID_subject_alt_name, names, 0, 0), 1);
    GENERAL_NAMES_free(names);
    assert_true(X509_sign(cert.x509, ca.key, EVP_sha256()) > 0);
    struct pair pair = pair_with(strict, &cert);
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 1, "good.one");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 2, "");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 3, "");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 4, "");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 5, "good.five");
    const struct facts *facts = engine_peer_facts(pair.server);
    assert_int_equal(facts->san_count, 2);
    assert_true(span_is_text(facts->sans[1], "good.five"));
    pair_free(&pair);
    cert_free(&cert);
}

static void names_of_all_kinds(void **state) {
    (void)state;
    struct cert cert = cert_make((struct cert_wish){
        .name = "x",
        .by = &ca,
        .alt = "DNS:a.example,URI:urn:a,IP:192.0.2.1,email:a@b.c,DNS:b.example,RID:1.2.3.4,IP:2001:db8::1,"
               "IP:::ffff:192.0.2.2,URI:urn:b"});
    struct pair pair = pair_with(strict, &cert);
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 1, "a.example");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 2, "b.example");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 3, "");
    expect_name(pair.server, CONF_SOURCE_SAN_URI, 2, "urn:b");
    expect_name(pair.server, CONF_SOURCE_SAN_EMAIL, 1, "a@b.c");
    expect_name(pair.server, CONF_SOURCE_SAN_IP, 1, "192.0.2.1");
    expect_name(pair.server, CONF_SOURCE_SAN_IP, 2, "2001:db8::1");
    expect_name(pair.server, CONF_SOURCE_SAN_IP, 3, "192.0.2.2");
    const struct facts *facts = engine_peer_facts(pair.server);
    assert_int_equal(facts->san_count, 5); /* addresses are no names of rules */
    assert_int_equal(facts->address_count, 3);
    assert_true(span_is_text(facts->issuer, "CN=Test CA"));
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert.x509), NULL);
    char *digits = BN_bn2hex(serial), fingerprint[65];
    expect_name(pair.server, CONF_SOURCE_SERIAL, 1, digits);
    uint8_t digest[32];
    assert_int_equal(X509_digest(cert.x509, EVP_sha256(), digest, NULL), 1);
    for (size_t i = 0; i < sizeof digest; i++)
        sprintf(fingerprint + 2 * i, "%02x", digest[i]);
    expect_name(pair.server, CONF_SOURCE_FINGERPRINT, 1, fingerprint);
    OPENSSL_free(digits);
    BN_free(serial);
    pair_free(&pair);
    cert_free(&cert);
}

/* More SANs than are looked at: the first sixteen of a kind. */
static void many_names(void **state) {
    (void)state;
    char alt[2048] = "", name[40];
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "%sDNS:d%d,IP:10.0.0.%d", i == 1 ? "" : ",", i, i);
        strcat(alt, name);
    }
    struct cert cert = cert_make((struct cert_wish){.name = "x", .by = &ca, .alt = alt});
    struct pair pair = pair_with(strict, &cert);
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 16, "d16");
    expect_name(pair.server, CONF_SOURCE_SAN_DNS, 17, "");
    expect_name(pair.server, CONF_SOURCE_SAN_IP, 16, "10.0.0.16");
    expect_name(pair.server, CONF_SOURCE_SAN_IP, 17, "");
    pair_free(&pair);
    cert_free(&cert);
}

/* Asked for, and verified when it is there. */
static void certificates_may_be_optional(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    settings.certificate_is_optional = true;
    struct tls_context *context = load(&settings);
    struct pair pair = pair_with(context, NULL);
    assert_false(engine_peer_has_certificate(pair.server));
    talk(&pair);
    pair_free(&pair);
    pair = pair_with(context, &device);
    expect_name(pair.server, CONF_SOURCE_CN, 1, "device-1");
    pair_free(&pair);
    expect_trouble(context, (struct client_wish){.cert = &revoked}, TLS_TROUBLE_CERTIFICATE_REVOKED);
    struct cert stranger = cert_make((struct cert_wish){.name = "x", .by = &strange_ca});
    expect_trouble(context, (struct client_wish){.cert = &stranger}, TLS_TROUBLE_UNKNOWN_CA);
    cert_free(&stranger);
    /* A ticket of the one who had none opens no listener that requires one, and resumes here. */
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *ssl_ctx = resuming_client();
        assert_false(is_resumed(context, ssl_ctx, versions[i], NULL));
        assert_true(is_resumed(context, ssl_ctx, versions[i], NULL));
        pair = pair_of(strict,
                       (struct client_wish){.version = versions[i], .ssl_ctx = ssl_ctx, .session = kept});
        assert_false(pair_shake(&pair));
        pair_free(&pair);
        forget_session();
        SSL_CTX_free(ssl_ctx);
    }
    tls_context_drop(context);
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
    settings.crlfiles = paths_of(list_write("brief.crl", &ca, NULL, -CERT_DAY, -60));
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
    settings.crlfiles = NULL;
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_resume),
        cmocka_unit_test(one_ticket_each),
        cmocka_unit_test(tickets_stay_with_their_listener),
        cmocka_unit_test(tickets_end_with_the_certificate),
        cmocka_unit_test(certificates_of_devices),
        cmocka_unit_test(certificates_nobody_asked_for),
        cmocka_unit_test(certificates_that_are_refused),
        cmocka_unit_test(names_that_are_refused),
        cmocka_unit_test(odd_alternative_names),
        cmocka_unit_test(names_of_all_kinds),
        cmocka_unit_test(many_names),
        cmocka_unit_test(certificates_may_be_optional),
        cmocka_unit_test(lists_fail_closed),
        cmocka_unit_test(dates_may_be_ignored),
        cmocka_unit_test(the_chain_is_completed),
        cmocka_unit_test(no_way_around_the_certificate),
    };
    return cmocka_run_group_tests_name("crypto/peer", tests, stage_begin, stage_finish);
}
