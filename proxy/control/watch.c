/* watch: reloads by itself when a file that the configuration names has changed. Files are looked at once a
 * second rather than by notification, which sees neither network file systems nor the links of mounted
 * secrets; a change counts when nothing has moved for a second, so that nobody is read half-way. */
#include "control/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/walk.h"
#include "control/gate.h"

#define WATCH_MS 1000
/* The clock of file systems is coarser than ours. */
#define CLOCK_STEP_NS 20000000

struct watch {
    uv_timer_t timer;
    struct gate *gate;
    uint64_t seen;   /* the files as they were looked at last */
    bool is_changed; /* and not read since */
};

struct look {
    uint64_t sum;
    int64_t newest_ns; /* when the last change of any was made */
};

static void add_file(struct look *look, const char *path, bool is_folder_read);

static void add_folder(struct look *look, const char *path) {
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char *name = NULL;
        if (entry->d_name[0] == '.' || asprintf(&name, "%s/%s", path, entry->d_name) < 0)
            continue;
        add_file(look, name, true);
        free(name);
    }
    if (folder != NULL)
        closedir(folder);
}

static void add_file(struct look *look, const char *path, bool is_folder_read) {
    struct stat status;
    bool is_there = stat(path, &status) == 0;
    const uint64_t error = is_there ? 0 : (uint64_t)errno;
    if (!is_there)
        memset(&status, 0, sizeof status);
    const uint64_t parts[] = {hash_bytes(path, strlen(path)),  error,
                              (uint64_t)status.st_dev,         (uint64_t)status.st_ino,
                              (uint64_t)status.st_size,        (uint64_t)status.st_mode,
                              (uint64_t)status.st_mtim.tv_sec, (uint64_t)status.st_mtim.tv_nsec,
                              (uint64_t)status.st_ctim.tv_sec, (uint64_t)status.st_ctim.tv_nsec};
    look->sum += hash_bytes(parts, sizeof parts); /* a folder tells its files in any order */
    int64_t changed_ns = (int64_t)status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec;
    if (changed_ns > look->newest_ns)
        look->newest_ns = changed_ns;
    if (is_there && S_ISDIR(status.st_mode) && !is_folder_read)
        add_folder(look, path);
}

static void on_path(void *keeper, const char *keyword, const char *path) {
    (void)keyword;
    add_file(keeper, path, false);
}

static struct look look_at(const struct conf *conf) {
    struct look look = {0, 0};
    conf_each_path(conf, on_path, &look);
    return look;
}

void watch_loaded(struct watch *watch, int64_t began_ns) {
    if (watch == NULL)
        return;
    struct look look = look_at(watch->gate->generation->conf);
    watch->seen = look.sum;
    watch->is_changed = look.newest_ns >= began_ns - CLOCK_STEP_NS; /* perhaps behind the reader's back */
}

int64_t watch_begin(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void on_time(uv_timer_t *timer) {
    struct watch *watch = timer->data;
    const struct conf *conf = watch->gate->generation->conf;
    if (!conf->watch_files)
        return;
    struct look look = look_at(conf);
    if (look.sum != watch->seen) {
        watch->seen = look.sum;
        watch->is_changed = true;
    } else if (watch->is_changed) {
        watch->is_changed = false;
        log_notice("A file of the configuration has changed.");
        gate_reload(watch->gate);
    }
}

struct watch *watch_open(struct gate *gate, int64_t began_ns) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->gate = gate;
    uv_timer_init(&gate->loop->uv, &watch->timer);
    watch->timer.data = watch;
    uv_timer_start(&watch->timer, on_time, WATCH_MS, WATCH_MS);
    uv_unref((uv_handle_t *)&watch->timer);
    watch_loaded(watch, began_ns);
    return watch;
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

void watch_close(struct watch *watch) {
    if (watch != NULL)
        uv_close((uv_handle_t *)&watch->timer, on_closed);
}
