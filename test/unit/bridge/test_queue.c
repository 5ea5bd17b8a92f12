/* queue: answers come after the commit and in order; limits. */
#include "desk.h"

#include <malloc.h>

/* ---- a healthy disk ---- */

static void answers_come_in_order(void **state) {
    (void)state;
    open_queue();
    struct queue_answer *opened = expect(QUEUE_OPENED);
    assert_false(opened->is_new);
    assert_null(opened->first);
    assert_int_equal(opened->last_number, 0);
    assert_non_null(opened->received[LANE_OUT]);
    assert_non_null(opened->received[LANE_IN]);
    queue_answer_free(opened);
    int64_t a = put_and_expect("a");
    put("b");
    put("c");
    assert_true(queue_release(queue, a));
    assert_true(queue_fetch(queue, &everything, 9));
    assert_true(queue_delete(queue, LANE_OUT, a));
    assert_true(queue_forget(queue, LANE_IN, 5));
    assert_true(queue_forget_all(queue, LANE_IN));
    int64_t b = expect_number(QUEUE_PUT);
    assert_int_equal(expect_number(QUEUE_PUT), b + 1);
    assert_int_equal(expect_number(QUEUE_RELEASE), a);
    struct queue_answer *fetched = expect(QUEUE_FETCH);
    assert_string_equal(letters_of(fetched), "bc");
    assert_false(fetched->has_more);
    assert_int_equal(fetched->tag, 9);
    queue_answer_free(fetched);
    assert_int_equal(expect_number(QUEUE_DELETE), a);
    struct queue_answer *forgot = expect(QUEUE_FORGET);
    assert_int_equal(forgot->packet_id, 5);
    queue_answer_free(forgot);
    assert_int_equal(expect_number(QUEUE_FORGET_ALL), 0);
    assert_true(queue_bury(queue, b, "poison"));
    assert_int_equal(expect_number(QUEUE_BURY), b);
    expect_nothing(20);
    struct queue_state now = look();
    assert_int_equal(now.depth[LANE_OUT].count, 1);
    assert_int_equal(now.depth[LANE_OUT].bytes, 9);
    assert_int_equal(now.depth[LANE_OUT].oldest_s, 1000);
    assert_int_equal(now.dead_count, 1);
    assert_int_equal(now.puts, 3);
    assert_int_equal(now.waiting_count, 0);
    assert_int_equal(now.waiting_bytes, 0);
    assert_false(now.is_full);
}

static void a_fetch_tells_of_more(void **state) {
    (void)state;
    open_and_expect();
    for (int i = 0; i < 5; i++)
        put_and_expect((const char[]){(char)('a' + i), 0});
    int64_t skip[] = {1, 3};
    struct store_wish wish = everything;
    wish.skip = skip;
    wish.skip_count = 2;
    wish.count = 2;
    assert_true(queue_fetch(queue, &wish, 0));
    skip[0] = skip[1] = 0; /* it was copied */
    struct queue_answer *answer = expect(QUEUE_FETCH);
    assert_string_equal(letters_of(answer), "bd");
    assert_true(answer->has_more);
    queue_answer_free(answer);
    wish.bytes = 1;
    wish.skip_count = 0;
    wish.is_newest_first = true;
    assert_true(queue_fetch(queue, &wish, 0));
    answer = expect(QUEUE_FETCH);
    assert_string_equal(letters_of(answer), "e");
    assert_true(answer->has_more);
    queue_answer_free(answer);
}

static void what_was_there_is_told(void **state) {
    (void)state;
    open_and_expect();
    struct message *message = stage_message(LANE_IN, "t", "a");
    message->source_id = 515;
    assert_true(queue_put(queue, message));
    int64_t a = expect_number(QUEUE_PUT);
    int64_t b = put_and_expect("b");
    assert_true(queue_release(queue, b) && queue_release(queue, a));
    expect_number(QUEUE_RELEASE);
    expect_number(QUEUE_RELEASE);
    int64_t last = put_and_expect("c");
    close_queue();
    open_queue();
    struct queue_answer *opened = expect(QUEUE_OPENED);
    assert_false(opened->is_new);
    assert_int_equal(opened->last_number, last);
    assert_int_equal(opened->received[LANE_IN][515 >> 3], 1 << (515 & 7));
    assert_int_equal(opened->received[LANE_OUT][515 >> 3], 0);
    assert_int_equal(opened->first->number, b);
    assert_int_equal(opened->first->lane, LANE_OUT);
    assert_int_equal(opened->first->next->number, a);
    assert_int_equal(opened->first->next->lane, LANE_IN);
    queue_answer_free(opened);
    expect_fetch("c");
    assert_int_equal(look().depth[LANE_OUT].count, 2);
}

