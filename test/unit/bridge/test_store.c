/* store: what is put comes out, in the right order. */
#include "shelf.h"

/* ---- rows ---- */

static void all_of_a_message_comes_back(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0, 1, 0xff, '\'', '"', 0};
    open_store();
    struct message *in =
        message_create(span_of_text("a/\xc3\xa9"), span_of(bytes, 3), span_of(bytes, sizeof bytes));
    in->lane = LANE_IN;
    in->qos = 2;
    in->retain = true;
    in->priority = -7;
    in->came_s = 1234567890123;
    in->expires_s = 1234567890999;
    int64_t number = put(in);
    struct message *bare = message_create(span_of_text("b"), SPAN_NONE, SPAN_NONE);
    bare->lane = LANE_IN;
    put(bare);
    reopen();
    struct store_wish wish = everything;
    wish.lane = LANE_IN;
    struct message *out;
    assert_int_equal(store_fetch(store, &wish, &out), 0);
    assert_non_null(out);
    struct message *second = out; /* no priority goes before a low one */
    out = out->next;
    assert_non_null(out);
    assert_null(out->next);
    assert_int_equal(out->number, number);
    assert_int_equal(out->qos, 2);
    assert_true(out->retain);
    assert_int_equal(out->priority, -7);
    assert_int_equal(out->came_s, 1234567890123);
    assert_int_equal(out->expires_s, 1234567890999);
    assert_int_equal(out->source_id, 0);
    assert_true(span_is_text(message_topic(out), "a/\xc3\xa9"));
    assert_true(span_is_equal(message_props(out), span_of(bytes, 3)));
    assert_true(span_is_equal(message_payload(out), span_of(bytes, sizeof bytes)));
    assert_int_equal(message_size(second), 1);
    assert_false(second->retain);
    stage_free(second);
}

static void a_large_message_comes_back(void **state) {
    (void)state;
    size_t size = 5 << 20;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    open_store();
    put(message_create(span_of_text("t"), SPAN_NONE, span_of(bytes, size)));
    reopen();
    struct message *out;
    assert_int_equal(store_fetch(store, &everything, &out), 0);
    assert_true(span_is_equal(message_payload(out), span_of(bytes, size)));
    stage_free(out);
    free(bytes);
}

static void order_is_priority_then_age(void **state) {
    (void)state;
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    put_ranked(LANE_OUT, 5, "b");
    int64_t low = put_ranked(LANE_OUT, -1, "c");
    put_ranked(LANE_IN, 9, "x");
    put_ranked(LANE_OUT, 5, "d");
    put_ranked(LANE_OUT, 0, "e");
    assert_string_equal(fetched(everything), "bdaec");
    struct store_wish wish = everything;
    wish.is_newest_first = true;
    assert_string_equal(fetched(wish), "dbeac");
    wish.above = low;
    assert_string_equal(fetched(wish), "de");
    wish.is_newest_first = false;
    wish.above = INT64_MIN;
    wish.up_to = low;
    assert_string_equal(fetched(wish), "bac");
    wish.lane = LANE_IN;
    wish.up_to = INT64_MAX;
    assert_string_equal(fetched(wish), "x");
}

static void a_fetch_has_limits(void **state) {
    (void)state;
    open_store();
    int64_t numbers[6];
    for (int i = 0; i < 6; i++)
        numbers[i] = put_ranked(LANE_OUT, (int16_t)(i == 3), (const char[]){(char)('a' + i), '.', 0});
    struct store_wish wish = everything;
    wish.count = 2;
    assert_string_equal(fetched(wish), "da");
    wish.count = SIZE_MAX;
    wish.bytes = 1;
    assert_string_equal(fetched(wish), "d");
    wish.bytes = 0;
    assert_string_equal(fetched(wish), "d");
    wish.bytes = 21; /* each has one of topic, seven of properties and two of payload */
    assert_string_equal(fetched(wish), "dab");
    wish.bytes = SIZE_MAX;
    wish.skip = (const int64_t[]){numbers[0], numbers[3], numbers[4], 4711};
    wish.skip_count = 4;
    assert_string_equal(fetched(wish), "bcf");
    wish.is_newest_first = true;
    wish.count = 1;
    assert_string_equal(fetched(wish), "f");
    wish.count = 0;
    assert_string_equal(fetched(wish), "");
}

