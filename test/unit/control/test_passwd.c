#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "control/passwd.h"
#include "control/passwd_file.h"
#include "crypto/password.h"

static char folder[] = "/tmp/test_passwd.XXXXXX";
static char path[64], complaints[4096];

static void write_file(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static char *read_file(const char *name) {
    static char text[65536];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Runs the applet with `input` as standard input; what it complains of is kept. */
static int run_with(const char *input, size_t input_size, int argc, char **argv) {
    char name[80];
    snprintf(name, sizeof name, "%s.complaints", folder);
    fflush(NULL);
    int ends[2], old_in = dup(0), old_out = dup(1), old_error = dup(2);
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0 && pipe(ends) == 0);
    assert_int_equal(write(ends[1], input, input_size), (ssize_t)input_size);
    close(ends[1]);
    dup2(ends[0], 0);
    dup2(file, 1);
    dup2(file, 2);
    int status = passwd_main(argc, argv);
    fflush(NULL);
    dup2(old_in, 0);
    dup2(old_out, 1);
    dup2(old_error, 2);
    close(old_in), close(old_out), close(old_error), close(file), close(ends[0]);
    strcpy(complaints, read_file(name));
    unlink(name);
    return status;
}

#define RUN_WITH(input, ...)                                                                                 \
    run_with((input), strlen(input),                                                                         \
             (int)(sizeof((const char *[]){"passwd", __VA_ARGS__}) / sizeof(char *)),                        \
             (char *[]){(char[]){"passwd"}, __VA_ARGS__, NULL})
#define RUN(...)  RUN_WITH("", __VA_ARGS__)
#define ARG(text) ((char[]){text})

/* Is it the user's password, by the readers of the proxy itself? */
static bool is_password(const char *username, const char *password) {
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    struct accounts *accounts = accounts_read(arena, path, span_of_text(read_file(path)), &findings);
    assert_non_null(accounts);
    const struct account *account = accounts_find(accounts, span_of_text(username));
    bool is_right = account != NULL && account->kind == ACCOUNT_PBKDF2 &&
                    account->iterations == PASSWORD_ITERATIONS && account->salt_size == 12 &&
                    password_is_right(account, span_of_text(password));
    findings_clear(&findings);
    arena_destroy(arena);
    return is_right;
}

/* Nothing stays behind in the folder but the file. */
static void assert_folder_is_clean(void) {
    char command[128];
    snprintf(command, sizeof command, "test \"$(ls -A %s)\" = file -o -z \"$(ls -A %s)\"", folder, folder);
    assert_int_equal(system(command), 0);
}

static int clean_up(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

static mode_t mode_of(const char *name) {
    struct stat status;
    assert_int_equal(stat(name, &status), 0);
    return status.st_mode & 07777;
}

static void test_create_and_change(void **state) {
    (void)state;
    assert_int_equal(RUN(ARG("-b"), path, ARG("ann"), ARG("one")), 1);
    assert_non_null(strstr(complaints, "does not exist; -c creates it"));
    assert_int_equal(access(path, F_OK), -1);

    assert_int_equal(RUN(ARG("-c"), ARG("-b"), path, ARG("ann"), ARG("one")), 0);
    assert_string_equal(complaints, "");
    assert_int_equal(mode_of(path), 0600);
    assert_true(is_password("ann", "one"));
    assert_int_equal(RUN(ARG("-b"), path, ARG("bob lee"), ARG("-two")), 0);
    assert_true(is_password("ann", "one"));
    assert_true(is_password("bob lee", "-two"));
    assert_int_equal(RUN(ARG("-b"), path, ARG("ann"), ARG("three")), 0);
    assert_true(is_password("ann", "three"));
    assert_false(is_password("ann", "one"));
    assert_true(is_password("bob lee", "-two"));

    assert_int_equal(RUN(ARG("-cb"), path, ARG("eve"), ARG("four")), 0);
    assert_true(is_password("eve", "four"));
    assert_null(strstr(read_file(path), "ann"));
    assert_folder_is_clean();
}

static void test_remove(void **state) {
    (void)state;
    write_file("# first\nann:x\nbob:y\r\n\nann : z\n# ann:w\nlast:q");
    assert_int_equal(RUN(ARG("-D"), path, ARG("ann")), 0);
    assert_string_equal(read_file(path), "# first\nbob:y\r\n\n# ann:w\nlast:q");
    assert_int_equal(RUN(ARG("-D"), path, ARG("ann")), 1);
    assert_non_null(strstr(complaints, "has no user"));
    assert_int_equal(RUN(ARG("-D"), path, ARG("last")), 0);
    assert_string_equal(read_file(path), "# first\nbob:y\r\n\n# ann:w\n");
    unlink(path);
    assert_int_equal(RUN(ARG("-D"), path, ARG("ann")), 1);
    assert_folder_is_clean();
}

static struct span edited(const char *text, const char *username, const char *hash, bool *found) {
    static char kept[1024];
    struct passwd_change change = {.username = span_of_text(username), .hash = hash};
    size_t size;
    char *room = passwd_file_edit(span_of_text(text), &change, &size, found);
    assert_non_null(room);
    assert_in_range(size, 0, sizeof kept - 1);
    memcpy(kept, room, size);
    free(room);
    return span_of(kept, size);
}

static void test_other_lines_stay(void **state) {
    (void)state;
    static const struct {
        const char *before, *username, *hash, *after;
        bool found;
    } cases[] = {
        {"", "u", "H", "u:H\n", false},
        {"", "u", NULL, "", false},
        {"a:1", "u", "H", "a:1\nu:H\n", false},
        {"a:1\n\n", "u", "H", "a:1\n\nu:H\n", false},
        {"# u:1\n #u:2\n", "u", "H", "# u:1\n #u:2\nu:H\n", false},
        {"\t x \r\nu:1\nb: 2 \r\n", "u", "H", "\t x \r\nu:H\nb: 2 \r\n", true},
        {" u :1\r\nb:2", "u", "H", "u:H\r\nb:2", true},
        {"b:2\nu:1", "u", "H", "b:2\nu:H", true},
        {"u:1\nb:2\nu:3\n", "u", "H", "u:H\nb:2\n", true},
        {"uu:1\nu\nU:2\n", "u", "H", "uu:1\nu\nU:2\nu:H\n", false},
        {"u:\n", "u", "H", "u:H\n", true},
        {"u:1", "u", NULL, "", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool found;
        struct span after = edited(cases[i].before, cases[i].username, cases[i].hash, &found);
        if (!span_is_text(after, cases[i].after) || found != cases[i].found)
            fail_msg("case %zu: \"%.*s\"", i, SPAN_PRINT(after));
    }
}

static void test_rights_are_kept(void **state) {
    (void)state;
    write_file("ann:x\n");
    struct stat before, after;
    assert_int_equal(chmod(path, 0640), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(path, 12345, 23456), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(RUN(ARG("-b"), path, ARG("ann"), ARG("one")), 0);
    assert_string_equal(complaints, "");
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_int_not_equal(after.st_ino, before.st_ino);
    assert_int_equal(RUN(ARG("-cb"), path, ARG("ann"), ARG("one")), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(RUN(ARG("-b"), path, ARG("ann"), ARG("two")), 0);
    assert_non_null(strstr(complaints, "warning: everybody on this machine may access it"));
    assert_int_equal(mode_of(path), 0644);
}

static void test_only_plain_files(void **state) {
    (void)state;
    char target[80];
    snprintf(target, sizeof target, "%s.target", folder);
    FILE *file = fopen(target, "w");
    fputs("ann:x\n", file);
    fclose(file);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(RUN(ARG("-b"), path, ARG("ann"), ARG("one")), 1);
    assert_non_null(strstr(complaints, "is a symbolic link"));
    assert_int_equal(RUN(ARG("-cb"), path, ARG("ann"), ARG("one")), 1);
    assert_non_null(strstr(complaints, "is a symbolic link"));
    assert_string_equal(read_file(target), "ann:x\n");
    unlink(target);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(RUN(ARG("-cb"), path, ARG("ann"), ARG("one")), 1);
    assert_non_null(strstr(complaints, "is no regular file"));
    unlink(path);
    assert_int_equal(RUN(ARG("-cb"), folder, ARG("ann"), ARG("one")), 1);
    assert_non_null(strstr(complaints, "is no regular file"));
    assert_int_equal(RUN(ARG("-cb"), ARG("/tmp/"), ARG("ann"), ARG("one")), 1);
    assert_int_equal(RUN(ARG("-cb"), ARG("/no/such/folder/f"), ARG("ann"), ARG("one")), 1);
    assert_non_null(
        strstr(complaints, "/no/such/folder/f: cannot open its folder: No such file or directory"));
    assert_folder_is_clean();
}

static void test_usernames(void **state) {
    (void)state;
    write_file("ann:x\n");
    assert_int_equal(RUN(ARG("-b"), path, ARG(""), ARG("one")), 1);
    assert_int_equal(RUN(ARG("-b"), path, ARG("a:b"), ARG("one")), 1);
    assert_non_null(strstr(complaints, "\"a:b\": a username may not hold a colon"));
    assert_int_equal(RUN(ARG("-b"), path, ARG("a\nb"), ARG("one")), 1);
    assert_null(strstr(complaints, "a\nb"));
    assert_int_equal(RUN(ARG("-D"), path, ARG("a\x1b")), 1);
    char *name = malloc(65537);
    memset(name, 'n', 65536);
    name[65536] = '\0';
    assert_int_equal(RUN(ARG("-b"), path, name, ARG("one")), 1);
    assert_string_equal(read_file(path), "ann:x\n");
    name[65535] = '\0';
    assert_int_equal(RUN(ARG("-cb"), path, name, ARG("one")), 0);
    free(name);
}

static void test_arguments(void **state) {
    (void)state;
    write_file("ann:x\n");
    assert_int_equal(RUN(ARG("--help")), 0);
    assert_non_null(strstr(complaints, "Usage: drawbridge passwd"));
    assert_int_equal(RUN(path), 1);
    assert_non_null(strstr(complaints, "FILE and USER are wanted"));
    assert_int_equal(RUN(ARG("-b"), path, ARG("u")), 1);
    assert_int_equal(RUN(path, ARG("u"), ARG("secret")), 1);
    assert_non_null(strstr(complaints, "a password on the command line needs -b"));
    assert_int_equal(RUN(ARG("-x"), path, ARG("u")), 1);
    assert_int_equal(RUN(ARG("-D"), ARG("-c"), path, ARG("ann")), 1);
    assert_int_equal(RUN(ARG("-Db"), path, ARG("ann"), ARG("x")), 1);
    assert_int_equal(RUN(ARG("-D"), path, ARG("ann"), ARG("x")), 1);
    assert_int_equal(RUN(ARG("-b"), path, ARG("u"), ARG("x"), ARG("y")), 1);
    assert_int_equal(RUN(ARG("-b"), path, ARG("u"), ARG("")), 1);
    assert_non_null(strstr(complaints, "a password may not be empty"));
    assert_string_equal(read_file(path), "ann:x\n");
}

static void test_standard_input(void **state) {
    (void)state;
    assert_int_equal(RUN_WITH("pass word\n", ARG("-c"), path, ARG("ann")), 0);
    assert_true(is_password("ann", "pass word"));
    assert_int_equal(RUN_WITH("two\r\nmore\n", path, ARG("ann")), 0);
    assert_true(is_password("ann", "two"));
    assert_int_equal(RUN_WITH("no end", path, ARG("ann")), 0);
    assert_true(is_password("ann", "no end"));
    assert_int_equal(RUN_WITH("", path, ARG("ann")), 1);
    assert_non_null(strstr(complaints, "no password came"));
    assert_int_equal(RUN_WITH("\n", path, ARG("ann")), 1);
    assert_non_null(strstr(complaints, "a password may not be empty"));
    char *with_nul[] = {ARG("passwd"), path, ARG("ann"), NULL};
    assert_int_equal(run_with("a\0b\n", 4, 3, with_nul), 1);
    assert_non_null(strstr(complaints, "a password may not hold a NUL byte"));
    assert_true(is_password("ann", "no end"));
}

/* Runs the applet as somebody who owns nothing here; as ourselves when we are not root. */
static int run_as_nobody(void) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *arguments[] = {ARG("passwd"), ARG("-b"), path, ARG("ann"), ARG("one"), NULL};
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(99);
        close(2);
        _exit(passwd_main(5, arguments));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_no_right_to_write(void **state) {
    (void)state;
    write_file("ann:x\n");
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    assert_int_equal(run_as_nobody(), 1);
    if (geteuid() == 0) { /* the folder may be written, but the owner could not be kept */
        assert_int_equal(chmod(folder, 0777), 0);
        assert_int_equal(run_as_nobody(), 1);
    }
    assert_int_equal(chmod(folder, 0700), 0);
    assert_string_equal(read_file(path), "ann:x\n");
    assert_folder_is_clean();
}

/* Several runs at once: each waits for the one before, none is lost. */
static void test_runs_wait_for_each_other(void **state) {
    (void)state;
    enum { RUNS = 12 };
    write_file("# users\n");
    for (int i = 0; i < RUNS; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char name[16] = "";
            snprintf(name, sizeof name, "u%d", i);
            char *arguments[] = {ARG("passwd"), ARG("-b"), path, name, name, NULL};
            _exit(passwd_main(5, arguments));
        }
    }
    for (int i = 0; i < RUNS; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < RUNS; i++) {
        char name[16] = "";
        snprintf(name, sizeof name, "u%d", i);
        assert_true(is_password(name, name));
    }
    assert_folder_is_clean();
}

/* On a terminal: waits for each text in turn, then types the answer. Returns the applet's wait status;
 * everything it showed is in `complaints`. */
static int run_on_terminal(const char *const *dialogue, bool *is_echo_left) {
    int terminal;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        char *arguments[] = {ARG("passwd"), ARG("-c"), path, ARG("ann"), NULL};
        _exit(passwd_main(4, arguments));
    }
    size_t size = 0;
    const char *seen = complaints;
    complaints[0] = '\0';
    for (;;) {
        struct pollfd wait_for = {.fd = terminal, .events = POLLIN};
        ssize_t got = 0;
        if (poll(&wait_for, 1, 30000) == 0)
            kill(child, SIGKILL); /* it would wait for ever, and so should we */
        else
            got = read(terminal, complaints + size, sizeof complaints - 1 - size);
        if (got <= 0)
            break;
        size += (size_t)got;
        complaints[size] = '\0';
        if (*dialogue == NULL)
            continue;
        const char *found = strstr(seen, dialogue[0]);
        if (found != NULL) {
            seen = found + strlen(dialogue[0]);
            assert_true(write(terminal, dialogue[1], strlen(dialogue[1])) > 0);
            dialogue += 2;
        }
    }
    struct termios attributes;
    *is_echo_left = tcgetattr(terminal, &attributes) == 0 && (attributes.c_lflag & ECHO) != 0;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    return status;
}

static void test_terminal(void **state) {
    (void)state;
    bool is_echo_left;
    const char *const good[] = {"Password: ", "typed secret\n", "again: ", "typed secret\n", NULL};
    assert_int_equal(run_on_terminal(good, &is_echo_left), 0);
    assert_null(strstr(complaints, "typed"));
    assert_true(is_password("ann", "typed secret"));
    assert_true(is_echo_left);

    const char *const unequal[] = {"Password: ", "typed one\n", "again: ", "typed two\n", NULL};
    assert_true(WEXITSTATUS(run_on_terminal(unequal, &is_echo_left)) == 1);
    assert_non_null(strstr(complaints, "the two passwords differ"));
    assert_null(strstr(complaints, "typed"));
    assert_true(is_password("ann", "typed secret"));

    const char *const ended[] = {"Password: ", "typed\n", "again: ", "ty\x03", NULL};
    int status = run_on_terminal(ended, &is_echo_left);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    assert_true(is_echo_left);
    assert_true(is_password("ann", "typed secret"));
}

static int make_folder(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_teardown(name, clean_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_create_and_change), TEST(test_remove),
        TEST(test_other_lines_stay),  TEST(test_rights_are_kept),
        TEST(test_only_plain_files),  TEST(test_usernames),
        TEST(test_arguments),         TEST(test_standard_input),
        TEST(test_no_right_to_write), TEST(test_runs_wait_for_each_other),
        TEST(test_terminal),
    };
    return cmocka_run_group_tests_name("passwd", tests, make_folder, remove_folder);
}
