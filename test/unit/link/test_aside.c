/* aside: handshakes whose steps are taken on the other thread, which the test holds up where it wants. Real
 * sockets, a real loop, real engines; the clients are OpenSSL's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/uv.h"
#include "unit/crypto/stage.h"

#define PEERS_MAX (ASIDE_MOST + 8)

struct peer {
    struct wire *wire; /* NULL: closed */
    SSL_CTX *ssl_ctx;
    SSL *client;
    int far; /* the client's end */
    unsigned opened, ended;
    int error;
    enum tls_trouble trouble;
    size_t size;
    char bytes[64];
};

static struct loop loop;
static struct peer peers[PEERS_MAX];
static uint8_t room[LINK_ROOM_MIN];

/* A turnstile for the other thread: closed, it waits within the first step that goes through. */
static sem_t turnstile;
static pthread_t loop_thread;

static void on_info(const SSL *ssl, int where, int result) {
    (void)ssl, (void)result;
    if ((where & SSL_CB_HANDSHAKE_START) == 0 || pthread_equal(pthread_self(), loop_thread))
        return;
    while (sem_wait(&turnstile) < 0)
        ;
    sem_post(&turnstile);
}

static void hold_up(void) {
    assert_int_equal(sem_trywait(&turnstile), 0);
}

static void let_go(void) {
    sem_post(&turnstile);
}

/* ---- peers ---- */

static void on_open(struct link *link) {
    struct peer *peer = link->owner;
    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_false(link->is_away);
    peer->opened++;
}

static struct link_room on_room(struct link *link) {
    (void)link;
    return (struct link_room){room, sizeof room};
}

static void on_bytes(struct link *link, size_t count) {
    struct peer *peer = link->owner;
    assert_true(peer->size + count <= sizeof peer->bytes);
    memcpy(peer->bytes + peer->size, room, count);
    peer->size += count;
}

static void on_end(struct link *link, int error) {
    struct peer *peer = link->owner;
    peer->ended++;
    peer->error = error;
    peer->trouble = engine_trouble(link->engine);
    link_close(link, LINK_POLITELY);
}

static void on_drained(struct link *link) {
    (void)link;
}

static void on_closed(struct link *link) {
    struct peer *peer = link->owner;
    peer->wire = NULL;
}

static const struct link_events events = {on_open, on_room, on_bytes, on_drained, on_end, on_closed};

static struct peer *peer_open(size_t index, struct tls_context *context, int version,
                              const struct cert *cert) {
    struct peer *peer = &peers[index];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    *peer = (struct peer){.wire = wire_create(&loop, true), .far = ends[1]};
    assert_int_equal(uv_pipe_open(&peer->wire->uv.pipe, ends[0]), 0);
    peer->wire->link.events = &events;
    peer->wire->link.owner = peer;
    assert_true(wire_secure(peer->wire, context));
    link_read(&peer->wire->link, true);
    peer->ssl_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(peer->ssl_ctx, version);
    SSL_CTX_set_max_proto_version(peer->ssl_ctx, version);
    peer->client = SSL_new(peer->ssl_ctx);
    if (cert != NULL) {
        assert_int_equal(SSL_use_certificate(peer->client, cert->x509), 1);
        assert_int_equal(SSL_use_PrivateKey(peer->client, cert->key), 1);
    }
    SSL_set_fd(peer->client, ends[1]);
    SSL_set_connect_state(peer->client);
    return peer;
}

