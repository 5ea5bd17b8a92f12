/* engine: against an OpenSSL client, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/inside.h"
#include "unit/crypto/stage.h"

#define MIB (1024 * 1024)

static void both_versions(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair =
            pair_of(plain, (struct client_wish){.version = versions[i], .cafile = certs_path("ca.crt")});
        assert_int_equal(engine_state_of(pair.server), ENGINE_SHAKING);
        assert_true(pair_shake(&pair));
        assert_string_equal(engine_version(pair.server), i == 0 ? "TLSv1.2" : "TLSv1.3");
        assert_string_equal(engine_cipher(pair.server),
                            i == 0 ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256");
        assert_false(engine_is_resumed(pair.server));
        assert_false(engine_peer_has_certificate(pair.server));
        assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_NONE);
        assert_int_equal(SSL_get_negotiated_group(pair.client), NID_X25519);
        talk(&pair);
        pair_free(&pair);
    }
}

static void byte_by_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pair pair = pair_of(i < 2 ? plain : strict,
                                   (struct client_wish){.version = versions[i % 2], .cert = &device});
        pair.step = 1;
        pair.room = 1;
        assert_true(pair_shake(&pair));
        talk(&pair);
        pair_free(&pair);
    }
}

/* What strangers leave at half a ClientHello costs its bytes, and none of OpenSSL's. */
static void a_hello_in_pieces_waits_outside(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){0});
    uint8_t bytes[4096];
    SSL_do_handshake(pair.client);
    int size = BIO_read(pair.from_client, bytes, sizeof bytes);
    assert_true(size > HELLO_LOOK_SIZE + 2);
    for (int i = 0; i < size; i++) {
        assert_null(pair.server->ssl);
        assert_int_equal(engine_feed(pair.server, span_of(bytes + i, 1), &pair.out), ENGINE_SHAKING);
    }
    assert_non_null(pair.server->ssl);
    assert_null(pair.server->hello);
    assert_true(pair_deliver(&pair));
    assert_true(pair_shake(&pair));
    talk(&pair);
    pair_free(&pair);
}

/* Every size of room must give the same bytes. */
static void a_mebibyte_each_way(void **state) {
    (void)state;
    static const size_t steps[] = {0, 1400, 16384, 65536}, rooms[] = {0, 100, 16384, 3};
    uint8_t *big = malloc(MIB), *back = malloc(MIB);
    for (size_t i = 0; i < MIB; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t i = 0; i < 8; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i % 2]});
        pair.step = steps[i / 2];
        pair.room = rooms[i / 2];
        assert_true(pair_shake(&pair));
        assert_int_equal(SSL_write(pair.client, big, MIB), MIB);
        pair_carry(&pair);
        assert_int_equal(pair.got_size, MIB);
        assert_memory_equal(pair.got, big, MIB);
        size_t sent = 0, received = 0, turns = 0;
        while (received < MIB) {
            size_t taken = engine_write(pair.server, span_of(big + sent, MIB - sent), &pair.out);
            assert_true(taken >= ENGINE_WRITE_MAX || sent + taken == MIB);
            assert_true(pair.out.filled <= pair.out.size);
            sent += taken;
            turns++;
            pair_deliver(&pair);
            int count;
            while (received < MIB &&
                   (count = SSL_read(pair.client, back + received, (int)(MIB - received))) > 0)
                received += (size_t)count;
        }
        assert_true(turns <= 16); /* as many records as fit at once */
        assert_memory_equal(back, big, MIB);
        pair_free(&pair);
    }
    free(big);
    free(back);
}

static size_t little_step(size_t room) {
    return room < 2000                          ? 37
           : room >= 16384 && room < 16420      ? 1
           : room < 16384 && room + 511 > 16384 ? 16384 - room
                                                : 511;
}

