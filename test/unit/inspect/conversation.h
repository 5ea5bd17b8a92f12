/* conversation: an inspector whose CONNECT and CONNACK are behind it, and streams that must come out the same
 * however they are chopped. */
#ifndef TEST_UNIT_INSPECT_CONVERSATION_H
#define TEST_UNIT_INSPECT_CONVERSATION_H

#include "inspect/mount.h"
#include "unit/inspect/driver.h"
#include "unit/inspect/packets.h"

struct setup {
    enum mqtt_version version;
    struct inspect_limits limits;
    const struct acl *acl;
    struct span connect_props, connack_props; /* version 5 */
    const char *mount_point;                  /* NULL: none */
};

static inline struct setup setup_of(enum mqtt_version version, const struct acl *acl) {
    return (struct setup){.version = version, .limits = driver_no_limits(), .acl = acl};
}

/* The CONNECT is through, the CONNACK is still to come. */
static inline struct driver *driver_connect(const struct setup *setup) {
    struct driver *driver = driver_create(&setup->limits, setup->acl);
    size_t pooled = packets_pooled;
    uint8_t reason;
    const char *words;
    assert_true(
        mount_bind(&driver->inspector, setup->mount_point, driver->inspector.acl.identity, &reason, &words));
    struct span connect = connect_packet(setup->version, setup->connect_props, "dev", 60);
    assert_int_equal(driver_feed(driver, MQTT_TO_BROKER, connect), INSPECT_MORE);
    assert_int_equal(driver->connects, 1);
    assert_bytes(driver_out(driver, MQTT_TO_BROKER), connect);
    packets_pooled = pooled;
    return driver;
}

/* Both are through; what they were is forgotten. */
static inline struct driver *driver_open(const struct setup *setup) {
    struct driver *driver = driver_connect(setup);
    size_t pooled = packets_pooled;
    struct span connack = connack_packet(setup->version, 0, setup->connack_props);
    assert_int_equal(driver_feed(driver, MQTT_TO_DEVICE, connack), INSPECT_MORE);
    assert_int_equal(driver->starts, 1);
    packets_pooled = pooled;
    driver_forget(driver);
    return driver;
}

/* `input` in one piece, byte by byte and in pieces at random: the same comes out, the same is answered, and
 * the way ends the same. `before` goes the other way first; it may be empty. */
struct stream {
    enum mqtt_direction direction;
    struct span before, input, out, answers;
    enum inspect_result result;
    enum violation violation;
};

static inline void check_stream_once(const struct setup *setup, const struct stream *stream, size_t most,
                                     uint64_t *seed) {
    struct driver *driver = driver_open(setup);
    enum mqtt_direction other = stream->direction == MQTT_TO_BROKER ? MQTT_TO_DEVICE : MQTT_TO_BROKER;
    driver_feed(driver, other, stream->before);
    driver->ways[stream->direction].out.size = driver->ways[stream->direction].answers.size = 0;
    if (most != 0 && driver_random(seed) % 2 == 0)
        driver->spare = driver_random(seed) % 300;
    driver->is_lazy = driver_random(seed) % 2 == 0;
    enum inspect_result result =
        most == 0 ? driver_feed(driver, stream->direction, stream->input)
                  : driver_feed_chopped(driver, stream->direction, stream->input, seed, most);
    assert_int_equal(result, stream->result);
    assert_int_equal(driver->inspector.violation, stream->violation);
    assert_bytes(driver_out(driver, stream->direction), stream->out);
    assert_bytes(driver_answers(driver, stream->direction), stream->answers);
    if (result == INSPECT_MORE)
        assert_int_equal(driver->ways[stream->direction].held.size, 0);
    driver_destroy(driver);
}

static inline void check_stream(const struct setup *setup, const struct stream *stream) {
    uint64_t seed = stream->input.size;
    check_stream_once(setup, stream, 0, &seed);
    for (size_t round = 0; round < 4; round++) {
        const size_t mosts[] = {1, 2, 7, 40, 1000, 60000};
        for (size_t i = 0; i < sizeof mosts / sizeof mosts[0]; i++)
            if (stream->input.size / mosts[i] < 4000)
                check_stream_once(setup, stream, mosts[i], &seed);
    }
}

/* A good stream. */
static inline void check_passes(const struct setup *setup, enum mqtt_direction direction, struct span input,
                                struct span out, struct span answers) {
    check_stream(
        setup,
        &(struct stream){
            .direction = direction, .input = input, .out = out, .answers = answers, .result = INSPECT_MORE});
}

/* A stream whose last packet is WRONG; what stood before it passed. */
static inline void check_wrong(const struct setup *setup, enum mqtt_direction direction, struct span input,
                               struct span out, enum violation violation) {
    check_stream(setup, &(struct stream){.direction = direction,
                                         .input = input,
                                         .out = out,
                                         .result = INSPECT_WRONG,
                                         .violation = violation});
}

#endif
