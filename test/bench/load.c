/* load: MQTT devices over TLS and the broker behind the proxy, in one process.
 *
 *   load handshake   connect, handshake, CONNECT, CONNACK, close; --resume: with the ticket of an earlier one
 *   load to-broker   messages of devices; --batch N: of N TLS records in one write(2); --qos 1: with PUBACK
 *   load to-device   messages to devices
 *   load memory      anonymous memory of the proxy per idle device
 *   load storm       the 99th percentile of round trips while --strangers N (5000) come who never finish
 * their handshake: nanoseconds, per nanosecond of it while it is quiet load storm-memory  anonymous memory of
 * the proxy then load idle        opens devices, prints "ready N", holds them; --hold SECONDS
 *
 * Options of all:
 *   --host ADDRESS (127.0.0.1)  --port N  --cafile FILE (none: the certificate is not verified)
 *   --count DEVICES (50)  --mqtt5  --id PREFIX  --user NAME  --password TEXT  --keepalive SECONDS (300)
 *   --limit SECONDS: everything must be done by then (idle: every device open)
 * Of all but idle:
 *   --broker-port N: where the fake broker listens, the proxy's backend  --pid N: the proxy's process
 *   --seconds S: measured (1)  --warm S: before it (0.2)
 *   --trace FILE: counts system calls with strace instead of CPU time; strace writes FILE
 * Of messages:
 *   --size BYTES of payload (64)
 *   --flight N (1): batches under way at a time over all devices; N divides --count. Batch after batch
 *       goes round the devices, the next one leaves when one has arrived (QoS 1: when its PUBACK is back).
 *       Flight 1 is the lone message, for which the proxy wakes up; flight = count is one batch per device.
 *   --flood: as fast as the sockets take it, --window BYTES (262144) under way per device
 *   --topics N (1): of a flood, in turn, so that no message has the topic of the one before
 *   --record BYTES (16384): of a flood to the broker, in one TLS record; a message is not cut
 *
 * Prints "result UNITS TOTAL MILLISECONDS": TOTAL is nanoseconds of the proxy's CPU time (all its threads),
 * bytes, or system calls; exit status 0. What was sent and did not arrive, arrived twice, was closed or
 * refused, or took longer than --limit ends it with exit status 1 and a sentence.
 *
 * idle has no fake broker. It opens --count devices (--subscribe FILTER too; a %u in it is the device's
 * number), prints "ready N", and waits for the end of stdin or --hold seconds (60). Devices ping at half of
 * --keepalive. At the end it prints "held N" and exits 0 if all are still there, else "lost N" and 1. */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FLOOD_BYTES = 64 * 1024 }; /* of one write(2) */

static struct {
    const char *scenario, *host, *cafile, *trace;
    uint16_t port, broker_port;
    pid_t process;
    size_t payload_size, record_bytes;
    uint32_t batch, flight, topic_count, stranger_count;
    uint64_t window_bytes;
    double seconds, warm_seconds, limit_seconds, hold_seconds;
    bool is_flood, is_qos1, is_resumed, to_device;
} options = {.host = "127.0.0.1",
             .payload_size = 64,
             .record_bytes = 16 * 1024,
             .batch = 1,
             .flight = 1,
             .topic_count = 1,
             .stranger_count = 5000,
             .window_bytes = 256 * 1024,
             .seconds = 1,
             .warm_seconds = 0.2,
             .hold_seconds = 60};

static struct fleet fleet = {
    .id_prefix = "bench", .version = MQTT_311, .keep_alive_seconds = 300, .count = 50};
static struct broker broker;
static struct broker_link **links; /* by device number */

static uint64_t sent_count, arrived_count; /* messages, or handshakes */
static uint64_t sent_bytes, arrived_bytes; /* of packets without their fixed headers */
static bool is_stopping;                   /* nothing new is sent */
static uint64_t deadline_ns;
static struct bytes flood_block; /* whole messages: one TLS record, or one write to a device */
static uint64_t flood_block_count;
static uint32_t message_remaining; /* the remaining length of each message in the flood */

/* ---- waiting ---- */

static void turn(int timeout_ms, const char *what) {
    loop_turn(timeout_ms);
    if (now_ns() > deadline_ns)
        die("%s: not done in time (%llu sent, %llu arrived, %u devices open)", what,
            (unsigned long long)sent_count, (unsigned long long)arrived_count, fleet.open_count);
}

