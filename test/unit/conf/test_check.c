/* Rules between options. */
#include "unit/conf/conf_test.h"

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING
#define NOTICE  FINDING_NOTICE

static void tls_is_whole_or_absent(void **state) {
    (void)state;
    expect_one(OPEN "certfile c\n", ERROR, ":4: certfile needs keyfile too");
    expect_one(OPEN "keyfile k\n", ERROR, ":4: keyfile needs certfile too");
    expect_one(OPEN "cafile c\n", ERROR, ":4: cafile needs TLS; add certfile and keyfile");
    expect_one(OPEN "capath c\n", ERROR, ":4: capath needs TLS");
    expect_one(OPEN "crlfile c\n", ERROR, ":4: crlfile needs TLS");
    /* a listener that was meant to ask for certificates must not come up plain */
    expect_one(OPEN "require_certificate true\n", ERROR, ":4: require_certificate needs TLS");
    expect_one(OPEN "use_identity_as_username true\n", ERROR, ":4: use_identity_as_username needs TLS");
    expect_one(OPEN "use_subject_as_username true\n", ERROR, ":4: use_subject_as_username needs TLS");
    expect_one(OPEN "tls_version tlsv1.3\n", WARNING, ":4: tls_version has no effect");
    expect_one(OPEN "ciphers x\n", WARNING, ":4: ciphers has no effect");
    struct outcome outcome = expect_clean(OPEN "require_certificate false\nuse_identity_as_username 0\n");
    outcome_clear(&outcome);
}

#define TLS OPEN "certfile c\nkeyfile k\n" /* five lines */

static void certificates_are_asked_for_or_not(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(TLS);
    assert_true(conf_listener_is_tls(&outcome.conf->listeners[0]));
    outcome_clear(&outcome);
    expect_one(TLS "require_certificate true\n", ERROR, ":6: require_certificate needs the authority");
    expect_one(TLS "use_identity_as_username true\n", WARNING,
               ":6: use_identity_as_username: no device is asked for a certificate, so every");
    expect_one(TLS "crlfile x\n", WARNING, ":6: crlfile has no effect");
    expect_one(TLS "cafile x\n", NOTICE, ":6: no device is asked for a certificate; add require_certificate");
    expect_one(
        TLS "capath x\nrequire_certificate true\nuse_identity_as_username true\nuse_subject_as_username 1\n",
        WARNING, ":9: use_subject_as_username has no effect beside");
    outcome = expect_clean(TLS "cafile x\nrequire_certificate true\ncrlfile y\n");
    outcome_clear(&outcome);
}

#define MUTUAL TLS "cafile a\nrequire_certificate true\n" /* seven lines */

static void sources_of_names(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(MUTUAL "username_from san_dns:16 # the last\nclientid_from serial\n"
                                                 "clientid_must_match true\none_session_per_certificate 1\n");
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_int_equal(listener->require_certificate, CONF_CERTIFICATE_REQUIRED);
    assert_int_equal(listener->username_from.kind, CONF_SOURCE_SAN_DNS);
    assert_int_equal(listener->username_from.number, 16);
    assert_int_equal(listener->clientid_from.kind, CONF_SOURCE_SERIAL);
    assert_int_equal(conf_listener_user_source(listener).kind, CONF_SOURCE_SAN_DNS);
    outcome_clear(&outcome);
    static const char *const wrong[] = {
        "cnn",        "none",       "",     "san_dns:",      "san_dns:0", "san_dns:17",
        "san_dns:01", "san_dns:1x", "cn:1", "fingerprint:2", "CN",        "san"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, MUTUAL "username_from %s\n", wrong[i]);
        expect_one(lines, ERROR, ":8: username_from ");
    }
}

/* What mosquitto's keywords say is not to be said twice. */
static void sources_exclude_each_other(void **state) {
    (void)state;
    expect_one(MUTUAL "username_from cn\nuse_identity_as_username true\n", ERROR,
               ":8: username_from and use_identity_as_username both");
    expect_one(MUTUAL "use_subject_as_username true\nusername_from cn\n", ERROR,
               ":9: username_from and use_subject_as_username both");
    expect_one(MUTUAL "clientid_from cn\nuse_username_as_clientid true\n", ERROR,
               ":8: clientid_from and use_username_as_clientid both");
    expect_one(MUTUAL "clientid_must_match true\n", ERROR, ":8: clientid_must_match has nothing to compare");
    struct outcome outcome = expect_clean(MUTUAL "use_subject_as_username true\n");
    assert_int_equal(conf_listener_user_source(&outcome.conf->listeners[0]).kind, CONF_SOURCE_SUBJECT);
    outcome_clear(&outcome);
}

