#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "conf/value.h"
#include "control/bridges.h"
#include "control/generation.h"

static struct tls_context *load_tls(const struct conf_bridge *conf, const struct conf_backend *where,
                                    struct findings *findings) {
    const struct tls_client_settings settings = {
        .file = conf->file,
        .line = conf->line,
        .prefix = "bridge_",
        .uses_system = conf->bridge_tls_use_os_certs,
        .tls_version = conf->bridge_tls_version,
        .ciphers = conf->bridge_ciphers,
        .ciphers_tls13 = conf->bridge_ciphers_tls13,
        .psk_identity = conf->bridge_identity,
        .psk = conf->bridge_psk,
        .requires_ocsp = conf->bridge_require_ocsp,
        .cafile = conf->bridge_cafile,
        .capath = conf->bridge_capath,
        .certfile = conf->bridge_certfile,
        .keyfile = conf->bridge_keyfile,
        .host = where->host,
        .alpn = conf->bridge_alpn,
        .is_insecure = conf->bridge_insecure,
        .now_s = time(NULL),
    };
    return tls_context_load_client(&settings, findings);
}

/* A bridge that cannot go through its proxy is an error, never one that goes around it. */
static void load_proxy(struct arena *arena, const struct conf_bridge *conf, struct bridge_place *place,
                       struct findings *findings) {
    struct backend_http_proxy proxy = {0};
    const struct http_proxy_wish wish = {.keyword = "bridge_http_proxy",
                                         .origin = conf_bridge_origin(conf, CONF_bridge_http_proxy),
                                         .url = span_of_text(conf->bridge_http_proxy),
                                         .password_file = conf->bridge_http_proxy_password_file,
                                         .password_origin =
                                             conf_bridge_origin(conf, CONF_bridge_http_proxy_password_file),
                                         .broker = &place->where};
    http_proxy_make(arena, &wish, &proxy, findings);
    place->where = proxy.place;
    place->link.tunnel = proxy.request;
}

/* A name is looked up once, now, as those of listeners are. False after a finding. */
static bool find_own_address(const struct conf_bridge *conf, struct address *address,
                             struct findings *findings) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char room[TEXT_QUOTED_SIZE];
    if (address_read(address, conf->bridge_bind_address, 0))
        return true;
    int error = getaddrinfo(conf->bridge_bind_address, NULL, &hints, &found);
    if (error != 0) {
        struct conf_origin origin = conf_bridge_origin(conf, CONF_bridge_bind_address);
        findings_add(findings, FINDING_ERROR, origin.file, origin.line,
                     "bridge_bind_address is '%s', which is no address and no name of one: %s; write an "
                     "address of this machine, such "
                     "as 192.0.2.1",
                     text_quote(room, sizeof room, span_of_text(conf->bridge_bind_address)),
                     gai_strerror(error));
        return false;
    }
    address->size = found->ai_addrlen;
    memcpy(&address->socket, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static struct link_socket load_socket(const struct conf_bridge *conf, struct arena *arena,
                                      struct findings *findings) {
    struct link_socket wish = {.probe_idle_s = conf->bridge_tcp_keepalive.idle_s,
                               .probe_interval_s = conf->bridge_tcp_keepalive.interval_s,
                               .probe_count = conf->bridge_tcp_keepalive.count,
                               .user_timeout_ms = (uint32_t)conf->bridge_tcp_user_timeout};
    struct address *from = conf->bridge_bind_address == NULL ? NULL : arena_alloc(arena, sizeof *from);
    if (conf->bridge_bind_address != NULL && from == NULL)
        findings->out_of_memory = true;
    else if (from != NULL && find_own_address(conf, from, findings))
        wish.from = from;
    return wish;
}

/* RFC 6455 4.1: the name as it is dialled, and the port where it is not the scheme's own. */
static void load_websocket(struct arena *arena, const struct conf_bridge *conf,
                           const struct conf_backend *where, struct bridge_place *place,
                           struct findings *findings) {
    bool is_literal = strchr(where->host, ':') != NULL;
    const char *open = is_literal ? "[" : "", *close = is_literal ? "]" : "";
    bool is_usual = where->port == (conf_bridge_is_tls(conf) ? 443 : 80);
    const char *host = is_usual ? arena_print(arena, "%s%s%s", open, where->host, close)
                                : arena_print(arena, "%s%s%s:%u", open, where->host, close, where->port);
    if (host == NULL)
        findings->out_of_memory = true;
    place->websocket_host = span_of_text(host);
    place->websocket_path = span_of_text(conf->bridge_websockets_path);
}

static void load_remotes(struct bridge_plan *plan, struct arena *arena, struct findings *findings) {
    const struct conf_bridge *conf = plan->terms.conf;
    size_t count = conf->address->count;
    plan->remotes = calloc(count, sizeof *plan->remotes);
    plan->contexts = calloc(count, sizeof(struct tls_context *));
    if (plan->remotes == NULL || plan->contexts == NULL) {
        findings->out_of_memory = true;
        return;
    }
    const struct link_socket socket = load_socket(conf, arena, findings);
    plan->terms.remotes = plan->remotes;
    plan->terms.remote_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct conf_backend *where = &conf->address->list[i];
        if (conf_bridge_is_tls(conf))
            plan->contexts[i] = load_tls(conf, where, findings);
        plan->remotes[i] = (struct bridge_place){
            .text = where->text, .where = *where, .link = {.socket = socket, .tls = plan->contexts[i]}};
        if (conf->bridge_transport == CONF_TRANSPORT_WEBSOCKETS)
            load_websocket(arena, conf, where, &plan->remotes[i], findings);
        if (conf->bridge_http_proxy != NULL)
            load_proxy(arena, conf, &plan->remotes[i], findings);
    }
}

