/* host: sections of a listener. */
#include "unit/conf/conf_test.h"

#include "conf/diff.h"

#define LISTENER "backend h\nlistener 8883\ncertfile c\nkeyfile k\n" /* four lines */

static void a_host_has_its_own_and_the_listeners(void **state) {
    (void)state;
    struct outcome outcome = expect_good(
        LISTENER
        "cafile ca\ncapath cp\nmax_qos 1\nacl_file all\nhost A.Example.com\ncertfile hc\nkeyfile hk\n"
        "cafile hca\nrequire_certificate true\nbackend other:1999\nacl_file own\n"
        "host *.example.com\nmax_qos 0\n"
        "listener 1884\nmax_qos 2\n");
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_int_equal(listener->host_count, 2);
    assert_string_equal(listener->certfile->text, "etc/c");
    assert_false(listener->require_certificate);
    assert_string_equal(listener->acl_file, "etc/all");
    assert_string_equal(listener->backend->host, "h");
    const struct conf_listener *host = &listener->hosts[0];
    assert_string_equal(host->host, "a.example.com");
    assert_string_equal(host->certfile->text, "etc/hc");
    assert_null(host->certfile->next);
    assert_string_equal(host->keyfile->text, "etc/hk");
    assert_string_equal(host->cafile, "etc/hca");
    assert_null(host->capath); /* it belongs to the other cafile */
    assert_true(host->require_certificate);
    assert_int_equal(host->max_qos, 1);
    assert_int_equal(host->port, 8883);
    assert_string_equal(host->acl_file, "etc/own");
    assert_string_equal(host->backend->host, "other");
    assert_int_equal(host->backend->port, 1999);
    assert_int_equal(host->line, 9);
    host = &listener->hosts[1];
    assert_string_equal(host->host, "*.example.com");
    assert_string_equal(host->certfile->text, "etc/c");
    assert_int_equal(host->max_qos, 0);
    assert_string_equal(host->acl_file, "etc/all"); /* not of the host above */
    assert_ptr_equal(host->backend, outcome.conf->backend);
    char name[100];
    assert_string_equal(conf_listener_name(host, name, sizeof name), "listener 8883 host *.example.com");
    assert_int_equal(outcome.conf->listeners[1].host_count, 0);
    assert_int_equal(outcome.conf->listeners[1].max_qos, 2);
    outcome_clear(&outcome);
}

static void names_are_checked(void **state) {
    (void)state;
    static const char *const bad[] = {"a..b", ".a",  "a.",           "*",         "*.",  "a.*.b",
                                      "*a.b", "a b", "b\xC3\xBC.de", "192.0.2.1", "::1", "a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, LISTENER "host %s\n", bad[i]);
        expect_one(lines, FINDING_ERROR, ":5: host is '");
    }
    static const char *const good[] = {"a", "A.b-c.d_e", "1.example", "xn--bcher-kva.example", "*.a"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, LISTENER "host %s\n", good[i]);
        struct outcome outcome = expect_good(lines);
        assert_int_equal(outcome.conf->listeners[0].host_count, 1);
        outcome_clear(&outcome);
    }
    expect_one(LISTENER "host\n", FINDING_ERROR, "host has no value");
    expect_one(LISTENER "host a\nhost A\n", FINDING_ERROR, ":6: host a stands at etc/test.conf:5 already");
}

static void what_is_the_listeners_is_refused(void **state) {
    (void)state;
    static const char *const lines[] = {
        "max_connections 5",     "tls_version tlsv1.3", "alpn x",
        "sni_strict true",       "pem_dir d",           "allow_from 192.0.2.0/24",
        "handshake_timeout 5s",  "publish_rate 5/s",    "ciphers x",
        "ban_after 5/60s for 1m"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[200];
        snprintf(text, sizeof text, LISTENER "host a\n%s\n", lines[i]);
        expect_one(text, FINDING_ERROR, "is the listener's, not that of a host");
    }
    expect_one(LISTENER "host a\nbackend x\nbackend y\n", FINDING_ERROR,
               "backend of host a stands at etc/test.conf:6");
    expect_one("backend h\nhost a\n", FINDING_ERROR, "host stands before any listener");
    expect_one("backend h\nlistener 1\nallow_anonymous true\nhost a\n", FINDING_ERROR, ":4: host needs TLS");
    expect_one(LISTENER "host a\ncertfile x\n", FINDING_ERROR, ":6: certfile needs keyfile too");
    expect_one(LISTENER "host a\nrequire_certificate true\n", FINDING_ERROR,
               ":6: require_certificate needs the authority");
    expect_one(LISTENER "host a\nbackend 127.0.0.1:8883\n", FINDING_ERROR,
               ":6: backend 127.0.0.1:8883 is Drawbridge's own");
    /* What is the program's stays it. */
    struct outcome outcome = expect_good(LISTENER "host a\nworkers 3\nmax_keepalive 9\n");
    assert_int_equal(outcome.conf->workers, 3);
    assert_int_equal(outcome.conf->listeners[0].max_keepalive, 9);
    outcome_clear(&outcome);
}

static char told[1000];
static void on_told(void *keeper, const struct conf_change *change) {
    (void)keeper;
    size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s %s>%s%s;", change->keyword, change->from, change->to,
             change->needs_restart ? "!" : "");
}

static void changes_of_hosts_are_told(void **state) {
    (void)state;
    struct outcome old = expect_good(LISTENER "host a\nmax_qos 1\nhost b\n");
    struct outcome new = expect_good(LISTENER "host a\nmax_qos 0\nhost c\n");
    told[0] = '\0';
    assert_int_equal(conf_diff(old.conf, new.conf, on_told, NULL), 3);
    assert_string_equal(told, "max_qos 1>0;host none>listener 8883 host c;host listener 8883 host b>none;");
    outcome_clear(&old);
    outcome_clear(&new);
}

static void pem_dir_turns_tls_on(void **state) {
    (void)state;
    struct outcome outcome = expect_good("backend h\nlistener 8883\npem_dir certs\nhost a\n");
    assert_true(conf_listener_is_tls(&outcome.conf->listeners[0]));
    assert_string_equal(outcome.conf->listeners[0].hosts[0].pem_dir, "etc/certs");
    outcome_clear(&outcome);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_has_its_own_and_the_listeners),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(what_is_the_listeners_is_refused),
        cmocka_unit_test(changes_of_hosts_are_told),
        cmocka_unit_test(pem_dir_turns_tls_on),
    };
    return cmocka_run_group_tests_name("conf/host", tests, NULL, NULL);
}