static void turn(void) {
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

/* As long as it takes the other thread. */
#define turn_until(condition)                                                                                \
    for (unsigned tries = 0; !(condition); tries++) {                                                        \
        assert_in_range(tries, 0, 20000);                                                                    \
        turn();                                                                                              \
        usleep(500);                                                                                         \
    }

static void peer_free(struct peer *peer) {
    if (peer->wire != NULL)
        wire_cut(peer->wire);
    turn_until(peer->wire == NULL);
    SSL_free(peer->client);
    SSL_CTX_free(peer->ssl_ctx);
    close(peer->far);
    ERR_clear_error();
}

static bool is_shaken(struct peer *peer) {
    ERR_clear_error();
    return SSL_do_handshake(peer->client) == 1;
}

/* Says hello and lets the loop send it aside. */
static void send_aside(struct peer *peer) {
    assert_false(is_shaken(peer));
    turn_until(peer->wire->step != NULL);
    assert_true(peer->wire->link.is_away);
}

/* Somebody is connected who stays. */
static void settle(void) {
    loop.turn.open_count = loop.turn.least_now = loop.turn.least_then = 1;
}

/* The loop turns although everything else of it may be at rest. */
static uv_timer_t keeper;

static void on_keeper(uv_timer_t *timer) {
    (void)timer;
}

static void start_loop(void) {
    assert_int_equal(loop_init(&loop, NULL), 0);
    uv_timer_init(&loop.uv, &keeper);
    uv_timer_start(&keeper, on_keeper, 3600000, 0);
}

static void end_loop(void) {
    uv_close((uv_handle_t *)&keeper, NULL);
    loop_close(&loop);
}

static int open_loop(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    memset(peers, 0, sizeof peers);
    loop_thread = pthread_self();
    sem_init(&turnstile, 0, 1);
    SSL_CTX_set_info_callback(plain->ssl_ctx, on_info);
    SSL_CTX_set_info_callback(strict->ssl_ctx, on_info);
    start_loop();
    return 0;
}

/* Also of a test that has failed, where something may be held up or open still. */
static int close_loop(void **state) {
    (void)state;
    let_go();
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i].wire != NULL)
            wire_cut(peers[i].wire);
    end_loop();
    sem_destroy(&turnstile);
    return 0;
}

/* ---- tests ---- */

/* What the client says behind its Finished comes with it in one read, and is the loop's to decrypt. */
static void test_handshake(void **state) {
    (void)state;
    settle();
    for (size_t i = 0; i < 4; i++) {
        bool is_strict = i >= 2;
        struct peer *peer =
            peer_open(0, is_strict ? strict : plain, versions[i % 2], is_strict ? &device : NULL);
        char word[8];
        send_aside(peer);
        turn_until(is_shaken(peer));
        assert_int_equal(SSL_write(peer->client, "ping", 4), 4);
        turn_until(peer->size == 4);
        assert_memory_equal(peer->bytes, "ping", 4);
        assert_int_equal(peer->opened, 1);
        assert_int_equal(engine_peer_has_certificate(peer->wire->link.engine), is_strict);
        assert_int_equal(loop.turn.open_count, 2);
        struct span pong = SPAN_LITERAL("pong");
        assert_int_equal(link_write(&peer->wire->link, &pong, 1), 0);
        assert_int_equal(SSL_read(peer->client, word, sizeof word), 4);
        assert_int_equal(peer->ended, 0);
        assert_int_equal(loop.aside.state, ASIDE_RUNS);
        peer_free(peer);
        assert_int_equal(loop.turn.open_count, 1);
    }
}

/* The cause is that of the thread which met it. */
static void test_trouble(void **state) {
    (void)state;
    settle();
    for (size_t i = 0; i < 2; i++) {
        struct peer *peer = peer_open(0, strict, versions[i], NULL);
        send_aside(peer);
        for (unsigned tries = 0; peer->ended == 0; tries++) {
            assert_in_range(tries, 0, 20000);
            (void)is_shaken(peer);
            turn();
            usleep(500);
        }
        assert_int_equal(peer->error, -EPROTO);
        assert_int_equal(peer->trouble, TLS_TROUBLE_CERTIFICATE_MISSING);
        assert_int_equal(peer->opened, 0);
        peer_free(peer);
    }
}

