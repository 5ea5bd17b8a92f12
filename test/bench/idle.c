/* idle: opens many devices, says so, and holds them. For tests of other things that need a crowd. */
#include "bench.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static uint32_t lost_count;

static void lose(struct device *device, const char *reason) {
    if (device->wants_close)
        return;
    device->wants_close = true;
    if (lost_count++ == 0)
        fprintf(stderr, "bench: device %u: %s\n", device->number, reason);
}

static void ping_all(struct fleet *fleet) {
    struct bytes ping = {0};
    packet_add_empty(&ping, PINGREQ);
    for (uint32_t i = 0; i < fleet->count; i++) {
        struct device *device = &fleet->devices[i];
        if (device->state != DEVICE_OPEN)
            continue;
        device_write(device, ping.data, ping.size);
        device_flush(device);
        if (device->wants_close)
            device_close(device);
    }
    bytes_free(&ping);
}

static bool has_stdin_ended(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char rest[256];
    return poll(&input, 1, 0) > 0 && read(0, rest, sizeof rest) <= 0;
}

int run_idle(struct fleet *fleet, double open_seconds, double hold_seconds) {
    uint64_t end_ns = now_ns() + (uint64_t)(open_seconds * 1e9);
    fleet->fail = lose;
    for (uint32_t next = 0; fleet->open_count + lost_count < fleet->count;) {
        fleet_open_more(fleet, &next);
        loop_turn(100);
        if (now_ns() > end_ns)
            die("%u of %u devices are open, %u lost", fleet->open_count, fleet->count, lost_count);
    }
    printf("ready %u\n", fleet->open_count);
    fflush(stdout);
    uint64_t ping_ns = fleet->keep_alive_seconds * 500000000ull, next_ping_ns = now_ns() + ping_ns;
    end_ns = now_ns() + (uint64_t)(hold_seconds * 1e9);
    while (now_ns() < end_ns && !has_stdin_ended()) {
        loop_turn(50);
        if (ping_ns > 0 && now_ns() > next_ping_ns) {
            ping_all(fleet);
            next_ping_ns += ping_ns;
        }
    }
    bool is_whole = lost_count == 0;
    printf("%s %u\n", is_whole ? "held" : "lost", is_whole ? fleet->open_count : lost_count);
    fflush(stdout);
    for (uint32_t i = 0; i < fleet->count; i++)
        device_close(&fleet->devices[i]);
    return is_whole ? 0 : 1;
}
