/* http_proxy: backend_http_proxy and the password beside it, made into the request that the proxy gets. */
#include <stdio.h>
#include <string.h>

#include "base/tunnel.h"
#include "control/generation.h"
#include "control/identity.h"

#define CREDENTIALS_MAX 4096

static void say(const struct http_proxy_wish *wish, struct findings *findings, const char *words) {
    findings_add(findings, FINDING_ERROR, wish->origin.file, wish->origin.line, "%s %s", wish->keyword,
                 words);
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
static bool write_credentials(struct arena *arena, const struct http_proxy_wish *wish,
                              const struct tunnel_proxy *proxy, struct writer *writer,
                              struct findings *findings) {
    const struct conf_secret file = {.path = wish->password_file};
    struct span password = proxy->password;
    if (file.path != NULL && (!proxy->has_user || proxy->has_password)) {
        say(wish, findings, "must name a user, and no password, beside the file with its password");
        return false;
    }
    if (file.path != NULL && !secret_load(arena, &file, wish->password_origin, true, &password, findings))
        return false;
    if (!proxy->has_user)
        return true;
    if (!write_user(proxy->user, writer)) {
        say(wish, findings,
            "names a user that is too long, or has a broken %XX, a colon or a control character");
        return false;
    }
    if (!write_password(password, file.path == NULL, writer)) {
        say(wish, findings, "has a password that is too long, or has a broken %XX or a control character");
        return false;
    }
    return true;
}

static bool write_request(struct arena *arena, const struct conf_backend *broker, struct span credentials,
                          struct backend_http_proxy *proxy) {
    uint8_t *room = arena_alloc(arena, TUNNEL_HEAD_MAX);
    if (room == NULL)
        return false;
    struct writer writer = writer_of(room, TUNNEL_HEAD_MAX);
    tunnel_write_request(&writer, span_of_text(broker->host), broker->port, credentials);
    proxy->request = writer_span(&writer);
    return !writer.is_full;
}

static bool set_place(struct arena *arena, const struct conf_backend *broker,
                      struct backend_http_proxy *proxy) {
    char text[512];
    snprintf(text, sizeof text, "http proxy %s:%u", proxy->host, proxy->port);
    proxy->place = (struct conf_backend){.file = broker->file,
                                         .line = broker->line,
                                         .text = arena_text(arena, span_of_text(text)),
                                         .host = proxy->host,
                                         .port = proxy->port};
    return proxy->place.text != NULL;
}

void http_proxy_make(struct arena *arena, const struct http_proxy_wish *wish, struct backend_http_proxy *made,
                     struct findings *findings) {
    struct tunnel_proxy proxy;
    uint8_t room[CREDENTIALS_MAX];
    if (!tunnel_read_url(wish->url, &proxy)) {
        say(wish, findings,
            "has no address of a proxy; write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT");
        return;
    }
    struct writer credentials = writer_of(room, sizeof room);
    if (write_credentials(arena, wish, &proxy, &credentials, findings)) {
        made->port = proxy.port;
        made->host = arena_text(arena, proxy.host);
        if (made->host == NULL || !write_request(arena, wish->broker, writer_span(&credentials), made) ||
            !set_place(arena, wish->broker, made))
            findings->out_of_memory = true;
    }
    explicit_bzero(room, sizeof room);
}

void http_proxy_load(struct generation *generation, struct findings *findings) {
    const struct conf *conf = generation->conf;
    struct http_proxy_wish wish = {.keyword = "backend_http_proxy",
                                   .origin = conf->origins[CONF_backend_http_proxy],
                                   .password_file = conf->backend_http_proxy_password_file,
                                   .password_origin = conf->origins[CONF_backend_http_proxy_password_file],
                                   .broker = conf->backend};
    if (conf->backend_http_proxy != NULL && conf->backend->host != NULL &&
        secret_load(generation->arena, conf->backend_http_proxy, wish.origin, true, &wish.url, findings))
        http_proxy_make(generation->arena, &wish, &generation->http_proxy, findings);
}
