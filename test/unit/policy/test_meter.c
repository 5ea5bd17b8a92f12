/* Meters: the burst and no more, debts, what a late wake-up makes up for, a change of the rate, and many
 * threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "policy/meter.h"

static struct rate rate_of(const char *text) {
    struct rate rate;
    assert_true(rate_read(span_of_text(text), &rate));
    return rate;
}

static struct meter meter_of(const char *text) {
    struct rate rate = rate_of(text);
    struct meter meter;
    meter_init(&meter, &rate, NULL, 1000);
    return meter;
}

/* How many of that amount pass at once. */
static uint64_t count_passing(struct meter *meter, uint64_t amount, uint64_t now_ms) {
    uint64_t count = 0;
    while (count < 3000000 && meter_take(meter, amount, now_ms, now_ms))
        count++;
    return count;
}

static void test_burst(void **state) {
    (void)state;
    static const struct {
        const char *rate;
        uint64_t burst;
    } rows[] = {{"100/s burst 200", 200}, {"1/h burst 5", 5}, {"7/h burst 3", 3}, {"10/s", 10},
                {"1/s burst 1", 1},       {"1/h", 1},         {"3/m burst 7", 7}, {"999983/s burst 13", 13}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint64_t now_ms = 0; now_ms < 10000000000; now_ms = now_ms * 7 + 1) {
            struct meter meter = meter_of(rows[i].rate);
            assert_true(meter_is_full(&meter, now_ms));
            assert_int_equal(meter_wait_ms(&meter, now_ms), 0);
            if (count_passing(&meter, 1, now_ms) != rows[i].burst)
                fail_msg("%s at %llu", rows[i].rate, (unsigned long long)now_ms);
            assert_false(meter_is_full(&meter, now_ms));
        }
}

/* Fractions of a nanosecond are cut off, which makes little difference for bytes. */
static void test_fast(void **state) {
    (void)state;
    struct meter meter = meter_of("1g/s burst 1m");
    assert_in_range(count_passing(&meter, 100, 1000), 10486, 10600);
    meter = meter_of("1024g/s burst 1024g");
    assert_in_range(count_passing(&meter, 2000000, 1000), 549756, 600000);
}

/* A token comes when the wait is over and not before; rest brings back no more than the burst. */
static void test_time(void **state) {
    (void)state;
    struct meter meter = meter_of("10/s burst 5");
    uint64_t now_ms = 5000;
    assert_int_equal(count_passing(&meter, 1, now_ms), 5);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(meter_wait_ms(&meter, now_ms), 100);
        assert_false(meter_take(&meter, 1, now_ms + 99, now_ms + 99));
        now_ms += 100;
        assert_int_equal(meter_wait_ms(&meter, now_ms), 0);
        assert_int_equal(count_passing(&meter, 1, now_ms), 1);
    }
    assert_int_equal(count_passing(&meter, 1, now_ms + 300), 3);
    assert_int_equal(count_passing(&meter, 1, now_ms + 300 + 86400000), 5);
    /* A clock of another thread may be a little behind. */
    assert_int_equal(count_passing(&meter, 1, now_ms + 86400000), 0);
}

static void test_long_run(void **state) {
    (void)state;
    static const struct {
        const char *rate;
        uint64_t step_ms, end_ms, count;
    } rows[] = {{"100/s burst 20", 7, 100000, 10020},
                {"7/h burst 2", 999, 3600000 * 10, 72},
                {"1000/s burst 100", 100, 100000, 100100}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct meter meter = meter_of(rows[i].rate);
        uint64_t count = 0;
        for (uint64_t now_ms = 1000; now_ms <= 1000 + rows[i].end_ms; now_ms += rows[i].step_ms)
            count += count_passing(&meter, 1, now_ms);
        assert_in_range(count, rows[i].count - 2, rows[i].count);
    }
}

/* One bigger than the burst passes, and what follows waits until it is paid. */
static void test_debt(void **state) {
    (void)state;
    struct meter meter = meter_of("1000/s burst 2000");
    assert_true(meter_take(&meter, 1999, 1000, 1000));
    assert_true(meter_take(&meter, 50000, 1000, 1000));
    assert_false(meter_take(&meter, 1, 1000, 1000));
    assert_int_equal(meter_wait_ms(&meter, 1000), 49999 + 1);
    assert_false(meter_take(&meter, 1, 50999, 50999));
    assert_true(meter_take(&meter, 1, 51000, 51000));
    meter = meter_of("1/h burst 1");
    for (unsigned i = 0; i < 3; i++) {
        assert_true(meter_take(&meter, 268435460, 1000, 1000));
        assert_true(meter_wait_ms(&meter, 1000) > UINT64_C(50) * 365 * 86400000);
        meter_return(&meter, 268435460);
        assert_int_equal(meter_wait_ms(&meter, 1000), 0);
    }
    assert_true(meter_take(&meter, RATE_COUNT_MAX, 1000, 1000)); /* longer than anybody counts */
    assert_false(meter_take(&meter, 1, 1000, 1000));
    assert_int_not_equal(meter_wait_ms(&meter, 1000), 0);
}