/* Room of every size around one record: nothing is written beyond, nothing is lost. */
static void little_room_to_write(void **state) {
    (void)state;
    uint8_t *big = calloc(1, 65536), *guard = malloc(ENGINE_OUT_SIZE + 64);
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        size_t taken_sum = 0, got_sum = 0;
        for (size_t room = 0; room < 40000; room += little_step(room)) {
            memset(guard, 0xA5, ENGINE_OUT_SIZE + 64);
            struct engine_out out = {guard, ENGINE_OUT_SIZE, ENGINE_OUT_SIZE - room};
            size_t taken = engine_write(pair.server, span_of(big, 65536), &out);
            assert_int_equal(engine_state_of(pair.server), ENGINE_OPEN);
            assert_true(out.filled <= out.size && taken <= room);
            for (size_t k = 0; k < 64; k++)
                assert_int_equal(guard[ENGINE_OUT_SIZE + k], 0xA5);
            size_t start = ENGINE_OUT_SIZE - room;
            assert_true(taken != 0 || out.filled == start);
            if (out.filled != start)
                BIO_write(pair.to_client, guard + start, (int)(out.filled - start));
            taken_sum += taken;
        }
        int count;
        while ((count = SSL_read(pair.client, guard, 65536)) > 0)
            got_sum += (size_t)count;
        assert_int_equal(got_sum, taken_sum);
        assert_true(taken_sum > 100000);
        pair_free(&pair);
    }
    free(big);
    free(guard);
}

/* Room that cannot take what must be said ends the engine, whatever it was doing. */
static void no_room_to_answer(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_3_VERSION});
    SSL_do_handshake(pair.client);
    pair.out.filled = pair.out.size - 10;
    uint8_t hello[4096];
    int size = BIO_read(pair.from_client, hello, sizeof hello);
    assert_int_equal(engine_feed(pair.server, span_of(hello, (size_t)size), &pair.out), ENGINE_BROKEN);
    assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_FLOOD);
    assert_true(pair.out.filled <= pair.out.size);
    pair.out.filled = 0;
    pair_free(&pair);
}

