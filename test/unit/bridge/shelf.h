/* shelf: one open store for a case, and short words for what is done with it. */
#ifndef DRAWBRIDGE_TEST_BRIDGE_SHELF_H
#define DRAWBRIDGE_TEST_BRIDGE_SHELF_H

#include "disk.h"
#include "stage.h"

static struct store *store;

static inline void open_store(void) {
    if (store_open(stage_path, false, false, &store) != 0)
        fail_msg("open: %s", store_words(NULL));
}

static inline int up(void **state) {
    disk_errno = 0;
    disk_free_bytes = -1;
    store = NULL;
    return stage_up(state);
}

static inline int down(void **state) {
    disk_errno = 0;
    store_close(store);
    return stage_down(state);
}

static inline void reopen(void) {
    store_close(store);
    open_store();
}

/* Puts and frees; returns the number. */
static inline int64_t put(struct message *message) {
    int error = store_put(store, message);
    if (error != 0)
        fail_msg("put: %s", store_words(store));
    int64_t number = message->number;
    free(message);
    return number;
}

static inline int64_t put_ranked(enum lane lane, int16_t priority, const char *payload) {
    struct message *message = stage_message(lane, "t", payload);
    message->priority = priority;
    return put(message);
}

static const struct store_wish everything = {LANE_OUT, INT64_MIN, INT64_MAX, false,
                                             SIZE_MAX, SIZE_MAX,  NULL,      0};

/* The payloads in the order in which they are fetched, one letter each. */
static inline const char *fetched(struct store_wish wish) {
    static char letters[256];
    struct message *first;
    size_t used = 0;
    assert_int_equal(store_fetch(store, &wish, &first), 0);
    for (const struct message *message = first; message != NULL; message = message->next) {
        assert_int_equal(message->lane, wish.lane);
        letters[used++] = (char)message_payload(message).at[0];
    }
    letters[used] = 0;
    stage_free(first);
    return letters;
}

static inline void expect_depth(enum lane lane, int64_t count, int64_t bytes, int64_t oldest_s) {
    struct store_depth depth;
    assert_int_equal(store_depth(store, lane, &depth), 0);
    assert_int_equal(depth.count, count);
    assert_int_equal(depth.bytes, bytes);
    assert_int_equal(depth.oldest_s, oldest_s);
}

/* What another program, or a later version, wrote. */
static inline void change(const char *sql) {
    sqlite3 *base;
    assert_int_equal(sqlite3_open(stage_path, &base), SQLITE_OK);
    assert_int_equal(sqlite3_exec(base, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(base);
}

#endif
