/* context: every way in which certificates go wrong gets its sentence, and the good ones load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/context.h"
#include "unit/crypto/certs.h"

static struct cert ca, server, other;

static struct tls_settings good(void) {
    return (struct tls_settings){.file = "gate.conf",
                                 .line = 7,
                                 .certfile = certs_path("server.crt"),
                                 .keyfile = certs_path("server.key"),
                                 .session_context = "listener-8883",
                                 .now_s = time(NULL)};
}

/* Loads and expects exactly the findings given, as pieces of their sentences: one error when `error` is not
 * NULL, one warning when `warning` is not NULL. */
static void expect_two(const struct tls_settings *settings, const char *error, const char *warning) {
    struct findings findings;
    findings_init(&findings);
    struct tls_context *context = tls_context_load(settings, &findings);
    size_t errors = error != NULL, warnings = warning != NULL;
    bool has_error = error == NULL, has_warning = warning == NULL;
    for (struct finding *each = findings.first; each != NULL; each = each->next) {
        if (strncmp(each->text, "gate.conf:7: ", 13) != 0)
            fail_msg("no place: %s", each->text);
        has_error = has_error || (each->kind == FINDING_ERROR && strstr(each->text, error) != NULL);
        has_warning = has_warning || (each->kind == FINDING_WARNING && strstr(each->text, warning) != NULL);
    }
    if (getenv("SHOW_FINDINGS") != NULL)
        for (struct finding *each = findings.first; each != NULL; each = each->next)
            print_message("%s %s\n", each->kind == FINDING_ERROR ? "E" : "W", each->text);
    if (!has_error || !has_warning || findings.error_count != errors || findings.warning_count != warnings ||
        (context == NULL) != (error != NULL)) {
        for (struct finding *each = findings.first; each != NULL; each = each->next)
            print_error("said: %s\n", each->text);
        fail_msg("wanted error '%s' and warning '%s'", error == NULL ? "none" : error,
                 warning == NULL ? "none" : warning);
    }
    tls_context_drop(context);
    findings_clear(&findings);
}

static void expect_good(const struct tls_settings *settings) {
    expect_two(settings, NULL, NULL);
}
static void expect_error(const struct tls_settings *settings, const char *error) {
    expect_two(settings, error, NULL);
}
static void expect_warning(const struct tls_settings *settings, const char *warning) {
    expect_two(settings, NULL, warning);
}

/* Makes a server certificate of this wish and expects these findings. */
static void expect_of(struct cert_wish wish, const char *error, const char *warning) {
    struct cert cert = cert_make(wish);
    struct tls_settings settings = good();
    settings.certfile = cert_write("odd.crt", &cert);
    settings.keyfile = key_write("odd.key", &cert);
    expect_two(&settings, error, warning);
    cert_free(&cert);
}

static const char *der_write(const char *name, const struct cert *cert, bool is_key) {
    unsigned char *bytes = NULL;
    int size = is_key ? i2d_PrivateKey(cert->key, &bytes) : i2d_X509(cert->x509, &bytes);
    assert_true(size > 0);
    const char *path = text_write(name, (char *)bytes, (size_t)size);
    OPENSSL_free(bytes);
    return path;
}

static void good_ones_load(void **state) {
    (void)state;
    struct tls_settings settings = good();
    expect_good(&settings);
    settings.cafile = certs_path("ca.crt");
    expect_good(&settings);
    settings.require_certificate = true;
    settings.crlfiles = paths_of(list_write("ca.crl", &ca, NULL, -3600, 30 * CERT_DAY));
    settings.tls_version = "tlsv1.3";
    settings.ciphers = "HIGH";
    settings.ciphers_tls13 = "TLS_AES_256_GCM_SHA384";
    settings.disable_client_cert_date_checks = true;
    expect_good(&settings);
}

static void a_reference_counts(void **state) {
    (void)state;
    struct tls_settings settings = good();
    struct findings findings;
    findings_init(&findings);
    struct tls_context *context = tls_context_load(&settings, &findings);
    assert_non_null(context);
    assert_ptr_equal(tls_context_keep(context), context);
    tls_context_drop(context);
    int64_t left_s = tls_context_expires_s(context) - settings.now_s;
    assert_true(left_s > 364 * CERT_DAY && left_s <= 365 * CERT_DAY);
    tls_context_drop(context);
    tls_context_drop(NULL);
    assert_non_null(strstr(tls_library_version(), "OpenSSL"));
}

