/* revocation: what a later list says of a device that is in already, and lists of several CAs and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

static struct cert middle, leaf; /* leaf is signed by middle, middle by ca */

static struct pair enter(struct tls_context *context, struct client_wish wish) {
    struct pair pair = pair_of(context, wish);
    if (wish.cert == &leaf)
        SSL_add1_chain_cert(pair.client, middle.x509);
    assert_true(pair_shake(&pair));
    return pair;
}

static struct tls_context *with_list(const char *path) {
    struct tls_settings settings = settings_of(true);
    settings.crlfiles = paths_of(path);
    return load(&settings);
}

static void a_later_list(void **state) {
    (void)state;
    struct tls_context *none = with_list(list_write("none.crl", &ca, NULL, -60, 30 * CERT_DAY));
    struct tls_context *some = with_list(list_write("some.crl", &ca, device.x509, -50, 30 * CERT_DAY));
    struct tls_context *other = with_list(list_write("other.crl", &ca, server.x509, -40, 30 * CERT_DAY));
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = enter(none, (struct client_wish){.version = versions[i], .cert = &device});
        assert_false(engine_is_revoked(pair.server, none));
        assert_false(engine_is_revoked(pair.server, other));
        assert_false(engine_is_revoked(pair.server, plain)); /* crlfile was taken away */
        assert_true(engine_is_revoked(pair.server, some));
        talk(&pair); /* asking changes nothing */
        pair_free(&pair);
        pair = enter(plain, (struct client_wish){.version = versions[i], .cert = &device});
        assert_false(engine_is_revoked(pair.server, some)); /* nobody asked it for one */
        pair_free(&pair);
    }
    struct pair fresh = pair_of(none, (struct client_wish){.cert = &device});
    assert_false(engine_is_revoked(fresh.server, some)); /* no handshake yet */
    pair_free(&fresh);
    expect_trouble(some, (struct client_wish){.cert = &device}, TLS_TROUBLE_CERTIFICATE_REVOKED);
    tls_context_drop(none);
    tls_context_drop(some);
    tls_context_drop(other);
}

/* A serial number means something together with its CA only. */
static void lists_of_others(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    const X509 *both[] = {ca.x509, strange_ca.x509};
    settings.cafile = certs_write("both.crt", both, 2);
    settings.crlfiles = paths_of(list_write("a.crl", &ca, NULL, -60, 30 * CERT_DAY));
    struct conf_pattern second = *paths_of(list_write("b.crl", &strange_ca, device.x509, -60, 30 * CERT_DAY));
    struct conf_pattern first = {.text = settings.crlfiles->text, .next = &second};
    settings.crlfiles = &first;
    struct tls_context *context = load(&settings);
    struct cert stranger = cert_make((struct cert_wish){.name = "stranger", .by = &strange_ca});
    struct pair pair = enter(context, (struct client_wish){.cert = &device});
    struct pair other = enter(context, (struct client_wish){.cert = &stranger}); /* both files are in force */
    second.text = list_write("c.crl", &strange_ca, stranger.x509, -60, 30 * CERT_DAY);
    struct tls_context *later = load(&settings);
    assert_false(engine_is_revoked(pair.server, later));
    assert_true(engine_is_revoked(other.server, later));
    pair_free(&pair);
    pair_free(&other);
    cert_free(&stranger);
    tls_context_drop(context);
    tls_context_drop(later);
}

/* An overtaken list beside a newer one of the same CA: the handshake asks the newer, and so do we. */
static void a_list_that_was_overtaken(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    struct conf_pattern old = {.text = list_write("old.crl", &ca, device.x509, -9 * CERT_DAY, 30 * CERT_DAY)};
    struct conf_pattern newer = {.text = list_write("new.crl", &ca, NULL, -60, 30 * CERT_DAY), .next = &old};
    settings.crlfiles = &newer;
    struct tls_context *context = load(&settings);
    struct pair pair = enter(strict, (struct client_wish){.cert = &device});
    assert_false(engine_is_revoked(pair.server, context));
    pair_free(&pair);
    pair = enter(context, (struct client_wish){.cert = &device});
    pair_free(&pair);
    tls_context_drop(context);
}

static struct conf_pattern chain_lists[2];

/* A listener that knows the root alone, or the CA between too; `of_ca` and `of_middle` are what they revoke.
 */
static struct tls_context *chained(bool checks_chain, bool knows_middle, const X509 *of_ca,
                                   const X509 *of_middle) {
    struct tls_settings settings = settings_of(true);
    const X509 *both[] = {ca.x509, middle.x509};
    settings.cafile = certs_write("chain.crt", both, knows_middle ? 2 : 1);
    chain_lists[0] = (struct conf_pattern){.text = list_write("root.crl", &ca, of_ca, -60, 30 * CERT_DAY),
                                           .next = &chain_lists[1]};
    chain_lists[1] =
        (struct conf_pattern){.text = list_write("middle.crl", &middle, of_middle, -60, 30 * CERT_DAY)};
    settings.crlfiles = chain_lists;
    settings.crl_checks_chain = checks_chain;
    return load(&settings);
}