/* Closed while a step is away: the owner hears of it at once, the engine goes when the step is back. */
static void test_close(void **state) {
    (void)state;
    settle();
    for (size_t i = 0; i < 2; i++) {
        struct peer *peer = peer_open(0, plain, TLS1_3_VERSION, NULL);
        hold_up();
        send_aside(peer);
        link_close(&peer->wire->link, i == 0 ? LINK_AT_ONCE : LINK_POLITELY);
        if (i == 1)
            shutdown(peer->far, SHUT_WR); /* then nothing is to be waited for */
        turn_until(peer->wire == NULL);
        assert_int_equal(loop.aside.away_count, 1);
        let_go();
        turn_until(loop.aside.away_count == 0);
        assert_int_equal(peer->opened + peer->ended, 0);
        peer_free(peer);
    }
}

/* The step comes back to a wire that is being closed politely: nothing is said any more. */
static void test_back_while_closing(void **state) {
    (void)state;
    char word[8];
    settle();
    struct peer *peer = peer_open(0, plain, TLS1_3_VERSION, NULL);
    hold_up();
    send_aside(peer);
    link_close(&peer->wire->link, LINK_POLITELY);
    let_go();
    turn_until(loop.aside.away_count == 0);
    assert_non_null(peer->wire);
    assert_int_equal(recv(peer->far, word, sizeof word, 0), 0);
    assert_int_equal(peer->opened + peer->ended, 0);
    peer_free(peer);
}

/* What comes while a step is away stays in the socket and is read behind it: here the rest of the
 * ClientHello. */
static void test_parked(void **state) {
    (void)state;
    char *hello;
    settle();
    struct peer *peer = peer_open(0, plain, TLS1_3_VERSION, NULL);
    BIO *memory = BIO_new(BIO_s_mem());
    SSL_set0_wbio(peer->client, memory);
    assert_false(is_shaken(peer));
    long size = BIO_get_mem_data(memory, &hello);
    /* In two records: the first one is whole, so the handshake begins. */
    size_t rest = (size_t)size - 50;
    uint8_t second[5] = {0x16, 3, 1, (uint8_t)(rest >> 8), (uint8_t)rest};
    hello[3] = 0;
    hello[4] = 45;
    hold_up();
    assert_int_equal(write(peer->far, hello, 50), 50);
    turn_until(peer->wire->step != NULL);
    assert_int_equal(write(peer->far, second, 5), 5);
    assert_int_equal(write(peer->far, hello + 50, rest), rest);
    turn_until(peer->wire->is_parked);
    SSL_set0_wbio(peer->client, BIO_new_socket(peer->far, BIO_NOCLOSE));
    let_go();
    turn_until(is_shaken(peer));
    turn_until(peer->opened == 1);
    peer_free(peer);
}

/* So is the end of a peer that goes. */
static void test_gone(void **state) {
    (void)state;
    settle();
    struct peer *peer = peer_open(0, plain, TLS1_3_VERSION, NULL);
    hold_up();
    send_aside(peer);
    close(peer->far);
    peer->far = open("/dev/null", O_RDONLY);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(peer->ended, 0);
    let_go();
    turn_until(peer->ended == 1);
    peer_free(peer);
}

/* A write that failed meanwhile is told when the engine may be asked again. */
static void test_late_error(void **state) {
    (void)state;
    settle();
    struct peer *peer = peer_open(0, plain, TLS1_3_VERSION, NULL);
    hold_up();
    send_aside(peer);
    peer->wire->late_error = -ECONNRESET;
    let_go();
    turn_until(peer->ended == 1);
    assert_int_equal(peer->error, -ECONNRESET);
    peer_free(peer);
}

