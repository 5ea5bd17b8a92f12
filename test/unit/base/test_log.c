#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static char folder[64], path[96], moved[96];

static struct log_settings settings_of(unsigned kinds) {
    return (struct log_settings){.dests = LOG_DEST_FILE, .kinds = kinds, .file = path};
}

/* All of the file, kept until the next call. */
static const char *content(const char *name) {
    static char text[400000];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = 0;
    fclose(file);
    return text;
}

static void test_kinds(void **state) {
    (void)state;
    unlink(path);
    struct log_settings settings = settings_of(LOG_KIND_ERROR | LOG_KIND_NOTICE);
    assert_int_equal(log_configure(&settings), 0);
    log_error("one %d", 1);
    log_warning("two");
    log_notice("three");
    log_info("four");
    log_debug("five");
    assert_string_equal(content(path), "Error: one 1\nthree\n");
    assert_true(log_is_on(LOG_KIND_ERROR));
    assert_false(log_is_on(LOG_KIND_DEBUG));
    settings.kinds = LOG_KINDS_ALL;
    assert_int_equal(log_configure(&settings), 0); /* the file goes on where it was */
    log_warning("six");
    log_info("seven");
    log_debug("eight");
    log_line(LOG_KIND_SUBSCRIBE, "nine");
    assert_string_equal(content(path), "Error: one 1\nthree\nWarning: six\nseven\neight\nnine\n");
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07, 0); /* nobody's business */
}

static void test_time(void **state) {
    (void)state;
    unlink(path);
    struct log_settings settings = settings_of(LOG_KINDS_DEFAULT);
    settings.timestamp = true;
    assert_int_equal(log_configure(&settings), 0);
    time_t before = time(NULL);
    log_notice("now");
    long long stamp;
    char word[8];
    assert_int_equal(sscanf(content(path), "%lld: %7s", &stamp, word), 2);
    assert_true(stamp >= before && stamp <= time(NULL));
    assert_string_equal(word, "now");
    unlink(path);
    settings.timestamp_format = "%Y-%m-%dT%H:%M:%S";
    assert_int_equal(log_configure(&settings), 0);
    log_notice("now");
    int parts[6];
    assert_int_equal(sscanf(content(path), "%d-%d-%dT%d:%d:%d: %7s", &parts[0], &parts[1], &parts[2],
                            &parts[3], &parts[4], &parts[5], word),
                     7);
    assert_true(parts[0] >= 2024);
    /* A format whose result has no room is left out; the line still comes. */
    unlink(path);
    settings.timestamp_format =
        "%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A%A";
    assert_int_equal(log_configure(&settings), 0);
    log_notice("now");
    assert_non_null(strstr(content(path), ": now\n"));
}

static void test_long_line(void **state) {
    (void)state;
    unlink(path);
    struct log_settings settings = settings_of(LOG_KINDS_DEFAULT);
    assert_int_equal(log_configure(&settings), 0);
    char word[5000];
    memset(word, 'w', sizeof word);
    word[sizeof word - 1] = 0;
    log_error("%s", word);
    log_notice("next");
    const char *text = content(path);
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_true(end - text > LOG_LINE_SIZE - 10 && end - text < LOG_LINE_SIZE + 192);
    assert_string_equal(end, "\nnext\n");
}

static void test_reopen(void **state) {
    (void)state;
    unlink(path);
    struct log_settings settings = settings_of(LOG_KINDS_DEFAULT);
    assert_int_equal(log_configure(&settings), 0);
    log_notice("old");
    assert_int_equal(rename(path, moved), 0);
    log_notice("still old"); /* until told */
    assert_int_equal(log_reopen(), 0);
    log_notice("new");
    assert_string_equal(content(moved), "old\nstill old\n");
    assert_string_equal(content(path), "new\n");
    /* The name cannot be opened: the file that is open stays. */
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(log_reopen() < 0);
    assert_int_equal(rmdir(path), 0);
    log_notice("into the file without a name");
    assert_int_equal(log_reopen(), 0);
    log_notice("newest");
    assert_string_equal(content(path), "newest\n");
    unlink(moved);
}

static void test_failure_changes_nothing(void **state) {
    (void)state;
    unlink(path);
    struct log_settings settings = settings_of(LOG_KIND_NOTICE);
    assert_int_equal(log_configure(&settings), 0);
    struct log_settings bad = settings_of(LOG_KINDS_ALL);
    bad.file = folder; /* a directory */
    assert_int_equal(log_configure(&bad), -EISDIR);
    bad.file = "/nowhere/to/be/found";
    assert_int_equal(log_configure(&bad), -ENOENT);
    bad.file = NULL;
    assert_true(log_configure(&bad) < 0);
    log_info("not on");
    log_notice("still there");
    assert_string_equal(content(path), "still there\n");
    /* Nowhere at all. */
    settings.dests = LOG_DEST_NONE;
    assert_int_equal(log_configure(&settings), 0);
    log_notice("lost");
    assert_int_equal(log_reopen(), 0);
    assert_string_equal(content(path), "still there\n");
}

static void *write_lines(void *argument) {
    const char *word = argument;
    for (unsigned i = 0; i < 500; i++)
        log_notice("%s%s%s%s", word, word, word, word);
    return NULL;
}

/* Lines of several threads never mix, even while the file is opened anew. */
static void test_threads(void **state) {
    (void)state;
    unlink(path);
    struct log_settings settings = settings_of(LOG_KINDS_DEFAULT);
    assert_int_equal(log_configure(&settings), 0);
    static char words[4][32] = {"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccc", "dddd"};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, words[i]), 0);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(log_reopen(), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    size_t counts[4] = {0};
    for (const char *line = content(path); *line != 0; line = strchr(line, '\n') + 1) {
        size_t which = (size_t)(line[0] - 'a'), size = 4 * strlen(words[which & 3]);
        assert_true(which < 4 && strspn(line, (char[]){line[0], 0}) == size && line[size] == '\n');
        counts[which]++;
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(counts[i], 500);
}

static int make_folder(void **state) {
    (void)state;
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/test-log-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s/log.1", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    const struct log_settings quiet = {.dests = LOG_DEST_NONE};
    log_configure(&quiet); /* closes the file */
    unlink(path);
    unlink(moved);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_failure_changes_nothing),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("base/log", tests, make_folder, remove_folder);
}
