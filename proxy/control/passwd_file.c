#include "control/passwd_file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/random.h"
#include "policy/lines.h"

#define FILE_SIZE_MAX (256u * 1024 * 1024)

/* Text that grows in a room made large enough beforehand. */
static void append(char *room, size_t *size, struct span bytes) {
    if (bytes.size != 0)
        memcpy(room + *size, bytes.at, bytes.size);
    *size += bytes.size;
}

static void append_account(char *room, size_t *size, const struct passwd_change *change) {
    append(room, size, change->username);
    append(room, size, SPAN_LITERAL(":"));
    append(room, size, span_of_text(change->hash));
}

/* As policy/accounts.h reads it: comments have their # in the first byte, blanks around a name do not count.
 */
static bool is_line_of(struct span line, struct span username) {
    const uint8_t *colon = line.size == 0 || line.at[0] == '#' ? NULL : memchr(line.at, ':', line.size);
    return colon != NULL && span_is_equal(lines_trim(span_first(line, (size_t)(colon - line.at))), username);
}

char *passwd_file_edit(struct span text, const struct passwd_change *change, size_t *size, bool *found) {
    size_t hash_size = change->hash == NULL ? 0 : strlen(change->hash);
    char *room = malloc(text.size + change->username.size + hash_size + 4);
    *size = 0;
    *found = false;
    if (room == NULL)
        return NULL;
    struct span rest = text, line;
    for (const uint8_t *start = text.at; lines_next(&rest, &line); start = rest.at) {
        struct span whole = span_of(start, (size_t)(rest.at - start)); /* with its LF, if it has one */
        if (!is_line_of(line, change->username)) {
            append(room, size, whole);
            continue;
        }
        if (change->hash != NULL && !*found) {
            size_t end_size = line.size != 0 && line.at[line.size - 1] == '\r' ? 1 : 0;
            append_account(room, size, change);
            append(room, size, span_after(whole, line.size - end_size));
        }
        *found = true;
    }
    if (change->hash == NULL || *found)
        return room;
    if (*size != 0 && room[*size - 1] != '\n')
        append(room, size, SPAN_LITERAL("\n"));
    append_account(room, size, change);
    append(room, size, SPAN_LITERAL("\n"));
    return room;
}

/* One run of the applet: what is open and has a name. */
struct editing {
    const struct passwd_change *change;
    FILE *complaints;
    int folder;       /* locked as long as it is open; closing it unlocks */
    const char *name; /* of the file in the folder */
    bool exists;
    struct stat status; /* of the old file, if it exists */
    char *old_text;
    size_t old_size;
    char temporary[64]; /* its name in the folder; empty when there is none */
};

static bool complain(const struct editing *editing, const char *what) {
    fprintf(editing->complaints, "drawbridge passwd: %s: %s\n", editing->change->path, what);
    return false;
}

static bool complain_of_errno(const struct editing *editing, const char *what) {
    fprintf(editing->complaints, "drawbridge passwd: %s: %s: %s\n", editing->change->path, what,
            strerror(errno));
    return false;
}

static bool open_folder(struct editing *editing) {
    const char *path = editing->change->path, *slash = strrchr(path, '/');
    editing->name = slash == NULL ? path : slash + 1;
    if (editing->name[0] == '\0' || strcmp(editing->name, ".") == 0 || strcmp(editing->name, "..") == 0)
        return complain(editing, "is a folder, not a file");
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (folder == NULL)
        return complain(editing, "memory is out");
    editing->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (editing->folder < 0)
        return complain_of_errno(editing, "cannot open its folder");
    while (flock(editing->folder, LOCK_EX) != 0)
        if (errno != EINTR)
            return complain_of_errno(editing, "cannot lock its folder");
    return true;
}

static bool read_all(struct editing *editing, int file) {
    size_t room_size = (size_t)editing->status.st_size + 1;
    editing->old_text = malloc(room_size);
    if (editing->old_text == NULL)
        return complain(editing, "memory is out");
    while (editing->old_size < room_size) {
        ssize_t got = read(file, editing->old_text + editing->old_size, room_size - editing->old_size);
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR)
            return complain_of_errno(editing, "cannot read it");
        if (got > 0)
            editing->old_size += (size_t)got;
    }
    return complain(editing, "grows while it is read");
}

