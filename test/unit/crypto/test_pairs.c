/* pairs: several certificates on one listener, and keys that are encrypted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

static struct cert rsa;

/* The one finding that there is. */
static void expect_one(const struct tls_settings *settings, enum finding_kind kind, const char *piece) {
    struct findings findings;
    findings_init(&findings);
    struct tls_context *context = tls_context_load(settings, &findings);
    for (const struct finding *each = findings.first; each != NULL; each = each->next)
        if (each->kind != kind || strstr(each->text, piece) == NULL || each->next != NULL)
            fail_msg("said '%s' instead of '%s'", each->text, piece);
    assert_int_equal(findings.size, 1);
    assert_int_equal(context == NULL, kind == FINDING_ERROR);
    tls_context_drop(context);
    findings_clear(&findings);
}

static int key_kind_shown(struct tls_context *context, int version, const char *ciphers,
                          const char *signatures) {
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
    if (signatures != NULL)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(ssl_ctx, signatures), 1);
    struct pair pair =
        pair_of(context, (struct client_wish){.version = version, .ciphers = ciphers, .ssl_ctx = ssl_ctx});
    assert_true(pair_shake(&pair));
    int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get0_peer_certificate(pair.client)));
    pair_free(&pair);
    SSL_CTX_free(ssl_ctx);
    return kind;
}

static struct tls_settings both(struct tls_pair *more) {
    struct tls_settings settings = settings_of(false);
    *more = (struct tls_pair){cert_write("rsa.crt", &rsa), key_write("rsa.key", &rsa)};
    settings.more = more;
    settings.more_count = 1;
    return settings;
}

static void each_device_gets_the_one_it_understands(void **state) {
    (void)state;
    struct tls_pair more;
    struct tls_settings settings = both(&more);
    struct tls_context *context = load(&settings);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(key_kind_shown(context, versions[i], NULL, NULL), EVP_PKEY_EC);
        assert_int_equal(key_kind_shown(context, versions[i], NULL, "RSA-PSS+SHA256:RSA+SHA256"),
                         EVP_PKEY_RSA);
        assert_int_equal(key_kind_shown(context, versions[i], NULL, "ECDSA+SHA256"), EVP_PKEY_EC);
    }
    assert_int_equal(key_kind_shown(context, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", NULL),
                     EVP_PKEY_RSA);
    tls_context_drop(context);
}

static void the_first_to_end_counts(void **state) {
    (void)state;
    struct tls_pair more;
    struct tls_settings settings = both(&more);
    struct cert sooner = cert_make((struct cert_wish){
        .name = "localhost", .by = &ca, .alt = "DNS:localhost", .rsa_bits = 2048, .until_s = 50 * CERT_DAY});
    more = (struct tls_pair){cert_write("sooner.crt", &sooner), key_write("sooner.key", &sooner)};
    struct tls_context *context = load(&settings);
    assert_true(tls_context_expires_s(context) <= settings.now_s + 50 * CERT_DAY + 600);
    tls_context_drop(context);
    cert_free(&sooner);
}

static void each_pair_is_checked(void **state) {
    (void)state;
    struct tls_pair more;
    struct tls_settings settings = both(&more);
    more.keyfile = certs_path("server.key"); /* of the first */
    expect_one(&settings, FINDING_ERROR, "server.key is not the key of the certificate in certfile");
    both(&more);
    more.keyfile = NULL;
    expect_one(&settings, FINDING_ERROR, "keyfile is missing");
    more = (struct tls_pair){certs_path("none.crt"), certs_path("rsa.key")};
    expect_one(&settings, FINDING_ERROR, "none.crt does not exist");
}

static void one_of_each_kind(void **state) {
    (void)state;
    struct cert twin = cert_make((struct cert_wish){.name = "localhost", .by = &ca, .alt = "DNS:localhost"});
    struct tls_pair more = {cert_write("twin.crt", &twin), key_write("twin.key", &twin)};
    struct tls_settings settings = settings_of(false);
    settings.more = &more;
    settings.more_count = 1;
    expect_one(&settings, FINDING_ERROR, "both have a key of the kind EC");
    cert_free(&twin);
}

static const char *encrypted_write(const char *name, const struct cert *cert, const char *password) {
    const char *path = certs_path(name);
    FILE *file = certs_open(path, 0600);
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, cert->key, EVP_aes_128_cbc(), password,
                                               (int)strlen(password), NULL, NULL),
                     1);
    fclose(file);
    return path;
}

static const char *passwords_write(const char *text) {
    return text_write("passwords", text, strlen(text));
}

static void passwords_are_tried(void **state) {
    (void)state;
    static const char *const good[] = {"secret", "secret\n", "secret\r\n", "wrong\n\nsecret\nother\n",
                                       "secret 2\nsecret\n"};
    struct tls_settings settings = settings_of(false);
    settings.keyfile = encrypted_write("encrypted.key", &server, "secret");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        settings.keyfile_password_file = passwords_write(good[i]);
        tls_context_drop(load(&settings));
    }
    static const char *const bad[] = {"Secret\n", "secret \n", "\n", "secre", "wrong\nsecret2\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        settings.keyfile_password_file = passwords_write(bad[i]);
        expect_one(&settings, FINDING_ERROR, "no line of keyfile_password_file");
    }
    settings.keyfile_password_file = NULL;
    expect_one(&settings, FINDING_ERROR, "nobody can type its password");
}

static void two_keys_two_passwords(void **state) {
    (void)state;
    struct tls_pair more;
    struct tls_settings settings = both(&more);
    settings.keyfile = encrypted_write("encrypted.key", &server, "one");
    more.keyfile = encrypted_write("encrypted2.key", &rsa, "two");
    settings.keyfile_password_file = passwords_write("two\none\n");
    tls_context_drop(load(&settings));
    settings.keyfile_password_file = passwords_write("one\n");
    expect_one(&settings, FINDING_ERROR, "encrypted2.key is encrypted, and no line");
}

static void a_password_file_must_be_there(void **state) {
    (void)state;
    struct tls_settings settings = settings_of(false);
    settings.keyfile_password_file = certs_path("no-passwords");
    expect_one(&settings, FINDING_ERROR, "no-passwords does not exist");
    settings.keyfile_password_file = passwords_write("");
    expect_one(&settings, FINDING_ERROR, "is empty");
    settings.keyfile_password_file = passwords_write("x\n");
    assert_int_equal(chmod(settings.keyfile_password_file, 0644), 0);
    expect_one(&settings, FINDING_WARNING, "may be read by every user");
}

static int begin(void **state) {
    stage_begin(state);
    rsa = cert_make(
        (struct cert_wish){.name = "localhost", .by = &ca, .alt = "DNS:localhost", .rsa_bits = 2048});
    return 0;
}

static int finish(void **state) {
    cert_free(&rsa);
    return stage_finish(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_device_gets_the_one_it_understands),
        cmocka_unit_test(the_first_to_end_counts),
        cmocka_unit_test(each_pair_is_checked),
        cmocka_unit_test(one_of_each_kind),
        cmocka_unit_test(passwords_are_tried),
        cmocka_unit_test(two_keys_two_passwords),
        cmocka_unit_test(a_password_file_must_be_there),
    };
    return cmocka_run_group_tests_name("crypto/pairs", tests, begin, finish);
}
