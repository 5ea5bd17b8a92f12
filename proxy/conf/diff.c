#include "conf/diff.h"

#include "conf/value.h"

#include <stdio.h>

struct comparing {
    const struct conf *running, *wanted;
    void (*tell)(void *keeper, const struct conf_change *change);
    void *keeper;
    size_t count;
    bool is_told[CONF_OPTION_COUNT]; /* of values that are shared by all listeners, or bridges */
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

/* The values of a listener or a bridge, and where those for all of them stand. */
struct side {
    const void *home;
    const struct conf_origin *origins, *all;
};

/* Whom a change concerns; all NULL: everybody. */
struct owner {
    const struct conf_listener *listener;
    const struct conf_bridge *bridge;
};

/* Is the value the one for all (or the default)? */
static bool is_shared(struct side side, enum conf_option option) {
    const struct conf_origin *own = &side.origins[option], *all = &side.all[option];
    return own->line == all->line && own->file == all->file;
}

static void compare_option(struct comparing *comparing, const struct conf_row *row, struct side running,
                           struct side wanted, struct owner owner) {
    if (value_is_equal(row, running.home, wanted.home))
        return;
    struct conf_origin origin = wanted.origins[row->option];
    struct conf_change change = {.keyword = row->keyword,
                                 .listener = owner.listener,
                                 .bridge = owner.bridge,
                                 .needs_restart = row->needs_restart};
    if (origin.line == 0 && running.origins[row->option].line != 0) {
        origin = running.origins[row->option];
        change.is_gone = true;
    }
    change.file = origin.file;
    change.line = origin.line;
    value_print(row, running.home, change.from, sizeof change.from);
    value_print(row, wanted.home, change.to, sizeof change.to);
    tell(comparing, &change);
}

static void compare_homes(struct comparing *comparing, enum conf_home kind, struct side running,
                          struct side wanted, struct owner owner) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (!conf_row_is_of(row, kind))
            continue;
        bool concerns_all = is_shared(running, row->option) && is_shared(wanted, row->option) &&
                            wanted.all[row->option].line + running.all[row->option].line != 0;
        if (concerns_all && comparing->is_told[row->option])
            continue;
        size_t before = comparing->count;
        compare_option(comparing, row, running, wanted, concerns_all ? (struct owner){NULL, NULL} : owner);
        if (concerns_all && comparing->count != before)
            comparing->is_told[row->option] = true;
    }
}

static void compare_listeners(struct comparing *comparing, const struct conf_listener *running,
                              const struct conf_listener *wanted) {
    compare_homes(comparing, CONF_HOME_LISTENER,
                  (struct side){running, running->origins, comparing->running->shared.origins},
                  (struct side){wanted, wanted->origins, comparing->wanted->shared.origins},
                  (struct owner){.listener = wanted});
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

static const struct conf_bridge *find_bridge(const struct conf *conf, const char *name) {
    for (size_t i = 0; i < conf->bridge_count; i++)
        if (strcmp(conf->bridges[i].name, name) == 0)
            return &conf->bridges[i];
    return NULL;
}

static void tell_bridge(struct comparing *comparing, const struct conf_bridge *bridge, bool is_gone) {
    struct conf_change change = {.keyword = "connection",
                                 .file = bridge->file,
                                 .line = bridge->line,
                                 .bridge = bridge,
                                 .is_gone = is_gone};
    snprintf(change.from, sizeof change.from, "%s", is_gone ? bridge->name : "none");
    snprintf(change.to, sizeof change.to, "%s", is_gone ? "none" : bridge->name);
    tell(comparing, &change);
}

static void compare_bridges(struct comparing *comparing) {
    const struct conf *running = comparing->running, *wanted = comparing->wanted;
    for (size_t i = 0; i < wanted->bridge_count; i++) {
        const struct conf_bridge *bridge = &wanted->bridges[i], *before = find_bridge(running, bridge->name);
        if (before == NULL)
            tell_bridge(comparing, bridge, false);
        else
            compare_homes(comparing, CONF_HOME_BRIDGE,
                          (struct side){before, before->origins, running->bridged.origins},
                          (struct side){bridge, bridge->origins, wanted->bridged.origins},
                          (struct owner){.bridge = bridge});
    }
    for (size_t i = 0; i < running->bridge_count; i++)
        if (find_bridge(wanted, running->bridges[i].name) == NULL)
            tell_bridge(comparing, &running->bridges[i], true);
}

size_t conf_diff(const struct conf *running, const struct conf *wanted,
                 void (*told)(void *keeper, const struct conf_change *change), void *keeper) {
    struct comparing comparing = {.running = running, .wanted = wanted, .tell = told, .keeper = keeper};
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (conf_row_is_of(row, CONF_HOME_PROGRAM))
            compare_option(&comparing, row, (struct side){running, running->origins, NULL},
                           (struct side){wanted, wanted->origins, NULL}, (struct owner){NULL, NULL});
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
    compare_bridges(&comparing);
    return comparing.count;
}
