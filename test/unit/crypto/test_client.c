/* The client's side of TLS, against our own server's side: whom it believes, what it says, and that bytes
 * pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

struct talk {
    struct engine *client, *server;
    struct engine_out to_server, to_client;
};

static struct tls_client_settings wanted_of(const char *host) {
    return (struct tls_client_settings){
        .file = "gate.conf", .line = 1, .cafile = certs_path("ca.crt"), .host = host, .now_s = time(NULL)};
}

static struct tls_context *load_client(const struct tls_client_settings *settings, const char *words) {
    struct findings findings;
    findings_init(&findings);
    struct tls_context *context = tls_context_load_client(settings, &findings);
    bool is_said = words == NULL;
    for (struct finding *each = findings.first; each != NULL; each = each->next)
        is_said = is_said || strstr(each->text, words) != NULL;
    assert_true(is_said);
    assert_int_equal(context != NULL, findings.error_count == 0);
    findings_clear(&findings);
    return context;
}

static struct talk talk_of(struct tls_context *client, struct tls_context *to) {
    struct talk talk = {engine_dial(client),
                        engine_accept(to),
                        {malloc(ENGINE_OUT_SIZE), ENGINE_OUT_SIZE, 0},
                        {malloc(ENGINE_OUT_SIZE), ENGINE_OUT_SIZE, 0}};
    assert_non_null(talk.client);
    assert_non_null(talk.server);
    assert_int_equal(engine_start(talk.client, &talk.to_server), ENGINE_SHAKING);
    return talk;
}

static void talk_free(struct talk *talk) {
    engine_destroy(talk->client);
    engine_destroy(talk->server);
    free(talk->to_server.room);
    free(talk->to_client.room);
}

/* Carries what one said to the other, which reads into `room`; the bytes it got. */
static size_t carry(struct engine *to, struct engine_out *from, struct engine_out *answer, uint8_t *room,
                    size_t size) {
    size_t count = from->filled, got = 0, more;
    uint8_t *own = malloc(count + 1);
    memcpy(own, from->room, count);
    from->filled = 0;
    engine_feed(to, span_of(own, count), answer);
    while ((more = engine_read(to, room + got, size - got, answer)) != 0)
        got += more;
    free(own);
    return got;
}

static bool shake(struct talk *talk) {
    uint8_t room[64];
    while (talk->to_server.filled != 0 || talk->to_client.filled != 0) {
        carry(talk->server, &talk->to_server, &talk->to_client, room, sizeof room);
        carry(talk->client, &talk->to_client, &talk->to_server, room, sizeof room);
    }
    return engine_state_of(talk->client) == ENGINE_OPEN && engine_state_of(talk->server) == ENGINE_OPEN;
}

static struct tls_context *server_of(const char *name, const char *alt, const struct cert *by) {
    struct cert made = cert_make((struct cert_wish){.name = name, .by = by, .alt = alt});
    cert_write("broker.crt", &made);
    key_write("broker.key", &made);
    struct tls_settings settings = settings_of(false);
    settings.certfile = certs_path("broker.crt");
    settings.keyfile = certs_path("broker.key");
    struct tls_context *context = load(&settings);
    cert_free(&made);
    return context;
}

static void the_name_is_checked(void **state) {
    (void)state;
    static const struct {
        const char *host, *sni, *alt;
        bool is_strange, is_insecure, has_ca;
        enum dial_trouble trouble;
    } rows[] = {
        {"localhost", NULL, "DNS:localhost", false, false, true, DIAL_TROUBLE_NONE},
        {"LOCALHOST", NULL, "DNS:localhost", false, false, true, DIAL_TROUBLE_NONE},
        {"a.example", NULL, "DNS:*.example", false, false, true, DIAL_TROUBLE_WRONG_NAME},
        {"b.a.example", NULL, "DNS:*.a.example", false, false, true, DIAL_TROUBLE_NONE},
        {"bc.a.example", NULL, "DNS:b*.a.example", false, false, true, DIAL_TROUBLE_WRONG_NAME},
        {"other", NULL, "DNS:localhost", false, false, true, DIAL_TROUBLE_WRONG_NAME},
        {"192.0.2.1", NULL, "IP:192.0.2.1", false, false, true, DIAL_TROUBLE_NONE},
        {"192.0.2.1", NULL, "IP:192.0.2.2", false, false, true, DIAL_TROUBLE_WRONG_NAME},
        {"192.0.2.1", NULL, "DNS:192.0.2.1", false, false, true, DIAL_TROUBLE_WRONG_NAME},
        {"2001:db8::1", NULL, "IP:2001:db8::1", false, false, true, DIAL_TROUBLE_NONE},
        {"192.0.2.1", "localhost", "DNS:localhost", false, false, true, DIAL_TROUBLE_NONE},
        {"localhost", "other", "DNS:localhost", false, false, true, DIAL_TROUBLE_WRONG_NAME},
        {NULL, "localhost", "DNS:localhost", false, false, true, DIAL_TROUBLE_NONE},
        {"localhost", NULL, "DNS:localhost", true, false, true, DIAL_TROUBLE_UNKNOWN_CA},
        {"other", NULL, "DNS:localhost", false, true, true, DIAL_TROUBLE_NONE},
        {"other", NULL, "DNS:localhost", true, true, true, DIAL_TROUBLE_UNKNOWN_CA},
        {"other", NULL, "DNS:localhost", true, true, false, DIAL_TROUBLE_NONE},
        {"localhost", NULL, "DNS:localhost", false, false, false, DIAL_TROUBLE_UNKNOWN_CA},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_client_settings wanted = wanted_of(rows[i].host);
        wanted.sni = rows[i].sni;
        wanted.is_insecure = rows[i].is_insecure;
        if (!rows[i].has_ca)
            wanted.cafile = NULL;
        struct tls_context *client = load_client(&wanted, NULL);
        struct tls_context *to = server_of("localhost", rows[i].alt, rows[i].is_strange ? &strange_ca : &ca);
        struct talk talk = talk_of(client, to);
        bool is_good = shake(&talk);
        if (engine_dial_trouble(talk.client) != rows[i].trouble)
            fail_msg("row %zu: %s", i, dial_trouble_label(engine_dial_trouble(talk.client)));
        assert_int_equal(is_good, rows[i].trouble == DIAL_TROUBLE_NONE);
        assert_int_equal(engine_state_of(talk.client), is_good ? ENGINE_OPEN : ENGINE_BROKEN);
        const char *asked = SSL_get_servername(talk.server->ssl, TLSEXT_NAMETYPE_host_name);
        bool is_name = rows[i].sni != NULL || (rows[i].host[0] != '1' && rows[i].host[0] != '2');
        if (is_good && is_name)
            assert_string_equal(asked, rows[i].sni != NULL ? rows[i].sni : rows[i].host);
        else if (is_good)
            assert_null(asked); /* an address is not asked for (RFC 6066 3) */
        talk_free(&talk);
        tls_context_drop(client);
        tls_context_drop(to);
    }
    struct tls_client_settings nameless = wanted_of(NULL);
    assert_null(load_client(&nameless, "")); /* nothing is believed without a name */
}