static void no_answer_before_the_commit(void **state) {
    (void)state;
    open_and_expect();
    disk_is_slow = 1;
    put("a");
    expect_nothing(100);
    assert_int_equal(look().waiting_count, 1);
    assert_int_equal(look().waiting_bytes, 9);
    disk_is_slow = 0;
    expect_number(QUEUE_PUT);
    assert_int_equal(look().waiting_count, 0);
}

static void groups_grow_on_a_slow_disk(void **state) {
    (void)state;
    open_and_expect();
    disk_is_slow = 1;
    put("a");
    usleep(50000); /* it is on its way, alone */
    uint64_t before = look().commits;
    for (int i = 0; i < 200; i++)
        put("b");
    disk_is_slow = 0;
    for (int i = 0; i < 201; i++)
        expect_number(QUEUE_PUT);
    uint64_t groups = look().commits - before; /* 1 + 64 + 64 + 64 + 8; more only where 20 ms are over */
    assert_in_range(groups, 5, 40);
}

static void one_wake_until_the_poll(void **state) {
    (void)state;
    open_queue();
    usleep(100000);
    for (int i = 0; i < 20; i++) {
        put("a");
        usleep(5000);
    }
    for (int i = 0; i < 1000 && look().waiting_count > 0; i++)
        usleep(5000);
    assert_int_equal(wakes, 1);
    queue_answer_free(expect(QUEUE_OPENED));
    for (int i = 0; i < 20; i++)
        expect_number(QUEUE_PUT);
}

static void closing_finishes_what_was_asked(void **state) {
    (void)state;
    open_queue();
    for (int i = 0; i < 300; i++)
        put("a");
    close_queue();
    open_and_expect();
    assert_int_equal(look().depth[LANE_OUT].count, 300);
}

static size_t allocated(void) {
    extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
    return __sanitizer_get_current_allocated_bytes != NULL ? __sanitizer_get_current_allocated_bytes()
                                                           : mallinfo2().uordblks;
}

static void memory_is_flat(void **state) {
    (void)state;
    settings.is_relaxed = true;
    open_and_expect();
    char payload[1025];
    memset(payload, 'p', 1024);
    payload[1024] = 0;
    put_and_expect(payload);
    size_t before = allocated();
    for (int i = 0; i < 50000; i++) {
        put(payload);
        if (i % 100 == 99) {
            for (int j = 0; j < 100; j++)
                expect_number(QUEUE_PUT);
        }
    }
    size_t after = allocated();
    if (after > before + (6 << 20)) /* SQLite's pages */
        fail_msg("%zu bytes more", after - before);
    assert_int_equal(look().depth[LANE_OUT].count, 50001);
    struct store_wish wish = everything;
    size_t count = 0;
    for (bool has_more = true; has_more;) {
        wish.count = 500;
        assert_true(queue_fetch(queue, &wish, 0));
        struct queue_answer *answer = expect(QUEUE_FETCH);
        has_more = answer->has_more;
        for (const struct message *message = answer->first; message != NULL; message = message->next) {
            assert_true(message->number > wish.above);
            wish.above = message->number;
            assert_true(queue_delete(queue, LANE_OUT, message->number));
            count++;
        }
        for (const struct message *message = answer->first; message != NULL; message = message->next)
            expect_number(QUEUE_DELETE);
        queue_answer_free(answer);
    }
    assert_int_equal(count, 50001);
    assert_int_equal(look().depth[LANE_OUT].count, 0);
    assert_int_equal(look().depth[LANE_OUT].bytes, 0);
    struct stat is;
    for (int i = 0; i < 2000 && (stat(stage_path, &is) != 0 || is.st_size > 20 << 20); i++)
        usleep(10000); /* once idle, it gives back what it does not need */
    assert_in_range(is.st_size, 4096, 20 << 20);
}

/* ---- limits ---- */

static void expect_refused(const char *payload) {
    put(payload);
    struct queue_answer *answer = expect(QUEUE_PUT);
    assert_true(answer->is_refused);
    assert_int_equal(answer->first->number, 0);
    queue_answer_free(answer);
}

