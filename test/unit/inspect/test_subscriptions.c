/* The set of filters that a session has subscribed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inspect/subscriptions.h"

static void hashes_tell_filters_apart(void **state) {
    (void)state;
    uint64_t a = subscription_hash(SPAN_LITERAL("a/b")), b = subscription_hash(SPAN_LITERAL("a/c"));
    assert_true(a != b && a != 0 && b != 0);
    assert_true(a == subscription_hash(SPAN_LITERAL("a/b")));
    assert_true(subscription_hash(SPAN_LITERAL("$share/g/a/b")) != a);
}

static void an_empty_one_holds_nothing(void **state) {
    (void)state;
    struct subscriptions set = {NULL, 0, 0};
    assert_false(subscriptions_have(&set, 1));
    subscriptions_remove(&set, 1);
    subscriptions_clear(&set);
    assert_int_equal(set.count, 0);
}

static void each_counts_once(void **state) {
    (void)state;
    struct subscriptions set = {NULL, 0, 0};
    assert_true(subscriptions_add(&set, 7));
    assert_true(subscriptions_add(&set, 7));
    assert_int_equal(set.count, 1);
    assert_true(subscriptions_have(&set, 7));
    subscriptions_remove(&set, 8);
    assert_int_equal(set.count, 1);
    subscriptions_remove(&set, 7);
    subscriptions_remove(&set, 7);
    assert_int_equal(set.count, 0);
    assert_false(subscriptions_have(&set, 7));
    subscriptions_clear(&set);
}

/* Against a table of all values, with hashes that meet in the same slots and round the end. */
static void like_a_table(void **state) {
    (void)state;
    enum { VALUES = 400 };
    for (uint64_t stride = 1; stride <= 64; stride *= 8) {
        struct subscriptions set = {NULL, 0, 0};
        bool is_in[VALUES] = {false};
        uint32_t count = 0;
        uint64_t seed = stride;
        for (int step = 0; step < 20000; step++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t value = (size_t)(seed >> 33) % VALUES;
            /* it grows first and shrinks later */
            bool adds = (seed >> 60) < (step < 10000 ? 10u : 5u);
            uint64_t hash = (value + 1) * stride + 5;
            if (adds)
                assert_true(subscriptions_add(&set, hash));
            else
                subscriptions_remove(&set, hash);
            count += (adds ? 1u : 0u) - (is_in[value] ? 1u : 0u);
            is_in[value] = adds;
            assert_int_equal(set.count, count);
            assert_true(set.count * 2 <= set.room);
            if (step % 500 == 0)
                for (size_t i = 0; i < VALUES; i++)
                    assert_int_equal(subscriptions_have(&set, (i + 1) * stride + 5), is_in[i]);
        }
        subscriptions_clear(&set);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_tell_filters_apart),
        cmocka_unit_test(an_empty_one_holds_nothing),
        cmocka_unit_test(each_counts_once),
        cmocka_unit_test(like_a_table),
    };
    return cmocka_run_group_tests_name("inspect/subscriptions", tests, NULL, NULL);
}
