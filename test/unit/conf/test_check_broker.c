/* What is said of PROXY protocol and TLS to the broker before anything is loaded. */
#include "unit/conf/conf_test.h"

#define FROM "proxy_protocol_from 192.0.2.1\n"
#define TLS  "backend_tls true\n"

static void who_may_announce(void **state) {
    (void)state;
    expect_one(OPEN "enable_proxy_protocol 1\n", FINDING_ERROR,
               ":4: enable_proxy_protocol needs proxy_protocol_from");
    expect_one(OPEN "enable_proxy_protocol 1\nproxy_protocol_from none\n", FINDING_ERROR,
               "needs proxy_protocol_from");
    expect_one(OPEN "enable_proxy_protocol 2\nproxy_protocol_from ::/0\n", FINDING_WARNING, "somebody else");
    expect_one(OPEN FROM, FINDING_WARNING, "no effect without enable_proxy_protocol");
    expect_one(OPEN FROM "enable_proxy_protocol 1\nproxy_protocol_v2_require_tls true\n", FINDING_ERROR,
               "needs enable_proxy_protocol 2");
    expect_one(OPEN "proxy_protocol_v2_require_tls true\n", FINDING_ERROR, "needs enable_proxy_protocol 2");
    expect_one(OPEN FROM "enable_proxy_protocol 1\nrequire_certificate true\n", FINDING_ERROR,
               "require_certificate needs TLS");
    expect_one("backend h\n" FROM "listener 0 s\nallow_anonymous true\nenable_proxy_protocol 3\n",
               FINDING_ERROR, "must be from 0 to 2");
    static const char *const good[] = {
        OPEN "enable_proxy_protocol 0\n", OPEN "enable_proxy_protocol 1\n" FROM,
        "backend h\n" FROM "listener 1\nallow_anonymous true\nenable_proxy_protocol 2\nlistener 2\n",
        "backend h\nlistener 0 s\nallow_anonymous true\nenable_proxy_protocol 2\n",
        OPEN FROM "enable_proxy_protocol 2\nrequire_certificate true\nuse_identity_as_username true\n"
                  "proxy_protocol_v2_require_tls true\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct outcome outcome = expect_clean(good[i]);
        outcome_clear(&outcome);
    }
}

/* A line about TLS without TLS would mean plain text. */
static void nothing_goes_out_in_plain_text(void **state) {
    (void)state;
    static const char *const lines[] = {"backend_cafile c",      "backend_capath c",
                                        "backend_sni n",         "backend_alpn mqtt",
                                        "backend_insecure true", "backend_http_proxy http://p:1"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, OPEN "%s\n", lines[i]);
        expect_one(text, FINDING_ERROR, "needs backend_tls true");
    }
    struct outcome outcome = expect_clean(OPEN "backend_insecure false\n");
    outcome_clear(&outcome);
}

static void tls_to_the_broker_is_whole(void **state) {
    (void)state;
    expect_one(OPEN TLS "backend_certfile c\n", FINDING_ERROR, "backend_certfile needs backend_keyfile too");
    expect_one(OPEN TLS "backend_keyfile c\n", FINDING_ERROR, "backend_keyfile needs backend_certfile too");
    expect_one(OPEN TLS "backend_sni 192.0.2.1\n", FINDING_ERROR, "only names can be asked for");
    expect_one(OPEN TLS "backend_alpn ,mqtt\n", FINDING_ERROR, "protocol of 0 bytes");
    expect_one(OPEN TLS "backend_alpn mqtt,\n", FINDING_ERROR, "protocol of 0 bytes");
    expect_one(OPEN TLS "backend_insecure true\n", FINDING_WARNING,
               "the broker's certificate is not checked");
    expect_one(OPEN TLS "backend_cafile c\nbackend_insecure true\n", FINDING_WARNING,
               "the name in the broker's");
    expect_one("backend unix:/x\nlistener 1\nallow_anonymous true\n" TLS, FINDING_ERROR, "needs backend_sni");
    expect_one("backend unix:/x\nlistener 1\nallow_anonymous true\n" TLS
               "backend_sni n\nbackend_http_proxy http://p:1\n",
               FINDING_ERROR, "cannot reach a Unix socket");
    expect_one(OPEN TLS "backend_http_proxy_password_file f\n", FINDING_ERROR,
               "needs backend_http_proxy with a user");
    struct outcome outcome = expect_clean(OPEN TLS "backend_alpn mqtt,x\nbackend_sni broker.example\n");
    outcome_clear(&outcome);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_announce),
        cmocka_unit_test(nothing_goes_out_in_plain_text),
        cmocka_unit_test(tls_to_the_broker_is_whole),
    };
    return cmocka_run_group_tests_name("conf/check_broker", tests, NULL, NULL);
}
