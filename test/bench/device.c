/* device: MQTT devices over TLS 1.3, driven by the loop.
 *
 *   CLOSED -> DIALLING -> HANDSHAKE -> CONNECTING -> (SUBSCRIBING ->) OPEN -> CLOSED
 *
 * OpenSSL sees a BIO of our own: it reads from the bytes that one recv(2) brought and writes into `out`, so
 * that the scenario decides how many records leave in one send(2). */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { OPEN_AT_ONCE = 32 };

static uint8_t cipher_buffer[256 * 1024], plain_buffer[64 * 1024];

/* ---- BIO ---- */

static int bio_read(BIO *bio, char *to, int size) {
    struct device *device = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (device->in_size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((size_t)size > device->in_size)
        size = (int)device->in_size;
    memcpy(to, device->in, (size_t)size);
    device->in += size;
    device->in_size -= (size_t)size;
    return size;
}

static int bio_write(BIO *bio, const char *from, int size) {
    struct device *device = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    bytes_add(&device->out, from, (size_t)size);
    return size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* ---- life ---- */

static void fail_tls(struct device *device, const char *where) {
    char reason[256], error[160] = "no reason given";
    unsigned long code = ERR_peek_last_error();
    if (code != 0)
        ERR_error_string_n(code, error, sizeof error);
    snprintf(reason, sizeof reason, "%s: %s", where, error);
    device->fleet->fail(device, reason);
}

static int on_ticket(SSL *ssl, SSL_SESSION *session) {
    struct device *device = SSL_get_app_data(ssl);
    SSL_SESSION_free(device->session);
    device->session = session;
    return 1; /* kept */
}

static void device_enter(struct device *device, enum device_state state) {
    struct fleet *fleet = device->fleet;
    bool was_busy = device->state != DEVICE_CLOSED && device->state != DEVICE_OPEN;
    bool is_busy = state != DEVICE_CLOSED && state != DEVICE_OPEN;
    fleet->busy_count += (uint32_t)is_busy - (uint32_t)was_busy;
    fleet->open_count += (uint32_t)(state == DEVICE_OPEN) - (uint32_t)(device->state == DEVICE_OPEN);
    device->state = state;
    if (state == DEVICE_OPEN && fleet->on_open != NULL)
        fleet->on_open(device);
}

void device_write(struct device *device, const uint8_t *data, size_t size) {
    if (size == 0)
        return;
    ERR_clear_error();
    if (SSL_write(device->ssl, data, (int)size) != (int)size)
        fail_tls(device, "SSL_write");
}

void device_flush(struct device *device) {
    while (device->out_sent < device->out.size) {
        ssize_t sent = send(device->watch.fd, device->out.data + device->out_sent,
                            device->out.size - device->out_sent, 0);
        if (sent < 0) {
            if (errno != EAGAIN)
                device->fleet->fail(device, "the proxy closed the connection while we sent");
            else
                loop_change(&device->watch, EPOLLIN | EPOLLOUT);
            return;
        }
        device->out_sent += (size_t)sent;
    }
    device->out.size = device->out_sent = 0;
    loop_change(&device->watch, device->is_flooding ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void device_flood(struct device *device) {
    device->is_flooding = true;
    loop_change(&device->watch, EPOLLIN | EPOLLOUT);
}

void device_close(struct device *device) {
    struct bytes last = {0};
    if (device->state == DEVICE_CLOSED)
        return;
    if (device->state == DEVICE_OPEN) {
        packet_add_empty(&last, DISCONNECT);
        device_write(device, last.data, last.size);
        bytes_free(&last);
        SSL_shutdown(device->ssl);
        device_flush(device);
    }
    SSL_set_quiet_shutdown(device->ssl, 1);
    SSL_free(device->ssl);
    device->ssl = NULL;
    loop_close(&device->watch);
    bytes_free(&device->out);
    device_enter(device, DEVICE_CLOSED);
}

static void send_connect(struct device *device) {
    struct fleet *fleet = device->fleet;
    struct bytes packet = {0};
    char client_id[64];
    snprintf(client_id, sizeof client_id, "%s-%u", fleet->id_prefix, device->number);
    struct connect_options options = {.version = fleet->version,
                                      .keep_alive_seconds = fleet->keep_alive_seconds,
                                      .client_id = client_id,
                                      .user = fleet->user,
                                      .password = fleet->password};
    packet_add_connect(&packet, &options);
    device_write(device, packet.data, packet.size);
    bytes_free(&packet);
    device_enter(device, DEVICE_CONNECTING);
}

static void send_subscribe(struct device *device) {
    struct bytes packet = {0};
    char filter[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(filter, sizeof filter, device->fleet->subscribe, device->number);
#pragma GCC diagnostic pop
    packet_add_subscribe(&packet, device->fleet->version, 1, filter);
    device_write(device, packet.data, packet.size);
    bytes_free(&packet);
    device_flush(device);
    device_enter(device, DEVICE_SUBSCRIBING);
}

static void take_packet(void *owner, const struct packet *packet) {
    struct device *device = owner;
    struct fleet *fleet = device->fleet;
    char reason[64];
    switch (packet->first >> 4) {
    case PUBLISH:
        if (fleet->on_publish != NULL)
            fleet->on_publish(device, packet);
        break;
    case PUBACK:
        if (fleet->on_puback != NULL)
            fleet->on_puback(device);
        break;
    case CONNACK:
        if (packet->body_size < 2 || packet->body[1] != 0) {
            snprintf(reason, sizeof reason, "CONNECT refused with %u",
                     packet->body_size < 2 ? 0 : packet->body[1]);
            fleet->fail(device, reason);
        } else if (fleet->subscribe != NULL) {
            send_subscribe(device);
        } else {
            device_enter(device, DEVICE_OPEN);
        }
        break;
    case SUBACK:
        if (packet->body_size < 3 || packet->body[packet->body_size - 1] >= 0x80)
            fleet->fail(device, "SUBSCRIBE refused");
        else
            device_enter(device, DEVICE_OPEN);
        break;
    case DISCONNECT: fleet->fail(device, "DISCONNECT received"); break;
    default: break;
    }
}

/* ---- events ---- */

static void step_handshake(struct device *device) {
    ERR_clear_error();
    int result = SSL_do_handshake(device->ssl);
    if (result == 1) {
        device->was_resumed = SSL_session_reused(device->ssl) == 1;
        send_connect(device); /* leaves together with our Finished */
    } else if (SSL_get_error(device->ssl, result) != SSL_ERROR_WANT_READ) {
        fail_tls(device, "handshake");
    }
    if (device->state == DEVICE_HANDSHAKE || device->state == DEVICE_CONNECTING)
        device_flush(device);
}

static void read_records(struct device *device) {
    for (;;) {
        ERR_clear_error();
        int got = SSL_read(device->ssl, plain_buffer, sizeof plain_buffer);
        if (got <= 0) {
            int error = SSL_get_error(device->ssl, got);
            if (error == SSL_ERROR_ZERO_RETURN)
                device->fleet->fail(device, "the proxy ended the TLS connection");
            else if (error != SSL_ERROR_WANT_READ)
                fail_tls(device, "SSL_read");
            return;
        }
        if (!packet_read(&device->reader, plain_buffer, (size_t)got, take_packet, device))
            device->fleet->fail(device, "what arrived is not MQTT");
        if (device->wants_close)
            return;
    }
}

static void on_device_ready(struct watch *watch, uint32_t events) {
    struct device *device = (struct device *)watch;
    if (device->state == DEVICE_DIALLING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            device->fleet->fail(device, strerror(error));
        } else if ((events & EPOLLOUT) != 0) {
            device_enter(device, DEVICE_HANDSHAKE);
            step_handshake(device);
        }
    } else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t got = recv(watch->fd, cipher_buffer, sizeof cipher_buffer, 0);
        if (got > 0) {
            device->in = cipher_buffer;
            device->in_size = (size_t)got;
            if (device->state == DEVICE_HANDSHAKE)
                step_handshake(device);
            if (device->state > DEVICE_HANDSHAKE)
                read_records(device);
        } else if (got == 0 || errno != EAGAIN) {
            device->fleet->fail(device, got == 0 ? "the proxy closed the connection" : strerror(errno));
        }
    }
    if (!device->wants_close && watch->fd >= 0 && (events & EPOLLOUT) != 0) {
        if (device->is_flooding && device->out.size == 0)
            device->fleet->next_flood(device);
        device_flush(device);
    }
    if (device->wants_close)
        device_close(device);
}

void device_open(struct device *device) {
    struct fleet *fleet = device->fleet;
    int fd = socket(fleet->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    set_nodelay(fd);
    if (connect(fd, (struct sockaddr *)&fleet->address, fleet->address_size) < 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    device->wants_close = device->is_flooding = device->was_resumed = false;
    device->out_sent = device->in_size = 0;
    device->reader = (struct packet_reader){0};
    device->ssl = SSL_new(fleet->tls);
    BIO *bio = BIO_new(fleet->bio);
    if (device->ssl == NULL || bio == NULL)
        die("OpenSSL is out of memory");
    BIO_set_data(bio, device);
    BIO_set_init(bio, 1);
    SSL_set_bio(device->ssl, bio, bio);
    SSL_set_app_data(device->ssl, device);
    SSL_set_connect_state(device->ssl);
    if (fleet->resumes && device->session != NULL)
        SSL_set_session(device->ssl, device->session);
    if (fleet->host_name != NULL) {
        unsigned char numbers[16];
        bool is_address = inet_pton(AF_INET, fleet->host_name, numbers) == 1 ||
                          inet_pton(AF_INET6, fleet->host_name, numbers) == 1;
        if (is_address)
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(device->ssl), fleet->host_name);
        else if (SSL_set1_host(device->ssl, fleet->host_name) != 1 ||
                 SSL_set_tlsext_host_name(device->ssl, fleet->host_name) != 1)
            die("bad host name");
    }
    device_enter(device, DEVICE_DIALLING);
    loop_add(&device->watch, fd, EPOLLOUT, on_device_ready);
}

void fleet_open_more(struct fleet *fleet, uint32_t *next) {
    while (*next < fleet->count && fleet->busy_count < OPEN_AT_ONCE)
        device_open(&fleet->devices[(*next)++]);
}

static void resolve(struct fleet *fleet, const char *host, uint16_t port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int error = getaddrinfo(host, service, &hints, &found);
    if (error != 0)
        die("%s: %s", host, gai_strerror(error));
    memcpy(&fleet->address, found->ai_addr, found->ai_addrlen);
    fleet->address_size = found->ai_addrlen;
    freeaddrinfo(found);
}

/* One version, one cipher, one group: every proxy is asked for the same work, whatever it prefers. */
void fleet_start(struct fleet *fleet, const char *host, uint16_t port, const char *cafile) {
    char group[] = "X25519"; /* the macro wants it writable */
    resolve(fleet, host, port);
    fleet->tls = SSL_CTX_new(TLS_client_method());
    fleet->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "device");
    if (fleet->tls == NULL || fleet->bio == NULL)
        die("OpenSSL is out of memory");
    BIO_meth_set_read(fleet->bio, bio_read);
    BIO_meth_set_write(fleet->bio, bio_write);
    BIO_meth_set_ctrl(fleet->bio, bio_control);
    SSL_CTX_set_min_proto_version(fleet->tls, TLS1_3_VERSION);
    if (SSL_CTX_set_ciphersuites(fleet->tls, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(fleet->tls, group) != 1)
        die("OpenSSL lacks TLS_AES_128_GCM_SHA256 or X25519");
    SSL_CTX_set_session_cache_mode(fleet->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(fleet->tls, on_ticket);
    SSL_CTX_set_mode(fleet->tls, SSL_MODE_RELEASE_BUFFERS);
    if (cafile != NULL) {
        if (SSL_CTX_load_verify_locations(fleet->tls, cafile, NULL) != 1)
            die("cannot read %s", cafile);
        SSL_CTX_set_verify(fleet->tls, SSL_VERIFY_PEER, NULL);
        fleet->host_name = strdup(host);
    }
    fleet->devices = allocate(fleet->count * sizeof *fleet->devices);
    for (uint32_t i = 0; i < fleet->count; i++)
        fleet->devices[i] = (struct device){.watch.fd = -1, .fleet = fleet, .number = i};
}
