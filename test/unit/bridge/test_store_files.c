/* store: files, folders and disks that are not as they should be, and a process that is killed. */
#include "shelf.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- files and folders ---- */

static unsigned mode_of(const char *path) {
    struct stat is;
    return stat(path, &is) == 0 ? is.st_mode & 07777 : 0;
}

static const char *beside(const char *suffix) {
    static char name[160];
    snprintf(name, sizeof name, "%s%s", stage_path, suffix);
    return name;
}

static const char *folder(void) {
    static char name[96];
    snprintf(name, sizeof name, "%s/q", stage_folder);
    return name;
}

static void expect_open(int error, const char *words) {
    struct store *other;
    assert_int_equal(store_open(stage_path, false, false, &other), error);
    assert_null(other);
    if (strstr(store_words(NULL), words) == NULL)
        fail_msg("said '%s', not '%s'", store_words(NULL), words);
}

static void nobody_else_may_read(void **state) {
    (void)state;
    mode_t before = umask(0);
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    umask(before);
    assert_int_equal(mode_of(folder()), 0700);
    assert_int_equal(mode_of(stage_path), 0600);
    assert_int_equal(mode_of(beside("-wal")), 0600);
    assert_int_equal(mode_of(beside("-shm")), 0600);
    assert_int_equal(mode_of(beside("-lock")), 0600);
    store_close(store);
    store = NULL;
    chmod(stage_path, 0644);
    open_store();
    assert_int_equal(mode_of(stage_path), 0600);
}

static void folders_that_will_not_do(void **state) {
    (void)state;
    assert_int_equal(mkdir(folder(), 0755), 0);
    assert_int_equal(chmod(folder(), 0757), 0);
    expect_open(STORE_FAILED, "others may write in the folder");
    assert_int_equal(chmod(folder(), 0775), 0);
    expect_open(STORE_FAILED, "others may write in the folder");
    assert_int_equal(chmod(folder(), 0755), 0);
    open_store();
    store_close(store);
    store = NULL;
    assert_int_equal(mode_of(folder()), 0755);
    snprintf(stage_path, sizeof stage_path, "%s/none/q/cloud.db", stage_folder);
    expect_open(STORE_FAILED, "No such file or directory");
    snprintf(stage_path, sizeof stage_path, "%s/q/cloud.db/x", stage_folder);
    expect_open(STORE_FAILED, "cloud.db");
    snprintf(stage_path, sizeof stage_path, "%s/q", stage_folder);
    expect_open(STORE_FAILED, "q");
}

