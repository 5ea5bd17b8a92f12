/* The state machine: the whole way, every deadline, every death, the password and the reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/session/talk.h"

#define SALT64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
/* the password "secret", hashed twice */
#define SECRET_7                                                                                             \
    "$7$1$" SALT64 "$"                                                                                       \
    "ZQgkFOvj+smimcxOSYSZfb/uSkVUT1kMbJ9jQC3d0yO6ro8ySPrROaeNVM9nyTTt3WKlESp7uvHrUP0JYbNxUA=="
#define SECRET_6                                                                                             \
    "$6$" SALT64 "$"                                                                                         \
    "wEYf8F4/yHDmlCt3YmMXwFi//Ux0IOce8NucN+r/9QAuqoVaYz7SU9131YSsyqLHn9NUpM/F4yTaDANhOFpYTQ=="

/* the empty password */
#define EMPTY_6                                                                                              \
    "$6$yMnKy8zNzs/Q0dLT$"                                                                                   \
    "siM2EpznaGYRahtVpA/Zxx4YaOuTvewIgPcpJPcS0DpjP8Ju/1a8CqknlojV81VVsyae7ptCDZdrxjd9wMaSzg=="

static struct generation *open_doors, *with_passwords;

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};

static struct span publish(enum mqtt_version version, const char *topic, uint8_t qos, const char *payload) {
    return publish_packet(
        version,
        (struct publish_fields){.qos = qos, .id = 10, .topic = topic, .payload = span_of_text(payload)});
}

/* ---- the whole way ---- */