/* What an earlier listener did wrong does not refuse this one, and hides nothing of it. */
static void findings_of_others_do_not_count(void **state) {
    (void)state;
    struct tls_settings settings = good();
    struct findings findings;
    findings_init(&findings);
    findings_add(&findings, FINDING_ERROR, "gate.conf", 1, "something else");
    struct tls_context *context = tls_context_load(&settings, &findings);
    assert_non_null(context);
    tls_context_drop(context);
    struct cert weak =
        cert_make((struct cert_wish){.name = "weak", .by = &ca, .alt = "DNS:weak", .rsa_bits = 512});
    settings.certfile = cert_write("odd.crt", &weak);
    settings.keyfile = key_write("odd.key", &weak);
    assert_null(tls_context_load(&settings, &findings));
    assert_int_equal(findings.error_count, 2);
    cert_free(&weak);
    findings_clear(&findings);
}

static void files_that_are_not_there(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.certfile = certs_path("nowhere.crt");
    expect_error(&settings, "nowhere.crt does not exist");
    settings = good();
    settings.keyfile = certs_path("nowhere.key");
    expect_error(&settings, "nowhere.key does not exist");
    settings = good();
    settings.cafile = certs_path("nowhere/ca.crt");
    expect_error(&settings, "nowhere/ca.crt does not exist");
    settings = good();
    settings.keyfile = certs_folder;
    expect_error(&settings, "is a folder");
    settings.keyfile = "/dev/null";
    expect_error(&settings, "is not a regular file");
    settings.keyfile = NULL;
    expect_error(&settings, "keyfile is missing");
    settings.certfile = NULL;
    expect_error(&settings, "certfile is missing");
    settings = good();
    settings.keyfile = text_write("empty.key", "", 0);
    expect_error(&settings, "is empty");
    settings = good();
    settings.certfile = text_write("empty.crt", "\n", 1);
    expect_error(&settings, "no line -----BEGIN");
    settings.certfile = text_write("wide.crt", "\xFF\xFE-\0-\0", 6);
    expect_error(&settings, "UTF-16");
}

static void a_file_for_another_user(void **state) {
    (void)state;
    bool is_root = geteuid() == 0;
    struct tls_settings settings = good();
    settings.keyfile = key_write("private.key", &server);
    assert_int_equal(chmod(certs_folder, 0755), 0);
    assert_int_equal(chmod(settings.keyfile, is_root ? 0600 : 0), 0);
    assert_int_equal(chmod(settings.certfile, 0644), 0);
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    expect_error(&settings,
                 is_root ? "cannot be read by the user 'nobody' (it belongs to 'root', mode 0600): chown"
                         : "cannot be read by the user");
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
        chmod(certs_folder, 0700);
        assert_int_equal(seteuid(65534), 0);
        settings.certfile = settings.keyfile;
        struct findings findings;
        findings_init(&findings);
        assert_null(tls_context_load(&settings, &findings));
        assert_non_null(strstr(findings.first->text, "may not enter one of the folders above it"));
        findings_clear(&findings);
        assert_int_equal(seteuid(0), 0);
    }
}

static void a_key_for_everybody(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.keyfile = key_write("open.key", &server);
    chmod(settings.keyfile, 0644);
    expect_warning(&settings, "open.key may be read by every user of this machine: chmod o=");
    chmod(settings.keyfile, 0640);
    expect_good(&settings);
}

