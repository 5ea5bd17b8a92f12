/* guard: copies of bytes that end exactly where the process may not read on, so that one byte of over-read is
 * a crash. */
#ifndef TEST_UNIT_MQTT_GUARD_H
#define TEST_UNIT_MQTT_GUARD_H

#include <stdlib.h>
#include <sys/mman.h>

#include "base/span.h"

/* Room enough for the largest string with what stands around it. */
#define GUARD_SIZE (128u * 1024)

/* The copy lives until the next one, which may be made from it. */
static inline struct span guard_copy(struct span bytes) {
    static uint8_t *room;
    if (room == NULL) {
        room = mmap(NULL, GUARD_SIZE + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED || mprotect(room + GUARD_SIZE, 65536, PROT_NONE) != 0)
            abort();
    }
    if (bytes.size > GUARD_SIZE)
        abort();
    uint8_t *start = room + GUARD_SIZE - bytes.size;
    if (bytes.size != 0)
        memmove(start, bytes.at, bytes.size);
    return span_of(start, bytes.size);
}

#endif
