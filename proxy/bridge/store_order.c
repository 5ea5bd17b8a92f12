/* store_order: which rows come next, and which go first. All of it walks the one index, rank by rank, in
 * either direction:
 *
 *     message_order   lane | state | rank | number
 *                     out    0       -5     17 21 22       -> priority 5
 *                                    0      3 4 5 18 ...   -> no priority
 *                            1       0      1 2            -> released
 */
#include <limits.h>
#include <stdlib.h>

#include "bridge/store_inside.h"

#define NO_RANK INT_MIN

struct message *store_message(sqlite3_stmt *row) {
    struct span parts[3];
    for (int i = 0; i < 3; i++) {
        const void *at = sqlite3_column_blob(row, 7 + i);
        int size = sqlite3_column_bytes(row, 7 + i);
        parts[i] = span_of(at, at == NULL || size < 0 ? 0 : (size_t)size);
    }
    struct message *message = message_create(parts[0], parts[1], parts[2]);
    if (message == NULL)
        return NULL;
    message->number = sqlite3_column_int64(row, 0);
    message->lane = sqlite3_column_int(row, 1) == LANE_IN ? LANE_IN : LANE_OUT;
    message->priority = (int16_t)-sqlite3_column_int(row, 2);
    message->qos = (uint8_t)(sqlite3_column_int(row, 3) & 3);
    message->retain = sqlite3_column_int(row, 4) != 0;
    message->came_s = sqlite3_column_int64(row, 5);
    message->expires_s = sqlite3_column_int64(row, 6);
    return message;
}

/* The rank after `rank` of a lane's rows in a state; NO_RANK: there is none. */
static int next_rank(struct store *store, enum lane lane, int state, int *rank) {
    sqlite3_stmt *next = store_statement(store, STATEMENT_NEXT_RANK);
    sqlite3_bind_int(next, 1, (int)lane);
    sqlite3_bind_int(next, 2, state);
    sqlite3_bind_int(next, 3, *rank);
    int code = sqlite3_step(next);
    *rank = code == SQLITE_ROW ? sqlite3_column_int(next, 0) : NO_RANK;
    return store_done(store, next, code);
}

/* The rank that goes first when room is wanted. */
static int last_rank(struct store *store, enum lane lane, int *rank) {
    sqlite3_stmt *last = store_statement(store, STATEMENT_LAST_RANK);
    sqlite3_bind_int(last, 1, (int)lane);
    int code = sqlite3_step(last);
    *rank = code == SQLITE_ROW ? sqlite3_column_int(last, 0) : NO_RANK;
    return store_done(store, last, code);
}

/* The first row above a number; *number is 0 when there is none. */
static int first_above(struct store *store, enum lane lane, int state, int rank, int64_t above,
                       int64_t *number, int64_t *size) {
    sqlite3_stmt *first = store_statement(store, STATEMENT_FIRST);
    sqlite3_bind_int(first, 1, (int)lane);
    sqlite3_bind_int(first, 2, state);
    sqlite3_bind_int(first, 3, rank);
    sqlite3_bind_int64(first, 4, above);
    int code = sqlite3_step(first);
    *number = code == SQLITE_ROW ? sqlite3_column_int64(first, 0) : 0;
    *size = code == SQLITE_ROW ? sqlite3_column_int64(first, 1) : 0;
    return store_done(store, first, code);
}

/* The message with this number; NULL without a failure: it is gone. */
static int read_row(struct store *store, int64_t number, struct message **message) {
    sqlite3_stmt *row = store_statement(store, STATEMENT_ROW);
    sqlite3_bind_int64(row, 1, number);
    *message = NULL;
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW && (*message = store_message(row)) == NULL)
        code = SQLITE_NOMEM;
    return store_done(store, row, code);
}

/* ---- fetching ---- */

struct fetching {
    const struct store_wish *wish;
    size_t count, bytes;
    struct message **end;
};

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static bool is_skipped(const struct store_wish *wish, int64_t number) {
    return wish->skip_count != 0 &&
           bsearch(&number, wish->skip, wish->skip_count, sizeof number, compare) != NULL;
}

