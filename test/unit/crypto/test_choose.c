/* choose: which host a ClientHello gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

static struct tickets *tickets;
static struct tls_context *listener, *exact, *starred, *demanding;

static struct tls_context *context_of(const char *name, bool is_strict, bool is_sni_strict) {
    struct tls_settings settings = settings_of(is_strict);
    char crt[64], key[64], alt[64];
    snprintf(crt, sizeof crt, "host-%s.crt", name);
    snprintf(key, sizeof key, "host-%s.key", name);
    snprintf(alt, sizeof alt, "DNS:%s.test,DNS:*.%s.test", name, name);
    struct cert cert = cert_make((struct cert_wish){.name = name, .by = &ca, .alt = alt});
    settings.certfile = cert_write(crt, &cert);
    settings.keyfile = key_write(key, &cert);
    settings.session_context = name;
    settings.tickets = tickets;
    settings.ticket_rotation_s = 3600;
    settings.sni_strict = is_sni_strict;
    cert_free(&cert);
    return load(&settings);
}

static void add(struct tls_context *to, const char *name, struct tls_context *host, unsigned number) {
    assert_int_equal(tls_context_add_host(to, span_of_text(name), host, number), TLS_HOST_ADDED);
}

static SSL_SESSION *kept;
static int on_session(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

struct visit {
    bool is_in, is_resumed, has_identity;
    char shown[32]; /* common name of the certificate */
    char asked[80];
    enum tls_trouble trouble;
};

static struct visit visit_with(struct tls_context *context, int version, const char *name,
                               const struct cert *cert, SSL_SESSION *session) {
    struct visit visit = {.is_in = false};
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl_ctx, on_session);
    SSL_SESSION *copy = session == NULL ? NULL : SSL_SESSION_dup(session);
    struct pair pair = pair_of(
        context, (struct client_wish){.version = version, .ssl_ctx = ssl_ctx, .cert = cert, .session = copy});
    if (name != NULL)
        SSL_set_tlsext_host_name(pair.client, name);
    visit.is_in = pair_shake(&pair) && engine_state_of(pair.server) == ENGINE_OPEN;
    visit.trouble = engine_trouble(pair.server);
    struct span asked = engine_host_name(pair.server);
    snprintf(visit.asked, sizeof visit.asked, "%.*s", SPAN_PRINT(asked));
    if (visit.is_in) {
        talk(&pair);
        visit.is_resumed = engine_is_resumed(pair.server);
        visit.has_identity = engine_peer_has_certificate(pair.server);
        X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(pair.client)),
                                  NID_commonName, visit.shown, sizeof visit.shown);
        SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    pair_free(&pair);
    SSL_SESSION_free(copy);
    SSL_CTX_free(ssl_ctx);
    return visit;
}

static void expect_shown(struct tls_context *context, const char *name, const char *shown) {
    for (size_t i = 0; i < 2; i++) {
        struct visit visit = visit_with(context, versions[i], name, NULL, NULL);
        assert_true(visit.is_in);
        if (strcmp(visit.shown, shown) != 0)
            fail_msg("%s was shown to who asks for %s", visit.shown, name);
    }
}

static void the_most_specific_wins(void **state) {
    (void)state;
    expect_shown(listener, NULL, "own");
    expect_shown(listener, "nowhere.test", "own");
    expect_shown(listener, "a.example", "exact");
    expect_shown(listener, "A.Example", "exact");
    expect_shown(listener, "b.example", "starred");
    expect_shown(listener, "example", "own");
    expect_shown(listener, "c.b.example", "own"); /* a star is one label */
    expect_shown(listener, ".example", "own");
    assert_int_equal(tls_context_number(listener, span_of_text("a.example")), 1);
    assert_int_equal(tls_context_number(listener, span_of_text("x.example")), 2);
    assert_int_equal(tls_context_number(listener, span_of_text("*.example")), 0); /* no device sends that */
    assert_int_equal(tls_context_number(listener, span_of_text("own.test")), 0);
    assert_int_equal(tls_context_number(listener, SPAN_NONE), 0);
    struct visit visit = visit_with(listener, TLS1_3_VERSION, "B.example", NULL, NULL);
    assert_string_equal(visit.asked, "b.example");
}

static void names_are_there_once(void **state) {
    (void)state;
    assert_int_equal(tls_context_add_host(listener, SPAN_LITERAL("a.example"), starred, 7), TLS_HOST_THERE);
    assert_int_equal(tls_context_number(listener, span_of_text("a.example")), 1);
    struct tls_context *crowded = context_of("crowded", false, false);
    char name[32];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "h%u.crowd", (i * 7919) % 500);
        add(crowded, name, exact, (i * 7919) % 500 + 1);
    }
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "h%u.crowd", i);
        assert_int_equal(tls_context_number(crowded, span_of_text(name)), i + 1);
    }
    tls_context_drop(crowded);
}

