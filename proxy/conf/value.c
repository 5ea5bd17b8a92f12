#include "conf/value.h"

#include "base/text.h"
#include "base/units.h"
#include "conf/entry.h"
#include "conf/lexer.h"
#include "conf/patterns.h"
#include "conf/remote.h"
#include "conf/route.h"
#include "conf/secret.h"
#include "conf/source.h"
#include "conf/words.h"

#include <inttypes.h>
#include <stdio.h>

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define WARN(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_WARNING, (place)->file, (place)->line, __VA_ARGS__)

#define STRING_SIZE_MAX 65535

void value_out_of_memory(const struct value_place *place) {
    place->findings->out_of_memory = true;
}

static const char *quoted(struct span text, char room[TEXT_QUOTED_SIZE]) {
    return text_quote(room, TEXT_QUOTED_SIZE, text);
}

/* Tabs look like spaces on the screen, so the sentence has to say it. */
static const char *tab_hint(struct span token) {
    return span_has_byte(token, '\t') ? " (there is a tab in it; only spaces separate)" : "";
}

void value_end(const struct value_place *place, const char *keyword, struct span rest) {
    rest = lexer_trim(rest);
    if (rest.size == 0 || rest.at[0] == '#')
        return;
    char room[TEXT_QUOTED_SIZE];
    WARN(place, "%s takes no more than stands in front of '%s', which is ignored; remove it", keyword,
         quoted(rest, room));
}

static bool take_token(const struct value_place *place, const char *keyword, const char *argument,
                       struct span *rest, struct span *token) {
    if (lexer_token(rest, " ", token) && !span_is_text(*token, "\t"))
        return true;
    REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, argument);
    return false;
}

static bool read_bool(struct span token, bool *value) {
    *value = span_is_text(token, "true") || span_is_text(token, "1");
    return *value || span_is_text(token, "false") || span_is_text(token, "0");
}

bool value_read_bool(const struct value_place *place, const char *keyword, struct span rest, bool *value) {
    struct span token;
    if (!take_token(place, keyword, "true|false", &rest, &token))
        return false;
    if (!read_bool(token, value)) {
        char room[TEXT_QUOTED_SIZE];
        REFUSE(place, "%s is '%s'%s, but may only be true or false", keyword, quoted(token, room),
               tab_hint(token));
        return false;
    }
    value_end(place, keyword, rest);
    return true;
}

bool value_read_int(const struct value_place *place, const char *keyword, struct span *rest, int64_t low,
                    int64_t high, int32_t *value) {
    struct span token;
    if (!take_token(place, keyword, "NUMBER", rest, &token))
        return false;
    char room[TEXT_QUOTED_SIZE];
    if (!units_read_int(token, value)) {
        REFUSE(place, "%s is '%s'%s, which is no whole number of 32 bits", keyword, quoted(token, room),
               tab_hint(token));
        return false;
    }
    if (*value < low || *value > high) {
        REFUSE(place, "%s is %" PRId32 ", but must be from %" PRId64 " to %" PRId64, keyword, *value, low,
               high);
        return false;
    }
    return true;
}

static bool read_int(const struct value_place *place, const struct conf_row *row, const char *keyword,
                     struct span rest, int32_t *field) {
    int32_t value;
    if (!value_read_int(place, keyword, &rest, row->low, row->high, &value))
        return false;
    value_end(place, keyword, rest);
    *field = value;
    return true;
}

static bool read_duration(const struct value_place *place, const struct conf_row *row, const char *keyword,
                          struct span rest, uint64_t *field) {
    struct span token;
    if (!take_token(place, keyword, row->argument, &rest, &token))
        return false;
    uint64_t value_ms;
    char room[TEXT_QUOTED_SIZE];
    if (!units_read_duration_ms(token, &value_ms)) {
        REFUSE(place, "%s is '%s'%s, which is no duration; write a number and ms, s, m, h or d, such as 10s",
               keyword, quoted(token, room), tab_hint(token));
        return false;
    }
    if (value_ms < (uint64_t)row->low || value_ms > (uint64_t)row->high) {
        REFUSE(place, "%s is %s, but must be from %" PRId64 "ms to %" PRId64 "s", keyword,
               quoted(token, room), row->low, row->high / 1000);
        return false;
    }
    value_end(place, keyword, rest);
    *field = value_ms;
    return true;
}

/* What can be true or false can be 1 or 0, as with BOOL. */
static bool is_choice(struct span token, struct span choice) {
    return span_is_equal(token, choice) || (span_is_text(token, "1") && span_is_text(choice, "true")) ||
           (span_is_text(token, "0") && span_is_text(choice, "false"));
}