static void test_happy_path(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(open_doors, versions[i]);
        assert_state(&talk, SESSION_GREETING);
        assert_int_equal(world_metric(talk.world, METRIC_connections_open), 1);
        talk_wait(&talk, SPAN_NONE, 60);
        assert_false(talk.device->link.is_reading); /* nothing may come before the CONNACK */
        assert_int_equal(talk.world->reports_good, 1);
        assert_int_equal(world_metric(talk.world, METRIC_sessions_open), 0);
        size_t connect_size = fake_written(talk.broker).size;
        struct span connack = connack_packet(versions[i], 0, bytes_of_hex("22 00 05"));
        fake_say(talk.broker, connack);
        assert_bytes(fake_written(talk.device), connack);
        assert_state(&talk, SESSION_OPEN);
        assert_int_equal(world_metric(talk.world, METRIC_sessions_open), 1);
        assert_int_equal(world_metric(talk.world, METRIC_sessions_started), 1);

        struct span up = publish(versions[i], "ok/1", 1, "hello"),
                    down = publish(versions[i], "in/1", 0, "you");
        fake_say(talk.device, up);
        fake_say(talk.broker, down);
        assert_bytes(written_behind(talk.broker, connect_size), up);
        assert_bytes(written_behind(talk.device, connack.size), down);
        assert_int_equal(talk.broker->delivered, connack.size + down.size);
        assert_int_equal(world_metric(talk.world, METRIC_from_broker_bytes), connack.size + down.size);
        assert_int_equal(world_metric(talk.world, METRIC_to_device_bytes), connack.size + down.size);
        assert_int_equal(world_metric(talk.world, METRIC_from_device_bytes), connect_size + up.size);
        assert_int_equal(world_metric(talk.world, METRIC_to_broker_bytes), connect_size + up.size);
        /* An idle session keeps no memory for bytes. */
        assert_null(talk_session(&talk)->from_device.held.at);
        assert_null(talk_session(&talk)->connect.at);

        fake_say(talk.device, bye());
        assert_bytes(written_behind(talk.broker, connect_size + up.size), bye());
        assert_int_equal(talk.device->manner, LINK_POLITELY);
        assert_int_equal(talk.broker->manner, LINK_POLITELY);
        assert_int_equal(talk.world->gone, 0);
        world_settle(talk.world);
        assert_int_equal(talk.world->gone, 1);
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

static void test_tls_first(void **state) {
    (void)state;
    struct talk talk = {.world = world_create(open_doors), .version = MQTT_VERSION_5};
    talk.device = world_begin(talk.world, false, false);
    assert_state(&talk, SESSION_SHAKING);
    assert_true(talk.device->link.is_reading);
    world_advance(talk.world, 6900);
    fake_open(talk.device);
    assert_state(&talk, SESSION_GREETING);
    /* connect_timeout begins anew. */
    world_advance(talk.world, 8900);
    talk_open(&talk);
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* One byte a time, and the CONNECT reaches the broker whole. */
static void test_connect_in_pieces(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_5);
    struct span connect = connect_packet(MQTT_VERSION_5, user_prop("a", "b"), "dev", 60);
    fake_push(talk.device, connect);
    fake_pump(talk.device, 1);
    assert_state(&talk, SESSION_DIALING);
    assert_int_equal(talk.device->delivered, connect.size);
    talk.broker = talk.world->dialed;
    fake_open(talk.broker);
    assert_bytes(fake_written(talk.broker), connect);
    fake_push(talk.broker, talk_connack(&talk, 0));
    fake_pump(talk.broker, 1);
    assert_state(&talk, SESSION_OPEN);
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* What a device sends behind its CONNECT waits, and goes right behind the CONNACK; even its farewell. */
static void test_early_packets(void **state) {
    (void)state;
    for (size_t most = 1; most <= 64; most *= 4) {
        struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
        struct span connect = connect_packet(MQTT_VERSION_311, SPAN_NONE, "dev", 60);
        struct span early =
            join(join(publish(MQTT_VERSION_311, "ok/1", 1, "early"), ping()),
                 publish(MQTT_VERSION_311, "ok/2", 0, "another one with a longer payload, in pieces"));
        fake_push(talk.device, join(connect, join(early, bye())));
        fake_pump(talk.device, most == 64 ? SIZE_MAX : most);
        talk.broker = talk.world->dialed;
        fake_open(talk.broker);
        assert_bytes(fake_written(talk.broker), connect);
        fake_say(talk.broker, talk_connack(&talk, 0));
        fake_pump(talk.device, most);
        assert_bytes(written_behind(talk.broker, connect.size), join(early, bye()));
        assert_bytes(fake_written(talk.device), talk_connack(&talk, 0));
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* ---- deadlines ---- */

static void test_handshake_timeout(void **state) {
    (void)state;
    struct talk talk = {.world = world_create(open_doors), .version = MQTT_VERSION_311};
    talk.device = world_begin(talk.world, false, false);
    world_advance(talk.world, 6900);
    assert_false(talk.device->link.is_closing);
    world_advance(talk.world, 200);
    assert_int_equal(fake_written(talk.device).size, 0);
    talk_end(&talk, SESSION_END_HANDSHAKE_TIMEOUT);
}

/* A device that sends its CONNECT byte by byte wins no time. */
static void test_connect_timeout(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
    struct span connect = connect_packet(MQTT_VERSION_311, SPAN_NONE, "dev", 60);
    for (size_t i = 0; i < 8; i++) {
        fake_say(talk.device, span_first(span_after(connect, i), 1));
        world_advance(talk.world, 1100);
    }
    assert_false(talk.device->link.is_closing);
    world_advance(talk.world, 300);
    assert_int_equal(fake_written(talk.device).size, 0);
    talk_end(&talk, SESSION_END_CONNECT_TIMEOUT);
}

static void test_broker_timeouts(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        /* the name is never found, the connection never opens, the CONNACK never comes */
        for (int stage = 0; stage < 3; stage++) {
            struct talk talk = talk_begin(open_doors, versions[i]);
            if (stage == 0)
                talk.world->next_dial = 'l';
            talk_connect(&talk, SPAN_NONE, 60);
            talk.broker = talk.world->dialed;
            if (stage == 2)
                fake_open(talk.broker);
            world_advance(talk.world, 4900);
            assert_false(talk.device->link.is_closing);
            world_advance(talk.world, 200);
            assert_bytes(fake_written(talk.device), talk_connack(&talk, versions[i] == 5 ? 0x88 : 3));
            assert_null(talk.world->waiting); /* nobody waits for the name any more */
            if (stage == 1)                   /* the dialler learns that this address does not answer */
                assert_int_equal(talk.world->reports_bad, 1);
            talk_end(&talk, SESSION_END_BROKER_TIMEOUT);
        }
    }
}

static void test_keep_alive(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(open_doors, versions[i]);
        talk_open(&talk); /* 60 s */
        struct span told = bytes_of_hex("e0 02 8d 00");
        size_t before = fake_written(talk.device).size;
        world_advance(talk.world, 80000);
        fake_say(talk.device, ping()); /* anything counts */
        world_advance(talk.world, 89000);
        assert_false(talk.device->link.is_closing);
        /* What the broker says does not. */
        fake_say(talk.broker, pong());
        world_advance(talk.world, 1200);
        assert_bytes(written_behind(talk.device, before + 2), versions[i] == 5 ? told : SPAN_NONE);
        /* The broker is not told: its will is sent. */
        assert_int_equal(talk.broker->written.at[talk.broker->written.size - 2], 0xc0);
        talk_end(&talk, SESSION_END_KEEP_ALIVE);
    }
}

static void test_keep_alive_off(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
    talk_wait(&talk, SPAN_NONE, 0);
    fake_say(talk.broker, talk_connack(&talk, 0));
    world_advance(talk.world, 1000000);
    assert_state(&talk, SESSION_OPEN);
    fake_end(talk.device, 0);
    talk_end(&talk, SESSION_END_DEVICE_CLOSED);
}

/* Version 5: what the broker says counts (3.2.2-21), and 0 turns it off. */
static void test_server_keep_alive(void **state) {
    (void)state;
    const char *props[] = {"13 00 0a", "13 00 78", "13 00 00"};
    const uint64_t limits_ms[] = {15000, 180000, 0};
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(open_doors, MQTT_VERSION_5);
        talk_wait(&talk, SPAN_NONE, 60);
        fake_say(talk.broker, connack_packet(MQTT_VERSION_5, 0, bytes_of_hex(props[i])));
        world_advance(talk.world, limits_ms[i] == 0 ? 1000000 : limits_ms[i] - 100);
        if (talk.device->link.is_closing)
            fail_msg("Server Keep Alive '%s': the device was ended too early", props[i]);
        if (limits_ms[i] == 0) {
            fake_end(talk.device, 0);
            talk_end(&talk, SESSION_END_DEVICE_CLOSED);
        } else {
            world_advance(talk.world, 300);
            talk_end(&talk, SESSION_END_KEEP_ALIVE);
        }
    }
}

/* While we do not read from it, its silence is ours. */
static void test_keep_alive_under_back_pressure(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
    talk_open(&talk);
    talk.broker->is_slow = true;
    fake_say(talk.device, publish(MQTT_VERSION_311, "ok/1", 0, "x"));
    assert_false(talk.device->link.is_reading);
    world_advance(talk.world, 200000);
    assert_state(&talk, SESSION_OPEN);
    fake_drain(talk.broker);
    assert_true(talk.device->link.is_reading);
    world_advance(talk.world, 190000);
    talk_end(&talk, SESSION_END_KEEP_ALIVE);
}

/* But a device that has gone is not waited for until the broker takes something again. */
static void test_device_gone_under_back_pressure(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
    talk_open(&talk);
    talk.broker->is_slow = true;
    fake_say(talk.device, publish(MQTT_VERSION_311, "ok/1", 0, "x"));
    assert_false(talk.device->link.is_reading);
    world_advance(talk.world, 200000);
    talk.device->is_ended = true;
    assert_state(&talk, SESSION_OPEN);
    world_advance(talk.world, 100000);
    talk_end(&talk, SESSION_END_DEVICE_CLOSED);
}

/* A broker on this machine answers while it is dialled. */
static void test_broker_open_at_once(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(open_doors, versions[i]);
        talk.world->next_dial = 'a';
        struct span connect = talk_connect(&talk, SPAN_NONE, 60);
        assert_bytes(fake_written(talk.broker), connect);
        assert_state(&talk, SESSION_WAITING);
        assert_int_equal(talk.world->reports_good, 1);
        fake_say(talk.broker, talk_connack(&talk, 0));
        assert_state(&talk, SESSION_OPEN);
        fake_say(talk.device, ping());
        assert_bytes(written_behind(talk.broker, connect.size), ping());
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* ---- the broker's deaths ---- */

static void test_broker_refuses(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(open_doors, versions[i]);
        talk_wait(&talk, SPAN_NONE, 60);
        struct span connack = connack_packet(
            versions[i], versions[i] == 5 ? 0x87 : 5,
            versions[i] == 5 ? join(bytes_of_hex("1f 00 02 6e 6f"), user_prop("a", "b")) : SPAN_NONE);
        fake_say(talk.broker, connack);
        assert_bytes(fake_written(talk.device), connack); /* in its own words, and nothing behind */
        talk_end(&talk, SESSION_END_BROKER_REFUSED);
    }
}

static void test_broker_unreachable(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        bool is_5 = versions[i] == 5;
        struct talk talk = talk_begin(open_doors, versions[i]);
        talk.world->next_dial = 'e';
        talk_connect(&talk, SPAN_NONE, 60);
        assert_bytes(fake_written(talk.device), talk_connack(&talk, is_5 ? 0x88 : 3));
        talk_end(&talk, SESSION_END_BROKER_UNREACHABLE);
        /* Out of descriptors. */
        talk = talk_begin(open_doors, versions[i]);
        talk.world->next_dial = 'm';
        talk_connect(&talk, SPAN_NONE, 60);
        assert_bytes(fake_written(talk.device), talk_connack(&talk, is_5 ? 0x97 : 3));
        talk_end(&talk, SESSION_END_NO_ROOM);
        /* The name is looked up later, and then not found. */
        talk = talk_begin(open_doors, versions[i]);
        talk.world->next_dial = 'l';
        talk_connect(&talk, SPAN_NONE, 60);
        assert_state(&talk, SESSION_DIALING);
        world_answer_waiting(talk.world, 'e');
        assert_bytes(fake_written(talk.device), talk_connack(&talk, is_5 ? 0x88 : 3));
        talk_end(&talk, SESSION_END_BROKER_UNREACHABLE);
    }
}

