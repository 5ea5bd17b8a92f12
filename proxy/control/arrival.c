/* arrival: a connection that must begin with a PROXY protocol header. Only as many bytes are read as belong
 * to it for sure, so that whoever takes the connection over finds everything behind it still in the socket.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/proxy_header.h"
#include "control/worker.h"

struct arrival {
    struct arriving arriving;
    struct worker *worker;
    struct arrival *next, **previous;
    struct deadline deadline;
    unsigned version;
    bool is_over; /* what becomes of the connection is decided */
    size_t filled, need;
    uint8_t bytes[PROXY_HEADER_MAX];
};

static void count(struct arrival *arrival, enum metric metric) {
    tally_add(&arrival->worker->tally.rows[metric], 1);
}

static const struct conf_listener *listener_of(const struct arrival *arrival) {
    return arrival->worker->host.generation->terms[arrival->arriving.listener_index].listener;
}

bool arrival_may_announce(const struct conf_listener *listener, const struct address *address) {
    const struct conf_networks *networks = listener->proxy_protocol_from;
    const struct ip ip = address_ip(address);
    if (listener->path != NULL)
        return true; /* who may open the socket is known to the file system */
    for (size_t i = 0; networks != NULL && i < networks->count; i++)
        if (network_holds(&networks->list[i], &ip))
            return true;
    return false;
}

/* It is no arrival any more. */
static void leave_line(struct arrival *arrival) {
    arrival->is_over = true;
    wheel_cancel(&arrival->worker->loop.wheel, &arrival->deadline);
    *arrival->previous = arrival->next;
    if (arrival->next != NULL)
        arrival->next->previous = arrival->previous;
}

static void turn_away(struct arrival *arrival, enum link_manner manner) {
    if (arrival->is_over)
        return;
    leave_line(arrival);
    link_close(&arrival->arriving.wire->link, manner);
}

static void refuse(struct arrival *arrival, enum proxy_fault fault) {
    char room[ADDRESS_TEXT_SIZE];
    tally_add(&arrival->worker->tally.proxy_faults[fault], 1);
    log_notice("Connection from the proxy %s closed: %s.", address_print(&arrival->arriving.address, room),
               proxy_fault_sentence(fault));
    turn_away(arrival, LINK_AT_ONCE);
}

/* What the listener asks of a header that is well-formed. */
static enum proxy_fault judge(const struct conf_listener *listener, const struct proxy_header *header) {
    bool has_tls = (header->tls.client & PROXY_TLS_USED) != 0;
    if (listener->proxy_protocol_v2_require_tls && !has_tls)
        return PROXY_FAULT_NO_TLS;
    bool is_told_of_certificate =
        listener->require_certificate == CONF_CERTIFICATE_REQUIRED && !conf_listener_is_tls(listener);
    return is_told_of_certificate && !proxy_tls_is_verified(&header->tls) ? PROXY_FAULT_NO_CERTIFICATE
                                                                          : PROXY_FAULT_NONE;
}

static void take_address(struct address *address, const struct proxy_ends *ends) {
    if (ends->family != PROXY_UNKNOWN) /* of whom the proxy does not know its own connection stands */
        address_of_bytes(address,
                         ends->family == PROXY_V4   ? IP_V4
                         : ends->family == PROXY_V6 ? IP_V6
                                                    : IP_NONE,
                         ends->source, ends->source_port);
}

static void finish(struct arrival *arrival, const struct proxy_header *header) {
    enum proxy_fault fault = header->is_local ? PROXY_FAULT_NONE : judge(listener_of(arrival), header);
    if (fault != PROXY_FAULT_NONE) {
        refuse(arrival, fault);
        return;
    }
    if (header->is_local) {
        count(arrival, METRIC_proxy_health_checks);
        turn_away(arrival, LINK_POLITELY);
        return;
    }
    count(arrival, METRIC_proxy_headers);
    leave_line(arrival);
    struct arriving arriving = arrival->arriving;
    take_address(&arriving.address, &header->ends);
    worker_welcome(arrival->worker, &arriving, header); /* which borrows from our bytes */
    free(arrival);
}

/* ---- events ---- */

static struct link_room on_room(struct link *link) {
    struct arrival *arrival = link->owner;
    return (struct link_room){arrival->bytes + arrival->filled, arrival->need};
}

static void on_bytes(struct link *link, size_t size) {
    struct arrival *arrival = link->owner;
    struct proxy_header header;
    enum proxy_fault fault;
    arrival->filled += size;
    switch (proxy_header_read(arrival->version, span_of(arrival->bytes, arrival->filled), &header, &fault)) {
    case PROXY_HEADER_MORE: arrival->need = header.need; break;
    case PROXY_HEADER_WRONG: refuse(arrival, fault); break;
    case PROXY_HEADER_WHOLE: finish(arrival, &header); break;
    }
}

static void on_end(struct link *link, int error) {
    (void)error;
    struct arrival *arrival = link->owner;
    if (arrival->filled == 0) /* a check that only connects */
        turn_away(arrival, LINK_AT_ONCE);
    else
        refuse(arrival, PROXY_FAULT_CUT_SHORT);
}

static void on_nothing(struct link *link) {
    (void)link;
}

static void on_closed(struct link *link) {
    struct arrival *arrival = link->owner;
    if (!arrival->is_over)
        leave_line(arrival);
    worker_forget(arrival->worker, &arrival->arriving);
    free(arrival);
}

static const struct link_events events = {on_nothing, on_room, on_bytes, on_nothing, on_end, on_closed};

static void on_late(struct deadline *deadline, uint64_t now_ms) {
    (void)now_ms;
    refuse((struct arrival *)((char *)deadline - offsetof(struct arrival, deadline)), PROXY_FAULT_TIMEOUT);
}

void arrival_begin(struct worker *worker, const struct arriving *arriving) {
    struct arrival *arrival = malloc(sizeof *arrival);
    if (arrival == NULL) {
        worker_forget(worker, arriving);
        wire_drop(arriving->wire);
        log_error("Memory is out: a connection was not taken.");
        return;
    }
    struct proxy_header header;
    enum proxy_fault fault;
    memset(arrival, 0, offsetof(struct arrival, bytes));
    arrival->arriving = *arriving;
    arrival->worker = worker;
    arrival->version = (unsigned)listener_of(arrival)->enable_proxy_protocol;
    (void)proxy_header_read(arrival->version, SPAN_NONE, &header, &fault);
    arrival->need = header.need;
    arrival->next = worker->arrivals;
    arrival->previous = &worker->arrivals;
    if (arrival->next != NULL)
        arrival->next->previous = &arrival->next;
    worker->arrivals = arrival;
    arrival->deadline.on_due = on_late;
    wheel_set(&worker->loop.wheel, &arrival->deadline,
              arriving->began_ms + listener_of(arrival)->handshake_timeout_ms);
    arriving->wire->link.events = &events;
    arriving->wire->link.owner = arrival;
    link_read(&arriving->wire->link, true);
}

void arrival_end_all(struct worker *worker) {
    while (worker->arrivals != NULL)
        turn_away(worker->arrivals, LINK_AT_ONCE);
}
