#include "conf/check.h"

#include "base/text.h"
#include "conf/bridge.h"
#include "conf/check_entry.h"
#include "conf/check_identity.h"
#include "conf/check_rates.h"
#include "conf/host.h"
#include "conf/rows.h"

#define ID_PREFIX_MAX      50
#define MOUNT_POINT_MAX    65534 /* a topic wants one byte more */
#define BACKEND_PREFIX_MAX 1024
#define PACKET_SIZE_MIN    20

/* A finding at the line of an option, or of the listener when the option is a default. */
#define AT_OPTION(findings, kind, listener, option, ...)                                                     \
    do {                                                                                                     \
        struct conf_origin origin_ = conf_listener_origin(listener, option);                                 \
        findings_add(findings, kind, origin_.file, origin_.line, __VA_ARGS__);                               \
    } while (0)

#define AT_LISTENER(findings, kind, listener, ...)                                                           \
    findings_add(findings, kind, (listener)->file, (listener)->line, __VA_ARGS__)

static bool is_set(const struct conf_listener *listener, enum conf_option option) {
    return listener->origins[option].line != 0;
}

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Address families, as bits. */
#define IPV4 1u
#define IPV6 2u

/* The families in which an address means all addresses of the machine; 0: a certain address. */
static unsigned wildcard_families(const char *address, int domain) {
    unsigned families = address == NULL                    ? IPV4 | IPV6
                        : is_same_text(address, "0.0.0.0") ? IPV4
                        : is_same_text(address, "::")      ? IPV6
                                                           : 0;
    unsigned wanted = domain == CONF_SOCKET_DOMAIN_IPV4   ? IPV4
                      : domain == CONF_SOCKET_DOMAIN_IPV6 ? IPV6
                                                          : IPV4 | IPV6;
    return families & wanted;
}

static unsigned loopback_families(const char *host) {
    if (is_same_text(host, "localhost"))
        return IPV4 | IPV6;
    if (is_same_text(host, "::1"))
        return IPV6;
    return host != NULL && strncmp(host, "127.", 4) == 0 ? IPV4 : 0;
}

/* Would the second listener share or steal the connections of the first? With one policy on each that must
 * not depend on luck. */
static bool is_same_place(const struct conf_listener *a, const struct conf_listener *b) {
    if (a->path != NULL || b->path != NULL)
        return a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0;
    if (a->port != b->port || a->port == 0 || !is_same_text(a->bind_interface, b->bind_interface))
        return false;
    unsigned a_families = wildcard_families(a->address, a->socket_domain);
    unsigned b_families = wildcard_families(b->address, b->socket_domain);
    if (a_families != 0 || b_families != 0)
        return (a_families & b_families) != 0;
    return is_same_text(a->address, b->address) &&
           (a->socket_domain == b->socket_domain || a->socket_domain == CONF_SOCKET_DOMAIN_BOTH ||
            b->socket_domain == CONF_SOCKET_DOMAIN_BOTH);
}

/* Does a connection to host and port end at this listener? Only what can be seen without asking a name
 * server. */
static bool is_reached_by(const struct conf_listener *listener, const char *host, uint16_t port) {
    if (listener->path != NULL || host == NULL || listener->port != port)
        return false;
    if (listener->is_default_local)
        return loopback_families(host) != 0;
    return (wildcard_families(listener->address, listener->socket_domain) & loopback_families(host)) != 0 ||
           is_same_text(listener->address, host) ||
           (loopback_families(listener->address) & loopback_families(host)) != 0;
}

static void check_places(const struct conf *conf, struct findings *findings) {
    for (size_t i = 0; i < conf->listener_count; i++)
        for (size_t j = 0; j < i; j++)
            if (is_same_place(&conf->listeners[i], &conf->listeners[j])) {
                AT_LISTENER(
                    findings, FINDING_ERROR, &conf->listeners[i],
                    "the listener at %s:%u listens at the same port already; remove one of the two or "
                    "give each its own address",
                    conf->listeners[j].file, conf->listeners[j].line);
                break;
            }
}

static void check_metrics(const struct conf *conf, struct findings *findings) {
    const struct conf_endpoint *metrics = conf->metrics_listener;
    if (metrics == NULL)
        return;
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *listener = &conf->listeners[i];
        struct conf_listener place = {.port = metrics->port, .address = metrics->host};
        if (is_same_place(listener, &place) || is_reached_by(listener, metrics->host, metrics->port)) {
            findings_add(findings, FINDING_ERROR, metrics->file, metrics->line,
                         "metrics_listener has port %u, where devices connect already; choose another port",
                         metrics->port);
            return;
        }
    }
}

