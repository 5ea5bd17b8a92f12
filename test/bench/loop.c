/* loop: epoll, the clock, sockets, and what the kernel tells about another process. */
#include "bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int epoll_fd = -1;
static pid_t running_tracer; /* ended when we die */

void die(const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (running_tracer > 0)
        kill(running_tracer, SIGINT);
    exit(1);
}

void *allocate(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL)
        die("out of memory");
    return memory;
}

void loop_start(void) {
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1: %s", strerror(errno));
}

void loop_add(struct watch *watch, int fd, uint32_t interest, void (*ready)(struct watch *, uint32_t)) {
    struct epoll_event event = {.events = interest, .data.ptr = watch};
    *watch = (struct watch){.fd = fd, .interest = interest, .ready = ready};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

void loop_change(struct watch *watch, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data.ptr = watch};
    if (watch->fd < 0 || watch->interest == interest)
        return;
    watch->interest = interest;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

void loop_close(struct watch *watch) {
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

void loop_turn(int timeout_ms) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll_fd, events, 256, timeout_ms);
    if (count < 0 && errno != EINTR)
        die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch->fd >= 0)
            watch->ready(watch, events[i].events);
    }
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int listen_on(uint16_t port, uint16_t *bound) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die("cannot listen on 127.0.0.1:%u: %s", port, strerror(errno));
    *bound = ntohs(address.sin_port);
    return fd;
}

void set_nodelay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* ---- another process ---- */

static bool read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* The number behind `name` in a file of lines "name: number", UINT64_MAX if it is not there. */
static uint64_t read_field(const char *path, const char *name) {
    char text[8192];
    const char *at = read_text(path, text, sizeof text) ? strstr(text, name) : NULL;
    return at == NULL ? UINT64_MAX : strtoull(at + strlen(name), NULL, 10);
}

/* Calls `visit` with the path of each thread's file; the sum of what it returns. */
static uint64_t sum_over_threads(pid_t process, const char *file, uint64_t (*visit)(const char *path)) {
    char path[512];
    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *folder = opendir(path);
    uint64_t sum = 0;
    if (folder == NULL)
        die("process %d is gone", (int)process);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/%s", (int)process, entry->d_name, file);
        sum += visit(path);
    }
    closedir(folder);
    return sum;
}

static uint64_t first_number(const char *path) {
    char text[256];
    return read_text(path, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

uint64_t process_cpu_ns(pid_t process) {
    uint64_t sum = sum_over_threads(process, "schedstat", first_number);
    if (sum == 0)
        die("the kernel keeps no schedstat for process %d", (int)process);
    return sum;
}

uint64_t process_memory_bytes(pid_t process) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    uint64_t kib = read_field(path, "\nAnonymous:");
    if (kib == UINT64_MAX) { /* not permitted, or an old kernel: less exact, some 200 KiB */
        snprintf(path, sizeof path, "/proc/%d/status", (int)process);
        kib = read_field(path, "\nRssAnon:");
    }
    if (kib == UINT64_MAX)
        die("cannot read the memory of process %d", (int)process);
    return kib * 1024;
}

size_t process_descriptors(pid_t process) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    size_t count = 0;
    if (folder == NULL)
        die("cannot see the descriptors of process %d", (int)process);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static uint64_t is_untraced(const char *path) {
    uint64_t tracer = read_field(path, "\nTracerPid:");
    return tracer == 0 || tracer == UINT64_MAX;
}

struct trace trace_start(pid_t process, const char *report) {
    char target[16];
    snprintf(target, sizeof target, "%d", (int)process);
    struct trace trace = {.tracer = fork(), .report = strdup(report)};
    if (trace.tracer == 0) {
        int quiet = open("/dev/null", O_RDWR);
        dup2(quiet, 0);
        dup2(quiet, 1);
        dup2(quiet, 2);
        signal(SIGINT, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGINT); /* no tracer outlives us */
        execlp("strace", "strace", "-f", "-c", "-U", "calls,name", "-o", report, "-p", target, (char *)NULL);
        _exit(127);
    }
    if (trace.tracer < 0)
        die("fork: %s", strerror(errno));
    running_tracer = trace.tracer;
    for (int wait = 0; sum_over_threads(process, "status", is_untraced) != 0; wait++) {
        if (wait == 500 || waitpid(trace.tracer, NULL, WNOHANG) != 0)
            die("strace could not attach to process %d", (int)process);
        usleep(10000);
    }
    usleep(50000);
    return trace;
}

uint64_t trace_stop(struct trace *trace) {
    char line[256];
    uint64_t calls = 0;
    kill(trace->tracer, SIGINT);
    waitpid(trace->tracer, NULL, 0);
    running_tracer = 0;
    FILE *file = fopen(trace->report, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, " total") != NULL)
            calls = strtoull(line, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    free(trace->report);
    if (calls == 0)
        die("strace counted nothing");
    return calls;
}
