/* reading: a generation while it is read. Shared by read.c (lines) and generation.c (start, files, end). */
#ifndef DRAWBRIDGE_CONF_READING_H
#define DRAWBRIDGE_CONF_READING_H

#include "conf/plugin.h"

struct pending_listener {
    struct pending_listener *next, *hosts;
    struct conf_listener listener;
};

struct pending_bridge {
    struct pending_bridge *next;
    struct conf_bridge bridge;
};

struct pending_file {
    struct pending_file *next;
    const char *path;
};

struct reading {
    struct conf *conf;
    struct arena *arena;
    struct findings *findings;
    size_t errors_before;
    bool may_open_files;
    struct conf_listener defaults;
    struct pending_listener *listeners, **last_listener;
    struct conf_bridge bridge_defaults;
    struct pending_bridge *bridges, **last_bridge;
    struct pending_file *files, **last_file;
    struct conf_listener *old_style; /* the default listener; NULL until something asked for it */
    bool old_style_is_open;          /* a port or bind_address line opened it */
    const char *old_style_keyword;   /* the keyword that asked first, and where */
    struct conf_origin old_style_origin;
    const char *security_keyword; /* the first one seen, for per_listener_settings */
    struct conf_origin security_origin;
    struct plugins plugins;
    const char *broker_words; /* "persistence, sys_interval" */
    struct conf_origin broker_origin;
};

/* A new listener with the defaults, the last of the list; NULL when memory is out. */
struct conf_listener *reading_add_listener(struct reading *reading, const struct value_place *place);

/* Reads the lines of one file; `path` is kept by the arena. */
void reading_text(struct reading *reading, const char *path, struct span text, bool is_main);

/* Adds a keyword to those that are for the broker alone. */
void reading_note_broker(struct reading *reading, struct conf_origin origin, const char *keyword);

/* Opens one file and reads its lines. `namer` is the include_dir line; NULL for the main file. False when the
 * file could not be read. */
bool reading_file(struct reading *reading, const char *path, const struct value_place *namer);

#endif