static void files_in_the_wrong_place(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.certfile = settings.keyfile;
    expect_error(&settings, "certfile ");
    expect_error(&settings, "holds a private key where the certificate of the server in PEM form is wanted");
    settings = good();
    settings.keyfile = settings.certfile;
    expect_error(&settings, "holds a certificate where the private key of the server in PEM form is wanted");
    settings = good();
    settings.cafile = settings.keyfile;
    expect_error(&settings, "holds a private key where the certificate of a CA in PEM form is wanted");
    settings.cafile = certs_path("ca.crt");
    settings.crlfiles = paths_of(settings.certfile);
    expect_error(&settings, "holds a certificate where a list of revoked certificates (CRL)");
    settings = good();
    X509_REQ *request = X509_to_X509_REQ(server.x509, server.key, EVP_sha256());
    settings.certfile = certs_path("server.csr");
    FILE *file = certs_open(settings.certfile, 0644);
    PEM_write_X509_REQ(file, request);
    fclose(file);
    X509_REQ_free(request);
    expect_error(&settings, "holds a certificate request (CSR), not yet signed by a CA");
}

static void files_in_another_form(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.certfile = der_write("server.der", &server, false);
    expect_error(&settings, "a certificate in DER form where");
    expect_error(&settings, "convert it: openssl x509 -inform DER -in ");
    settings = good();
    settings.keyfile = der_write("key.der", &server, true);
    expect_error(&settings, "convert it: openssl pkey -inform DER -in ");
    settings = good();
    PKCS12 *bundle = PKCS12_create("secret", "me", server.key, server.x509, NULL, 0, 0, 0, 0, 0);
    settings.certfile = certs_path("server.p12");
    FILE *file = certs_open(settings.certfile, 0644);
    i2d_PKCS12_fp(file, bundle);
    fclose(file);
    PKCS12_free(bundle);
    expect_error(&settings, "a PKCS#12 bundle");
}

static void encrypted_keys(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.keyfile = certs_path("encrypted.key");
    FILE *file = certs_open(settings.keyfile, 0600);
    PEM_write_PKCS8PrivateKey(file, server.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL);
    fclose(file);
    expect_error(&settings, "is encrypted, and nobody can type its password");
    unsigned char password[] = "secret";
    BIO *bio = BIO_new_file(settings.keyfile, "w");
    PEM_write_bio_PrivateKey_traditional(bio, server.key, EVP_aes_128_cbc(), password, 6, NULL, NULL);
    BIO_free(bio);
    expect_error(&settings, "is encrypted, and nobody can type its password");
}

static void damaged_files(void **state) {
    (void)state;
    struct tls_settings settings = good();
    char text[8192];
    FILE *file = fopen(settings.certfile, "r");
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    settings.certfile = text_write("cut.crt", text, size / 2);
    expect_error(&settings, "cut.crt is damaged: certificate number 1");
    memset(text + size / 2, 'A', 40);
    settings.certfile = text_write("cut.crt", text, size);
    expect_error(&settings, "cut.crt is damaged: certificate number 1");
    settings = good();
    file = fopen(settings.keyfile, "r");
    size = fread(text, 1, sizeof text, file);
    fclose(file);
    settings.keyfile = text_write("cut.key", text, size / 2);
    expect_error(&settings, "holds a damaged private key");
    settings = good();
    settings.crlfiles =
        paths_of(text_write("cut.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", 52));
    expect_error(&settings, "cut.crl is damaged: list number 1");
}

static void keys_that_do_not_fit(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.keyfile = key_write("other.key", &other);
    expect_error(&settings, "is not the key of the certificate in certfile");
    settings.cafile = certs_path("ca.crt");
    settings.keyfile = key_write("ca.key", &ca);
    expect_error(&settings, "ca.key is the key of the CA in cafile: name the key of the server");
    settings = good();
    settings.certfile = certs_path("ca.crt");
    expect_error(&settings, "holds the certificate of a CA, and keyfile");
    settings.cafile = settings.certfile;
    expect_error(&settings, "name the certificate of the server, signed by that CA");
    settings = good();
    const X509 *list[] = {ca.x509, server.x509};
    settings.certfile = certs_write("order.crt", list, 2);
    expect_error(&settings, "wrong order: the one of keyfile");
}

static void dates(void **state) {
    (void)state;
    struct cert_wish wish = {.name = "dated", .by = &ca, .alt = "DNS:dated"};
    wish.from_s = -9 * CERT_DAY, wish.until_s = -2 * CERT_DAY;
    expect_of(wish, "CN=dated expired on 2", NULL);
    wish.from_s = 2 * CERT_DAY, wish.until_s = 99 * CERT_DAY;
    expect_of(wish, "CN=dated is not valid before 2", NULL);
    wish.from_s = -9 * CERT_DAY, wish.until_s = 29 * CERT_DAY;
    expect_of(wish, NULL, "CN=dated expires on 2");
    wish.until_s = 31 * CERT_DAY;
    expect_of(wish, NULL, NULL);
    struct tls_settings settings = good();
    settings.now_s += 366 * CERT_DAY; /* the clock of the settings decides, not the machine's */
    expect_error(&settings, "expired on");
}