static bool read_choice(const struct value_place *place, const struct conf_row *row, const char *keyword,
                        struct span rest, int *field) {
    struct span token, choice, choices = span_of_text(row->argument);
    if (!take_token(place, keyword, row->argument, &rest, &token))
        return false;
    for (int index = 0; lexer_token(&choices, "|", &choice); index++)
        if (is_choice(token, choice)) {
            value_end(place, keyword, rest);
            *field = index;
            return true;
        }
    char room[TEXT_QUOTED_SIZE];
    REFUSE(place, "%s is '%s'%s, but may only be one of %s", keyword, quoted(token, room), tab_hint(token),
           row->argument);
    return false;
}

/* Two things that people write and that mosquitto takes as part of the value. */
static void warn_of_string(const struct value_place *place, const char *keyword, struct span value,
                           bool is_hidden) {
    bool has_comment = false;
    for (size_t i = 1; i < value.size; i++)
        has_comment |= value.at[i] == '#' && (value.at[i - 1] == ' ' || value.at[i - 1] == '\t');
    char room[TEXT_QUOTED_SIZE];
    const char *shown = is_hidden ? "not shown here" : quoted(value, room);
    if (has_comment)
        WARN(place,
             "the # and what follows belong to the value of %s: '%s'; a comment needs a line of its own",
             keyword, shown);
    uint8_t first = value.at[0], last = value.at[value.size - 1];
    if (value.size > 1 && first == last && (first == '"' || first == '\''))
        WARN(place, "the quotes belong to the value of %s: %s; remove them if they are not meant", keyword,
             shown);
}

static const char *keep_string(const struct value_place *place, const char *keyword, struct span rest,
                               bool is_hidden) {
    struct span value = lexer_trim(rest);
    if (value.size == 0) {
        REFUSE(place, "%s has no value; write one behind it or remove the line", keyword);
        return NULL;
    }
    if (value.size > STRING_SIZE_MAX) {
        REFUSE(place, "the value of %s is longer than %d bytes; shorten it", keyword, STRING_SIZE_MAX);
        return NULL;
    }
    if (place->file != NULL)
        warn_of_string(place, keyword, value, is_hidden);
    const char *text = arena_text(place->arena, value);
    if (text == NULL)
        value_out_of_memory(place);
    return text;
}

const char *value_read_string(const struct value_place *place, const char *keyword, struct span rest) {
    return keep_string(place, keyword, rest, false);
}

const char *value_resolve(const struct value_place *place, const char *path) {
    const char *slash = place->file == NULL ? NULL : strrchr(place->file, '/');
    if (path == NULL || path[0] == '/' || slash == NULL)
        return path;
    const char *resolved =
        arena_print(place->arena, "%.*s/%s", (int)(slash - place->file), place->file, path);
    if (resolved == NULL)
        value_out_of_memory(place);
    return resolved;
}

/* A second value: an error for some strings, as in mosquitto; for the others the last one counts. */
static bool may_repeat(const struct value_place *place, const struct conf_row *row, const char *keyword,
                       const struct conf_origin *origin) {
    if (origin->line == 0)
        return true;
    if (row->type == CONF_TYPE_STRING || row->type == CONF_TYPE_PATH || row->type == CONF_TYPE_BACKEND ||
        row->type == CONF_TYPE_ENDPOINT || row->type == CONF_TYPE_SECRET || row->type == CONF_TYPE_HIDDEN ||
        row->type == CONF_TYPE_ADDRESSES) {
        REFUSE(place, "%s stands at %s:%u already and there can be only one%s; remove one of the two lines",
               keyword, origin->file, origin->line, row->type == CONF_TYPE_BACKEND ? " for now" : "");
        return false;
    }
    if (conf_row_is_text(row) && strcmp(origin->file, place->file) == 0)
        WARN(place, "%s replaces the value of line %u; remove one of the two lines", keyword, origin->line);
    return true;
}

static bool read_text(const struct value_place *place, const struct conf_row *row, const char *keyword,
                      struct span rest, const char **field) {
    const char *text = keep_string(place, keyword, rest, row->type == CONF_TYPE_HIDDEN);
    if (text != NULL && (row->type == CONF_TYPE_PATH || row->type == CONF_TYPE_PATH_LAST))
        text = value_resolve(place, text);
    if (text == NULL)
        return false;
    *field = text;
    return true;
}