static void turn_for(double seconds, const char *what) {
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end)
        turn(1, what);
}

static void open_devices(void) {
    for (uint32_t next = 0; fleet.open_count < fleet.count;) {
        fleet_open_more(&fleet, &next);
        turn(100, "opening devices");
    }
}

static void close_devices(void) {
    for (uint32_t i = 0; i < fleet.count; i++)
        device_close(&fleet.devices[i]);
    while (broker.open_count > 0)
        turn(100, "waiting for the proxy to close its connections to the broker");
}

/* ---- messages ---- */

static uint32_t remaining_length(const struct bytes *packet) {
    uint32_t length = 0;
    for (unsigned i = 0; i < 4; i++) {
        length |= (uint32_t)(packet->data[1 + i] & 0x7f) << (7 * i);
        if ((packet->data[1 + i] & 0x80) == 0)
            break;
    }
    return length;
}

static void send_batch(struct device *device) {
    struct bytes packet = {0};
    char topic[64];
    if (options.to_device) {
        struct broker_link *link = links[device->number];
        if (link == NULL)
            die("device %u has no connection to the broker", device->number);
        broker_send(link, &device->message);
        sent_bytes += message_remaining;
    } else if (options.is_qos1) {
        snprintf(topic, sizeof topic, "bench/dev%03u/t", device->number);
        device->packet_id = device->packet_id == UINT16_MAX ? 1 : device->packet_id + 1;
        packet_add_publish(&packet, fleet.version, topic, options.payload_size, device->packet_id);
        device_write(device, packet.data, packet.size);
        device_flush(device);
        sent_bytes += remaining_length(&packet);
        bytes_free(&packet);
    } else {
        for (uint32_t i = 0; i < options.batch; i++)
            device_write(device, device->message.data, device->message.size);
        device_flush(device);
        sent_bytes += options.batch * message_remaining;
    }
    device->waiting_count += options.batch;
    sent_count += options.batch;
}

/* The flood of a device pauses while this many bytes are under way: what the proxy costs must not depend on
 * how many megabytes happen to lie in socket buffers, in or out of the processor's cache. */
static bool may_flood(const struct device *device) {
    return !is_stopping && (uint64_t)device->waiting_count * message_remaining < options.window_bytes;
}

static void start_flood(struct device *device) {
    struct broker_link *link = links[device->number];
    if (!options.to_device)
        device_flood(device);
    else if (link == NULL)
        die("device %u has no connection to the broker", device->number);
    else
        broker_flood(link);
}

static bool is_flooding(const struct device *device) {
    return options.to_device ? links[device->number] != NULL && links[device->number]->is_flooding
                             : device->is_flooding;
}

/* A message of this device has arrived where it should. */
static void arrive(struct device *device) {
    arrived_count++;
    if (device->waiting_count == 0)
        die("a message of device %u arrived twice", device->number);
    device->waiting_count--;
    if (options.is_flood) {
        if (!is_flooding(device) && may_flood(device))
            start_flood(device);
    } else if (device->waiting_count == 0 && !is_stopping) {
        send_batch(&fleet.devices[(device->number + options.flight) % fleet.count]);
    }
}

static void on_broker_publish(struct broker_link *link, const struct packet *packet) {
    if (link->device >= fleet.count)
        die("a message came from a device that is not ours");
    arrived_bytes += packet->remaining;
    if (!options.is_qos1)
        arrive(&fleet.devices[link->device]);
}

static void on_broker_subscribe(struct broker_link *link) {
    if (link->device < fleet.count)
        links[link->device] = link;
}

static void on_broker_close(struct broker_link *link) {
    if (links != NULL && link->device < fleet.count && links[link->device] == link)
        links[link->device] = NULL;
}

static void on_device_publish(struct device *device, const struct packet *packet) {
    arrived_bytes += packet->remaining;
    arrive(device);
}

static void count_block(struct device *device) {
    device->waiting_count += (uint32_t)flood_block_count;
    sent_count += flood_block_count;
    sent_bytes += flood_block_count * message_remaining;
}

static void next_flood(struct device *device) {
    device->is_flooding = may_flood(device);
    for (size_t size = 0; device->is_flooding && size < FLOOD_BYTES; size += flood_block.size) {
        device_write(device, flood_block.data, flood_block.size);
        count_block(device);
    }
}

