/* Files, folders and include_dir, on a real file system. */
#include "unit/conf/conf_test.h"

#include "conf/files.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/drawbridge-conf-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char paths[4][300];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static struct outcome read_main(const char *name) {
    struct outcome outcome;
    findings_init(&outcome.findings);
    outcome.conf = conf_read(path_of(name), &outcome.findings);
    return outcome;
}

static void expect_refused(const char *name, const char *piece) {
    struct outcome outcome = read_main(name);
    char wanted[700];
    snprintf(wanted, sizeof wanted, "%s%s", path_of(name), piece);
    assert_null(outcome.conf);
    if (outcome.findings.first == NULL ||
        strncmp(outcome.findings.first->text, wanted, strlen(wanted)) != 0) {
        outcome_show(&outcome);
        fail_msg("wanted: %s", wanted);
    }
    outcome_clear(&outcome);
}

static void letters_are_ordered_like_mosquittos(void **state) {
    (void)state;
    static const char *const ordered[] = {"10.conf", "9.conf",  "A.conf",  "AC.conf",
                                          "a.conf",  "aB.conf", "ab.conf", "B.conf"};
    for (size_t i = 0; i < sizeof ordered / sizeof ordered[0]; i++)
        for (size_t j = 0; j < sizeof ordered / sizeof ordered[0]; j++) {
            int difference = files_compare(ordered[i], ordered[j]);
            assert_int_equal(i < j ? -1 : i > j, (difference > 0) - (difference < 0));
        }
}

static void a_folder_is_included_in_order(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("conf.d"), 0700), 0);
    write_file("main.conf", "backend h\nmax_keepalive 1\ninclude_dir conf.d\nallow_anonymous true\n");
    write_file("conf.d/b.conf", "listener 2\nmax_keepalive 3\ncertfile x.pem\nkeyfile /x.key\n");
    write_file("conf.d/B.conf", "listener 1\nmax_keepalive 2\n");
    write_file("conf.d/a.conf", "listener 3\nlog_dest file logs/x\n");
    write_file("conf.d/c.conf.bak", "nonsense\n");
    write_file("conf.d/.conf", "nonsense\n");
    struct outcome outcome = read_main("main.conf");
    if (outcome.conf == NULL)
        outcome_show(&outcome);
    assert_non_null(outcome.conf);
    const struct conf *conf = outcome.conf;
    assert_int_equal(conf->file_count, 4);
    assert_string_equal(conf->files[0], path_of("main.conf"));
    assert_string_equal(conf->files[1], path_of("conf.d/a.conf"));
    assert_string_equal(conf->files[3], path_of("conf.d/b.conf"));
    assert_int_equal(conf->listener_count, 3);
    assert_int_equal(conf->listeners[0].port, 3);
    assert_int_equal(conf->listeners[1].port, 1);
    assert_int_equal(conf->listeners[2].port, 2);
    assert_int_equal(conf->listeners[0].max_keepalive, 3); /* the last line counts */
    assert_string_equal(conf->listeners[2].file, path_of("conf.d/b.conf"));
    assert_string_equal(conf->listeners[2].certfile->text, path_of("conf.d/x.pem"));
    assert_string_equal(conf->listeners[2].keyfile->text, "/x.key");
    assert_string_equal(conf->log_file, path_of("conf.d/logs/x"));
    outcome_clear(&outcome);
}

static void a_listener_ends_with_its_file(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("ends.d"), 0700), 0);
    write_file("ends.conf", "backend h\nlistener 1\nallow_anonymous 1\ninclude_dir ends.d\nmax_qos 1\n");
    write_file("ends.d/x.conf", "# nothing of a listener\nmax_keepalive 5\n");
    struct outcome outcome = read_main("ends.conf");
    assert_non_null(outcome.conf);
    assert_int_equal(outcome.conf->listeners[0].max_qos, 1); /* the main file goes on where it was */
    outcome_clear(&outcome);
    write_file("ends.d/x.conf", "\nmax_connections 5\n");
    outcome = read_main("ends.conf");
    assert_null(outcome.conf);
    assert_int_equal(
        outcome_count(&outcome, FINDING_ERROR, "ends.d/x.conf:2: max_connections stands before any"), 1);
    outcome_clear(&outcome);
    write_file("ends.d/x.conf", "include_dir other\n");
    outcome = read_main("ends.conf");
    assert_int_equal(
        outcome_count(&outcome, FINDING_ERROR, "ends.d/x.conf:1: include_dir may only stand in the main"), 1);
    assert_null(outcome.conf);
    outcome_clear(&outcome);
}

static void what_cannot_be_read_is_refused(void **state) {
    (void)state;
    expect_refused("missing.conf", ": cannot be read: No such file");
    assert_int_equal(mkdir(path_of("folder"), 0700), 0);
    expect_refused("folder", ": cannot be read: it is a directory; name a file");
    write_file("empty.conf", "");
    expect_refused("empty.conf", ": there is no backend");
    write_file("lost.conf", "backend h\ninclude_dir nowhere\n");
    expect_refused("lost.conf", ":2: ");
    assert_int_equal(mkdir(path_of("odd.d"), 0700), 0);
    assert_int_equal(mkdir(path_of("odd.d/x.conf"), 0700), 0);
    write_file("odd.conf", "backend h\n\ninclude_dir odd.d\n");
    expect_refused("odd.conf", ":3: ");
    if (geteuid() != 0) { /* root reads everything */
        write_file("secret.conf", "backend h\n");
        assert_int_equal(chmod(path_of("secret.conf"), 0), 0);
        expect_refused("secret.conf", ": cannot be read: Permission denied");
    }
    assert_int_equal(symlink("/dev/zero", path_of("zero.conf")), 0);
    expect_refused("zero.conf", ": cannot be read: it is longer than 16 MiB");
}

