/* alpn: what listener and device agree on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

static struct tls_context *context_of(const char *alpn, bool is_strict) {
    struct tls_settings settings = settings_of(false);
    settings.alpn = alpn;
    settings.alpn_strict = is_strict;
    return load(&settings);
}

/* `chosen` "": none, and let in. */
static void expect(struct tls_context *context, const char *offered, const char *chosen) {
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(context, (struct client_wish){.version = versions[i], .alpn = offered});
        assert_true(pair_shake(&pair));
        const unsigned char *name;
        unsigned size;
        SSL_get0_alpn_selected(pair.client, &name, &size);
        struct span protocol = engine_protocol(pair.server);
        assert_int_equal(size, strlen(chosen));
        assert_true(span_is_text(protocol, chosen));
        assert_true(size == 0 || memcmp(name, chosen, size) == 0);
        pair_free(&pair);
    }
}

static void the_listeners_order_decides(void **state) {
    (void)state;
    struct tls_context *context = context_of("mqtt, x-amzn-mqtt-ca  http/1.1", false);
    expect(context, "\4mqtt", "mqtt");
    expect(context, "\10http/1.1\4mqtt", "mqtt");
    expect(context, "\10http/1.1\16x-amzn-mqtt-ca", "x-amzn-mqtt-ca");
    expect(context, "\10http/1.1", "http/1.1");
    expect(context, "\3mqt\5mqtt1\4MQTT", "");
    expect(context, NULL, "");
    tls_context_drop(context);
    context = context_of("h2", false);
    expect(context, "\4mqtt", "");
    expect(context, "\4mqtt\2h2", "h2");
    tls_context_drop(context);
}

static void strict_refuses(void **state) {
    (void)state;
    struct tls_context *context = context_of("mqtt", true);
    expect(context, "\2h2\4mqtt", "mqtt");
    expect_trouble(context, (struct client_wish){.alpn = "\2h2"}, TLS_TROUBLE_NO_SHARED_PROTOCOL);
    expect_trouble(context, (struct client_wish){.alpn = NULL}, TLS_TROUBLE_NO_SHARED_PROTOCOL);
    tls_context_drop(context);
}

static void bad_lists_are_refused(void **state) {
    (void)state;
    char longest[300] = "";
    memset(longest, 'a', 256);
    const char *const lists[] = {"", " , ", longest};
    for (size_t i = 0; i < 3; i++) {
        struct findings findings;
        findings_init(&findings);
        struct tls_settings settings = settings_of(false);
        settings.alpn = lists[i];
        assert_null(tls_context_load(&settings, &findings));
        assert_int_equal(findings.error_count, 1);
        assert_non_null(strstr(findings.first->text, "alpn names"));
        findings_clear(&findings);
    }
    longest[255] = '\0';
    tls_context_drop(context_of(longest, false));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_listeners_order_decides),
        cmocka_unit_test(strict_refuses),
        cmocka_unit_test(bad_lists_are_refused),
    };
    return cmocka_run_group_tests_name("crypto/alpn", tests, stage_begin, stage_finish);
}