static const struct bytes *next_block(struct broker_link *link) {
    struct device *device = &fleet.devices[link->device];
    if (!may_flood(device))
        return NULL;
    count_block(device);
    return &flood_block;
}

/* To the broker each device speaks on a topic of its own. A flood has one block for all, hence the same
 * topics.
 */
static void prepare_messages(void) {
    const char *leaf = options.to_device ? "d" : "t";
    char topic[64];
    for (uint32_t i = 0; i < fleet.count; i++) {
        snprintf(topic, sizeof topic, "bench/dev%03u/%s", options.is_flood ? 17 : i, leaf);
        packet_add_publish(&fleet.devices[i].message, fleet.version, topic, options.payload_size, 0);
    }
    const struct bytes *message = &fleet.devices[0].message;
    size_t want = options.to_device ? FLOOD_BYTES : options.record_bytes;
    message_remaining = remaining_length(message);
    do {
        snprintf(topic, sizeof topic, "bench/dev%03u/%s",
                 17 + (unsigned)(flood_block_count % options.topic_count), leaf);
        packet_add_publish(&flood_block, fleet.version, topic, options.payload_size, 0);
        flood_block_count++;
    } while (flood_block.size + message->size <= want);
}

/* Sends for some seconds, then waits until all has arrived. */
static void run_messages(double seconds) {
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    is_stopping = false;
    for (uint32_t i = 0; i < fleet.count && options.is_flood; i++)
        start_flood(&fleet.devices[i]);
    for (uint32_t i = 0; i < options.flight && !options.is_flood; i++)
        send_batch(&fleet.devices[i]);
    while (now_ns() < end)
        turn(10, "sending");
    is_stopping = true;
    while (arrived_count < sent_count)
        turn(10, "waiting for the last messages");
}

/* ---- handshakes ---- */

static void on_handshake_open(struct device *device) {
    if (device->was_resumed != fleet.resumes)
        die(fleet.resumes ? "a session was not resumed" : "a session was resumed");
    arrived_count++;
    device->wants_close = true;
}

static void run_handshakes(double seconds) {
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    do {
        for (uint32_t i = 0; i < fleet.count; i++) {
            if (fleet.devices[i].state == DEVICE_CLOSED) {
                sent_count++;
                device_open(&fleet.devices[i]);
            }
        }
        turn(10, "shaking hands");
    } while (now_ns() < end);
    while (fleet.busy_count > 0 || broker.open_count > 0)
        turn(10, "waiting for the last handshakes to close");
    if (broker.accepted_count != sent_count)
        die("%llu handshakes made %llu connections to the broker", (unsigned long long)sent_count,
            (unsigned long long)broker.accepted_count);
}

/* ---- measuring ---- */

static void print_result(uint64_t units, uint64_t total, uint64_t started_ns) {
    printf("result %llu %llu %llu\n", (unsigned long long)units, (unsigned long long)total,
           (unsigned long long)((now_ns() - started_ns) / 1000000));
}

/* The counters of a thread that runs lag behind: let the proxy fall asleep before each reading. */
static void measure(void (*run)(double seconds)) {
    struct trace trace = {0};
    uint64_t cpu_ns = 0, total;
    run(options.warm_seconds);
    turn_for(0.005, "settling");
    uint64_t count_before = arrived_count, started_ns = now_ns();
    if (options.trace != NULL)
        trace = trace_start(options.process, options.trace);
    else
        cpu_ns = process_cpu_ns(options.process);
    run(options.seconds);
    turn_for(0.005, "settling");
    if (options.trace != NULL)
        total = trace_stop(&trace);
    else
        total = process_cpu_ns(options.process) - cpu_ns;
    if (arrived_count != sent_count)
        die("%llu sent, %llu arrived", (unsigned long long)sent_count, (unsigned long long)arrived_count);
    if (sent_bytes != arrived_bytes)
        die("%llu bytes sent, %llu arrived", (unsigned long long)sent_bytes,
            (unsigned long long)arrived_bytes);
    print_result(arrived_count - count_before, total, started_ns);
}

static void measure_messages(void) {
    if (options.to_device)
        fleet.subscribe = "bench/dev%03u/d";
    open_devices();
    measure(run_messages);
    close_devices();
}

