/* bench: what the load generator and the fake broker share.
 *
 *   loop.c     an epoll loop, the clock, and the counters of another process (CPU time, memory, system calls)
 *   packets.c  growable bytes, the few MQTT packets spoken here, a reader of packets from a stream
 *   broker.c   the fake broker: answers, counts, and sends PUBLISHes to devices
 *   device.c   a fleet of MQTT devices over TLS
 *   load.c     the scenarios and the command line
 *   idle.c     the scenario that only holds devices
 *   storm.c    the scenario with thousands of strangers
 *   sink.c     the fake broker as a program of its own
 *
 * One thread, one loop: devices and broker usually live in the same process, so that "this message has
 * arrived" is a function call and pacing needs no second channel. A mistake ends the program with a sentence:
 * `die`. */
#ifndef DRAWBRIDGE_BENCH_H
#define DRAWBRIDGE_BENCH_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* ---- loop.c ---- */

struct watch {
    int fd; /* -1: closed; an event may still come in the same turn and is ignored */
    uint32_t interest;
    void (*ready)(struct watch *watch, uint32_t events);
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
void *allocate(size_t size); /* zeroed; dies when memory is out */

void loop_start(void);
void loop_add(struct watch *watch, int fd, uint32_t interest, void (*ready)(struct watch *, uint32_t));
void loop_change(struct watch *watch, uint32_t interest); /* no system call when nothing changes */
void loop_close(struct watch *watch);
void loop_turn(int timeout_ms);

uint64_t now_ns(void);
int listen_on(uint16_t port, uint16_t *bound); /* on 127.0.0.1; port 0: any */
void set_nodelay(int fd);

uint64_t process_cpu_ns(pid_t process);       /* all its threads */
uint64_t process_memory_bytes(pid_t process); /* anonymous resident memory */
size_t process_descriptors(pid_t process);    /* that it has open */

struct trace {
    pid_t tracer;
    char *report; /* path */
};
struct trace trace_start(pid_t process,
                         const char *report); /* counts the system calls of a process with strace */
uint64_t trace_stop(struct trace *trace);     /* the count */

/* ---- packets.c ---- */

struct bytes {
    uint8_t *data;
    size_t size, room;
};
void bytes_add(struct bytes *bytes, const void *data, size_t size);
void bytes_free(struct bytes *bytes);

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, SUBSCRIBE = 8, SUBACK, PINGREQ = 12, PINGRESP, DISCONNECT };
enum { MQTT_311 = 4, MQTT_5 = 5 };

struct packet {
    uint8_t first; /* type and flags */
    uint32_t remaining;
    const uint8_t *body; /* its first bytes, at least PACKET_PREFIX or all of them */
    size_t body_size;
};
enum { PACKET_PREFIX = 256 };

struct packet_reader {
    uint8_t first;
    uint8_t length_size; /* length bytes read so far; the length is complete when has_length */
    bool has_first, has_length;
    uint32_t remaining, taken;
    uint8_t prefix[PACKET_PREFIX];
};

/* Feeds bytes of a stream; calls `on_packet` once per packet, when its last byte is there. False: not MQTT.
 */
bool packet_read(struct packet_reader *reader, const uint8_t *bytes, size_t size,
                 void (*on_packet)(void *owner, const struct packet *packet), void *owner);

/* The packet id of a PUBLISH of QoS 1, 0 if it cannot be found. */
uint16_t packet_publish_id(const struct packet *packet);

struct connect_options {
    int version;
    uint16_t keep_alive_seconds;
    const char *client_id, *user, *password; /* user, password: NULL or text */
};
void packet_add_connect(struct bytes *out, const struct connect_options *options);
void packet_add_connack(struct bytes *out, int version);
void packet_add_publish(struct bytes *out, int version, const char *topic, size_t payload_size, uint16_t id);
void packet_add_subscribe(struct bytes *out, int version, uint16_t id, const char *filter);
void packet_add_suback(struct bytes *out, int version, uint16_t id);
void packet_add_puback(struct bytes *out, uint16_t id);
void packet_add_empty(struct bytes *out, int type); /* PINGREQ, PINGRESP, DISCONNECT */

