/* each_sample: every sample packet of one direction through the inspector, in the state in which it may come:
 * whole, byte by byte, chopped at random, with a neighbour behind it. */
#ifndef TEST_UNIT_INSPECT_EACH_SAMPLE_H
#define TEST_UNIT_INSPECT_EACH_SAMPLE_H

#include "unit/inspect/driver.h"
#include "unit/inspect/packets.h"
#include "unit/mqtt/samples.h"

static inline enum mqtt_type sample_type(const struct sample *sample) {
    return (enum mqtt_type)(sample->bytes.at[0] >> 4);
}

/* An inspector that waits for just this packet. */
static inline struct driver *driver_for_sample(const struct sample *sample) {
    struct inspect_limits limits = driver_no_limits();
    limits.is_subscribe_silent = true;
    struct driver *driver = driver_create(&limits, NULL);
    struct inspector *inspector = &driver->inspector;
    bool is_first = sample->direction == MQTT_TO_BROKER &&
                    (sample_type(sample) == MQTT_CONNECT || sample->version == MQTT_VERSION_NONE);
    if (is_first)
        return driver;
    inspector->version = sample->version;
    inspector->state = sample_type(sample) == MQTT_CONNACK ? INSPECT_BEFORE_CONNACK : INSPECT_OPEN;
    inspector->has_session_expiry = true;
    inspector->from_device.aliases.max = inspector->from_broker.aliases.max = 65535;
    assert_true(alias_set(&inspector->from_device.aliases, 1, SPAN_LITERAL("known"), true));
    assert_true(alias_set(&inspector->from_broker.aliases, 1, SPAN_LITERAL("known"), true));
    uint8_t *method = malloc(5);
    assert_non_null(method);
    memcpy(method, "SCRAM", 5);
    inspector->auth_method = span_of(method, 5);
    return driver;
}

/* $SYS is the broker's own: nobody publishes there, with or without an acl_file. */
static inline bool is_forbidden(const struct sample *sample) {
    return sample_type(sample) == MQTT_PUBLISH && sample->direction == MQTT_TO_BROKER &&
           memmem(sample->bytes.at, sample->bytes.size, "$SYS", 4) != NULL;
}

static inline enum inspect_result wanted_of_good(const struct sample *sample) {
    bool is_refusing = sample_type(sample) == MQTT_CONNACK && sample->bytes.at[3] != 0;
    return sample_type(sample) == MQTT_DISCONNECT || is_refusing ? INSPECT_GOODBYE : INSPECT_MORE;
}

static inline void check_good(const struct sample *sample, const struct driver *driver,
                              enum inspect_result result) {
    bool is_started = sample_type(sample) == MQTT_CONNACK && wanted_of_good(sample) == INSPECT_MORE;
    if (result != wanted_of_good(sample))
        fail_msg("%s: result %d, violation %s", sample->name, result,
                 violation_rows[driver->inspector.violation].name);
    struct span wanted = is_forbidden(sample) ? SPAN_NONE : sample->bytes;
    if (!span_is_equal(driver_out(driver, sample->direction), wanted)) {
        print_bytes("found ", driver_out(driver, sample->direction));
        print_bytes("wanted", wanted);
        fail_msg("%s: is not passed as it came", sample->name);
    }
    if (driver_answers(driver, sample->direction).size != 0 || driver->ways[sample->direction].held.size != 0)
        fail_msg("%s: an answer, or bytes held back", sample->name);
    assert_int_equal(driver->starts, is_started);
    assert_int_equal(driver->connects, sample_type(sample) == MQTT_CONNECT);
    assert_int_equal(driver->refusals, is_forbidden(sample));
    assert_int_equal(tally_read(&driver->tally.packets[sample->direction][sample_type(sample)]), 1);
}

static inline void good_samples_pass(enum mqtt_direction direction) {
    const struct samples *samples = samples_load();
    uint64_t seed = 1;
    size_t count = 0;
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        if (!sample->is_good || sample->direction != direction)
            continue;
        count++;
        struct driver *driver = driver_for_sample(sample);
        check_good(sample, driver, driver_feed(driver, direction, sample->bytes));
        driver_destroy(driver);
        const size_t mosts[] = {1, 2, 5, 17, 100};
        for (size_t k = 0; k < 2 * sizeof mosts / sizeof mosts[0]; k++) {
            driver = driver_for_sample(sample);
            driver->is_lazy = k % 2 == 0;
            check_good(sample, driver,
                       driver_feed_chopped(driver, direction, sample->bytes, &seed, mosts[k / 2]));
            driver_destroy(driver);
        }
    }
    assert_true(count > 50);
}

