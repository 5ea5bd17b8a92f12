/* store: the file of a bridge's queue. SQLite, WAL; whoever opens it with sqlite3, also while the bridge
 * runs, sees what is here:
 *
 *     message   number, lane (0 out, 1 in), state (0 queued, 1 released: its PUBREC has come), rank (the
 * priority, negated), qos, retain, came_s, expires_s, size, topic, props, payload received  lane, packet_id:
 * QoS 2 messages that came and whose PUBREL has not, so that they are not taken twice dead      as message,
 * with died_s and reason: what was given up on meta      last_number: no number up to it is given again
 *
 * Synchronous, one thread at a time. Every function that returns int: 0, or a negative STORE_ error. */
#ifndef DRAWBRIDGE_BRIDGE_STORE_H
#define DRAWBRIDGE_BRIDGE_STORE_H

#include "bridge/message.h"

struct store;

enum store_error {
    STORE_FULL = -1,     /* the disk is full */
    STORE_READONLY = -2, /* the file or its folder may not be written */
    STORE_CORRUPT = -3,  /* no database, or a damaged one */
    STORE_BUSY = -4,     /* another process has it */
    STORE_FAILED = -5,   /* anything else; store_words has SQLite's */
    STORE_GONE = -6,     /* the file was taken away while it was open: see store_is_moved */
};

struct store_depth {
    int64_t count, bytes;
    int64_t oldest_s; /* came_s of the oldest; 0: none */
};

/* Opens or makes the file (0600) in a folder that is made (0700) when it is missing, but not its parents; a
 * folder that others may write is refused. A second owner is kept out for as long as it is open, by a lock on
 * PATH-lock; readers are not. With `is_reader` (for applets beside a running bridge) nothing is made or
 * changed, and only what reads may be called. A corrupt file is the caller's to set aside; one that is newer
 * than this program, or somebody else's, is STORE_FAILED. `is_relaxed`: synchronous NORMAL instead of FULL.
 */
int store_open(const char *path, bool is_relaxed, bool is_reader, struct store **store);
void store_close(struct store *store);              /* NULL is allowed */
const char *store_words(const struct store *store); /* why the last call failed; for a log line. Store NULL:
                                                       of the open, in this thread */
/* Is there room on the disk for `size` more bytes, and for what deleting costs? A queue that fills the disk
 * to the last byte could not be drained any more. 0 or STORE_FULL. */
int store_check_room(struct store *store, size_t size);
/* Somebody took the file or its journal away, or put another in its place. What is in ours can still be read.
 */
bool store_is_moved(struct store *store);
/* Brings all of it to the file's path again. The store is to be closed then, and opened anew. */
int store_rescue(struct store *store);
/* Numbers that are given from now on are above this one. For a store that takes the place of another. */
int store_skip_numbers(struct store *store, int64_t number);
/* Gives a piece of what is free in the file back to the disk, for idle moments; *has_more: call again.
 * Between transactions. */
int store_shrink(struct store *store, bool *has_more);

/* Renames the (closed) file, with its -wal and -shm, to PATH.corrupt-YYYYMMDDTHHMMSSZ (the name is written to
 * `room`). False: it cannot. */
bool store_set_aside(const char *path, int64_t now_s, char *room, size_t room_size);

/* Everything between is one transaction. store_rollback also after a failure of store_commit. */
int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);

/* Appends; message->number is filled in. Numbers only grow, also over a restart and when the table was empty.
 * With a source_id it is noted in `received` too. */
int store_put(struct store *store, struct message *message);
int store_release(struct store *store, int64_t number);
int store_delete(struct store *store, int64_t number);
int store_note_received(struct store *store, enum lane lane, uint16_t packet_id);
int store_forget_received(struct store *store, enum lane lane, uint16_t packet_id);
int store_forget_all_received(struct store *store, enum lane lane);
/* Moves it to `dead`. */
int store_bury(struct store *store, int64_t number, const char *reason, int64_t now_s);

/* What is told of a row that was dropped. */
struct store_tell {
    void (*row)(void *keeper, enum lane lane, int64_t number, size_t size);
    void *keeper;
};

/* Drops the oldest of the lowest priority until at least `bytes` and `count` are gone; rows that are
 * released, and those of a priority above `priority`, stay. Tells each. */
int store_drop_oldest(struct store *store, int64_t bytes, int64_t count, int16_t priority,
                      const struct store_tell *tell);
/* Drops what expired at `now_s` or came before `came_before_s`, released ones not; at most `limit` rows,
 * tells each. */
int store_drop_old(struct store *store, int64_t now_s, int64_t came_before_s, size_t limit,
                   const struct store_tell *tell);

/* What a fetch asks for. */
struct store_wish {
    enum lane lane;
    int64_t above, up_to; /* only numbers in (above, up_to] */
    bool is_newest_first;
    size_t count, bytes; /* ends after so many rows, or when so many bytes are reached (at least one row) */
    const int64_t *skip; /* in rising order: rows that the caller has already */
    size_t skip_count;
};
/* Queued rows (state 0) by priority, then in order. Gives a list of messages (each from malloc). */
int store_fetch(struct store *store, const struct store_wish *wish, struct message **first);
/* The released rows of a lane, without their bytes (sizes 0): number and qos are filled in. */
int store_fetch_released(struct store *store, enum lane lane, struct message **first);
/* A bit per packet id, `bits` is 8,192 zeroed bytes. */
int store_fetch_received(struct store *store, enum lane lane, uint8_t *bits);
/* Of both lanes together; known without a look. */
void store_held(const struct store *store, int64_t *count, int64_t *bytes);
/* The count and the bytes are known, the oldest is looked up. */
int store_depth(struct store *store, enum lane lane, struct store_depth *depth);
int store_dead_count(struct store *store, int64_t *count);
/* No larger number was ever given. */
int store_last_number(struct store *store, int64_t *number);

/* Why a message is in `dead`; all zero for one that is not. */
struct store_death {
    int64_t died_s;
    const char *reason; /* borrowed during the call */
};
/* For people: up to `limit` rows of `message` or `dead` above a number, by number (or the newest ones, from
 * the end on), each told. The message is borrowed during the call. */
struct store_list {
    bool is_dead, is_backward;
    int64_t above;
    size_t limit;
};
int store_list(struct store *store, const struct store_list *list,
               void (*show)(void *keeper, const struct message *message, const struct store_death *death),
               void *keeper);
/* Deletes all rows of `message` or of `dead`; *count: how many. */
int store_purge(struct store *store, bool is_dead, int64_t *count);

#endif
