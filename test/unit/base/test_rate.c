#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rate.h"

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t per_hour, burst;
        const char *printed; /* NULL: refused */
    } rows[] = {
        {"10/s burst 50", 36000, 50, "10/s burst 50"},
        {"10/s", 36000, 10, "10/s"},
        {"10", 36000, 10, "10/s"},
        {"10 burst 20", 36000, 20, "10/s burst 20"},
        {"5/m", 300, 5, "5/m"},
        {"120/m", 7200, 120, "2/s burst 120"},
        {"7/h burst 1", 7, 1, "7/h burst 1"},
        {"64k/s burst 1m", UINT64_C(65536) * 3600, 1048576, "65536/s burst 1048576"},
        {"1m/m", UINT64_C(1048576) * 60, 1048576, "1048576/m"},
        {"  1/s\tburst  2 ", 3600, 2, "1/s burst 2"},
        {"0", 0, 0, "0"},
        {"0/h", 0, 0, "0"},
        {"1024g/s", UINT64_C(3600) << 40, UINT64_C(1) << 40, "1099511627776/s"},
        {"1025g/s", 0, 0, NULL},
        {"1/s burst 1025g", 0, 0, NULL},
        {"1/s burst 0", 0, 0, NULL},
        {"0 burst 5", 0, 0, NULL},
        {"", 0, 0, NULL},
        {"/s", 0, 0, NULL},
        {"1/", 0, 0, NULL},
        {"1/d", 0, 0, NULL},
        {"1/S", 0, 0, NULL},
        {"1/s/s", 0, 0, NULL},
        {"1s", 0, 0, NULL},
        {"-1/s", 0, 0, NULL},
        {"1.5/s", 0, 0, NULL},
        {"ten/s", 0, 0, NULL},
        {"1 / s", 0, 0, NULL},
        {"1/s burst", 0, 0, NULL},
        {"1/s 5", 0, 0, NULL},
        {"1/s burst 5 6", 0, 0, NULL},
        {"1/s burst -5", 0, 0, NULL},
        {"1/s Burst 5", 0, 0, NULL},
        {"burst 5", 0, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rate rate = {77, 77};
        char room[64];
        bool is_read = rate_read(span_of_text(rows[i].text), &rate);
        if (is_read != (rows[i].printed != NULL))
            fail_msg("'%s': %d", rows[i].text, is_read);
        assert_int_equal(rate.per_hour, is_read ? rows[i].per_hour : 77);
        assert_int_equal(rate.burst, is_read ? rows[i].burst : 77);
        if (is_read)
            assert_string_equal(rate_print(&rate, room, sizeof room), rows[i].printed);
    }
    struct rate rate;
    assert_false(rate_read(SPAN_NONE, &rate));
    assert_false(rate_read(SPAN_LITERAL("1/s\0"), &rate));
    assert_true(rate_read(span_of("12345", 2), &rate)); /* what stands behind is not read */
    assert_int_equal(rate.burst, 12);
}

static struct rate rate_of(const char *text) {
    struct rate rate;
    assert_true(rate_read(span_of_text(text), &rate));
    return rate;
}

static void test_burst_then_rate(void **state) {
    (void)state;
    struct rate rate = rate_of("10/s burst 50");
    struct bucket bucket = {0};
    uint64_t now = 5000;
    for (int i = 0; i < 50; i++)
        assert_true(bucket_take(&bucket, &rate, 1, now));
    assert_false(bucket_take(&bucket, &rate, 1, now));
    assert_int_equal(bucket_wait_ms(&bucket, &rate, 1, now), 100);
    assert_false(bucket_take(&bucket, &rate, 1, now + 99));
    assert_true(bucket_take(&bucket, &rate, 1, now + 100));
    assert_false(bucket_take(&bucket, &rate, 1, now + 100));
    /* ten each second, however often one asks */
    int taken = 0;
    for (uint64_t ms = 101; ms <= 10100; ms++)
        taken += bucket_take(&bucket, &rate, 1, now + ms);
    assert_int_equal(taken, 100);
    assert_false(bucket_is_full(&bucket, &rate, now + 10100 + 4999));
    assert_true(bucket_is_full(&bucket, &rate, now + 10100 + 5000));
}