static void released_ones_are_apart(void **state) {
    (void)state;
    open_store();
    int64_t first = put_ranked(LANE_OUT, 0, "a"), second = put_ranked(LANE_OUT, 0, "b");
    put_ranked(LANE_IN, 0, "c");
    struct message *third = stage_message(LANE_OUT, "t", "d");
    third->qos = 2;
    third->priority = 3;
    int64_t last = put(third);
    assert_int_equal(store_release(store, last), 0);
    assert_int_equal(store_release(store, second), 0);
    assert_int_equal(store_release(store, 4711), 0);
    reopen();
    assert_string_equal(fetched(everything), "a");
    struct message *out;
    assert_int_equal(store_fetch_released(store, LANE_OUT, &out), 0);
    assert_int_equal(out->number, second);
    assert_int_equal(out->next->number, last);
    assert_int_equal(out->next->qos, 2);
    assert_int_equal(message_size(out), 0);
    assert_null(out->next->next);
    stage_free(out);
    assert_int_equal(store_fetch_released(store, LANE_IN, &out), 0);
    assert_null(out);
    expect_depth(LANE_OUT, 3, 27, 1000);
    assert_int_equal(store_delete(store, second), 0);
    assert_int_equal(store_delete(store, first), 0);
    expect_depth(LANE_OUT, 1, 9, 1000);
}

static bool is_received(enum lane lane, unsigned id) {
    uint8_t *bits = calloc(1, 8192);
    assert_int_equal(store_fetch_received(store, lane, bits), 0);
    bool is = (bits[id >> 3] & (1 << (id & 7))) != 0;
    free(bits);
    return is;
}

static void received_ids_are_kept(void **state) {
    (void)state;
    open_store();
    for (unsigned id = 1; id <= 65535; id += 65534 / 2) {
        struct message *message = stage_message(LANE_IN, "t", "a");
        message->source_id = (uint16_t)id;
        put(message);
    }
    assert_int_equal(store_note_received(store, LANE_OUT, 8), 0);
    assert_int_equal(store_note_received(store, LANE_OUT, 8), 0); /* once more is no mistake */
    reopen();
    assert_true(is_received(LANE_IN, 1) && is_received(LANE_IN, 32768) && is_received(LANE_IN, 65535));
    assert_true(is_received(LANE_OUT, 8));
    assert_false(is_received(LANE_OUT, 1) || is_received(LANE_IN, 8) || is_received(LANE_IN, 2));
    assert_int_equal(store_forget_received(store, LANE_IN, 32768), 0);
    assert_false(is_received(LANE_IN, 32768));
    assert_int_equal(store_forget_all_received(store, LANE_IN), 0);
    assert_false(is_received(LANE_IN, 1) || is_received(LANE_IN, 65535));
    assert_true(is_received(LANE_OUT, 8));
}

struct shown {
    char letters[64], reason[64];
    int64_t died_s;
};

static void show(void *keeper, const struct message *message, const struct store_death *death) {
    struct shown *shown = keeper;
    size_t used = strlen(shown->letters);
    shown->letters[used] = (char)message_payload(message).at[0];
    shown->died_s = death->died_s;
    snprintf(shown->reason, sizeof shown->reason, "%s", death->reason);
}

static void expect_list(bool is_dead, bool is_backward, int64_t above, size_t limit, const char *letters) {
    struct shown shown = {.letters = ""};
    const struct store_list list = {is_dead, is_backward, above, limit};
    assert_int_equal(store_list(store, &list, show, &shown), 0);
    assert_string_equal(shown.letters, letters);
}

