#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "link/uv.h"

struct dial {
    uv_connect_t request;
};

/* The other end is there: shake hands. Then on_open follows, else the link is open. A negative errno on
 * failure. */
static int shake(struct wire *wire) {
    struct tls_context *tls = wire->tls;
    int error = 0;
    wire->link.is_open = tls == NULL;
    if (tls != NULL) {
        wire->tls = NULL;
        error = wire_start_tls(wire, tls);
        tls_context_drop(tls); /* the engine has its own */
    }
    return error;
}

/* The network is there. */
static int greet(struct wire *wire) {
    return wire->tunnel != NULL ? wire_start_tunnel(wire, shake) : shake(wire);
}

enum dial_trouble link_trouble(const struct link *link) {
    if (link->trouble != DIAL_TROUBLE_NONE || link->engine == NULL)
        return (enum dial_trouble)link->trouble;
    enum dial_trouble trouble = engine_dial_trouble(link->engine);
    return trouble == DIAL_TROUBLE_NONE && !link->is_open ? DIAL_TROUBLE_CLOSED : trouble;
}

static void on_connected(uv_connect_t *request, int status) {
    struct wire *wire = request->handle->data;
    free(request);
    if (wire->link.is_closing || status == UV_ECANCELED)
        return;
    if (status < 0) {
        wire->link.events->on_end(&wire->link, status);
        return;
    }
    int error = greet(wire);
    if (error < 0)
        wire->link.events->on_end(&wire->link, error);
    else if (wire->link.is_open)
        wire->link.events->on_open(&wire->link);
}

static bool is_loopback(const struct address *address) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->socket.storage;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->socket.storage;
    int family = address->socket.any.sa_family;
    return (family == AF_INET && ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) ||
           (family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr));
}

/* ---- the socket ---- */

static bool is_plain(const struct link_socket *wish) {
    return wish->from == NULL && wish->probe_count == 0 && wish->user_timeout_ms == 0;
}

static int set_number(int fd, int level, int option, uint32_t value) {
    int number = (int)value;
    return setsockopt(fd, level, option, &number, sizeof number) == 0 ? 0 : -errno;
}

/* The port is chosen at the connect, where the whole of both addresses must be unique, not the near one
 * alone. */
static int bind_from(int fd, const struct address *from, const struct address *to) {
    if (from->socket.any.sa_family != to->socket.any.sa_family)
        return -EAFNOSUPPORT;
    (void)set_number(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1); /* of both families; a matter of economy */
    return bind(fd, &from->socket.any, from->size) == 0 ? 0 : -errno;
}

static int set_options(int fd, const struct link_socket *wish, const struct address *to) {
    int error = set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (error == 0 && wish->probe_count != 0) {
        error = set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        error = error != 0 ? error : set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, wish->probe_idle_s);
        error = error != 0 ? error : set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, wish->probe_interval_s);
        error = error != 0 ? error : set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, wish->probe_count);
    }
    if (error == 0 && wish->user_timeout_ms != 0)
        error = set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, wish->user_timeout_ms);
    return error == 0 && wish->from != NULL ? bind_from(fd, wish->from, to) : error;
}

/* A descriptor, or a negative errno. */
static int make_socket(const struct link_socket *wish, const struct address *to) {
    int fd = socket(to->socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? -errno : set_options(fd, wish, to);
    if (error == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return error;
}

/* On the loopback the three-way handshake is over when connect() returns: a connected socket then, without
 * going round the loop for the news. -1: it is not, or fails, and the ordinary way finds out how. */
static int connect_at_once(const struct link_socket *wish, const struct address *address) {
    int fd = make_socket(wish, address);
    if (fd < 0)
        return -1;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    bool is_begun = connect(fd, &address->socket.any, address->size) == 0 || errno == EINPROGRESS;
    if (is_begun && poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT)
        return fd;
    close(fd);
    return -1;
}

/* Is it connected already? */
static bool is_connected_at_once(struct wire *wire, const struct link_socket *wish,
                                 const struct address *address) {
    int fd = is_loopback(address) ? connect_at_once(wish, address) : -1;
    if (fd >= 0 && uv_tcp_open(&wire->uv.tcp, fd) < 0) {
        close(fd);
        fd = -1;
    }
    wire->link.is_open = fd >= 0;
    return wire->link.is_open;
}

/* The ordinary way. A negative errno on failure. */
static int connect_later(struct wire *wire, struct dial *dial, const struct link_socket *wish,
                         const struct address *address) {
    int fd = is_plain(wish) ? -1 : make_socket(wish, address); /* a plain one is libuv's to make */
    int error = is_plain(wish) ? 0 : fd < 0 ? fd : uv_tcp_open(&wire->uv.tcp, fd);
    if (error < 0) {
        if (fd >= 0)
            close(fd);
        return error;
    }
    error = uv_tcp_connect(&dial->request, &wire->uv.tcp, &address->socket.any, on_connected);
    if (error == 0 && fd < 0)
        uv_tcp_nodelay(&wire->uv.tcp, 1);
    return error;
}

int link_dial(struct loop *loop, const struct address *address, const struct link_wish *wish,
              const struct link_events *events, void *owner, struct link **link) {
    bool is_unix = address->socket.any.sa_family == AF_UNIX;
    *link = NULL;
    struct wire *wire = wire_create(loop, is_unix);
    if (wire == NULL)
        return -ENOMEM;
    wire->link.events = events;
    wire->link.owner = owner;
    wire->tls = wish->tls == NULL ? NULL : tls_context_keep(wish->tls);
    if (!wire_set_prelude(wire, wish->prelude) || !wire_set_tunnel(wire, wish->tunnel)) {
        wire_drop(wire);
        return -ENOMEM;
    }
    if (!is_unix && is_connected_at_once(wire, &wish->socket, address)) {
        int error = greet(wire);
        if (error < 0)
            wire_drop(wire);
        else
            *link = &wire->link;
        return error;
    }
    struct dial *dial = malloc(sizeof *dial);
    int result = dial == NULL ? -ENOMEM : 0;
    if (result == 0 && is_unix) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&address->socket.storage;
        uv_pipe_connect(&dial->request, &wire->uv.pipe, local->sun_path, on_connected);
    } else if (result == 0) {
        result = connect_later(wire, dial, &wish->socket, address);
    }
    if (result < 0) {
        free(dial);
        wire->link.is_closing = true;
        wire_drop(wire);
        return result;
    }
    *link = &wire->link;
    return 0;
}
