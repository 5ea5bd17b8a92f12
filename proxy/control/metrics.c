/* metrics: the Prometheus text, and the small HTTP listener that shows it. Lives on the main thread's loop,
 * away from the data path. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "control/bridges.h"
#include "control/expiry.h"
#include "control/gate.h"
#include "control/http.h"

/* A visitor that stays longer is sent away; so is one too many. */
#define VISIT_MS   5000
#define VISITS_MAX 16

/* ---- the text ---- */

static uint64_t sum(const struct gate *gate, size_t offset) {
    uint64_t total = 0;
    for (size_t i = 0; i < gate->worker_count; i++)
        total += tally_read((const uint64_t *)((const char *)&gate->workers[i].tally + offset));
    return total;
}

#define SUM(gate, field) sum(gate, offsetof(struct tally, field))

static void write_rows(const struct gate *gate, FILE *out) {
    static const struct {
        const char *name, *kind, *help;
        bool is_gauge;
    } rows[] = {
#define METRIC(name, kind, help) {#name, #kind, help, #kind[0] == 'g'},
#include "inspect/metrics.def"
#undef METRIC
    };
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const char *suffix = rows[i].is_gauge ? "" : "_total";
        fprintf(out, "# HELP drawbridge_%s%s %s\n# TYPE drawbridge_%s%s %s\ndrawbridge_%s%s %llu\n",
                rows[i].name, suffix, rows[i].help, rows[i].name, suffix, rows[i].kind, rows[i].name, suffix,
                (unsigned long long)sum(gate, offsetof(struct tally, rows) + i * sizeof(uint64_t)));
    }
}

static void write_head(FILE *out, const char *name, const char *kind, const char *help) {
    fprintf(out, "# HELP drawbridge_%s %s\n# TYPE drawbridge_%s %s\n", name, help, name, kind);
}

static void write_packets(const struct gate *gate, FILE *out) {
    static const char *const directions[] = {"to_broker", "to_device"};
    write_head(out, "packets_total", "counter", "Packets judged, by direction and type");
    for (int direction = 0; direction < 2; direction++)
        for (int type = MQTT_CONNECT; type <= MQTT_AUTH; type++) {
            uint64_t count = sum(gate, offsetof(struct tally, packets) +
                                           (size_t)(direction * 16 + type) * sizeof(uint64_t));
            fprintf(out, "drawbridge_packets_total{direction=\"%s\",type=\"%s\"} %llu\n",
                    directions[direction], mqtt_type_name((enum mqtt_type)type), (unsigned long long)count);
        }
}

static void write_families(const struct gate *gate, FILE *out) {
    write_head(out, "sessions_ended_total", "counter", "Sessions that are over, by reason");
    for (int i = 1; i < SESSION_END_COUNT; i++)
        fprintf(out, "drawbridge_sessions_ended_total{reason=\"%s\"} %llu\n",
                session_end_label((enum session_end)i),
                (unsigned long long)sum(gate, offsetof(struct tally, ends) + (size_t)i * sizeof(uint64_t)));
    write_head(out, "protocol_violations_total", "counter",
               "Packets refused for a broken statement of the specification");
    for (int i = 1; i < VIOLATION_COUNT; i++)
        fprintf(
            out, "drawbridge_protocol_violations_total{statement=\"%s\"} %llu\n", violation_rows[i].name,
            (unsigned long long)sum(gate, offsetof(struct tally, violations) + (size_t)i * sizeof(uint64_t)));
    write_head(out, "rule_refusals_total", "counter",
               "Messages and topic filters that an option of the configuration refused");
    for (int i = 1; i < RULE_COUNT; i++)
        fprintf(out, "drawbridge_rule_refusals_total{option=\"%s\"} %llu\n", rule_rows[i].option,
                (unsigned long long)sum(gate, offsetof(struct tally, rules) + (size_t)i * sizeof(uint64_t)));
    write_head(out, "proxy_headers_refused_total", "counter",
               "Connections closed for their PROXY protocol header, by cause");
    for (int i = 1; i < PROXY_FAULT_COUNT; i++)
        fprintf(out, "drawbridge_proxy_headers_refused_total{cause=\"%s\"} %llu\n",
                proxy_fault_label((enum proxy_fault)i),
                (unsigned long long)sum(gate,
                                        offsetof(struct tally, proxy_faults) + (size_t)i * sizeof(uint64_t)));
    write_head(out, "backend_failures_total", "counter",
               "Connections to the broker that TLS or an HTTP proxy did not let come about, by cause");
    for (int i = 1; i < (int)DIAL_TROUBLE_COUNT; i++)
        fprintf(out, "drawbridge_backend_failures_total{cause=\"%s\"} %llu\n",
                dial_trouble_label((enum dial_trouble)i),
                (unsigned long long)sum(gate, offsetof(struct tally, dial_troubles) +
                                                  (size_t)i * sizeof(uint64_t)));
    write_head(out, "tls_failures_total", "counter", "TLS handshakes that failed, by cause");
    for (int i = 1; i < (int)TLS_TROUBLE_COUNT; i++)
        fprintf(
            out, "drawbridge_tls_failures_total{cause=\"%s\"} %llu\n", tls_trouble_name((enum tls_trouble)i),
            (unsigned long long)sum(gate, offsetof(struct tally, troubles) + (size_t)i * sizeof(uint64_t)));
}