/* The classic tutorial: the same answers to all of openssl's questions for the CA and for the server. */
static void same_subject_as_its_ca(void **state) {
    (void)state;
    struct cert twin_ca = cert_make((struct cert_wish){.name = "broker", .is_ca = true});
    expect_of((struct cert_wish){.name = "broker", .by = &twin_ca, .is_plain = true},
              "same subject as the CA that signed it, CN=broker", "no subjectAltName");
    cert_free(&twin_ca);
}

/* And with another common name it loads, with one warning. */
static void the_classic_tutorial(void **state) {
    (void)state;
    struct cert plain =
        cert_make((struct cert_wish){.name = "broker.lan", .by = &ca, .is_plain = true, .rsa_bits = 2048});
    struct tls_settings settings = good();
    settings.certfile = cert_write("plain.crt", &plain);
    settings.keyfile = key_write("plain.key", &plain);
    settings.cafile = certs_path("ca.crt");
    expect_warning(&settings, "clients can only use the common name 'broker.lan'");
    cert_free(&plain);
}

static void names_and_purposes(void **state) {
    (void)state;
    expect_of((struct cert_wish){.is_nameless = true, .unit = "x", .by = &ca}, NULL,
              "neither a subjectAltName nor a common name");
    expect_of((struct cert_wish){.name = "n", .alt = "email:a@b.c", .by = &ca}, NULL, "common name 'n'");
    expect_of((struct cert_wish){.name = "evil\x1B[2J", .by = &ca}, NULL, "common name 'evil\\x1B[2J'");
    expect_of((struct cert_wish){.name = "n", .alt = "IP:10.0.0.1", .by = &ca}, NULL, NULL);
    expect_of((struct cert_wish){.name = "n", .alt = "DNS:n", .usage = "clientAuth", .by = &ca}, NULL,
              "not made for a server");
    expect_of((struct cert_wish){.name = "n", .alt = "DNS:n", .usage = "serverAuth", .by = &ca}, NULL, NULL);
    expect_of((struct cert_wish){.name = "self", .alt = "DNS:self"}, NULL, "is self-signed: every client");
    expect_of((struct cert_wish){.name = "n", .alt = "DNS:n", .is_ca = true, .by = &ca}, NULL,
              "holds the certificate of a CA");
}

static void weak_ones(void **state) {
    (void)state;
    expect_of((struct cert_wish){.name = "weak", .alt = "DNS:weak", .by = &ca, .rsa_bits = 512},
              "key too small", NULL);
}

static void chains(void **state) {
    (void)state;
    struct cert middle = cert_make((struct cert_wish){.name = "middle", .is_ca = true, .by = &ca});
    struct cert leaf = cert_make((struct cert_wish){.name = "leaf", .alt = "DNS:leaf", .by = &middle});
    struct tls_settings settings = good();
    settings.keyfile = key_write("leaf.key", &leaf);
    const X509 *list[12] = {leaf.x509, middle.x509, ca.x509};
    settings.certfile = certs_write("leaf.crt", list, 3);
    expect_good(&settings);
    list[1] = server.x509;
    settings.certfile = certs_write("leaf.crt", list, 2);
    expect_warning(&settings, "certificate number 2 did not sign number 1");
    for (int i = 1; i < 12; i++)
        list[i] = ca.x509;
    settings.certfile = certs_write("leaf.crt", list, 12);
    expect_error(&settings, "holds 12 certificates");
    cert_free(&middle);
    cert_free(&leaf);
}

/* The CA was made again with the same answers, the server certificate was not. */
static void a_ca_made_again(void **state) {
    (void)state;
    struct cert again = cert_make((struct cert_wish){.name = "Test CA", .is_ca = true});
    struct tls_settings settings = good();
    settings.cafile = cert_write("again.crt", &again);
    expect_warning(&settings, "signed by another CA of the same name");
    cert_free(&again);
}

