/* turn: handshakes and new connections share out the turns of the loop.
 *
 *     readable, no step left --> waits: not read --> next turn: armed again, first come first served
 *
 * Where a step is taken:
 *
 *     somebody is connected who stays ------------------------------> aside, as far as there is room
 *     nobody is: the first of a turn -------------------------------> here
 *                the others, when the line is long or some are aside -> aside
 *
 * Alone, a handshake is done sooner and for less here: two switches of threads are saved. */
#include "link/uv.h"

static void on_awake(uv_idle_t *idle) {
    (void)idle; /* that it is active keeps the loop from sleeping */
}

/* ---- who is connected ---- */

void turn_enter(struct wire *wire) {
    wire->loop->turn.open_count += !wire->is_entered;
    wire->is_entered = true;
}

void turn_leave(struct wire *wire) {
    struct turn *turn = &wire->loop->turn;
    turn->open_count -= wire->is_entered;
    wire->is_entered = false;
    if (turn->open_count < turn->least_now)
        turn->least_now = turn->open_count;
}

static void look_at_time(struct loop *loop) {
    struct turn *turn = &loop->turn;
    if (uv_now(&loop->uv) - turn->since_ms < TURN_SETTLED_MS)
        return;
    turn->since_ms = uv_now(&loop->uv);
    turn->least_then = turn->least_now;
    turn->least_now = turn->open_count;
}

/* Is somebody connected who was all the time? */
static bool is_settled(const struct turn *turn) {
    return turn->least_then != 0 && turn->least_now != 0;
}

/* ---- steps ---- */

enum turn_place turn_place(const struct loop *loop) {
    const struct turn *turn = &loop->turn;
    const struct aside *aside = &loop->aside;
    bool has_aside = aside->state != ASIDE_NEVER;
    bool is_busy = is_settled(turn) && has_aside;
    if (!is_busy && turn->handshakes_left != 0)
        return TURN_HERE;
    bool is_wanted = is_busy || turn->waiting_count >= TURN_LINE || aside->away_count != 0;
    return is_wanted && has_aside && aside->away_count < ASIDE_MOST ? TURN_ASIDE : TURN_NOWHERE;
}

/* How many of those who wait may be read in this turn? */
static size_t room_of(const struct loop *loop) {
    switch (turn_place(loop)) {
    case TURN_HERE: return loop->turn.handshakes_left;
    case TURN_ASIDE: return ASIDE_MOST - loop->aside.away_count;
    default: return 0;
    }
}

/* Whom a step that comes back will wake needs no turn before. */
static bool is_awaited(const struct loop *loop) {
    return loop->turn.acceptors != NULL || (loop->turn.first != NULL && loop->aside.away_count < ASIDE_MOST);
}

static void sleep_if_done(struct loop *loop) {
    if (!is_awaited(loop))
        uv_idle_stop(&loop->turn.awake);
}

static void stay_awake(struct loop *loop) {
    if (is_awaited(loop))
        uv_idle_start(&loop->turn.awake, on_awake);
}

static void arm_waiting(struct loop *loop) {
    for (size_t room = room_of(loop); room != 0 && loop->turn.first != NULL; room--) {
        struct wire *wire = loop->turn.first;
        turn_forget(wire);
        (void)wire_arm(wire); /* as in wire_read_start */
    }
}

static void on_begin(uv_prepare_t *prepare) {
    struct loop *loop = prepare->data;
    struct turn *turn = &loop->turn;
    turn->handshakes_left = TURN_HANDSHAKES;
    turn->accepts_left = TURN_ACCEPTS;
    look_at_time(loop);
    if (turn->first == NULL && turn->acceptors == NULL)
        return;
    arm_waiting(loop);
    struct acceptor *acceptor = turn->acceptors;
    turn->acceptors = NULL;
    while (acceptor != NULL) {
        struct acceptor *next = acceptor->next;
        acceptor->is_waiting = false;
        acceptor->on_turn(acceptor); /* may wait again */
        acceptor = next;
    }
    stay_awake(loop);
    sleep_if_done(loop);
}

void turn_open(struct loop *loop) {
    struct turn *turn = &loop->turn;
    turn->handshakes_left = TURN_HANDSHAKES;
    turn->accepts_left = TURN_ACCEPTS;
    turn->last = &turn->first;
    turn->since_ms = uv_now(&loop->uv);
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
    turn->waiting_count++;
    stay_awake(wire->loop);
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
    turn->waiting_count--;
    sleep_if_done(wire->loop);
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
        stay_awake(acceptor->loop);
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
    sleep_if_done(acceptor->loop);
}