static void bytes_pass_both_ways(void **state) {
    (void)state;
    static uint8_t bytes[ENGINE_WRITE_MAX], got[ENGINE_WRITE_MAX];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    struct tls_client_settings wanted = wanted_of("localhost");
    wanted.alpn = "x,mqtt";
    struct tls_context *client = load_client(&wanted, NULL);
    struct talk talk = talk_of(client, plain);
    assert_true(shake(&talk));
    const unsigned char *chosen;
    unsigned size;
    SSL_get0_alpn_selected(talk.client->ssl, &chosen, &size);
    assert_true(span_is_text(span_of(chosen, size), "mqtt"));
    assert_int_equal(engine_write(talk.client, span_of(bytes, sizeof bytes), &talk.to_server), sizeof bytes);
    assert_int_equal(carry(talk.server, &talk.to_server, &talk.to_client, got, sizeof got), sizeof bytes);
    assert_memory_equal(got, bytes, sizeof bytes);
    assert_int_equal(engine_write(talk.server, span_of(bytes, sizeof bytes), &talk.to_client), sizeof bytes);
    assert_int_equal(carry(talk.client, &talk.to_client, &talk.to_server, got, sizeof got), sizeof bytes);
    assert_memory_equal(got, bytes, sizeof bytes);
    engine_close(talk.client, &talk.to_server);
    carry(talk.server, &talk.to_server, &talk.to_client, got, sizeof got);
    assert_int_equal(engine_state_of(talk.server), ENGINE_CLOSED);
    talk_free(&talk);
    tls_context_drop(client);
}

static void our_certificate_is_shown(void **state) {
    (void)state;
    cert_write("own.crt", &device);
    key_write("own.key", &device);
    struct tls_client_settings wanted = wanted_of("localhost");
    wanted.certfile = certs_path("own.crt");
    wanted.keyfile = certs_path("own.key");
    struct tls_context *client = load_client(&wanted, NULL);
    struct talk talk = talk_of(client, strict);
    assert_true(shake(&talk));
    assert_true(engine_peer_has_certificate(talk.server));
    talk_free(&talk);
    tls_context_drop(client);
    wanted.keyfile = certs_path("server.key");
    assert_null(load_client(&wanted, "is not the key"));
    wanted.keyfile = certs_path("ca.crt");
    assert_null(load_client(&wanted, "backend_keyfile"));
    wanted.keyfile = certs_path("own.key");
    wanted.certfile = certs_path("nowhere.crt");
    assert_null(load_client(&wanted, "backend_certfile"));
}

static void what_is_no_tls_is_told(void **state) {
    (void)state;
    struct tls_client_settings wanted = wanted_of("localhost");
    struct tls_context *client = load_client(&wanted, NULL);
    static const struct {
        struct span answer;
        enum dial_trouble trouble;
    } rows[] = {{SPAN_LITERAL("HTTP/1.1 400 Bad Request\r\n\r\n"), DIAL_TROUBLE_NOT_TLS},
                {SPAN_LITERAL("\x20\x02\x00\x05 and so on"), DIAL_TROUBLE_NOT_TLS},
                {SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x46"), DIAL_TROUBLE_UNSUPPORTED_VERSION},
                {SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x28"), DIAL_TROUBLE_HANDSHAKE_REFUSED},
                {SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x70"), DIAL_TROUBLE_NAME_REFUSED},
                {SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x78"), DIAL_TROUBLE_ALPN_REFUSED},
                {SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x50"), DIAL_TROUBLE_PEER_ALERT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct talk talk = talk_of(client, plain);
        assert_int_equal(engine_feed(talk.client, rows[i].answer, &talk.to_server), ENGINE_BROKEN);
        if (engine_dial_trouble(talk.client) != rows[i].trouble)
            fail_msg("row %zu: %s", i, dial_trouble_label(engine_dial_trouble(talk.client)));
        assert_non_null(dial_trouble_sentence(rows[i].trouble));
        talk_free(&talk);
    }
    tls_context_drop(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_checked),
        cmocka_unit_test(bytes_pass_both_ways),
        cmocka_unit_test(our_certificate_is_shown),
        cmocka_unit_test(what_is_no_tls_is_told),
    };
    return cmocka_run_group_tests(tests, stage_begin, stage_finish);
}
