/* queue: a store on a thread of its own, so that the loop never waits for the disk. What the loop asks for is
 * done in the order in which it was asked, many at once in one transaction (group commit):
 *
 *     loop:    queue_put put release delete put ...            queue_poll -> answers, in the same order
 *                   |                                               ^
 *                   v  mailbox (mutex)                              |  mailbox, then `wake` (once)
 *     thread:  begin; up to 64 puts or 20 ms of them; commit -------+
 *
 * Nobody waits for a group to become full: it ends when the mailbox is empty. On a slow disk the mailbox
 * fills while the group before is written, so groups grow by themselves; on a fast one they need not.
 *
 * An answer comes after the commit: then, and only then, may anybody be told that we have the message. While
 * the disk refuses (full, read-only, gone, in use by another) the thread keeps what it was asked, tries again
 * each second, and says nothing; `trouble` says why. Fetches are answered all the same where the file can be
 * read (what is to be deleted is left out), and on a full disk deletes, releases and forgets go first: a
 * queue that fills its disk must be drained to be smaller. Only then do answers come in another order. A
 * corrupt file, found when it is opened or later, is set aside and a new one begun; what was asked and not
 * yet committed goes into the new one, and so does what is known of received packet ids. A file that was
 * taken away while it was open is written again. A put also has to wait while less than 8 MiB are free on the
 * disk: they are for the deletes.
 *
 * queue_max_bytes is watched here, since only here all rows are known: with drop_oldest room is made before a
 * put, with drop_newest the put is refused; with stop_reading it is taken, and `is_full` tells. */
#ifndef DRAWBRIDGE_BRIDGE_QUEUE_H
#define DRAWBRIDGE_BRIDGE_QUEUE_H

#include "bridge/store.h"

struct queue;

enum queue_overflow { QUEUE_DROP_OLDEST, QUEUE_DROP_NEWEST, QUEUE_STOP_READING };

struct queue_settings {
    const char *path; /* copied */
    const char *name; /* of the bridge, for log lines; copied */
    bool is_relaxed, is_newest_first;
    enum queue_overflow overflow;
    int64_t max_bytes; /* of both lanes together; 0: no limit */
    int64_t max_count; /* 0: no limit */
    int64_t max_age_s; /* 0: no limit */
};

enum queue_kind {
    QUEUE_OPENED, /* the first answer, once the file is open; again when a corrupt one was replaced later
                     (is_new) */
    QUEUE_PUT,
    QUEUE_RELEASE,
    QUEUE_DELETE,
    QUEUE_FORGET,
    QUEUE_FORGET_ALL,
    QUEUE_BURY,
    QUEUE_FETCH,
    QUEUE_DROPPED, /* unasked: a row went by overflow or age */
};

/* A wish and its answer: one piece of memory. */
struct queue_answer {
    struct queue_answer *next;
    enum queue_kind kind;
    enum lane lane;
    int64_t number;     /* RELEASE, DELETE, BURY, DROPPED */
    size_t size;        /* DROPPED */
    uint16_t packet_id; /* FORGET */
    bool is_refused; /* PUT: the message was not taken. With drop_newest: the queue is full; with drop_oldest:
                        it is larger than the whole queue may be, or all that is queued has a higher priority
                        or is released */
    bool is_new;     /* OPENED: what was there is set aside */
    bool is_aged;    /* DROPPED: expired or too old; else overflow */
    bool has_more;   /* FETCH: there may be further rows */
    unsigned tag;    /* FETCH: as it was asked */
    struct message *first; /* PUT: the message, with its number; FETCH: the list; OPENED: released ones of
                              both lanes; given */
    uint8_t *received[LANE_COUNT]; /* OPENED: 8,192 bytes each, bits; given */
    int64_t last_number;           /* OPENED */
};

/* What anybody may look at, from any thread: copies under the mutex. */
struct queue_state {
    struct store_depth depth[LANE_COUNT];
    int64_t dead_count;
    int64_t waiting_count, waiting_bytes; /* puts that have no answer yet: they are in memory only */
    bool is_full; /* max_bytes or max_count is reached, by what is on the disk and what waits */
    uint64_t commits, puts, refused, dropped_overflow, dropped_aged, set_aside;
    int trouble; /* 0, or a STORE_ error that lasts */
    char trouble_words[160];
};

/* Starts the thread. `wake` is called from it whenever there are answers (at most once until queue_poll is
 * called), up to the end of queue_close. NULL: no thread or no memory. */
struct queue *queue_open(const struct queue_settings *settings, void (*wake)(void *owner), void *owner);
/* Other limits and durability; path and name stay as they are. */
void queue_retune(struct queue *queue, const struct queue_settings *settings);
/* Finishes what was asked (with a disk that refuses: gives it up after `patience_ms`), ends the thread, frees
 * everything; answers that were not polled are freed. NULL is allowed. */
void queue_close(struct queue *queue, unsigned patience_ms);

/* All answers that are ready, in order; each is the caller's (queue_answer_free). */
struct queue_answer *queue_poll(struct queue *queue);
void queue_answer_free(
    struct queue_answer *answer); /* with all that it still holds: set to NULL what was taken */

/* False when memory is out: nothing was asked then. A message is given in either case (freed on failure). */
bool queue_put(struct queue *queue, struct message *message);
bool queue_release(struct queue *queue, int64_t number);
bool queue_delete(struct queue *queue, enum lane lane, int64_t number);
bool queue_forget(struct queue *queue, enum lane lane, uint16_t packet_id);
bool queue_forget_all(struct queue *queue, enum lane lane);
bool queue_bury(struct queue *queue, int64_t number, const char *reason);
/* `skip` is copied. */
bool queue_fetch(struct queue *queue, const struct store_wish *wish, unsigned tag);

void queue_look(struct queue *queue, struct queue_state *state);

#endif