static bool is_enough(const struct fetching *fetching) {
    const struct store_wish *wish = fetching->wish;
    return fetching->count >= wish->count || (fetching->count != 0 && fetching->bytes >= wish->bytes);
}

static int fetch_rank(struct store *store, struct fetching *fetching, int rank) {
    const struct store_wish *wish = fetching->wish;
    sqlite3_stmt *walk = store_statement(store, wish->is_newest_first ? STATEMENT_DOWN : STATEMENT_UP);
    sqlite3_bind_int(walk, 1, (int)wish->lane);
    sqlite3_bind_int(walk, 2, rank);
    sqlite3_bind_int64(walk, 3, wish->above);
    sqlite3_bind_int64(walk, 4, wish->up_to);
    int code, error = 0;
    while (error == 0 && !is_enough(fetching) && (code = sqlite3_step(walk)) != SQLITE_DONE) {
        if (code != SQLITE_ROW)
            return store_done(store, walk, code);
        int64_t number = sqlite3_column_int64(walk, 0);
        if (is_skipped(wish, number))
            continue;
        error = read_row(store, number, fetching->end);
        if (*fetching->end == NULL)
            continue;
        fetching->count++;
        fetching->bytes += message_size(*fetching->end);
        fetching->end = &(*fetching->end)->next;
    }
    sqlite3_reset(walk);
    return error;
}

static void free_list(struct message **first) {
    for (struct message *next; *first != NULL; *first = next) {
        next = (*first)->next;
        free(*first);
    }
}

int store_fetch(struct store *store, const struct store_wish *wish, struct message **first) {
    *first = NULL;
    struct fetching fetching = {.wish = wish, .end = first};
    int rank = NO_RANK, error = 0;
    do {
        error = next_rank(store, wish->lane, 0, &rank);
        if (error == 0 && rank != NO_RANK)
            error = fetch_rank(store, &fetching, rank);
    } while (error == 0 && rank != NO_RANK && !is_enough(&fetching));
    if (error != 0)
        free_list(first);
    return error;
}

int store_fetch_released(struct store *store, enum lane lane, struct message **first) {
    *first = NULL;
    struct message **end = first;
    sqlite3_stmt *released = store_statement(store, STATEMENT_RELEASED);
    sqlite3_bind_int(released, 1, (int)lane);
    int code;
    while ((code = sqlite3_step(released)) == SQLITE_ROW) {
        struct message *message = message_create(SPAN_NONE, SPAN_NONE, SPAN_NONE);
        if (message == NULL) {
            code = SQLITE_NOMEM;
            break;
        }
        message->number = sqlite3_column_int64(released, 0);
        message->qos = (uint8_t)(sqlite3_column_int(released, 1) & 3);
        message->lane = (uint8_t)lane;
        *end = message;
        end = &message->next;
    }
    int error = store_done(store, released, code);
    if (error != 0)
        free_list(first);
    return error;
}

/* ---- dropping ---- */

static int drop(struct store *store, enum lane lane, int64_t number, int64_t size,
                const struct store_tell *tell) {
    int error = store_remove(store, number, lane, size);
    if (error == 0)
        tell->row(tell->keeper, lane, number, (size_t)size);
    return error;
}

/* Of both lanes' rows of the lowest priority the oldest; *number is 0 when none may go. */
static int find_oldest(struct store *store, int16_t priority, enum lane *lane, int64_t *number,
                       int64_t *size) {
    int ranks[LANE_COUNT], lowest = NO_RANK, error = 0;
    for (int i = 0; error == 0 && i < LANE_COUNT; i++) {
        error = last_rank(store, (enum lane)i, &ranks[i]);
        if (error == 0 && ranks[i] > lowest)
            lowest = ranks[i];
    }
    *number = 0;
    if (lowest == NO_RANK || lowest < -priority)
        return error;
    for (int i = 0; error == 0 && i < LANE_COUNT; i++) {
        int64_t first = 0, first_size = 0;
        if (ranks[i] == lowest)
            error = first_above(store, (enum lane)i, 0, lowest, INT64_MIN, &first, &first_size);
        if (first != 0 && (*number == 0 || first < *number)) {
            *lane = (enum lane)i;
            *number = first;
            *size = first_size;
        }
    }
    return error;
}

