/* Holds: who has the certificate's one session, and who is told that it is gone; from several threads too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "session/holds.h"

struct room {
    struct holder holder; /* first */
    int calls;
};

static void on_call(struct holder *holder) {
    ((struct room *)holder)->calls++;
}

#define ROOM ((struct room){.holder = {.call = on_call}})
#define A    SPAN_LITERAL("aaaa")
#define B    SPAN_LITERAL("bbbb")

static void the_newer_one_has_it(void **state) {
    (void)state;
    struct holds *holds = holds_create();
    struct room one = ROOM, other = ROOM;
    int owners[4];
    struct hold *first = holds_take(holds, A, &one.holder, &owners[0]);
    struct hold *apart = holds_take(holds, B, &one.holder, &owners[1]);
    assert_int_equal(one.calls, 0);
    struct hold *second = holds_take(holds, A, &other.holder, &owners[2]);
    assert_int_equal(one.calls, 1);
    assert_int_equal(other.calls, 0);
    assert_ptr_equal(holds_next_lost(holds, &one.holder), &owners[0]);
    assert_null(holds_next_lost(holds, &one.holder));
    holds_give_back(holds, first); /* takes nothing from the second */
    struct hold *third = holds_take(holds, A, &other.holder, &owners[3]);
    assert_int_equal(other.calls, 1);
    holds_give_back(holds, second); /* gone before it was told */
    assert_null(holds_next_lost(holds, &other.holder));
    holds_give_back(holds, third);
    struct hold *again = holds_take(holds, A, &one.holder, &owners[0]);
    assert_int_equal(other.calls, 1);
    holds_give_back(holds, again);
    holds_give_back(holds, apart);
    holds_give_back(holds, NULL);
    holds_destroy(holds);
    holds_destroy(NULL);
}

/* Several that are lost at a time are all told, and one that leaves the line leaves the others in it. */
static void several_are_lost(void **state) {
    (void)state;
    struct holds *holds = holds_create();
    struct room one = ROOM, other = ROOM;
    char names[5] = "01234";
    struct hold *old[5], *new[5];
    for (int i = 0; i < 5; i++)
        old[i] = holds_take(holds, span_of(names + i, 1), &one.holder, names + i);
    for (int i = 0; i < 5; i++)
        new[i] = holds_take(holds, span_of(names + i, 1), &other.holder, names + i);
    holds_give_back(holds, old[2]);
    int told = 0;
    for (char *owner; (owner = holds_next_lost(holds, &one.holder)) != NULL;)
        told |= 1 << (owner - names);
    assert_int_equal(told, 1 | 2 | 8 | 16);
    for (int i = 0; i < 5; i++) {
        holds_give_back(holds, i == 2 ? NULL : old[i]);
        holds_give_back(holds, new[i]);
    }
    holds_destroy(holds);
}

#define ROUNDS 2000
static struct holds *shared;

static void *fight(void *argument) {
    struct room *room = argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct hold *hold = holds_take(shared, i % 2 == 0 ? A : B, &room->holder, room);
        assert_non_null(hold);
        (void)holds_next_lost(shared, &room->holder);
        holds_give_back(shared, hold);
    }
    return NULL;
}

static void threads_fight(void **state) {
    (void)state;
    struct room rooms[2] = {ROOM, ROOM};
    pthread_t threads[2];
    shared = holds_create();
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fight, &rooms[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 2; i++)
        assert_null(holds_next_lost(shared, &rooms[i].holder));
    holds_destroy(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newer_one_has_it),
        cmocka_unit_test(several_are_lost),
        cmocka_unit_test(threads_fight),
    };
    return cmocka_run_group_tests_name("session/holds", tests, NULL, NULL);
}
