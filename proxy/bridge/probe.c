#include "bridge/probe.h"

#include <stdlib.h>

struct probe {
    struct bridge_host *host;
    const struct bridge_place *place;
    void (*on_answer)(void *owner);
    void *owner;
    struct backend_call call;
    struct link *link;
    uint64_t tried_ms;
    bool is_busy, is_dropped, has_answered;
    uint8_t room[LINK_ROOM_MIN];
};

static void on_end(struct link *link, int error) {
    (void)error;
    link_close(link, LINK_AT_ONCE);
}

static void on_open(struct link *link) {
    struct probe *probe = link->owner;
    probe->has_answered = true;
    link_close(link, LINK_AT_ONCE);
}

static struct link_room on_room(struct link *link) {
    struct probe *probe = link->owner;
    return (struct link_room){probe->room, sizeof probe->room};
}

static void on_bytes(struct link *link, size_t count) {
    (void)link;
    (void)count;
}

static void on_drained(struct link *link) {
    (void)link;
}

static void settle(struct probe *probe) {
    probe->link = NULL;
    probe->is_busy = false;
    if (probe->is_dropped)
        free(probe);
    else if (probe->has_answered) {
        probe->has_answered = false;
        probe->on_answer(probe->owner); /* may destroy it */
    }
}

static void on_closed(struct link *link) {
    settle(link->owner);
}

static const struct link_events events = {on_open, on_room, on_bytes, on_drained, on_end, on_closed};

static void on_dialed(struct backend_call *call, int error, struct link *link) {
    struct probe *probe = call->owner;
    if (error < 0) {
        probe->is_busy = false;
        return;
    }
    probe->link = link;
    if (link->is_open)
        on_open(link);
}

struct probe *probe_create(struct bridge_host *host, const struct bridge_place *place,
                           void (*on_answer)(void *owner), void *owner) {
    struct probe *probe = calloc(1, sizeof *probe);
    if (probe != NULL) {
        probe->host = host;
        probe->place = place;
        probe->on_answer = on_answer;
        probe->owner = owner;
        probe->tried_ms = loop_now_ms(host->loop);
    }
    return probe;
}

void probe_step(struct probe *probe, uint64_t now_ms, uint64_t every_ms) {
    if (probe->is_busy || now_ms - probe->tried_ms < every_ms)
        return;
    struct backend *backend = backend_find(&probe->host->backends, probe->host->loop, &probe->place->where);
    if (backend == NULL)
        return;
    probe->tried_ms = now_ms;
    probe->is_busy = true;
    probe->call = (struct backend_call){.events = &events,
                                        .owner = probe,
                                        .wish = probe->place->link,
                                        .where = &probe->place->where,
                                        .backend = backend,
                                        .on_dialed = on_dialed};
    backend_dial(backend, &probe->call);
}

void probe_destroy(struct probe *probe) {
    if (probe == NULL)
        return;
    backend_cancel(&probe->call);
    probe->is_dropped = true;
    if (probe->link != NULL)
        link_close(probe->link, LINK_AT_ONCE); /* on_closed frees it */
    else
        free(probe);
}