static void shake_with_middle(struct tls_context *context, int version, bool is_good,
                              enum tls_trouble trouble) {
    struct pair pair = pair_of(context, (struct client_wish){.version = version, .cert = &leaf});
    SSL_add1_chain_cert(pair.client, middle.x509);
    assert_int_equal(pair_shake(&pair), is_good);
    assert_int_equal(engine_trouble(pair.server), trouble);
    pair_free(&pair);
}

static void leaf_or_chain(void **state) {
    (void)state;
    struct tls_context *contexts[2] = {chained(false, true, middle.x509, NULL),
                                       chained(true, true, middle.x509, NULL)};
    for (size_t i = 0; i < 2; i++) {
        shake_with_middle(contexts[0], versions[i], true, TLS_TROUBLE_NONE); /* as mosquitto */
        shake_with_middle(contexts[1], versions[i], false, TLS_TROUBLE_CERTIFICATE_REVOKED);
    }
    tls_context_drop(contexts[0]);
    tls_context_drop(contexts[1]);
}

/* A chain wants a list of each CA in it. */
static void a_chain_without_a_list(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(true);
    const X509 *both[] = {ca.x509, middle.x509};
    settings.cafile = certs_write("chain.crt", both, 2);
    settings.crlfiles = paths_of(list_write("middle.crl", &middle, NULL, -60, 30 * CERT_DAY));
    settings.crl_checks_chain = true;
    struct tls_context *context = load(&settings);
    shake_with_middle(context, TLS1_3_VERSION, false, TLS_TROUBLE_CERTIFICATE_WITHOUT_CRL);
    tls_context_drop(context);
}

static SSL_SESSION *ticket;
static int on_ticket(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

/* Comes in twice, the second time perhaps with a ticket, which brings the device's own certificate only; is
 * the second one revoked when the CA above it is? */
static void resume_and_ask(struct tls_context *context, int version, bool may_resume,
                           const struct tls_context *later, bool is_revoked) {
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl_ctx, on_ticket);
    for (int turn = 0; turn < 2; turn++) {
        SSL_SESSION *session = turn == 0 ? NULL : SSL_SESSION_dup(ticket);
        struct pair pair = enter(
            context,
            (struct client_wish){.version = version, .ssl_ctx = ssl_ctx, .cert = &leaf, .session = session});
        talk(&pair);
        assert_int_equal(engine_is_resumed(pair.server), turn == 1 && may_resume);
        assert_false(engine_is_revoked(pair.server, context));
        assert_int_equal(engine_is_revoked(pair.server, later), is_revoked);
        SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        pair_free(&pair);
        SSL_SESSION_free(session);
    }
    SSL_SESSION_free(ticket);
    ticket = NULL;
    SSL_CTX_free(ssl_ctx);
}

static void a_ca_is_revoked_later(void **state) {
    (void)state;
    struct tls_context *leaf_only = chained(false, true, NULL, NULL),
                       *knows = chained(true, true, NULL, NULL),
                       *knows_not = chained(true, false, NULL, NULL);
    struct tls_context *later = chained(true, true, middle.x509, NULL),
                       *later_leaf = chained(false, true, middle.x509, NULL),
                       *leaf_later = chained(true, true, NULL, leaf.x509);
    for (size_t i = 0; i < 2; i++) {
        resume_and_ask(knows, versions[i], true, later, true);
        resume_and_ask(knows, versions[i], true, leaf_later, true);
        resume_and_ask(knows, versions[i], true, later_leaf, false);
        /* A ticket without the CA between could not be judged later, so it is not taken. */
        resume_and_ask(knows_not, versions[i], false, later, true);
        resume_and_ask(leaf_only, versions[i], true, later, true);
        resume_and_ask(leaf_only, versions[i], true, knows, false);
    }
    tls_context_drop(leaf_only);
    tls_context_drop(knows);
    tls_context_drop(knows_not);
    tls_context_drop(later);
    tls_context_drop(later_leaf);
    tls_context_drop(leaf_later);
}

static int begin(void **state) {
    stage_begin(state);
    middle = cert_make((struct cert_wish){.name = "Middle CA", .is_ca = true, .by = &ca});
    leaf = cert_make((struct cert_wish){.name = "leaf", .by = &middle});
    return 0;
}

static int finish(void **state) {
    cert_free(&middle);
    cert_free(&leaf);
    return stage_finish(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_list),
        cmocka_unit_test(lists_of_others),
        cmocka_unit_test(a_list_that_was_overtaken),
        cmocka_unit_test(leaf_or_chain),
        cmocka_unit_test(a_chain_without_a_list),
        cmocka_unit_test(a_ca_is_revoked_later),
    };
    return cmocka_run_group_tests_name("crypto/revocation", tests, begin, finish);
}