static void write_lobby(const struct gate *gate, FILE *out) {
    struct visitors_summary summary = lobby_sum_up(gate->crowd.lobby, uv_now(&gate->loop->uv));
    write_head(out, "bans", "gauge", "Bans that last (ban_after)");
    fprintf(out,
            "drawbridge_bans{by=\"address\"} %zu\ndrawbridge_bans{by=\"username\"} %zu\n"
            "drawbridge_bans{by=\"clientid\"} %zu\n",
            summary.bans[VISITOR_ADDRESS], summary.bans[VISITOR_USERNAME], summary.bans[VISITOR_CLIENTID]);
    write_head(
        out, "visitors_remembered", "gauge",
        "Addresses, usernames and client ids whose connections, rates, failures or bans are remembered");
    fprintf(out, "drawbridge_visitors_remembered %zu\n", summary.remembered);
    write_head(out, "handshakes_open", "gauge",
               "TLS handshakes in progress, counted while there is a max_handshakes");
    fprintf(out, "drawbridge_handshakes_open %lld\n", (long long)lobby_handshakes(gate->crowd.lobby));
}

/* A path or a host may hold what ends a label early. */
static void write_label(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void write_expiry(void *keeper, const struct expiry *expiry) {
    FILE *out = keeper;
    char name[256];
    struct conf_listener listener = *expiry->listener;
    listener.host = NULL;
    fputs("drawbridge_certificate_expires_seconds{listener=\"", out);
    write_label(out, conf_listener_name(&listener, name, sizeof name));
    fputs("\",host=\"", out);
    write_label(out, expiry->listener->host == NULL ? "" : expiry->listener->host);
    fputs("\",certificate=\"", out);
    write_label(out, expiry->path);
    fprintf(out, "\"} %lld\n", (long long)expiry->expires_s);
}

static void write_program(const struct gate *gate, FILE *out) {
    write_head(out, "build_info", "gauge", "Versions in use");
    fprintf(out, "drawbridge_build_info{version=\"%s\",libuv=\"%s\",openssl=\"%s\"} 1\n", DRAWBRIDGE_VERSION,
            uv_version_string(), tls_library_version());
    write_head(out, "workers", "gauge", "Worker threads");
    fprintf(out, "drawbridge_workers %zu\n", gate->worker_count);
    write_head(out, "start_time_seconds", "gauge", "When the program started, in seconds since the epoch");
    fprintf(out, "drawbridge_start_time_seconds %lld\n", (long long)gate->started_s);
    write_head(out, "configuration_generation", "gauge", "1 at start, one more with each reload that took");
    fprintf(out, "drawbridge_configuration_generation %llu\n", (unsigned long long)gate->generation->number);
    write_head(out, "reloads_total", "counter", "Reloads by result");
    fprintf(out,
            "drawbridge_reloads_total{result=\"taken\"} %llu\ndrawbridge_reloads_total{result=\"refused\"} "
            "%llu\n",
            (unsigned long long)gate->reloads_good, (unsigned long long)gate->reloads_bad);
    write_head(out, "descriptors_used", "gauge", "Sockets in use or promised for devices and the broker");
    fprintf(out, "drawbridge_descriptors_used %lld\n",
            (long long)__atomic_load_n(&gate->crowd.descriptors, __ATOMIC_RELAXED));
    write_head(out, "descriptors_limit", "gauge", "Sockets that devices and the broker may have together");
    fprintf(out, "drawbridge_descriptors_limit %lld\n", (long long)gate->crowd.descriptors_full);
    write_lobby(gate, out);
    write_head(out, "certificate_expires_seconds", "gauge",
               "When the first certificate of the chain in a certfile ends, in seconds since the epoch");
    expiry_each(gate->generation, write_expiry, out);
}

/* Of the certificate that the broker is shown. */
static void write_backend(const struct gate *gate, FILE *out) {
    const struct tls_context *tls = gate->generation->backend_tls;
    if (tls == NULL || gate->generation->conf->backend_certfile == NULL)
        return;
    write_head(out, "backend_certificate_expires_seconds", "gauge",
               "When the certificate of backend_certfile ends, in seconds since the epoch");
    fprintf(out, "drawbridge_backend_certificate_expires_seconds %lld\n",
            (long long)tls_context_expires_s(tls));
}

char *gate_metrics(const struct gate *gate) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    write_rows(gate, out);
    write_packets(gate, out);
    write_families(gate, out);
    write_program(gate, out);
    write_backend(gate, out);
    bridges_write_metrics(gate->bridges, out);
    bool is_bad = ferror(out) != 0;
    if (fclose(out) != 0 || is_bad) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- the listener ---- */

struct visit {
    struct gate *gate;
    struct link *link;
    struct deadline deadline;
    size_t filled;
    uint8_t request[HTTP_REQUEST_MAX + 1];
    uint8_t room[LINK_ROOM_MIN];
};

struct metrics_server {
    struct acceptor acceptor;
    size_t visit_count;
};

static void answer(struct visit *visit, int status, const struct http_request *request) {
    const struct gate *gate = visit->gate;
    char *text = NULL;
    const char *body = http_status_words(status);
    if (status == 200 && span_is_text(request->path, "/metrics")) {
        body = text = gate_metrics(gate);
        status = text == NULL ? 503 : 200;
    } else if (status == 200 && span_is_text(request->path, "/healthz")) {
        body = "alive";
    } else if (status == 200 && span_is_text(request->path, "/readyz")) {
        status = gate->is_ready && !gate->is_stopping ? 200 : 503;
        body = status == 200 ? "ready" : "not ready";
    } else if (status == 200) {
        status = 404;
        body = "Not Found: here are /metrics, /healthz and /readyz.";
    }
    if (body == NULL)
        body = http_status_words(status);
    char head[256];
    size_t body_size = strlen(body);
    bool has_end = body_size != 0 && body[body_size - 1] == '\n';
    int head_size = snprintf(head, sizeof head,
                             "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n%s"
                             "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                             status, http_status_words(status), status == 405 ? "Allow: GET, HEAD\r\n" : "",
                             body_size + !has_end);
    struct span pieces[3] = {span_of(head, (size_t)head_size), span_of(body, body_size), SPAN_LITERAL("\n")};
    bool is_head = request->is_head;
    (void)link_write(visit->link, pieces, is_head ? 1 : has_end ? 2 : 3);
    free(text);
    link_close(visit->link, LINK_POLITELY);
}

static struct link_room on_room(struct link *link) {
    struct visit *visit = link->owner;
    return (struct link_room){visit->room, sizeof visit->room};
}

static void on_bytes(struct link *link, size_t count) {
    struct visit *visit = link->owner;
    struct http_request request = {false, SPAN_NONE};
    size_t room = HTTP_REQUEST_MAX - visit->filled;
    bool is_too_long = count > room;
    memcpy(visit->request + visit->filled, visit->room, is_too_long ? room : count);
    visit->filled += is_too_long ? room : count;
    int status = http_read_request(span_of(visit->request, visit->filled), &request);
    if (status != 0)
        answer(visit, status, &request);
}

static void on_end(struct link *link, int error) {
    (void)error;
    link_close(link, LINK_AT_ONCE);
}

static void on_nothing(struct link *link) {
    (void)link;
}

static void on_closed(struct link *link) {
    struct visit *visit = link->owner;
    wheel_cancel(loop_wheel(visit->gate->loop), &visit->deadline);
    visit->gate->metrics->visit_count--;
    free(visit);
}

static void on_late(struct deadline *deadline, uint64_t now_ms) {
    (void)now_ms;
    struct visit *visit = (struct visit *)((char *)deadline - offsetof(struct visit, deadline));
    link_close(visit->link, LINK_AT_ONCE);
}

static const struct link_events visit_events = {on_nothing, on_room, on_bytes, on_nothing, on_end, on_closed};

static void on_accept(struct acceptor *acceptor, struct wire *wire, const struct address *address) {
    (void)address;
    struct gate *gate = acceptor->owner;
    struct visit *visit = gate->metrics->visit_count < VISITS_MAX ? calloc(1, sizeof *visit) : NULL;
    if (visit == NULL) {
        wire_drop(wire);
        return;
    }
    gate->metrics->visit_count++;
    visit->gate = gate;
    visit->link = &wire->link;
    visit->deadline.on_due = on_late;
    wire->link.events = &visit_events;
    wire->link.owner = visit;
    wheel_set(loop_wheel(gate->loop), &visit->deadline, loop_now_ms(gate->loop) + VISIT_MS);
    link_read(&wire->link, true);
}

int metrics_open(struct gate *gate, const struct conf_endpoint *where) {
    struct address address;
    int fd = address_read(&address, where->host, where->port) ? accept_bind_tcp(&address, NULL, true)
             : strcmp(where->host, "localhost") == 0 && address_read(&address, "127.0.0.1", where->port)
                 ? accept_bind_tcp(&address, NULL, true)
                 : -EINVAL;
    if (fd >= 0) {
        gate->metrics = calloc(1, sizeof *gate->metrics);
        if (gate->metrics == NULL)
            return -ENOMEM;
        gate->metrics->acceptor.owner = gate;
        gate->metrics->acceptor.on_accept = on_accept;
        fd = acceptor_open(&gate->metrics->acceptor, gate->loop, fd, false);
    }
    if (fd < 0)
        log_error("%s:%u: the metrics listener cannot listen on %s: %s.", where->file, where->line,
                  where->text, fd == -EINVAL ? "write an address, such as 127.0.0.1:9883" : uv_strerror(fd));
    return fd;
}

void metrics_close(struct gate *gate) {
    if (gate->metrics != NULL)
        acceptor_close(&gate->metrics->acceptor);
}
