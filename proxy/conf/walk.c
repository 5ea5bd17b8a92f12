#include "conf/walk.h"

#include "conf/rows.h"

struct walking {
    void (*tell)(void *keeper, const char *keyword, const char *path);
    void *keeper;
};

static void tell(const struct walking *walking, const char *keyword, const char *path) {
    if (path != NULL)
        walking->tell(walking->keeper, keyword, path);
}

static void tell_value(const struct walking *walking, const struct conf_row *row, const void *value) {
    switch (row->type) {
    case CONF_TYPE_PATH:
    case CONF_TYPE_PATH_LAST: tell(walking, row->keyword, *(const char *const *)value); break;
    case CONF_TYPE_PATHS:
        for (const struct conf_pattern *one = *(struct conf_pattern *const *)value; one != NULL;
             one = one->next)
            tell(walking, row->keyword, one->text);
        break;
    case CONF_TYPE_SECRET: {
        const struct conf_secret *secret = *(const struct conf_secret *const *)value;
        tell(walking, row->keyword, secret == NULL ? NULL : secret->path);
        break;
    }
    default: break;
    }
}

/* What needs a restart is not read again, what we write ourselves is not read, and nobody asks for keys
 * without a hint. */
static bool is_read(const struct conf_row *row, const void *home) {
    if (row->needs_restart || row->option == CONF_keylog_file)
        return false;
    return row->option != CONF_psk_file || ((const struct conf_listener *)home)->psk_hint != NULL;
}

/* The values of one home. */
static void tell_values(const struct walking *walking, const void *home, enum conf_home kind) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (conf_row_is_of(row, kind) && is_read(row, home))
            tell_value(walking, row, conf_row_value(row, home));
    }
}

void conf_each_path(const struct conf *conf,
                    void (*tell_path)(void *keeper, const char *keyword, const char *path), void *keeper) {
    const struct walking walking = {tell_path, keeper};
    for (size_t i = 0; i < conf->file_count; i++)
        tell(&walking, NULL, conf->files[i]);
    tell(&walking, "include_dir", conf->include_dir);
    tell_values(&walking, conf, CONF_HOME_PROGRAM);
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *listener = &conf->listeners[i];
        tell_values(&walking, listener, CONF_HOME_LISTENER);
        for (size_t j = 0; j < listener->host_count; j++)
            tell_values(&walking, &listener->hosts[j], CONF_HOME_LISTENER);
    }
    for (size_t i = 0; i < conf->bridge_count; i++)
        tell_values(&walking, &conf->bridges[i], CONF_HOME_BRIDGE);
}
