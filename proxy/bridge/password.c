#include "bridge/password.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/token.h"

static struct span first_line(struct span source) {
    const uint8_t *end = source.size == 0 ? NULL : memchr(source.at, '\n', source.size);
    struct span line = end == NULL ? source : span_first(source, (size_t)(end - source.at));
    return line.size != 0 && line.at[line.size - 1] == '\r' ? span_first(line, line.size - 1) : line;
}

bool password_take(struct password *password, struct span source, char *words, size_t words_size) {
    struct span line = first_line(source);
    password_forget(password);
    password->expires_s = 0;
    if (line.size == 0 || line.size > PASSWORD_SIZE_MAX) {
        snprintf(words, words_size,
                 line.size == 0 ? "its first line is empty"
                                : "its first line is longer than the %d bytes that MQTT allows",
                 PASSWORD_SIZE_MAX);
        return false;
    }
    password->bytes = malloc(line.size);
    if (password->bytes == NULL) {
        snprintf(words, words_size, "memory is out here");
        return false;
    }
    memcpy(password->bytes, line.at, line.size);
    password->size = line.size;
    password->expires_s = token_expiry_s(line);
    return true;
}

/* The size, or a negative errno. A pipe or a device would make us wait, so it is refused. */
static ssize_t read_file(const char *path, uint8_t *room, size_t size) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t filled = fd < 0 || fstat(fd, &status) != 0 ? -errno
                     : S_ISREG(status.st_mode)         ? 0
                                                       : -EINVAL,
            count = 1;
    while (filled >= 0 && count > 0 && (size_t)filled < size) {
        count = read(fd, room + filled, size - (size_t)filled);
        filled = count < 0 ? -errno : filled + count;
    }
    if (fd >= 0)
        close(fd);
    return filled;
}

bool password_read_file(struct password *password, const char *path, char *words, size_t words_size) {
    uint8_t *room = malloc(PASSWORD_SOURCE_MAX);
    ssize_t size = room == NULL ? -ENOMEM : read_file(path, room, PASSWORD_SOURCE_MAX);
    bool is_good = size >= 0 && password_take(password, span_of(room, (size_t)size), words, words_size);
    if (size < 0)
        snprintf(words, words_size, "it cannot be read: %s",
                 size == -EINVAL ? "it is no ordinary file" : strerror((int)-size));
    if (room != NULL)
        explicit_bzero(room, PASSWORD_SOURCE_MAX);
    free(room);
    return is_good;
}

void password_forget(struct password *password) {
    if (password->bytes != NULL)
        explicit_bzero(password->bytes, password->size);
    free(password->bytes);
    password->bytes = NULL;
    password->size = 0;
}