static inline void check_bad(const struct sample *sample, const struct driver *driver,
                             enum inspect_result result) {
    if (result != INSPECT_WRONG || driver->inspector.violation != sample->violation)
        fail_msg("%s: result %d, violation %s", sample->name, result,
                 violation_rows[driver->inspector.violation].name);
    if (driver_out(driver, sample->direction).size != 0 ||
        driver_answers(driver, sample->direction).size != 0)
        fail_msg("%s: a byte of it passed, or an answer", sample->name);
    assert_int_equal(tally_read(&driver->tally.violations[sample->violation]), 1);
    assert_int_equal(tally_read(&driver->tally.packets[sample->direction][sample_type(sample)]), 0);
    assert_int_equal(driver->connects + driver->starts, 0);
}

static inline void bad_samples_are_wrong(enum mqtt_direction direction) {
    const struct samples *samples = samples_load();
    uint64_t seed = 2;
    size_t count = 0;
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        if (sample->is_good || sample->direction != direction)
            continue;
        count++;
        for (size_t most = 0; most < 6; most++) {
            struct driver *driver = driver_for_sample(sample);
            check_bad(sample, driver,
                      most == 0 ? driver_feed(driver, direction, sample->bytes)
                                : driver_feed_chopped(driver, direction, sample->bytes, &seed, 2 * most - 1));
            driver_destroy(driver);
        }
    }
    assert_true(count > 50);
}

/* One row of the table of what may come when: a letter per packet type 0..15.
 *     P passes, H is held until the CONNACK, C and S are CONNECT and the CONNACK, G says goodbye, X goes
 * nowhere F first packet, D direction, T type, O order, 2 second CONNECT: WRONG for that */
static inline void check_order_row(enum mqtt_direction direction, enum inspect_state state,
                                   enum mqtt_version version, bool has_method, const char *row) {
    const struct samples *samples = samples_load();
    for (int type = 0; type < 16; type++) {
        struct inspect_limits limits = driver_no_limits();
        struct driver *driver = driver_create(&limits, NULL);
        struct inspector *inspector = &driver->inspector;
        inspector->state = state;
        inspector->version = state == INSPECT_BEFORE_CONNECT ? MQTT_VERSION_NONE : version;
        if (has_method) {
            inspector->is_auth_open = true;
            inspector->auth_method = span_of(memcpy(malloc(5), "SCRAM", 5), 5);
        }
        struct span bytes = SPAN_LITERAL("\0\0");
        for (size_t i = samples->count; i-- > 0;)
            if (samples->list[i].is_good && samples->list[i].bytes.at[0] >> 4 == type &&
                samples->list[i].version == (type == MQTT_AUTH ? MQTT_VERSION_5 : version) &&
                (type != MQTT_CONNACK || samples->list[i].bytes.at[3] == 0))
                bytes = samples->list[i].bytes;
        enum inspect_result result = driver_feed(driver, direction, bytes);
        struct span out = driver_out(driver, direction);
        size_t held = driver->ways[direction].held.size;
        enum violation violation = inspector->violation;
        char found = '?';
        if (result == INSPECT_WRONG)
            found = violation == VIOLATION_FIRST_PACKET       ? 'F'
                    : violation == VIOLATION_PACKET_DIRECTION ? 'D'
                    : violation == VIOLATION_PACKET_TYPE      ? 'T'
                    : violation == VIOLATION_PACKET_ORDER     ? 'O'
                    : violation == VIOLATION_SECOND_CONNECT   ? '2'
                    : violation == VIOLATION_AUTH_UNASKED     ? 'A'
                                                              : '!';
        else if (result == INSPECT_GOODBYE)
            found = 'G';
        else if (result == INSPECT_PAUSE)
            found = out.size == 0 && held == bytes.size ? 'H' : '!';
        else if (result == INSPECT_MORE)
            found = held != 0                   ? '!'
                    : driver->connects == 1     ? 'C'
                    : driver->starts == 1       ? 'S'
                    : out.size == 0             ? 'X'
                    : span_is_equal(out, bytes) ? 'P'
                                                : '!';
        if (found != row[type])
            fail_msg("%s, state %d, version %d, %s: %c instead of %c",
                     direction == MQTT_TO_BROKER ? "to the broker" : "to the device", state, version,
                     mqtt_type_name((enum mqtt_type)type), found, row[type]);
        if (result == INSPECT_WRONG)
            assert_int_equal(out.size, 0);
        driver_destroy(driver);
    }
}

#endif
