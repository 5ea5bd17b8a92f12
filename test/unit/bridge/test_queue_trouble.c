/* queue: a disk that refuses, a file that is damaged or gone. */
#include "desk.h"

/* ---- a disk that refuses ---- */

static void a_full_disk_is_waited_for(void **state) {
    (void)state;
    open_and_expect();
    int64_t a = put_and_expect("a");
    put_and_expect("b");
    int64_t c = put_and_expect("c");
    disk_errno = ENOSPC;
    put("d");
    wait_for_trouble(STORE_FULL);
    assert_true(queue_delete(queue, LANE_OUT, a));
    assert_true(queue_bury(queue, c, "poison"));
    expect_fetch("b");    /* what is asked to go is gone for us */
    expect_nothing(1500); /* a try or two */
    assert_int_equal(look().waiting_count, 1);
    assert_true(strstr(look().trouble_words, "full") != NULL);
    disk_errno = 0;
    assert_int_equal(expect_number(QUEUE_DELETE), a);
    expect_number(QUEUE_PUT);
    assert_int_equal(expect_number(QUEUE_BURY), c);
    expect_fetch("bd");
    wait_for_trouble(0);
    assert_int_equal(lines_with("bridge cloud: queue"), 2);
    assert_int_equal(lines_with("the disk is full"), 1);
    assert_int_equal(lines_with("it is written again"), 1);
}

static void deletes_go_on_while_puts_wait_for_room(void **state) {
    (void)state;
    open_and_expect();
    struct message *early = stage_message(LANE_IN, "t", "i");
    early->source_id = 5;
    assert_true(queue_put(queue, early));
    expect_number(QUEUE_PUT);
    int64_t a = put_and_expect("a");
    disk_free_bytes = 1000;
    struct message *message = stage_message(LANE_IN, "t", "x");
    message->source_id = 6;
    assert_true(queue_put(queue, message));
    wait_for_trouble(STORE_FULL);
    assert_true(queue_forget(queue, LANE_IN, 6)); /* not before the put of this id */
    assert_true(queue_forget(queue, LANE_IN, 5));
    assert_true(queue_delete(queue, LANE_OUT, a));
    struct queue_answer *answer = expect(QUEUE_FORGET);
    assert_int_equal(answer->packet_id, 5);
    queue_answer_free(answer);
    assert_int_equal(expect_number(QUEUE_DELETE), a);
    assert_int_equal(look().depth[LANE_OUT].count, 0);
    expect_nothing(1200);
    disk_free_bytes = -1;
    expect_number(QUEUE_PUT);
    answer = expect(QUEUE_FORGET);
    assert_int_equal(answer->packet_id, 6);
    queue_answer_free(answer);
    assert_int_equal(lines_with("only 0 KiB are free"), 1);
}

static void a_read_only_disk_is_waited_for(void **state) {
    (void)state;
    open_and_expect();
    put_and_expect("a");
    disk_errno = EROFS;
    put("b");
    wait_for_trouble(STORE_READONLY);
    expect_fetch("a");
    disk_errno = EIO;
    wait_for_trouble(STORE_FAILED);
    disk_errno = 0;
    expect_number(QUEUE_PUT);
    expect_fetch("ab");
    assert_int_equal(lines_with("it cannot be written"), 1);
    assert_int_equal(lines_with("it is written again"), 1);
}

static void no_folder_at_the_start(void **state) {
    (void)state;
    char name[96];
    snprintf(name, sizeof name, "%s/later", stage_folder);
    snprintf(stage_path, sizeof stage_path, "%s/later/q/cloud.db", stage_folder);
    open_queue();
    put("a");
    wait_for_trouble(STORE_FAILED);
    expect_nothing(1200);
    assert_int_equal(lines_with("No such file or directory"), 1);
    assert_int_equal(mkdir(name, 0755), 0);
    queue_answer_free(expect(QUEUE_OPENED));
    expect_number(QUEUE_PUT);
}

static void a_second_one_waits_for_the_first(void **state) {
    (void)state;
    struct store *owner;
    assert_int_equal(store_open(stage_path, false, false, &owner), 0);
    open_queue();
    put("a");
    wait_for_trouble(STORE_BUSY);
    expect_nothing(100);
    assert_int_equal(lines_with("is in use by another drawbridge"), 1);
    store_close(owner);
    queue_answer_free(expect(QUEUE_OPENED));
    expect_number(QUEUE_PUT);
}

