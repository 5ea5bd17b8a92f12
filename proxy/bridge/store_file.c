/* store_file: what has to do with names in the file system: the folder, who owns the file, setting it aside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bridge/store_inside.h"

int store_error_of_errno(int number) {
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return STORE_FULL;
    case EROFS:
    case EACCES:
    case EPERM: return STORE_READONLY;
    default: return STORE_FAILED;
    }
}

/* Too long a path is cut. */
__attribute__((format(printf, 2, 3))) static void say(char *words, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(words, STORE_WORDS_SIZE, format, list);
    va_end(list);
}

static int complain(char *words, const char *what, const char *path) {
    int number = errno;
    say(words, "%s %s: %s", what, path, strerror(number));
    return store_error_of_errno(number);
}

/* False: the name is too long. */
static bool name_with(char *room, const char *path, const char *suffix) {
    return snprintf(room, PATH_SIZE, "%s%s", path, suffix) < PATH_SIZE;
}

static void folder_of(char *room, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        strcpy(room, ".");
    else
        snprintf(room, PATH_SIZE, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

void store_sync_folder(const char *path) {
    char folder[PATH_SIZE];
    folder_of(folder, path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* Who may write the folder may put another file in our place, or read what a mistake leaves there. */
int store_prepare_folder(const char *path, char *words) {
    char folder[PATH_SIZE], longest[PATH_SIZE];
    if (!name_with(longest, path, ".corrupt-00000000T000000Z.99-wal")) {
        errno = ENAMETOOLONG;
        return complain(words, "cannot use", path);
    }
    folder_of(folder, path);
    if (mkdir(folder, 0700) == 0)
        store_sync_folder(folder);
    else if (errno != EEXIST)
        return complain(words, "cannot make the folder", folder);
    struct stat is;
    if (stat(folder, &is) != 0)
        return complain(words, "cannot look at the folder", folder);
    if (!S_ISDIR(is.st_mode)) {
        say(words, "%s is no folder", folder);
        return STORE_FAILED;
    }
    if ((is.st_mode & 022) != 0) {
        say(words, "others may write in the folder %s; `chmod go-w` makes it safe", folder);
        return STORE_FAILED;
    }
    return 0;
}

/* root that looks after somebody else's queue leaves nothing behind that its owner cannot open. */
static void give_to_owner_of_folder(int fd, const char *path) {
    char folder[PATH_SIZE];
    struct stat is;
    folder_of(folder, path);
    if (geteuid() == 0 && stat(folder, &is) == 0 && is.st_uid != 0 && fchown(fd, is.st_uid, is.st_gid) != 0)
        return; /* then root remains the only one who may */
}

static int say_who_has_it(int fd, const char *path, char *words) {
    char owner[24] = "";
    if (pread(fd, owner, sizeof owner - 1, 0) <= 0 || atol(owner) <= 0)
        strcpy(owner, "?");
    say(words, "%s is in use by another drawbridge (process %ld)", path, atol(owner));
    return STORE_BUSY;
}

/* A file of its own, because SQLite's locks are let go of as soon as any descriptor of the database is
 * closed, and because readers must not be kept out. It stays: removing it would let a third one lock a file
 * that has no name any more. */
int store_take_lock(const char *path, int *lock, char *words) {
    char name[PATH_SIZE], owner[24];
    name_with(name, path, "-lock");
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return complain(words, "cannot open", name);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error =
            errno == EWOULDBLOCK ? say_who_has_it(fd, path, words) : complain(words, "cannot lock", name);
        close(fd);
        return error;
    }
    give_to_owner_of_folder(fd, path);
    int size = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, owner, (size_t)size, 0) != size)
        owner[0] = 0; /* it is only for a sentence */
    *lock = fd;
    return 0;
}

/* SQLite would make the file with the modes that the umask leaves. */
int store_prepare_file(const char *path, char *words) {
    char wal[PATH_SIZE];
    struct stat is, wal_is;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return complain(words, "cannot open", path);
    give_to_owner_of_folder(fd, path);
    int error = 0;
    if (fstat(fd, &is) != 0) {
        error = complain(words, "cannot look at", path);
    } else if (!S_ISREG(is.st_mode)) {
        say(words, "%s is no file", path);
        error = STORE_FAILED;
    } else if ((is.st_mode & 077) != 0 && fchmod(fd, 0600) != 0) {
        error = complain(words, "cannot keep others from reading", path);
    }
    close(fd);
    name_with(wal, path, "-wal");
    if (error == 0 && is.st_size == 0 && stat(wal, &wal_is) == 0 && wal_is.st_size > 0) {
        /* Its pages belong to a file that is gone; put under a new one they would be taken for its own. */
        say(words, "%s is there, but not what it belongs to", wal);
        error = STORE_CORRUPT;
    }
    return error;
}

bool store_set_aside(const char *path, int64_t now_s, char *room, size_t room_size) {
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char from[PATH_SIZE], to[PATH_SIZE], stamp[32];
    time_t now = (time_t)now_s;
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &parts);
    int size = snprintf(room, room_size, "%s.corrupt-%s", path, stamp);
    for (int i = 2; size > 0 && (size_t)size < room_size && access(room, F_OK) == 0 && i < 100; i++)
        size = snprintf(room, room_size, "%s.corrupt-%s.%d", path, stamp, i);
    if (size <= 0 || (size_t)size >= room_size || access(room, F_OK) == 0)
        return false;
    /* The file itself goes first: after a crash in between, a journal without its file is found corrupt and
     * goes too. */
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (!name_with(from, path, suffixes[i]) || !name_with(to, room, suffixes[i]))
            return false;
        if (rename(from, to) != 0 && errno != ENOENT)
            return false;
    }
    store_sync_folder(path);
    return true;
}
