/* queue_inside: the parts of a queue that its own files share. Nobody else includes this. */
#ifndef DRAWBRIDGE_BRIDGE_QUEUE_INSIDE_H
#define DRAWBRIDGE_BRIDGE_QUEUE_INSIDE_H

#include <pthread.h>

#include "bridge/queue.h"

#define RECEIVED_SIZE 8192

/* What is asked, and becomes the answer. */
struct wish {
    struct queue_answer answer; /* first: it is freed by this address */
    union {
        struct store_wish fetch; /* its `skip` points to the one below */
        char reason[160];        /* BURY */
    };
    int64_t skip[];
};

struct answers {
    struct queue_answer *first, **end; /* `end` is the place for the next one */
};

struct queue {
    struct queue_settings settings; /* with texts of its own; changed by the thread, under the mutex */
    void (*wake)(void *owner);
    void *owner;
    pthread_t thread;

    /* Under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t condition; /* for the thread: something was asked, or it is to end */
    struct answers mailbox, ready;
    bool is_sleeping, is_woken, is_closing;
    struct queue_settings wanted; /* to be the settings when the thread looks; its texts do not count */
    bool has_wanted;
    uint64_t give_up_ms; /* is_closing: when a disk that refuses is waited for no longer */
    struct queue_state state;

    /* The thread's own. */
    struct store *store;    /* NULL: not open */
    struct answers pending; /* taken from the mailbox, not yet committed, in order */
    int trouble;            /* as in the state */
    uint64_t retry_ms;      /* in trouble: when the next try is due */
    bool is_relief_stuck;   /* on this full disk not even a delete succeeds; until the next try */
    char words[160];        /* why it is in trouble */
    bool is_open_relaxed;   /* the store's durability */
    bool is_new;            /* what was there is set aside, and QUEUE_OPENED has not said so yet */
    uint64_t commits;
    bool is_announced;   /* QUEUE_OPENED was said */
    uint64_t tidy_ms;    /* when the next look at ages is due */
    uint64_t aside_ms;   /* when a file was set aside last; 0: never */
    int64_t last_number; /* as far as it is known */
    uint8_t *received[LANE_COUNT];
};

/* queue.c */
uint64_t queue_now_ms(void);
void queue_add(struct answers *answers, struct queue_answer *answer);
/* Moves all of `more` behind `answers`. */
void queue_join(struct answers *answers, struct answers *more);
void queue_free_answers(struct answers *answers);
/* Takes what is in the mailbox. Without `until_ms` (0) it does not wait. False: nothing came, and it is time
 * to end. */
bool queue_take(struct queue *queue, uint64_t until_ms);
/* What is in the file now; before a commit, since a look costs less inside of a transaction. */
struct measure {
    struct store_depth depth[LANE_COUNT];
    int64_t dead_count;
};
int queue_measure(struct queue *queue, struct measure *measure);
/* Hands answers out, and what was measured (NULL: nothing new). */
void queue_publish(struct queue *queue, struct answers *answers, const struct measure *measure);

/* queue_group.c */
/* One transaction of what is pending, and what comes meanwhile; with `is_relief` only of what makes room. Its
 * answers are handed out; after a failure all is pending as before. */
int queue_commit_group(struct queue *queue, bool is_relief);
/* Puts what may go first on a full disk in front. */
void queue_sort_relief(struct queue *queue);
/* Answers the fetches that are pending, without a transaction. */
int queue_serve_fetches(struct queue *queue);
/* Drops what is too old. */
int queue_drop_old(struct queue *queue);

/* queue_thread.c */
void *queue_run(void *queue);

#endif
