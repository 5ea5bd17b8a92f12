/* queue_group: what is done with what was asked.
 *
 *     pending   put  put  delete  put | put ...
 *               '---- one group -----'   DROPPED answers are put in front of the put that made them
 *
 * A failure takes all of it back, and the same wishes stand there for the next try. */
#include <stdlib.h>
#include <time.h>

#include "bridge/queue_inside.h"

#define GROUP_MESSAGES 64
#define GROUP_WISHES   512
#define GROUP_MS       20
#define DROP_AT_ONCE   256
#define ROOM_AT_ONCE   (1 << 20)

struct group {
    struct queue *queue;
    struct answers dropped;   /* by the wish in progress */
    struct queue_answer **at; /* where the next wish hangs */
    size_t messages, wishes, bytes;
    size_t room; /* bytes that the disk was found to have room for */
    uint64_t until_ms;
    bool is_aged; /* why rows are dropped just now */
    bool is_memory_out;
};

static void note_dropped(void *keeper, enum lane lane, int64_t number, size_t size) {
    struct group *group = keeper;
    struct queue_answer *answer = malloc(sizeof *answer);
    if (answer == NULL) {
        group->is_memory_out = true;
        return;
    }
    *answer = (struct queue_answer){
        .kind = QUEUE_DROPPED, .lane = lane, .number = number, .size = size, .is_aged = group->is_aged};
    queue_add(&group->dropped, answer);
}

static int64_t over(int64_t now, int64_t limit) {
    return limit > 0 && now > limit ? now - limit : 0;
}

/* Is the message refused by the limits? Makes room for it where it may. */
static int make_room(struct group *group, const struct message *message, bool *is_refused) {
    const struct queue_settings *settings = &group->queue->settings;
    struct store *store = group->queue->store;
    int64_t count, bytes, size = (int64_t)message_size(message);
    *is_refused = false;
    if (settings->overflow == QUEUE_STOP_READING)
        return 0;
    store_held(store, &count, &bytes);
    int64_t bytes_over = over(bytes + size, settings->max_bytes),
            count_over = over(count + 1, settings->max_count);
    if (bytes_over == 0 && count_over == 0)
        return 0;
    *is_refused = true;
    if (settings->overflow == QUEUE_DROP_NEWEST || over(size, settings->max_bytes) > 0)
        return 0;
    const struct store_tell tell = {note_dropped, group};
    int error = store_drop_oldest(store, bytes_over, count_over, message->priority, &tell);
    store_held(store, &count, &bytes);
    *is_refused = over(bytes + size, settings->max_bytes) > 0 || over(count + 1, settings->max_count) > 0;
    return error;
}

static int put(struct group *group, struct queue_answer *answer) {
    group->messages++;
    group->bytes += message_size(answer->first);
    int error = make_room(group, answer->first, &answer->is_refused);
    return error != 0 || answer->is_refused ? error : store_put(group->queue->store, answer->first);
}

static int fetch(struct store *store, const struct store_wish *wish, struct queue_answer *answer) {
    size_t count = 0, bytes = 0;
    int error = store_fetch(store, wish, &answer->first);
    for (const struct message *message = answer->first; message != NULL; message = message->next) {
        count++;
        bytes += message_size(message);
    }
    answer->has_more = count >= wish->count || (count != 0 && bytes >= wish->bytes);
    return error;
}

static int perform(struct group *group, struct wish *wish) {
    struct store *store = group->queue->store;
    struct queue_answer *answer = &wish->answer;
    switch (answer->kind) {
    case QUEUE_PUT: return put(group, answer);
    case QUEUE_RELEASE: return store_release(store, answer->number);
    case QUEUE_DELETE: return store_delete(store, answer->number);
    case QUEUE_FORGET: return store_forget_received(store, answer->lane, answer->packet_id);
    case QUEUE_FORGET_ALL: return store_forget_all_received(store, answer->lane);
    case QUEUE_BURY: return store_bury(store, answer->number, wish->reason, (int64_t)time(NULL));
    case QUEUE_FETCH: return fetch(store, &wish->fetch, answer);
    case QUEUE_OPENED:
    case QUEUE_DROPPED: break;
    }
    return 0;
}

static bool is_for_relief(const struct queue_answer *answer) {
    return answer->kind == QUEUE_DELETE || answer->kind == QUEUE_RELEASE || answer->kind == QUEUE_FORGET;
}