static void check_backend_place(const struct conf *conf, const struct conf_backend *backend,
                                struct findings *findings) {
    if (backend == NULL)
        return;
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *listener = &conf->listeners[i];
        if (is_reached_by(listener, backend->host, backend->port) ||
            (backend->path != NULL && is_same_text(backend->path, listener->path))) {
            findings_add(
                findings, FINDING_ERROR, backend->file, backend->line,
                "backend %s is Drawbridge's own listener%s; let the broker listen at another port and "
                "name that one",
                backend->text,
                listener->is_default_local ? ", which it opens because there is no listener line" : "");
            return;
        }
    }
}

/* What leads to the broker leads to the one that stands before any listener: another one must not be reached
 * in plain text, or around the proxy, where that was not meant. */
static void check_backend_way(const struct conf *conf, const struct conf_backend *backend,
                              struct findings *findings) {
    if (backend != NULL && (conf->backend_tls || conf->backend_http_proxy != NULL))
        findings_add(findings, FINDING_ERROR, backend->file, backend->line,
                     "a host cannot have a backend of its own beside %s yet; remove one of the two",
                     conf->backend_tls ? "backend_tls" : "backend_http_proxy");
}

static void check_backend(const struct conf *conf, struct findings *findings) {
    if (conf->origins[CONF_backend].line == 0)
        findings_add(
            findings, FINDING_ERROR, conf->path, 0,
            "there is no backend; add a line such as `backend 127.0.0.1:1884` that names the MQTT broker "
            "behind Drawbridge");
    check_backend_place(conf, conf->backend, findings);
    for (size_t i = 0; i < conf->listener_count; i++)
        for (size_t j = 0; j < conf->listeners[i].host_count; j++)
            if (conf->listeners[i].hosts[j].backend != conf->backend) {
                check_backend_place(conf, conf->listeners[i].hosts[j].backend, findings);
                check_backend_way(conf, conf->listeners[i].hosts[j].backend, findings);
            }
}

static bool has_certificates(const struct conf_listener *listener) {
    return listener->certfile != NULL || listener->pem_dir != NULL;
}

static size_t count_paths(const struct conf_pattern *first) {
    size_t count = 0;
    for (; first != NULL; first = first->next)
        count++;
    return count;
}

/* Certificate and key turn TLS on together; everything else of TLS is worth nothing without them, and a
 * listener that was meant to check certificates must not come up in plain text. */
static void check_tls(const struct conf_listener *listener, struct findings *findings) {
    size_t certificates = count_paths(listener->certfile), keys = count_paths(listener->keyfile);
    if ((listener->certfile == NULL) != (listener->keyfile == NULL)) {
        bool has_certificate = listener->certfile != NULL;
        AT_OPTION(findings, FINDING_ERROR, listener, has_certificate ? CONF_certfile : CONF_keyfile,
                  "%s needs %s too; TLS takes both", has_certificate ? "certfile" : "keyfile",
                  has_certificate ? "keyfile" : "certfile");
        return;
    }
    if (listener->psk_hint != NULL && (has_certificates(listener) || listener->psk_file == NULL)) {
        AT_OPTION(
            findings, FINDING_ERROR, listener, CONF_psk_hint,
            has_certificates(listener)
                ? "psk_hint and certfile exclude each other: a listener speaks TLS with pre-shared keys or "
                  "with certificates; make two listeners"
                : "psk_hint needs psk_file, the keys of the devices");
        return;
    }
    if (certificates != keys)
        AT_OPTION(
            findings, FINDING_ERROR, listener, CONF_keyfile,
            "there are %zu certfile lines and %zu keyfile lines; the first keyfile belongs to the first "
            "certfile, the second to the second, so there must be as many",
            certificates, keys);
    if (has_certificates(listener)) {
        size_t responses = count_paths(listener->ocsp_file);
        if (responses > (certificates == 0 ? 1 : certificates))
            AT_OPTION(findings, FINDING_ERROR, listener, CONF_ocsp_file,
                      "there are %zu ocsp_file lines, more than certificates; remove those that are too many",
                      responses);
        return;
    }
    bool is_told_of_tls =
        listener->enable_proxy_protocol == 2; /* by the proxy in front, which has checked it */
    const struct {
        enum conf_option option;
        bool is_used;
    } needing[] = {{CONF_cafile, listener->cafile != NULL},
                   {CONF_capath, listener->capath != NULL},
                   {CONF_crlfile, listener->crlfile != NULL},
                   {CONF_crl_check, listener->crl_check != CONF_CRL_CHECK_LEAF},
                   {CONF_require_certificate,
                    listener->require_certificate != CONF_CERTIFICATE_NONE && !is_told_of_tls}};
    for (size_t i = 0; i < sizeof needing / sizeof needing[0]; i++)
        if (needing[i].is_used)
            AT_OPTION(findings, FINDING_ERROR, listener, needing[i].option,
                      listener->psk_hint != NULL ? "%s is about certificates, and this listener has psk_hint "
                                                   "instead; remove one of the two"
                                                 : "%s needs TLS; add certfile and keyfile to this listener",
                      conf_row_of(needing[i].option)->keyword);
    if (listener->psk_hint != NULL)
        return;
    static const enum conf_option idle[] = {CONF_keyfile_password_file,
                                            CONF_disable_client_cert_date_checks,
                                            CONF_tls_version,
                                            CONF_ciphers,
                                            CONF_ciphers_tls13,
                                            CONF_alpn,
                                            CONF_alpn_strict,
                                            CONF_sni_strict,
                                            CONF_ocsp_file};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++)
        if (is_set(listener, idle[i]))
            AT_OPTION(findings, FINDING_WARNING, listener, idle[i],
                      "%s has no effect, for this listener has no certfile and keyfile",
                      conf_row_of(idle[i])->keyword);
}

