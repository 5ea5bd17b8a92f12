/* conversation: an inspector whose CONNECT and CONNACK are behind it, and streams that must come out the same
 * however they are chopped. */
#ifndef TEST_UNIT_INSPECT_CONVERSATION_H
#define TEST_UNIT_INSPECT_CONVERSATION_H

#include "unit/inspect/driver.h"
#include "unit/inspect/packets.h"

struct setup {
    enum mqtt_version version;
    struct inspect_limits limits;
    const struct acl *acl;
    struct span connect_props, connack_props; /* version 5 */
};

static inline struct setup setup_of(enum mqtt_version version, const struct acl *acl) {
    return (struct setup){.version = version, .limits = driver_no_limits(), .acl = acl};
}

/* The CONNECT is through, the CONNACK is still to come. */
static inline struct driver *driver_connect(const struct setup *setup) {
    struct driver *driver = driver_create(&setup->limits, setup->acl);
    size_t pooled = packets_pooled;
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

/* One row of the table of what may come when: a letter per packet type 0..15.
 *     P passes, H is held until the CONNACK, C and S are CONNECT and the CONNACK, G says goodbye, X goes
 * nowhere F first packet, D direction, T type, O order, 2 second CONNECT: WRONG for that */
static inline void check_order_row(enum mqtt_direction direction, enum inspect_state state,
                                   enum mqtt_version version, const char *row) {
    const struct samples *samples = samples_load();
    for (int type = 0; type < 16; type++) {
        struct inspect_limits limits = driver_no_limits();
        struct driver *driver = driver_create(&limits, NULL);
        struct inspector *inspector = &driver->inspector;
        inspector->state = state;
        inspector->version = state == INSPECT_BEFORE_CONNECT ? MQTT_VERSION_NONE : version;
        inspector->is_auth_open = true;
        inspector->auth_method = span_of(memcpy(malloc(5), "SCRAM", 5), 5);
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
