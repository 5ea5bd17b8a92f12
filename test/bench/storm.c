/* storm: what thousands of strangers cost the devices that are connected. Devices publish with QoS 1 at a
 * steady pace and take the time until the PUBACK, while it is quiet and while strangers come and stay, in
 * turns:
 *
 *     quiet | storm | settling | quiet | storm | settling | quiet | storm
 *
 * so that what else happens on the machine meets both alike. Of the strangers some say nothing, some half a
 * ClientHello, some a whole one and no more, which costs the proxy its part of a handshake. They are a
 * process of their own that runs only when devices and broker do not want its core: what is measured is the
 * proxy, not us. */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PACE_NS        20000000 /* between two messages of a device */
#define SAMPLES_MAX    1000000
#define AT_ONCE        4 /* strangers that come in one turn of theirs */
#define PHASES         3 /* of each kind */
#define SETTLE_SECONDS 0.7

struct stranger {
    struct watch watch;
    size_t say; /* bytes of the ClientHello */
};

static struct fleet *fleet;
static uint64_t *sent_ns, *next_ns; /* by device; sent_ns 0: nothing under way */
static uint64_t *samples;
static size_t sample_count;
static struct bytes hello;

static void on_puback(struct device *device) {
    if (sent_ns[device->number] == 0)
        die("device %u: a PUBACK too many", device->number);
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = now_ns() - sent_ns[device->number];
    sent_ns[device->number] = 0;
}

static void publish(struct device *device) {
    struct bytes packet = {0};
    char topic[64];
    snprintf(topic, sizeof topic, "bench/dev%03u/t", device->number);
    device->packet_id = device->packet_id == UINT16_MAX ? 1 : device->packet_id + 1;
    packet_add_publish(&packet, fleet->version, topic, 64, device->packet_id);
    sent_ns[device->number] = now_ns();
    device_write(device, packet.data, packet.size);
    device_flush(device);
    bytes_free(&packet);
}

/* One that still waits for its PUBACK when its time has come lets it pass, so that the times are those of
 * single messages. */
static void publish_due(void) {
    for (uint32_t i = 0; i < fleet->count; i++) {
        if (now_ns() < next_ns[i])
            continue;
        next_ns[i] += PACE_NS;
        if (sent_ns[i] == 0)
            publish(&fleet->devices[i]);
    }
}

