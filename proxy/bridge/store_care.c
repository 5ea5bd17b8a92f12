/* store_care: the file as a whole: is there room, is it still there, can it be smaller? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "bridge/store_inside.h"

/* What stays free for the deletes of a queue that is to be drained: the journal at its full length, and the
 * pages that a checkpoint adds to the file. */
#define RESERVE_BYTES (8 << 20)
/* Fewer free pages than this, and less than a quarter of the file, wait for the next messages. */
#define SPARE_PAGES 1024
#define PAGE_BYTES  4096

static int ask_pages(struct store *store, int64_t *free_pages, int64_t *pages) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_FREE_PAGES);
    int code = sqlite3_step(statement);
    *free_pages = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    *pages = code == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : 0;
    return store_done(store, statement, code);
}

int store_check_room(struct store *store, size_t size) {
    struct statvfs is;
    int64_t free_pages, pages;
    if (statvfs(store->path, &is) != 0)
        return 0; /* a write will tell */
    uint64_t room = is.f_bavail * (uint64_t)is.f_frsize;
    if (room >= RESERVE_BYTES + (uint64_t)size)
        return 0;
    /* What was deleted in the file may be filled again. */
    if (ask_pages(store, &free_pages, &pages) == 0 &&
        room + (uint64_t)free_pages * PAGE_BYTES >= RESERVE_BYTES + (uint64_t)size)
        return 0;
    snprintf(store->words, sizeof store->words, "only %llu KiB are free on the disk",
             (unsigned long long)(room / 1024));
    return STORE_FULL;
}

bool store_is_moved(struct store *store) {
    int is_moved = 0;
    if (sqlite3_file_control(store->base, "main", SQLITE_FCNTL_HAS_MOVED, &is_moved) == SQLITE_OK &&
        is_moved != 0)
        return true;
    struct stat is;
    char wal[PATH_SIZE];
    snprintf(wal, sizeof wal, "%s-wal", store->path);
    if (stat(wal, &is) != 0)
        return store->wal != 0;
    if (store->wal == 0)
        store->wal = is.st_ino;
    return store->wal != is.st_ino;
}

static int copy_to(struct store *store, const char *copy) {
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(store->base, "VACUUM INTO ?1", -1, &statement, NULL);
    if (code != SQLITE_OK)
        return store_fail(store, code);
    sqlite3_bind_text(statement, 1, copy, -1, SQLITE_STATIC);
    int error = store_run(store, statement);
    sqlite3_finalize(statement);
    return error;
}

/* SQLite leaves it to us to have the copy on the disk. */
static int sync_file(struct store *store, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0
                    ? store_fail_with(store, store_error_of_errno(errno), "the copy cannot be written")
                    : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* What is in its place goes out of the way; without a file there, the journal beside it is ours, and in the
 * copy. */
static bool clear_place(struct store *store) {
    char name[PATH_SIZE + 64];
    if (access(store->path, F_OK) == 0)
        return store_set_aside(store->path, (int64_t)time(NULL), name, sizeof name);
    snprintf(name, sizeof name, "%s-wal", store->path);
    unlink(name);
    snprintf(name, sizeof name, "%s-shm", store->path);
    unlink(name);
    return true;
}

int store_rescue(struct store *store) {
    int is_moved = 0;
    sqlite3_file_control(store->base, "main", SQLITE_FCNTL_HAS_MOVED, &is_moved);
    if (is_moved == 0) /* only the journal is gone: what it holds goes into the file */
        return store_ask(store, "PRAGMA wal_checkpoint(FULL)", NULL);
    char copy[PATH_SIZE];
    snprintf(copy, sizeof copy, "%s-rescue", store->path);
    int error = store_prepare_folder(store->path, store->words);
    if (error == 0) {
        unlink(copy);
        error = copy_to(store, copy);
    }
    if (error == 0)
        error = sync_file(store, copy);
    if (error == 0 && (!clear_place(store) || rename(copy, store->path) != 0))
        error = store_fail_with(store, STORE_FAILED, "the rescued file cannot be put in its place");
    if (error == 0)
        store_sync_folder(store->path);
    return error;
}

int store_shrink(struct store *store, bool *has_more) {
    int64_t free_pages, pages;
    int error = ask_pages(store, &free_pages, &pages);
    *has_more = error == 0 && free_pages > SPARE_PAGES && free_pages > pages / 4;
    if (*has_more) {
        store->has_shrunk = true;
        return store_run(store, store_statement(store, STATEMENT_SHRINK));
    }
    if (error == 0 && store->has_shrunk) {
        /* The file itself becomes shorter when the journal goes into it. */
        error = store_ask(store, "PRAGMA wal_checkpoint(PASSIVE)", NULL);
        store->has_shrunk = false;
    }
    return error;
}