static void what_is_given_up_is_kept(void **state) {
    (void)state;
    open_store();
    int64_t first = put_ranked(LANE_OUT, 0, "a");
    put_ranked(LANE_OUT, 0, "b");
    int64_t third = put_ranked(LANE_IN, 4, "c");
    assert_int_equal(store_bury(store, first, "it's poison", 77), 0);
    assert_int_equal(store_bury(store, 4711, "never was", 78), 0);
    assert_int_equal(store_bury(store, third, "too large", 79), 0);
    assert_string_equal(fetched(everything), "b");
    expect_depth(LANE_OUT, 1, 9, 1000);
    expect_depth(LANE_IN, 0, 0, 0);
    reopen();
    int64_t count;
    assert_int_equal(store_dead_count(store, &count), 0);
    assert_int_equal(count, 2);
    expect_list(true, false, 0, 10, "ac");
    expect_list(true, true, 0, 10, "ca");
    expect_list(true, false, first, 10, "c");
    expect_list(true, true, 0, 1, "c");
    expect_list(false, false, 0, 10, "b");
    struct shown shown = {.letters = ""};
    const struct store_list newest = {true, true, 0, 1};
    assert_int_equal(store_list(store, &newest, show, &shown), 0);
    assert_string_equal(shown.reason, "too large");
    assert_int_equal(shown.died_s, 79);
    assert_int_equal(store_purge(store, true, &count), 0);
    assert_int_equal(count, 2);
    expect_list(true, false, 0, 10, "");
    assert_int_equal(store_purge(store, false, &count), 0);
    assert_int_equal(count, 1);
    expect_depth(LANE_OUT, 0, 0, 0);
    assert_int_equal(store_dead_count(store, &count), 0);
    assert_int_equal(count, 0);
}

static void numbers_only_grow(void **state) {
    (void)state;
    open_store();
    int64_t last = 0, told;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            int64_t number = put_ranked(LANE_OUT, 0, "a");
            assert_true(number > last);
            last = number;
        }
        for (int64_t number = last - 2; number <= last; number++)
            assert_int_equal(store_delete(store, number), 0);
        if (round == 2) { /* also the greatest one that was ever given away for good */
            last = put_ranked(LANE_OUT, 0, "a");
            assert_int_equal(store_bury(store, last, "x", 1), 0);
        }
        reopen();
        assert_int_equal(store_last_number(store, &told), 0);
        assert_int_equal(told, last);
    }
    assert_int_equal(store_skip_numbers(store, 9000), 0);
    assert_int_equal(store_skip_numbers(store, 100), 0);
    reopen();
    assert_int_equal(put_ranked(LANE_OUT, 0, "a"), 9001);
    assert_int_equal(store_bury(store, 9001, "x", 1), 0);
    store_close(store);
    store = NULL;
    change("DELETE FROM meta"); /* somebody tidied up */
    open_store();
    last = put_ranked(LANE_OUT, 0, "a");
    assert_int_equal(last, 9002);
    assert_int_equal(store_delete(store, last), 0);
    reopen();
    assert_int_equal(put_ranked(LANE_OUT, 0, "a"), 9003);
}

static void a_rollback_takes_all_back(void **state) {
    (void)state;
    open_store();
    int64_t kept = put_ranked(LANE_OUT, 0, "a");
    assert_int_equal(store_begin(store), 0);
    put_ranked(LANE_OUT, 0, "b");
    assert_int_equal(store_delete(store, kept), 0);
    assert_int_equal(store_note_received(store, LANE_IN, 3), 0);
    store_rollback(store);
    expect_depth(LANE_OUT, 1, 9, 1000);
    assert_string_equal(fetched(everything), "a");
    assert_false(is_received(LANE_IN, 3));
    assert_int_equal(store_begin(store), 0);
    put_ranked(LANE_OUT, 0, "c");
    assert_int_equal(store_commit(store), 0);
    reopen();
    assert_string_equal(fetched(everything), "ac");
}

/* ---- dropping ---- */

static char dropped[64];

static void note(void *keeper, enum lane lane, int64_t number, size_t size) {
    assert_ptr_equal(keeper, dropped);
    assert_int_equal(size, 9);
    size_t used = strlen(dropped);
    snprintf(dropped + used, sizeof dropped - used, "%d%s ", (int)number, lane == LANE_IN ? "in" : "");
}

