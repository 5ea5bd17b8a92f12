/* queue: the mailbox, both ways. queue_thread.c is who reads it, queue_group.c what is done with a group. */
#include "bridge/queue.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bridge/queue_inside.h"

/* ---- lists ---- */

uint64_t queue_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void make_empty(struct answers *answers) {
    *answers = (struct answers){.end = &answers->first};
}

void queue_add(struct answers *answers, struct queue_answer *answer) {
    if (answers->first == NULL)
        make_empty(answers);
    answer->next = NULL;
    *answers->end = answer;
    answers->end = &answer->next;
}

void queue_join(struct answers *answers, struct answers *more) {
    if (more->first == NULL)
        return;
    if (answers->first == NULL)
        make_empty(answers);
    *answers->end = more->first;
    answers->end = more->end;
    make_empty(more);
}

void queue_free_answers(struct answers *answers) {
    while (answers->first != NULL) {
        struct queue_answer *next = answers->first->next;
        queue_answer_free(answers->first);
        answers->first = next;
    }
    make_empty(answers);
}

void queue_answer_free(struct queue_answer *answer) {
    if (answer == NULL)
        return;
    while (answer->first != NULL) {
        struct message *next = answer->first->next;
        free(answer->first);
        answer->first = next;
    }
    for (int lane = 0; lane < LANE_COUNT; lane++)
        free(answer->received[lane]);
    free(answer);
}

/* ---- for the loop ---- */

static bool prepare(struct queue *queue, const struct queue_settings *settings) {
    pthread_condattr_t attributes;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->condition, &attributes);
    pthread_condattr_destroy(&attributes);
    queue->settings = *settings;
    queue->settings.path = strdup(settings->path);
    queue->settings.name = strdup(settings->name);
    for (int lane = 0; lane < LANE_COUNT; lane++)
        queue->received[lane] = calloc(1, RECEIVED_SIZE);
    return queue->settings.path != NULL && queue->settings.name != NULL &&
           queue->received[LANE_OUT] != NULL && queue->received[LANE_IN] != NULL;
}

