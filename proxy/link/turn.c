/* turn: handshakes and new connections share out the turns of the loop.
 *
 *     readable, no step left --> waits: not read --> next turn: armed again, first come first served
 */
#include "link/uv.h"

static void on_awake(uv_idle_t *idle) {
    (void)idle; /* that it is active keeps the loop from sleeping */
}

static void sleep_if_done(struct turn *turn) {
    if (turn->first == NULL && turn->acceptors == NULL)
        uv_idle_stop(&turn->awake);
}

static void on_begin(uv_prepare_t *prepare) {
    struct loop *loop = prepare->data;
    struct turn *turn = &loop->turn;
    turn->handshakes_left = TURN_HANDSHAKES;
    turn->accepts_left = TURN_ACCEPTS;
    if (!uv_is_active((uv_handle_t *)&turn->awake))
        return;
    for (unsigned i = 0; i < TURN_HANDSHAKES && turn->first != NULL; i++) {
        struct wire *wire = turn->first;
        turn_forget(wire);
        (void)wire_arm(wire); /* as in wire_read_start */
    }
    struct acceptor *acceptor = turn->acceptors;
    turn->acceptors = NULL;
    while (acceptor != NULL) {
        struct acceptor *next = acceptor->next;
        acceptor->is_waiting = false;
        acceptor->on_turn(acceptor); /* may wait again */
        acceptor = next;
    }
    sleep_if_done(turn);
}

void turn_open(struct loop *loop) {
    struct turn *turn = &loop->turn;
    turn->handshakes_left = TURN_HANDSHAKES;
    turn->accepts_left = TURN_ACCEPTS;
    turn->last = &turn->first;
    uv_prepare_init(&loop->uv, &turn->begin);
    uv_idle_init(&loop->uv, &turn->awake);
    turn->begin.data = turn->awake.data = loop;
    uv_prepare_start(&turn->begin, on_begin);
    uv_unref((uv_handle_t *)&turn->begin);
    uv_unref((uv_handle_t *)&turn->awake);
}

void turn_close(struct loop *loop) {
    uv_close((uv_handle_t *)&loop->turn.begin, NULL);
    uv_close((uv_handle_t *)&loop->turn.awake, NULL);
}

void turn_wait(struct wire *wire) {
    struct turn *turn = &wire->loop->turn;
    uv_read_stop(&wire->uv.stream);
    if (wire->previous != NULL)
        return;
    wire->next = NULL;
    wire->previous = turn->last;
    *turn->last = wire;
    turn->last = &wire->next;
    uv_idle_start(&turn->awake, on_awake);
}

void turn_forget(struct wire *wire) {
    struct turn *turn = &wire->loop->turn;
    if (wire->previous == NULL)
        return;
    *wire->previous = wire->next;
    if (wire->next != NULL)
        wire->next->previous = wire->previous;
    else
        turn->last = wire->previous;
    wire->previous = NULL;
    sleep_if_done(turn);
}

bool turn_accept(struct acceptor *acceptor) {
    struct turn *turn = &acceptor->loop->turn;
    if (turn->accepts_left != 0) {
        turn->accepts_left--;
        return true;
    }
    if (!acceptor->is_waiting) {
        acceptor->is_waiting = true;
        acceptor->next = turn->acceptors;
        turn->acceptors = acceptor;
        uv_idle_start(&turn->awake, on_awake);
    }
    return false;
}

void turn_forget_acceptor(struct acceptor *acceptor) {
    struct turn *turn = &acceptor->loop->turn;
    if (!acceptor->is_waiting)
        return;
    struct acceptor **at = &turn->acceptors;
    while (*at != acceptor)
        at = &(*at)->next;
    *at = acceptor->next;
    acceptor->is_waiting = false;
    sleep_if_done(turn);
}
