#include "conf/check_entry.h"

#include "conf/rows.h"

#define AT(findings, kind, origin, ...)                                                                      \
    findings_add(findings, kind, (origin)->file, (origin)->line, __VA_ARGS__)

/* Did the listener get the value from a line of its own? */
static bool is_own(const struct conf *conf, const struct conf_listener *listener, enum conf_option option) {
    return listener->origins[option].line != 0 && !conf_is_from_all(conf, listener, option);
}

/* A peer of a Unix socket has no address. */
static void check_unix(const struct conf *conf, const struct conf_listener *listener,
                       struct findings *findings) {
    static const enum conf_option options[] = {CONF_allow_from, CONF_deny_from, CONF_connection_rate,
                                               CONF_max_connections_per_address, CONF_ban_after};
    for (size_t i = 0; i < sizeof options / sizeof options[0] && listener->path != NULL; i++) {
        bool is_by_name = options[i] == CONF_ban_after && listener->ban_after.kinds != CONF_BAN_ADDRESS;
        if (is_own(conf, listener, options[i]) && !is_by_name)
            AT(findings, FINDING_WARNING, &listener->origins[options[i]],
               "%s has no effect on a Unix socket, whose devices have no address; remove it",
               conf_row_of(options[i])->keyword);
    }
}

static bool is_within(const struct network *inner, const struct conf_networks *outer) {
    for (size_t i = 0; outer != NULL && i < outer->count; i++)
        if (outer->list[i].prefix <= inner->prefix && network_holds(&outer->list[i], &inner->ip))
            return true;
    return false;
}

/* What is denied is denied, so an allowed network inside a denied one lets nobody in. */
static void check_networks(const struct conf_listener *home, struct findings *findings) {
    const struct conf_networks *allowed = home->allow_from;
    for (size_t i = 0; allowed != NULL && i < allowed->count; i++) {
        char room[NETWORK_TEXT_SIZE];
        if (is_within(&allowed->list[i], home->deny_from))
            AT(findings, FINDING_WARNING, &home->origins[CONF_allow_from],
               "allow_from %s lets nobody in, for deny_from denies all of it and wins; remove one of the two",
               network_print(&allowed->list[i], room));
    }
}

static void check_ban(const struct conf_listener *home, struct findings *findings) {
    if (home->ban_after.count != 0 && home->ban_after.kinds != CONF_BAN_ADDRESS)
        AT(findings, FINDING_NOTICE, &home->origins[CONF_ban_after],
           "ban_after by username or clientid lets everybody who knows a name lock out its owner");
}

static void check_handshakes(const struct conf *conf, struct findings *findings) {
    bool has_tls = false;
    for (size_t i = 0; i < conf->listener_count; i++)
        has_tls |= conf_listener_is_tls(&conf->listeners[i]);
    if (conf->max_handshakes != 0 && !has_tls)
        AT(findings, FINDING_WARNING, &conf->origins[CONF_max_handshakes],
           "max_handshakes has no effect, for no listener has certfile and keyfile");
}

void conf_check_entry(const struct conf *conf, struct findings *findings) {
    check_handshakes(conf, findings);
    check_ban(&conf->shared, findings);
    check_networks(&conf->shared, findings);
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *listener = &conf->listeners[i];
        check_unix(conf, listener, findings);
        if (is_own(conf, listener, CONF_ban_after))
            check_ban(listener, findings);
        if (is_own(conf, listener, CONF_allow_from) || is_own(conf, listener, CONF_deny_from))
            check_networks(listener, findings);
    }
}
