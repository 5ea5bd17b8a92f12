/* store: opening, transactions, errors. store_rows.c has what is done with rows, store_order.c in which order
 * they go. */
#include "bridge/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bridge/store_inside.h"

/* "DBrq", in the file's header: so that a database of somebody else is not taken for ours. */
#define APPLICATION_ID 0x44427271
#define SCHEMA_VERSION 1
/* Only somebody with sqlite3 in his hand can make us wait. */
#define BUSY_TIMEOUT_MS 250
/* Every page of a file up to this size is looked at before the file is trusted with a message; a larger one
 * would keep the bridge waiting, and its damage is found when it is touched. */
#define CHECK_PAGES 16384
/* Numbers are reserved in advance, so that not every transaction has to write down the last one. */
#define RESERVED_NUMBERS 1024
/* A journal that a long reader made grow shrinks to this again. */
#define JOURNAL_BYTES "4194304"

/* `size` in the index: counting at the start, dropping and fetching do not have to read the rows. */
static const char schema[] =
    "CREATE TABLE message(number INTEGER PRIMARY KEY, lane INTEGER NOT NULL, state INTEGER NOT NULL,"
    " rank INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, came_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL, size INTEGER NOT NULL, topic BLOB, props BLOB, payload BLOB);"
    "CREATE INDEX message_order ON message(lane, state, rank, number, size);"
    "CREATE INDEX message_expiry ON message(expires_s) WHERE expires_s > 0;"
    "CREATE TABLE received(lane INTEGER NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY(lane, packet_id))"
    " WITHOUT ROWID;"
    "CREATE TABLE dead(number INTEGER PRIMARY KEY, lane INTEGER NOT NULL, rank INTEGER NOT NULL,"
    " qos INTEGER NOT NULL, retain INTEGER NOT NULL, came_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    " size INTEGER NOT NULL, topic BLOB, props BLOB, payload BLOB, died_s INTEGER NOT NULL, reason TEXT NOT "
    "NULL);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO meta VALUES('last_number', 0);";

#define INDEXED "message INDEXED BY message_order"

static const char *const texts[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_PUT] = "INSERT INTO message(number, lane, state, rank, qos, retain, came_s, expires_s, size, "
                      "topic, props, payload)"
                      " VALUES(?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [STATEMENT_RESERVE] = "INSERT OR REPLACE INTO meta VALUES('last_number', ?1)",
    [STATEMENT_NOTE] = "INSERT OR IGNORE INTO received VALUES(?1, ?2)",
    [STATEMENT_RELEASE] = "UPDATE message SET state = 1 WHERE number = ?1",
    [STATEMENT_SIZE] = "SELECT lane, size FROM message WHERE number = ?1",
    [STATEMENT_DELETE] = "DELETE FROM message WHERE number = ?1",
    [STATEMENT_FORGET] = "DELETE FROM received WHERE lane = ?1 AND packet_id = ?2",
    [STATEMENT_FORGET_ALL] = "DELETE FROM received WHERE lane = ?1",
    [STATEMENT_BURY] = "INSERT OR REPLACE INTO dead SELECT number, lane, rank, qos, retain, came_s, "
                       "expires_s, size, topic, props, payload, ?2, ?3"
                       " FROM message WHERE number = ?1",
    [STATEMENT_NEXT_RANK] =
        "SELECT rank FROM " INDEXED " WHERE lane = ?1 AND state = ?2 AND rank > ?3 ORDER BY rank LIMIT 1",
    [STATEMENT_LAST_RANK] =
        "SELECT rank FROM " INDEXED " WHERE lane = ?1 AND state = 0 ORDER BY rank DESC LIMIT 1",
    [STATEMENT_FIRST] =
        "SELECT number, size FROM " INDEXED
        " WHERE lane = ?1 AND state = ?2 AND rank = ?3 AND number > ?4 ORDER BY number LIMIT 1",
    [STATEMENT_UP] =
        "SELECT number, size FROM " INDEXED
        " WHERE lane = ?1 AND state = 0 AND rank = ?2 AND number > ?3 AND number <= ?4 ORDER BY number",
    [STATEMENT_DOWN] =
        "SELECT number, size FROM " INDEXED
        " WHERE lane = ?1 AND state = 0 AND rank = ?2 AND number > ?3 AND number <= ?4 ORDER BY number DESC",
    [STATEMENT_ROW] = "SELECT number, lane, rank, qos, retain, came_s, expires_s, topic, props, payload FROM "
                      "message WHERE number = ?1",
    [STATEMENT_EXPIRED] = "SELECT number, lane, size FROM message WHERE expires_s > 0 AND expires_s <= ?1 "
                          "AND state = 0 LIMIT 1",
    [STATEMENT_RELEASED] = "SELECT number, qos FROM message WHERE number IN"
                           " (SELECT number FROM " INDEXED " WHERE lane = ?1 AND state = 1) ORDER BY number",
    [STATEMENT_RECEIVED] = "SELECT packet_id FROM received WHERE lane = ?1",
    [STATEMENT_DEPTH] = "SELECT count(*), ifnull(sum(size), 0) FROM " INDEXED " WHERE lane = ?1",
    [STATEMENT_DEAD_COUNT] = "SELECT count(*) FROM dead",
    [STATEMENT_LAST_NUMBER] =
        "SELECT max((SELECT ifnull(max(number), 0) FROM message), (SELECT ifnull(max(number), 0) FROM dead),"
        " ifnull((SELECT value FROM meta WHERE name = 'last_number'), 0))",
    [STATEMENT_FREE_PAGES] =
        "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count",
    [STATEMENT_SHRINK] = "PRAGMA incremental_vacuum(512)",
};