static void check_certificates(const struct conf_listener *listener, struct findings *findings) {
    if (!has_certificates(listener))
        return;
    bool has_authority = listener->cafile != NULL || listener->capath != NULL;
    if (listener->crl_check != CONF_CRL_CHECK_LEAF && listener->crlfile == NULL)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_crl_check,
                  "crl_check chain needs the lists of the CAs; add crlfile lines");
    if (listener->require_certificate != CONF_CERTIFICATE_NONE) {
        if (!has_authority)
            AT_OPTION(
                findings, FINDING_ERROR, listener, CONF_require_certificate,
                "require_certificate needs the authority that signs the devices' certificates; add cafile or "
                "capath");
        return;
    }
    if (listener->crlfile != NULL)
        AT_OPTION(
            findings, FINDING_WARNING, listener, CONF_crlfile,
            "crlfile has no effect, for no device is asked for a certificate; add require_certificate true");
    else if (has_authority)
        AT_OPTION(findings, FINDING_NOTICE, listener, listener->cafile != NULL ? CONF_cafile : CONF_capath,
                  "no device is asked for a certificate; add require_certificate true if that is wanted");
}

static void check_tls_version(struct conf_listener *listener, struct findings *findings) {
    if (is_same_text(listener->tls_version, "tlsv1.2") || is_same_text(listener->tls_version, "tlsv1.3"))
        return;
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, span_of_text(listener->tls_version));
    if (!is_same_text(listener->tls_version, "tlsv1.1")) {
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_tls_version,
                  "tls_version is '%s', but may only be tlsv1.2 or tlsv1.3", room);
        return;
    }
    AT_OPTION(findings, FINDING_WARNING, listener, CONF_tls_version,
              "tls_version tlsv1.1 is not offered any more, tlsv1.2 is the lowest; write tlsv1.2");
    listener->tls_version = "tlsv1.2";
}

static void check_coming(const struct conf_listener *listener, struct findings *findings) {
    if (listener->protocol != CONF_PROTOCOL_MQTT)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_protocol,
                  "protocol %s is not supported yet (it is still to come); remove this listener",
                  listener->protocol == CONF_PROTOCOL_WEBSOCKETS ? "websockets" : "http_api");
    if (listener->tls_keyform != CONF_KEYFORM_PEM)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_tls_keyform,
                  "tls_keyform engine is not supported yet (keys kept in an engine are still to come); use a "
                  "PEM file");
}

