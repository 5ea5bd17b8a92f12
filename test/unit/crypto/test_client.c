/* The client's side of TLS, against our own server's side: whom it believes, what it says, and that bytes
 * pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ocsp.h>

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

/* ---- a pre-shared key ---- */

static void expect_psk(struct tls_context *to, const char *identity, const char *key,
                       enum dial_trouble trouble) {
    struct tls_client_settings wanted = wanted_of("localhost");
    wanted.cafile = NULL;
    wanted.psk_identity = identity;
    wanted.psk = key;
    struct tls_context *client = load_client(&wanted, NULL);
    struct talk talk = talk_of(client, to);
    assert_int_equal(shake(&talk), trouble == DIAL_TROUBLE_NONE);
    if (engine_dial_trouble(talk.client) != trouble)
        fail_msg("%s: %s", identity, dial_trouble_label(engine_dial_trouble(talk.client)));
    if (trouble == DIAL_TROUBLE_NONE)
        assert_string_equal(SSL_get_version(talk.client->ssl), "TLSv1.2");
    talk_free(&talk);
    tls_context_drop(client);
}

static void a_shared_key_is_both_sides_proof(void **state) {
    static const char keys[] = "edge:00a1b2c3d4e5f607\n";
    struct tls_settings settings = settings_of(false);
    (void)state;
    settings.certfile = settings.keyfile = NULL;
    settings.psk_file = text_write("keys", keys, sizeof keys - 1);
    settings.psk_hint = "remote";
    struct tls_context *to = load(&settings);
    expect_psk(to, "edge", "00a1b2c3d4e5f607", DIAL_TROUBLE_NONE);
    expect_psk(to, "edge", "00A1B2C3D4E5F607", DIAL_TROUBLE_NONE);
    expect_psk(to, "edge", "00a1b2c3d4e5f608", DIAL_TROUBLE_PEER_ALERT);
    expect_psk(to, "other", "00a1b2c3d4e5f607", DIAL_TROUBLE_PSK_REFUSED);
    expect_psk(plain, "edge", "00a1b2c3d4e5f607",
               DIAL_TROUBLE_HANDSHAKE_REFUSED); /* it has a certificate instead */
    tls_context_drop(to);
}

/* ---- a stapled answer of the authority ---- */

/* What is stapled: signed by `signer`, about `about`. */
struct staple_wish {
    const struct cert *signer;
    X509 *about;
    int status;
    long from_s, until_s; /* relative to now */
    bool is_broken;
    enum dial_trouble trouble;
};

static unsigned char *staple_make(const struct staple_wish *wish, int *size) {
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, wish->about, ca.x509);
    ASN1_TIME *from = X509_gmtime_adj(NULL, wish->from_s), *until = X509_gmtime_adj(NULL, wish->until_s);
    ASN1_TIME *revoked_at = wish->status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL;
    assert_non_null(OCSP_basic_add1_status(basic, id, wish->status, 0, revoked_at, from, until));
    unsigned long flags =
        wish->is_broken ? OCSP_NOCERTS : 0; /* so that its middle is signed, or the signature */
    assert_int_equal(OCSP_basic_sign(basic, wish->signer->x509, wish->signer->key, EVP_sha256(), NULL, flags),
                     1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *bytes = NULL;
    *size = i2d_OCSP_RESPONSE(response, &bytes);
    assert_true(*size > 0);
    if (wish->is_broken)
        bytes[*size / 2] ^= 1;
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return bytes;
}

static int staple_it(SSL *ssl, void *user) {
    int size;
    if (user == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *bytes = staple_make(user, &size);
    return SSL_set_tlsext_status_ocsp_resp(ssl, bytes, size) == 1 ? SSL_TLSEXT_ERR_OK
                                                                  : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void expect_staple(struct staple_wish *wish, int version) {
    struct tls_client_settings wanted = wanted_of("localhost");
    enum dial_trouble trouble = wish == NULL ? DIAL_TROUBLE_NOT_STAPLED : wish->trouble;
    wanted.requires_ocsp = true;
    struct tls_context *client = load_client(&wanted, NULL);
    struct tls_context *to = server_of("localhost", "DNS:localhost", &ca);
    if (wish != NULL && wish->about == NULL)
        wish->about = SSL_CTX_get0_certificate(to->ssl_ctx);
    SSL_CTX_set_max_proto_version(to->ssl_ctx, version);
    SSL_CTX_set_tlsext_status_cb(to->ssl_ctx, staple_it);
    SSL_CTX_set_tlsext_status_arg(to->ssl_ctx, wish);
    struct talk talk = talk_of(client, to);
    bool is_good = shake(&talk);
    if (engine_dial_trouble(talk.client) != trouble)
        fail_msg("%s", dial_trouble_label(engine_dial_trouble(talk.client)));
    assert_int_equal(is_good, trouble == DIAL_TROUBLE_NONE);
    talk_free(&talk);
    tls_context_drop(client);
    tls_context_drop(to);
}

static void a_staple_is_demanded(void **state) {
    const struct staple_wish rows[] = {
        {&ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600, false, DIAL_TROUBLE_NONE},
        {&ca, NULL, V_OCSP_CERTSTATUS_REVOKED, -60, 3600, false, DIAL_TROUBLE_NOT_STAPLED},
        {&ca, NULL, V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600, false, DIAL_TROUBLE_NOT_STAPLED},
        {&ca, NULL, V_OCSP_CERTSTATUS_GOOD, -7200, -3600, false, DIAL_TROUBLE_NOT_STAPLED}, /* too old */
        {&ca, NULL, V_OCSP_CERTSTATUS_GOOD, 3600, 7200, false, DIAL_TROUBLE_NOT_STAPLED}, /* of the future */
        {&ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600, true, DIAL_TROUBLE_NOT_STAPLED},
        {&ca, server.x509, V_OCSP_CERTSTATUS_GOOD, -60, 3600, false,
         DIAL_TROUBLE_NOT_STAPLED}, /* of another one */
        {&strange_ca, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600, false, DIAL_TROUBLE_NOT_STAPLED},
        {&server, NULL, V_OCSP_CERTSTATUS_GOOD, -60, 3600, false,
         DIAL_TROUBLE_NOT_STAPLED}, /* who may not sign it */
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
            struct staple_wish wish = rows[j];
            expect_staple(&wish, versions[i]);
        }
        expect_staple(NULL, versions[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_checked),
        cmocka_unit_test(bytes_pass_both_ways),
        cmocka_unit_test(our_certificate_is_shown),
        cmocka_unit_test(what_is_no_tls_is_told),
        cmocka_unit_test(a_shared_key_is_both_sides_proof),
        cmocka_unit_test(a_staple_is_demanded),
    };
    return cmocka_run_group_tests(tests, stage_begin, stage_finish);
}
