/* A generation from its start (the defaults) to its end (every listener's values effective and checked). */
#include "conf/bridge.h"
#include "conf/check.h"
#include "conf/files.h"
#include "conf/host.h"
#include "conf/reading.h"

#include <stdlib.h>

static const char *keep_file(struct reading *reading, const char *path) {
    struct pending_file *pending = arena_alloc(reading->arena, sizeof *pending);
    const char *kept = arena_text(reading->arena, span_of_text(path));
    if (pending == NULL || kept == NULL) {
        reading->findings->out_of_memory = true;
        return NULL;
    }
    pending->path = kept;
    *reading->last_file = pending;
    reading->last_file = &pending->next;
    reading->conf->file_count++;
    return kept;
}

bool reading_file(struct reading *reading, const char *path, const struct value_place *namer) {
    const char *kept = keep_file(reading, path);
    struct span text;
    if (kept == NULL || !files_load(kept, &text, reading->findings, namer == NULL ? NULL : namer->file,
                                    namer == NULL ? 0 : namer->line))
        return false;
    reading_text(reading, kept, text, namer == NULL);
    free((void *)(uintptr_t)text.at);
    return true;
}

static void read_defaults(struct reading *reading) {
    const struct value_place place = {reading->arena, reading->findings, NULL, 0};
    struct conf_origin nowhere = {NULL, 0};
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind != CONF_ROW_OPTION || row->initial == NULL)
            continue;
        void *homes[] = {[CONF_HOME_PROGRAM] = reading->conf,
                         [CONF_HOME_LISTENER] = &reading->defaults,
                         [CONF_HOME_BRIDGE] = &reading->bridge_defaults};
        value_read(&place, row, row->keyword, span_of_text(row->initial), homes[conf_row_home(row)],
                   &nowhere);
    }
    reading->conf->log_type = LOG_KINDS_DEFAULT;
    reading->conf->shared = reading->defaults;
    reading->conf->bridged = reading->bridge_defaults;
}

/* Gives a listener what was set for all, where it has nothing of its own. */
static void inherit(struct conf_listener *listener, const struct conf_listener *shared) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (!conf_row_is_of(row, CONF_HOME_LISTENER) || listener->origins[row->option].line != 0 ||
            shared->origins[row->option].line == 0)
            continue;
        memcpy(conf_row_field(row, listener), conf_row_value(row, shared), row->size);
        listener->origins[row->option] = shared->origins[row->option];
    }
}

/* mosquitto opens a listener on port 1883 for such a keyword, or none at all, depending on its version. */
static void refuse_orphan(struct reading *reading) {
    if (reading->old_style == NULL || reading->old_style_is_open)
        return;
    findings_add(reading->findings, FINDING_ERROR, reading->old_style_origin.file,
                 reading->old_style_origin.line,
                 "%s stands before any listener; put it below the listener line it is meant for",
                 reading->old_style_keyword);
    for (struct pending_listener **link = &reading->listeners; *link != NULL; link = &(*link)->next)
        if (&(*link)->listener == reading->old_style) { /* nothing else is worth saying of it */
            *link = (*link)->next;
            reading->conf->listener_count--;
            break;
        }
    for (reading->last_listener = &reading->listeners; *reading->last_listener != NULL;)
        reading->last_listener = &(*reading->last_listener)->next;
}

static void settle_listeners(struct reading *reading) {
    struct conf *conf = reading->conf;
    if (conf->listener_count == 0 && conf->bridge_count != 0)
        return; /* a pure bridge opens no port */
    if (conf->listener_count == 0) {
        const struct value_place place = {reading->arena, reading->findings, conf->path, 0};
        struct conf_listener *listener = reading_add_listener(reading, &place);
        if (listener == NULL)
            return;
        listener->port = 1883;
        listener->is_default_local = true;
        listener->allow_anonymous = true;
    }
    conf->listeners = arena_alloc(reading->arena, conf->listener_count * sizeof *conf->listeners);
    if (conf->listeners == NULL) {
        reading->findings->out_of_memory = true;
        conf->listener_count = 0;
        return;
    }
    size_t i = 0;
    for (const struct pending_listener *pending = reading->listeners; pending != NULL;
         pending = pending->next) {
        struct conf_listener *listener = &conf->listeners[i++];
        *listener = pending->listener;
        inherit(listener, &conf->shared);
        listener->backend = conf->backend;
        host_settle(reading, listener, pending);
    }
    conf->shared.backend = conf->backend;
}

static void settle_files(struct reading *reading) {
    const char **files = arena_alloc(reading->arena, reading->conf->file_count * sizeof *files);
    if (files == NULL) {
        reading->findings->out_of_memory = true;
        return;
    }
    reading->conf->files = files;
    for (const struct pending_file *pending = reading->files; pending != NULL; pending = pending->next)
        *files++ = pending->path;
}

static struct conf *finish(struct reading *reading) {
    struct findings *findings = reading->findings;
    refuse_orphan(reading);
    plugin_resolve(&reading->plugins, reading->arena, findings);
    bridge_settle(reading);
    settle_listeners(reading);
    settle_files(reading);
    conf_check(reading->conf, findings);
    if (reading->broker_words != NULL)
        findings_add(findings, FINDING_NOTICE, reading->broker_origin.file, reading->broker_origin.line,
                     "for the broker, without effect here: %s", reading->broker_words);
    if (findings->error_count == reading->errors_before && !findings->out_of_memory)
        return reading->conf;
    conf_destroy(reading->conf);
    return NULL;
}

static bool start(struct reading *reading, const char *path, struct findings *findings, bool may_open_files) {
    struct arena *arena = arena_create();
    struct conf *conf = arena == NULL ? NULL : arena_alloc(arena, sizeof *conf);
    *reading = (struct reading){.conf = conf,
                                .arena = arena,
                                .findings = findings,
                                .errors_before = findings->error_count,
                                .may_open_files = may_open_files};
    reading->last_listener = &reading->listeners;
    reading->last_file = &reading->files;
    reading->last_bridge = &reading->bridges;
    if (conf != NULL)
        conf->path = arena_text(arena, span_of_text(path));
    if (conf == NULL || conf->path == NULL) {
        findings->out_of_memory = true;
        arena_destroy(arena);
        return false;
    }
    conf->arena = arena;
    read_defaults(reading);
    return true;
}

struct conf *conf_read(const char *path, struct findings *findings) {
    struct reading reading;
    if (!start(&reading, path, findings, true))
        return NULL;
    if (!reading_file(&reading, path, NULL)) { /* that it lacks a backend too is no news */
        conf_destroy(reading.conf);
        return NULL;
    }
    return finish(&reading);
}

struct conf *conf_read_text(const char *path, struct span text, struct findings *findings) {
    struct reading reading;
    if (!start(&reading, path, findings, false))
        return NULL;
    const char *kept = keep_file(&reading, path);
    if (kept != NULL)
        reading_text(&reading, kept, text, true);
    return finish(&reading);
}