static _Thread_local char open_words[STORE_WORDS_SIZE];

const char *store_words(const struct store *store) {
    return store == NULL ? open_words : store->words;
}

/* ---- errors and statements ---- */

/* SQLite keeps the errno of what failed with the file, which may be the journal. */
static int errno_of(sqlite3 *base) {
    sqlite3_file *file = NULL;
    int number = 0;
    if (sqlite3_file_control(base, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) == SQLITE_OK &&
        file != NULL && file->pMethods != NULL)
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
    if (number == 0)
        sqlite3_file_control(base, "main", SQLITE_FCNTL_LAST_ERRNO, &number);
    return number != 0 ? number : sqlite3_system_errno(base);
}

static bool is_of_the_system(int code) {
    return (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
}

static int error_of(sqlite3 *base, int code) {
    if (is_of_the_system(code))
        return store_error_of_errno(errno_of(base));
    switch (code & 0xff) {
    case SQLITE_FULL: return STORE_FULL;
    case SQLITE_READONLY:
    case SQLITE_PERM: return STORE_READONLY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return STORE_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return STORE_BUSY;
    default: return STORE_FAILED;
    }
}

int store_fail(struct store *store, int code) {
    int number = is_of_the_system(code) ? errno_of(store->base) : 0;
    snprintf(store->words, sizeof store->words, "%s%s%s", sqlite3_errmsg(store->base),
             number != 0 ? ": " : "", number != 0 ? strerror(number) : "");
    return error_of(store->base, code);
}

sqlite3_stmt *store_statement(struct store *store, enum statement which) {
    return store->statements[which];
}

int store_done(struct store *store, sqlite3_stmt *statement, int code) {
    int error = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : store_fail(store, code);
    sqlite3_reset(statement);
    return error;
}

int store_run(struct store *store, sqlite3_stmt *statement) {
    int code;
    do {
        code = sqlite3_step(statement);
    } while (code == SQLITE_ROW);
    return store_done(store, statement, code);
}

int store_ask(struct store *store, const char *text, int64_t *value) {
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(store->base, text, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return store_fail(store, code);
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW && value != NULL)
        *value = sqlite3_column_int64(statement, 0);
    while (code == SQLITE_ROW)
        code = sqlite3_step(statement);
    int error = code == SQLITE_DONE ? 0 : store_fail(store, code);
    sqlite3_finalize(statement);
    return error;
}

/* ---- opening ---- */

int store_fail_with(struct store *store, int error, const char *words) {
    snprintf(store->words, sizeof store->words, "%s", words);
    return error;
}

static int set_journal(struct store *store, bool is_relaxed) {
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(store->base, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (code != SQLITE_OK)
        return store_fail(store, code);
    code = sqlite3_step(statement);
    const char *mode = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    bool is_wal = mode != NULL && strcmp(mode, "wal") == 0;
    int error = code == SQLITE_ROW ? 0 : store_fail(store, code);
    sqlite3_finalize(statement);
    if (error == 0 && !is_wal)
        error =
            store_fail_with(store, STORE_FAILED, "the file system has no shared memory for a journal (WAL)");
    if (error == 0)
        error =
            store_ask(store, is_relaxed ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", NULL);
    if (error == 0)
        error = store_ask(store, "PRAGMA journal_size_limit = " JOURNAL_BYTES, NULL);
    return error;
}

static int make_schema(struct store *store) {
    char text[96];
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             APPLICATION_ID, SCHEMA_VERSION);
    int code = sqlite3_exec(store->base, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->base, schema, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->base, text, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        return 0;
    int error = store_fail(store, code);
    store_rollback(store);
    return error;
}

/* Is the file empty, ours, or none of our business? */
static int check_version(struct store *store, bool *is_empty) {
    int64_t version = 0, application = 0, tables = 0;
    int error = store_ask(store, "PRAGMA user_version", &version);
    if (error == 0)
        error = store_ask(store, "PRAGMA application_id", &application);
    if (error == 0)
        error = store_ask(store, "SELECT count(*) FROM sqlite_schema", &tables);
    if (error != 0)
        return error;
    *is_empty = version == 0 && application == 0 && tables == 0;
    if (*is_empty || (application == APPLICATION_ID && version == SCHEMA_VERSION))
        return 0;
    if (application != APPLICATION_ID)
        return store_fail_with(store, STORE_FAILED, "it is a database, but not the queue of a bridge");
    snprintf(store->words, sizeof store->words,
             "a newer drawbridge wrote it (format %lld, this one knows %d)", (long long)version,
             SCHEMA_VERSION);
    return STORE_FAILED;
}

static int check_pages(struct store *store) {
    int64_t pages = 0;
    int error = store_ask(store, "PRAGMA page_count", &pages);
    if (error != 0 || pages > CHECK_PAGES)
        return error;
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(store->base, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code != SQLITE_OK)
        return store_fail(store, code);
    code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        error = store_fail(store, code);
    } else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
        error = store_fail_with(store, STORE_CORRUPT, (const char *)sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return error;
}

static int prepare(struct store *store) {
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(store->base, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &store->statements[i], NULL);
        if (code != SQLITE_OK)
            return store_fail(store, code);
    }
    return 0;
}

/* Counts once; from then on each change is added. */
static int count(struct store *store) {
    struct store_known *known = &store->known;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        sqlite3_stmt *depth = store_statement(store, STATEMENT_DEPTH);
        sqlite3_bind_int(depth, 1, lane);
        int code = sqlite3_step(depth);
        if (code == SQLITE_ROW) {
            known->count[lane] = sqlite3_column_int64(depth, 0);
            known->bytes[lane] = sqlite3_column_int64(depth, 1);
        }
        int error = store_done(store, depth, code);
        if (error != 0)
            return error;
    }
    static const enum statement which[] = {STATEMENT_DEAD_COUNT, STATEMENT_LAST_NUMBER};
    int64_t *const values[] = {&known->dead_count, &known->last_number};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *statement = store_statement(store, which[i]);
        int code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            *values[i] = sqlite3_column_int64(statement, 0);
        int error = store_done(store, statement, code);
        if (error != 0)
            return error;
    }
    known->reserved = known->last_number;
    store->before = *known;
    return 0;
}