static void there_is_one_owner(void **state) {
    (void)state;
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    char words[64];
    snprintf(words, sizeof words, "in use by another drawbridge (process %d)", (int)getpid());
    expect_open(STORE_BUSY, words);
    pid_t child = fork();
    if (child == 0) {
        struct store *other;
        _exit(store_open(stage_path, false, false, &other) == STORE_BUSY ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    put_ranked(LANE_OUT, 0, "b");
    reopen();
    assert_string_equal(fetched(everything), "ab");
}

static void readers_look_on(void **state) {
    (void)state;
    struct store *reader;
    assert_int_equal(store_open(stage_path, false, true, &reader), STORE_FAILED);
    assert_int_equal(mode_of(folder()), 0);
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    struct store *owner = store;
    assert_int_equal(store_open(stage_path, false, true, &reader), 0);
    store = reader;
    assert_string_equal(fetched(everything), "a");
    store = owner;
    put_ranked(LANE_OUT, 0, "b"); /* not in the reader's way, nor he in ours */
    store = reader;
    assert_string_equal(fetched(everything), "ab");
    struct message *refused = stage_message(LANE_OUT, "t", "c");
    assert_int_equal(store_put(reader, refused), STORE_READONLY);
    free(refused);
    store = owner;
    store_close(reader);
    put_ranked(LANE_OUT, 0, "c");
    reopen();
    assert_string_equal(fetched(everything), "abc");
}

static void damage(off_t at, size_t size) {
    uint8_t junk[8192];
    memset(junk, 0xa5, sizeof junk);
    int fd = open(stage_path, O_WRONLY);
    assert_true(fd >= 0);
    for (; size > 0; size -= size < sizeof junk ? size : sizeof junk, at += (off_t)sizeof junk)
        assert_true(pwrite(fd, junk, size < sizeof junk ? size : sizeof junk, at) > 0);
    close(fd);
}

static void fill(int count, size_t size) {
    char *payload = calloc(1, size + 1);
    memset(payload, 'p', size);
    assert_int_equal(store_begin(store), 0);
    for (int i = 0; i < count; i++)
        put_ranked(LANE_OUT, 0, payload);
    assert_int_equal(store_commit(store), 0);
    free(payload);
}

static void damage_is_seen(void **state) {
    (void)state;
    static const struct {
        off_t at;
        size_t size;
    } places[] = {{0, 16}, {0, 100}, {100, 4096}, {8 * 4096, 4096}, {40 * 4096, 8192}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char name[160];
        open_store();
        fill(300, 500);
        store_close(store);
        store = NULL;
        damage(places[i].at, places[i].size);
        struct store *other;
        int error = store_open(stage_path, false, false, &other);
        if (error != STORE_CORRUPT)
            fail_msg("damage at %ld: %d %s", (long)places[i].at, error, store_words(NULL));
        assert_true(store_set_aside(stage_path, 0, name, sizeof name));
        char expected[160];
        snprintf(expected, sizeof expected,
                 i == 0 ? "%s.corrupt-19700101T000000Z" : "%s.corrupt-19700101T000000Z.%d", stage_path,
                 (int)i + 1);
        assert_string_equal(name, expected);
        assert_int_equal(mode_of(name), 0600);
        assert_int_equal(mode_of(stage_path), 0);
    }
    open_store();
    expect_depth(LANE_OUT, 0, 0, 0);
}

static void a_journal_without_its_file_is_damage(void **state) {
    (void)state;
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    char wal[160], kept[160], name[160], other[200];
    snprintf(wal, sizeof wal, "%s-wal", stage_path);
    snprintf(kept, sizeof kept, "%s-kept", stage_path);
    assert_int_equal(link(wal, kept), 0);
    store_close(store);
    store = NULL;
    assert_int_equal(unlink(stage_path), 0);
    assert_int_equal(rename(kept, wal), 0);
    expect_open(STORE_CORRUPT, "-wal is there");
    assert_true(store_set_aside(stage_path, 86400, name, sizeof name));
    snprintf(other, sizeof other, "%s-wal", name);
    assert_true(mode_of(other) != 0);
    open_store();
    assert_string_equal(fetched(everything), "");
}

static void what_is_not_ours_is_left_alone(void **state) {
    (void)state;
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    store_close(store);
    store = NULL;
    change("PRAGMA user_version = 2");
    expect_open(STORE_FAILED, "a newer drawbridge wrote it (format 2, this one knows 1)");
    change("PRAGMA user_version = 1; ALTER TABLE dead RENAME TO gone");
    expect_open(STORE_FAILED, "no such table");
    change("ALTER TABLE gone RENAME TO dead");
    open_store();
    assert_string_equal(fetched(everything), "a");
    store_close(store);
    store = NULL;
    assert_int_equal(unlink(stage_path), 0);
    change("CREATE TABLE message(x)");
    expect_open(STORE_FAILED, "not the queue of a bridge");
}

static void a_file_that_is_taken_away_is_rescued(void **state) {
    (void)state;
    static const struct {
        const char *before, *after;
    } ways[] = {{"rm ", "*"},
                {"rm ", ""},
                {"rm ", "-wal"},
                {"F=", "; mv $F $F.mv; echo not ours >$F"},
                {"rm -r $(dirname ", ")"},
                {"F=", "-wal; mv $F $F.mv; echo not ours >$F"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char command[256];
        open_store();
        put_ranked(LANE_OUT, 0, "a");
        put_ranked(LANE_OUT, 0, "b");
        assert_false(store_is_moved(store));
        snprintf(command, sizeof command, "%s%s%s", ways[i].before, stage_path, ways[i].after);
        assert_int_equal(system(command), 0); /* NOLINT: our own names */
        assert_true(store_is_moved(store));
        assert_string_equal(fetched(everything), "ab");
        int64_t third = put_ranked(LANE_OUT, 0, "c");
        if (store_rescue(store) != 0)
            fail_msg("%s: %s", command, store_words(store));
        reopen();
        assert_false(store_is_moved(store));
        assert_string_equal(fetched(everything), "abc");
        assert_true(put_ranked(LANE_OUT, 0, "d") > third);
        assert_int_equal(mode_of(stage_path), 0600);
        store_close(store);
        store = NULL;
        snprintf(command, sizeof command, "rm -r %s", folder());
        assert_int_equal(system(command), 0); /* NOLINT */
    }
}

/* ---- the disk ---- */

static void a_disk_that_refuses(void **state) {
    (void)state;
    static const struct {
        int number, error;
    } rows[] = {{ENOSPC, STORE_FULL},
                {EDQUOT, STORE_FULL},
                {EFBIG, STORE_FULL},
                {EROFS, STORE_READONLY},
                {EIO, STORE_FAILED}};
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(store_begin(store), 0);
        put_ranked(LANE_OUT, 0, "b");
        disk_errno = rows[i].number;
        int error = store_commit(store);
        if (error != rows[i].error)
            fail_msg("%s: %d, %s", strerror(rows[i].number), error, store_words(store));
        store_rollback(store);
        assert_string_equal(fetched(everything), "a");
        expect_depth(LANE_OUT, 1, 9, 1000);
        disk_errno = 0;
    }
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(put_ranked(LANE_OUT, 0, "c"), 2);
    assert_int_equal(store_commit(store), 0);
    reopen();
    assert_string_equal(fetched(everything), "ac");
}

static void the_last_bytes_are_for_deletes(void **state) {
    (void)state;
    open_store();
    disk_free_bytes = 9 << 20;
    assert_int_equal(store_check_room(store, 1000), 0);
    assert_int_equal(store_check_room(store, 2 << 20), STORE_FULL);
    disk_free_bytes = 1 << 20;
    assert_int_equal(store_check_room(store, 1), STORE_FULL);
    assert_string_equal(store_words(store), "only 1024 KiB are free on the disk");
    fill(3000, 4000); /* free pages of the file count */
    int64_t count;
    assert_int_equal(store_purge(store, false, &count), 0);
    assert_int_equal(store_check_room(store, 1 << 20), 0);
    assert_int_equal(store_check_room(store, 8 << 20), STORE_FULL);
}

static void a_folder_that_may_not_be_written(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    store_close(store);
    store = NULL;
    assert_int_equal(chmod(stage_folder, 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *other;
        bool is_dropped = chmod(folder(), 0755) == 0 && setgid(65534) == 0 && setuid(65534) == 0;
        _exit(is_dropped && store_open(stage_path, false, false, &other) == STORE_READONLY ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

/* root's applet beside a queue of somebody else. */
static void root_leaves_files_to_the_owner(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    struct stat is;
    assert_int_equal(mkdir(folder(), 0700), 0);
    assert_int_equal(chown(folder(), 65534, 65534), 0);
    open_store();
    put_ranked(LANE_OUT, 0, "a");
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(stat(beside(suffixes[i]), &is), 0);
        assert_int_equal(is.st_uid, 65534);
    }
}

static int syncs_of_a_put(bool is_relaxed) {
    store_close(store);
    assert_int_equal(store_open(stage_path, is_relaxed, false, &store), 0);
    put_ranked(LANE_OUT, 0, "a");
    int before = disk_syncs;
    for (int i = 0; i < 10; i++)
        put_ranked(LANE_OUT, 0, "a");
    return disk_syncs - before;
}

static void durability_is_a_sync_per_commit(void **state) {
    (void)state;
    assert_int_equal(syncs_of_a_put(false), 10);
    assert_int_equal(syncs_of_a_put(true), 0);
}

static int64_t size_of(const char *path) {
    struct stat is;
    return stat(path, &is) == 0 ? (int64_t)is.st_size : 0;
}

static void a_drained_file_shrinks(void **state) {
    (void)state;
    bool has_more;
    open_store();
    fill(4000, 4000);
    assert_int_equal(store_shrink(store, &has_more), 0);
    assert_false(has_more);
    for (int64_t number = 1; number <= 3990; number++)
        assert_int_equal(store_delete(store, number), 0);
    int rounds = 0;
    do {
        assert_int_equal(store_shrink(store, &has_more), 0);
    } while (has_more && ++rounds < 100);
    assert_in_range(rounds, 2, 50);
    assert_in_range(size_of(stage_path), 4096, 6 << 20);
    assert_in_range(size_of(beside("-wal")), 0, 6 << 20);
    reopen();
    expect_depth(LANE_OUT, 10, 40080, 1000);
}

/* ---- a process that is killed ---- */

/* Two puts and the delete of an older row in each transaction; the last number is told when it is committed.
 */
static void work_until_killed(int out) {
    struct store *mine;
    int64_t last;
    if (store_open(stage_path, true, false, &mine) != 0 || store_last_number(mine, &last) != 0)
        _exit(1);
    for (;;) {
        struct message *messages[2] = {stage_message(LANE_OUT, "t", "one"),
                                       stage_message(LANE_OUT, "t", "two")};
        int64_t told[2];
        bool is_good = store_begin(mine) == 0 && store_put(mine, messages[0]) == 0 &&
                       store_put(mine, messages[1]) == 0 && (last == 0 || store_delete(mine, last) == 0) &&
                       store_commit(mine) == 0;
        told[0] = messages[0]->number;
        told[1] = last;
        last = messages[1]->number;
        if (!is_good || write(out, told, sizeof told) != sizeof told)
            _exit(1);
        stage_free(messages[0]);
        stage_free(messages[1]);
    }
}

static bool has_row(int64_t number) {
    struct store_wish wish = everything;
    wish.above = number - 1;
    wish.up_to = number;
    struct message *first;
    assert_int_equal(store_fetch(store, &wish, &first), 0);
    bool is = first != NULL;
    stage_free(first);
    return is;
}

static void nothing_answered_is_lost_when_killed(void **state) {
    (void)state;
    unsigned seed = 1;
    size_t answered = 0;
    int64_t highest = 0;
    for (int round = 0; round < 220; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            work_until_killed(ends[1]);
        close(ends[1]);
        int64_t told[2] = {0};
        bool is_told = round % 4 != 0 &&
                       read(ends[0], told, sizeof told) == sizeof told; /* else it may be just opening */
        usleep((useconds_t)(rand_r(&seed) % 10000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        open_store();
        for (; is_told || read(ends[0], told, sizeof told) == sizeof told; is_told = false) {
            answered++;
            assert_true(told[0] > highest);
            highest = told[0] + 1;
            assert_true(has_row(told[0]));
            assert_false(told[1] != 0 && has_row(told[1]));
        }
        close(ends[0]);
        int64_t last;
        struct store_depth depth;
        assert_int_equal(store_depth(store, LANE_OUT, &depth), 0);
        assert_int_equal(depth.bytes, depth.count * 11);
        assert_int_equal(store_last_number(store, &last), 0);
        assert_true(last >= highest);
        store_close(store);
        store = NULL;
    }
    assert_true(answered > 200);
}

int main(void) {
    disk_up();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_else_may_read, up, down),
        cmocka_unit_test_setup_teardown(folders_that_will_not_do, up, down),
        cmocka_unit_test_setup_teardown(there_is_one_owner, up, down),
        cmocka_unit_test_setup_teardown(readers_look_on, up, down),
        cmocka_unit_test_setup_teardown(damage_is_seen, up, down),
        cmocka_unit_test_setup_teardown(a_journal_without_its_file_is_damage, up, down),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_left_alone, up, down),
        cmocka_unit_test_setup_teardown(a_file_that_is_taken_away_is_rescued, up, down),
        cmocka_unit_test_setup_teardown(a_disk_that_refuses, up, down),
        cmocka_unit_test_setup_teardown(the_last_bytes_are_for_deletes, up, down),
        cmocka_unit_test_setup_teardown(a_folder_that_may_not_be_written, up, down),
        cmocka_unit_test_setup_teardown(root_leaves_files_to_the_owner, up, down),
        cmocka_unit_test_setup_teardown(durability_is_a_sync_per_commit, up, down),
        cmocka_unit_test_setup_teardown(a_drained_file_shrinks, up, down),
        cmocka_unit_test_setup_teardown(nothing_answered_is_lost_when_killed, up, down),
    };
    return cmocka_run_group_tests_name("bridge/store_files", tests, NULL, NULL);
}