/* No more than ASIDE_MOST are away; the loop sleeps meanwhile, and the others come in their turn. */
static void test_full(void **state) {
    (void)state;
    settle();
    for (size_t i = 0; i < PEERS_MAX; i++)
        assert_false(is_shaken(peer_open(i, plain, TLS1_3_VERSION, NULL)));
    hold_up();
    turn_until(loop.turn.waiting_count == PEERS_MAX - ASIDE_MOST);
    assert_int_equal(loop.aside.away_count, ASIDE_MOST);
    turn();
    assert_false(uv_is_active((uv_handle_t *)&loop.turn.awake));
    peer_free(&peers[PEERS_MAX - 1]); /* one that waits goes */
    let_go();
    for (size_t i = 0; i < PEERS_MAX - 1; i++) {
        turn_until(is_shaken(&peers[i]));
        turn_until(peers[i].opened == 1);
    }
    assert_int_equal(loop.turn.waiting_count, 0);
    assert_int_equal(loop.aside.away_count, 0);
    for (size_t i = 0; i < PEERS_MAX - 1; i++)
        peer_free(&peers[i]);
}

/* Steps that are under way when the loop ends are taken to the end, and everything is freed. */
static void test_loop_ends(void **state) {
    (void)state;
    settle();
    for (size_t i = 0; i < 4; i++)
        send_aside(peer_open(i, plain, TLS1_3_VERSION, NULL));
    for (size_t i = 0; i < 4; i++)
        wire_cut(peers[i].wire);
    end_loop();
    for (size_t i = 0; i < 4; i++) {
        assert_null(peers[i].wire);
        peer_free(&peers[i]);
    }
    start_loop();
}

/* Where a step is taken. */
static void test_place(void **state) {
    (void)state;
    struct turn *turns = &loop.turn;
    turn();
    assert_int_equal(turn_place(&loop), TURN_HERE);
    for (int i = 0; i < TURN_HANDSHAKES; i++)
        turn_count_handshake(&loop);
    assert_int_equal(turn_place(&loop), TURN_NOWHERE);
    turns->waiting_count = TURN_LINE;
    assert_int_equal(turn_place(&loop), TURN_ASIDE);
    turns->waiting_count = 0;
    loop.aside.away_count = 1; /* the thread is at work, and may go on */
    assert_int_equal(turn_place(&loop), TURN_ASIDE);
    loop.aside.away_count = 0;
    turn();
    settle();
    assert_int_equal(turn_place(&loop), TURN_ASIDE);
    loop.aside.away_count = ASIDE_MOST;
    assert_int_equal(turn_place(&loop), TURN_NOWHERE);
    loop.aside.state = ASIDE_NEVER; /* no thread is to be had */
    assert_int_equal(turn_place(&loop), TURN_HERE);
    loop.aside.state = ASIDE_NOT_YET;
    loop.aside.away_count = 0;
    turns->open_count = turns->least_now = turns->least_then = 0;
}

/* Who comes and goes does not count; who was there through a whole time of TURN_SETTLED_MS does. */
static void test_settled(void **state) {
    (void)state;
    struct wire *staying = wire_create(&loop, true), *passing = wire_create(&loop, true);
    turn();
    for (int i = 0; i < 3; i++) {
        turn_enter(passing);
        turn_enter(passing);
        assert_int_equal(loop.turn.open_count, 1);
        loop.turn.since_ms -= TURN_SETTLED_MS;
        turn();
        assert_int_equal(turn_place(&loop), TURN_HERE);
        turn_leave(passing);
        turn_leave(passing);
        assert_int_equal(loop.turn.open_count, 0);
    }
    turn_enter(staying);
    for (int i = 0; i < 2; i++) {
        turn();
        assert_int_equal(turn_place(&loop), TURN_HERE);
        loop.turn.since_ms -= TURN_SETTLED_MS;
    }
    turn();
    assert_int_equal(turn_place(&loop), TURN_ASIDE);
    turn_leave(staying);
    assert_int_equal(turn_place(&loop), TURN_HERE);
    wire_drop(staying);
    wire_drop(passing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshake, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_trouble, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_close, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_back_while_closing, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_parked, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_gone, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_late_error, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_full, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_loop_ends, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_place, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_settled, open_loop, close_loop),
    };
    return cmocka_run_group_tests_name("link/aside", tests, stage_begin, stage_finish);
}