/* The first two addresses do not answer, the third does; then none does. */
static void test_further_addresses(void **state) {
    (void)state;
    for (int does_third = 0; does_third < 2; does_third++) {
        struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
        struct span connect = talk_connect(&talk, SPAN_NONE, 60);
        for (unsigned attempt = 1; attempt <= 2; attempt++) {
            struct fake *fake = talk.world->dialed;
            if (attempt == 2 && !does_third)
                talk.world->next_dial = 'e';
            fake_end(fake, -ECONNREFUSED);
            assert_true(fake->link.is_closing);
            assert_int_equal(talk.world->reports_bad, attempt);
            if (attempt == 1) /* the old one may close before or after the new one opens */
                fake_settle(fake);
        }
        if (does_third) {
            talk.broker = talk.world->dialed;
            fake_open(talk.broker);
            assert_bytes(fake_written(talk.broker), connect);
            fake_say(talk.broker, talk_connack(&talk, 0));
            world_settle(talk.world);
            assert_state(&talk, SESSION_OPEN);
            assert_int_equal(world_metric(talk.world, METRIC_backend_dials), 3);
            assert_int_equal(world_metric(talk.world, METRIC_backend_dial_failures), 2);
            fake_say(talk.device, bye());
            talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
        } else {
            talk_end(&talk, SESSION_END_BROKER_UNREACHABLE);
        }
    }
}

static void test_broker_vanishes(void **state) {
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        enum mqtt_version version = versions[i / 2];
        int error = i % 2 == 0 ? 0 : -ECONNRESET;
        struct talk talk = talk_begin(open_doors, version);
        talk_wait(&talk, SPAN_NONE, 60);
        fake_end(talk.broker, error);
        struct span last;
        assert_int_equal(packets_in(fake_written(talk.device), version, MQTT_TO_DEVICE, &last), 1);
        assert_true(last.at[3] != 0); /* no CONNACK says yes */
        talk_end(&talk, SESSION_END_BROKER_CLOSED);

        talk = talk_begin(open_doors, version);
        talk_open(&talk);
        size_t before = fake_written(talk.device).size;
        fake_end(talk.broker, error);
        assert_bytes(written_behind(talk.device, before),
                     version == 5 ? bytes_of_hex("e0 02 8b 00") : SPAN_NONE);
        assert_int_equal(talk.device->manner, LINK_POLITELY);
        talk_end(&talk, SESSION_END_BROKER_CLOSED);
    }
}