static bool read_field(const struct value_place *place, const struct conf_row *row, const char *keyword,
                       struct span rest, void *home) {
    void *field = conf_row_field(row, home);
    switch (row->type) {
    case CONF_TYPE_BOOL: return value_read_bool(place, keyword, rest, field);
    case CONF_TYPE_INT: return read_int(place, row, keyword, rest, field);
    case CONF_TYPE_DURATION: return read_duration(place, row, keyword, rest, field);
    case CONF_TYPE_CHOICE: return read_choice(place, row, keyword, rest, field);
    case CONF_TYPE_STRING:
    case CONF_TYPE_STRING_LAST:
    case CONF_TYPE_PATH:
    case CONF_TYPE_PATH_LAST:
    case CONF_TYPE_HIDDEN: return read_text(place, row, keyword, rest, field);
    case CONF_TYPE_MASK: return words_read_mask(place, row->option, keyword, rest, home);
    case CONF_TYPE_PATTERNS: return patterns_read(place, keyword, rest, field);
    case CONF_TYPE_SECRET: return secret_read(place, keyword, rest, field);
    case CONF_TYPE_BACKEND: return words_read_backend(place, keyword, rest, field);
    case CONF_TYPE_ENDPOINT: return words_read_endpoint(place, keyword, rest, field);
    case CONF_TYPE_RATE: return entry_read_rate(place, row, keyword, rest, field);
    case CONF_TYPE_NETWORKS: return entry_read_networks(place, row, keyword, rest, field);
    case CONF_TYPE_BAN: return entry_read_ban(place, row, keyword, rest, field);
    case CONF_TYPE_TEXTS: return patterns_add(place, keyword, rest, PATTERN_TEXT, field);
    case CONF_TYPE_PATHS: {
        bool is_pair = row->option == CONF_certfile || row->option == CONF_keyfile;
        return patterns_add(place, keyword, rest, is_pair ? PATTERN_PLACED_PATH : PATTERN_PATH, field);
    }
    case CONF_TYPE_SOURCE: return source_read(place, row, keyword, rest, field);
    case CONF_TYPE_ADDRESSES: return remote_read_addresses(place, row, keyword, rest, field);
    case CONF_TYPE_ROUTES: return route_read(place, keyword, rest, field);
    case CONF_TYPE_RESTART: return remote_read_restart(place, row, keyword, rest, field);
    case CONF_TYPE_KEEPALIVE: return remote_read_keepalive(place, row, keyword, rest, field);
    case CONF_TYPE_SIZE: return remote_read_size(place, keyword, rest, field);
    case CONF_TYPE_PRIORITIES: return remote_read_priority(place, row, keyword, rest, field);
    case CONF_TYPE_STRUCTURE: break;
    }
    return false;
}

bool value_read(const struct value_place *place, const struct conf_row *row, const char *keyword,
                struct span rest, void *home, struct conf_origin *origin) {
    if (!may_repeat(place, row, keyword, origin))
        return false;
    bool is_read = read_field(place, row, keyword, rest, home);
    if (row->option == CONF_log_dest) /* sets its origin itself: `log_dest topic` leaves the default */
        return is_read;
    if (place->file != NULL) /* a wrong value counts as given: nothing else shall be said of it */
        *origin = (struct conf_origin){place->file, place->line};
    return is_read;
}

static bool is_equal_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool value_is_equal(const struct conf_row *row, const void *home_a, const void *home_b) {
    const void *a = conf_row_value(row, home_a), *b = conf_row_value(row, home_b);
    if (conf_row_is_text(row))
        return is_equal_text(*(const char *const *)a, *(const char *const *)b);
    if (row->type == CONF_TYPE_BACKEND) {
        const struct conf_backend *one = *(const struct conf_backend *const *)a;
        const struct conf_backend *other = *(const struct conf_backend *const *)b;
        return one == NULL || other == NULL
                   ? one == other
                   : is_equal_text(one->host, other->host) && one->port == other->port &&
                         is_equal_text(one->path, other->path);
    }
    if (row->type == CONF_TYPE_ENDPOINT) {
        const struct conf_endpoint *one = *(const struct conf_endpoint *const *)a;
        const struct conf_endpoint *other = *(const struct conf_endpoint *const *)b;
        return one == NULL || other == NULL
                   ? one == other
                   : is_equal_text(one->host, other->host) && one->port == other->port;
    }
    if (row->type == CONF_TYPE_PATTERNS || row->type == CONF_TYPE_TEXTS || row->type == CONF_TYPE_PATHS)
        return patterns_are_equal(*(struct conf_pattern *const *)a, *(struct conf_pattern *const *)b);
    if (row->type == CONF_TYPE_SECRET)
        return secret_is_equal(*(const struct conf_secret *const *)a, *(const struct conf_secret *const *)b);
    if (row->type == CONF_TYPE_NETWORKS)
        return entry_is_equal_networks(*(const struct conf_networks *const *)a,
                                       *(const struct conf_networks *const *)b);
    if (row->type == CONF_TYPE_ADDRESSES)
        return remote_are_equal_addresses(*(const struct conf_addresses *const *)a,
                                          *(const struct conf_addresses *const *)b);
    if (row->type == CONF_TYPE_ROUTES)
        return routes_are_equal(*(struct conf_route *const *)a, *(struct conf_route *const *)b);
    if (row->type == CONF_TYPE_PRIORITIES)
        return remote_are_equal_priorities(*(struct conf_priority *const *)a,
                                           *(struct conf_priority *const *)b);
    if (row->option == CONF_log_dest &&
        !is_equal_text(((const struct conf *)home_a)->log_file, ((const struct conf *)home_b)->log_file))
        return false;
    return memcmp(a, b, row->size) == 0;
}