/* The program must neither wait for a writer nor go on without the rules that stood there. */
static void an_odd_file_of_a_folder_is_refused(void **state) {
    (void)state;
    static const char *const blanks[] = {"", "\n", " \n\t\r\n"};
    write_file("spoiled.conf", "backend h\ninclude_dir spoiled.d\n");
    assert_int_equal(mkdir(path_of("spoiled.d"), 0700), 0);
    for (size_t i = 0; i < sizeof blanks / sizeof blanks[0]; i++) {
        write_file("spoiled.d/x.conf", blanks[i]);
        struct outcome outcome = read_main("spoiled.conf");
        assert_null(outcome.conf);
        assert_non_null(strstr(outcome.findings.first->text, "spoiled.d/x.conf: the file is empty"));
        outcome_clear(&outcome);
    }
    write_file("spoiled.d/x.conf", "# nothing for now\n");
    struct outcome outcome = read_main("spoiled.conf");
    assert_non_null(outcome.conf);
    outcome_clear(&outcome);
    assert_int_equal(unlink(path_of("spoiled.d/x.conf")), 0);
    assert_int_equal(mkfifo(path_of("spoiled.d/x.conf"), 0600), 0);
    expect_refused("spoiled.conf", ":2: ");
    assert_int_equal(unlink(path_of("spoiled.d/x.conf")), 0);
    assert_int_equal(symlink("/dev/null", path_of("spoiled.d/x.conf")), 0);
    expect_refused("spoiled.conf", ":2: ");
}

/* As in `-c <(...)`: the writer may come a little later than the reader. */
static void a_main_file_may_be_a_pipe(void **state) {
    (void)state;
    int ends[2];
    char path[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        static const char text[] = "backend h\n";
        usleep(50000);
        _exit(write(ends[1], text, sizeof text - 1) < 0);
    }
    close(ends[1]);
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read(path, &findings);
    assert_non_null(conf);
    conf_destroy(conf);
    findings_clear(&findings);
    close(ends[0]);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
}

static void an_empty_folder_is_fine(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("empty.d"), 0700), 0);
    char text[500];
    snprintf(text, sizeof text, "backend h\ninclude_dir %s\n", path_of("empty.d"));
    write_file("with_empty.conf", text);
    struct outcome outcome = read_main("with_empty.conf");
    assert_non_null(outcome.conf);
    assert_int_equal(outcome.findings.size, 0);
    outcome_clear(&outcome);
}

/* Debian's /etc/mosquitto/mosquitto.conf in short, with one line of ours. */
static void debians_file_is_read(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("debian.d"), 0700), 0);
    write_file("debian.conf", "# Local configuration stands in conf.d/\n"
                              "\n"
                              "pid_file /run/mosquitto/mosquitto.pid\n"
                              "\n"
                              "persistence true\n"
                              "persistence_location /var/lib/mosquitto/\n"
                              "\n"
                              "log_dest file /var/log/mosquitto/mosquitto.log\n"
                              "\n"
                              "include_dir debian.d");
    write_file("debian.d/proxy.conf", "backend 127.0.0.1:1884");
    struct outcome outcome = read_main("debian.conf");
    if (outcome.conf == NULL)
        outcome_show(&outcome);
    assert_non_null(outcome.conf);
    assert_string_equal(outcome.conf->pid_file, "/run/mosquitto/mosquitto.pid");
    assert_int_equal(outcome.conf->log_dest, LOG_DEST_FILE);
    assert_int_equal(outcome.findings.size, 1);
    assert_non_null(strstr(outcome.findings.first->text, "debian.conf:5: for the broker"));
    outcome_clear(&outcome);
}

/* Longer than the first read, to see that nothing is lost at the seams. */
static void a_long_file_is_read_whole(void **state) {
    (void)state;
    FILE *file = fopen(path_of("long.conf"), "w");
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        fprintf(file, "max_keepalive %d # filling, filling, filling\n", i);
    fprintf(file, "backend h\n");
    assert_int_equal(fclose(file), 0);
    struct outcome outcome = read_main("long.conf");
    assert_non_null(outcome.conf);
    assert_int_equal(outcome.conf->listeners[0].max_keepalive, 4999);
    assert_int_equal(outcome.conf->backend->line, 5001);
    outcome_clear(&outcome);
}

static void the_shipped_sample_is_good(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read("etc/drawbridge.conf", &findings);
    assert_non_null(conf);
    assert_int_equal(findings.size, 0);
    conf_destroy(conf);
    findings_clear(&findings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_ordered_like_mosquittos),
        cmocka_unit_test(a_folder_is_included_in_order),
        cmocka_unit_test(a_listener_ends_with_its_file),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(an_odd_file_of_a_folder_is_refused),
        cmocka_unit_test(a_main_file_may_be_a_pipe),
        cmocka_unit_test(an_empty_folder_is_fine),
        cmocka_unit_test(debians_file_is_read),
        cmocka_unit_test(a_long_file_is_read_whole),
        cmocka_unit_test(the_shipped_sample_is_good),
    };
    return cmocka_run_group_tests_name("conf/files", tests, make_folder, remove_folder);
}
