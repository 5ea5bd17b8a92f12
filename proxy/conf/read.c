/* Lines into a generation: which row, and whose value. */
#include "base/text.h"
#include "conf/bridge.h"
#include "conf/files.h"
#include "conf/host.h"
#include "conf/lexer.h"
#include "conf/reading.h"
#include "conf/words.h"

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define WARN(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_WARNING, (place)->file, (place)->line, __VA_ARGS__)

/* What starts empty again in each file. */
struct open_file {
    struct value_place place;
    bool is_main;
    struct conf_listener *listener; /* the one above; NULL before any */
    struct conf_listener *host;     /* the section of it that is open; NULL: none */
    struct plugin *plugin;
    struct conf_bridge *bridge; /* the connection above; NULL before any */
};

struct conf_listener *reading_add_listener(struct reading *reading, const struct value_place *place) {
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
        reading->old_style = reading_add_listener(reading, place);
        reading->old_style_keyword = keyword;
        reading->old_style_origin = (struct conf_origin){place->file, place->line};
        if (reading->old_style != NULL) {
            reading->old_style->port = 1883;
            reading->old_style->is_old_style = true;
        }
    }
    return reading->old_style;
}

static void open_old_style(struct reading *reading, struct open_file *file, const struct conf_row *row,
                           struct span rest) {
    const struct value_place *place = &file->place;
    struct conf_listener *listener = old_style_listener(reading, place, row->keyword);
    file->listener = listener;
    file->host = NULL;
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
static void open_listener(struct reading *reading, struct open_file *file, const struct conf_row *row,
                          struct span rest) {
    const struct value_place *place = &file->place;
    struct conf_listener *listener = reading_add_listener(reading, place);
    file->host = NULL;
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

static void include_folder(struct reading *reading, struct open_file *file, struct span rest) {
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
    reading->conf->include_dir = folder;
    reading->conf->origins[CONF_include_dir] = (struct conf_origin){place->file, place->line};
    char **paths;
    size_t count;
    if (!files_list(folder, &paths, &count, reading->findings, place->file, place->line))
        return;
    for (size_t i = 0; i < count; i++)
        reading_file(reading, paths[i], place);
    files_free(paths, count);
}

static void open_host(struct reading *reading, struct open_file *file, struct span rest) {
    if (file->listener == NULL)
        REFUSE(&file->place,
               "host stands before any listener; put it below the listener line it is meant for");
    else
        file->host = host_open(reading, file->listener, &file->place, rest);
}

static void open_structure(struct reading *reading, struct open_file *file, const struct conf_row *row,
                           struct span rest) {
    if (row->option == CONF_listener)
        open_listener(reading, file, row, rest);
    else if (row->option == CONF_host)
        open_host(reading, file, rest);
    else if (row->option == CONF_connection)
        file->bridge = bridge_open(reading, &file->place, rest);
    else if (row->option == CONF_include_dir)
        include_folder(reading, file, rest);
    else
        open_old_style(reading, file, row, rest);
}

/* Where an option of the SECURITY scope goes; NULL after a finding. */
static struct conf_listener *security_home(struct reading *reading, struct open_file *file,
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
static void *home_of(struct reading *reading, struct open_file *file, enum conf_scope scope,
                     const char *keyword) {
    switch (scope) {
    case CONF_SCOPE_GLOBAL: return reading->conf;
    case CONF_SCOPE_SHARED: return &reading->conf->shared;
    case CONF_SCOPE_SECURITY: return security_home(reading, file, keyword);
    case CONF_SCOPE_INHERITED: return file->listener != NULL ? file->listener : &reading->conf->shared;
    case CONF_SCOPE_LISTENER:
    case CONF_SCOPE_BRIDGE: /* of read_of_bridge */
    case CONF_SCOPE_BRIDGED: break;
    }
    return file->listener != NULL ? file->listener : old_style_listener(reading, &file->place, keyword);
}

/* The line of a host section: true when it was read or refused here, false when it is none of the host's. */
static bool read_of_host(struct reading *reading, struct open_file *file, const struct conf_row *row,
                         const struct conf_row *option, struct span rest) {
    struct conf_listener *host = file->host;
    bool is_listeners = row->scope == CONF_SCOPE_LISTENER || row->scope == CONF_SCOPE_INHERITED ||
                        (row->scope == CONF_SCOPE_SECURITY && reading->conf->per_listener_settings);
    if (option->option == CONF_backend) {
        if (host->origins[CONF_backend].line != 0)
            REFUSE(&file->place, "backend of host %s stands at %s:%u already; remove one of the two lines",
                   host->host, host->origins[CONF_backend].file, host->origins[CONF_backend].line);
        words_read_backend(&file->place, row->keyword, rest, &host->backend);
        host->origins[CONF_backend] = (struct conf_origin){file->place.file, file->place.line};
    } else if (host_may_have(option->option)) {
        value_read(&file->place, option, row->keyword, rest, host, &host->origins[option->option]);
    } else if (is_listeners) {
        REFUSE(&file->place,
               "%s is the listener's, not that of a host; put it above the first host line of the listener",
               row->keyword);
    } else {
        return false;
    }
    return true;
}

/* Of the connection above, wherever listeners stand. */
static void read_of_bridge(struct reading *reading, struct open_file *file, const struct conf_row *row,
                           const struct conf_row *option, struct span rest) {
    if (file->bridge != NULL)
        bridge_read(file->bridge, &file->place, option, row->keyword, rest);
    else if (row->scope == CONF_SCOPE_BRIDGED)
        bridge_read(&reading->conf->bridged, &file->place, option, row->keyword, rest);
    else
        REFUSE(&file->place,
               "%s belongs to a bridge; put it below the connection line it is meant for, or remove it",
               row->keyword);
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

static void read_option(struct reading *reading, struct open_file *file, const struct conf_row *row,
                        struct span rest) {
    const struct conf_row *option = conf_row_of(row->option);
    if (option->type == CONF_TYPE_STRUCTURE) {
        open_structure(reading, file, option, rest);
        return;
    }
    if (conf_row_home(option) == CONF_HOME_BRIDGE) {
        read_of_bridge(reading, file, row, option, rest);
        return;
    }
    if (option->option == CONF_per_listener_settings) {
        read_per_listener(reading, &file->place, rest);
        return;
    }
    if (file->host != NULL && read_of_host(reading, file, row, option, rest))
        return;
    void *home = home_of(reading, file, row->scope, row->keyword);
    if (home == NULL)
        return;
    struct conf_origin *origins =
        row->scope == CONF_SCOPE_GLOBAL ? reading->conf->origins : ((struct conf_listener *)home)->origins;
    value_read(&file->place, option, row->keyword, rest, home, &origins[option->option]);
}

static void read_plugin(struct reading *reading, struct open_file *file, struct span keyword,
                        struct span rest) {
    if (file->host != NULL) {
        REFUSE(&file->place,
               "a plugin is the listener's, not that of a host; put it above the first host line");
        return;
    }
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

static void refuse_coming(const struct open_file *file, const struct conf_row *row, struct span rest) {
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

void reading_note_broker(struct reading *reading, struct conf_origin origin, const char *keyword) {
    if (reading->broker_words == NULL) {
        reading->broker_words = keyword;
        reading->broker_origin = origin;
    } else if (!has_word(reading->broker_words, keyword)) {
        const char *more = arena_print(reading->arena, "%s, %s", reading->broker_words, keyword);
        if (more == NULL)
            reading->findings->out_of_memory = true;
        else
            reading->broker_words = more;
    }
}

#define SUGGESTIONS_MAX 10

/* What stands there instead of a keyword, for the most common slips. */
static void refuse_unknown(const struct open_file *file, struct span keyword) {
    const struct value_place *place = &file->place;
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, keyword);
    const uint8_t *tab = memchr(keyword.at, '\t', keyword.size);
    struct span before = tab == NULL ? SPAN_NONE : span_first(keyword, (size_t)(tab - keyword.at));
    bool is_hopeless = place->findings->error_count > SUGGESTIONS_MAX; /* no configuration at all */
    const char *nearest = is_hopeless ? NULL : conf_row_nearest(keyword);
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

static void read_line(struct reading *reading, struct open_file *file, const struct lexer_line *line) {
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
    case CONF_ROW_BROKER:
        reading_note_broker(reading, (struct conf_origin){file->place.file, file->place.line}, row->keyword);
        break;
    case CONF_ROW_COMING: refuse_coming(file, row, line->rest); break;
    case CONF_ROW_PLUGIN: read_plugin(reading, file, line->keyword, line->rest); break;
    case CONF_ROW_SECTION: break;
    }
}

/* Not even a comment: as an editor, a full disk or an installation that broke off leaves it. */
static bool is_blank(struct span text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] != ' ' && text.at[i] != '\t' && text.at[i] != '\r' && text.at[i] != '\n')
            return false;
    return true;
}

static const struct span byte_order_mark = SPAN_LITERAL("\xEF\xBB\xBF");

void reading_text(struct reading *reading, const char *path, struct span text, bool is_main) {
    struct open_file file = {.place = {reading->arena, reading->findings, path, 0}, .is_main = is_main};
    if (span_begins_with(text, byte_order_mark)) {
        findings_add(reading->findings, FINDING_ERROR, path, 1,
                     "the file begins with a byte order mark; save it as UTF-8 without one");
        text = span_after(text, byte_order_mark.size);
    }
    /* The rules that stood in it would be gone without a word. */
    if (!is_main && is_blank(text))
        findings_add(reading->findings, FINDING_ERROR, path, 0,
                     "the file is empty; if that is meant, remove it or write a comment into it");
    struct lexer lexer = lexer_of(text);
    struct lexer_line line;
    while (lexer_next(&lexer, &line))
        read_line(reading, &file, &line);
}
