#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

unsigned log_kinds = LOG_KINDS_DEFAULT;

/* What log_configure made; guarded by `lock`, which no data path takes: lines of packets do not exist, only
 * of events. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned dests = LOG_DEST_STDERR;
static bool with_time = true;
static char time_format[128];
static char file_path[4096];
static int file_fd = -1;
static int facility = LOG_DAEMON;

static int open_file(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

int log_configure(const struct log_settings *settings) {
    int fd = -1;
    if ((settings->dests & LOG_DEST_FILE) != 0) {
        if (settings->file == NULL || strlen(settings->file) >= sizeof file_path)
            return -ENAMETOOLONG;
        fd = open_file(settings->file);
        if (fd < 0)
            return fd;
    }
    pthread_mutex_lock(&lock);
    if (file_fd >= 0)
        close(file_fd);
    file_fd = fd;
    snprintf(file_path, sizeof file_path, "%s", fd >= 0 ? settings->file : "");
    snprintf(time_format, sizeof time_format, "%s",
             settings->timestamp_format == NULL ? "" : settings->timestamp_format);
    if ((settings->dests & LOG_DEST_SYSLOG) != 0 &&
        ((dests & LOG_DEST_SYSLOG) == 0 || facility != settings->facility)) {
        closelog();
        openlog("drawbridge", LOG_PID | LOG_NDELAY, settings->facility);
    }
    facility = settings->facility;
    dests = settings->dests;
    with_time = settings->timestamp;
    pthread_mutex_unlock(&lock);
    __atomic_store_n(&log_kinds, settings->kinds, __ATOMIC_RELAXED);
    return 0;
}

int log_reopen(void) {
    int result = 0;
    pthread_mutex_lock(&lock);
    if (file_fd >= 0) {
        int fd = open_file(file_path);
        if (fd >= 0) {
            close(file_fd);
            file_fd = fd;
        } else {
            result = fd;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static const struct {
    enum log_kind kind;
    const char *word;
    int priority;
} kinds[] = {
    {LOG_KIND_ERROR, "Error: ", LOG_ERR},   {LOG_KIND_WARNING, "Warning: ", LOG_WARNING},
    {LOG_KIND_NOTICE, "", LOG_NOTICE},      {LOG_KIND_INFORMATION, "", LOG_INFO},
    {LOG_KIND_DEBUG, "", LOG_DEBUG},        {LOG_KIND_SUBSCRIBE, "", LOG_NOTICE},
    {LOG_KIND_UNSUBSCRIBE, "", LOG_NOTICE},
};

/* The format is the owner's, from the configuration, as in mosquitto; strftime can do no harm beyond `size`.
 */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static size_t write_time(char *room, size_t size) {
    time_t now = time(NULL);
    if (time_format[0] == 0)
        return (size_t)snprintf(room, size, "%lld: ", (long long)now);
    struct tm parts;
    localtime_r(&now, &parts);
    size_t used = strftime(room, size - 2, time_format, &parts);
    memcpy(room + used, ": ", 3);
    return used + 2;
}

static void write_out(int fd, const char *line, size_t size) {
    /* A log that cannot be written must not stop the gate; what is lost is lost. */
    while (size > 0) {
        ssize_t written = write(fd, line, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line += written;
        size -= (size_t)written;
    }
}

void log_line(enum log_kind kind, const char *format, ...) {
    if (!log_is_on(kind))
        return;
    size_t row = 0;
    while (row + 1 < sizeof kinds / sizeof kinds[0] && kinds[row].kind != kind)
        row++;
    char text[LOG_LINE_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);

    pthread_mutex_lock(&lock);
    char line[LOG_LINE_SIZE + 192];
    size_t used = with_time ? write_time(line, 160) : 0;
    used += (size_t)snprintf(line + used, sizeof line - used - 1, "%s%s", kinds[row].word, text);
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used++] = '\n';
    if ((dests & LOG_DEST_STDERR) != 0)
        write_out(STDERR_FILENO, line, used);
    if ((dests & LOG_DEST_STDOUT) != 0)
        write_out(STDOUT_FILENO, line, used);
    if ((dests & LOG_DEST_FILE) != 0)
        write_out(file_fd, line, used);
    if ((dests & LOG_DEST_SYSLOG) != 0)
        syslog(kinds[row].priority, "%s", text);
    pthread_mutex_unlock(&lock);
}