static void patience_has_an_end(void **state) {
    (void)state;
    open_and_expect();
    put_and_expect("a");
    disk_errno = ENOSPC;
    put("b");
    put("c");
    wait_for_trouble(STORE_FULL);
    int64_t began = now_ms();
    queue_close(queue, 300);
    queue = NULL;
    assert_in_range(now_ms() - began, 250, 5000);
    assert_int_equal(lines_with("2 messages that were not acknowledged are given up"), 1);
    disk_errno = 0;
    open_and_expect();
    expect_fetch("a");
}

/* ---- a file that is damaged or gone ---- */

static void damage(off_t at) {
    uint8_t junk[4096];
    memset(junk, 0xa5, sizeof junk);
    int fd = open(stage_path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, junk, sizeof junk, at) > 0);
    close(fd);
}

static void damage_at_the_start(void **state) {
    (void)state;
    open_and_expect();
    put_and_expect("a");
    close_queue();
    damage(0);
    open_queue();
    put("b");
    struct queue_answer *opened = expect(QUEUE_OPENED);
    assert_true(opened->is_new);
    queue_answer_free(opened);
    expect_number(QUEUE_PUT);
    expect_fetch("b");
    assert_int_equal(look().set_aside, 1);
    assert_int_equal(look().trouble, 0);
    assert_int_equal(lines_with("is damaged"), 1);
    assert_int_equal(lines_with("it is set aside as"), 1);
}

/* More than SQLite keeps in its memory, and all of it in the file. */
static void fill(void) {
    char payload[4001];
    memset(payload, 'p', 4000);
    payload[4000] = 0;
    for (int i = 0; i < 3000; i++)
        put(payload);
    for (int i = 0; i < 3000; i++)
        expect_number(QUEUE_PUT);
}

static void damage_while_it_runs(void **state) {
    (void)state;
    settings.is_relaxed = true;
    open_and_expect();
    struct message *message = stage_message(LANE_IN, "t", "i");
    message->source_id = 77;
    assert_true(queue_put(queue, message));
    expect_number(QUEUE_PUT);
    fill();
    int64_t last = put_and_expect("z");
    for (int page = 5; page < 1500; page++)
        damage((off_t)page * 4096);
    struct store_wish wish = everything;
    wish.count = 2000;
    assert_true(queue_fetch(queue, &wish, 3)); /* finds it */
    put("a");
    struct queue_answer *opened = expect(QUEUE_OPENED);
    assert_true(opened->is_new);
    assert_true(opened->last_number >= last);
    assert_int_equal(opened->received[LANE_IN][77 >> 3], 1 << (77 & 7));
    queue_answer_free(opened);
    struct queue_answer *fetched = expect(QUEUE_FETCH);
    assert_null(fetched->first);
    queue_answer_free(fetched);
    assert_true(expect_number(QUEUE_PUT) > last);
    assert_true(queue_delete(queue, LANE_OUT, last)); /* of a row that is no more */
    expect_number(QUEUE_DELETE);
    expect_fetch("a");
    assert_int_equal(look().depth[LANE_OUT].count, 1);
    assert_int_equal(look().depth[LANE_IN].count, 0);
    assert_int_equal(look().set_aside, 1);
    assert_int_equal(lines_with("is damaged"), 1);
}

static void a_file_that_is_taken_away_is_written_again(void **state) {
    (void)state;
    char command[200];
    open_and_expect();
    put_and_expect("a");
    snprintf(command, sizeof command, "rm -r $(dirname %s)", stage_path);
    assert_int_equal(system(command), 0); /* NOLINT: our own names */
    put_and_expect("b");
    expect_fetch("ab");
    assert_int_equal(look().trouble, 0);
    assert_int_equal(lines_with("was taken away while it was open"), 1);
    snprintf(command, sizeof command, "rm %s*", stage_path);
    assert_int_equal(system(command), 0); /* NOLINT */
    close_queue();                        /* at the last moment */
    open_and_expect();
    expect_fetch("ab");
}

int main(void) {
    disk_up();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_is_waited_for, up, down),
        cmocka_unit_test_setup_teardown(deletes_go_on_while_puts_wait_for_room, up, down),
        cmocka_unit_test_setup_teardown(a_read_only_disk_is_waited_for, up, down),
        cmocka_unit_test_setup_teardown(no_folder_at_the_start, up, down),
        cmocka_unit_test_setup_teardown(a_second_one_waits_for_the_first, up, down),
        cmocka_unit_test_setup_teardown(patience_has_an_end, up, down),
        cmocka_unit_test_setup_teardown(damage_at_the_start, up, down),
        cmocka_unit_test_setup_teardown(damage_while_it_runs, up, down),
        cmocka_unit_test_setup_teardown(a_file_that_is_taken_away_is_written_again, up, down),
    };
    return cmocka_run_group_tests_name("bridge/queue_trouble", tests, NULL, NULL);
}