static void test_return(void **state) {
    (void)state;
    struct meter meter = meter_of("10/s burst 5");
    for (unsigned i = 0; i < 100; i++) {
        assert_true(meter_take(&meter, 3, 1000, 1000));
        meter_return(&meter, 3);
    }
    assert_int_equal(count_passing(&meter, 1, 1000), 5);
    assert_int_equal(meter_time_ms(&meter, 0), 0);
    assert_int_equal(meter_time_ms(&meter, 7), 700);
}

/* Woken 300 ms late: what these have brought is there, above the burst; but only since the wait was over. */
static void test_late(void **state) {
    (void)state;
    struct meter meter = meter_of("100/s burst 1");
    assert_true(meter_take(&meter, 1, 1000, 1000));
    assert_int_equal(meter_wait_ms(&meter, 1000), 10);
    unsigned count = 0;
    while (meter_take(&meter, 1, 1010, 1310))
        count++;
    assert_int_equal(count, 31);
    assert_int_equal(meter_wait_ms(&meter, 1310), 10);
    assert_int_equal(count_passing(&meter, 1, 2000), 1);
    /* A moment that is still to come is none. */
    assert_false(meter_take(&meter, 1, 3000, 2000));
}

/* What is spent stays spent, in tokens, and debts stay debts. */
static void test_new_rate(void **state) {
    (void)state;
    struct meter old = meter_of("1/h burst 5"), meter;
    struct rate faster = rate_of("100/s burst 200"), smaller = rate_of("1/h burst 2");
    assert_int_equal(count_passing(&old, 1, 1000), 5);
    meter_init(&meter, &faster, &old, 1000);
    assert_int_equal(count_passing(&meter, 1, 1000), 195);
    meter_init(&meter, &smaller, &old, 1000);
    assert_int_equal(count_passing(&meter, 1, 1000), 0);
    assert_in_range(meter_wait_ms(&meter, 1000), 4 * 3600000 - 1, 4 * 3600000);
    old = meter_of("10/s burst 100");
    assert_true(meter_take(&old, 10100, 1000, 1000));
    meter_init(&meter, &(struct rate){3600000, 100}, &old, 1000); /* 1000/s */
    assert_in_range(meter_wait_ms(&meter, 1000), 10000, 10001);
    meter_init(&meter, &faster, &(struct meter){.rate = smaller}, 1000); /* nothing was spent */
    assert_int_equal(count_passing(&meter, 1, 1000), 200);
    assert_true(meter_take(&old, RATE_COUNT_MAX, 2000000, 2000000));
    meter_init(&meter, &smaller, &old, 2000000);
    assert_false(meter_take(&meter, 1, 2000000, 2000000));
}

/* ---- together ---- */

#define THREADS 4

struct taker {
    pthread_t thread;
    pthread_barrier_t *start;
    struct meter *meter;
    unsigned taken;
};

static void *take_all(void *argument) {
    struct taker *taker = argument;
    pthread_barrier_wait(taker->start);
    for (unsigned i = 0; i < 500000; i++) {
        taker->taken += meter_take(taker->meter, 1, 1000, 1000);
        if (meter_take(taker->meter, 1, 1000, 1000))
            meter_return(taker->meter, 1);
    }
    return NULL;
}

/* However many take and return at the same time, nothing is lost: what is spent is what was taken, and what
 * is left of the burst can be taken still. */
static void test_threads(void **state) {
    (void)state;
    struct meter meter = meter_of("1000000/s burst 2100000");
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, THREADS);
    struct taker takers[THREADS];
    unsigned taken = 0;
    for (size_t i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){.start = &start, .meter = &meter};
        assert_int_equal(pthread_create(&takers[i].thread, NULL, take_all, &takers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(takers[i].thread, NULL);
        taken += takers[i].taken;
    }
    assert_int_equal(taken, THREADS * 500000);
    assert_int_equal(meter.rested_ns, UINT64_C(1000000000) + taken * UINT64_C(1000));
    assert_int_equal(count_passing(&meter, 1, 1000), 100000);
    pthread_barrier_destroy(&start);
}

