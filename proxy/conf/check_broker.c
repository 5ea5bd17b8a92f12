/* check_broker: TLS to the broker. Whoever wrote a line about it meant TLS, so none of them is without
 * effect. */
#include "conf/check.h"

#include "base/network.h"
#include "conf/rows.h"

#define AT(findings, kind, conf, option, ...)                                                                \
    findings_add(findings, kind, (conf)->origins[option].file, (conf)->origins[option].line, __VA_ARGS__)

static void check_needs_tls(const struct conf *conf, struct findings *findings) {
    static const enum conf_option options[] = {
        CONF_backend_cafile, CONF_backend_capath, CONF_backend_certfile, CONF_backend_keyfile,
        CONF_backend_sni,    CONF_backend_alpn,   CONF_backend_insecure, CONF_backend_http_proxy};
    for (size_t i = 0; !conf->backend_tls && i < sizeof options / sizeof options[0]; i++) {
        bool is_off = options[i] == CONF_backend_insecure && !conf->backend_insecure;
        if (conf->origins[options[i]].line != 0 && !is_off)
            AT(findings, FINDING_ERROR, conf, options[i],
               "%s needs backend_tls true, or everything would go to the broker in plain text; add it or "
               "remove this "
               "line",
               conf_row_of(options[i])->keyword);
    }
}

static void check_pair(const struct conf *conf, struct findings *findings) {
    bool has_certificate = conf->backend_certfile != NULL;
    if (has_certificate != (conf->backend_keyfile != NULL))
        AT(findings, FINDING_ERROR, conf, has_certificate ? CONF_backend_certfile : CONF_backend_keyfile,
           "%s needs %s too", has_certificate ? "backend_certfile" : "backend_keyfile",
           has_certificate ? "backend_keyfile" : "backend_certfile");
}

static void check_name(const struct conf *conf, struct findings *findings) {
    struct network network;
    if (conf->backend_sni != NULL && network_read(span_of_text(conf->backend_sni), &network))
        AT(findings, FINDING_ERROR, conf, CONF_backend_sni,
           "backend_sni is an address, and only names can be asked for; remove it, the address in backend is "
           "checked "
           "anyway");
    if (conf->backend_tls && !conf->backend_insecure && conf->backend_sni == NULL && conf->backend != NULL &&
        conf->backend->path != NULL)
        AT(findings, FINDING_ERROR, conf, CONF_backend_tls,
           "backend_tls over a Unix socket needs backend_sni, the name that the broker's certificate must "
           "have");
}

/* What stands in the address is judged when it is known, perhaps from a file. */
static void check_http_proxy(const struct conf *conf, struct findings *findings) {
    if (conf->backend_http_proxy == NULL && conf->backend_http_proxy_password_file != NULL)
        AT(findings, FINDING_ERROR, conf, CONF_backend_http_proxy_password_file,
           "backend_http_proxy_password_file needs backend_http_proxy with a user; add it or remove this "
           "line");
    if (conf->backend_http_proxy != NULL && conf->backend != NULL && conf->backend->path != NULL)
        AT(findings, FINDING_ERROR, conf, CONF_backend_http_proxy,
           "backend_http_proxy cannot reach a Unix socket; name the broker's host in backend or remove this "
           "line");
}

static void check_alpn(const struct conf *conf, struct findings *findings) {
    size_t size = 0;
    for (const char *at = conf->backend_alpn; at != NULL; at++) {
        if (*at != ',' && *at != '\0') {
            size++;
            continue;
        }
        if (size == 0 || size > 255) {
            AT(findings, FINDING_ERROR, conf, CONF_backend_alpn,
               "backend_alpn has a protocol of %zu bytes; write names of 1 to 255 bytes, with a comma "
               "between them",
               size);
            return;
        }
        size = 0;
        if (*at == '\0')
            return;
    }
}

static void check_insecure(const struct conf *conf, struct findings *findings) {
    bool has_authority = conf->backend_cafile != NULL || conf->backend_capath != NULL;
    if (conf->backend_tls && conf->backend_insecure)
        AT(findings, FINDING_WARNING, conf, CONF_backend_insecure,
           has_authority ? "backend_insecure: the name in the broker's certificate is not checked, so every "
                           "server with a "
                           "certificate of that CA can be the broker; remove the line"
                         : "backend_insecure: the broker's certificate is not checked, so everybody on the "
                           "way can be the "
                           "broker, read and change everything; remove the line");
}

void conf_check_broker(const struct conf *conf, struct findings *findings) {
    check_needs_tls(conf, findings);
    check_pair(conf, findings);
    check_name(conf, findings);
    check_alpn(conf, findings);
    check_http_proxy(conf, findings);
    check_insecure(conf, findings);
}