static void drop_newest_refuses(void **state) {
    (void)state;
    settings.overflow = QUEUE_DROP_NEWEST;
    settings.max_bytes = 27;
    open_and_expect();
    put_and_expect("a");
    put_and_expect("b");
    assert_false(look().is_full);
    put_and_expect("c");
    assert_true(look().is_full);
    expect_refused("d");
    assert_int_equal(look().refused, 1);
    assert_true(queue_delete(queue, LANE_OUT, 2));
    expect_number(QUEUE_DELETE);
    put_and_expect("e");
    expect_fetch("ace");
}

static void drop_oldest_makes_room(void **state) {
    (void)state;
    settings.max_count = 3;
    settings.max_bytes = 100;
    open_and_expect();
    int64_t a = put_and_expect("a");
    put_and_expect("b");
    struct message *message = stage_message(LANE_OUT, "t", "c");
    message->priority = 9;
    assert_true(queue_put(queue, message));
    expect_number(QUEUE_PUT);
    put("d");
    struct queue_answer *dropped = expect(QUEUE_DROPPED); /* in front of the answer to the put */
    assert_int_equal(dropped->number, a);
    assert_int_equal(dropped->size, 9);
    assert_false(dropped->is_aged);
    queue_answer_free(dropped);
    expect_number(QUEUE_PUT);
    expect_fetch("cbd");
    message = stage_message(LANE_OUT, "t", "e"); /* lower than all that is there */
    message->priority = -1;
    assert_true(queue_put(queue, message));
    struct queue_answer *answer = expect(QUEUE_PUT);
    assert_true(answer->is_refused);
    queue_answer_free(answer);
    char large[102] = "";
    memset(large, 'x', 101);
    expect_refused(large); /* for which all would be dropped in vain */
    expect_fetch("cbd");
    assert_int_equal(look().dropped_overflow, 1);
    assert_int_equal(look().refused, 2);
}

static void stop_reading_takes_all_and_tells(void **state) {
    (void)state;
    settings.overflow = QUEUE_STOP_READING;
    settings.max_count = 2;
    open_and_expect();
    put_and_expect("a");
    assert_false(look().is_full);
    put_and_expect("b");
    assert_true(look().is_full);
    put_and_expect("c");
    expect_fetch("abc");
}

static void old_ones_are_dropped(void **state) {
    (void)state;
    settings.max_age_s = 3600;
    open_and_expect();
    int64_t now_s = (int64_t)time(NULL);
    struct message *young = stage_message(LANE_OUT, "t", "a"), *brief = stage_message(LANE_IN, "t", "b"),
                   *old = stage_message(LANE_OUT, "t", "c");
    young->came_s = brief->came_s = now_s;
    brief->expires_s = now_s + 1;
    assert_true(queue_put(queue, old) && queue_put(queue, brief) && queue_put(queue, young));
    int64_t numbers[3];
    for (int i = 0; i < 3; i++)
        numbers[i] = expect_number(QUEUE_PUT);
    bool is_seen[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        struct queue_answer *dropped = expect(QUEUE_DROPPED);
        assert_true(dropped->is_aged);
        assert_int_equal(dropped->lane, dropped->number == numbers[1] ? LANE_IN : LANE_OUT);
        is_seen[dropped->number == numbers[1]] = true;
        queue_answer_free(dropped);
    }
    assert_true(is_seen[0] && is_seen[1]);
    expect_fetch("a");
    assert_int_equal(look().dropped_aged, 2);
}

int main(void) {
    disk_up();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_come_in_order, up, down),
        cmocka_unit_test_setup_teardown(a_fetch_tells_of_more, up, down),
        cmocka_unit_test_setup_teardown(what_was_there_is_told, up, down),
        cmocka_unit_test_setup_teardown(no_answer_before_the_commit, up, down),
        cmocka_unit_test_setup_teardown(groups_grow_on_a_slow_disk, up, down),
        cmocka_unit_test_setup_teardown(one_wake_until_the_poll, up, down),
        cmocka_unit_test_setup_teardown(closing_finishes_what_was_asked, up, down),
        cmocka_unit_test_setup_teardown(memory_is_flat, up, down),
        cmocka_unit_test_setup_teardown(drop_newest_refuses, up, down),
        cmocka_unit_test_setup_teardown(drop_oldest_makes_room, up, down),
        cmocka_unit_test_setup_teardown(stop_reading_takes_all_and_tells, up, down),
        cmocka_unit_test_setup_teardown(old_ones_are_dropped, up, down),
    };
    return cmocka_run_group_tests_name("bridge/queue", tests, NULL, NULL);
}
