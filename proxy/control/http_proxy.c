/* http_proxy: backend_http_proxy and the password beside it, made into the request that the proxy gets. */
#include <stdio.h>
#include <string.h>

#include "base/tunnel.h"
#include "control/generation.h"
#include "control/identity.h"

#define CREDENTIALS_MAX 4096

static void say(const struct conf *conf, struct findings *findings, const char *words) {
    const struct conf_origin *origin = &conf->origins[CONF_backend_http_proxy];
    findings_add(findings, FINDING_ERROR, origin->file, origin->line, "%s", words);
}

/* The user in front of its colon; false when it is none. */
static bool write_user(struct span user, struct writer *writer) {
    writer_bytes(writer, user);
    size_t size = writer->is_full ? SIZE_MAX : tunnel_decode(writer->start, writer_size(writer));
    if (size == SIZE_MAX || memchr(writer->start, ':', size) != NULL)
        return false;
    writer->at = writer->start + size;
    writer_u8(writer, ':');
    return true;
}

static bool write_password(struct span password, bool is_encoded, struct writer *writer) {
    uint8_t *start = writer->at;
    writer_bytes(writer, password);
    size_t size = writer->is_full ? SIZE_MAX
                  : is_encoded    ? tunnel_decode(start, password.size)
                                  : password.size;
    if (size != SIZE_MAX)
        writer->at = start + size;
    return size != SIZE_MAX;
}

/* user:password, decoded, or nothing. False after a finding. */
static bool write_credentials(const struct generation *generation, const struct tunnel_proxy *proxy,
                              struct writer *writer, struct findings *findings) {
    const struct conf *conf = generation->conf;
    const struct conf_secret file = {.path = conf->backend_http_proxy_password_file};
    struct span password = proxy->password;
    if (file.path != NULL && (!proxy->has_user || proxy->has_password)) {
        say(conf, findings,
            "backend_http_proxy must name a user, and no password, beside backend_http_proxy_password_file");
        return false;
    }
    if (file.path != NULL &&
        !secret_load(generation->arena, &file, conf->origins[CONF_backend_http_proxy_password_file], true,
                     &password, findings))
        return false;
    if (!proxy->has_user)
        return true;
    if (!write_user(proxy->user, writer)) {
        say(conf, findings,
            "the user in backend_http_proxy is too long, or has a broken %XX, a colon or a control "
            "character");
        return false;
    }
    if (!write_password(password, file.path == NULL, writer)) {
        say(conf, findings,
            "the password for backend_http_proxy is too long, or has a broken %XX or a control character");
        return false;
    }
    return true;
}

static bool write_request(struct generation *generation, struct span credentials) {
    const struct conf_backend *backend = generation->conf->backend;
    uint8_t *room = arena_alloc(generation->arena, TUNNEL_HEAD_MAX);
    if (room == NULL)
        return false;
    struct writer writer = writer_of(room, TUNNEL_HEAD_MAX);
    tunnel_write_request(&writer, span_of_text(backend->host), backend->port, credentials);
    generation->http_proxy.request = writer_span(&writer);
    return !writer.is_full;
}

static bool set_place(struct generation *generation) {
    struct backend_http_proxy *proxy = &generation->http_proxy;
    char text[512];
    snprintf(text, sizeof text, "http proxy %s:%u", proxy->host, proxy->port);
    proxy->place = (struct conf_backend){.file = generation->conf->backend->file,
                                         .line = generation->conf->backend->line,
                                         .text = arena_text(generation->arena, span_of_text(text)),
                                         .host = proxy->host,
                                         .port = proxy->port};
    return proxy->place.text != NULL;
}

void http_proxy_load(struct generation *generation, struct findings *findings) {
    const struct conf *conf = generation->conf;
    struct span text;
    struct tunnel_proxy proxy;
    uint8_t room[CREDENTIALS_MAX];
    if (conf->backend_http_proxy == NULL || conf->backend->host == NULL ||
        !secret_load(generation->arena, conf->backend_http_proxy, conf->origins[CONF_backend_http_proxy],
                     true, &text, findings))
        return;
    if (!tunnel_read_url(text, &proxy)) {
        say(conf, findings,
            "backend_http_proxy has no address of a proxy; write http://HOST:PORT or "
            "http://USER:PASSWORD@HOST:PORT");
        return;
    }
    struct writer credentials = writer_of(room, sizeof room);
    if (write_credentials(generation, &proxy, &credentials, findings)) {
        generation->http_proxy.port = proxy.port;
        generation->http_proxy.host = arena_text(generation->arena, proxy.host);
        if (generation->http_proxy.host == NULL || !write_request(generation, writer_span(&credentials)) ||
            !set_place(generation))
            findings->out_of_memory = true;
    }
    explicit_bzero(room, sizeof room);
}
