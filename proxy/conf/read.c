/* Lines into a generation: which row, whose value, which file next. */
#include "base/text.h"
#include "conf/check.h"
#include "conf/files.h"
#include "conf/lexer.h"
#include "conf/plugin.h"

#include <stdlib.h>

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define WARN(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_WARNING, (place)->file, (place)->line, __VA_ARGS__)

struct pending_listener {
    struct pending_listener *next;
    struct conf_listener listener;
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

/* What starts empty again in each file. */
struct reading_file {
    struct value_place place;
    bool is_main;
    struct conf_listener *listener; /* the one above; NULL before any */
    struct plugin *plugin;
    bool is_in_connection;
};

static bool read_file(struct reading *reading, const char *path, const struct value_place *namer);

static struct conf_listener *add_listener(struct reading *reading, const struct value_place *place) {
    struct pending_listener *pending = arena_alloc(reading->arena, sizeof *pending);
    if (pending == NULL) {
        reading->findings->out_of_memory = true;
        return NULL;
    }
    pending->listener = reading->defaults;
    pending->listener.file = place->file;
    pending->listener.line = place->line;
    *reading->last_listener = pending;
    reading->last_listener = &pending->next;
    reading->conf->listener_count++;
    return &pending->listener;
}

/* mosquitto's default listener: opened by `port` and `bind_address`, and meant by listener keywords that
 * stand before any listener. */
static struct conf_listener *old_style_listener(struct reading *reading, const struct value_place *place,
                                                const char *keyword) {
    if (reading->old_style == NULL) {
        reading->old_style = add_listener(reading, place);
        reading->old_style_keyword = keyword;
        reading->old_style_origin = (struct conf_origin){place->file, place->line};
        if (reading->old_style != NULL) {
            reading->old_style->port = 1883;
            reading->old_style->is_old_style = true;
        }
    }
    return reading->old_style;
}

static void open_old_style(struct reading *reading, struct reading_file *file, const struct conf_row *row,
                           struct span rest) {
    const struct value_place *place = &file->place;
    struct conf_listener *listener = old_style_listener(reading, place, row->keyword);
    file->listener = listener;
    if (listener == NULL)
        return;
    if (!reading->old_style_is_open) {
        listener->file = place->file;
        listener->line = place->line;
    }
    reading->old_style_is_open = true;
    struct conf_origin *origin = &listener->origins[row->option];
    if (row->option == CONF_port) {
        int32_t port;
        if (value_read_int(place, row->keyword, &rest, row->low, row->high, &port)) {
            value_end(place, row->keyword, rest);
            listener->port = (uint16_t)port;
        }
        if (origin->line != 0)
            WARN(place,
                 "port stands at %s:%u already; only the last one counts, so write a listener line for each",
                 origin->file, origin->line);
    } else {
        if (origin->line != 0)
            REFUSE(place,
                   "bind_address stands at %s:%u already and there can be only one; write listener lines",
                   origin->file, origin->line);
        listener->address = value_read_string(place, row->keyword, rest);
    }
    *origin = (struct conf_origin){place->file, place->line};
}

/* listener PORT [ADDRESS | PATH] */
static void open_listener(struct reading *reading, struct reading_file *file, const struct conf_row *row,
                          struct span rest) {
    const struct value_place *place = &file->place;
    struct conf_listener *listener = add_listener(reading, place);
    file->listener = listener; /* even a wrong one takes the lines below */
    int32_t port;
    if (listener == NULL || !value_read_int(place, row->keyword, &rest, row->low, row->high, &port))
        return;
    listener->port = (uint16_t)port;
    listener->origins[CONF_listener] = (struct conf_origin){place->file, place->line};
    struct span token;
    bool has_address = lexer_token(&rest, " ", &token) && token.at[0] != '#';
    if (!has_address) {
        if (port == 0)
            REFUSE(place, "a listener with port 0 needs the path of a Unix socket; write: listener 0 PATH");
        return;
    }
    value_end(place, row->keyword, rest);
    const char *text = arena_text(reading->arena, token);
    if (text == NULL)
        value_out_of_memory(place);
    else if (port == 0)
        listener->path = value_resolve(place, text);
    else
        listener->address = text;
}

static void include_folder(struct reading *reading, struct reading_file *file, struct span rest) {
    const struct value_place *place = &file->place;
    const char *text = value_read_string(place, "include_dir", rest);
    const char *folder = value_resolve(place, text);
    if (folder == NULL)
        return;
    if (!file->is_main) {
        REFUSE(place, "include_dir may only stand in the main file; move it to %s", reading->conf->path);
        return;
    }
    if (!reading->may_open_files) {
        REFUSE(place, "include_dir is not possible here, where no file is opened; remove it");
        return;
    }
    reading->conf->origins[CONF_include_dir] = (struct conf_origin){place->file, place->line};
    char **paths;
    size_t count;
    if (!files_list(folder, &paths, &count, reading->findings, place->file, place->line))
        return;
    for (size_t i = 0; i < count; i++)
        read_file(reading, paths[i], place);
    files_free(paths, count);
}

static void open_structure(struct reading *reading, struct reading_file *file, const struct conf_row *row,
                           struct span rest) {
    if (row->option == CONF_listener)
        open_listener(reading, file, row, rest);
    else if (row->option == CONF_include_dir)
        include_folder(reading, file, rest);
    else
        open_old_style(reading, file, row, rest);
}

/* Where an option of the SECURITY scope goes; NULL after a finding. */
static struct conf_listener *security_home(struct reading *reading, struct reading_file *file,
                                           const char *keyword) {
    if (reading->security_keyword == NULL) {
        reading->security_keyword = keyword;
        reading->security_origin = (struct conf_origin){file->place.file, file->place.line};
    }
    if (!reading->conf->per_listener_settings)
        return &reading->conf->shared;
    if (file->listener == NULL)
        REFUSE(
            &file->place,
            "with per_listener_settings true, %s belongs to a listener; put it below the listener line it is "
            "meant for",
            keyword);
    return file->listener;
}

/* The struct an option is written to; NULL after a finding. */
static void *home_of(struct reading *reading, struct reading_file *file, enum conf_scope scope,
                     const char *keyword) {
    switch (scope) {
    case CONF_SCOPE_GLOBAL: return reading->conf;
    case CONF_SCOPE_SHARED: return &reading->conf->shared;
    case CONF_SCOPE_SECURITY: return security_home(reading, file, keyword);
    case CONF_SCOPE_INHERITED: return file->listener != NULL ? file->listener : &reading->conf->shared;
    case CONF_SCOPE_LISTENER: break;
    }
    return file->listener != NULL ? file->listener : old_style_listener(reading, &file->place, keyword);
}

/* Must come before what it rules, and stays true once it is. */
static void read_per_listener(struct reading *reading, const struct value_place *place, struct span rest) {
    bool value;
    struct conf *conf = reading->conf;
    if (!value_read_bool(place, "per_listener_settings", rest, &value))
        return;
    if (conf->per_listener_settings && !value)
        WARN(place, "per_listener_settings is true already and stays so; remove this line");
    if (value && !conf->per_listener_settings && reading->security_keyword != NULL)
        REFUSE(place,
               "per_listener_settings true must stand above %s at %s:%u, which it concerns; move it up",
               reading->security_keyword, reading->security_origin.file, reading->security_origin.line);
    conf->per_listener_settings |= value;
    conf->origins[CONF_per_listener_settings] = (struct conf_origin){place->file, place->line};
}

static void read_option(struct reading *reading, struct reading_file *file, const struct conf_row *row,
                        struct span rest) {
    const struct conf_row *option = conf_row_of(row->option);
    if (option->type == CONF_TYPE_STRUCTURE) {
        open_structure(reading, file, option, rest);
        return;
    }
    if (option->option == CONF_per_listener_settings) {
        read_per_listener(reading, &file->place, rest);
        return;
    }
    void *home = home_of(reading, file, row->scope, row->keyword);
    if (home == NULL)
        return;
    struct conf_origin *origins =
        row->scope == CONF_SCOPE_GLOBAL ? reading->conf->origins : ((struct conf_listener *)home)->origins;
    value_read(&file->place, option, row->keyword, rest, home, &origins[option->option]);
}

static void read_plugin(struct reading *reading, struct reading_file *file, struct span keyword,
                        struct span rest) {
    bool attaches = span_is_text(keyword, "plugin") || span_is_text(keyword, "auth_plugin");
    struct conf_listener *secured = attaches ? security_home(reading, file, "a plugin") : NULL;
    struct conf_listener *shared = reading->conf->per_listener_settings ? NULL : &reading->conf->shared;
    plugin_read(&reading->plugins, &file->plugin, &file->place, keyword, rest, file->listener, secured,
                shared);
}

static bool is_off(const struct conf_row *row, struct span rest) {
    struct span token;
    return row->initial != NULL && lexer_token(&rest, " ", &token) &&
           (span_is_text(token, "0") || span_is_text(token, row->initial));
}

static void refuse_coming(const struct reading_file *file, const struct conf_row *row, struct span rest) {
    if (!is_off(row, rest))
        REFUSE(&file->place, "%s is not supported yet (%s is still to come); remove it", row->keyword,
               row->help);
}

static bool has_word(const char *words, const char *word) {
    struct span left = span_of_text(words), token;
    while (lexer_token(&left, ", ", &token))
        if (span_is_text(token, word))
            return true;
    return false;
}

static void note_broker(struct reading *reading, const struct reading_file *file,
                        const struct conf_row *row) {
    if (reading->broker_words == NULL) {
        reading->broker_words = row->keyword;
        reading->broker_origin = (struct conf_origin){file->place.file, file->place.line};
    } else if (!has_word(reading->broker_words, row->keyword)) {
        const char *more = arena_print(reading->arena, "%s, %s", reading->broker_words, row->keyword);
        if (more == NULL)
            value_out_of_memory(&file->place);
        else
            reading->broker_words = more;
    }
}

/* What stands there instead of a keyword, for the most common slips. */
static void refuse_unknown(const struct reading_file *file, struct span keyword) {
    const struct value_place *place = &file->place;
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, keyword);
    const uint8_t *tab = memchr(keyword.at, '\t', keyword.size);
    struct span before = tab == NULL ? SPAN_NONE : span_first(keyword, (size_t)(tab - keyword.at));
    const char *nearest = conf_row_nearest(keyword);
    if (tab == keyword.at)
        REFUSE(place, "the line begins with a tab, which is no space here; use spaces or nothing");
    else if (tab != NULL && conf_row_find(before) != NULL)
        REFUSE(place,
               "a tab stands behind %.*s, but only a space separates keyword and value; replace the tab",
               SPAN_PRINT(before));
    else if (keyword.at[0] == '#')
        REFUSE(place,
               "a comment must begin with the first byte of the line; remove the spaces in front of #");
    else if (span_has_byte(keyword, '='))
        REFUSE(place, "'%s' is no keyword; write keyword and value with a space between, without =", room);
    else if (nearest != NULL)
        REFUSE(place, "'%s' is no keyword; did you mean %s?", room, nearest);
    else
        REFUSE(place, "'%s' is no keyword; correct it or remove the line", room);
}

