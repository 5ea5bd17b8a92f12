/* samples: test/samples/packets.txt, read once. The tests run from the root of the source tree. */
#ifndef TEST_UNIT_MQTT_SAMPLES_H
#define TEST_UNIT_MQTT_SAMPLES_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "mqtt/packet.h"

#define SAMPLES_FILE "test/samples/packets.txt"
#define SAMPLES_MAX  2048

struct sample {
    bool is_good;
    enum mqtt_version version; /* NONE: before anything was sent */
    enum mqtt_direction direction;
    char name[64];
    enum violation violation; /* NONE for a good one */
    struct span bytes;        /* one packet; a bad one may be cut short */
};

struct samples {
    size_t count;
    struct sample list[SAMPLES_MAX];
    uint8_t pool[256 * 1024];
    size_t pooled;
};

static inline void samples_fail(const char *line, const char *words) {
    fprintf(stderr, "%s: %s: %s\n", SAMPLES_FILE, words, line);
    abort();
}

static inline enum violation samples_violation(const char *name) {
    if (strcmp(name, "-") == 0)
        return VIOLATION_NONE;
    for (int i = 1; i < VIOLATION_COUNT; i++)
        if (strcmp(violation_rows[i].name, name) == 0)
            return (enum violation)i;
    samples_fail(name, "no such violation");
    return VIOLATION_NONE;
}

static inline struct span samples_bytes(struct samples *samples, const char *hex) {
    uint8_t *start = samples->pool + samples->pooled;
    size_t size = 0;
    for (const char *at = hex; *at != 0;) {
        unsigned value;
        if (isspace((unsigned char)*at)) {
            at++;
            continue;
        }
        if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]) ||
            sscanf(at, "%2x", &value) != 1 || samples->pooled + size == sizeof samples->pool)
            samples_fail(hex, "these are no bytes");
        start[size++] = (uint8_t)value;
        at += 2;
    }
    samples->pooled += size;
    return span_of(start, size);
}

static inline void samples_add(struct samples *samples, const char *line) {
    char kind[8], direction[16], violation[48];
    unsigned version;
    int behind = 0;
    if (samples->count == SAMPLES_MAX)
        samples_fail(line, "too many samples");
    struct sample *sample = &samples->list[samples->count++];
    if (sscanf(line, "%7s %u %15s %63s %47s %n", kind, &version, direction, sample->name, violation,
               &behind) != 5)
        samples_fail(line, "not a sample");
    sample->is_good = strcmp(kind, "good") == 0;
    sample->version = (enum mqtt_version)version;
    sample->direction = strcmp(direction, "to_broker") == 0 ? MQTT_TO_BROKER : MQTT_TO_DEVICE;
    sample->violation = samples_violation(violation);
    if ((!sample->is_good && strcmp(kind, "bad") != 0) ||
        (sample->direction == MQTT_TO_DEVICE && strcmp(direction, "to_device") != 0) ||
        (version != 0 && (version < 3 || version > 5)) ||
        sample->is_good != (sample->violation == VIOLATION_NONE))
        samples_fail(line, "not a sample");
    sample->bytes = samples_bytes(samples, line + behind);
}

/* The file must be there and whole: a broken line ends the test. */
static inline const struct samples *samples_load(void) {
    static struct samples samples;
    static char line[8192];
    if (samples.count != 0)
        return &samples;
    FILE *file = fopen(SAMPLES_FILE, "r");
    if (file == NULL)
        samples_fail("", "cannot be opened (run from the root of the source tree)");
    while (fgets(line, sizeof line, file) != NULL)
        if (line[0] != '#' && line[0] != '\n')
            samples_add(&samples, line);
    fclose(file);
    if (samples.count == 0)
        samples_fail("", "holds no sample");
    return &samples;
}

#endif