static const struct store_tell tell = {note, dropped};

static void expect_dropped(int error, const char *expected) {
    assert_int_equal(error, 0);
    assert_string_equal(dropped, expected);
    dropped[0] = 0;
}

static void the_oldest_of_the_lowest_go_first(void **state) {
    (void)state;
    open_store();
    dropped[0] = 0;
    put_ranked(LANE_OUT, 5, "a");
    put_ranked(LANE_IN, 0, "b");
    put_ranked(LANE_OUT, 0, "c");
    put_ranked(LANE_OUT, -3, "d");
    put_ranked(LANE_OUT, 0, "e");
    int64_t released = put_ranked(LANE_OUT, -9, "f");
    assert_int_equal(store_release(store, released), 0);
    expect_dropped(store_drop_oldest(store, 0, 0, 100, &tell), "");
    expect_dropped(store_drop_oldest(store, 10, 0, 100, &tell), "4 2in ");
    expect_dropped(store_drop_oldest(store, 0, 1, 100, &tell), "3 ");
    expect_dropped(store_drop_oldest(store, 0, 9, 4, &tell), "5 ");
    expect_dropped(store_drop_oldest(store, 1, 0, 5, &tell), "1 ");
    expect_dropped(store_drop_oldest(store, 0, 9, 100, &tell), "");
    expect_depth(LANE_OUT, 1, 9, 1000);
    expect_depth(LANE_IN, 0, 0, 0);
}

static int64_t put_aged(enum lane lane, int16_t priority, int64_t came_s, int64_t expires_s) {
    struct message *message = stage_message(lane, "t", "a");
    message->priority = priority;
    message->came_s = came_s;
    message->expires_s = expires_s;
    return put(message);
}

static void the_old_ones_go(void **state) {
    (void)state;
    open_store();
    dropped[0] = 0;
    put_aged(LANE_OUT, 0, 100, 0);
    put_aged(LANE_OUT, 0, 110, 500);
    put_aged(LANE_IN, 4, 90, 0);
    put_aged(LANE_OUT, 0, 200, 300);
    int64_t released = put_aged(LANE_OUT, 0, 10, 20);
    assert_int_equal(store_release(store, released), 0);
    put_aged(LANE_IN, 0, 105, 0);
    expect_depth(LANE_IN, 2, 18, 90);
    expect_dropped(store_drop_old(store, 299, INT64_MIN, 10, &tell), "");
    expect_dropped(store_drop_old(store, 300, INT64_MIN, 10, &tell), "4 ");
    expect_dropped(store_drop_old(store, 300, 90, 10, &tell), "");
    expect_dropped(store_drop_old(store, 300, 106, 1, &tell), "1 ");
    expect_dropped(store_drop_old(store, 300, 106, 10, &tell), "3in 6in ");
    expect_dropped(store_drop_old(store, 300, 110, 10, &tell), "");
    expect_dropped(store_drop_old(store, 300, 111, 10, &tell), "2 ");
    expect_depth(LANE_OUT, 1, 9, 10);
}

int main(void) {
    disk_up();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_a_message_comes_back, up, down),
        cmocka_unit_test_setup_teardown(a_large_message_comes_back, up, down),
        cmocka_unit_test_setup_teardown(order_is_priority_then_age, up, down),
        cmocka_unit_test_setup_teardown(a_fetch_has_limits, up, down),
        cmocka_unit_test_setup_teardown(released_ones_are_apart, up, down),
        cmocka_unit_test_setup_teardown(received_ids_are_kept, up, down),
        cmocka_unit_test_setup_teardown(what_is_given_up_is_kept, up, down),
        cmocka_unit_test_setup_teardown(numbers_only_grow, up, down),
        cmocka_unit_test_setup_teardown(a_rollback_takes_all_back, up, down),
        cmocka_unit_test_setup_teardown(the_oldest_of_the_lowest_go_first, up, down),
        cmocka_unit_test_setup_teardown(the_old_ones_go, up, down),
    };
    return cmocka_run_group_tests_name("bridge/store", tests, NULL, NULL);
}