static bool is_clean(const struct value_place *place, struct span line) {
    if (span_has_byte(line, 0)) {
        REFUSE(place, "there is a NUL byte in the line; this does not look like a text file");
        return false;
    }
    if (!text_is_utf8(line)) {
        REFUSE(place, "the line is not valid UTF-8; save the file in UTF-8");
        return false;
    }
    return true;
}

static void read_line(struct reading *reading, struct reading_file *file, const struct lexer_line *line) {
    file->place.line = line->number;
    if (!is_clean(&file->place, line->whole))
        return;
    const struct conf_row *row = conf_row_find(line->keyword);
    if (row == NULL) {
        refuse_unknown(file, line->keyword);
        return;
    }
    switch (row->kind) {
    case CONF_ROW_OPTION:
    case CONF_ROW_ALIAS: read_option(reading, file, row, line->rest); break;
    case CONF_ROW_IGNORED: WARN(&file->place, "%s is ignored. %s", row->keyword, row->help); break;
    case CONF_ROW_BROKER: note_broker(reading, file, row); break;
    case CONF_ROW_COMING:
        refuse_coming(file, row, line->rest);
        file->is_in_connection |= strcmp(row->keyword, "connection") == 0;
        break;
    case CONF_ROW_PLUGIN: read_plugin(reading, file, line->keyword, line->rest); break;
    case CONF_ROW_BRIDGE: /* the section was refused as a whole */
        if (!file->is_in_connection)
            REFUSE(&file->place,
                   "%s belongs below a connection line, and bridges are not supported yet; remove it",
                   row->keyword);
        break;
    case CONF_ROW_SECTION: break;
    }
}

