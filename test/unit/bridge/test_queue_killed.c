/* queue: a process that is killed at any moment has what it answered. */
#include "desk.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/* What the child tells: a number, and what is true of it from now on. */
enum fact { PUT_ANSWERED = 1, DELETE_ASKED, DELETE_ANSWERED };

static const int out = STDOUT_FILENO;

static void tell(enum fact fact, int64_t number) {
    int64_t told[2] = {(int64_t)fact, number};
    if (write(out, told, sizeof told) != sizeof told)
        _exit(1);
}

/* In a program of its own: this one has had threads, and thread checks refuse new ones behind a fork. */
static void work_until_killed(void) {
    int64_t before = 0;
    settings = (struct queue_settings){.path = stage_path, .name = "cloud"};
    log_kinds = 0;
    open_queue();
    for (unsigned flying = 0;;) {
        for (; flying < 40; flying++) {
            struct message *message = stage_message(LANE_OUT, "t", "a");
            message->source_id = (uint16_t)(1 + flying);
            queue_put(queue, message);
        }
        struct queue_answer *answer = next_answer(60000);
        if (answer->kind == QUEUE_DELETE) {
            tell(DELETE_ANSWERED, answer->number);
        } else if (answer->kind == QUEUE_PUT) {
            int64_t number = answer->first->number;
            tell(PUT_ANSWERED, number);
            flying--;
            if (number % 2 == 0 && before != 0) {
                tell(DELETE_ASKED, before);
                queue_delete(queue, LANE_OUT, before);
            }
            before = number;
        }
        queue_answer_free(answer);
    }
}

static uint8_t rows[1 << 20]; /* by number: the last fact */

static void check_rows(int64_t above) {
    struct store *store;
    struct message *first;
    struct store_wish wish = everything;
    wish.above = above;
    wish.count = SIZE_MAX;
    if (store_open(stage_path, false, false, &store) != 0)
        fail_msg("%s", store_words(NULL));
    assert_int_equal(store_fetch(store, &wish, &first), 0);
    static uint8_t is_there[1 << 20];
    memset(is_there, 0, sizeof is_there);
    for (const struct message *message = first; message != NULL; message = message->next)
        is_there[message->number] = 1;
    stage_free(first);
    for (int64_t number = above + 1; number < 1 << 20; number++)
        if ((rows[number] == PUT_ANSWERED && is_there[number] == 0) ||
            (rows[number] == DELETE_ANSWERED && is_there[number] != 0))
            fail_msg("number %ld: %d, %d", (long)number, rows[number], is_there[number]);
    int64_t count;
    assert_int_equal(store_purge(store, false, &count), 0);
    store_close(store);
}

#ifdef __SANITIZE_THREAD__
#define ROUNDS 40 /* such a program needs half a second to start */
#else
#define ROUNDS 200
#endif

static void nothing_answered_is_lost_when_killed(void **state) {
    (void)state;
    unsigned seed = 7;
    size_t answered = 0, deleted = 0;
    int64_t above = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            dup2(ends[1], STDOUT_FILENO);
            execl("/proc/self/exe", "test_queue_killed", "work", stage_path, (char *)NULL);
            _exit(1);
        }
        close(ends[1]);
        struct pollfd ready = {.fd = ends[0], .events = POLLIN};
        if (round % 4 != 0)
            poll(&ready, 1, 10000);
        usleep((useconds_t)(rand_r(&seed) % 10000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        int64_t told[2], highest = above;
        memset(rows, 0, sizeof rows);
        while (read(ends[0], told, sizeof told) == sizeof told) {
            assert_in_range(told[1], above + 1, sizeof rows - 1);
            rows[told[1]] = (uint8_t)told[0];
            answered += told[0] == PUT_ANSWERED;
            deleted += told[0] == DELETE_ANSWERED;
            highest = told[1] > highest ? told[1] : highest;
        }
        close(ends[0]);
        check_rows(above);
        above = highest;
    }
    assert_true(answered > ROUNDS * 5);
    assert_true(deleted > ROUNDS);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "work") == 0) {
        snprintf(stage_path, sizeof stage_path, "%s", argv[2]);
        work_until_killed();
    }
    disk_up();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_answered_is_lost_when_killed, up, down),
    };
    return cmocka_run_group_tests_name("bridge/queue_killed", tests, NULL, NULL);
}