/* What a host demands goes along with its certificate, and nothing of the listener's. */
static void a_hosts_demands_are_its_own(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct visit visit = visit_with(listener, versions[i], "m.test", NULL, NULL);
        assert_false(visit.is_in);
        assert_int_equal(visit.trouble, TLS_TROUBLE_CERTIFICATE_MISSING);
        visit = visit_with(listener, versions[i], "m.test", &device, NULL);
        assert_true(visit.is_in && visit.has_identity);
        visit = visit_with(listener, versions[i], "m.test", &revoked, NULL);
        assert_int_equal(visit.trouble, TLS_TROUBLE_CERTIFICATE_REVOKED);
        visit = visit_with(listener, versions[i], "a.example", &device, NULL);
        assert_true(visit.is_in && !visit.has_identity);
        /* The other way round: the listener demands, its host does not. */
        struct tls_context *strict_one = context_of("strict-one", true, false);
        add(strict_one, "open.test", exact, 1);
        assert_false(visit_with(strict_one, versions[i], NULL, NULL, NULL).is_in);
        assert_true(visit_with(strict_one, versions[i], "open.test", NULL, NULL).is_in);
        tls_context_drop(strict_one);
    }
}

static void a_ticket_stays_with_its_host(void **state) {
    (void)state;
    static const char *const names[] = {"a.example", "b.example", "own.test"};
    for (size_t i = 0; i < 2; i++)
        for (size_t from = 0; from < 3; from++) {
            visit_with(listener, versions[i], names[from], NULL, NULL);
            SSL_SESSION *session = kept;
            kept = NULL;
            for (size_t to = 0; to < 3; to++) {
                struct visit visit = visit_with(listener, versions[i], names[to], NULL, session);
                assert_true(visit.is_in);
                assert_int_equal(visit.is_resumed, from == to);
            }
            assert_false(visit_with(listener, versions[i], "m.test", NULL, session).is_in);
            struct visit visit = visit_with(listener, versions[i], "m.test", &device, session);
            assert_true(visit.is_in && visit.has_identity && !visit.is_resumed);
            SSL_SESSION_free(session);
        }
    for (size_t i = 0; i < 2; i++) {
        visit_with(listener, versions[i], "m.test", &device, NULL);
        SSL_SESSION *session = kept;
        kept = NULL;
        struct visit visit = visit_with(listener, versions[i], "m.test", &device, session);
        assert_true(visit.is_resumed && visit.has_identity);
        assert_false(visit_with(listener, versions[i], "a.example", &device, session).is_resumed);
        SSL_SESSION_free(session);
    }
    SSL_SESSION_free(kept);
    kept = NULL;
}

static void strict_refuses_unknown_names(void **state) {
    (void)state;
    struct tls_context *strictest = context_of("strictest", false, true);
    add(strictest, "a.example", exact, 1);
    expect_shown(strictest, "a.example", "exact");
    expect_shown(strictest, "strictest.test", "strictest");
    expect_shown(strictest, "x.strictest.test", "strictest");
    static const char *const unknown[] = {NULL, "b.example", "x.y.strictest.test", "test"};
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof unknown / sizeof *unknown; k++) {
            struct visit visit = visit_with(strictest, versions[i], unknown[k], NULL, NULL);
            assert_false(visit.is_in);
            assert_int_equal(visit.trouble, TLS_TROUBLE_UNKNOWN_HOST);
        }
    tls_context_drop(strictest);
}

/* The second ClientHello after a HelloRetryRequest finds the choice made. */
static void a_second_hello_changes_nothing(void **state) {
    (void)state;
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
    struct pair pair =
        pair_of(listener,
                (struct client_wish){.version = TLS1_3_VERSION, .groups = "X448:P-384", .ssl_ctx = ssl_ctx});
    SSL_set_tlsext_host_name(pair.client, "a.example");
    assert_true(pair_shake(&pair));
    talk(&pair);
    assert_true(span_is_text(engine_host_name(pair.server), "a.example"));
    pair_free(&pair);
    SSL_CTX_free(ssl_ctx);
}

static int begin(void **state) {
    stage_begin(state);
    tickets = tickets_create();
    listener = context_of("own", false, false);
    exact = context_of("exact", false, false);
    starred = context_of("starred", false, false);
    demanding = context_of("demanding", true, false);
    add(listener, "a.example", exact, 1);
    add(listener, "*.example", starred, 2);
    add(listener, "m.test", demanding, 3);
    return 0;
}

static int finish(void **state) {
    tls_context_drop(listener);
    tls_context_drop(exact);
    tls_context_drop(starred);
    tls_context_drop(demanding);
    tickets_drop(tickets);
    return stage_finish(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_wins),       cmocka_unit_test(names_are_there_once),
        cmocka_unit_test(a_hosts_demands_are_its_own),  cmocka_unit_test(a_ticket_stays_with_its_host),
        cmocka_unit_test(strict_refuses_unknown_names), cmocka_unit_test(a_second_hello_changes_nothing),
    };
    return cmocka_run_group_tests_name("crypto/choose", tests, begin, finish);
}