static void authorities(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.require_certificate = true;
    expect_error(&settings, "require_certificate wants a cafile or capath");
    settings.cafile = text_write("empty.crt", "", 0);
    expect_error(&settings, "is empty");
    settings.cafile = text_write("note.crt", "see below\n", 10);
    expect_error(&settings, "not in PEM form");
    settings.cafile = cert_write("leaf.crt", &server);
    expect_warning(&settings, "holds no certificate of a CA");
    struct cert old = cert_make(
        (struct cert_wish){.name = "Old CA", .is_ca = true, .from_s = -99 * CERT_DAY, .until_s = -CERT_DAY});
    settings.cafile = cert_write("old.crt", &old);
    expect_warning(&settings, "1 of 1 CA certificates have expired: no device can be verified");
    const X509 *list[] = {ca.x509, old.x509};
    settings.cafile = certs_write("both.crt", list, 2);
    expect_warning(&settings, "1 of 2 CA certificates have expired");
    cert_free(&old);
}

static void folders_of_authorities(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.require_certificate = true;
    settings.capath = certs_path("authorities");
    expect_error(&settings, "authorities cannot be opened");
    mkdir(settings.capath, 0755);
    cert_write("authorities/ca.crt", &ca);
    expect_error(&settings, "run openssl rehash");
    assert_int_equal(symlink("ca.crt", certs_path("authorities/0a1b2c3d.0")), 0);
    expect_good(&settings);
    assert_int_equal(symlink("nothing.crt", certs_path("authorities/0a1b2c3e.0")), 0);
    expect_error(&settings, "0a1b2c3e.0 does not exist");
    unlink(certs_path("authorities/0a1b2c3e.0"));
    settings.cafile = certs_path("nowhere.crt");
    expect_error(&settings, "nowhere.crt does not exist");
}

static void lists(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.require_certificate = true;
    settings.cafile = certs_path("ca.crt");
    settings.crlfiles = paths_of(list_write("odd.crl", &ca, NULL, -9 * CERT_DAY, -CERT_DAY));
    expect_error(&settings, "odd.crl: the list expired on 2");
    settings.crlfiles = paths_of(list_write("odd.crl", &ca, NULL, 9 * CERT_DAY, 99 * CERT_DAY));
    expect_error(&settings, "odd.crl: the list is not valid before 2");
    settings.crlfiles = paths_of(list_write("odd.crl", &ca, NULL, -9 * CERT_DAY, 2 * CERT_DAY));
    expect_warning(&settings, "odd.crl: the list expires on 2");
    settings.crlfiles = paths_of(list_write("odd.crl", &other, NULL, -9 * CERT_DAY, 99 * CERT_DAY));
    expect_warning(&settings, "the CA of the list, CN=other, is not in cafile");
    struct cert again = cert_make((struct cert_wish){.name = "Test CA", .is_ca = true});
    settings.crlfiles = paths_of(list_write("odd.crl", &again, NULL, -9 * CERT_DAY, 99 * CERT_DAY));
    expect_warning(&settings, "by another of that name, so its devices are refused");
    cert_free(&again);
    settings.crlfiles = paths_of(text_write("odd.crl", "", 0));
    expect_error(&settings, "odd.crl is empty");
    settings.crlfiles = paths_of(text_write("odd.crl", "none\n", 5));
    expect_error(&settings, "odd.crl is not in PEM form");
}

