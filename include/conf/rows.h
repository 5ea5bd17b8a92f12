/* rows: options.def as a table, for the reader, the diff and the documents. */
#ifndef DRAWBRIDGE_CONF_ROWS_H
#define DRAWBRIDGE_CONF_ROWS_H

#include "conf/conf.h"

enum conf_row_kind {
    CONF_ROW_SECTION,
    CONF_ROW_OPTION,
    CONF_ROW_ALIAS,
    CONF_ROW_IGNORED,
    CONF_ROW_BROKER,
    CONF_ROW_COMING,
    CONF_ROW_PLUGIN,
};

enum conf_scope {
    CONF_SCOPE_GLOBAL,
    CONF_SCOPE_SHARED,
    CONF_SCOPE_SECURITY,
    CONF_SCOPE_INHERITED,
    CONF_SCOPE_LISTENER,
    CONF_SCOPE_BRIDGE,
    CONF_SCOPE_BRIDGED,
};

enum conf_type {
    CONF_TYPE_BOOL,
    CONF_TYPE_INT,
    CONF_TYPE_DURATION,
    CONF_TYPE_CHOICE,
    CONF_TYPE_MASK,
    CONF_TYPE_STRING,
    CONF_TYPE_STRING_LAST,
    CONF_TYPE_PATH,
    CONF_TYPE_PATH_LAST,
    CONF_TYPE_HIDDEN,
    CONF_TYPE_PATTERNS,
    CONF_TYPE_SECRET,
    CONF_TYPE_BACKEND,
    CONF_TYPE_ENDPOINT,
    CONF_TYPE_RATE,
    CONF_TYPE_NETWORKS,
    CONF_TYPE_BAN,
    CONF_TYPE_TEXTS,
    CONF_TYPE_PATHS,
    CONF_TYPE_SOURCE,
    CONF_TYPE_ADDRESSES,
    CONF_TYPE_ROUTES,
    CONF_TYPE_RESTART,
    CONF_TYPE_KEEPALIVE,
    CONF_TYPE_SIZE,
    CONF_TYPE_PRIORITIES,
    CONF_TYPE_STRUCTURE,
};

struct conf_row {
    enum conf_row_kind kind;
    const char *keyword;     /* of a section: its title */
    const char *argument;    /* what may follow, for people; NULL where it does not matter */
    const char *help;        /* NULL for BROKER rows */
    const char *initial;     /* OPTION: the default; COMING: the value that turns it off; or NULL */
    enum conf_option option; /* OPTION and ALIAS */
    enum conf_scope scope;   /* OPTION and ALIAS */
    enum conf_type type;     /* OPTION, and what follows too */
    size_t offset, size;     /* of the field in the struct that the scope says */
    int64_t low, high;
    bool needs_restart;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

/* The row of a keyword, NULL when there is none. */
const struct conf_row *conf_row_find(struct span keyword);

/* The known keyword that looks most like this unknown one; NULL when none does. */
const char *conf_row_nearest(struct span keyword);

/* The OPTION row of an option. */
const struct conf_row *conf_row_of(enum conf_option option);

/* What the option or alias may have behind it, for people. */
const char *conf_row_argument(const struct conf_row *row);

/* Which struct the values of a scope are in. */
enum conf_home {
    CONF_HOME_PROGRAM,  /* struct conf */
    CONF_HOME_LISTENER, /* struct conf_listener */
    CONF_HOME_BRIDGE,   /* struct conf_bridge */
};
static inline enum conf_home conf_row_home(const struct conf_row *row) {
    return row->scope == CONF_SCOPE_GLOBAL                                       ? CONF_HOME_PROGRAM
           : row->scope == CONF_SCOPE_BRIDGE || row->scope == CONF_SCOPE_BRIDGED ? CONF_HOME_BRIDGE
                                                                                 : CONF_HOME_LISTENER;
}

/* An option with a field in such a struct? */
static inline bool conf_row_is_of(const struct conf_row *row, enum conf_home home) {
    return row->kind == CONF_ROW_OPTION && row->size != 0 && conf_row_home(row) == home;
}

/* An OPTION row's field; `home` is the struct that its scope says. */
static inline void *conf_row_field(const struct conf_row *row, void *home) {
    return (char *)home + row->offset;
}
static inline const void *conf_row_value(const struct conf_row *row, const void *home) {
    return (const char *)home + row->offset;
}

static inline bool conf_row_is_text(const struct conf_row *row) {
    return row->type >= CONF_TYPE_STRING && row->type <= CONF_TYPE_HIDDEN;
}

#endif
