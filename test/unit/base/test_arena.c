#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/arena.h"

static void test_alloc(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    assert_int_equal(arena_size(arena), 0);
    uint8_t *rooms[600];
    size_t total = 0;
    for (size_t i = 0; i < 600; i++) {
        size_t size = i * i % 5000; /* over many blocks, some too large for one */
        size = i == 300 ? 100000 : size;
        rooms[i] = arena_alloc(arena, size);
        assert_non_null(rooms[i]);
        assert_int_equal((uintptr_t)rooms[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(rooms[i][k], 0);
        memset(rooms[i], (int)(i % 256), size);
        total += size;
        assert_true(arena_size(arena) >= total);
    }
    for (size_t i = 0; i < 600; i++) /* nobody wrote into another's room */
        for (size_t k = 0; k < (i == 300 ? 100000 : i * i % 5000); k++)
            assert_int_equal(rooms[i][k], i % 256);
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 8));
    assert_non_null(arena_alloc(arena, 1));
    arena_destroy(arena);
    arena_destroy(NULL);
}

static void test_text(void **state) {
    (void)state;
    struct arena *arena = arena_create();
    assert_string_equal(arena_text(arena, SPAN_LITERAL("hello")), "hello");
    assert_string_equal(arena_text(arena, SPAN_NONE), "");
    const char *with_nul = arena_text(arena, SPAN_LITERAL("a\0b"));
    assert_memory_equal(with_nul, "a\0b", 4);
    assert_string_equal(arena_print(arena, "%s-%d", "x", 7), "x-7");
    assert_string_equal(arena_print(arena, "%s", ""), "");
    char *long_one = arena_print(arena, "%060000d", 5);
    assert_int_equal(strlen(long_one), 60000);
    assert_int_equal(long_one[59999], '5');
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alloc), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