static void nothing_in_common(void **state) {
    (void)state;
    expect_trouble(plain, (struct client_wish){.version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"},
                   TLS_TROUBLE_UNSUPPORTED_VERSION);
    expect_trouble(plain,
                   (struct client_wish){.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES256-SHA"},
                   TLS_TROUBLE_NO_SHARED_CIPHER);
    expect_trouble(plain,
                   (struct client_wish){.version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"},
                   TLS_TROUBLE_NO_SHARED_CIPHER); /* our key is ECDSA */
    expect_trouble(plain, (struct client_wish){.version = TLS1_3_VERSION, .groups = "X448"},
                   TLS_TROUBLE_NO_SHARED_GROUP);
    struct tls_settings settings = settings_of(false);
    settings.tls_version = "tlsv1.3";
    struct tls_context *context = load(&settings);
    expect_trouble(context, (struct client_wish){.version = TLS1_2_VERSION}, TLS_TROUBLE_UNSUPPORTED_VERSION);
    tls_context_drop(context);
}

/* The device's alert comes back, and ours reaches the device. */
static void alerts_of_both_sides(void **state) {
    (void)state;
    cert_write("strange.crt", &strange_ca);
    expect_trouble(plain, (struct client_wish){.cafile = certs_path("strange.crt")},
                   TLS_TROUBLE_DEVICE_DISTRUSTS_US);
    struct pair pair =
        pair_of(plain, (struct client_wish){.version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"});
    assert_false(pair_shake(&pair));
    assert_int_equal(pair.sent_size, 7);
    pair_free(&pair);
    pair = pair_of(strict, (struct client_wish){.version = TLS1_2_VERSION});
    assert_false(pair_shake(&pair));
    assert_int_equal(SSL_get_shutdown(pair.client), SSL_RECEIVED_SHUTDOWN); /* a fatal alert */
    pair_free(&pair);
}

static void application_protocols(void **state) {
    (void)state;
    static const struct {
        const char *offer, *chosen;
    } samples[] = {
        {"\4mqtt", "mqtt"}, {"\2h2\10http/1.1\4mqtt", "mqtt"}, {"\2h2", ""}, {"\5mqttx", ""}, {"\4mqtx", ""}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.alpn = samples[i].offer});
        assert_true(pair_shake(&pair));
        const unsigned char *chosen = NULL;
        unsigned size = 0;
        SSL_get0_alpn_selected(pair.client, &chosen, &size);
        assert_true(span_is_text(span_of(chosen, size), samples[i].chosen));
        pair_free(&pair);
    }
}

static void both_sides_say_goodbye(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        char none[8];
        /* The device first, right behind its last bytes. */
        SSL_write(pair.client, "bye", 3);
        SSL_shutdown(pair.client);
        pair_carry(&pair);
        assert_int_equal(pair.got_size, 3);
        assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
        assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_NONE);
        assert_int_equal(engine_write(pair.server, SPAN_LITERAL("x"), &pair.out), 0);
        engine_close(pair.server, &pair.out);
        assert_true(pair.out.filled > 0);
        pair_deliver(&pair);
        assert_int_equal(SSL_read(pair.client, none, sizeof none), 0);
        assert_int_equal(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
        pair_free(&pair);
        /* We first, and once only. */
        pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        engine_close(pair.server, &pair.out);
        assert_true(pair_deliver(&pair));
        engine_close(pair.server, &pair.out);
        assert_false(pair_deliver(&pair));
        assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
        assert_int_equal(SSL_read(pair.client, none, sizeof none), 0);
        SSL_shutdown(pair.client);
        pair_carry(&pair);
        assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
        pair_free(&pair);
    }
    /* In the handshake there is nobody to say it to. */
    struct pair pair = pair_of(plain, (struct client_wish){0});
    engine_close(pair.server, &pair.out);
    assert_int_equal(pair.out.filled, 0);
    assert_int_equal(engine_state_of(pair.server), ENGINE_CLOSED);
    pair_free(&pair);
}

static void what_is_not_tls(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum tls_trouble trouble;
    } samples[] = {
        {"\x10\x0F\0\4MQTT\4\2\0\x3C\0\3abc", 17, TLS_TROUBLE_PLAIN_MQTT},
        {"GET /mqtt HTTP/1.1\r\n", 20, TLS_TROUBLE_PLAIN_HTTP},
        {"POST", 4, TLS_TROUBLE_PLAIN_HTTP},
        {"PRI * HTTP/2.0", 14, TLS_TROUBLE_PLAIN_HTTP},
        {"PROXY TCP4 ", 11, TLS_TROUBLE_PLAIN_PROXY},
        {"\r\n\r\n\0\r\nQUIT\n", 12, TLS_TROUBLE_PLAIN_PROXY},
        {"GOT ", 4, TLS_TROUBLE_NOT_TLS},
        {"hello", 5, TLS_TROUBLE_NOT_TLS},
        {"\0", 1, TLS_TROUBLE_NOT_TLS},
        {"\x80\x2E\1\3\1", 5, TLS_TROUBLE_UNSUPPORTED_VERSION},
        {"\xFF\xFF\xFF\xFF", 4, TLS_TROUBLE_NOT_TLS},
        {"\x16\2", 2, TLS_TROUBLE_NOT_TLS},
        {"\x16\3\1\0\3\1\0\0\0", 9, TLS_TROUBLE_NOT_TLS},
        {"\x16\3\1\2\0\2\0\1\xFC", 9, TLS_TROUBLE_NOT_TLS},
        {"\x16\3\1\x40\0\1\0\x40\1", 9, TLS_TROUBLE_HELLO_TOO_BIG},
        {"\x16\3\1\x40\0\1\xFF\xFF\xFF", 9, TLS_TROUBLE_HELLO_TOO_BIG},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t step = 1; step <= samples[i].size;
             step += samples[i].size > 1 ? samples[i].size - 1 : 1) {
            struct pair pair = pair_of(plain, (struct client_wish){0});
            for (size_t at = 0; at < samples[i].size; at += step)
                pair_feed(&pair, (const uint8_t *)samples[i].bytes + at,
                          samples[i].size - at < step ? samples[i].size - at : step);
            assert_int_equal(engine_state_of(pair.server), ENGINE_BROKEN);
            if (engine_trouble(pair.server) != samples[i].trouble)
                fail_msg("sample %zu: %s", i, tls_trouble_name(engine_trouble(pair.server)));
            assert_int_equal(pair.sent_size, 0);
            pair_free(&pair);
        }
}

/* The whole of what a client says in a handshake, to be cut and bent. */
static size_t record_flight(struct tls_context *context, int version, uint8_t *flight, size_t flight_room) {
    struct pair pair = pair_of(context, (struct client_wish){.version = version, .cert = &device});
    size_t size = 0;
    for (bool is_some = true; is_some;) {
        is_some = false;
        SSL_do_handshake(pair.client);
        int count = BIO_read(pair.from_client, flight + size, (int)(flight_room - size));
        if (count > 0) {
            pair_feed(&pair, flight + size, (size_t)count);
            size += (size_t)count;
            is_some = true;
        }
    }
    assert_int_equal(engine_state_of(pair.server), ENGINE_OPEN);
    pair_free(&pair);
    return size;
}

/* Cut after every byte and destroyed there: no leak (LeakSanitizer looks), no stale pointer. */
static void cut_and_destroyed_anywhere(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t flight[8192];
        size_t size = record_flight(strict, versions[i], flight, sizeof flight);
        for (size_t cut = 0; cut < size; cut += cut < 700 ? 1 : 7) {
            struct pair pair = pair_of(strict, (struct client_wish){.version = versions[i], .cert = &device});
            size_t said = 0;
            while (said < cut) {
                SSL_do_handshake(pair.client);
                int count = BIO_read(pair.from_client, flight, (int)(cut - said));
                if (count <= 0)
                    break;
                said += (size_t)count;
                pair_feed(&pair, flight, (size_t)count);
            }
            assert_int_equal(engine_state_of(pair.server), SSL_is_init_finished(pair.client) && said >= size
                                                               ? ENGINE_OPEN
                                                               : engine_state_of(pair.server));
            assert_int_not_equal(engine_state_of(pair.server), ENGINE_BROKEN);
            if (cut % 3 == 0)
                engine_close(pair.server, &pair.out);
            pair_free(&pair);
        }
    }
    engine_destroy(NULL);
}