static int compare(const void *a, const void *b) {
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static uint64_t take_p99(const char *when) {
    if (sample_count < 100)
        die("%s: only %zu round trips", when, sample_count);
    qsort(samples, sample_count, sizeof *samples, compare);
    uint64_t p99 = samples[sample_count * 99 / 100];
    fprintf(stderr, "storm: %s: %zu round trips, median %llu us, p99 %llu us, longest %llu us\n", when,
            sample_count, (unsigned long long)samples[sample_count / 2] / 1000,
            (unsigned long long)p99 / 1000, (unsigned long long)samples[sample_count - 1] / 1000);
    sample_count = 0;
    return p99;
}

/* ---- strangers ---- */

static void on_stranger(struct watch *watch, uint32_t events) {
    struct stranger *stranger = (struct stranger *)watch;
    static uint8_t room[16 * 1024];
    if ((events & EPOLLOUT) != 0) {
        if (stranger->say != 0 && send(watch->fd, hello.data, stranger->say, MSG_NOSIGNAL) < 0)
            die("a stranger cannot speak: %s", strerror(errno));
        loop_change(watch, EPOLLIN);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && recv(watch->fd, room, sizeof room, 0) <= 0)
        loop_close(watch); /* sent away, which is all right */
}

static void come(struct stranger *stranger, uint32_t number) {
    int fd = socket(fleet->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const size_t says[] = {0, hello.size / 2, hello.size};
    if (fd < 0)
        die("a stranger has no socket: %s", strerror(errno));
    stranger->say = says[number % 3];
    if (connect(fd, (struct sockaddr *)&fleet->address, fleet->address_size) < 0 && errno != EINPROGRESS)
        die("a stranger cannot connect: %s", strerror(errno));
    loop_add(&stranger->watch, fd, EPOLLOUT, on_stranger);
}

static void make_hello(void) {
    SSL *ssl = SSL_new(fleet->tls);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char *data;
    if (ssl == NULL || in == NULL || out == NULL)
        die("OpenSSL is out of memory");
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    long size = BIO_get_mem_data(out, &data);
    bytes_add(&hello, data, (size_t)size);
    SSL_free(ssl);
}

/* The strangers' process. They come evenly over the time; a byte in the pipe says that all are there. */
static void be_strangers(double seconds, uint32_t count, int told) {
    const struct sched_param none = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sched_setscheduler(0, SCHED_IDLE, &none);
    dup2(told, 3);
    close_range(4, ~0U, 0); /* the devices' sockets end with our parent alone */
    loop_start();
    struct stranger *strangers = allocate(count * sizeof *strangers);
    uint64_t begin_ns = now_ns(), length_ns = (uint64_t)(seconds * 1e9);
    for (uint32_t come_count = 0; come_count < count;) {
        uint64_t passed_ns = now_ns() - begin_ns;
        uint64_t due = passed_ns >= length_ns ? count : count * passed_ns / length_ns;
        for (uint32_t i = 0; i < AT_ONCE && come_count < due; i++, come_count++)
            come(&strangers[come_count], come_count);
        loop_turn(come_count < due ? 0 : 1);
    }
    if (write(3, "", 1) != 1)
        die("nobody wants to know of the strangers");
    for (;;)
        loop_turn(-1);
}

static pid_t begin_strangers(double seconds, uint32_t count, int *told) {
    int ends[2];
    if (pipe(ends) < 0)
        die("pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t process = fork();
    if (process < 0)
        die("fork: %s", strerror(errno));
    if (process == 0)
        be_strangers(seconds, count, ends[1]);
    close(ends[1]);
    *told = ends[0];
    return process;
}

static void end_strangers(pid_t process, int told) {
    int status;
    kill(process, SIGKILL);
    if (waitpid(process, &status, 0) < 0 || !WIFSIGNALED(status))
        die("the strangers ended by themselves");
    close(told);
}

/* ---- phases ---- */

static bool is_over; /* all strangers have come */

static void on_told(struct watch *watch, uint32_t events) {
    (void)events;
    is_over = true;
    loop_change(watch, 0);
}

static void run_for(double seconds) {
    uint64_t end_ns = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end_ns) {
        publish_due();
        loop_turn(1);
    }
}

static uint64_t run_quiet(double seconds) {
    run_for(SETTLE_SECONDS);
    sample_count = 0;
    run_for(seconds);
    return take_p99("quiet");
}

static uint64_t run_strangers(double seconds, uint32_t count, pid_t process, uint64_t *memory_bytes) {
    struct watch watch;
    int told;
    uint64_t begin_ns = now_ns();
    size_t descriptors = process_descriptors(process);
    pid_t strangers = begin_strangers(seconds, count, &told);
    is_over = false;
    loop_add(&watch, told, EPOLLIN, on_told);
    sample_count = 0;
    while (!is_over) {
        publish_due();
        loop_turn(1);
        if (now_ns() > begin_ns + (uint64_t)(seconds * 1e9) + 60000000000u)
            die("the strangers take too long");
    }
    fprintf(stderr, "storm: %u strangers in %llu ms\n", count,
            (unsigned long long)(now_ns() - begin_ns) / 1000000);
    uint64_t p99 = take_p99("storm");
    run_for(SETTLE_SECONDS);
    *memory_bytes = process_memory_bytes(process);
    end_strangers(strangers, told);
    watch.fd = -1;
    /* So that its memory is that of one storm; a proxy that waits for those who are gone is not waited for.
     */
    for (int i = 0; i < 20 && process_descriptors(process) > descriptors; i++)
        run_for(0.1);
    return p99;
}

static uint64_t median(uint64_t *values) {
    qsort(values, PHASES, sizeof *values, compare);
    return values[PHASES / 2];
}

struct storm run_storm(struct fleet *wanted, uint32_t stranger_count, double seconds, pid_t process) {
    struct storm storm = {0};
    uint64_t quiet_ns[PHASES], storm_ns[PHASES];
    fleet = wanted;
    sent_ns = allocate(fleet->count * sizeof *sent_ns);
    next_ns = allocate(fleet->count * sizeof *next_ns);
    samples = allocate(SAMPLES_MAX * sizeof *samples);
    fleet->on_puback = on_puback;
    make_hello();
    for (uint32_t i = 0; i < fleet->count; i++)
        next_ns[i] = now_ns() + PACE_NS * i / fleet->count;
    for (int i = 0; i < PHASES; i++) {
        quiet_ns[i] = run_quiet(seconds);
        storm_ns[i] = run_strangers(seconds, stranger_count, process, &storm.memory_bytes);
    }
    storm.quiet_ns = median(quiet_ns);
    storm.storm_ns = median(storm_ns);
    return storm;
}
