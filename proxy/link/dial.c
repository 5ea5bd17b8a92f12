#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>

#include "link/uv.h"

struct dial {
    uv_connect_t request;
};

static void on_connected(uv_connect_t *request, int status) {
    struct wire *wire = request->handle->data;
    free(request);
    if (wire->link.is_closing || status == UV_ECANCELED)
        return;
    if (status < 0) {
        wire->link.events->on_end(&wire->link, status);
        return;
    }
    wire->link.is_open = true;
    wire->link.events->on_open(&wire->link);
}

int link_dial(struct loop *loop, const struct address *address, const struct link_events *events, void *owner,
              struct link **link) {
    bool is_unix = address->socket.any.sa_family == AF_UNIX;
    *link = NULL;
    struct dial *dial = malloc(sizeof *dial);
    struct wire *wire = dial == NULL ? NULL : wire_create(loop, is_unix);
    if (wire == NULL) {
        free(dial);
        return -ENOMEM;
    }
    wire->link.events = events;
    wire->link.owner = owner;
    int result = 0;
    if (is_unix) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&address->socket.storage;
        uv_pipe_connect(&dial->request, &wire->uv.pipe, local->sun_path, on_connected);
    } else {
        result = uv_tcp_connect(&dial->request, &wire->uv.tcp, &address->socket.any, on_connected);
        if (result == 0)
            uv_tcp_nodelay(&wire->uv.tcp, 1);
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
