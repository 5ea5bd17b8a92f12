/* ticket: keys of our own that change, and keys of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/crypto/stage.h"

static SSL_SESSION *kept;
static int on_session(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

/* Shakes with the session (if any) and keeps the new one, if one was given. */
static bool is_resumed(struct tls_context *context, int version, SSL_SESSION *with) {
    SSL_SESSION *session = with == NULL ? NULL : SSL_SESSION_dup(with);
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl_ctx, on_session);
    struct pair pair =
        pair_of(context, (struct client_wish){.version = version, .ssl_ctx = ssl_ctx, .session = session});
    assert_true(pair_shake(&pair));
    talk(&pair);
    bool result = engine_is_resumed(pair.server);
    if (version == TLS1_2_VERSION) { /* where the callback does not hear of a renewed ticket */
        SSL_SESSION_free(kept);
        kept = SSL_get1_session(pair.client);
    }
    SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    pair_free(&pair);
    SSL_SESSION_free(session);
    SSL_CTX_free(ssl_ctx);
    return result;
}

static SSL_SESSION *take_kept(void) {
    SSL_SESSION *session = kept;
    assert_non_null(session);
    kept = NULL;
    return session;
}

/* A ticket of a full handshake. */
static SSL_SESSION *fresh(struct tls_context *context, int version) {
    assert_false(is_resumed(context, version, NULL));
    return take_kept();
}

static const uint8_t *key_name(const SSL_SESSION *session) {
    const unsigned char *ticket;
    size_t size;
    SSL_SESSION_get0_ticket(session, &ticket, &size);
    assert_true(size > 16);
    return ticket;
}

static struct tls_context *load_with(struct tickets *tickets, int64_t rotation_s) {
    struct tls_settings settings = settings_of(false);
    settings.tickets = tickets;
    settings.ticket_rotation_s = rotation_s;
    return load(&settings);
}

static int64_t fake_s;
static int64_t fake_now_s(void) {
    return fake_s;
}

static void own_keys_turn(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fake_s = 1000;
        struct tickets *tickets = tickets_create();
        tickets_set_clock(tickets, fake_now_s);
        struct tls_context *context = load_with(tickets, 100);
        SSL_SESSION *first = fresh(context, versions[i]);
        fake_s = 1099;
        assert_true(is_resumed(context, versions[i], first));
        fake_s = 1150; /* the previous key: taken, and a new ticket with the new key given */
        SSL_SESSION_free(kept);
        kept = NULL;
        assert_true(is_resumed(context, versions[i], first));
        SSL_SESSION *second = take_kept();
        assert_memory_not_equal(key_name(first), key_name(second), 16);
        fake_s = 1199;
        assert_true(is_resumed(context, versions[i], first));
        fake_s = 1200; /* two rotations on: the first key is gone, though it turned late */
        assert_true(is_resumed(context, versions[i], second));
        assert_false(is_resumed(context, versions[i], first));
        fake_s = 2000; /* nobody came for long: neither key is taken */
        SSL_SESSION_free(second);
        second = fresh(context, versions[i]);
        assert_false(is_resumed(context, versions[i], first));
        assert_true(is_resumed(context, versions[i], second));
        SSL_SESSION_free(first);
        SSL_SESSION_free(second);
        SSL_SESSION_free(kept);
        kept = NULL;
        tls_context_drop(context);
        tickets_drop(tickets);
    }
}

/* A context that was loaded anew with the same keys: a reload that changes nothing. */
static void tickets_outlive_a_context(void **state) {
    (void)state;
    struct tickets *tickets = tickets_create();
    assert_true(tickets_are_own(tickets));
    for (size_t i = 0; i < 2; i++) {
        struct tls_context *context = load_with(tickets, 3600);
        SSL_SESSION *session = fresh(context, versions[i]);
        tls_context_drop(context);
        context = load_with(tickets, 1800);
        assert_true(is_resumed(context, versions[i], session));
        struct tickets *others = tickets_create();
        struct tls_context *other = load_with(others, 3600);
        assert_false(is_resumed(other, versions[i], session));
        tls_context_drop(other);
        tickets_drop(others);
        tls_context_drop(context);
        SSL_SESSION_free(session);
    }
    SSL_SESSION_free(kept);
    kept = NULL;
    tickets_drop(tickets);
}

