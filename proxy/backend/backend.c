#include "backend/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A name's addresses are used this long before it is looked up again. */
#define REMEMBER_MS 30000

static void on_resolved(struct loop_lookup *lookup, int error, const struct address *addresses, size_t count);

static void destroy(struct backend *backend) {
    free(backend->text);
    free((char *)(uintptr_t)backend->host);
    free((char *)(uintptr_t)backend->path);
    free(backend);
}

static struct backend *make(struct loop *loop, const struct conf_backend *where) {
    struct backend *backend = calloc(1, sizeof *backend);
    if (backend == NULL)
        return NULL;
    backend->loop = loop;
    backend->text = strdup(where->text);
    backend->host = where->host == NULL ? NULL : strdup(where->host);
    backend->path = where->path == NULL ? NULL : strdup(where->path);
    backend->port = where->port;
    backend->lookup.done = on_resolved;
    if (backend->text == NULL || (backend->host == NULL && backend->path == NULL)) {
        destroy(backend);
        return NULL;
    }
    backend->is_literal = backend->path != NULL
                              ? address_of_path(&backend->addresses[0], backend->path)
                              : address_read(&backend->addresses[0], backend->host, backend->port);
    backend->count = backend->is_literal ? 1 : 0;
    backend->is_stale = !backend->is_literal;
    return backend;
}

static bool is_same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

struct backend *backend_find(struct backend **first, struct loop *loop, const struct conf_backend *where) {
    for (struct backend *one = *first; one != NULL; one = one->next)
        if (strcmp(one->text, where->text) == 0 && is_same(one->path, where->path))
            return one;
    struct backend *made = make(loop, where);
    if (made != NULL) {
        made->next = *first;
        *first = made;
    }
    return made;
}

void backend_free_all(struct backend **first) {
    while (*first != NULL) {
        struct backend *one = *first;
        *first = one->next;
        destroy(one);
    }
}

static void dial(struct backend *backend, struct backend_call *call) {
    struct link *link = NULL;
    int error = -ENOENT;
    if (call->attempt == 0)
        call->start = backend->preferred;
    while (call->attempt < backend->count) {
        size_t which = (call->start + call->attempt++) % backend->count;
        error = link_dial(backend->loop, &backend->addresses[which], &call->wish, call->events, call->owner,
                          &link);
        if (error == 0)
            break;
    }
    call->on_dialed(call, error, link);
}

static void leave_line(struct backend_call *call) {
    *call->previous = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    call->previous = NULL;
}

static void on_resolved(struct loop_lookup *lookup, int error, const struct address *addresses,
                        size_t count) {
    struct backend *backend = (struct backend *)((char *)lookup - offsetof(struct backend, lookup));
    backend->is_resolving = false;
    if (error == 0 && !backend->is_literal) {
        count = count < BACKEND_ADDRESSES_MAX ? count : BACKEND_ADDRESSES_MAX;
        /* What was learnt about which address answers stays, as long as they are the same. */
        if (count != backend->count ||
            memcmp(backend->addresses, addresses, count * sizeof addresses[0]) != 0)
            backend->preferred = 0;
        backend->count = count;
        memcpy(backend->addresses, addresses, count * sizeof addresses[0]);
        backend->resolved_ms = loop_now_ms(backend->loop);
        backend->is_stale = false;
    }
    /* A name that cannot be looked up now may still be where it was. */
    while (backend->waiting != NULL) {
        struct backend_call *call = backend->waiting;
        leave_line(call);
        if (backend->count == 0)
            call->on_dialed(call, error < 0 ? error : -ENOENT, NULL);
        else
            dial(backend, call);
    }
}

void backend_dial(struct backend *backend, struct backend_call *call) {
    bool is_old = backend->is_stale || loop_now_ms(backend->loop) - backend->resolved_ms > REMEMBER_MS;
    if (backend->is_literal || call->attempt > 0 || (backend->count != 0 && !is_old)) {
        dial(backend, call);
        return;
    }
    call->next = backend->waiting;
    call->previous = &backend->waiting;
    if (call->next != NULL)
        call->next->previous = &call->next;
    backend->waiting = call;
    if (backend->is_resolving)
        return;
    int error = loop_resolve(backend->loop, &backend->lookup, backend->host, backend->port);
    backend->is_resolving = error == 0;
    if (error < 0) {
        leave_line(call);
        call->on_dialed(call, error, NULL);
    }
}

void backend_cancel(struct backend_call *call) {
    if (call->previous != NULL)
        leave_line(call);
}

void backend_report(struct backend *backend, const struct backend_call *call, bool is_connected) {
    if (!is_connected)
        backend->is_stale = true;
    /* The next one begins where this one got through, or behind where it did not. */
    if (backend->count != 0 && call->attempt > 0)
        backend->preferred = (call->start + call->attempt - (is_connected ? 1 : 0)) % backend->count;
}