static void sources_need_certificates(void **state) {
    (void)state;
    expect_one(OPEN "username_from cn\n", ERROR, ":4: username_from needs TLS");
    expect_one(OPEN "clientid_from cn\n", ERROR, ":4: clientid_from needs TLS");
    expect_one(OPEN "one_session_per_certificate true\n", ERROR, ":4: one_session_per_certificate needs TLS");
    expect_one(TLS "username_from cn\n", WARNING, ":6: username_from: no device is asked");
    expect_one(TLS "clientid_from cn\n", WARNING, ":6: clientid_from: no device is asked");
    expect_one(TLS "one_session_per_certificate true\n", ERROR,
               ":6: one_session_per_certificate needs certificates");
    static const char *const narrowing[] = {"allow_issuer", "allow_ou", "allow_san", "allow_spki"};
    for (size_t i = 0; i < 4; i++) {
        char lines[200], words[80];
        snprintf(words, sizeof words, ":4: %s needs TLS", narrowing[i]);
        snprintf(lines, sizeof lines, OPEN "%s x\n", narrowing[i]);
        expect_one(lines, ERROR, words);
        snprintf(words, sizeof words, ":6: %s needs certificates", narrowing[i]);
        snprintf(lines, sizeof lines, TLS "%s x\n", narrowing[i]);
        expect_one(lines, ERROR, words);
    }
    expect_one(OPEN "crl_check chain\n", ERROR, ":4: crl_check needs TLS");
    expect_one(MUTUAL "crl_check chain\n", ERROR, ":8: crl_check chain needs the lists");
    expect_one(MUTUAL "crlfile c\ncrlfile c\n", WARNING,
               ":9: crlfile says the same as the line etc/test.conf:8");
    expect_one(OPEN "require_certificate optional\n", ERROR, ":4: require_certificate needs TLS");
    expect_one(TLS "require_certificate optional\n", ERROR, ":6: require_certificate needs the authority");
    expect_one(TLS "require_certificate maybe\n", ERROR, ":6: require_certificate is 'maybe'");
    struct outcome outcome =
        expect_clean(TLS "cafile a\nrequire_certificate optional\nusername_from cn\ncrlfile c\ncrlfile d\n"
                         "crl_check chain\nallow_ou a\nallow_ou b*\n");
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_string_equal(listener->crlfile->text, "etc/c"); /* beside the configuration */
    assert_string_equal(listener->crlfile->next->text, "etc/d");
    assert_string_equal(listener->allow_ou->next->text, "b*");
    assert_int_equal(listener->allow_ou->next->origin.line, 13);
    assert_int_equal(outcome.conf->listeners[0].require_certificate, CONF_CERTIFICATE_OPTIONAL);
    outcome_clear(&outcome);
}

static void keys_or_certificates(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN "psk_hint h\npsk_file p\nciphers PSK\ntls_version tlsv1.3\n"
                                               "use_identity_as_username true\nclientid_from psk_identity\n");
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_true(conf_listener_is_tls(listener));
    assert_int_equal(conf_listener_user_source(listener).kind, CONF_SOURCE_PSK_IDENTITY);
    outcome_clear(&outcome);
    expect_one(OPEN "psk_hint h\n", ERROR, ":4: psk_hint needs psk_file");
    expect_one(OPEN "psk_file p\n", WARNING, ":4: psk_file has no effect");
    expect_one(TLS "psk_file p\npsk_hint h\n", ERROR, ":7: psk_hint and certfile exclude each other");
    expect_one(OPEN "psk_file p\npsk_hint h\nrequire_certificate true\n", ERROR,
               ":6: require_certificate is about certificates");
    expect_one(OPEN "psk_file p\npsk_hint h\ncrlfile c\n", ERROR, ":6: crlfile is about certificates");
    expect_one(OPEN "psk_file p\npsk_hint h\nusername_from cn\n", ERROR,
               ":6: username_from wants certificates");
    expect_one(OPEN "psk_file p\npsk_hint h\nuse_subject_as_username true\n", ERROR,
               ":6: use_subject_as_username wants certificates");
    expect_one(OPEN "psk_file p\npsk_hint h\nallow_ou x\n", ERROR, ":6: allow_ou wants certificates");
    expect_one(MUTUAL "username_from psk_identity\n", ERROR,
               ":8: username_from psk_identity needs pre-shared");
}

