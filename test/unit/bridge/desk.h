/* desk: one open queue for a case, who waits for its answers, and the log. */
#ifndef DRAWBRIDGE_TEST_BRIDGE_DESK_H
#define DRAWBRIDGE_TEST_BRIDGE_DESK_H

#include <pthread.h>
#include <time.h>

#include "base/log.h"
#include "bridge/queue.h"
#include "disk.h"
#include "stage.h"

static struct queue *queue;
static struct queue_settings settings;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int wakes;
static char log_path[96];

static inline void wake(void *owner) {
    assert_ptr_equal(owner, &queue);
    pthread_mutex_lock(&mutex);
    wakes++;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
}

static inline int up(void **state) {
    int error = stage_up(state);
    disk_errno = 0;
    disk_is_slow = 0;
    disk_free_bytes = -1;
    queue = NULL;
    wakes = 0;
    settings = (struct queue_settings){.path = stage_path, .name = "cloud"};
    snprintf(log_path, sizeof log_path, "%s/log", stage_folder);
    const struct log_settings log = {.dests = LOG_DEST_FILE, .kinds = LOG_KINDS_ALL, .file = log_path};
    return error != 0 ? error : log_configure(&log);
}

static inline int down(void **state) {
    disk_errno = 0;
    disk_is_slow = 0;
    queue_close(queue, 0);
    queue = NULL;
    return stage_down(state);
}

/* ---- asking ---- */

/* Waits for a wake, at most so long. */
static inline bool wait_for_wake(int timeout_ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&mutex);
    while (wakes == 0 && pthread_cond_timedwait(&condition, &mutex, &until) == 0)
        ;
    bool is_woken = wakes > 0;
    wakes = 0;
    pthread_mutex_unlock(&mutex);
    return is_woken;
}

static struct queue_answer *polled; /* what was polled and not yet looked at */

static inline struct queue_answer *next_answer(int timeout_ms) {
    if (polled == NULL && wait_for_wake(timeout_ms))
        polled = queue_poll(queue);
    struct queue_answer *answer = polled;
    if (answer != NULL)
        polled = answer->next;
    return answer;
}

static inline struct queue_answer *expect(enum queue_kind kind) {
    struct queue_answer *answer = next_answer(20000);
    if (answer == NULL)
        fail_msg("no answer of kind %d", (int)kind);
    if (answer->kind != kind)
        fail_msg("answer %d, not %d", (int)answer->kind, (int)kind);
    return answer;
}

static inline int64_t expect_number(enum queue_kind kind) {
    struct queue_answer *answer = expect(kind);
    int64_t number = kind == QUEUE_PUT ? answer->first->number : answer->number;
    queue_answer_free(answer);
    return number;
}

static inline void expect_nothing(int timeout_ms) {
    struct queue_answer *answer = next_answer(timeout_ms);
    if (answer != NULL)
        fail_msg("an answer of kind %d", (int)answer->kind);
}

static inline void open_queue(void) {
    queue = queue_open(&settings, wake, &queue);
    assert_non_null(queue);
}

static inline void open_and_expect(void) {
    open_queue();
    queue_answer_free(expect(QUEUE_OPENED));
}

static inline void close_queue(void) {
    queue_close(queue, 0);
    while (polled != NULL)
        queue_answer_free(next_answer(0));
    queue = NULL;
    wakes = 0;
}

static inline void put(const char *payload) {
    assert_true(queue_put(queue, stage_message(LANE_OUT, "t", payload)));
}

static inline int64_t put_and_expect(const char *payload) {
    put(payload);
    return expect_number(QUEUE_PUT);
}

/* The payloads of what is there, one letter each. */
static inline const char *letters_of(const struct queue_answer *answer) {
    static char letters[64];
    size_t used = 0;
    for (const struct message *message = answer->first; message != NULL && used < sizeof letters - 1;
         message = message->next)
        letters[used++] = (char)message_payload(message).at[0];
    letters[used] = 0;
    return letters;
}

static const struct store_wish everything = {LANE_OUT, INT64_MIN, INT64_MAX, false, 60, SIZE_MAX, NULL, 0};

static inline void expect_fetch(const char *letters) {
    assert_true(queue_fetch(queue, &everything, 7));
    struct queue_answer *answer = expect(QUEUE_FETCH);
    assert_string_equal(letters_of(answer), letters);
    assert_int_equal(answer->tag, 7);
    queue_answer_free(answer);
}

static inline struct queue_state look(void) {
    struct queue_state state;
    queue_look(queue, &state);
    return state;
}

static inline void wait_for_trouble(int trouble) {
    for (int i = 0; i < 2000 && look().trouble != trouble; i++)
        usleep(5000);
    assert_int_equal(look().trouble, trouble);
}

/* How many lines of the log have these words. */
static inline int lines_with(const char *words) {
    char line[1400];
    int count = 0;
    FILE *file = fopen(log_path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        count += strstr(line, words) != NULL;
    if (file != NULL)
        fclose(file);
    return count;
}

static inline int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
