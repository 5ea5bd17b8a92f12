/* A server engine fed with bytes of a stranger, in pieces of every size. The first byte of the input says how
 * far a good client comes before: 0 not at all, 1 its first flight with a byte bent, 2 an open connection of
 * TLS 1.3, 3 one of TLS 1.2; with 4 added a certificate is required. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The helpers of the unit tests, with abort in the place of cmocka. */
#define assert_true(value)             ((value) ? (void)0 : abort())
#define assert_non_null(value)         assert_true((value) != NULL)
#define assert_int_equal(value, other) assert_true((long long)(value) == (long long)(other))

#include "crypto/inside.h"
#include "unit/crypto/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cert ca, server, device;
static struct tls_context *contexts[2];

static void begin(void) {
    certs_begin();
    ca = cert_make((struct cert_wish){.name = "Test CA", .is_ca = true});
    server = cert_make((struct cert_wish){.name = "localhost", .by = &ca, .alt = "DNS:localhost"});
    device = cert_make((struct cert_wish){.name = "device", .by = &ca});
    struct tls_settings settings = {.certfile = cert_write("server.crt", &server),
                                    .keyfile = key_write("server.key", &server),
                                    .cafile = cert_write("ca.crt", &ca),
                                    .crlfiles = paths_of(list_write("ca.crl", &ca, NULL, -60, CERT_DAY * 30)),
                                    .now_s = time(NULL)};
    struct findings findings;
    findings_init(&findings);
    for (int i = 0; i < 2; i++) {
        settings.require_certificate = i == 1;
        contexts[i] = tls_context_load(&settings, &findings);
        assert_non_null(contexts[i]);
    }
    findings_clear(&findings);
    certs_end();
}

/* As the link does, and what must hold after it. */
static void feed(struct pair *pair, const uint8_t *bytes, size_t size) {
    enum engine_state before = engine_state_of(pair->server);
    pair->got_size = 0;
    pair_feed(pair, bytes, size);
    enum engine_state after = engine_state_of(pair->server);
    assert_int_equal(pair->server->in.size, 0);
    assert_true(pair->server->out == NULL);
    assert_true(after >= before); /* the states stand in their order */
    assert_true((after == ENGINE_BROKEN) == (engine_trouble(pair->server) != TLS_TROUBLE_NONE));
    assert_int_equal(ERR_peek_error() != 0 && after != ENGINE_BROKEN && after != ENGINE_SHAKING, 0);
    if (after == ENGINE_CLOSED || after == ENGINE_BROKEN)
        assert_int_equal(engine_write(pair->server, SPAN_LITERAL("x"), &pair->out), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (contexts[0] == NULL)
        begin();
    if (size < 3)
        return 0;
    unsigned mode = data[0] & 3;
    size_t step = data[1] == 0 ? size : data[1];
    struct tls_context *context = contexts[(data[0] & 4) != 0];
    struct client_wish wish = {.version = mode == 3 ? TLS1_2_VERSION : TLS1_3_VERSION, .cert = &device};
    data += 2, size -= 2;
    struct pair pair = pair_of(context, wish);
    pair.room = 300;
    if (mode == 1) {
        uint8_t hello[4096];
        SSL_do_handshake(pair.client);
        int count = BIO_read(pair.from_client, hello, sizeof hello);
        assert_true(count > 0);
        for (size_t i = 0; i + 2 < size; i += 3)
            hello[(data[i] << 8 | data[i + 1]) % count] ^= data[i + 2];
        feed(&pair, hello, (size_t)count);
        pair_shake(&pair);
    } else if (mode >= 2) {
        assert_true(pair_shake(&pair));
    }
    ERR_clear_error();
    for (size_t at = 0; at < size; at += step)
        feed(&pair, data + at, size - at < step ? size - at : step);
    assert_true(mode != 0 || engine_state_of(pair.server) != ENGINE_OPEN);
    engine_close(pair.server, &pair.out);
    assert_true(pair.out.filled < 100);
    pair_free(&pair);
    return 0;
}