/* Slow rates lose nothing between two looks. */
static void test_slow(void **state) {
    (void)state;
    struct rate rate = rate_of("7/h burst 1");
    struct bucket bucket = {0};
    int taken = 0;
    for (uint64_t ms = 1; ms <= 3600000; ms += 13)
        taken += bucket_take(&bucket, &rate, 1, ms);
    assert_int_equal(taken, 7); /* the first at once, then six of the hour's seven; the seventh is just due */
    assert_true(bucket_take(&bucket, &rate, 1, 3600000 + 14 * 13));
}

static void test_debt(void **state) {
    (void)state;
    struct rate rate = rate_of("1k/s burst 4k");
    struct bucket bucket = {0};
    assert_false(bucket_take(&bucket, &rate, 4097, 1)); /* more than ever fits */
    assert_int_equal(bucket_wait_ms(&bucket, &rate, 4097, 1), 0);
    bucket_charge(&bucket, &rate, 1000000, 1);
    assert_false(bucket_take(&bucket, &rate, 0, 1));
    /* 1,000,000 - 4,096 above the burst, and one more token, at 1,024 a second */
    assert_int_equal(bucket_wait_ms(&bucket, &rate, 1, 1), 972564);
    assert_false(bucket_take(&bucket, &rate, 1, 972564));
    assert_true(bucket_take(&bucket, &rate, 1, 972565));
    /* without end, and without going round */
    for (int i = 0; i < 100; i++)
        bucket_charge(&bucket, &rate, UINT64_MAX, 2000000);
    assert_false(bucket_take(&bucket, &rate, 1, 2000000));
    assert_true(bucket_wait_ms(&bucket, &rate, 1, 2000000) > UINT64_C(1000) * 3600 * 1000);
    assert_true(bucket_take(&bucket, &rate, 1, UINT64_MAX));
}

static void test_extremes(void **state) {
    (void)state;
    struct rate none = {0}, fast = rate_of("1024g/s");
    struct bucket bucket = {0};
    assert_true(bucket_take(&bucket, &none, UINT64_MAX, 0));
    bucket_charge(&bucket, &none, UINT64_MAX, 0);
    assert_int_equal(bucket_wait_ms(&bucket, &none, UINT64_MAX, 0), 0);
    assert_true(bucket_is_full(&bucket, &none, 0));
    assert_int_equal(bucket.spent, 0);
    assert_true(bucket_take(&bucket, &fast, RATE_COUNT_MAX, 1));
    assert_false(bucket_take(&bucket, &fast, RATE_COUNT_MAX, 1));
    assert_int_equal(bucket_wait_ms(&bucket, &fast, RATE_COUNT_MAX, 1), 1000);
    assert_true(bucket_take(&bucket, &fast, RATE_COUNT_MAX, 1001));
    /* a clock that was read earlier gives nothing back and takes nothing away */
    assert_false(bucket_take(&bucket, &fast, RATE_COUNT_MAX, 5));
    assert_int_equal(bucket.at_ms, 1001);
}

/* A reload changes the rate while something is spent. */
static void test_another_rate(void **state) {
    (void)state;
    struct rate per_minute = rate_of("60/m"), per_second = rate_of("1/s burst 60");
    struct bucket bucket = {0};
    assert_true(bucket_take(&bucket, &per_minute, 60, 1000));
    assert_false(bucket_take(&bucket, &per_second, 1, 1999));
    assert_true(bucket_take(&bucket, &per_second, 1, 2000));
    struct rate small = rate_of("1/s burst 2");
    assert_int_equal(bucket_wait_ms(&bucket, &small, 1, 2000), 59000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_burst_then_rate),
        cmocka_unit_test(test_slow),     cmocka_unit_test(test_debt),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_another_rate),
    };
    return cmocka_run_group_tests_name("base/rate", tests, NULL, NULL);
}