static void measure_handshakes(void) {
    fleet.on_open = on_handshake_open;
    if (options.is_resumed) { /* one full handshake per device brings the first ticket */
        run_handshakes(0);
        fleet.resumes = true;
    }
    measure(run_handshakes);
}

/* A few devices come and go first, so that what the proxy allocates once is not counted. */
static void measure_memory(void) {
    uint32_t count = fleet.count;
    uint64_t started_ns = now_ns();
    fleet.subscribe = "bench/dev%03u/d";
    fleet.count = count < 16 ? count : 16;
    open_devices();
    close_devices();
    fleet.count = count;
    turn_for(0.3, "settling");
    uint64_t before = process_memory_bytes(options.process);
    open_devices();
    is_stopping = true;
    for (uint32_t i = 0; i < count; i++) /* each has spoken and been spoken to, then falls silent */
        send_batch(&fleet.devices[i]);
    while (arrived_count < sent_count)
        turn(10, "waiting for the last messages");
    options.to_device = true;
    for (uint32_t i = 0; i < count; i++)
        send_batch(&fleet.devices[i]);
    while (arrived_count < sent_count)
        turn(10, "waiting for the last messages");
    turn_for(1, "settling");
    uint64_t after = process_memory_bytes(options.process);
    if (fleet.open_count != count || broker.open_count != count)
        die("%u of %u devices are left, %u connections to the broker", fleet.open_count, count,
            broker.open_count);
    print_result(count, after > before ? after - before : 0, started_ns);
    close_devices();
}

static void measure_storm(bool is_memory) {
    uint64_t started_ns = now_ns();
    options.is_qos1 = true; /* it has arrived when its PUBACK is back */
    open_devices();
    struct storm storm = run_storm(&fleet, options.stranger_count, options.seconds, options.process);
    if (is_memory)
        print_result(1, storm.memory_bytes, started_ns);
    else
        print_result(storm.quiet_ns, storm.storm_ns, started_ns);
    close_devices();
}

static void fail_run(struct device *device, const char *reason) {
    die("device %u: %s", device->number, reason);
}

/* ---- command line ---- */

static double number_of(const char *text, double low, double high) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= low && number <= high))
        die("%s: a number from %g to %g is wanted", text, low, high);
    return number;
}

enum {
    HOST,
    PORT,
    CAFILE,
    COUNT,
    MQTT5,
    ID,
    USER,
    PASSWORD,
    BROKER_PORT,
    PID,
    SECONDS,
    WARM,
    LIMIT,
    SIZE,
    FLIGHT,
    FLOOD,
    WINDOW,
    RECORD,
    TRACE,
    RESUME,
    QOS,
    BATCH,
    HOLD,
    KEEPALIVE,
    FILTER,
    TOPICS,
    STRANGERS
};

static const struct option option_rows[] = {{"host", 1, NULL, HOST},
                                            {"port", 1, NULL, PORT},
                                            {"cafile", 1, NULL, CAFILE},
                                            {"count", 1, NULL, COUNT},
                                            {"mqtt5", 0, NULL, MQTT5},
                                            {"id", 1, NULL, ID},
                                            {"user", 1, NULL, USER},
                                            {"password", 1, NULL, PASSWORD},
                                            {"broker-port", 1, NULL, BROKER_PORT},
                                            {"pid", 1, NULL, PID},
                                            {"seconds", 1, NULL, SECONDS},
                                            {"warm", 1, NULL, WARM},
                                            {"limit", 1, NULL, LIMIT},
                                            {"size", 1, NULL, SIZE},
                                            {"flight", 1, NULL, FLIGHT},
                                            {"flood", 0, NULL, FLOOD},
                                            {"window", 1, NULL, WINDOW},
                                            {"record", 1, NULL, RECORD},
                                            {"trace", 1, NULL, TRACE},
                                            {"resume", 0, NULL, RESUME},
                                            {"qos", 1, NULL, QOS},
                                            {"batch", 1, NULL, BATCH},
                                            {"hold", 1, NULL, HOLD},
                                            {"keepalive", 1, NULL, KEEPALIVE},
                                            {"subscribe", 1, NULL, FILTER},
                                            {"topics", 1, NULL, TOPICS},
                                            {"strangers", 1, NULL, STRANGERS},
                                            {0}};

