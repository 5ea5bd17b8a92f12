#include "conf/files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often, and how long each time, a writer of a pipe is waited for: five seconds in all. One that says
 * nothing must not stop everything else. */
#define PIPE_PAUSES   100
#define PIPE_PAUSE_US 50000

/* One finding: at the line that named the path, or at the path itself. */
static bool refuse(struct findings *findings, const char *file, unsigned line, const char *path,
                   const char *why) {
    if (line == 0)
        findings_add(findings, FINDING_ERROR, path, 0, "cannot be read: %s", why);
    else
        findings_add(findings, FINDING_ERROR, file, line, "%s cannot be read: %s", path, why);
    return false;
}

/* Reads to the end; false with errno (EFBIG: longer than allowed). */
static bool read_all(int descriptor, struct span *text) {
    size_t room_size = 16 * 1024, size = 0;
    unsigned pauses = 0;
    uint8_t *room = malloc(room_size);
    while (room != NULL) {
        ssize_t count = read(descriptor, room + size, room_size - size);
        if (count < 0 && errno == EAGAIN && pauses++ < PIPE_PAUSES) {
            usleep(PIPE_PAUSE_US);
            continue;
        }
        if (count < 0 && errno == EINTR)
            continue;
        if (count == 0) {
            *text = span_of(room, size);
            return true;
        }
        if (count < 0 || (size += (size_t)count) > FILES_SIZE_MAX) {
            int error = count < 0 ? errno : EFBIG;
            free(room);
            errno = error;
            return false;
        }
        if (size == room_size) {
            room_size *= 2;
            uint8_t *bigger = realloc(room, room_size);
            if (bigger == NULL)
                free(room);
            room = bigger;
        }
    }
    errno = ENOMEM;
    return false;
}

bool files_load(const char *path, struct span *text, struct findings *findings, const char *file,
                unsigned line) {
    /* O_NONBLOCK: a fifo without a writer would hold us here for good, at a reload too. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0)
        return refuse(findings, file, line, path, strerror(errno));
    struct stat facts = {0};
    bool is_known = fstat(descriptor, &facts) == 0;
    bool is_folder = is_known && S_ISDIR(facts.st_mode);
    /* The main file may come out of a pipe, as in `-c <(...)`; one that a line names is kept somewhere. */
    bool is_odd = line != 0 && !S_ISREG(facts.st_mode);
    bool is_read = !is_folder && !is_odd && read_all(descriptor, text);
    int error = errno;
    close(descriptor);
    if (is_folder)
        return refuse(findings, file, line, path,
                      "it is a directory; name a file, or read its .conf files with include_dir");
    if (is_odd)
        return refuse(findings, file, line, path, "it is no regular file");
    if (!is_read)
        return refuse(findings, file, line, path,
                      error == EFBIG ? "it is longer than 16 MiB, which no configuration is"
                                     : strerror(error));
    return true;
}

int files_compare(const char *a, const char *b) {
    for (; *a != 0 && *b != 0; a++, b++) {
        int difference = toupper((unsigned char)*a) - toupper((unsigned char)*b);
        if (difference == 0)
            difference = (unsigned char)*a - (unsigned char)*b;
        if (difference != 0)
            return difference;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

static int compare_paths(const void *a, const void *b) {
    return files_compare(*(char *const *)a, *(char *const *)b);
}

void files_free(char **paths, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}

static bool is_wanted(const char *name) {
    const size_t ending = strlen(".conf");
    size_t size = strlen(name);
    return size > ending && strcmp(name + size - ending, ".conf") == 0;
}

/* Adds one path to the list; false when memory is out. */
static bool add_path(const char *folder, const char *name, char ***paths, size_t *count) {
    char **more = realloc(*paths, (*count + 1) * sizeof *more);
    if (more == NULL)
        return false;
    *paths = more;
    size_t folder_size = strlen(folder);
    bool has_slash = folder_size != 0 && folder[folder_size - 1] == '/';
    size_t size = folder_size + strlen(name) + 2;
    char *path = malloc(size);
    if (path == NULL)
        return false;
    snprintf(path, size, "%s%s%s", folder, has_slash ? "" : "/", name);
    more[(*count)++] = path;
    return true;
}

bool files_list(const char *folder, char ***paths, size_t *count, struct findings *findings, const char *file,
                unsigned line) {
    *paths = NULL;
    *count = 0;
    DIR *stream = opendir(folder);
    if (stream == NULL)
        return refuse(findings, file, line, folder, strerror(errno));
    bool is_complete = true;
    struct dirent *entry;
    errno = 0;
    while (is_complete && (entry = readdir(stream)) != NULL)
        is_complete = !is_wanted(entry->d_name) || add_path(folder, entry->d_name, paths, count);
    int error = is_complete ? errno : ENOMEM;
    closedir(stream);
    if (error != 0) { /* half a folder may lack the file with the rules */
        files_free(*paths, *count);
        return refuse(findings, file, line, folder, strerror(error));
    }
    if (*count > 1)
        qsort(*paths, *count, sizeof **paths, compare_paths);
    return true;
}
