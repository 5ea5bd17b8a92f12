/* queue_thread: the thread's life: opening, one group after the other, and what is done about a disk that
 * refuses.
 *
 *     try ---- ok --------> tidy (each second: ages, shrinking) ---> sleep until something is asked
 *      |  ^
 *      |  '--- a second later, or at once after a damaged file was replaced
 *      '-- failed --> trouble: fetches are answered, deletes tried on a full disk; sleep
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "bridge/queue_inside.h"

#define RETRY_MS 1000
#define TIDY_MS  1000
/* A disk that damages each file anew is not to be filled with them. */
#define ASIDE_MS 60000

/* ---- words ---- */

static const char *trouble_of(int error) {
    switch (error) {
    case STORE_FULL: return "the disk is full; messages wait, and are not acknowledged, until there is room";
    case STORE_READONLY: return "it cannot be written; messages wait, and are not acknowledged";
    case STORE_BUSY: return "another process has it; messages wait, and are not acknowledged";
    case STORE_CORRUPT:
        return "it is damaged, and cannot be set aside; messages wait, and are not acknowledged";
    case STORE_GONE:
        return "it was taken away, and cannot be written again; messages wait, and are not acknowledged";
    default: return "it fails; messages wait, and are not acknowledged";
    }
}

/* A line per change, not per try. */
static void note_trouble(struct queue *queue, int error) {
    if (error != queue->trouble)
        log_error("bridge %s: queue %s: %s (%s)", queue->settings.name, queue->settings.path,
                  trouble_of(error), queue->words);
    queue->trouble = error;
    queue->retry_ms = queue_now_ms() + RETRY_MS;
    pthread_mutex_lock(&queue->mutex);
    queue->state.trouble = error;
    snprintf(queue->state.trouble_words, sizeof queue->state.trouble_words, "%s", queue->words);
    pthread_mutex_unlock(&queue->mutex);
}

static void clear_trouble(struct queue *queue) {
    if (queue->trouble == 0)
        return;
    log_notice("bridge %s: queue %s: it is written again", queue->settings.name, queue->settings.path);
    queue->trouble = 0;
    pthread_mutex_lock(&queue->mutex);
    queue->state.trouble = 0;
    queue->state.trouble_words[0] = 0;
    pthread_mutex_unlock(&queue->mutex);
}

/* ---- opening ---- */

/* What was known of the file before continues in the new one. */
static int carry_over(struct queue *queue) {
    struct store *store = queue->store;
    int error = store_skip_numbers(store, queue->last_number);
    if (error == 0)
        error = store_begin(store);
    for (int lane = 0; lane < LANE_COUNT; lane++)
        for (unsigned id = 1; error == 0 && id <= UINT16_MAX; id++)
            if ((queue->received[lane][id >> 3] & (1 << (id & 7))) != 0)
                error = store_note_received(store, (enum lane)lane, (uint16_t)id);
    if (error == 0)
        error = store_commit(store);
    if (error != 0)
        store_rollback(store);
    return error;
}

static int fill_opened(struct queue *queue, struct queue_answer *answer) {
    struct message **end = &answer->first;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        answer->received[lane] = calloc(1, RECEIVED_SIZE);
        if (answer->received[lane] == NULL)
            return STORE_FAILED;
        int error = store_fetch_received(queue->store, (enum lane)lane, answer->received[lane]);
        if (error == 0)
            error = store_fetch_released(queue->store, (enum lane)lane, end);
        if (error != 0)
            return error;
        memcpy(queue->received[lane], answer->received[lane], RECEIVED_SIZE);
        while (*end != NULL)
            end = &(*end)->next;
    }
    return store_last_number(queue->store, &answer->last_number);
}

static int announce(struct queue *queue) {
    struct queue_answer *answer = malloc(sizeof *answer);
    if (answer == NULL)
        return STORE_FAILED;
    *answer = (struct queue_answer){.kind = QUEUE_OPENED, .is_new = queue->is_new};
    struct measure measure;
    int error = fill_opened(queue, answer);
    if (error == 0)
        error = queue_measure(queue, &measure);
    if (error != 0) {
        queue_answer_free(answer);
        return error;
    }
    queue->last_number = answer->last_number;
    queue->is_announced = true;
    queue->is_new = false;
    struct answers answers = {0};
    queue_add(&answers, answer);
    queue_publish(queue, &answers, &measure);
    return 0;
}

static void close_store(struct queue *queue) {
    store_close(queue->store);
    queue->store = NULL;
}

static int open_store(struct queue *queue) {
    queue->is_open_relaxed = queue->settings.is_relaxed;
    int error = store_open(queue->settings.path, queue->is_open_relaxed, false, &queue->store);
    if (error != 0) {
        snprintf(queue->words, sizeof queue->words, "%s", store_words(NULL));
        return error;
    }
    if (queue->is_new)
        error = carry_over(queue);
    if (error == 0 && (queue->is_new || !queue->is_announced))
        error = announce(queue);
    if (error != 0) {
        snprintf(queue->words, sizeof queue->words, "%s", store_words(queue->store));
        close_store(queue);
    }
    return error;
}