static void take_option(int row, const char *text) {
    switch (row) {
    case HOST: options.host = text; break;
    case PORT: options.port = (uint16_t)number_of(text, 1, 65535); break;
    case CAFILE: options.cafile = text; break;
    case COUNT: fleet.count = (uint32_t)number_of(text, 1, 100000); break;
    case MQTT5: fleet.version = MQTT_5; break;
    case ID: fleet.id_prefix = text; break;
    case USER: fleet.user = text; break;
    case PASSWORD: fleet.password = text; break;
    case BROKER_PORT: options.broker_port = (uint16_t)number_of(text, 1, 65535); break;
    case PID: options.process = (pid_t)number_of(text, 1, 1e9); break;
    case SECONDS: options.seconds = number_of(text, 0, 3600); break;
    case WARM: options.warm_seconds = number_of(text, 0, 3600); break;
    case LIMIT: options.limit_seconds = number_of(text, 1, 7200); break;
    case SIZE: options.payload_size = (size_t)number_of(text, 0, 1 << 20); break;
    case FLIGHT: options.flight = (uint32_t)number_of(text, 1, 100000); break;
    case FLOOD: options.is_flood = true; break;
    case RECORD: options.record_bytes = (size_t)number_of(text, 1, 16384); break;
    case WINDOW: options.window_bytes = (uint64_t)number_of(text, 1, 1e9); break;
    case TRACE: options.trace = text; break;
    case RESUME: options.is_resumed = true; break;
    case QOS: options.is_qos1 = number_of(text, 0, 1) == 1; break;
    case BATCH: options.batch = (uint32_t)number_of(text, 1, 1000); break;
    case HOLD: options.hold_seconds = number_of(text, 0, 86400); break;
    case KEEPALIVE: fleet.keep_alive_seconds = (uint16_t)number_of(text, 0, 65535); break;
    case FILTER: fleet.subscribe = text; break;
    case TOPICS: options.topic_count = (uint32_t)number_of(text, 1, 900); break;
    case STRANGERS: options.stranger_count = (uint32_t)number_of(text, 0, 100000); break;
    default: die("see the first lines of test/bench/load.c");
    }
}

static void read_arguments(int count, char **arguments) {
    for (int row; (row = getopt_long(count, arguments, "", option_rows, NULL)) != -1;)
        take_option(row, optarg);
    if (optind != count - 1)
        die("one scenario is wanted: handshake, to-broker, to-device, memory, storm, storm-memory or idle");
    options.scenario = arguments[optind];
    options.to_device = strcmp(options.scenario, "to-device") == 0;
    if (options.port == 0)
        die("--port is missing");
    if (fleet.count % options.flight != 0)
        die("--flight must divide --count");
    if ((options.is_qos1 || options.to_device) && options.batch != 1)
        die("--batch is for messages of QoS 0 to the broker");
    if (options.limit_seconds == 0)
        options.limit_seconds = options.warm_seconds + options.seconds + 30;
}

static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int count, char **arguments) {
    read_arguments(count, arguments);
    raise_file_limit();
    loop_start();
    fleet_start(&fleet, options.host, options.port, options.cafile);
    deadline_ns = now_ns() + (uint64_t)(options.limit_seconds * 1e9);
    if (strcmp(options.scenario, "idle") == 0)
        return run_idle(&fleet, options.limit_seconds, options.hold_seconds);

    if (options.broker_port == 0 || options.process == 0)
        die("--broker-port and --pid are missing");
    alarm((unsigned)options.limit_seconds + 5);
    links = allocate(fleet.count * sizeof *links);
    broker.on_publish = on_broker_publish;
    broker.on_subscribe = on_broker_subscribe;
    broker.on_close = on_broker_close;
    broker.next_block = next_block;
    broker_start(&broker, options.broker_port);
    fleet.fail = fail_run;
    fleet.on_publish = on_device_publish;
    fleet.on_puback = arrive;
    fleet.next_flood = next_flood;
    prepare_messages();
    if (strcmp(options.scenario, "handshake") == 0)
        measure_handshakes();
    else if (strcmp(options.scenario, "to-broker") == 0 || options.to_device)
        measure_messages();
    else if (strcmp(options.scenario, "memory") == 0)
        measure_memory();
    else if (strncmp(options.scenario, "storm", 5) == 0)
        measure_storm(strcmp(options.scenario, "storm-memory") == 0);
    else
        die("%s: no such scenario", options.scenario);
    return 0;
}