static void zero_gives_none(void **state) {
    (void)state;
    struct tickets *tickets = tickets_create();
    struct tls_context *context = load_with(tickets, 0);
    for (size_t i = 0; i < 2; i++) {
        assert_false(is_resumed(context, versions[i], NULL));
        assert_true(kept == NULL || !SSL_SESSION_has_ticket(kept));
        assert_true(kept == NULL || !is_resumed(context, versions[i], kept));
        SSL_SESSION_free(kept);
        kept = NULL;
    }
    tls_context_drop(context);
    tickets_drop(tickets);
}

/* ---- files ---- */

static uint8_t records[40][TICKET_RECORD_SIZE];

static struct tickets *load_file(size_t size, enum finding_kind kind, const char *piece) {
    struct findings findings;
    findings_init(&findings);
    const char *path = text_write("tickets", (const char *)records, size);
    struct tickets *tickets = tickets_load(path, "gate.conf", 3, &findings);
    if (piece == NULL) {
        assert_int_equal(findings.size, 0);
        assert_non_null(tickets);
    } else {
        assert_int_equal(findings.size, 1);
        assert_int_equal(findings.first->kind, kind);
        assert_non_null(strstr(findings.first->text, "gate.conf:3: ticket_keyfile"));
        if (strstr(findings.first->text, piece) == NULL)
            fail_msg("said: %s", findings.first->text);
    }
    findings_clear(&findings);
    return tickets;
}

static void files_share_tickets(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        RAND_bytes(records[0], sizeof records);
        struct tickets *tickets = load_file(2 * TICKET_RECORD_SIZE, FINDING_ERROR, NULL);
        assert_false(tickets_are_own(tickets));
        struct tls_context *one = load_with(tickets, 3600);
        tickets_drop(tickets);
        SSL_SESSION *session = fresh(one, versions[i]);
        assert_memory_equal(key_name(session), records[0], 16); /* the first one encrypts */
        assert_true(is_resumed(one, versions[i], session));
        /* Another instance, which has put a new key in front already. */
        memcpy(records[1], records[0], TICKET_RECORD_SIZE);
        RAND_bytes(records[0], TICKET_RECORD_SIZE);
        tickets = load_file(2 * TICKET_RECORD_SIZE, FINDING_ERROR, NULL);
        struct tls_context *other = load_with(tickets, 3600);
        tickets_drop(tickets);
        SSL_SESSION_free(kept);
        kept = NULL;
        assert_true(is_resumed(other, versions[i], session));
        assert_memory_equal(key_name(kept), records[0], 16); /* and renews */
        assert_false(is_resumed(one, versions[i], kept));
        SSL_SESSION_free(session);
        tls_context_drop(one);
        tls_context_drop(other);
    }
    SSL_SESSION_free(kept);
    kept = NULL;
}

static void bad_files_are_refused(void **state) {
    (void)state;
    RAND_bytes(records[0], sizeof records);
    static const size_t sizes[] = {1, 48, 79, 81, 159, 33 * TICKET_RECORD_SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_null(load_file(sizes[i], FINDING_ERROR, "does not hold 1 to 32 keys of 80 bytes"));
    assert_null(load_file(0, FINDING_ERROR, "is empty"));
    tickets_drop(load_file(32 * TICKET_RECORD_SIZE, FINDING_ERROR, NULL));
    memset(records[1] + 48, 0, 32);
    assert_null(load_file(2 * TICKET_RECORD_SIZE, FINDING_ERROR, "no random bytes"));
    memset(records[0] + 16, 'x', 32);
    assert_null(load_file(TICKET_RECORD_SIZE, FINDING_ERROR, "no random bytes"));
    RAND_bytes(records[0], sizeof records);
    memcpy(records[2], records[0], 16);
    assert_null(load_file(3 * TICKET_RECORD_SIZE, FINDING_ERROR, "two keys of the same name"));
    struct findings findings;
    findings_init(&findings);
    assert_null(tickets_load(certs_path("nothing"), "gate.conf", 3, &findings));
    assert_int_equal(findings.error_count, 1);
    findings_clear(&findings);
    const char *path = text_write("open-tickets", (const char *)records, TICKET_RECORD_SIZE);
    assert_int_equal(chmod(path, 0644), 0);
    struct tickets *tickets = tickets_load(path, "gate.conf", 3, &findings);
    assert_non_null(tickets);
    assert_int_equal(findings.warning_count, 1);
    findings_clear(&findings);
    tickets_drop(tickets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_keys_turn),         cmocka_unit_test(tickets_outlive_a_context),
        cmocka_unit_test(zero_gives_none),       cmocka_unit_test(files_share_tickets),
        cmocka_unit_test(bad_files_are_refused),
    };
    return cmocka_run_group_tests_name("crypto/ticket", tests, stage_begin, stage_finish);
}
