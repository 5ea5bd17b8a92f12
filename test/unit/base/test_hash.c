#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

/* Computed with another implementation, written from the paper and checked there with SipHash-2-4's published
 * vector: key 00 01 .. 0f, input 00 01 .. of that many bytes. */
static const struct {
    size_t size;
    uint64_t value;
} vectors[] = {
    {0, 0xabac0158050fc4dcu},   {1, 0xc9f49bf37d57ca93u},   {2, 0x82cb9b024dc7d44du},
    {7, 0xd3927d989bb11140u},   {8, 0x369095118d299a8eu},   {9, 0x25a48eb36c063de4u},
    {15, 0xd320d86d2a519956u},  {16, 0xcc4fdd1a7d908b66u},  {17, 0x9cf2689063dbd80cu},
    {31, 0x2370dd1f8c21d1bcu},  {63, 0x9d199062b7bbb3a8u},  {64, 0xf17997ec4b4a6065u},
    {255, 0xf76214e3153c4a15u}, {256, 0x75b3e64e167de370u}, {257, 0x5d8ffca6213c73b8u},
};

static void seed(uint8_t first, int step) {
    uint8_t key[16];
    for (int i = 0; i < 16; i++)
        key[i] = (uint8_t)(first + i * step);
    hash_seed(key);
}

static void test_vectors(void **state) {
    (void)state;
    seed(0, 1);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        for (size_t shift = 0; shift < 8; shift++) { /* wherever the bytes lie */
            uint8_t *bytes = malloc(vectors[i].size + shift + 1);
            assert_non_null(bytes);
            for (size_t k = 0; k < vectors[i].size; k++)
                bytes[shift + k] = (uint8_t)k;
            assert_true(hash_bytes(bytes + shift, vectors[i].size) == vectors[i].value);
            free(bytes);
        }
    seed(0xFF, -1);
    assert_true(hash_bytes("topic/a", 7) == 0xc01de3c8795e707au);
    assert_false(hash_bytes("topic/b", 7) == 0xc01de3c8795e707au);
}

struct item {
    UT_hash_handle hh;
    char name[16];
    unsigned number;
};

/* The table as the rooms above use it. */
static void test_table(void **state) {
    (void)state;
    seed(7, 3);
    struct item *table = NULL, *found, *next;
    for (unsigned i = 0; i < 5000; i++) {
        struct item *item = calloc(1, sizeof *item);
        assert_non_null(item);
        item->number = i;
        int size = snprintf(item->name, sizeof item->name, "client-%u", i);
        HASH_ADD_KEYPTR(hh, table, item->name, (size_t)size, item);
        assert_non_null(item->hh.tbl);
    }
    assert_int_equal(HASH_COUNT(table), 5000);
    for (unsigned i = 0; i < 6000; i++) {
        char name[16];
        int size = snprintf(name, sizeof name, "client-%u", i);
        HASH_FIND(hh, table, name, (size_t)size, found);
        assert_int_equal(found != NULL, i < 5000);
        if (found != NULL)
            assert_int_equal(found->number, i);
    }
    HASH_ITER(hh, table, found, next) {
        HASH_DEL(table, found);
        free(found);
    }
    assert_null(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_table)};
    return cmocka_run_group_tests_name("base/hash", tests, NULL, NULL);
}