/* ---- what is done about a failure ---- */

/* A damaged file goes out of the way. False: it stays where it is. */
static bool set_aside(struct queue *queue) {
    char aside[4200];
    uint64_t now_ms = queue_now_ms();
    close_store(queue);
    if (queue->aside_ms != 0 && now_ms - queue->aside_ms < ASIDE_MS)
        return false;
    if (!store_set_aside(queue->settings.path, (int64_t)time(NULL), aside, sizeof aside))
        return false;
    log_error("bridge %s: queue %s is damaged (%s): it is set aside as %s, and a new one is begun",
              queue->settings.name, queue->settings.path, queue->words, aside);
    queue->aside_ms = now_ms;
    queue->is_new = true;
    pthread_mutex_lock(&queue->mutex);
    queue->state.set_aside++;
    pthread_mutex_unlock(&queue->mutex);
    return true;
}

/* Rows that are only in a file without a name would be lost with us. */
static int rescue(struct queue *queue) {
    int error = store_rescue(queue->store);
    if (error != 0) {
        snprintf(queue->words, sizeof queue->words, "%s", store_words(queue->store));
        return STORE_GONE;
    }
    log_error("bridge %s: queue %s was taken away while it was open; all of it is written again",
              queue->settings.name, queue->settings.path);
    close_store(queue);
    return open_store(queue);
}

/* Does what can be done at once; what remains is trouble. */
static void fall(struct queue *queue, int error) {
    if (queue->store != NULL && error != STORE_GONE)
        snprintf(queue->words, sizeof queue->words, "%s", store_words(queue->store));
    if (error == STORE_GONE)
        error = rescue(queue);
    if (error == STORE_CORRUPT && set_aside(queue))
        error = open_store(queue);
    if (error != 0)
        note_trouble(queue, error);
    else
        queue->retry_ms = 0;
}

/* ---- the life ---- */

static int relieve(struct queue *queue) {
    queue_sort_relief(queue);
    return queue_commit_group(queue, true);
}

/* Until the next try. */
static int endure(struct queue *queue) {
    if (queue->store == NULL)
        return 0;
    int error = queue_serve_fetches(queue);
    if (error == 0 && queue->trouble == STORE_FULL && !queue->is_relief_stuck) {
        error = relieve(queue);
        queue->is_relief_stuck = error != 0;
    }
    return error;
}

/* Ages, and space that is given back while nobody asks for anything. */
static int tidy(struct queue *queue) {
    if (queue_now_ms() < queue->tidy_ms)
        return 0;
    queue->tidy_ms = queue_now_ms() + TIDY_MS;
    int error = queue_drop_old(queue);
    bool has_more = true;
    while (error == 0 && has_more && queue_take(queue, 0) && queue->pending.first == NULL)
        error = store_shrink(queue->store, &has_more);
    return error;
}

static int try(struct queue *queue) {
    int error = 0;
    queue->is_relief_stuck = false;
    if (queue->store != NULL && store_is_moved(queue->store))
        return STORE_GONE;
    if (queue->trouble == STORE_FAILED || queue->is_open_relaxed != queue->settings.is_relaxed)
        close_store(queue);
    if (queue->store == NULL)
        error = open_store(queue);
    if (error == 0 && queue->trouble == STORE_FULL)
        error = relieve(queue);
    do {
        if (error == 0 && queue->pending.first != NULL)
            error = queue_commit_group(queue, false);
    } while (error == 0 && queue->pending.first != NULL && queue_now_ms() < queue->tidy_ms);
    return error == 0 ? tidy(queue) : error;
}

static void pass(struct queue *queue) {
    if (queue->trouble == 0 || queue_now_ms() >= queue->retry_ms) {
        int error = try(queue);
        if (error == 0)
            clear_trouble(queue);
        else
            fall(queue, error);
    }
    if (queue->trouble != 0 && endure(queue) == STORE_CORRUPT)
        fall(queue, STORE_CORRUPT);
}

static uint64_t sleep_until(const struct queue *queue) {
    if (queue->trouble != 0)
        return queue->retry_ms;
    return queue->store == NULL || queue->pending.first != NULL ? 0 : queue->tidy_ms;
}

/* Who asked was not answered, so nothing is lost that anybody counts on. */
static void give_up(struct queue *queue) {
    size_t count = 0;
    for (const struct queue_answer *answer = queue->pending.first; answer != NULL; answer = answer->next)
        count += answer->kind == QUEUE_PUT;
    if (count != 0)
        log_warning("bridge %s: queue %s: %zu messages that were not acknowledged are given up",
                    queue->settings.name, queue->settings.path, count);
    if (queue->store != NULL && store_is_moved(queue->store))
        fall(queue, STORE_GONE);
    close_store(queue);
}

void *queue_run(void *keeper) {
    struct queue *queue = keeper;
    while (queue_take(queue, sleep_until(queue)))
        pass(queue);
    give_up(queue);
    return NULL;
}
