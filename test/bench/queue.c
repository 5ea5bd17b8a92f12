/* What the disk costs: QoS 1 messages of 200 bytes through a bridge's queue, each put, answered, and deleted
 * once it is; with as many on their way as a small and a large receive maximum allow. `make bench-queue`;
 * BENCH_FOLDER is the disk (.).
 *
 * CPU time is that of the whole process, with the commits. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bridge/queue.h"

#define PAYLOAD_SIZE 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool is_woken;

static void wake(void *owner) {
    (void)owner;
    pthread_mutex_lock(&mutex);
    is_woken = true;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
}

static void wait_for_wake(void) {
    pthread_mutex_lock(&mutex);
    while (!is_woken)
        pthread_cond_wait(&condition, &mutex);
    is_woken = false;
    pthread_mutex_unlock(&mutex);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static bool put(struct queue *queue) {
    static const uint8_t payload[PAYLOAD_SIZE] = {1};
    struct message *message =
        message_create(SPAN_LITERAL("sensors/4711/temp"), SPAN_NONE, span_of(payload, sizeof payload));
    if (message == NULL)
        return false;
    message->qos = 1;
    return queue_put(queue, message);
}

/* Puts and deletes so many with at most `window` on their way; false: memory is out. */
static bool pass(struct queue *queue, size_t count, size_t window) {
    size_t asked = 0, deleted = 0;
    while (deleted < count) {
        for (; asked < count && asked - deleted < window; asked++)
            if (!put(queue))
                return false;
        wait_for_wake();
        struct queue_answer *next;
        for (struct queue_answer *answer = queue_poll(queue); answer != NULL; answer = next) {
            next = answer->next;
            if (answer->kind == QUEUE_PUT && !queue_delete(queue, LANE_OUT, answer->first->number))
                return false;
            deleted += answer->kind == QUEUE_DELETE;
            queue_answer_free(answer);
        }
    }
    return true;
}

static bool run(const char *path, bool is_relaxed, size_t count, size_t window) {
    const struct queue_settings settings = {.path = path, .name = "bench", .is_relaxed = is_relaxed};
    double began_s = now_s(), began_cpu_s = cpu_s();
    struct queue_state state;
    struct queue *queue = queue_open(&settings, wake, NULL);
    bool is_good = queue != NULL && pass(queue, count, window);
    if (is_good) {
        queue_look(queue, &state);
        printf("%-7s %5zu on their way: %8.0f messages/s, %6.1f us CPU each, %6.1f messages a commit\n",
               is_relaxed ? "relaxed" : "full", window, (double)count / (now_s() - began_s),
               (cpu_s() - began_cpu_s) / (double)count * 1e6, (double)count / (double)state.commits);
        fflush(stdout);
    }
    queue_close(queue, 1000);
    return is_good;
}

int main(void) {
    static const struct { size_t window, count; } rows[] = {{1, 500}, {20, 10000}, {1000, 100000}};
    const char *disk = getenv("BENCH_FOLDER");
    char folder[512], path[560];
    snprintf(folder, sizeof folder, "%s/queue-XXXXXX", disk != NULL ? disk : ".");
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/bench.db", folder);
    bool is_good = true;
    for (int is_relaxed = 0; is_relaxed <= 1; is_relaxed++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0] && is_good; i++)
            is_good = run(path, is_relaxed, rows[i].count, rows[i].window);
    unlink(path);
    snprintf(path, sizeof path, "%s/bench.db-lock", folder);
    unlink(path);
    rmdir(folder);
    return is_good ? 0 : 1;
}