/* The disk is not asked for each message. */
static int find_room(struct group *group, size_t size) {
    size_t wanted = group->bytes + size;
    if (wanted < group->room)
        return 0;
    group->room = wanted + ROOM_AT_ONCE;
    return store_check_room(group->queue->store, group->room);
}

/* May the next wish come into this group? *error is STORE_FULL when it is one that has to wait for room on
 * the disk. */
static bool may_go_on(struct group *group, bool is_relief, int *error) {
    struct queue *queue = group->queue;
    if (group->messages >= GROUP_MESSAGES || group->wishes >= GROUP_WISHES ||
        queue_now_ms() >= group->until_ms)
        return false;
    if (*group->at == NULL && !is_relief) {
        /* The list's end moves with the first that comes: `at` may be that of an empty list. */
        bool is_empty = group->at == &queue->pending.first;
        queue_take(queue, 0);
        if (is_empty)
            group->at = &queue->pending.first;
    }
    const struct queue_answer *next = *group->at;
    if (next == NULL || (is_relief && !is_for_relief(next)))
        return false;
    if (next->kind == QUEUE_PUT || next->kind == QUEUE_BURY)
        *error = find_room(group, next->first != NULL ? message_size(next->first) : 0);
    return *error == 0;
}

/* One wish: what was dropped for it stands in front of it. */
static int step(struct group *group) {
    struct queue_answer *answer = *group->at;
    int error = perform(group, (struct wish *)answer);
    if (error == 0 && group->is_memory_out)
        error = STORE_FAILED;
    group->wishes++;
    if (group->dropped.first != NULL) {
        *group->dropped.end = answer;
        *group->at = group->dropped.first;
        group->dropped = (struct answers){0};
    }
    if (error == 0)
        group->at = &answer->next;
    return error;
}

/* All wishes as they were asked. */
static void take_back(struct queue *queue) {
    struct answers all = queue->pending;
    queue->pending = (struct answers){0};
    while (all.first != NULL) {
        struct queue_answer *answer = all.first;
        all.first = answer->next;
        if (answer->kind == QUEUE_DROPPED) {
            queue_answer_free(answer);
            continue;
        }
        answer->is_refused = false;
        if (answer->kind == QUEUE_PUT)
            answer->first->number = 0;
        while (answer->kind == QUEUE_FETCH && answer->first != NULL) {
            struct message *next = answer->first->next;
            free(answer->first);
            answer->first = next;
        }
        queue_add(&queue->pending, answer);
    }
}

/* What is now known of received packet ids, for the case that the file is lost. */
static void note_received(struct queue *queue, const struct queue_answer *answer) {
    const struct message *message = answer->first;
    uint8_t *bits = queue->received[answer->lane];
    if (answer->kind == QUEUE_PUT && !answer->is_refused && message->source_id != 0)
        bits[message->source_id >> 3] |= (uint8_t)(1 << (message->source_id & 7));
    else if (answer->kind == QUEUE_FORGET)
        bits[answer->packet_id >> 3] &= (uint8_t) ~(1 << (answer->packet_id & 7));
    else if (answer->kind == QUEUE_FORGET_ALL)
        memset(bits, 0, RECEIVED_SIZE);
}

/* Hands out the answers in front of `at`. */
static void hand_out(struct queue *queue, struct queue_answer **at, const struct measure *measure) {
    struct answers done = {0}, rest = {0};
    if (at == &queue->pending.first)
        return;
    done.first = queue->pending.first;
    done.end = at;
    if (*at != NULL) {
        rest.first = *at;
        rest.end = queue->pending.end;
    }
    *at = NULL;
    queue->pending = rest;
    for (const struct queue_answer *answer = done.first; answer != NULL; answer = answer->next)
        note_received(queue, answer);
    int64_t last = queue->last_number;
    store_last_number(queue->store, &last);
    queue->last_number = last;
    queue_publish(queue, &done, measure);
}

int queue_commit_group(struct queue *queue, bool is_relief) {
    struct group group = {.queue = queue, .at = &queue->pending.first, .until_ms = queue_now_ms() + GROUP_MS};
    struct measure measure;
    int wait = 0;
    int error = store_begin(queue->store);
    while (error == 0 && may_go_on(&group, is_relief, &wait))
        error = step(&group);
    if (error == 0)
        error = queue_measure(queue, &measure);
    if (error == 0)
        error = store_commit(queue->store);
    if (error != 0) {
        store_rollback(queue->store);
        take_back(queue);
        return error;
    }
    queue->commits++;
    hand_out(queue, group.at, &measure);
    return wait;
}