static void test_broker_write_fails(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_5);
    talk_connect(&talk, SPAN_NONE, 60);
    talk.broker = talk.world->dialed;
    talk.broker->write_error = -EPIPE;
    fake_open(talk.broker);
    talk_end(&talk, SESSION_END_BROKER_CLOSED);
    talk = talk_begin(open_doors, MQTT_VERSION_5);
    talk_open(&talk);
    talk.broker->write_error = -EPIPE;
    fake_say(talk.device, ping());
    talk_end(&talk, SESSION_END_BROKER_CLOSED);
}

static void test_broker_breaks_the_protocol(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        bool is_5 = versions[i] == 5;
        struct talk talk = talk_begin(open_doors, versions[i]);
        talk_wait(&talk, SPAN_NONE, 60);
        fake_say(talk.broker, pong()); /* before its CONNACK */
        assert_bytes(fake_written(talk.device), talk_connack(&talk, is_5 ? 0x80 : 3));
        talk_end(&talk, SESSION_END_BROKER_WRONG);

        talk = talk_begin(open_doors, versions[i]);
        talk_open(&talk);
        size_t before = fake_written(talk.device).size;
        fake_say(talk.broker, join(pong(), bytes_of_hex("20 02 00 00")));
        assert_bytes(written_behind(talk.device, before), is_5 ? bytes_of_hex("d0 00 e0 02 80 00") : pong());
        talk_end(&talk, SESSION_END_BROKER_WRONG);
    }
}

static void test_broker_disconnects(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_5);
    talk_open(&talk);
    size_t before = fake_written(talk.device).size;
    struct span taken_over = bytes_of_hex("e0 02 8e 00");
    fake_say(talk.broker, join(taken_over, pong()));
    assert_bytes(written_behind(talk.device, before), taken_over); /* its own words, not ours too */
    talk_end(&talk, SESSION_END_BROKER_GOODBYE);
}

/* ---- the device's deaths ---- */

/* In every state, in order and not. */
static void test_device_vanishes(void **state) {
    (void)state;
    for (int error = 0; error >= -1; error--) {
        enum session_end end = error == 0 ? SESSION_END_DEVICE_CLOSED : SESSION_END_DEVICE_LOST;
        for (int stage = 0; stage < 7; stage++) {
            struct talk talk = {.world = world_create(stage == 2 ? with_passwords : open_doors),
                                .version = MQTT_VERSION_5};
            talk.device = world_begin(talk.world, stage != 0, false);
            talk.world->next_dial = stage == 3 ? 'l' : 'o';
            if (stage == 2) {
                fake_say(talk.device,
                         bytes_of_hex("10 1b 00 04 4d 51 54 54 05 c2 00 3c 00 00 01 78 00 03 61 6e 6e 00 06 "
                                      "73 65 63 72 65 74"));
                assert_state(&talk, SESSION_CHECKING);
            } else if (stage >= 2) {
                talk_connect(&talk, SPAN_NONE, 60);
                talk.broker = talk.world->dialed;
            }
            if (stage >= 5)
                fake_open(talk.broker);
            if (stage >= 6)
                fake_say(talk.broker, talk_connack(&talk, 0));
            size_t to_device = fake_written(talk.device).size;
            size_t to_broker = talk.broker == NULL ? 0 : fake_written(talk.broker).size;
            fake_end(talk.device, error == 0 ? 0 : -ECONNRESET);
            assert_int_equal(fake_written(talk.device).size, to_device);
            if (talk.broker != NULL) /* no DISCONNECT: the will is to be sent */
                assert_int_equal(fake_written(talk.broker).size, to_broker);
            assert_int_equal(talk.device->manner, error == 0 ? LINK_POLITELY : LINK_AT_ONCE);
            world_settle(talk.world);
            if (stage == 2) {
                /* The job still runs; the session waits for it. */
                assert_int_equal(talk.world->gone, 0);
                world_run_job(talk.world);
                assert_int_equal(talk.world->dials, 0);
            }
            assert_int_equal(talk.world->gone, 1);
            talk_end(&talk, end);
        }
    }
}

static void test_device_write_fails(void **state) {
    (void)state;
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_5);
    talk_open(&talk);
    talk.device->write_error = -EPIPE;
    fake_say(talk.broker, pong());
    talk_end(&talk, SESSION_END_DEVICE_LOST);
}

static void test_device_breaks_the_protocol(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        bool is_5 = versions[i] == 5;
        /* Before its CONNECT: silence. */
        struct talk talk = talk_begin(open_doors, versions[i]);
        fake_say(talk.device, ping());
        assert_int_equal(fake_written(talk.device).size, 0);
        assert_int_equal(talk.world->dials, 0);
        talk_end(&talk, SESSION_END_DEVICE_WRONG);
        /* Behind it: version 5 hears why. What was good before has passed. */
        talk = talk_begin(open_doors, versions[i]);
        talk_open(&talk);
        size_t to_device = fake_written(talk.device).size, to_broker = fake_written(talk.broker).size;
        fake_say(talk.device, join(ping(), bytes_of_hex("36 00")));
        assert_bytes(written_behind(talk.device, to_device), is_5 ? bytes_of_hex("e0 02 81 00") : SPAN_NONE);
        assert_bytes(written_behind(talk.broker, to_broker), ping());
        talk_end(&talk, SESSION_END_DEVICE_WRONG);
    }
}