static void free_queue(struct queue *queue) {
    queue_free_answers(&queue->mailbox);
    queue_free_answers(&queue->pending);
    queue_free_answers(&queue->ready);
    for (int lane = 0; lane < LANE_COUNT; lane++)
        free(queue->received[lane]);
    /* Copies of ours, though the settings promise others not to change theirs. */
    free((void *)(uintptr_t)queue->settings.path);
    free((void *)(uintptr_t)queue->settings.name);
    pthread_cond_destroy(&queue->condition);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

/* Signals are the loop's business: none shall interrupt the thread. */
static bool start(struct queue *queue) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&queue->thread, NULL, queue_run, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

struct queue *queue_open(const struct queue_settings *settings, void (*wake)(void *owner), void *owner) {
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return NULL;
    queue->wake = wake;
    queue->owner = owner;
    if (!prepare(queue, settings) || !start(queue)) {
        free_queue(queue);
        return NULL;
    }
    return queue;
}

void queue_retune(struct queue *queue, const struct queue_settings *settings) {
    pthread_mutex_lock(&queue->mutex);
    queue->wanted = *settings;
    queue->has_wanted = true;
    pthread_mutex_unlock(&queue->mutex);
}

void queue_close(struct queue *queue, unsigned patience_ms) {
    if (queue == NULL)
        return;
    pthread_mutex_lock(&queue->mutex);
    queue->is_closing = true;
    queue->give_up_ms = queue_now_ms() + patience_ms;
    pthread_cond_signal(&queue->condition);
    pthread_mutex_unlock(&queue->mutex);
    pthread_join(queue->thread, NULL);
    free_queue(queue);
}

static struct wish *make(enum queue_kind kind, size_t skip_count) {
    struct wish *wish = malloc(sizeof *wish + skip_count * sizeof wish->skip[0]);
    if (wish != NULL)
        wish->answer = (struct queue_answer){.kind = kind};
    return wish;
}

static bool ask(struct queue *queue, struct wish *wish) {
    if (wish == NULL)
        return false;
    const struct message *message = wish->answer.kind == QUEUE_PUT ? wish->answer.first : NULL;
    pthread_mutex_lock(&queue->mutex);
    queue_add(&queue->mailbox, &wish->answer);
    if (message != NULL) {
        queue->state.waiting_count++;
        queue->state.waiting_bytes += (int64_t)message_size(message);
    }
    bool is_sleeping = queue->is_sleeping;
    queue->is_sleeping = false;
    pthread_mutex_unlock(&queue->mutex);
    if (is_sleeping) /* a system call, so not for each one */
        pthread_cond_signal(&queue->condition);
    return true;
}

bool queue_put(struct queue *queue, struct message *message) {
    struct wish *wish = make(QUEUE_PUT, 0);
    if (wish == NULL) {
        free(message);
        return false;
    }
    message->next = NULL;
    wish->answer.first = message;
    wish->answer.lane = (enum lane)message->lane;
    return ask(queue, wish);
}

static struct wish *make_numbered(enum queue_kind kind, enum lane lane, int64_t number) {
    struct wish *wish = make(kind, 0);
    if (wish != NULL) {
        wish->answer.lane = lane;
        wish->answer.number = number;
    }
    return wish;
}

bool queue_release(struct queue *queue, int64_t number) {
    return ask(queue, make_numbered(QUEUE_RELEASE, LANE_OUT, number));
}

bool queue_delete(struct queue *queue, enum lane lane, int64_t number) {
    return ask(queue, make_numbered(QUEUE_DELETE, lane, number));
}

bool queue_forget(struct queue *queue, enum lane lane, uint16_t packet_id) {
    struct wish *wish = make_numbered(QUEUE_FORGET, lane, 0);
    if (wish != NULL)
        wish->answer.packet_id = packet_id;
    return ask(queue, wish);
}

bool queue_forget_all(struct queue *queue, enum lane lane) {
    return ask(queue, make_numbered(QUEUE_FORGET_ALL, lane, 0));
}

bool queue_bury(struct queue *queue, int64_t number, const char *reason) {
    struct wish *wish = make_numbered(QUEUE_BURY, LANE_OUT, number);
    if (wish != NULL)
        snprintf(wish->reason, sizeof wish->reason, "%s", reason);
    return ask(queue, wish);
}

bool queue_fetch(struct queue *queue, const struct store_wish *fetch, unsigned tag) {
    struct wish *wish = make(QUEUE_FETCH, fetch->skip_count);
    if (wish == NULL)
        return false;
    wish->answer.lane = fetch->lane;
    wish->answer.tag = tag;
    wish->fetch = *fetch;
    wish->fetch.skip = wish->skip;
    if (fetch->skip_count != 0)
        memcpy(wish->skip, fetch->skip, fetch->skip_count * sizeof wish->skip[0]);
    return ask(queue, wish);
}

struct queue_answer *queue_poll(struct queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    struct queue_answer *first = queue->ready.first;
    make_empty(&queue->ready);
    queue->is_woken = false;
    pthread_mutex_unlock(&queue->mutex);
    return first;
}

void queue_look(struct queue *queue, struct queue_state *state) {
    pthread_mutex_lock(&queue->mutex);
    *state = queue->state;
    const struct queue_settings *settings = queue->has_wanted ? &queue->wanted : &queue->settings;
    int64_t max_bytes = settings->max_bytes, max_count = settings->max_count;
    pthread_mutex_unlock(&queue->mutex);
    int64_t bytes = state->depth[LANE_OUT].bytes + state->depth[LANE_IN].bytes + state->waiting_bytes;
    int64_t count = state->depth[LANE_OUT].count + state->depth[LANE_IN].count + state->waiting_count;
    state->is_full = (max_bytes > 0 && bytes >= max_bytes) || (max_count > 0 && count >= max_count);
}

/* ---- for the thread ---- */

/* With nothing asked there is nothing to finish; a disk that refuses is waited for only so long. */
static bool is_to_end(const struct queue *queue) {
    bool is_asked = queue->mailbox.first != NULL || queue->pending.first != NULL;
    return queue->is_closing && (!is_asked || (queue->trouble != 0 && queue_now_ms() >= queue->give_up_ms));
}

static void take_settings(struct queue *queue) {
    if (!queue->has_wanted)
        return;
    queue->wanted.path = queue->settings.path;
    queue->wanted.name = queue->settings.name;
    queue->settings = queue->wanted;
    queue->has_wanted = false;
}

bool queue_take(struct queue *queue, uint64_t until_ms) {
    pthread_mutex_lock(&queue->mutex);
    while (queue->mailbox.first == NULL && !is_to_end(queue) && queue_now_ms() < until_ms) {
        if (queue->is_closing && queue->trouble == 0)
            break; /* what is pending is not waited for */
        uint64_t wake_ms = queue->is_closing && queue->give_up_ms < until_ms ? queue->give_up_ms : until_ms;
        const struct timespec until = {(time_t)(wake_ms / 1000), (long)(wake_ms % 1000) * 1000000};
        queue->is_sleeping = true;
        pthread_cond_timedwait(&queue->condition, &queue->mutex, &until);
    }
    queue->is_sleeping = false;
    take_settings(queue);
    bool is_end = is_to_end(queue);
    queue_join(&queue->pending, &queue->mailbox);
    pthread_mutex_unlock(&queue->mutex);
    return !is_end;
}

static void count_answer(struct queue_state *state, const struct queue_answer *answer) {
    if (answer->kind == QUEUE_PUT) {
        state->waiting_count--;
        state->waiting_bytes -= (int64_t)message_size(answer->first);
        *(answer->is_refused ? &state->refused : &state->puts) += 1;
    } else if (answer->kind == QUEUE_DROPPED) {
        *(answer->is_aged ? &state->dropped_aged : &state->dropped_overflow) += 1;
    }
}

int queue_measure(struct queue *queue, struct measure *measure) {
    int error = store_depth(queue->store, LANE_OUT, &measure->depth[LANE_OUT]);
    if (error == 0)
        error = store_depth(queue->store, LANE_IN, &measure->depth[LANE_IN]);
    return error == 0 ? store_dead_count(queue->store, &measure->dead_count) : error;
}

void queue_publish(struct queue *queue, struct answers *answers, const struct measure *measure) {
    pthread_mutex_lock(&queue->mutex);
    for (const struct queue_answer *answer = answers->first; answer != NULL; answer = answer->next)
        count_answer(&queue->state, answer);
    queue->state.commits = queue->commits;
    if (measure != NULL) {
        memcpy(queue->state.depth, measure->depth, sizeof measure->depth);
        queue->state.dead_count = measure->dead_count;
    }
    bool is_to_wake = answers->first != NULL && !queue->is_woken;
    queue_join(&queue->ready, answers);
    queue->is_woken = queue->is_woken || is_to_wake;
    pthread_mutex_unlock(&queue->mutex);
    if (is_to_wake)
        queue->wake(queue->owner);
}