static void test_shared(void **state) {
    (void)state;
    struct meters *meters = meters_create();
    struct rate slow = rate_of("1/h burst 5"), fast = rate_of("100/s burst 200");
    struct span ann = SPAN_LITERAL("ann"), bob = SPAN_LITERAL("bob");
    struct meter *one = meters_join(meters, 1, ann, &slow, NULL, 1000);
    assert_ptr_equal(meters_join(meters, 1, ann, &slow, NULL, 1000), one);
    struct meter *others[] = {
        meters_join(meters, 1, bob, &slow, NULL, 1000), meters_join(meters, 2, ann, &slow, NULL, 1000),
        meters_join(meters, 1, SPAN_NONE, &slow, NULL, 1000), meters_join(meters, 1, ann, &fast, NULL, 1000)};
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_not_equal(others[i], one);
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(others[i], others[j]);
    }
    assert_int_equal(meters_count(meters), 5);
    for (size_t i = 0; i < 4; i++)
        meters_leave(meters, others[i], 1000);
    meters_leave(meters, NULL, 1000);
    assert_int_equal(meters_count(meters), 1); /* the full ones are forgotten at once */
    meters_leave(meters, one, 1000);
    assert_int_equal(meters_count(meters), 1); /* the second who has it is still there */
    meters_leave(meters, one, 1000);
    assert_int_equal(meters_count(meters), 0);
    meters_destroy(meters);
}

/* A new connection brings no new burst; once it would be full anyway it is forgotten. */
static void test_remembered(void **state) {
    (void)state;
    struct meters *meters = meters_create();
    struct rate rate = rate_of("1/s burst 5"), other = rate_of("10/s burst 50");
    struct meter *meter = meters_join(meters, 1, SPAN_LITERAL("ann"), &rate, NULL, 1000);
    assert_int_equal(count_passing(meter, 1, 1000), 5);
    /* Another rate goes on with what was spent. */
    struct meter *next = meters_join(meters, 1, SPAN_LITERAL("ann"), &other, meter, 1000);
    assert_int_equal(count_passing(next, 1, 1000), 45);
    meters_leave(meters, meter, 1000);
    meters_leave(meters, next, 1000);
    assert_int_equal(meters_count(meters), 2);
    meter = meters_join(meters, 1, SPAN_LITERAL("ann"), &rate, NULL, 2000);
    assert_int_equal(count_passing(meter, 1, 2000), 1);
    meters_leave(meters, meter, 2000);
    assert_int_equal(meters_count(meters), 2);
    for (size_t i = 0; i < 2; i++) { /* one with each session that begins */
        meter = meters_join(meters, 1, SPAN_LITERAL("bob"), &rate, NULL, 20000);
        assert_int_equal(meters_count(meters), 2 - i);
        meters_leave(meters, meter, 20000);
    }
    assert_int_equal(meters_count(meters), 0);
    meters_destroy(meters);
}

/* Names are chosen by strangers: what is only remembered has its bound. */
static void test_remembered_is_bounded(void **state) {
    (void)state;
    struct meters *meters = meters_create();
    struct rate rate = rate_of("1/h burst 5");
    for (unsigned i = 0; i < METERS_IDLE_MAX + 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        struct meter *meter = meters_join(meters, 1, span_of_text(name), &rate, NULL, 1000);
        assert_true(meter_take(meter, 1, 1000, 1000));
        meters_leave(meters, meter, 1000);
    }
    assert_int_equal(meters_count(meters), METERS_IDLE_MAX);
    meters_destroy(meters);
}

static void *join_and_leave(void *argument) {
    for (unsigned i = 0; i < 3000; i++) {
        struct rate rate = {3600, 10};
        char name[16];
        snprintf(name, sizeof name, "%u", i % 7);
        struct meter *meter = meters_join(argument, 1, span_of_text(name), &rate, NULL, i);
        meter_take(meter, 1, i, i);
        meters_leave(argument, meter, i);
    }
    return NULL;
}

static void test_table_threads(void **state) {
    (void)state;
    struct meters *meters = meters_create();
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, join_and_leave, meters), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(meters_count(meters), 0, 7);
    meters_destroy(meters);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst),         cmocka_unit_test(test_fast),
        cmocka_unit_test(test_time),          cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_debt),          cmocka_unit_test(test_return),
        cmocka_unit_test(test_late),          cmocka_unit_test(test_new_rate),
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_shared),
        cmocka_unit_test(test_remembered),    cmocka_unit_test(test_remembered_is_bounded),
        cmocka_unit_test(test_table_threads),
    };
    return cmocka_run_group_tests_name("policy/meter", tests, NULL, NULL);
}
