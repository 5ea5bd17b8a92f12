#include "conf/rows.h"

#include "base/text.h"

/* Offset and size of a field, wherever the scope puts it. */
#define HOME_GLOBAL    struct conf
#define HOME_SHARED    struct conf_listener
#define HOME_SECURITY  struct conf_listener
#define HOME_INHERITED struct conf_listener
#define HOME_LISTENER  struct conf_listener
#define HOME_BRIDGE    struct conf_bridge
#define HOME_BRIDGED   struct conf_bridge
#define FIELD(home, name)                                                                                    \
    .offset = offsetof(home, name), .size = sizeof(((home *)NULL)->name) /* sizeof does not look there */
#define PLACE_BOOL(home, field)        FIELD(home, field)
#define PLACE_INT(home, field)         FIELD(home, field)
#define PLACE_DURATION(home, field)    FIELD(home, field)
#define PLACE_CHOICE(home, field)      FIELD(home, field)
#define PLACE_MASK(home, field)        FIELD(home, field)
#define PLACE_STRING(home, field)      FIELD(home, field)
#define PLACE_STRING_LAST(home, field) FIELD(home, field)
#define PLACE_PATH(home, field)        FIELD(home, field)
#define PLACE_PATH_LAST(home, field)   FIELD(home, field)
#define PLACE_PATTERNS(home, field)    FIELD(home, field)
#define PLACE_SECRET(home, field)      FIELD(home, field)
#define PLACE_BACKEND(home, field)     FIELD(home, field)
#define PLACE_ENDPOINT(home, field)    FIELD(home, field)
#define PLACE_RATE(home, field)        FIELD(home, field)
#define PLACE_NETWORKS(home, field)    FIELD(home, field)
#define PLACE_BAN(home, field)         FIELD(home, field)
#define PLACE_TEXTS(home, field)       FIELD(home, field)
#define PLACE_PATHS(home, field)       FIELD(home, field)
#define PLACE_SOURCE(home, field)      FIELD(home, field)
#define PLACE_HIDDEN(home, field)      FIELD(home, field)
#define PLACE_ADDRESSES(home, field)   FIELD(home, field)
#define PLACE_ROUTES(home, field)      FIELD(home, field)
#define PLACE_RESTART(home, field)     FIELD(home, field)
#define PLACE_KEEPALIVE(home, field)   FIELD(home, field)
#define PLACE_SIZE(home, field)        FIELD(home, field)
#define PLACE_PRIORITIES(home, field)  FIELD(home, field)
#define PLACE_STRUCTURE(home, field)   .offset = 0, .size = 0

#define CHANGE_LIVE    false
#define CHANGE_RESTART true

const struct conf_row conf_rows[] = {
#define SECTION(title, text) {.kind = CONF_ROW_SECTION, .keyword = title, .help = text},
#define OPTION(its_scope, its_type, field, name, its_argument, value, least, most, change, text)             \
    {.kind = CONF_ROW_OPTION,                                                                                \
     .keyword = name,                                                                                        \
     .argument = its_argument,                                                                               \
     .help = text,                                                                                           \
     .initial = value,                                                                                       \
     .option = CONF_##field,                                                                                 \
     .scope = CONF_SCOPE_##its_scope,                                                                        \
     .type = CONF_TYPE_##its_type,                                                                           \
     PLACE_##its_type(HOME_##its_scope, field),                                                              \
     .low = least,                                                                                           \
     .high = most,                                                                                           \
     .needs_restart = CHANGE_##change},
#define ALIAS(its_scope, field, name, text)                                                                  \
    {.kind = CONF_ROW_ALIAS,                                                                                 \
     .keyword = name,                                                                                        \
     .help = text,                                                                                           \
     .option = CONF_##field,                                                                                 \
     .scope = CONF_SCOPE_##its_scope},
#define IGNORED(name, text)        {.kind = CONF_ROW_IGNORED, .keyword = name, .help = text},
#define BROKER(name, its_argument) {.kind = CONF_ROW_BROKER, .keyword = name, .argument = its_argument},
#define COMING(name, off, text)    {.kind = CONF_ROW_COMING, .keyword = name, .initial = off, .help = text},
#define PLUGIN(name, argument_, text)                                                                        \
    {.kind = CONF_ROW_PLUGIN, .keyword = name, .argument = argument_, .help = text},
#define TWIN(its_scope, field, name, its_argument, text)                                                     \
    {.kind = CONF_ROW_ALIAS,                                                                                 \
     .keyword = name,                                                                                        \
     .argument = its_argument,                                                                               \
     .help = text,                                                                                           \
     .option = CONF_##field,                                                                                 \
     .scope = CONF_SCOPE_##its_scope},
#include "conf/options.def"
};

const size_t conf_row_count = sizeof conf_rows / sizeof conf_rows[0];

/* plugin_opt_ stands for every keyword that begins so. */
static bool is_beginning(const struct conf_row *row) {
    return row->kind == CONF_ROW_PLUGIN && row->keyword[strlen(row->keyword) - 1] == '_';
}

const struct conf_row *conf_row_find(struct span keyword) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind == CONF_ROW_SECTION)
            continue;
        if (is_beginning(row) ? span_begins_with(keyword, span_of_text(row->keyword))
                              : span_is_text(keyword, row->keyword))
            return row;
    }
    return NULL;
}

#define KEYWORD_SIZE 48 /* with its NUL; all keywords are shorter */

const char *conf_row_nearest(struct span keyword) {
    char word[KEYWORD_SIZE];
    if (keyword.size == 0 || keyword.size >= sizeof word || span_has_byte(keyword, 0))
        return NULL;
    for (size_t i = 0; i < keyword.size; i++)
        word[i] = (char)(keyword.at[i] >= 'A' && keyword.at[i] <= 'Z' ? keyword.at[i] | 0x20 : keyword.at[i]);
    word[keyword.size] = 0;
    const char *best = NULL;
    unsigned best_distance = (unsigned)(keyword.size / 3) + 1; /* a third of the letters may be wrong */
    for (size_t i = 0; i < conf_row_count; i++) {
        if (conf_rows[i].kind == CONF_ROW_SECTION)
            continue;
        size_t size = strlen(conf_rows[i].keyword);
        size_t excess = size > keyword.size ? size - keyword.size : keyword.size - size;
        if (excess >= best_distance) /* each missing letter is one edit */
            continue;
        unsigned distance = text_distance(word, conf_rows[i].keyword);
        if (distance < best_distance) {
            best = conf_rows[i].keyword;
            best_distance = distance;
        }
    }
    return best;
}

const struct conf_row *conf_row_of(enum conf_option option) {
    for (size_t i = 0; i < conf_row_count; i++)
        if (conf_rows[i].kind == CONF_ROW_OPTION && conf_rows[i].option == option)
            return &conf_rows[i];
    return NULL;
}

const char *conf_row_argument(const struct conf_row *row) {
    return row->argument == NULL && row->kind == CONF_ROW_ALIAS ? conf_row_of(row->option)->argument
                                                                : row->argument;
}
