/* sink: the fake broker as a program of its own, for trying a proxy without a real broker.
 *
 *   sink [PORT]      listens on 127.0.0.1:PORT (none: any), prints "ready PORT", answers until stdin ends,
 *                    then prints "connections N messages N". */
#include "bench.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments) {
    struct broker broker = {0};
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char rest[256];
    unsigned long port = count > 1 ? strtoul(arguments[1], NULL, 10) : 0;
    if (port > 65535)
        die("%s: no such port", arguments[1]);
    loop_start();
    broker_start(&broker, (uint16_t)port);
    printf("ready %u\n", broker.port);
    fflush(stdout);
    while (poll(&input, 1, 0) <= 0 || read(0, rest, sizeof rest) > 0)
        loop_turn(100);
    printf("connections %llu messages %llu\n", (unsigned long long)broker.accepted_count,
           (unsigned long long)broker.publish_count);
    return 0;
}