static const char *print_choice(const struct conf_row *row, int index, char *room, size_t room_size) {
    struct span choice, choices = span_of_text(row->argument);
    for (int i = 0; lexer_token(&choices, "|", &choice); i++)
        if (i == index)
            return text_quote(room, room_size, choice);
    return "none";
}

static const char *print_text(const char *text, char *room, size_t room_size) {
    return text_quote(room, room_size, text == NULL ? SPAN_LITERAL("none") : span_of_text(text));
}

const char *value_print(const struct conf_row *row, const void *home, char *room, size_t room_size) {
    const void *value = conf_row_value(row, home);
    switch (row->type) {
    case CONF_TYPE_BOOL: snprintf(room, room_size, "%s", *(const bool *)value ? "true" : "false"); break;
    case CONF_TYPE_INT: snprintf(room, room_size, "%" PRId32, *(const int32_t *)value); break;
    case CONF_TYPE_DURATION: {
        uint64_t value_ms = *(const uint64_t *)value;
        bool is_whole = value_ms % 1000 == 0;
        snprintf(room, room_size, "%" PRIu64 "%s", is_whole ? value_ms / 1000 : value_ms,
                 is_whole ? "s" : "ms");
        break;
    }
    case CONF_TYPE_CHOICE: return print_choice(row, *(const int *)value, room, room_size);
    case CONF_TYPE_STRING:
    case CONF_TYPE_STRING_LAST:
    case CONF_TYPE_PATH:
    case CONF_TYPE_PATH_LAST: return print_text(*(const char *const *)value, room, room_size);
    case CONF_TYPE_MASK: return words_print_mask(row->option, home, room, room_size);
    case CONF_TYPE_PATTERNS: return patterns_print(*(struct conf_pattern *const *)value, room, room_size);
    case CONF_TYPE_SECRET: return secret_print(*(const struct conf_secret *const *)value, room, room_size);
    case CONF_TYPE_BACKEND: {
        const struct conf_backend *backend = *(const struct conf_backend *const *)value;
        return print_text(backend == NULL ? NULL : backend->text, room, room_size);
    }
    case CONF_TYPE_ENDPOINT: {
        const struct conf_endpoint *endpoint = *(const struct conf_endpoint *const *)value;
        return print_text(endpoint == NULL ? NULL : endpoint->text, room, room_size);
    }
    case CONF_TYPE_RATE: return rate_print(value, room, room_size);
    case CONF_TYPE_NETWORKS:
        return entry_print_networks(*(const struct conf_networks *const *)value, room, room_size);
    case CONF_TYPE_BAN: return entry_print_ban(value, room, room_size);
    case CONF_TYPE_TEXTS:
    case CONF_TYPE_PATHS: return patterns_print_all(*(struct conf_pattern *const *)value, room, room_size);
    case CONF_TYPE_SOURCE: return source_print(*(const struct conf_source *)value, room, room_size);
    case CONF_TYPE_HIDDEN: {
        const char *text = *(const char *const *)value;
        return print_text(text == NULL ? NULL : "a text that is not shown", room, room_size);
    }
    case CONF_TYPE_ADDRESSES:
        return remote_print_addresses(*(const struct conf_addresses *const *)value, room, room_size);
    case CONF_TYPE_ROUTES: return routes_print(*(struct conf_route *const *)value, room, room_size);
    case CONF_TYPE_RESTART: return remote_print_restart(value, room, room_size);
    case CONF_TYPE_KEEPALIVE: return remote_print_keepalive(value, room, room_size);
    case CONF_TYPE_SIZE: snprintf(room, room_size, "%" PRIu64, *(const uint64_t *)value); break;
    case CONF_TYPE_PRIORITIES:
        return remote_print_priorities(*(struct conf_priority *const *)value, room, room_size);
    case CONF_TYPE_STRUCTURE: return print_text(NULL, room, room_size);
    }
    return room;
}