static const struct span byte_order_mark = SPAN_LITERAL("\xEF\xBB\xBF");

static void read_text(struct reading *reading, const char *path, struct span text, bool is_main) {
    struct reading_file file = {.place = {reading->arena, reading->findings, path, 0}, .is_main = is_main};
    if (span_begins_with(text, byte_order_mark)) {
        findings_add(reading->findings, FINDING_ERROR, path, 1,
                     "the file begins with a byte order mark; save it as UTF-8 without one");
        text = span_after(text, byte_order_mark.size);
    }
    struct lexer lexer = lexer_of(text);
    struct lexer_line line;
    while (lexer_next(&lexer, &line))
        read_line(reading, &file, &line);
}

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

/* `namer` is the include_dir line; NULL for the main file. False when the file could not be read. */
static bool read_file(struct reading *reading, const char *path, const struct value_place *namer) {
    const char *kept = keep_file(reading, path);
    struct span text;
    if (kept == NULL || !files_load(kept, &text, reading->findings, namer == NULL ? NULL : namer->file,
                                    namer == NULL ? 0 : namer->line))
        return false;
    read_text(reading, kept, text, namer == NULL);
    free((void *)(uintptr_t)text.at);
    return true;
}

static void read_defaults(struct reading *reading) {
    const struct value_place place = {reading->arena, reading->findings, NULL, 0};
    struct conf_origin nowhere = {NULL, 0};
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind == CONF_ROW_OPTION && row->initial != NULL)
            value_read(&place, row, row->keyword, span_of_text(row->initial),
                       row->scope == CONF_SCOPE_GLOBAL ? (void *)reading->conf : &reading->defaults,
                       &nowhere);
    }
    reading->conf->log_type = LOG_KINDS_DEFAULT;
    reading->conf->shared = reading->defaults;
}