/* A CONNECT that is wrong: version 5 gets a CONNACK, older ones only for an unknown version. */
static void test_wrong_connect(void **state) {
    (void)state;
    static const struct {
        const char *connect, *connack;
        enum mqtt_version version;
    } rows[] = {
        {"10 10 00 04 4d 51 54 54 05 03 00 3c 00 00 03 64 65 76", "20 03 00 81 00", 5},
        {"10 0f 00 04 4d 51 54 54 04 03 00 3c 00 03 64 65 76", "", 4},
        {"10 11 00 06 4d 51 49 73 64 70 03 0e 00 3c 00 03 64 65 76", "", 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct talk talk = talk_begin(open_doors, rows[i].version);
        fake_say(talk.device, bytes_of_hex(rows[i].connect));
        assert_bytes(fake_written(talk.device), bytes_of_hex(rows[i].connack));
        assert_int_equal(world_metric(talk.world, METRIC_connects_refused), 1);
        talk_end(&talk, SESSION_END_DEVICE_WRONG);
    }
    /* A version that nobody knows yet: told in the words that most may understand. */
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
    fake_say(talk.device, bytes_of_hex("10 10 00 04 4d 51 54 54 06 02 00 3c 00 00 03 64 65 76"));
    struct span told = fake_written(talk.device);
    assert_true(told.size >= 4 && told.at[0] == 0x20 && (told.at[3] == 1 || told.at[3] == 0x84));
    talk.version = told.at[3] == 1 ? MQTT_VERSION_311 : MQTT_VERSION_5;
    talk_end(&talk, SESSION_END_DEVICE_WRONG);
}

static void test_crowded(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = {.world = world_create(open_doors), .version = versions[i]};
        talk.device = world_begin(talk.world, true, true);
        assert_int_equal(fake_written(talk.device).size, 0);
        talk_connect(&talk, SPAN_NONE, 60);
        assert_bytes(fake_written(talk.device), talk_connack(&talk, versions[i] == 5 ? 0x97 : 3));
        assert_int_equal(talk.world->dials, 0);
        talk_end(&talk, SESSION_END_NO_ROOM);
    }
}

/* Drawbridge goes down while sessions are in every state. */
static void test_end_all(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world *world = world_create(open_doors);
        struct fake *devices[5], *brokers[5] = {NULL};
        for (int stage = 0; stage < 5; stage++) {
            devices[stage] = world_begin(world, stage != 0, false);
            if (stage >= 2) {
                fake_say(devices[stage], connect_packet(versions[i], NO_WORDS, "dev", 60));
                brokers[stage] = world->dialed;
            }
            if (stage >= 3)
                fake_open(brokers[stage]);
            if (stage >= 4)
                fake_say(brokers[stage], connack_packet(versions[i], 0, SPAN_NONE));
        }
        assert_int_equal(world->host.count, 5);
        session_end_all(&world->host, SESSION_END_SHUTDOWN);
        session_end_all(&world->host, SESSION_END_SHUTDOWN); /* again is no more */
        struct span last;
        assert_int_equal(fake_written(devices[0]).size + fake_written(devices[1]).size, 0);
        for (int stage = 2; stage < 5; stage++) {
            size_t count = packets_in(fake_written(devices[stage]), versions[i], MQTT_TO_DEVICE, &last);
            assert_int_equal(count, stage < 4 ? 1 : versions[i] == 5 ? 2 : 1);
            assert_true(stage == 4 || last.at[3] != 0);
        }
        assert_int_equal(tally_read(&world->tally.ends[SESSION_END_SHUTDOWN]), 5);
        world_destroy(world);
        packets_forget();
    }
}

/* ---- the password ---- */

static struct span connect_as(enum mqtt_version version, const char *user, const char *password) {
    struct mqtt_connect connect = {
        .version = version, .clean_start = true, .keep_alive_s = 60, .client_id = SPAN_LITERAL("dev")};
    connect.has_username = user != NULL;
    connect.username = span_of_text(user);
    connect.has_password = password != NULL;
    connect.password = span_of_text(password);
    connect.props.raw = NO_WORDS;
    struct writer writer = packets_open();
    mqtt_write_connect(&writer, &connect);
    return packets_close(&writer);
}

