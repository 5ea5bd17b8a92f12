/* nicknames: which topics have an alias, and which lose it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "bridge/nicknames.h"

static void test_a_topic_keeps_its_alias(void **state) {
    struct nicknames nicknames = {0};
    (void)state;
    nicknames_begin(&nicknames, 3);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/a")), 0);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/a")), 1);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/b")), 2);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/a")), 1);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/b")), 2);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/")), 0);
    nicknames_clear(&nicknames);
}

static void test_who_was_silent_longest_loses(void **state) {
    struct nicknames nicknames = {0};
    (void)state;
    nicknames_begin(&nicknames, 2);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/a")), 1);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/b")), 2);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/a")), 1);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/c")), 2);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/b")), 0);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/a")), 1);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/c")), 2);
    nicknames_clear(&nicknames);
}

static void test_none_where_none_is_allowed(void **state) {
    struct nicknames nicknames = {0};
    (void)state;
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/a")), 0);
    nicknames_begin(&nicknames, 0);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/a")), 0);
    nicknames_begin(&nicknames, 5);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("a/b")), 0); /* its alias is not shorter */
    nicknames_clear(&nicknames);
}

static void test_a_new_connection_knows_nothing(void **state) {
    struct nicknames nicknames = {0};
    (void)state;
    nicknames_begin(&nicknames, 65535);
    assert_int_equal(nicknames.max, NICKNAMES_MAX);
    assert_int_equal(nicknames_give(&nicknames, SPAN_LITERAL("topic/a")), 1);
    nicknames_begin(&nicknames, 1);
    assert_int_equal(nicknames_find(&nicknames, SPAN_LITERAL("topic/a")), 0);
    nicknames_clear(&nicknames);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_topic_keeps_its_alias),
        cmocka_unit_test(test_who_was_silent_longest_loses),
        cmocka_unit_test(test_none_where_none_is_allowed),
        cmocka_unit_test(test_a_new_connection_knows_nothing),
    };
    return cmocka_run_group_tests_name("bridge/nicknames", tests, NULL, NULL);
}