/* Gives a listener what was set for all, where it has nothing of its own. */
static void inherit(struct conf_listener *listener, const struct conf_listener *shared) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind != CONF_ROW_OPTION || row->scope == CONF_SCOPE_GLOBAL || row->size == 0 ||
            listener->origins[row->option].line != 0 || shared->origins[row->option].line == 0)
            continue;
        memcpy(conf_row_field(row, listener), conf_row_value(row, shared), row->size);
        listener->origins[row->option] = shared->origins[row->option];
    }
}

/* mosquitto opens a listener on port 1883 for such a keyword, or none at all, depending on its version. */
static void refuse_orphan(const struct reading *reading) {
    if (reading->old_style != NULL && !reading->old_style_is_open)
        findings_add(reading->findings, FINDING_ERROR, reading->old_style_origin.file,
                     reading->old_style_origin.line,
                     "%s stands before any listener; put it below the listener line it is meant for",
                     reading->old_style_keyword);
}

static void settle_listeners(struct reading *reading) {
    struct conf *conf = reading->conf;
    if (conf->listener_count == 0) {
        const struct value_place place = {reading->arena, reading->findings, conf->path, 0};
        struct conf_listener *listener = add_listener(reading, &place);
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
    if (!read_file(&reading, path, NULL)) { /* that it lacks a backend too is no news */
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
        read_text(&reading, kept, text, true);
    return finish(&reading);
}