static bool read_old(struct editing *editing) {
    /* O_NONBLOCK: a fifo does not make us wait before it is refused. */
    int file = openat(editing->folder, editing->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return editing->change->is_new_file || complain(editing, "does not exist; -c creates it");
    if (file < 0 && errno == ELOOP)
        return complain(editing, "is a symbolic link, name the file itself");
    if (file < 0)
        return complain_of_errno(editing, "cannot open it");
    bool is_read = true;
    editing->exists = true;
    if (fstat(file, &editing->status) != 0)
        is_read = complain_of_errno(editing, "cannot look at it");
    else if (!S_ISREG(editing->status.st_mode))
        is_read = complain(editing, "is no regular file");
    else if (editing->status.st_size > FILE_SIZE_MAX)
        is_read = complain(editing, "is too large for a password file");
    else if (!editing->change->is_new_file)
        is_read = read_all(editing, file);
    close(file);
    return is_read;
}

static int open_temporary(struct editing *editing) {
    for (int attempt = 0; attempt < 100; attempt++) {
        uint64_t number;
        if (!random_fill(&number, sizeof number)) {
            errno = EAGAIN;
            return -1;
        }
        snprintf(editing->temporary, sizeof editing->temporary, ".drawbridge-passwd-%016llx",
                 (unsigned long long)number);
        int file = openat(editing->folder, editing->temporary,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file >= 0 || errno != EEXIST)
            return file;
    }
    return -1;
}

static bool write_all(int file, const char *text, size_t size) {
    while (size != 0) {
        ssize_t put = write(file, text, size);
        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0) {
            text += put;
            size -= (size_t)put;
        }
    }
    return true;
}

/* Owner and group first: chown takes rights away that the mode then gives to the right ones. */
static bool keep_rights(const struct editing *editing, int file) {
    struct stat now;
    if (fstat(file, &now) != 0)
        return false;
    if ((now.st_uid != editing->status.st_uid || now.st_gid != editing->status.st_gid) &&
        fchown(file, editing->status.st_uid, editing->status.st_gid) != 0)
        return false;
    return fchmod(file, editing->status.st_mode & 0777) == 0;
}

static bool write_temporary(struct editing *editing, const char *text, size_t size) {
    int file = open_temporary(editing);
    if (file < 0) {
        editing->temporary[0] = '\0';
        return complain_of_errno(editing, "cannot create a temporary file beside it");
    }
    bool is_written = true;
    if (editing->exists && !keep_rights(editing, file))
        is_written = complain_of_errno(editing, "cannot keep its owner, group and mode");
    else if (!write_all(file, text, size) || fsync(file) != 0)
        is_written = complain_of_errno(editing, "cannot write a temporary file beside it");
    if (close(file) != 0 && is_written)
        is_written = complain_of_errno(editing, "cannot write a temporary file beside it");
    return is_written;
}

static bool replace(struct editing *editing, const char *text, size_t size) {
    if (!write_temporary(editing, text, size))
        return false;
    if (renameat(editing->folder, editing->temporary, editing->folder, editing->name) != 0)
        return complain_of_errno(editing, "cannot replace it");
    editing->temporary[0] = '\0';
    if (fsync(editing->folder) != 0)
        fprintf(editing->complaints,
                "drawbridge passwd: %s: is changed, but may be lost in a power cut: %s\n",
                editing->change->path, strerror(errno));
    if (editing->exists && (editing->status.st_mode & 0007) != 0)
        fprintf(editing->complaints,
                "drawbridge passwd: %s: warning: everybody on this machine may access it\n",
                editing->change->path);
    return true;
}

static bool edit(struct editing *editing) {
    if (!open_folder(editing) || !read_old(editing))
        return false;
    size_t size;
    bool found;
    char *text =
        passwd_file_edit(span_of(editing->old_text, editing->old_size), editing->change, &size, &found);
    if (text == NULL)
        return complain(editing, "memory is out");
    bool is_done = false;
    if (editing->change->hash == NULL && !found) {
        char user[TEXT_QUOTED_SIZE], words[TEXT_QUOTED_SIZE + 32];
        snprintf(words, sizeof words, "has no user %s",
                 text_quote(user, sizeof user, editing->change->username));
        complain(editing, words);
    } else
        is_done = replace(editing, text, size);
    free(text);
    return is_done;
}

bool passwd_file_change(const struct passwd_change *change, FILE *complaints) {
    struct editing editing = {.change = change, .complaints = complaints, .folder = -1};
    bool is_done = edit(&editing);
    if (editing.temporary[0] != '\0')
        unlinkat(editing.folder, editing.temporary, 0);
    if (editing.folder >= 0)
        close(editing.folder);
    free(editing.old_text);
    return is_done;
}