/* ---- on a disk that refuses ---- */

/* A forget behind a put of the same packet id that waits stays behind it. */
static bool may_overtake(const struct queue_answer *answer, const struct queue_answer *waiting) {
    if (answer->kind != QUEUE_FORGET)
        return is_for_relief(answer);
    for (; waiting != NULL; waiting = waiting->next)
        if (waiting->kind == QUEUE_PUT && waiting->lane == answer->lane &&
            waiting->first->source_id == answer->packet_id)
            return false;
    return true;
}

void queue_sort_relief(struct queue *queue) {
    struct answers relief = {0}, others = {0};
    struct queue_answer *next;
    for (struct queue_answer *answer = queue->pending.first; answer != NULL; answer = next) {
        next = answer->next;
        queue_add(may_overtake(answer, others.first) ? &relief : &others, answer);
    }
    queue->pending = (struct answers){0};
    queue_join(&queue->pending, &relief);
    queue_join(&queue->pending, &others);
}

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static bool takes_out(const struct queue_answer *answer) {
    return answer->kind == QUEUE_DELETE || answer->kind == QUEUE_RELEASE || answer->kind == QUEUE_BURY;
}

/* The rows are still there, but who asked has done with them: they are skipped too. */
static int fetch_without_pending(struct queue *queue, struct wish *wish) {
    size_t count = wish->fetch.skip_count;
    for (const struct queue_answer *answer = queue->pending.first; answer != NULL; answer = answer->next)
        count += takes_out(answer);
    int64_t *skip = malloc((count + 1) * sizeof *skip);
    if (skip == NULL)
        return STORE_FAILED;
    struct store_wish without = wish->fetch;
    size_t used = without.skip_count;
    if (used != 0)
        memcpy(skip, without.skip, used * sizeof *skip);
    for (const struct queue_answer *answer = queue->pending.first; answer != NULL; answer = answer->next)
        if (takes_out(answer))
            skip[used++] = answer->number;
    qsort(skip, used, sizeof *skip, compare);
    without.skip = skip;
    without.skip_count = used;
    int error = fetch(queue->store, &without, &wish->answer);
    free(skip);
    return error;
}

int queue_serve_fetches(struct queue *queue) {
    struct answers done = {0}, others = {0};
    struct queue_answer *next;
    int error = 0;
    for (struct queue_answer *answer = queue->pending.first; answer != NULL && error == 0;
         answer = answer->next)
        if (answer->kind == QUEUE_FETCH)
            error = fetch_without_pending(queue, (struct wish *)answer);
    if (error != 0) {
        take_back(queue);
        return error;
    }
    for (struct queue_answer *answer = queue->pending.first; answer != NULL; answer = next) {
        next = answer->next;
        queue_add(answer->kind == QUEUE_FETCH ? &done : &others, answer);
    }
    queue->pending = others;
    if (done.first != NULL)
        queue_publish(queue, &done, NULL);
    return 0;
}

/* ---- by age ---- */

static int drop_some(struct group *group, int64_t now_s, int64_t came_before_s, struct measure *measure) {
    struct store *store = group->queue->store;
    const struct store_tell tell = {note_dropped, group};
    int error = store_begin(store);
    if (error == 0)
        error = store_drop_old(store, now_s, came_before_s, DROP_AT_ONCE, &tell);
    if (error == 0 && group->is_memory_out)
        error = STORE_FAILED;
    if (error == 0)
        error = queue_measure(group->queue, measure);
    if (error == 0)
        error = store_commit(store);
    if (error != 0) {
        store_rollback(store);
        queue_free_answers(&group->dropped);
    }
    return error;
}

int queue_drop_old(struct queue *queue) {
    int64_t now_s = (int64_t)time(NULL), max_age_s = queue->settings.max_age_s;
    for (;;) {
        struct group group = {.queue = queue, .is_aged = true};
        struct measure measure;
        int error = drop_some(&group, now_s, max_age_s > 0 ? now_s - max_age_s : INT64_MIN, &measure);
        if (error != 0)
            return error;
        bool is_done = group.dropped.first == NULL;
        queue_publish(queue, &group.dropped, &measure);
        if (is_done)
            return 0;
    }
}