static void check_psk_file(const struct conf *conf, struct findings *findings) {
    bool is_used = false;
    for (size_t i = 0; i < conf->listener_count; i++)
        is_used |= conf->listeners[i].psk_file != NULL && conf->listeners[i].psk_hint != NULL;
    for (size_t i = 0; i < conf->listener_count && !is_used; i++)
        if (conf->listeners[i].psk_file != NULL) {
            AT_OPTION(findings, FINDING_WARNING, &conf->listeners[i], CONF_psk_file,
                      "psk_file has no effect, for no listener that it is for has a psk_hint");
            return;
        }
}

/* A value that was set for all listeners is looked at once, not at each of them. */
static void check_shared(const struct conf_listener *shared, struct findings *findings) {
    if (shared->max_packet_size > 0 && shared->max_packet_size < PACKET_SIZE_MIN)
        AT_OPTION(findings, FINDING_ERROR, shared, CONF_max_packet_size,
                  "max_packet_size is %d, but must be at least %d, or 0 for no limit",
                  (int)shared->max_packet_size, PACKET_SIZE_MIN);
    if (is_set(shared, CONF_message_size_limit))
        AT_OPTION(findings, FINDING_NOTICE, shared, CONF_message_size_limit,
                  "message_size_limit is the old form; prefer max_packet_size");
}

static void check_id_prefix(const struct conf_listener *listener, struct findings *findings) {
    if (is_set(listener, CONF_auto_id_prefix) && strlen(listener->auto_id_prefix) > ID_PREFIX_MAX)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_auto_id_prefix,
                  "auto_id_prefix is longer than %d bytes; shorten it", ID_PREFIX_MAX);
}

/* Does a level hold two placeholders? `%u%c/` would give `ab`, `c` the place of `a`, `bc`. */
static bool has_crowded_level(const char *text, size_t *placeholder_count) {
    size_t in_level = 0;
    bool is_crowded = false;
    *placeholder_count = 0;
    for (; *text != '\0'; text++) {
        if (*text == '/')
            in_level = 0;
        if (text[0] != '%' || (text[1] != 'c' && text[1] != 'u'))
            continue;
        ++*placeholder_count;
        is_crowded = ++in_level > 1 || is_crowded;
    }
    return is_crowded;
}

static void check_mount_point(const struct conf_listener *listener, struct findings *findings) {
    const char *text = listener->mount_point;
    size_t placeholder_count;
    if (text == NULL)
        return;
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, span_of_text(text));
    bool is_crowded = has_crowded_level(text, &placeholder_count);
    bool is_level = text[strlen(text) - 1] == '/';
    if (strpbrk(text, "+#") != NULL)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_mount_point,
                  "mount_point is '%s', but may not hold the wildcards + and #", room);
    else if (text[0] == '$')
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_mount_point,
                  "mount_point is '%s', but may not begin with $, where the broker has topics of its own",
                  room);
    else if (strlen(text) > MOUNT_POINT_MAX)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_mount_point,
                  "mount_point is longer than %d bytes, and no topic would fit behind it; shorten it",
                  MOUNT_POINT_MAX);
    else if (is_crowded)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_mount_point,
                  "mount_point is '%s', where two devices could share one place; put a / between %%c and %%u",
                  room);
    else if (placeholder_count != 0 && !is_level)
        AT_OPTION(
            findings, FINDING_ERROR, listener, CONF_mount_point,
            "mount_point is '%s', where two devices could share one place; with %%c or %%u it must end in /",
            room);
    else if (!is_level)
        AT_OPTION(
            findings, FINDING_WARNING, listener, CONF_mount_point,
            "mount_point is '%s' without a / at its end, so that topic a becomes '%sa'; add the / if a level "
            "of its own is meant",
            room, room);
}

static void check_backend_prefix(const struct conf_listener *listener, struct findings *findings) {
    if (is_set(listener, CONF_backend_clientid_prefix) && listener->backend_clientid_prefix != NULL &&
        strlen(listener->backend_clientid_prefix) > BACKEND_PREFIX_MAX)
        AT_OPTION(findings, FINDING_ERROR, listener, CONF_backend_clientid_prefix,
                  "backend_clientid_prefix is longer than %d bytes; shorten it", BACKEND_PREFIX_MAX);
}

/* Only MQTT 5 knows a Receive Maximum. */
static void check_receive_maximum(const struct conf_listener *listener, struct findings *findings) {
    bool has_5 = (listener->accept_protocol_versions & CONF_VERSION(5)) != 0;
    if (is_set(listener, CONF_receive_maximum) && listener->receive_maximum != 0 && !has_5)
        AT_OPTION(findings, FINDING_WARNING, listener, CONF_receive_maximum,
                  "receive_maximum has no effect on this listener, whose accept_protocol_versions leaves out "
                  "version 5");
}