static void test_password_right(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(with_passwords, versions[i]);
        struct span connect = connect_as(versions[i], i % 2 == 0 ? "ann" : "bob", "secret");
        fake_say(talk.device, join(connect, ping()));
        assert_state(&talk, SESSION_CHECKING);
        assert_int_equal(talk.world->dials, 0);
        assert_false(talk.device->link.is_reading);
        world_run_job(talk.world);
        assert_state(&talk, SESSION_DIALING);
        talk.broker = talk.world->dialed;
        fake_open(talk.broker);
        assert_bytes(fake_written(talk.broker), connect);
        fake_say(talk.broker, talk_connack(&talk, 0));
        assert_bytes(written_behind(talk.broker, connect.size), ping());
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

static void test_password_wrong(void **state) {
    (void)state;
    static const struct {
        const char *user, *password;
    } rows[] = {
        {"ann", "Secret"}, {"ann", ""},   {"ann", NULL}, {"nobody", "secret"}, {"ann", "secret secret"},
        {"bob", "secre"},  {"eve", NULL}, /* no password is not the empty password */
        {"eve", "x"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t k = 0; k < 3; k++) {
            struct talk talk = talk_begin(with_passwords, versions[k]);
            fake_say(talk.device, connect_as(versions[k], rows[i].user, rows[i].password));
            /* A user that does not exist takes a job like any other. */
            assert_int_equal(talk.world->job_count, 1);
            assert_int_equal(fake_written(talk.device).size, 0);
            world_run_job(talk.world);
            assert_bytes(fake_written(talk.device), talk_connack(&talk, versions[k] == 5 ? 0x87 : 5));
            assert_int_equal(talk.world->dials, 0);
            assert_int_equal(world_metric(talk.world, METRIC_authentication_failures), 1);
            talk_end(&talk, SESSION_END_PASSWORD_WRONG);
        }
}

static void test_password_trouble(void **state) {
    (void)state;
    /* No thread can be had. */
    struct talk talk = talk_begin(with_passwords, MQTT_VERSION_311);
    talk.world->work_fails = true;
    fake_say(talk.device, connect_as(MQTT_VERSION_311, "ann", "secret"));
    assert_bytes(fake_written(talk.device), talk_connack(&talk, 3));
    talk_end(&talk, SESSION_END_NO_MEMORY);
    /* The job takes too long: the device hears it, the session waits for the job. */
    talk = talk_begin(with_passwords, MQTT_VERSION_311);
    fake_say(talk.device, connect_as(MQTT_VERSION_311, "ann", "secret"));
    world_advance(talk.world, 5200);
    assert_bytes(fake_written(talk.device), talk_connack(&talk, 3));
    world_settle(talk.world);
    assert_int_equal(talk.world->gone, 0);
    world_run_job(talk.world);
    assert_int_equal(talk.world->gone, 1);
    talk_end(&talk, SESSION_END_BROKER_TIMEOUT);
    /* The job is done before the device's link has closed. */
    talk = talk_begin(with_passwords, MQTT_VERSION_311);
    fake_say(talk.device, connect_as(MQTT_VERSION_311, "ann", "secret"));
    fake_end(talk.device, 0);
    world_run_job(talk.world);
    assert_int_equal(talk.world->gone, 0);
    world_settle(talk.world);
    assert_int_equal(talk.world->gone, 1);
    talk_end(&talk, SESSION_END_DEVICE_CLOSED);
    /* Without a username there is nothing to check, and an empty one is none. */
    const char *names[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        talk = talk_begin(with_passwords, MQTT_VERSION_5);
        fake_say(talk.device, connect_as(MQTT_VERSION_5, names[i], i == 0 ? NULL : "secret"));
        assert_int_equal(talk.world->job_count, 0);
        assert_bytes(fake_written(talk.device), talk_connack(&talk, 0x87));
        talk_end(&talk, SESSION_END_CONNECT_REFUSED);
    }
}

/* ---- reload ---- */

static void test_reload_rules(void **state) {
    (void)state;
    struct generation *before = generation_of(TALK_CONF, "topic readwrite a/#\n", NULL);
    struct generation *after = generation_of(TALK_CONF, "topic readwrite b/#\n", NULL);
    struct talk talk = talk_begin(before, MQTT_VERSION_311);
    generation_drop(before); /* the world and the session keep it */
    talk_open(&talk);
    struct span a = publish(MQTT_VERSION_311, "a/1", 0, "x"), b = publish(MQTT_VERSION_311, "b/1", 0, "x");
    size_t to_broker = fake_written(talk.broker).size, to_device = fake_written(talk.device).size;
    fake_say(talk.device, join(a, b));
    fake_say(talk.broker, join(a, b));
    assert_bytes(written_behind(talk.broker, to_broker), a);
    assert_bytes(written_behind(talk.device, to_device), a);
    assert_int_equal(before->references, 2);
    world_reload(talk.world, after);
    generation_drop(after);
    assert_int_equal(before->references, 1); /* until its next packet */
    fake_say(talk.device, join(a, b));
    assert_ptr_equal(talk_session(&talk)->generation, after);
    assert_int_equal(after->references, 2);
    fake_say(talk.broker, join(a, b));
    assert_bytes(written_behind(talk.broker, to_broker), join(a, b));
    assert_bytes(written_behind(talk.device, to_device), join(a, b));
    assert_int_equal(world_metric(talk.world, METRIC_policy_rebinds), 1);
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* Nor is what has passed before the reload passed unasked behind it, by either way. */
static void test_reload_in_a_flood(void **state) {
    (void)state;
    const char *const limits[] = {TALK_CONF, TALK_CONF "max_topic_length 3\n"};
    const char *const rules[] = {"topic readwrite a/#\n", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct generation *after = generation_of(limits[i], rules[i], NULL);
        struct talk talk = talk_begin(open_doors, MQTT_VERSION_311);
        talk_open(&talk);
        struct span a = publish(MQTT_VERSION_311, "a/1", 0, "x"),
                    b = publish(MQTT_VERSION_311, "b/12", 0, "x");
        struct span flood = join(join(a, b), join(a, b));
        size_t to_broker = fake_written(talk.broker).size, to_device = fake_written(talk.device).size;
        fake_say(talk.device, flood);
        fake_say(talk.broker, flood);
        assert_bytes(written_behind(talk.broker, to_broker), flood);
        assert_bytes(written_behind(talk.device, to_device), flood);
        world_reload(talk.world, after);
        generation_drop(after);
        to_broker += flood.size;
        to_device += flood.size;
        fake_say(talk.device, flood);
        fake_say(talk.broker, flood);
        assert_bytes(written_behind(talk.broker, to_broker), join(a, a));
        assert_bytes(written_behind(talk.device, to_device), i == 0 ? join(a, a) : flood);
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* What the CONNACK promised stays; what is judged here anew follows the new rules. */
static void test_reload_promises(void **state) {
    (void)state;
    struct generation *after =
        generation_of("backend 127.0.0.1:1883\nallow_anonymous true\nmessage_size_limit 3\n"
                      "retain_available false\nmax_packet_size 20\n"
                      "listener 1884\nmax_qos 0\nmax_topic_alias 0\n",
                      NULL, NULL);
    struct talk talk = talk_begin(open_doors, MQTT_VERSION_5);
    talk_wait(&talk, SPAN_NONE, 60);
    fake_say(talk.broker, connack_packet(MQTT_VERSION_5, 0, bytes_of_hex("22 00 05")));
    world_reload(talk.world, after);
    generation_drop(after);
    size_t to_broker = fake_written(talk.broker).size;
    struct publish_fields fields = {.qos = 2,
                                    .retain = true,
                                    .id = 1,
                                    .topic = "ok/1",
                                    .props = alias_prop(5),
                                    .payload = SPAN_LITERAL("abc")};
    struct span good = publish_packet(MQTT_VERSION_5, fields);
    fields.payload = SPAN_LITERAL("abcd");
    fake_say(talk.device, join(good, publish_packet(MQTT_VERSION_5, fields)));
    assert_bytes(written_behind(talk.broker, to_broker), good);
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

static struct talk talk_open_as_ann(void) {
    struct talk talk = talk_begin(with_passwords, MQTT_VERSION_5);
    fake_say(talk.device, connect_as(MQTT_VERSION_5, "ann", "secret"));
    world_run_job(talk.world);
    talk.broker = talk.world->dialed;
    fake_open(talk.broker);
    fake_say(talk.broker, talk_connack(&talk, 0));
    assert_state(&talk, SESSION_OPEN);
    return talk;
}

/* A user that is gone, or has another password: over with the next packet, from whichever side. */
static void test_reload_removed_user(void **state) {
    (void)state;
    const char *accounts[] = {"bob:" SECRET_6 "\n", "ann:" SECRET_6 "\nbob:" SECRET_6 "\n"};
    for (size_t i = 0; i < 4; i++) {
        struct talk talk = talk_open_as_ann();
        struct generation *after = generation_of(TALK_CONF, NULL, accounts[i / 2]);
        world_reload(talk.world, after);
        generation_drop(after);
        size_t to_device = fake_written(talk.device).size, to_broker = fake_written(talk.broker).size;
        if (i % 2 == 0)
            fake_say(talk.device, ping());
        else
            fake_say(talk.broker, pong());
        assert_bytes(written_behind(talk.device, to_device), bytes_of_hex("e0 02 87 00"));
        assert_bytes(written_behind(talk.broker, to_broker), SPAN_NONE);
        talk_end(&talk, SESSION_END_REVOKED);
    }
}

static void test_reload_same_user(void **state) {
    (void)state;
    const char *accounts[] = {"eve:" SECRET_6 "\nann:" SECRET_7 "\n", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct talk talk = talk_open_as_ann();
        struct generation *after = generation_of(TALK_CONF, NULL, accounts[i]);
        world_reload(talk.world, after);
        generation_drop(after);
        fake_say(talk.device, ping());
        fake_say(talk.broker, pong());
        assert_state(&talk, SESSION_OPEN);
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* The reload comes while the password is checked: the check ends as it began, the new file counts with the
 * next packet. */
static void test_reload_while_checking(void **state) {
    (void)state;
    struct generation *before = generation_of(TALK_CONF, NULL, "ann:" SECRET_7 "\n");
    struct generation *after = generation_of(TALK_CONF, NULL, "bob:" SECRET_6 "\n");
    struct talk talk = talk_begin(before, MQTT_VERSION_5);
    generation_drop(before);
    fake_say(talk.device, connect_as(MQTT_VERSION_5, "ann", "secret"));
    world_reload(talk.world, after);
    generation_drop(after);
    world_run_job(talk.world);
    talk.broker = talk.world->dialed;
    fake_open(talk.broker);
    fake_say(talk.broker, talk_connack(&talk, 0));
    assert_bytes(fake_written(talk.device), talk_connack(&talk, 0x87));
    talk_end(&talk, SESSION_END_REVOKED);
}

/* Reloads while a session waits at other places. */
static void test_reload_everywhere(void **state) {
    (void)state;
    for (int stage = 0; stage < 5; stage++) {
        struct generation *after = generation_of(TALK_CONF, "topic readwrite ok/#\n", NULL);
        struct talk talk = {.world = world_create(open_doors), .version = MQTT_VERSION_311};
        talk.device = world_begin(talk.world, stage != 0, false);
        if (stage == 0) {
            world_reload(talk.world, after);
            fake_open(talk.device);
        }
        struct span connect = connect_packet(MQTT_VERSION_311, SPAN_NONE, "dev", 60);
        fake_say(talk.device, span_first(connect, 5));
        if (stage == 1)
            world_reload(talk.world, after);
        fake_say(talk.device, span_after(connect, 5));
        talk.broker = talk.world->dialed;
        if (stage == 2)
            world_reload(talk.world, after);
        fake_open(talk.broker);
        if (stage == 3)
            world_reload(talk.world, after);
        fake_say(talk.broker, talk_connack(&talk, 0));
        if (stage == 4)
            world_reload(talk.world, after);
        generation_drop(after);
        struct span good = publish(MQTT_VERSION_311, "ok/1", 0, "x");
        fake_say(talk.device, join(publish(MQTT_VERSION_311, "no/1", 0, "x"), good));
        assert_bytes(written_behind(talk.broker, connect.size), good);
        fake_say(talk.device, bye());
        talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
    }
}

/* ---- refusals ---- */

static void test_deny_disconnect(void **state) {
    (void)state;
    struct generation *generation =
        generation_of(TALK_CONF "deny_publish disconnect\n", "topic readwrite ok/#\n", NULL);
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(generation, versions[i]);
        talk_open(&talk);
        size_t before = fake_written(talk.device).size;
        fake_say(talk.device, publish(versions[i], "no/1", 1, "x"));
        assert_bytes(written_behind(talk.device, before),
                     versions[i] == 5 ? bytes_of_hex("e0 02 87 00") : SPAN_NONE);
        talk_end(&talk, SESSION_END_DEVICE_REFUSED);
    }
    generation_drop(generation);
}

/* A refused PUBLISH is answered at once when nothing is under way to the device. */
static void test_refused_publish_is_answered(void **state) {
    (void)state;
    struct generation *generation = generation_of(TALK_CONF, "topic readwrite ok/#\n", NULL);
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    generation_drop(generation);
    talk_open(&talk);
    size_t before = fake_written(talk.device).size;
    fake_say(talk.device, publish(MQTT_VERSION_5, "no/1", 1, "x"));
    assert_bytes(written_behind(talk.device, before), bytes_of_hex("40 03 00 0a 87"));
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

/* The room for topic aliases is used up: told in words that a DISCONNECT may carry. */
static void test_out_of_alias_room(void **state) {
    (void)state;
    struct generation *generation = generation_of("backend 127.0.0.1:1883\nmax_packet_size 0\nlistener "
                                                  "1884\nallow_anonymous true\nmax_topic_alias 100\n",
                                                  NULL, NULL);
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    generation_drop(generation);
    talk_wait(&talk, SPAN_NONE, 60);
    fake_say(talk.broker, connack_packet(MQTT_VERSION_5, 0, bytes_of_hex("22 00 64")));
    static char topic[60001];
    memset(topic, 't', sizeof topic - 1);
    for (uint16_t alias = 1; alias <= 20 && !talk.device->link.is_closing; alias++)
        fake_say(talk.device,
                 publish_packet(MQTT_VERSION_5,
                                (struct publish_fields){.topic = topic, .props = alias_prop(alias)}));
    struct span last;
    assert_int_equal(packets_in(fake_written(talk.device), MQTT_VERSION_5, MQTT_TO_DEVICE, &last), 2);
    assert_int_equal(last.at[0], 0xe0);
    talk_end(&talk, SESSION_END_NO_MEMORY);
}

static int create_generations(void **state) {
    (void)state;
    log_to_nowhere();
    open_doors = generation_of(TALK_CONF, NULL, NULL);
    with_passwords = generation_of("backend 127.0.0.1:1883\nlistener 1884\n", NULL,
                                   "ann:" SECRET_7 "\nbob:" SECRET_6 "\neve:" EMPTY_6 "\n");
    return 0;
}

static int drop_generations(void **state) {
    (void)state;
    bool is_last = open_doors->references == 1 && with_passwords->references == 1;
    generation_drop(open_doors);
    generation_drop(with_passwords);
    return is_last ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_happy_path),
        cmocka_unit_test(test_tls_first),
        cmocka_unit_test(test_connect_in_pieces),
        cmocka_unit_test(test_early_packets),
        cmocka_unit_test(test_handshake_timeout),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_broker_timeouts),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_keep_alive_off),
        cmocka_unit_test(test_broker_open_at_once),
        cmocka_unit_test(test_device_gone_under_back_pressure),
        cmocka_unit_test(test_server_keep_alive),
        cmocka_unit_test(test_keep_alive_under_back_pressure),
        cmocka_unit_test(test_broker_refuses),
        cmocka_unit_test(test_broker_unreachable),
        cmocka_unit_test(test_further_addresses),
        cmocka_unit_test(test_broker_vanishes),
        cmocka_unit_test(test_broker_write_fails),
        cmocka_unit_test(test_broker_breaks_the_protocol),
        cmocka_unit_test(test_broker_disconnects),
        cmocka_unit_test(test_device_vanishes),
        cmocka_unit_test(test_device_write_fails),
        cmocka_unit_test(test_device_breaks_the_protocol),
        cmocka_unit_test(test_wrong_connect),
        cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_end_all),
        cmocka_unit_test(test_password_right),
        cmocka_unit_test(test_password_wrong),
        cmocka_unit_test(test_password_trouble),
        cmocka_unit_test(test_reload_rules),
        cmocka_unit_test(test_reload_in_a_flood),
        cmocka_unit_test(test_reload_promises),
        cmocka_unit_test(test_reload_removed_user),
        cmocka_unit_test(test_reload_same_user),
        cmocka_unit_test(test_reload_while_checking),
        cmocka_unit_test(test_reload_everywhere),
        cmocka_unit_test(test_deny_disconnect),
        cmocka_unit_test(test_refused_publish_is_answered),
        cmocka_unit_test(test_out_of_alias_room),
    };
    return cmocka_run_group_tests_name("session/session", tests, create_generations, drop_generations);
}