static const char *host_name(struct arena *arena) {
    char room[256] = "localhost";
    if (gethostname(room, sizeof room) != 0 || room[0] == '\0')
        snprintf(room, sizeof room, "localhost");
    room[sizeof room - 1] = '\0';
    return arena_text(arena, span_of_text(room));
}

static void load_names(struct bridge_plan *plan, struct generation *generation, const char *host,
                       struct findings *findings) {
    const struct conf_bridge *conf = plan->terms.conf;
    struct bridge_terms *terms = &plan->terms;
    struct arena *arena = generation->arena;
    terms->remote_clientid =
        conf->remote_clientid != NULL ? conf->remote_clientid : arena_print(arena, "%s.%s", host, conf->name);
    if (terms->remote_clientid == NULL) {
        findings->out_of_memory = true;
        return;
    }
    terms->local_clientid = conf->local_clientid != NULL
                                ? conf->local_clientid
                                : arena_print(arena, "local.%s", terms->remote_clientid);
    terms->state_topic = conf->notification_topic != NULL
                             ? conf->notification_topic
                             : arena_print(arena, "$SYS/broker/connection/%s/state", terms->remote_clientid);
    terms->queue_path = arena_print(arena, "%s/%s.db", generation->conf->queue_dir, conf->name);
    terms->local_username = span_of_text(conf->local_username);
    terms->local_password = span_of_text(conf->local_password);
    if (terms->local_clientid == NULL || terms->state_topic == NULL || terms->queue_path == NULL)
        findings->out_of_memory = true;
}

void bridge_plans_load(struct generation *generation, struct findings *findings) {
    const struct conf *conf = generation->conf;
    size_t errors_before = findings->error_count;
    struct bridge_plans *plans = calloc(1, sizeof *plans + conf->bridge_count * sizeof plans->plans[0]);
    const char *host = host_name(generation->arena);
    generation->bridges = plans;
    if (plans == NULL || host == NULL) {
        findings->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < conf->bridge_count; i++) {
        struct bridge_plan *plan = &plans->plans[plans->count++];
        const struct backend_http_proxy *proxy = &generation->http_proxy;
        plan->terms.program = conf;
        plan->terms.conf = &conf->bridges[i];
        plan->terms.routes =
            routes_compile(generation->arena, &conf->bridges[i], conf->backend, host, findings);
        plan->terms.local =
            (struct bridge_place){.text = conf->backend->text,
                                  .where = proxy->host != NULL ? proxy->place : *conf->backend,
                                  .link = {.tls = generation->backend_tls, .tunnel = proxy->request}};
        load_names(plan, generation, host, findings);
        load_remotes(plan, generation->arena, findings);
        if (plan->terms.routes == NULL && findings->error_count == errors_before)
            findings->out_of_memory = true;
    }
}

void bridge_plans_free(struct bridge_plans *plans) {
    for (size_t i = 0; plans != NULL && i < plans->count; i++) {
        struct bridge_plan *plan = &plans->plans[i];
        for (size_t j = 0; plan->contexts != NULL && j < plan->terms.remote_count; j++)
            tls_context_drop(plan->contexts[j]);
        free(plan->contexts);
        free(plan->remotes);
    }
    free(plans);
}

bool bridge_plan_is_same(const struct bridge_plan *a, const struct bridge_plan *b) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        bool is_bridges = row->scope == CONF_SCOPE_BRIDGE || row->scope == CONF_SCOPE_BRIDGED;
        if (row->kind == CONF_ROW_OPTION && is_bridges && row->type != CONF_TYPE_STRUCTURE &&
            !value_is_equal(row, a->terms.conf, b->terms.conf))
            return false;
    }
    return strcmp(a->terms.local.text, b->terms.local.text) == 0;
}