/* ---- broker.c ---- */

#define NO_DEVICE UINT32_MAX

struct broker_link {
    struct watch watch;
    struct broker *broker;
    struct broker_link *next_free;
    struct packet_reader reader;
    struct bytes out;
    size_t out_sent;
    uint32_t device; /* the number in the client id "bench-17", else NO_DEVICE */
    int version;
    bool is_flooding;
    const struct bytes *block; /* of the flood; lent by next_block */
    size_t block_sent;
};

struct broker {
    struct watch watch;
    uint16_t port;
    uint32_t open_count;
    uint64_t accepted_count, publish_count;
    struct broker_link *free_links;
    /* Each may be NULL. */
    void (*on_publish)(struct broker_link *link, const struct packet *packet);
    void (*on_subscribe)(struct broker_link *link);
    void (*on_close)(struct broker_link *link);
    const struct bytes *(*next_block)(struct broker_link *link); /* NULL ends the flood */
};

void broker_start(struct broker *broker, uint16_t port);
void broker_send(struct broker_link *link, const struct bytes *packets);
void broker_flood(struct broker_link *link);

/* ---- device.c ---- */

enum device_state {
    DEVICE_CLOSED,
    DEVICE_DIALLING,
    DEVICE_HANDSHAKE,
    DEVICE_CONNECTING,
    DEVICE_SUBSCRIBING,
    DEVICE_OPEN
};

struct device {
    struct watch watch;
    struct fleet *fleet;
    uint32_t number;
    enum device_state state;
    bool wants_close; /* set in a callback: close when it has returned */
    bool is_flooding;
    bool was_resumed;
    SSL *ssl;
    SSL_SESSION *session; /* the newest ticket */
    const uint8_t *in;    /* ciphertext lent to OpenSSL during a read */
    size_t in_size;
    struct bytes out; /* ciphertext */
    size_t out_sent;
    struct packet_reader reader;
    uint16_t packet_id;
    uint32_t waiting_count; /* messages of this device under way: the scenario's own */
    struct bytes message;   /* a message ready to be sent: the scenario's own */
};

struct fleet {
    SSL_CTX *tls;
    BIO_METHOD *bio;
    struct sockaddr_storage address;
    socklen_t address_size;
    char *host_name; /* for SNI and verification, NULL: no verification */
    struct device *devices;
    uint32_t count, open_count, busy_count; /* busy: between dialling and open */
    const char *id_prefix, *user, *password;
    int version;
    uint16_t keep_alive_seconds;
    const char *subscribe; /* filter with one %u, or NULL */
    bool resumes;
    /* `fail` must be there. */
    void (*on_open)(struct device *device);
    void (*on_publish)(struct device *device, const struct packet *packet);
    void (*on_puback)(struct device *device);
    void (*fail)(struct device *device, const char *reason);
    void (*next_flood)(struct device *device); /* writes more with device_write, or sets is_flooding false */
};

void fleet_start(struct fleet *fleet, const char *host, uint16_t port, const char *cafile);
/* Begins to open devices from `*next` on, as many as may be under way at once. */
void fleet_open_more(struct fleet *fleet, uint32_t *next);
void device_open(struct device *device);
void device_close(struct device *device); /* DISCONNECT, close_notify, FIN */
void device_write(struct device *device, const uint8_t *data,
                  size_t size);           /* into TLS records, not sent yet */
void device_flush(struct device *device); /* one send(2) of what was written */
void device_flood(struct device *device);

/* ---- idle.c ---- */

int run_idle(struct fleet *fleet, double open_seconds, double hold_seconds); /* the exit status */

/* ---- storm.c ---- */

struct storm {
    uint64_t quiet_ns, storm_ns; /* the 99th percentile of the devices' round trips */
    uint64_t memory_bytes;       /* of the proxy, with all strangers there */
};
/* The devices are open. */
struct storm run_storm(struct fleet *fleet, uint32_t stranger_count, double seconds, pid_t process);

#endif
