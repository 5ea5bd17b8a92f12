/* The messages of a lane that are in memory: always the next ones, in their order, and not too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bridge/inside.h"

static struct message *make(int64_t number, int16_t priority) {
    struct message *message = message_create(SPAN_LITERAL("t"), SPAN_NONE, SPAN_LITERAL("hello"));
    assert_non_null(message);
    message->number = number;
    message->priority = priority;
    return message;
}

static struct message *make_large(int64_t number, size_t size) {
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    struct message *message = message_create(SPAN_LITERAL("t"), SPAN_NONE, span_of(bytes, size));
    free(bytes);
    assert_non_null(message);
    message->number = number;
    return message;
}

static void expect(struct supply *supply, const int64_t *numbers, size_t count) {
    assert_int_equal(supply->count, count);
    for (size_t i = 0; i < count; i++) {
        struct message *message = supply_pop(supply);
        assert_non_null(message);
        assert_int_equal(message->number, numbers[i]);
        free(message);
    }
    assert_null(supply_pop(supply));
    assert_int_equal(supply->bytes, 0);
}

#define EXPECT(supply, ...)                                                                                  \
    expect(supply, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void offers_find_their_place(void **state) {
    struct supply supply = {0};
    (void)state;
    supply_offer(&supply, make(3, 0), false);
    supply_offer(&supply, make(5, 0), false);
    supply_offer(&supply, make(4, 0), false);
    supply_offer(&supply, make(6, 7), false);
    supply_offer(&supply, make(7, -1), false);
    supply_offer(&supply, make(8, 0), false);
    EXPECT(&supply, 6, 3, 4, 5, 8, 7);
    supply_offer(&supply, make(3, 0), true);
    supply_offer(&supply, make(5, 0), true);
    supply_offer(&supply, make(4, 0), true);
    supply_offer(&supply, make(1, 1), true);
    EXPECT(&supply, 1, 5, 4, 3);
}

/* Behind the last one there may be others on the disk. */
static void what_may_come_later_is_left_on_the_disk(void **state) {
    struct supply supply = {.has_more = true};
    (void)state;
    supply_offer(&supply, make(3, 0), false);
    assert_int_equal(supply.count, 0);
    supply.has_more = false;
    supply_offer(&supply, make(3, 0), false);
    supply.has_more = true;
    supply_offer(&supply, make(4, 0), false);
    supply_offer(&supply, make(2, 0), false);
    supply_offer(&supply, make(9, 1), false);
    EXPECT(&supply, 9, 2, 3);
}

static void a_fetch_joins_what_is_there(void **state) {
    struct supply supply = {0};
    struct message *list = make(2, 0);
    (void)state;
    list->next = make(3, 0);
    list->next->next = make(5, 0);
    supply_offer(&supply, make(3, 0), false);
    supply_offer(&supply, make(4, 0), false);
    supply_take(&supply, list, false);
    assert_true(supply_has(&supply, 5));
    assert_false(supply_has(&supply, 6));
    EXPECT(&supply, 2, 3, 4, 5);
}

static void it_is_bounded(void **state) {
    struct supply supply = {0};
    (void)state;
    for (int64_t number = 1; number <= SUPPLY_COUNT_MAX + 50; number++)
        supply_offer(&supply, make(number, 0), false);
    assert_int_equal(supply.count, SUPPLY_COUNT_MAX);
    assert_true(supply.has_more);
    assert_int_equal(supply.first->number, 1);
    supply_offer(&supply, make(1000, 1), false);
    assert_int_equal(supply.count, SUPPLY_COUNT_MAX);
    assert_int_equal(supply.first->number, 1000);
    assert_false(supply_has(&supply, SUPPLY_COUNT_MAX));
    supply_clear(&supply);
    supply.has_more = false;
    for (int64_t number = 1; number <= 5; number++)
        supply_offer(&supply, make_large(number, SUPPLY_BYTES_MAX / 3), false);
    assert_int_equal(supply.count, 2);
    assert_true(supply.bytes <= SUPPLY_BYTES_MAX && supply.has_more);
    supply_clear(&supply);
    supply.has_more = false;
    supply_offer(&supply, make_large(1, SUPPLY_BYTES_MAX * 2), false); /* one there is always */
    assert_int_equal(supply.count, 1);
    supply_clear(&supply);
}

static void rows_are_taken_out(void **state) {
    struct supply supply = {0};
    (void)state;
    for (int64_t number = 1; number <= 4; number++)
        supply_offer(&supply, make(number, 0), false);
    supply_remove(&supply, 2);
    supply_remove(&supply, 4);
    supply_remove(&supply, 9);
    EXPECT(&supply, 1, 3);
}

/* A fetch of before the clearing is known by its tag. */
static void clearing_forgets_the_fetch(void **state) {
    struct supply supply = {.is_fetching = true, .tag = 4};
    (void)state;
    supply_offer(&supply, make(1, 0), false);
    supply_clear(&supply);
    assert_false(supply.is_fetching);
    assert_int_equal(supply.tag, 5);
    assert_int_equal(supply.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_find_their_place),
        cmocka_unit_test(what_may_come_later_is_left_on_the_disk),
        cmocka_unit_test(a_fetch_joins_what_is_there),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(rows_are_taken_out),
        cmocka_unit_test(clearing_forgets_the_fetch),
    };
    return cmocka_run_group_tests_name("bridge/supply", tests, NULL, NULL);
}
