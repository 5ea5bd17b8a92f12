/* talk: one session in a world of its own, brought to the state that a test wants. */
#ifndef TEST_UNIT_SESSION_TALK_H
#define TEST_UNIT_SESSION_TALK_H

#include "base/log.h"
#include "unit/inspect/packets.h"
#include "unit/session/world.h"

#define TALK_CONF                                                                                            \
    "backend 127.0.0.1:1883\n"                                                                               \
    "backend_timeout 5s\n"                                                                                   \
    "max_packet_size 0\n"                                                                                    \
    "listener 1884\n"                                                                                        \
    "allow_anonymous true\n"                                                                                 \
    "handshake_timeout 7s\n"                                                                                 \
    "connect_timeout 9s\n"

/* Lines are put together, as with log_type all, and then go nowhere. */
static inline void log_to_nowhere(void) {
    const struct log_settings settings = {.dests = LOG_DEST_NONE, .kinds = LOG_KINDS_ALL};
    assert_int_equal(log_configure(&settings), 0);
}

struct talk {
    struct world *world;
    struct fake *device, *broker;
    enum mqtt_version version;
};

static inline struct span ping(void) {
    return SPAN_LITERAL("\xc0\0");
}
static inline struct span pong(void) {
    return SPAN_LITERAL("\xd0\0");
}
static inline struct span bye(void) {
    return SPAN_LITERAL("\xe0\0");
}

/* Keeps the generation. The device's link is open, nothing was said. */
static inline struct talk talk_begin(struct generation *generation, enum mqtt_version version) {
    struct talk talk = {.world = world_create(generation), .version = version};
    talk.device = world_begin(talk.world, true, false);
    return talk;
}

static inline const struct session *talk_session(const struct talk *talk) {
    return talk->world->host.first;
}

static inline void assert_state(const struct talk *talk, enum session_state state) {
    assert_non_null(talk_session(talk));
    assert_int_equal(talk_session(talk)->state, state);
}

/* Request Problem Information 0: a device that wants no Reason Strings (MQTT 5.0 3.1.2.11.7). */
#define NO_WORDS bytes_of_hex("17 00")

/* The device sends a CONNECT; the broker is being dialled. Without properties it asks for no words, which
 * have a test file of their own. */
static inline struct span talk_connect(struct talk *talk, struct span props, uint16_t keep_alive_s) {
    if (props.at == NULL)
        props = NO_WORDS;
    struct span connect = connect_packet(talk->version, props, "dev", keep_alive_s);
    fake_say(talk->device, connect);
    talk->broker = talk->world->dialed;
    return connect;
}

/* The broker's connection opens and it has got the CONNECT. */
static inline void talk_wait(struct talk *talk, struct span props, uint16_t keep_alive_s) {
    struct span connect = talk_connect(talk, props, keep_alive_s);
    assert_non_null(talk->broker);
    assert_state(talk, SESSION_DIALING);
    assert_int_equal(fake_written(talk->broker).size, 0);
    fake_open(talk->broker);
    assert_bytes(fake_written(talk->broker), connect);
    assert_state(talk, SESSION_WAITING);
}

/* Everything is through; what was written so far is forgotten. */
static inline void talk_open(struct talk *talk) {
    talk_wait(talk, SPAN_NONE, 60);
    fake_say(talk->broker, connack_packet(talk->version, 0, SPAN_NONE));
    assert_state(talk, SESSION_OPEN);
    assert_true(talk->device->link.is_reading && talk->broker->link.is_reading);
}

/* What was written behind the first `count` bytes. */
static inline struct span written_behind(const struct fake *fake, size_t count) {
    assert_true(fake_written(fake).size >= count);
    return span_after(fake_written(fake), count);
}

static inline struct span talk_connack(const struct talk *talk, uint8_t code) {
    return connack_packet(talk->version, code, SPAN_NONE);
}

/* The session is over for that reason, both links are closed, and both sides have heard nothing but whole
 * good packets. */
static inline void talk_end(struct talk *talk, enum session_end end) {
    struct world *world = talk->world;
    for (int i = 0; i < SESSION_END_COUNT; i++)
        if (tally_read(&world->tally.ends[i]) != (i == (int)end))
            fail_msg("%s: %u times", session_end_label((enum session_end)i),
                     (unsigned)tally_read(&world->tally.ends[i]));
    struct span last;
    assert_true(talk->device->link.is_closing);
    packets_in(fake_written(talk->device), talk->version, MQTT_TO_DEVICE, &last);
    if (talk->broker != NULL) {
        assert_true(talk->broker->link.is_closing);
        packets_in(fake_written(talk->broker), talk->version, MQTT_TO_BROKER, &last);
    }
    world_destroy(world);
    packets_forget();
}

#endif