int store_drop_oldest(struct store *store, int64_t bytes, int64_t count, int16_t priority,
                      const struct store_tell *tell) {
    while (bytes > 0 || count > 0) {
        enum lane lane = LANE_OUT;
        int64_t number, size = 0;
        int error = find_oldest(store, priority, &lane, &number, &size);
        if (error == 0 && number != 0)
            error = drop(store, lane, number, size, tell);
        if (error != 0 || number == 0)
            return error;
        bytes -= size;
        count--;
    }
    return 0;
}

static int drop_expired(struct store *store, int64_t now_s, size_t *limit, const struct store_tell *tell) {
    while (*limit > 0) {
        sqlite3_stmt *expired = store_statement(store, STATEMENT_EXPIRED);
        sqlite3_bind_int64(expired, 1, now_s);
        int code = sqlite3_step(expired);
        int64_t number = code == SQLITE_ROW ? sqlite3_column_int64(expired, 0) : 0;
        enum lane lane = code == SQLITE_ROW && sqlite3_column_int(expired, 1) == LANE_IN ? LANE_IN : LANE_OUT;
        int64_t size = code == SQLITE_ROW ? sqlite3_column_int64(expired, 2) : 0;
        int error = store_done(store, expired, code);
        if (error == 0 && number != 0)
            error = drop(store, lane, number, size, tell);
        if (error != 0 || number == 0)
            return error;
        --*limit;
    }
    return 0;
}

static int read_came(struct store *store, int64_t number, int64_t *came_s) {
    sqlite3_stmt *row = store_statement(store, STATEMENT_ROW);
    sqlite3_bind_int64(row, 1, number);
    int code = sqlite3_step(row);
    *came_s = code == SQLITE_ROW ? sqlite3_column_int64(row, 5) : 0;
    return store_done(store, row, code);
}

/* By number, up to the first that is young enough: who came later has a higher one. A clock that was set only
 * delays it. */
static int drop_aged(struct store *store, enum lane lane, int rank, int64_t came_before_s, size_t *limit,
                     const struct store_tell *tell) {
    while (*limit > 0) {
        int64_t number, size, came_s = 0;
        int error = first_above(store, lane, 0, rank, INT64_MIN, &number, &size);
        if (error == 0 && number != 0)
            error = read_came(store, number, &came_s);
        if (error != 0 || number == 0 || came_s >= came_before_s)
            return error;
        error = drop(store, lane, number, size, tell);
        if (error != 0)
            return error;
        --*limit;
    }
    return 0;
}

int store_drop_old(struct store *store, int64_t now_s, int64_t came_before_s, size_t limit,
                   const struct store_tell *tell) {
    int error = drop_expired(store, now_s, &limit, tell);
    for (int lane = 0; error == 0 && lane < LANE_COUNT; lane++) {
        int rank = NO_RANK;
        do {
            error = next_rank(store, (enum lane)lane, 0, &rank);
            if (error == 0 && rank != NO_RANK)
                error = drop_aged(store, (enum lane)lane, rank, came_before_s, &limit, tell);
        } while (error == 0 && rank != NO_RANK && limit > 0);
    }
    return error;
}

int store_depth(struct store *store, enum lane lane, struct store_depth *depth) {
    *depth = (struct store_depth){.count = store->known.count[lane], .bytes = store->known.bytes[lane]};
    int64_t oldest = 0, size;
    int error = 0;
    for (int state = 0; error == 0 && depth->count != 0 && state <= 1; state++) {
        int rank = NO_RANK;
        while (error == 0 && (error = next_rank(store, lane, state, &rank)) == 0 && rank != NO_RANK) {
            int64_t number = 0;
            error = first_above(store, lane, state, rank, INT64_MIN, &number, &size);
            if (number != 0 && (oldest == 0 || number < oldest))
                oldest = number;
        }
    }
    return error == 0 && oldest != 0 ? read_came(store, oldest, &depth->oldest_s) : error;
}