/* One byte of the client's first flight turned over: never open with a wrong transcript, never a crash. */
static void bent_anywhere(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t hello[4096];
        struct pair first = pair_of(plain, (struct client_wish){.version = versions[i]});
        SSL_do_handshake(first.client);
        int size = BIO_read(first.from_client, hello, sizeof hello);
        pair_free(&first);
        for (int at = 0; at < size; at++) {
            struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
            SSL_do_handshake(pair.client);
            assert_int_equal(BIO_read(pair.from_client, hello, sizeof hello), size);
            hello[at] ^= 0x41;
            pair_feed(&pair, hello, (size_t)size);
            bool is_open = pair_shake(&pair);
            assert_true(!is_open || at == 2); /* the record version is ignored by RFC 8446 5.1 */
            pair_free(&pair);
        }
    }
}

static void records_that_were_changed(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = pair_of(plain, (struct client_wish){.version = versions[i]});
        assert_true(pair_shake(&pair));
        uint8_t record[200];
        SSL_write(pair.client, "good", 4);
        SSL_write(pair.client, "evil", 4);
        int size = BIO_read(pair.from_client, record, sizeof record);
        record[size - 1] ^= 1;
        pair_feed(&pair, record, (size_t)size);
        assert_int_equal(pair.got_size, 4); /* what came before counts */
        assert_int_equal(engine_state_of(pair.server), ENGINE_BROKEN);
        assert_int_equal(engine_trouble(pair.server), TLS_TROUBLE_BAD_RECORD);
        assert_true(pair.sent_size > 0);
        pair_free(&pair);
    }
}

static void renegotiation_is_refused(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_2_VERSION});
    assert_true(pair_shake(&pair));
    size_t before = pair.sent_size;
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    SSL_do_handshake(pair.client);
    pair_carry(&pair);
    assert_in_range(pair.sent_size - before, 1, 40); /* an alert, no ServerHello */
    assert_int_not_equal(engine_state_of(pair.server), ENGINE_BROKEN);
    pair_free(&pair);
}

static void keys_are_updated(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_3_VERSION});
    assert_true(pair_shake(&pair));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        talk(&pair);
    }
    pair_free(&pair);
}

