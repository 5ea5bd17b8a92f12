/* store_inside: the parts of a store that its own files share. Nobody else includes this. */
#ifndef DRAWBRIDGE_BRIDGE_STORE_INSIDE_H
#define DRAWBRIDGE_BRIDGE_STORE_INSIDE_H

#include <sqlite3.h>

#include "bridge/store.h"

#define STORE_WORDS_SIZE 256
#define PATH_SIZE        4096

/* One row per statement: store.c prepares all of them when it opens, so that a file that lacks a table is
 * noticed then. */
enum statement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_PUT,
    STATEMENT_RESERVE,
    STATEMENT_NOTE,
    STATEMENT_RELEASE,
    STATEMENT_SIZE,
    STATEMENT_DELETE,
    STATEMENT_FORGET,
    STATEMENT_FORGET_ALL,
    STATEMENT_BURY,
    STATEMENT_NEXT_RANK,
    STATEMENT_LAST_RANK,
    STATEMENT_FIRST,
    STATEMENT_UP,
    STATEMENT_DOWN,
    STATEMENT_ROW,
    STATEMENT_EXPIRED,
    STATEMENT_RELEASED,
    STATEMENT_RECEIVED,
    STATEMENT_DEPTH,
    STATEMENT_DEAD_COUNT,
    STATEMENT_LAST_NUMBER,
    STATEMENT_FREE_PAGES,
    STATEMENT_SHRINK,
    STATEMENT_COUNT
};

/* What is known of the rows without asking; a rollback takes it back. */
struct store_known {
    int64_t count[LANE_COUNT], bytes[LANE_COUNT], dead_count;
    int64_t last_number; /* the largest that was given */
    int64_t reserved;    /* meta's last_number */
};

struct store {
    sqlite3 *base;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    char *path;
    uint64_t wal; /* inode of the journal; 0: not yet seen */
    int lock;     /* the open PATH-lock; -1: a reader */
    struct store_known known, before;
    bool has_shrunk; /* since the last checkpoint of ours */
    char words[STORE_WORDS_SIZE];
};

/* store_file.c. What they complain about is written to `words` (STORE_WORDS_SIZE). */
int store_prepare_folder(const char *path, char *words);
/* Gives the locked file. */
int store_take_lock(const char *path, int *lock, char *words);
/* Makes the file when it is missing. */
int store_prepare_file(const char *path, char *words);
/* A new name is on the disk only when its folder is. */
void store_sync_folder(const char *path);
/* The STORE_ error of an errno. */
int store_error_of_errno(int number);

/* store.c */
/* Writes down what SQLite said last; returns the STORE_ error. */
int store_fail(struct store *store, int code);
int store_fail_with(struct store *store, int error, const char *words); /* returns the error */
/* For what is asked once. A row's first column is put into *value, unless NULL. */
int store_ask(struct store *store, const char *text, int64_t *value);
/* The statement, ready for its values. */
sqlite3_stmt *store_statement(struct store *store, enum statement which);
/* Runs it to its end and takes it back; rows are thrown away. */
int store_run(struct store *store, sqlite3_stmt *statement);
/* Takes it back after `code` came from its last step: 0 for SQLITE_DONE and SQLITE_ROW. */
int store_done(struct store *store, sqlite3_stmt *statement, int code);
/* store_rows.c: deletes a row that is known to be there. */
int store_remove(struct store *store, int64_t number, enum lane lane, int64_t size);

/* store_order.c: the message of a row that STATEMENT_ROW, or one with the same columns, gives; NULL: memory
 * is out. */
struct message *store_message(sqlite3_stmt *statement);

#endif