static void tls_versions_are_checked(void **state) {
    (void)state;
    expect_one(TLS "tls_version tlsv1\n", ERROR,
               ":6: tls_version is 'tlsv1', but may only be tlsv1.2 or tlsv1.3");
    expect_one(TLS "tls_version tlsv1.1\n", WARNING, ":6: tls_version tlsv1.1 is not offered any more");
    struct outcome outcome = expect_good(TLS "tls_version tlsv1.1\n");
    assert_string_equal(outcome.conf->listeners[0].tls_version, "tlsv1.2");
    outcome_clear(&outcome);
}

static void mount_points_are_checked(void **state) {
    (void)state;
    static const char *const good[] = {"a/",    "a/b/c/", "/",    "%c/",       "%u/%c/", "dev-%c/x/",
                                       "100%/", "%%c/",   "a b/", "\xc3\xa4/", "x$/",    "%u/x%c/%u/"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, OPEN "mount_point %s\n", good[i]);
        struct outcome outcome = expect_clean(text);
        assert_string_equal(outcome.conf->listeners[0].mount_point, good[i]);
        outcome_clear(&outcome);
    }
    expect_one(OPEN "mount_point a/+/\n", ERROR, ":4: mount_point is 'a/+/', but may not hold the wildcards");
    expect_one(OPEN "mount_point #\n", ERROR, ":4: mount_point is '#', but may not hold the wildcards");
    expect_one(OPEN "mount_point $share/g/\n", ERROR,
               ":4: mount_point is '$share/g/', but may not begin with $");
    expect_one(OPEN "mount_point $\n", ERROR, ":4: mount_point is '$', but may not begin with $");
    expect_one(OPEN "mount_point %c%u/\n", ERROR,
               ":4: mount_point is '%c%u/', where two devices could share");
    expect_one(OPEN "mount_point a/%u-%u/\n", ERROR, "put a / between %c and %u");
    expect_one(OPEN "mount_point %u\n", ERROR, ":4: mount_point is '%u', where two devices could share");
    expect_one(OPEN "mount_point %u/a\n", ERROR, "with %c or %u it must end in /");
    expect_one(OPEN "mount_point a\n", WARNING,
               ":4: mount_point is 'a' without a / at its end, so that topic a");
    expect_one(OPEN "mount_point\n", ERROR, ":4: mount_point");
    struct outcome outcome = expect_good(OPEN "mount_point a/\nmount_point b/\n");
    assert_string_equal(outcome.conf->listeners[0].mount_point, "b/"); /* the last counts, as in mosquitto */
    outcome_clear(&outcome);
    for (size_t size = 65534; size <= 65535; size++) {
        static char text[70000];
        int front = snprintf(text, sizeof text, OPEN "mount_point ");
        memset(text + front, 'm', size);
        memcpy(text + front + size - 1, "/\n", 3);
        if (size == 65535) {
            expect_one(text, ERROR, ":4: mount_point is longer than 65534 bytes");
            continue;
        }
        outcome = expect_clean(text);
        outcome_clear(&outcome);
    }
}

static void entry_is_looked_at(void **state) {
    (void)state;
    /* Without a password_file the broker decides: no warning, unlike in mosquitto, where nobody could log in.
     */
    struct outcome outcome = expect_clean("backend h\nlistener 1\n");
    outcome_clear(&outcome);
    outcome = expect_clean("backend h\nlistener 1\npassword_file p\n");
    outcome_clear(&outcome);
    outcome = expect_clean("backend h\nlistener 1\ncertfile c\nkeyfile k\ncafile a\nrequire_certificate 1\n"
                           "use_subject_as_username 1\n");
    outcome_clear(&outcome);
}