/* Debian's SQLite wipes what is deleted, which is one more page to write for each; the file is ours alone to
 * read. */
static int set_manners(struct store *store) {
    static const char *const settings[] = {"PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA secure_delete = OFF",
                                           "PRAGMA temp_store = MEMORY", "PRAGMA cell_size_check = ON",
                                           "PRAGMA trusted_schema = OFF"};
    int error = 0;
    for (size_t i = 0; error == 0 && i < sizeof settings / sizeof settings[0]; i++)
        error = store_ask(store, settings[i], NULL);
    return error;
}

static int open_base(struct store *store, bool is_relaxed, bool is_reader) {
    int flags = SQLITE_OPEN_NOMUTEX | (is_reader ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
    int code = sqlite3_open_v2(store->path, &store->base, flags, NULL);
    if (store->base == NULL)
        return store_fail_with(store, STORE_FAILED, "memory is out");
    if (code != SQLITE_OK)
        return store_fail(store, code);
    sqlite3_extended_result_codes(store->base, 1);
    sqlite3_busy_timeout(store->base, BUSY_TIMEOUT_MS);
    int error = is_reader ? 0 : set_manners(store);
    bool is_empty = false;
    if (error == 0)
        error = check_version(store, &is_empty);
    if (error == 0 && is_reader)
        return is_empty ? store_fail_with(store, STORE_FAILED, "it is empty") : prepare(store);
    if (error == 0)
        error = set_journal(store, is_relaxed);
    if (error == 0)
        error = is_empty ? make_schema(store) : check_pages(store);
    return error == 0 ? prepare(store) : error;
}

/* Its statistics would be one lock for all queues, taken with each allocation. */
static void set_up(void) {
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int store_open(const char *path, bool is_relaxed, bool is_reader, struct store **opened) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
    *opened = NULL;
    struct store *store = calloc(1, sizeof *store);
    char *copy = strdup(path);
    if (store == NULL || copy == NULL) {
        free(store);
        free(copy);
        snprintf(open_words, sizeof open_words, "memory is out");
        return STORE_FAILED;
    }
    store->path = copy;
    store->lock = -1;
    int error = 0;
    if (!is_reader) {
        error = store_prepare_folder(path, store->words);
        if (error == 0)
            error = store_take_lock(path, &store->lock, store->words);
        if (error == 0)
            error = store_prepare_file(path, store->words);
    }
    if (error == 0)
        error = open_base(store, is_relaxed, is_reader);
    if (error == 0)
        error = count(store);
    if (error == STORE_CORRUPT && is_reader && store->statements[STATEMENT_COUNT - 1] != NULL)
        error = 0; /* he may find some of it */
    if (error == 0) {
        *opened = store;
        return 0;
    }
    memcpy(open_words, store->words, sizeof open_words);
    store_close(store);
    return error;
}

/* The numbers that were reserved and not given are given back. */
static void settle(struct store *store) {
    sqlite3_stmt *reserve = store_statement(store, STATEMENT_RESERVE);
    if (store->lock < 0 || reserve == NULL || store->known.reserved == store->known.last_number)
        return;
    sqlite3_bind_int64(reserve, 1, store->known.last_number);
    store_run(store, reserve);
}

void store_close(struct store *store) {
    if (store == NULL)
        return;
    settle(store);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->base);
    if (store->lock >= 0)
        close(store->lock); /* last: nobody else may come before SQLite is out */
    free(store->path);
    free(store);
}

/* ---- transactions ---- */

int store_begin(struct store *store) {
    store->before = store->known;
    return store_run(store, store_statement(store, STATEMENT_BEGIN));
}

static int reserve_numbers(struct store *store) {
    struct store_known *known = &store->known;
    if (known->last_number <= known->reserved)
        return 0;
    sqlite3_stmt *reserve = store_statement(store, STATEMENT_RESERVE);
    known->reserved = known->last_number + RESERVED_NUMBERS;
    sqlite3_bind_int64(reserve, 1, known->reserved);
    return store_run(store, reserve);
}

int store_commit(struct store *store) {
    int error = reserve_numbers(store);
    return error != 0 ? error : store_run(store, store_statement(store, STATEMENT_COMMIT));
}

void store_rollback(struct store *store) {
    if (!sqlite3_get_autocommit(store->base))
        sqlite3_exec(store->base, "ROLLBACK", NULL, NULL, NULL);
    store->known = store->before;
}

int store_skip_numbers(struct store *store, int64_t number) {
    if (number <= store->known.last_number)
        return 0;
    int error = store_begin(store);
    store->known.last_number = number;
    if (error == 0)
        error = store_commit(store);
    if (error != 0)
        store_rollback(store);
    return error;
}
