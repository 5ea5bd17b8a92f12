/* check_proxy: who may say who a device is. */
#include "conf/check.h"

#define AT(findings, kind, origin, ...)                                                                      \
    findings_add(findings, kind, (origin)->file, (origin)->line, __VA_ARGS__)

static bool is_own(const struct conf *conf, const struct conf_listener *listener, enum conf_option option) {
    return listener->origins[option].line != 0 && !conf_is_from_all(conf, listener, option);
}

static bool has_networks(const struct conf_listener *listener) {
    return listener->proxy_protocol_from != NULL && listener->proxy_protocol_from->count != 0;
}

static void check_idle(const struct conf *conf, const struct conf_listener *listener,
                       struct findings *findings) {
    if (listener->enable_proxy_protocol == 0 && is_own(conf, listener, CONF_proxy_protocol_from))
        AT(findings, FINDING_WARNING, &listener->origins[CONF_proxy_protocol_from],
           "proxy_protocol_from has no effect without enable_proxy_protocol; add it or remove this line");
    if (listener->enable_proxy_protocol != 2 && listener->proxy_protocol_v2_require_tls)
        AT(findings, FINDING_ERROR, &listener->origins[CONF_proxy_protocol_v2_require_tls],
           "proxy_protocol_v2_require_tls needs enable_proxy_protocol 2, for only its headers tell of TLS");
}

/* Whoever may send a header may be anybody. */
static void check_senders(const struct conf_listener *listener, struct findings *findings) {
    const struct conf_origin *origin = &listener->origins[CONF_enable_proxy_protocol];
    if (listener->enable_proxy_protocol == 0)
        return;
    if (listener->path == NULL && !has_networks(listener))
        AT(findings, FINDING_ERROR, origin,
           "enable_proxy_protocol needs proxy_protocol_from, the networks of the proxies that may say who a "
           "device "
           "is; add a line such as: proxy_protocol_from 192.0.2.10");
    for (size_t i = 0; has_networks(listener) && i < listener->proxy_protocol_from->count; i++)
        if (listener->proxy_protocol_from->list[i].prefix == 0)
            AT(findings, FINDING_WARNING, &listener->origins[CONF_proxy_protocol_from],
               "proxy_protocol_from lets everybody say that he is somebody else; name the addresses of the "
               "proxies");
    if (listener->use_subject_as_username && !conf_listener_is_tls(listener))
        AT(findings, FINDING_ERROR, origin,
           "a PROXY protocol header does not hold the subject of a certificate; use "
           "use_identity_as_username");
}

void conf_check_proxy(const struct conf *conf, struct findings *findings) {
    for (size_t i = 0; i < conf->listener_count; i++) {
        check_idle(conf, &conf->listeners[i], findings);
        check_senders(&conf->listeners[i], findings);
    }
}