static void versions_and_ciphers(void **state) {
    (void)state;
    struct tls_settings settings = good();
    settings.tls_version = "tlsv1.1";
    expect_error(&settings, "tls_version 'tlsv1.1' is unknown");
    settings.tls_version = "";
    expect_error(&settings, "tls_version '' is unknown");
    settings.tls_version = "tlsv1.2";
    settings.ciphers = "NO-SUCH-CIPHER";
    expect_error(&settings, "ciphers 'NO-SUCH-CIPHER' names no cipher");
    settings.ciphers = "TLS_AES_128_GCM_SHA256";
    expect_error(&settings, "those of TLS 1.3 belong to ciphers_tls1.3");
    settings.ciphers = "aNULL:eNULL"; /* would let in everybody */
    expect_error(&settings, "names no cipher");
    settings.ciphers = "";
    expect_error(&settings, "names no cipher");
    settings.ciphers = "DEFAULT:!aNULL:!eNULL:!LOW:!EXPORT:!SSLv2:@STRENGTH"; /* mosquitto's own */
    expect_good(&settings);
    settings.ciphers = NULL;
    settings.ciphers_tls13 = "ECDHE-RSA-AES128-GCM-SHA256";
    expect_error(&settings, "ciphers_tls1.3 'ECDHE-RSA");
    settings.ciphers_tls13 = "";
    expect_error(&settings, "ciphers_tls1.3 ''");
}

/* The script that makes them for people. */
static void what_the_script_makes(void **state) {
    (void)state;
    char command[800];
    snprintf(command, sizeof command,
             "scripts/certs --client alice --client bob %s/made >/dev/null && "
             "scripts/certs --revoke bob %s/made >/dev/null && "
             "! scripts/certs %s/made 2>/dev/null && "
             "scripts/certs --rsa --san 10.0.0.9 --san gate.example %s/rsa >/dev/null",
             certs_folder, certs_folder, certs_folder, certs_folder);
    assert_int_equal(system(command), 0);
    struct tls_settings settings = good();
    settings.certfile = certs_path("made/mosqserv.crt");
    settings.keyfile = certs_path("made/mosqserv.key");
    settings.cafile = certs_path("made/mosqca.crt");
    settings.crlfiles = paths_of(certs_path("made/mosqca.crl"));
    settings.require_certificate = true;
    expect_good(&settings);
    const char *secrets[] = {"made/mosqca.key", "made/mosqserv.key", "made/alice.key"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        struct stat status;
        assert_int_equal(stat(certs_path(secrets[i]), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
    }
    settings.certfile = certs_path("rsa/mosqserv.crt");
    settings.keyfile = certs_path("rsa/mosqserv.key");
    expect_good(&settings);
    settings.certfile = certs_path("made/alice.crt");
    settings.keyfile = certs_path("made/alice.key");
    struct findings findings;
    findings_init(&findings);
    struct tls_context *context = tls_context_load(&settings, &findings);
    assert_int_equal(findings.warning_count, 2); /* no names, not for a server */
    tls_context_drop(context);
    findings_clear(&findings);
}

static int begin(void **state) {
    (void)state;
    certs_begin();
    ca = cert_make((struct cert_wish){.name = "Test CA", .is_ca = true});
    other = cert_make((struct cert_wish){.name = "other", .is_ca = true});
    server = cert_make((struct cert_wish){.name = "localhost", .by = &ca, .alt = "DNS:localhost"});
    cert_write("ca.crt", &ca);
    cert_write("server.crt", &server);
    key_write("server.key", &server);
    return 0;
}

static int finish(void **state) {
    (void)state;
    cert_free(&ca);
    cert_free(&server);
    cert_free(&other);
    certs_end();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_load),
        cmocka_unit_test(a_reference_counts),
        cmocka_unit_test(findings_of_others_do_not_count),
        cmocka_unit_test(files_that_are_not_there),
        cmocka_unit_test(a_file_for_another_user),
        cmocka_unit_test(a_key_for_everybody),
        cmocka_unit_test(files_in_the_wrong_place),
        cmocka_unit_test(files_in_another_form),
        cmocka_unit_test(encrypted_keys),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(keys_that_do_not_fit),
        cmocka_unit_test(dates),
        cmocka_unit_test(same_subject_as_its_ca),
        cmocka_unit_test(the_classic_tutorial),
        cmocka_unit_test(names_and_purposes),
        cmocka_unit_test(weak_ones),
        cmocka_unit_test(chains),
        cmocka_unit_test(a_ca_made_again),
        cmocka_unit_test(authorities),
        cmocka_unit_test(folders_of_authorities),
        cmocka_unit_test(lists),
        cmocka_unit_test(versions_and_ciphers),
        cmocka_unit_test(what_the_script_makes),
    };
    return cmocka_run_group_tests_name("crypto/context", tests, begin, finish);
}
