/* The sets of packet ids and the list of merges, against the simplest thing that could be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/driver.h"

static void test_set_edges(void **state) {
    (void)state;
    struct id_set set = {NULL};
    assert_false(id_set_has(&set, 0));
    id_set_remove(&set, 1); /* of an empty set: nothing happens, nothing is allocated */
    assert_null(set.bits);
    const uint16_t ids[] = {0, 1, 63, 64, 127, 128, 32767, 32768, 65534, 65535};
    const size_t count = sizeof ids / sizeof ids[0];
    for (size_t i = 0; i < count; i++) {
        assert_true(id_set_add(&set, ids[i]));
        for (size_t k = 0; k < count; k++)
            assert_int_equal(id_set_has(&set, ids[k]), k <= i);
    }
    assert_true(id_set_add(&set, 64)); /* twice is once */
    for (size_t i = 0; i < count; i++) {
        id_set_remove(&set, ids[i]);
        id_set_remove(&set, ids[i]);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(id_set_has(&set, ids[k]), k > i);
    }
    id_set_clear(&set);
    assert_null(set.bits);
    assert_false(id_set_has(&set, 65535));
    id_set_clear(&set);
}

static void test_set_at_random(void **state) {
    (void)state;
    struct id_set set = {NULL};
    static bool has[65536];
    uint64_t seed = 7;
    for (unsigned i = 0; i < 300000; i++) {
        uint16_t id = (uint16_t)(driver_random(&seed) % (i % 3 == 0 ? 65536 : 200));
        switch (driver_random(&seed) % 3) {
        case 0:
            assert_true(id_set_add(&set, id));
            has[id] = true;
            break;
        case 1:
            id_set_remove(&set, id);
            has[id] = false;
            break;
        default: assert_int_equal(id_set_has(&set, id), has[id]); break;
        }
    }
    for (unsigned id = 0; id < 65536; id++)
        assert_int_equal(id_set_has(&set, (uint16_t)id), has[id]);
    id_set_clear(&set);
}

static void test_merges(void **state) {
    (void)state;
    struct merge_list list = {0};
    assert_null(merge_find(&list, 0));
    struct merge *merges[100];
    for (uint16_t i = 0; i < 100; i++) {
        merges[i] = merge_add(&list, (uint16_t)(i * 600), i);
        assert_non_null(merges[i]);
        assert_int_equal(merges[i]->code_count, i);
        for (uint16_t k = 0; k < i; k++)
            merges[i]->codes[k] = (uint8_t)k; /* all of them are there */
    }
    assert_int_equal(list.count, 100);
    uint64_t seed = 3;
    for (unsigned left = 100; left > 0; left--) {
        for (unsigned i = 0; i < 100; i++)
            assert_ptr_equal(merge_find(&list, (uint16_t)(i * 600)), merges[i]);
        assert_null(merge_find(&list, 1));
        unsigned which = driver_random(&seed) % 100;
        while (merges[which] == NULL)
            which = (which + 1) % 100;
        merge_remove(&list, merges[which]);
        merges[which] = NULL;
        assert_int_equal(list.count, left - 1);
    }
    assert_null(list.first);
    merge_add(&list, 1, 10);
    merge_add(&list, 2, 0);
    merge_clear(&list);
    assert_null(list.first);
    assert_int_equal(list.count, 0);
    merge_clear(&list);
}

/* The hashes of counted filters, in their order. */
static void test_merge_hashes(void **state) {
    (void)state;
    struct merge_list list = {0};
    struct merge *merge = merge_add(&list, 1, 100);
    memset(merge->codes, MERGE_OPEN, 100);
    for (uint32_t i = 0; i < 50; i++) {
        assert_true(merge_count(merge, 2 * i, 1000 + i));
        assert_int_equal(merge->hash_count, i + 1);
    }
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(merge->codes[i], i % 2 == 0 ? MERGE_COUNTED : MERGE_OPEN);
        assert_true(merge_is_open(merge->codes[i]));
        assert_int_equal(merge->hashes[i / 2], 1000 + i / 2);
    }
    assert_false(merge_is_open(0x80) || merge_is_open(0xA2) || merge_is_open(0));
    merge_clear(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_edges),
        cmocka_unit_test(test_set_at_random),
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_merge_hashes),
    };
    return cmocka_run_group_tests_name("inspect/inflight", tests, NULL, NULL);
}
