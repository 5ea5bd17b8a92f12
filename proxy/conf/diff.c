#include "conf/diff.h"

#include "conf/value.h"

#include <stdio.h>

struct comparing {
    const struct conf *running, *wanted;
    void (*tell)(void *keeper, const struct conf_change *change);
    void *keeper;
    size_t count;
    bool is_told[CONF_OPTION_COUNT]; /* of values that are shared by all listeners */
};

static void tell(struct comparing *comparing, const struct conf_change *change) {
    comparing->count++;
    comparing->tell(comparing->keeper, change);
}

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same_listener(const struct conf_listener *a, const struct conf_listener *b) {
    return a->port == b->port && is_same_text(a->address, b->address) && is_same_text(a->path, b->path) &&
           a->is_default_local == b->is_default_local && a->socket_domain == b->socket_domain &&
           is_same_text(a->bind_interface, b->bind_interface);
}

static const struct conf_listener *find_listener(const struct conf *conf, const struct conf_listener *like) {
    for (size_t i = 0; i < conf->listener_count; i++)
        if (is_same_listener(&conf->listeners[i], like))
            return &conf->listeners[i];
    return NULL;
}

/* Does the listener have this value from the line for all (or from the default)? */
static bool is_shared(const struct conf *conf, const struct conf_listener *listener,
                      enum conf_option option) {
    const struct conf_origin *own = &listener->origins[option], *all = &conf->shared.origins[option];
    return own->line == all->line && own->file == all->file;
}

static void compare_option(struct comparing *comparing, const struct conf_row *row, const void *running,
                           const struct conf_origin *running_origins, const void *wanted,
                           const struct conf_origin *wanted_origins, const struct conf_listener *listener) {
    if (value_is_equal(row, running, wanted))
        return;
    struct conf_origin origin = wanted_origins[row->option];
    struct conf_change change = {
        .keyword = row->keyword, .listener = listener, .needs_restart = row->needs_restart};
    if (origin.line == 0 && running_origins[row->option].line != 0) {
        origin = running_origins[row->option];
        change.is_gone = true;
    }
    change.file = origin.file;
    change.line = origin.line;
    value_print(row, running, change.from, sizeof change.from);
    value_print(row, wanted, change.to, sizeof change.to);
    tell(comparing, &change);
}

static void compare_listeners(struct comparing *comparing, const struct conf_listener *running,
                              const struct conf_listener *wanted) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind != CONF_ROW_OPTION || row->scope == CONF_SCOPE_GLOBAL || row->size == 0)
            continue;
        bool concerns_all = is_shared(comparing->running, running, row->option) &&
                            is_shared(comparing->wanted, wanted, row->option) &&
                            comparing->wanted->shared.origins[row->option].line +
                                    comparing->running->shared.origins[row->option].line !=
                                0;
        if (concerns_all && comparing->is_told[row->option])
            continue;
        size_t before = comparing->count;
        compare_option(comparing, row, running, running->origins, wanted, wanted->origins,
                       concerns_all ? NULL : wanted);
        if (concerns_all && comparing->count != before)
            comparing->is_told[row->option] = true;
    }
}

static void tell_listener(struct comparing *comparing, const struct conf_listener *listener, bool is_gone) {
    bool is_host = listener->host != NULL;
    struct conf_change change = {.keyword = is_host ? "host" : "listener",
                                 .file = listener->file,
                                 .line = listener->line,
                                 .listener = listener,
                                 .is_gone = is_gone,
                                 .needs_restart = !is_host};
    char *room = is_gone ? change.from : change.to;
    conf_listener_name(listener, room, TEXT_QUOTED_SIZE);
    snprintf(is_gone ? change.to : change.from, TEXT_QUOTED_SIZE, "none");
    tell(comparing, &change);
}

static const struct conf_listener *find_host(const struct conf_listener *listener, const char *name) {
    for (size_t i = 0; i < listener->host_count; i++)
        if (strcmp(listener->hosts[i].host, name) == 0)
            return &listener->hosts[i];
    return NULL;
}

static void compare_hosts(struct comparing *comparing, const struct conf_listener *running,
                          const struct conf_listener *wanted) {
    for (size_t i = 0; i < wanted->host_count; i++) {
        const struct conf_listener *counterpart = find_host(running, wanted->hosts[i].host);
        if (counterpart == NULL)
            tell_listener(comparing, &wanted->hosts[i], false);
        else
            compare_listeners(comparing, counterpart, &wanted->hosts[i]);
    }
    for (size_t i = 0; i < running->host_count; i++)
        if (find_host(wanted, running->hosts[i].host) == NULL)
            tell_listener(comparing, &running->hosts[i], true);
}

size_t conf_diff(const struct conf *running, const struct conf *wanted,
                 void (*told)(void *keeper, const struct conf_change *change), void *keeper) {
    struct comparing comparing = {.running = running, .wanted = wanted, .tell = told, .keeper = keeper};
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind == CONF_ROW_OPTION && row->scope == CONF_SCOPE_GLOBAL && row->size != 0)
            compare_option(&comparing, row, running, running->origins, wanted, wanted->origins, NULL);
    }
    for (size_t i = 0; i < wanted->listener_count; i++) {
        const struct conf_listener *listener = &wanted->listeners[i];
        const struct conf_listener *counterpart = find_listener(running, listener);
        if (counterpart == NULL)
            tell_listener(&comparing, listener, false);
        else {
            compare_listeners(&comparing, counterpart, listener);
            compare_hosts(&comparing, counterpart, listener);
        }
    }
    for (size_t i = 0; i < running->listener_count; i++)
        if (find_listener(wanted, &running->listeners[i]) == NULL)
            tell_listener(&comparing, &running->listeners[i], true);
    return comparing.count;
}
