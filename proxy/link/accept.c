#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "link/uv.h"

#define BACKLOG 4096
/* Seconds of silence before the kernel asks whether the device is still there, seconds between its questions,
 * and how many go without an answer; MQTT's own keep alive may be off. */
#define TCP_KEEPALIVE_S       60
#define TCP_KEEPALIVE_EVERY_S 10
#define TCP_KEEPALIVE_COUNT   6

static int fail(int fd) {
    int error = -errno;
    close(fd);
    return error;
}

static bool set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* What is set here the accepted sockets inherit, without a system call each. */
static bool set_for_devices(int fd) {
    return set(fd, IPPROTO_TCP, TCP_NODELAY, 1) && set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set(fd, IPPROTO_TCP, TCP_KEEPIDLE, TCP_KEEPALIVE_S) &&
           set(fd, IPPROTO_TCP, TCP_KEEPINTVL, TCP_KEEPALIVE_EVERY_S) &&
           set(fd, IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEPALIVE_COUNT);
}

static int bind_tcp(const struct address *address, const char *interface, bool is_shared) {
    int family = address->socket.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!set(fd, SOL_SOCKET, SO_REUSEADDR, 1) || (is_shared && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
        (family == AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) || !set_for_devices(fd))
        return fail(fd);
    if (interface != NULL &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
        return fail(fd);
    if (bind(fd, &address->socket.any, address->size) < 0)
        return fail(fd);
    return fd;
}

int accept_bind_tcp(const struct address *address, const char *interface, bool is_first) {
    if (is_first) {
        int fd = bind_tcp(address, interface, false);
        if (fd < 0)
            return fd;
        close(fd);
    }
    return bind_tcp(address, interface, true);
}

int accept_bind_unix(const char *path) {
    struct address address;
    if (!address_of_path(&address, path))
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* A socket that an earlier run left behind is replaced; anything else under that name is not ours to
     * remove. */
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        connect(fd, &address.socket.any, address.size) < 0 && errno == ECONNREFUSED)
        unlink(path);
    if (bind(fd, &address.socket.any, address.size) < 0)
        return fail(fd);
    return fd;
}

static void peer_of(struct wire *wire, bool is_unix, struct address *address) {
    memset(address, 0, sizeof *address);
    int size = sizeof address->socket.storage;
    if (is_unix) {
        address->socket.any.sa_family = AF_UNIX;
        address->size = sizeof address->socket.any.sa_family;
    } else if (uv_tcp_getpeername(&wire->uv.tcp, &address->socket.any, &size) == 0) {
        address->size = (socklen_t)size;
    }
}

void wire_local(const struct wire *wire, struct address *address) {
    int size = sizeof address->socket.storage;
    memset(address, 0, sizeof *address);
    if (wire->uv.handle.type == UV_TCP && uv_tcp_getsockname(&wire->uv.tcp, &address->socket.any, &size) == 0)
        address->size = (socklen_t)size;
}

static void on_connection(uv_stream_t *stream, int status) {
    struct acceptor *acceptor = stream->data;
    /* What is not accepted waits in libuv, which does not look at the listener meanwhile. */
    if (status < 0 || !turn_accept(acceptor))
        return;
    struct wire *wire = wire_create(acceptor->loop, acceptor->is_unix);
    if (wire == NULL)
        return; /* the connection waits in libuv until memory is there again */
    if (uv_accept(stream, &wire->uv.stream) < 0) {
        wire_drop(wire);
        return;
    }
    struct address address;
    peer_of(wire, acceptor->is_unix, &address);
    wire->link.is_open = true;
    turn_enter(wire);
    acceptor->on_accept(acceptor, wire, &address);
}

static void on_turn(struct acceptor *acceptor) {
    on_connection(&acceptor->uv.stream, 0);
}

int acceptor_open(struct acceptor *acceptor, struct loop *loop, int fd, bool is_unix) {
    acceptor->loop = loop;
    acceptor->is_unix = is_unix;
    acceptor->is_waiting = false;
    acceptor->on_turn = on_turn;
    int result =
        is_unix ? uv_pipe_init(&loop->uv, &acceptor->uv.pipe, 0) : uv_tcp_init(&loop->uv, &acceptor->uv.tcp);
    if (result == 0)
        result = is_unix ? uv_pipe_open(&acceptor->uv.pipe, fd) : uv_tcp_open(&acceptor->uv.tcp, fd);
    acceptor->uv.handle.data = acceptor;
    if (result == 0)
        result = uv_listen(&acceptor->uv.stream, BACKLOG, on_connection);
    return result;
}

void acceptor_close(struct acceptor *acceptor) {
    turn_forget_acceptor(acceptor);
    if (!uv_is_closing(&acceptor->uv.handle))
        uv_close(&acceptor->uv.handle, NULL);
}

bool wire_secure(struct wire *wire, struct tls_context *context) {
    wire->link.engine = engine_expect(context);
    wire_set_kind(wire, &wire_secure_kind);
    turn_leave(wire);
    wire->link.is_open = false;
    return wire->link.engine != NULL;
}
