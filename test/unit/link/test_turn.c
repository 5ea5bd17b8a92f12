/* turn: real sockets on a real loop, one turn of it at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "link/uv.h"

#define PEERS (3 * TURN_HANDSHAKES + 3)

struct peer {
    struct wire *wire;
    int far; /* its other end */
    unsigned reads;
};

static struct loop loop;
static uint8_t engine_stand_in; /* the wire only asks whether there is one */
static unsigned order[256], order_count;
static struct peer peers[256];
static uint8_t room[64];

static struct link_room on_room(struct wire *wire) {
    (void)wire;
    return (struct link_room){room, sizeof room};
}

static void on_bytes(struct wire *wire, struct span bytes) {
    struct peer *peer = wire->link.owner;
    assert_int_equal(bytes.size, 1);
    peer->reads++;
    order[order_count++] = (unsigned)(peer - peers);
    if (wire->link.engine != NULL)
        turn_count_handshake(wire->loop);
}

static void on_closed(struct link *link) {
    link->engine = NULL;
}

static const struct wire_kind kind = {
    {NULL, wire_read_start, wire_read_stop, wire_is_ended, NULL}, on_room, on_bytes};
static const struct link_events events = {.on_closed = on_closed};

static void peer_open(size_t index, bool is_shaking) {
    struct peer *peer = &peers[index];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    *peer = (struct peer){.wire = wire_create(&loop, true), .far = ends[1]};
    assert_int_equal(uv_pipe_open(&peer->wire->uv.pipe, ends[0]), 0);
    wire_set_kind(peer->wire, &kind);
    peer->wire->link.events = &events;
    peer->wire->link.owner = peer;
    peer->wire->link.is_open = !is_shaking;
    peer->wire->link.is_reading = true;
    if (is_shaking)
        peer->wire->link.engine = (struct engine *)&engine_stand_in;
    wire_read_start(&peer->wire->link);
}

static void say(size_t index) {
    assert_int_equal(write(peers[index].far, "x", 1), 1);
}

static void peer_close(size_t index) {
    wire_cut(peers[index].wire);
    close(peers[index].far);
}

static int open_loop(void **state) {
    (void)state;
    order_count = 0;
    return loop_init(&loop, NULL);
}

static int close_loop(void **state) {
    (void)state;
    loop_close(&loop);
    return 0;
}

static void turn(void) {
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

/* Eight steps a turn; who is connected is served in the first; first come, first served. */
static void test_handshakes(void **state) {
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        peer_open(i, true);
    peer_open(PEERS, false);
    turn();
    for (size_t i = 0; i <= PEERS; i++)
        say(i);
    turn();
    assert_int_equal(order_count, TURN_HANDSHAKES + 1);
    assert_int_equal(peers[PEERS].reads, 1);
    for (unsigned taken = TURN_HANDSHAKES, turns = 1; taken < PEERS; turns++) {
        say(PEERS); /* and still is, while others wait */
        turn();
        taken = taken + TURN_HANDSHAKES < PEERS ? taken + TURN_HANDSHAKES : PEERS;
        assert_int_equal(peers[PEERS].reads, turns + 1);
        assert_int_equal(order_count, taken + turns + 1);
    }
    turn();
    for (unsigned i = 0, last = 0; i < order_count; i++)
        if (order[i] != PEERS) {
            assert_true(i == 0 || order[i] >= last);
            last = order[i];
        }
    assert_false(uv_is_active((uv_handle_t *)&loop.turn.awake)); /* nobody waits: the loop sleeps */
    for (size_t i = 0; i <= PEERS; i++)
        peer_close(i);
}

/* Who waits may go, be told to rest, or have its handshake done meanwhile. */
static void test_waiting_ends(void **state) {
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        peer_open(i, true);
    turn();
    for (size_t i = 0; i < PEERS; i++)
        say(i);
    turn();
    assert_int_equal(order_count, TURN_HANDSHAKES);
    for (size_t i = TURN_HANDSHAKES; i < PEERS; i += 2)
        peer_close(i);
    peers[TURN_HANDSHAKES + 1].wire->link.is_open = true;
    for (int i = 0; i < PEERS; i++)
        turn();
    for (size_t i = 0; i < PEERS; i++)
        assert_int_equal(peers[i].reads, i < TURN_HANDSHAKES || (i - TURN_HANDSHAKES) % 2 == 1);
    assert_false(uv_is_active((uv_handle_t *)&loop.turn.awake));
    for (size_t i = 0; i < PEERS; i++)
        if (i < TURN_HANDSHAKES || (i - TURN_HANDSHAKES) % 2 == 1)
            peer_close(i);
}

static unsigned accepted;

static void on_accept(struct acceptor *acceptor, struct wire *wire, const struct address *address) {
    (void)acceptor;
    (void)address;
    accepted++;
    wire_drop(wire);
}

static int connected(const char *path) {
    struct address address;
    assert_true(address_of_path(&address, path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, &address.socket.any, address.size), 0);
    return fd;
}

static void test_accepts(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/drawbridge-turn-%d.sock", (int)getpid());
    struct acceptor acceptor = {.on_accept = on_accept};
    int fds[2 * TURN_ACCEPTS + 10];
    const unsigned count = sizeof fds / sizeof fds[0];
    int fd = accept_bind_unix(path);
    assert_true(fd >= 0);
    assert_int_equal(acceptor_open(&acceptor, &loop, fd, true), 0);
    accepted = 0;
    for (unsigned i = 0; i < count; i++)
        fds[i] = connected(path);
    turn();
    assert_int_equal(accepted, TURN_ACCEPTS);
    turn();
    assert_int_equal(accepted, 2 * TURN_ACCEPTS);
    for (unsigned i = 0; i < count; i++)
        turn();
    assert_int_equal(accepted, count);
    assert_false(uv_is_active((uv_handle_t *)&loop.turn.awake));
    /* Closed while it waits. */
    for (unsigned i = 0; i < count; i++) {
        close(fds[i]);
        fds[i] = connected(path);
    }
    turn();
    acceptor_close(&acceptor);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(accepted, count + TURN_ACCEPTS);
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshakes, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_waiting_ends, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_accepts, open_loop, close_loop),
    };
    return cmocka_run_group_tests_name("link/turn", tests, NULL, NULL);
}