/* Each request is answered: 64 KiB of them must fit into the room that is lent. */
static void a_flood_of_key_updates(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){.version = TLS1_3_VERSION});
    assert_true(pair_shake(&pair));
    for (int i = 0; i < 2400; i++) {
        SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(pair.client);
    }
    size_t before = pair.sent_size;
    pair_carry(&pair);
    assert_int_equal(engine_state_of(pair.server), ENGINE_OPEN);
    assert_true(pair.sent_size - before > 64000);
    talk(&pair);
    pair_free(&pair);
}

/* What was fed and not read cannot be kept: it was lent. */
static void unread_bytes_end_the_engine(void **state) {
    (void)state;
    struct pair pair = pair_of(plain, (struct client_wish){0});
    assert_true(pair_shake(&pair));
    uint8_t record[200];
    SSL_write(pair.client, "one", 3);
    int size = BIO_read(pair.from_client, record, sizeof record);
    assert_int_equal(engine_feed(pair.server, span_of(record, (size_t)size), &pair.out), ENGINE_OPEN);
    assert_int_equal(engine_feed(pair.server, span_of(record, (size_t)size), &pair.out), ENGINE_BROKEN);
    assert_int_equal(pair.server->in.size, 0); /* forgotten */
    pair_free(&pair);
}

/* An error of one connection is not found by another. */
static void errors_stay_at_home(void **state) {
    (void)state;
    struct pair good = pair_of(plain, (struct client_wish){0});
    assert_true(pair_shake(&good));
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    uint8_t room[8];
    assert_int_equal(engine_read(good.server, room, sizeof room, &good.out), 0);
    assert_int_equal(engine_state_of(good.server), ENGINE_OPEN);
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    assert_int_equal(engine_write(good.server, SPAN_LITERAL("x"), &good.out), 1);
    pair_deliver(&good);
    assert_int_equal(SSL_read(good.client, room, sizeof room), 1);
    ERR_clear_error();
    struct pair bad = pair_of(plain, (struct client_wish){0});
    SSL_do_handshake(bad.client);
    uint8_t hello[4096];
    int size = BIO_read(bad.from_client, hello, sizeof hello);
    hello[9] = 0; /* the version in the ClientHello */
    engine_feed(bad.server, span_of(hello, (size_t)size), &bad.out);
    assert_int_equal(engine_state_of(bad.server), ENGINE_BROKEN);
    assert_int_equal(ERR_peek_error(), 0);
    bad.out.filled = 0;
    pair_free(&bad);
    talk(&good);
    pair_free(&good);
}

static void troubles_have_names(void **state) {
    (void)state;
    assert_string_equal(tls_trouble_name(TLS_TROUBLE_NONE), "none");
    assert_string_equal(tls_trouble_name(TLS_TROUBLE_NO_SHARED_CIPHER), "no_shared_cipher");
    for (int i = 0; i < TLS_TROUBLE_COUNT; i++) {
        const char *name = tls_trouble_name((enum tls_trouble)i);
        assert_in_range(strlen(name), 3, 30);
        for (; *name != '\0'; name++)
            assert_true((*name >= 'a' && *name <= 'z') || *name == '_');
        assert_true(strlen(tls_trouble_sentence((enum tls_trouble)i)) > 5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(a_hello_in_pieces_waits_outside),
        cmocka_unit_test(a_mebibyte_each_way),
        cmocka_unit_test(little_room_to_write),
        cmocka_unit_test(no_room_to_answer),
        cmocka_unit_test(nothing_in_common),
        cmocka_unit_test(alerts_of_both_sides),
        cmocka_unit_test(application_protocols),
        cmocka_unit_test(both_sides_say_goodbye),
        cmocka_unit_test(what_is_not_tls),
        cmocka_unit_test(cut_and_destroyed_anywhere),
        cmocka_unit_test(bent_anywhere),
        cmocka_unit_test(records_that_were_changed),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_are_updated),
        cmocka_unit_test(a_flood_of_key_updates),
        cmocka_unit_test(unread_bytes_end_the_engine),
        cmocka_unit_test(errors_stay_at_home),
        cmocka_unit_test(troubles_have_names),
    };
    return cmocka_run_group_tests_name("crypto/engine", tests, stage_begin, stage_finish);
}
