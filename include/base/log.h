/* log: one line, one write(2). Safe from every thread. The kinds are mosquitto's `log_type` words. */
#ifndef DRAWBRIDGE_BASE_LOG_H
#define DRAWBRIDGE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_kind {
    LOG_KIND_ERROR = 1,
    LOG_KIND_WARNING = 2,
    LOG_KIND_NOTICE = 4,
    LOG_KIND_INFORMATION = 8,
    LOG_KIND_DEBUG = 16,
    LOG_KIND_SUBSCRIBE = 32,
    LOG_KIND_UNSUBSCRIBE = 64,
};
#define LOG_KINDS_DEFAULT (LOG_KIND_ERROR | LOG_KIND_WARNING | LOG_KIND_NOTICE | LOG_KIND_INFORMATION)
#define LOG_KINDS_ALL     127

enum log_dest {
    LOG_DEST_NONE = 0,
    LOG_DEST_STDERR = 1,
    LOG_DEST_STDOUT = 2,
    LOG_DEST_SYSLOG = 4,
    LOG_DEST_FILE = 8,
};

struct log_settings {
    unsigned dests;               /* enum log_dest, or'ed */
    unsigned kinds;               /* enum log_kind, or'ed */
    bool timestamp;               /* put the time in front (files and streams) */
    const char *timestamp_format; /* strftime; NULL: seconds since the epoch, as mosquitto writes it */
    const char *file;             /* of LOG_DEST_FILE; borrowed during the call */
    int facility;                 /* syslog's LOG_DAEMON, LOG_LOCAL0, ... */
};

/* Opens what the settings name and switches over; on failure nothing changes and a negative errno comes back.
 */
int log_configure(const struct log_settings *settings);

/* Opens the log file anew under its name, for logrotate. */
int log_reopen(void);

/* Room for the biggest line; longer ones are cut. */
#define LOG_LINE_SIZE 1024

extern unsigned log_kinds; /* read by log_is_on only */

static inline bool log_is_on(enum log_kind kind) {
    return (__atomic_load_n(&log_kinds, __ATOMIC_RELAXED) & kind) != 0;
}

void log_line(enum log_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_KIND_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_KIND_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_KIND_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_KIND_INFORMATION, __VA_ARGS__)
#define log_debug(...)                                                                                       \
    do {                                                                                                     \
        if (log_is_on(LOG_KIND_DEBUG))                                                                       \
            log_line(LOG_KIND_DEBUG, __VA_ARGS__);                                                           \
    } while (0)

#endif