static void two_listeners_need_two_places(void **state) {
    (void)state;
    static const struct {
        const char *one, *other;
        bool is_same;
    } pairs[] = {{"1", "1", true},
                 {"1", "2", false},
                 {"1 127.0.0.1", "1 127.0.0.1", true},
                 {"1 127.0.0.1", "1 127.0.0.2", false},
                 {"1", "1 127.0.0.1", false}, /* the more certain address wins in the kernel */
                 {"1", "1 0.0.0.0", true},
                 {"1 ::", "1 0.0.0.0", false},
                 {"1 ::", "1", true},
                 {"1\nsocket_domain ipv4", "1\nsocket_domain ipv6", false},
                 {"1\nsocket_domain ipv4", "1", true},
                 {"1\nbind_interface eth0", "1\nbind_interface eth1", false},
                 {"0 a", "0 a", true},
                 {"0 a", "0 b", false},
                 {"0 a", "1 a", false}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, "backend h\nallow_anonymous 1\nlistener %s\nlistener %s\n",
                 pairs[i].one, pairs[i].other);
        if (pairs[i].is_same) {
            expect_one(lines, ERROR, "the listener at " TEST_PATH ":3 listens at the same port already");
        } else {
            struct outcome outcome = expect_clean(lines);
            outcome_clear(&outcome);
        }
    }
    expect_one(OPEN "listener 0 0123456789"
                    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
                    "890123456789\n",
               ERROR, ":4: the path is longer than 107 bytes");
}

static void metrics_need_a_place_of_their_own(void **state) {
    (void)state;
    expect_one(OPEN "metrics_listener 127.0.0.1:1883\n", ERROR, ":4: metrics_listener has port 1883");
    expect_one(OPEN "metrics_listener 0.0.0.0:1883\n", ERROR, ":4: metrics_listener has port 1883");
    expect_one("backend h\nmetrics_listener [::1]:1883\n", ERROR, ":2: metrics_listener has port 1883");
    struct outcome outcome = expect_clean(OPEN "metrics_listener [::]:9344\n");
    assert_string_equal(outcome.conf->metrics_listener->host, "::");
    assert_int_equal(outcome.conf->metrics_listener->port, 9344);
    outcome_clear(&outcome);
}

static void the_backend_is_not_ourselves(void **state) {
    (void)state;
    static const char *const loops[] = {
        "backend 127.0.0.1:1883\n",
        "backend localhost\n",
        "backend [::1]\n",
        "backend 127.0.0.1:9\nlistener 9\nallow_anonymous 1\n",
        "backend [::1]:9\nlistener 9 ::\nallow_anonymous 1\n",
        "backend 192.0.2.1:9\nlistener 9 192.0.2.1\nallow_anonymous 1\n",
        "backend localhost:9\nlistener 9 127.0.0.1\nallow_anonymous 1\n",
        "backend unix:a\nlistener 0 a\nallow_anonymous 1\n",
    };
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++)
        expect_one(loops[i], ERROR, TEST_PATH ":1: backend ");
    static const char *const good[] = {
        "backend 127.0.0.1:1884\n",
        "backend 192.0.2.1:9\nlistener 9\nallow_anonymous 1\n", /* may be another machine */
        "backend [::1]:9\nlistener 9 127.0.0.1\nallow_anonymous 1\n",
        "backend 127.0.0.1:9\nlistener 9 ::\nallow_anonymous 1\nsocket_domain ipv6\n",
        "backend unix:a\nlistener 0 b\nallow_anonymous 1\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct outcome outcome = expect_clean(good[i]);
        outcome_clear(&outcome);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_is_whole_or_absent),
        cmocka_unit_test(certificates_are_asked_for_or_not),
        cmocka_unit_test(sources_of_names),
        cmocka_unit_test(sources_exclude_each_other),
        cmocka_unit_test(sources_need_certificates),
        cmocka_unit_test(keys_or_certificates),
        cmocka_unit_test(tls_versions_are_checked),
        cmocka_unit_test(mount_points_are_checked),
        cmocka_unit_test(entry_is_looked_at),
        cmocka_unit_test(two_listeners_need_two_places),
        cmocka_unit_test(metrics_need_a_place_of_their_own),
        cmocka_unit_test(the_backend_is_not_ourselves),
    };
    return cmocka_run_group_tests_name("conf/check", tests, NULL, NULL);
}
