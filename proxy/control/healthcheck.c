/* healthcheck: asks a running drawbridge's metrics listener whether it is ready, for a container's
 * HEALTHCHECK: no other tool needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "control/gate.h"
#include "link/address.h"

#define TIMEOUT_S 3

static int ask(const struct address *address) {
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n";
    struct timeval timeout = {TIMEOUT_S, 0};
    char answer[64] = "";
    int fd = socket(address->socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    int status = -1;
    if (connect(fd, &address->socket.any, address->size) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
        recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 12 && strncmp(answer, "HTTP/1.", 7) == 0)
        status = atoi(answer + 9);
    close(fd);
    return status;
}

int healthcheck_main(int argc, char **argv) {
    struct address address;
    char host[128];
    const char *colon = argc == 2 ? strrchr(argv[1], ':') : NULL;
    if (colon == NULL || colon == argv[1] || (size_t)(colon - argv[1]) >= sizeof host) {
        fprintf(stderr, "Usage: drawbridge healthcheck ADDRESS:PORT   (of the metrics_listener)\n");
        return 1;
    }
    memcpy(host, argv[1], (size_t)(colon - argv[1]));
    host[colon - argv[1]] = 0;
    const char *literal = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    long port = strtol(colon + 1, NULL, 10);
    if (port < 1 || port > 65535 || !address_read(&address, literal, (uint16_t)port)) {
        fprintf(stderr, "%s is no address and port, such as 127.0.0.1:9883\n", argv[1]);
        return 1;
    }
    int status = ask(&address);
    if (status == 200)
        return 0;
    fprintf(stderr, status < 0 ? "drawbridge does not answer on %s\n" : "drawbridge is not ready on %s\n",
            argv[1]);
    return 1;
}
