/* The wheel against a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/wheel.h"

#define COUNT 200

struct timer {
    struct deadline deadline; /* first */
    bool is_set;
    uint64_t wanted_ms; /* as it was asked for */
    unsigned fired;
    int action; /* what its callback does: 0 nothing, 1 sets itself, 2 sets another, 3 cancels another */
    struct timer *other;
    uint64_t after_ms;
};

static struct wheel wheel;
static struct timer timers[COUNT];
static uint64_t now, seed;
static size_t set_count;

static uint32_t any(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static void set(struct timer *timer, uint64_t due_ms) {
    set_count += !timer->is_set;
    timer->is_set = true;
    timer->wanted_ms = due_ms;
    wheel_set(&wheel, &timer->deadline, due_ms);
}

static void cancel(struct timer *timer) {
    set_count -= timer->is_set;
    timer->is_set = false;
    wheel_cancel(&wheel, &timer->deadline);
}

static void on_due(struct deadline *deadline, uint64_t when) {
    struct timer *timer = (struct timer *)deadline;
    assert_int_equal(when, now);
    assert_true(timer->is_set);
    assert_true(timer->wanted_ms <= now); /* never early */
    assert_false(deadline_is_set(deadline));
    timer->is_set = false;
    set_count--;
    timer->fired++;
    switch (timer->action) {
    case 1: set(timer, now + timer->after_ms); break;
    case 2: set(timer->other, now + timer->after_ms); break;
    case 3: cancel(timer->other); break;
    default: break;
    }
}

static void begin(uint64_t start_ms) {
    now = start_ms;
    set_count = 0;
    wheel_init(&wheel, now);
    for (size_t i = 0; i < COUNT; i++)
        timers[i] = (struct timer){.deadline.on_due = on_due};
}

static void turn(uint64_t forward_ms) {
    now += forward_ms;
    wheel_turn(&wheel, now);
    assert_int_equal(wheel.count, set_count);
}

static void test_one(void **state) {
    (void)state;
    for (uint64_t start = 0; start < 250; start += 49) {
        for (uint64_t after = 0; after < 120000; after += after < 300 ? 7 : 4999) {
            begin(start);
            set(&timers[0], start + after);
            assert_true(deadline_is_set(&timers[0].deadline));
            while (timers[0].fired == 0 && now < start + after + 1000)
                turn(20);
            assert_int_equal(timers[0].fired, 1);
            assert_true(now < start + after + WHEEL_TICK_MS + 20); /* a tick late at most */
            turn(200000);
            assert_int_equal(timers[0].fired, 1);
        }
    }
}

static void test_edges(void **state) {
    (void)state;
    begin(1000000);
    set(&timers[0], 0);           /* long past */
    set(&timers[1], now);         /* now */
    set(&timers[2], now + 51200); /* one rotation */
    set(&timers[3], now + 51199);
    set(&timers[4], UINT64_MAX); /* never */
    set(&timers[5], now + 10 * 51200 + 50);
    cancel(&timers[6]); /* not set */
    turn(0);
    assert_int_equal(timers[0].fired + timers[1].fired, 2);
    wheel_turn(&wheel, now - 500); /* a clock that steps back does nothing */
    turn(51199);
    assert_int_equal(timers[3].fired, 1);
    assert_int_equal(timers[2].fired, 0);
    turn(1);
    assert_int_equal(timers[2].fired, 1);
    turn(9 * 51200);
    assert_int_equal(timers[5].fired, 0);
    turn(50);
    assert_int_equal(timers[5].fired, 1);
    turn(UINT64_C(1) << 50); /* a sleep of the machine */
    assert_int_equal(timers[4].fired, 0);
    assert_int_equal(wheel.count, 1);
    /* A jump over a whole rotation leaves out no slot. */
    for (size_t i = 0; i < COUNT; i++)
        if (i != 4)
            set(&timers[i], now + (WHEEL_SLOT_COUNT - 1 - i) * WHEEL_TICK_MS + 50);
    turn((WHEEL_SLOT_COUNT + 20) * WHEEL_TICK_MS);
    assert_int_equal(wheel.count, 1);
    /* Moved, not set twice. */
    set(&timers[4], now + 100);
    set(&timers[4], now + 500);
    assert_int_equal(wheel.count, 1);
    turn(300);
    assert_int_equal(timers[4].fired, 0);
    turn(300);
    assert_int_equal(timers[4].fired, 1);
    assert_int_equal(wheel.count, 0);
}

/* A callback that sets its own deadline anew, even for right now, does not hold the turn for ever. */
static void test_set_within(void **state) {
    (void)state;
    begin(12345);
    timers[0].action = 1;
    set(&timers[0], now);
    turn(0);
    assert_int_equal(timers[0].fired, 1);
    turn(0);
    assert_int_equal(timers[0].fired, 2);
    timers[0].after_ms = 51200;
    turn(100);
    unsigned fired = timers[0].fired;
    turn(51200);
    assert_int_equal(timers[0].fired, fired + 1);
    cancel(&timers[0]);
    /* Two of the same moment, and the first cancels the second. */
    timers[1].action = 3;
    timers[1].other = &timers[2];
    set(&timers[1], now + 1000);
    set(&timers[2], now + 1000);
    turn(1000);
    assert_int_equal(timers[1].fired, 1);
    assert_int_equal(timers[2].fired, 0);
    assert_int_equal(wheel.count, 0);
}

static void test_at_random(void **state) {
    (void)state;
    for (seed = 1; seed < 60; seed++) {
        begin(any(1000000));
        for (unsigned round = 0; round < 2000; round++) {
            struct timer *timer = &timers[any(COUNT)];
            timer->action = (int)any(5);
            timer->other = &timers[any(COUNT)];
            timer->after_ms = any(3) == 0 ? any(200000) : any(500);
            switch (any(4)) {
            case 0: cancel(timer); break;
            case 1: set(timer, now + any(200000)); break;
            case 2: set(timer, now + any(400)); break;
            default: {
                uint64_t last = now;
                turn(any(5) == 0 ? any(120000) : any(150));
                /* What was set before this turn and was due a tick ago has fired; only what callbacks set
                 * during the turn may still wait. */
                if (now == last)
                    break;
                for (size_t i = 0; i < COUNT; i++)
                    if (timers[i].is_set && timers[i].wanted_ms + WHEEL_TICK_MS < now)
                        fail_msg("due %llu ms ago", (unsigned long long)(now - timers[i].wanted_ms));
                break;
            }
            }
            for (size_t i = 0; i < COUNT; i += 17)
                assert_int_equal(deadline_is_set(&timers[i].deadline), timers[i].is_set);
        }
        for (size_t i = 0; i < COUNT; i++)
            cancel(&timers[i]);
        assert_int_equal(wheel.count, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_set_within),
        cmocka_unit_test(test_at_random),
    };
    return cmocka_run_group_tests_name("base/wheel", tests, NULL, NULL);
}