static void check_unix(const struct conf_listener *listener, struct findings *findings) {
    const size_t size_max = 107; /* sun_path holds 108 bytes with the NUL */
    if (listener->path == NULL)
        return;
    if (strlen(listener->path) > size_max)
        AT_LISTENER(findings, FINDING_ERROR, listener,
                    "the path is longer than %zu bytes, more than a Unix socket can have; shorten it",
                    size_max);
    if (listener->bind_interface != NULL)
        AT_OPTION(findings, FINDING_WARNING, listener, CONF_bind_interface,
                  "bind_interface has no effect on a Unix socket; remove it");
}

/* Is the value the listener's, not the one for all, which is looked at once? */
static bool is_own(const struct conf *conf, const struct conf_listener *listener, enum conf_option option) {
    const struct conf_origin *own = &listener->origins[option], *all = &conf->shared.origins[option];
    return own->line != all->line || own->file != all->file;
}

/* What a host has from its listener was looked at there. */
static void check_hosts(const struct conf_listener *listener, struct findings *findings) {
    static const enum conf_option of_tls[] = {CONF_certfile,
                                              CONF_ocsp_file,
                                              CONF_keyfile,
                                              CONF_cafile,
                                              CONF_capath,
                                              CONF_crlfile,
                                              CONF_crl_check,
                                              CONF_require_certificate,
                                              CONF_use_identity_as_username,
                                              CONF_use_subject_as_username,
                                              CONF_username_from,
                                              CONF_clientid_from,
                                              CONF_clientid_must_match,
                                              CONF_one_session_per_certificate};
    host_check(listener, findings);
    for (size_t i = 0; i < listener->host_count && conf_listener_is_tls(listener); i++) {
        const struct conf_listener *host = &listener->hosts[i];
        bool has_tls = false;
        for (size_t j = 0; j < sizeof of_tls / sizeof of_tls[0]; j++)
            has_tls |=
                host->origins[of_tls[j]].line > host->line && host->origins[of_tls[j]].file == host->file;
        if (has_tls) {
            check_tls(host, findings);
            check_certificates(host, findings);
            conf_check_identity(host, findings);
        }
        if (host->mount_point != listener->mount_point)
            check_mount_point(host, findings);
        if (host->backend_clientid_prefix != listener->backend_clientid_prefix)
            check_backend_prefix(host, findings);
    }
}

static void check_listener(struct conf *conf, struct conf_listener *listener, struct findings *findings) {
    if (listener->max_connections < 0)
        listener->max_connections = -1;
    check_tls(listener, findings);
    check_certificates(listener, findings);
    conf_check_identity(listener, findings);
    check_tls_version(listener, findings);
    check_coming(listener, findings);
    check_hosts(listener, findings);
    check_unix(listener, findings);
    check_mount_point(listener, findings);
    check_receive_maximum(listener, findings);
    if (is_own(conf, listener, CONF_auto_id_prefix))
        check_id_prefix(listener, findings);
    if (is_own(conf, listener, CONF_backend_clientid_prefix))
        check_backend_prefix(listener, findings);
}

void conf_check(struct conf *conf, struct findings *findings) {
    if (conf->global_max_connections < 0)
        conf->global_max_connections = -1;
    check_backend(conf, findings);
    check_shared(&conf->shared, findings);
    check_id_prefix(&conf->shared, findings);
    check_backend_prefix(&conf->shared, findings);
    for (size_t i = 0; i < conf->listener_count; i++)
        check_listener(conf, &conf->listeners[i], findings);
    check_psk_file(conf, findings);
    check_rates(conf, findings);
    check_places(conf, findings);
    check_metrics(conf, findings);
    conf_check_entry(conf, findings);
    conf_check_rules(conf, findings);
    conf_check_proxy(conf, findings);
    conf_check_broker(conf, findings);
    conf_check_bridges(conf, findings);
    struct conf_origin nodelay = conf->origins[CONF_set_tcp_nodelay];
    if (nodelay.line != 0 && !conf->set_tcp_nodelay)
        findings_add(findings, FINDING_NOTICE, nodelay.file, nodelay.line,
                     "set_tcp_nodelay false has no effect, Drawbridge always sends without delay");
}
