/* Anything in any order: sessions begin, links open, break and clog, jobs finish late, names are never found,
 * the configuration changes, time jumps, and what is said is now good, now rubbish. Whatever happens, every
 * session ends once, nothing stays behind, and both sides have heard nothing but good packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/mqtt/samples.h"
#include "unit/session/talk.h"

#define STORM_SEEDS   600
#define STORM_EVENTS  500
#define STORM_DEVICES 8
#define STORM_CONFS   7

#define HASH                                                                                                 \
    "$6$yMnKy8zNzs/Q0dLT$"                                                                                   \
    "siM2EpznaGYRahtVpA/Zxx4YaOuTvewIgPcpJPcS0DpjP8Ju/1a8CqknlojV81VVsyae7ptCDZdrxjd9wMaSzg=="

struct storm {
    struct world *world;
    uint64_t seed;
    struct fake *devices[STORM_DEVICES];
    struct fake *brokers[STORM_DEVICES]; /* the link that got the CONNECT */
    enum mqtt_version versions[STORM_DEVICES];
    size_t count;
};

static struct generation *generations[STORM_CONFS];
static uint64_t ends[SESSION_END_COUNT]; /* how often each came, over all seeds */

static uint32_t any(struct storm *storm, uint32_t below) {
    return driver_random(&storm->seed) % below;
}

/* A sample of this direction, good nearly always. */
static struct span any_sample(struct storm *storm, enum mqtt_version version, enum mqtt_direction direction) {
    const struct samples *samples = samples_load();
    bool is_good = any(storm, 150) != 0;
    for (;;) {
        const struct sample *sample = &samples->list[any(storm, (uint32_t)samples->count)];
        if (sample->version == version && sample->direction == direction && sample->is_good == is_good &&
            sample->bytes.at[0] >> 4 != MQTT_CONNECT && sample->bytes.at[0] >> 4 != MQTT_CONNACK &&
            (sample->bytes.at[0] >> 4 != MQTT_DISCONNECT || any(storm, 20) == 0))
            return sample->bytes;
    }
}

static struct span any_publish(struct storm *storm, enum mqtt_version version) {
    static const char *const topics[] = {"ok/1", "in/1", "out/1", "no/1", "ok/secret"};
    static uint8_t payload[70000];
    struct publish_fields fields = {
        .qos = (uint8_t)any(storm, 3), .id = (uint16_t)(1 + any(storm, 5)), .topic = topics[any(storm, 5)]};
    fields.payload = span_of(payload, any(storm, 10) == 0 ? any(storm, sizeof payload) : any(storm, 50));
    return publish_packet(version, fields);
}

static struct span any_connect(struct storm *storm, enum mqtt_version version) {
    struct mqtt_connect connect = {.version = version,
                                   .clean_start = any(storm, 10) != 0,
                                   .keep_alive_s = (uint16_t)(1 + any(storm, 6)),
                                   .client_id = any(storm, 10) == 0 ? SPAN_NONE : SPAN_LITERAL("dev"),
                                   .has_will = any(storm, 3) == 0,
                                   .will_topic = any(storm, 2) == 0 ? SPAN_LITERAL("ok/will")
                                                                    : SPAN_LITERAL("no/will")};
    connect.has_username = any(storm, 2) == 0;
    connect.username = connect.has_username ? SPAN_LITERAL("ann") : SPAN_NONE;
    connect.has_password = connect.has_username && any(storm, 5) != 0;
    connect.password = any(storm, 5) == 0 && connect.has_password ? SPAN_LITERAL("wrong") : SPAN_NONE;
    if (!connect.has_will)
        connect.will_topic = SPAN_NONE;
    if (any(storm, 10) == 0)
        connect.props.raw = bytes_of_hex("15 00 05 53 43 52 41 4d");
    struct writer writer = packets_open();
    mqtt_write_connect(&writer, &connect);
    return packets_close(&writer);
}

static void begin(struct storm *storm) {
    if (storm->count == STORM_DEVICES)
        return;
    const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5, MQTT_VERSION_5};
    size_t which = storm->count++;
    storm->versions[which] = versions[any(storm, 4)];
    storm->devices[which] = world_begin(storm->world, any(storm, 2) == 0, any(storm, 60) == 0);
    if (any(storm, 30) != 0)
        fake_push(storm->devices[which], any_connect(storm, storm->versions[which]));
}

/* The session's link to the broker, as long as it has one. */
static struct fake *broker_of(const struct storm *storm, size_t which) {
    for (const struct session *session = storm->world->host.first; session != NULL; session = session->next)
        if (session->device == &storm->devices[which]->link)
            return (struct fake *)session->broker;
    return NULL;
}

static void speak(struct storm *storm, size_t which) {
    struct fake *device = storm->devices[which], *broker = broker_of(storm, which);
    enum mqtt_version version = storm->versions[which];
    switch (any(storm, 7)) {
    case 0: fake_push(device, any_sample(storm, version, MQTT_TO_BROKER)); break;
    case 1: fake_push(device, any_publish(storm, version)); break;
    case 2:
        fake_push(device,
                  subscribe_packet(version, (uint16_t)(1 + any(storm, 4)), SPAN_NONE, "ok/1:1 no/1:0"));
        break;
    default:
        if (broker == NULL)
            break;
        switch (broker->in.size == 0 && any(storm, 20) != 0 ? 3 : any(storm, 4)) {
        case 0: fake_push(broker, any_sample(storm, version, MQTT_TO_DEVICE)); break;
        case 1: fake_push(broker, any_publish(storm, version)); break;
        case 2:
            fake_push(broker,
                      suback_packet(version, (uint16_t)(1 + any(storm, 4)), SPAN_NONE, SPAN_LITERAL("\1")));
            break;
        default:
            if (broker->in.size == 0)
                fake_push(broker,
                          connack_packet(version, any(storm, 25) == 0 ? 5 | (version == 5 ? 0x80 : 0) : 0,
                                         SPAN_NONE));
            break;
        }
    }
}

static void break_something(struct storm *storm, struct fake *fake) {
    switch (any(storm, 12)) {
    case 0:
        if (any(storm, 3) == 0)
            fake_end(fake, fake->link.is_open && any(storm, 2) == 0 ? 0 : -ECONNRESET);
        break;
    case 1: fake->write_error = any(storm, 6) == 0 ? -EPIPE : 0; break;
    case 2: storm->world->work_fails = any(storm, 8) == 0; break;
    case 3: world_advance(storm->world, any(storm, 5) == 0 ? any(storm, 12000) : any(storm, 300)); break;
    case 4:
        world_reload(storm->world, generations[any(storm, STORM_CONFS)]);
        if (any(storm, 2) != 0)
            session_recheck_all(&storm->world->host);
        if (any(storm, 3) != 0)
            session_wake_delayed(&storm->world->host);
        break;
    case 5:
        if (any(storm, 40) == 0)
            session_end_all(&storm->world->host, SESSION_END_SHUTDOWN);
        break;
    default: fake->is_slow = any(storm, 2) == 0; break;
    }
}

static void event(struct storm *storm) {
    struct world *world = storm->world;
    size_t which = any(storm, (uint32_t)storm->count);
    struct fake *broker = broker_of(storm, which);
    struct fake *fake = broker != NULL && any(storm, 2) == 0 ? broker : storm->devices[which];
    if (broker != NULL && broker->written.size != 0)
        storm->brokers[which] = broker;
    world->next_dial = "ooooooooooaaaaaaalllem"[any(storm, 22)];
    switch (any(storm, 16)) {
    case 0: begin(storm); break;
    case 1:
    case 2: fake_open(fake); break;
    case 3:
        world_run_job(world);
        world_answer_waiting(world, 'o');
        break;
    case 4: world_answer_waiting(world, "ooe"[any(storm, 3)]); break;
    case 5: fake_drain(fake); break;
    case 6: fake_settle(fake); break;
    case 7: break_something(storm, fake); break;
    case 8:
    case 9:
    case 10: speak(storm, which); break;
    default: fake_pump(fake, any(storm, 3) == 0 ? 1 + any(storm, 20) : SIZE_MAX); break;
    }
    broker = broker_of(storm, which);
    if (broker != NULL && broker->written.size != 0)
        storm->brokers[which] = broker;
}

/* Between events nobody who is done is read from, and nobody is read from while his words cannot go on. */
static void check_sessions(const struct storm *storm) {
    size_t count = 0;
    for (const struct session *session = storm->world->host.first; session != NULL; session = session->next) {
        count++;
        assert_int_not_equal(session->open_count, 0);
        assert_true(session->from_device.held.size <= INSPECT_HELD_MAX + LINK_ROOM_MIN);
        assert_true(session->from_broker.held.size <= INSPECT_HELD_MAX);
        if (session->state == SESSION_ENDING) {
            assert_false(deadline_is_set(&session->deadline));
            assert_false(session_is_delayed(session));
            continue;
        }
        assert_non_null(session->device);
        if (session->state != SESSION_OPEN)
            assert_true(deadline_is_set(&session->deadline));
        if (session_is_delayed(session))
            assert_false(session->device->is_reading);
        if (session->state == SESSION_OPEN && link_pending(session->broker) != 0)
            assert_false(session->device->is_reading);
        if (session->state == SESSION_OPEN && link_pending(session->device) != 0)
            assert_false(session->broker->is_reading);
    }
    assert_int_equal(count, storm->world->host.count);
    assert_int_equal(count + storm->world->gone, storm->world->begun);
}

static void storm_once(uint64_t seed) {
    struct storm storm = {.world = world_create(generations[seed % STORM_CONFS]), .seed = seed};
    begin(&storm);
    for (unsigned i = 0; i < STORM_EVENTS; i++) {
        event(&storm);
        check_sessions(&storm);
        packets_forget();
    }
    session_end_all(&storm.world->host, SESSION_END_SHUTDOWN);
    world_settle(storm.world);
    while (storm.world->job_count != 0)
        world_run_job(storm.world);
    for (size_t i = 0; i < storm.count; i++) {
        struct span last;
        packets_in(fake_written(storm.devices[i]), storm.versions[i], MQTT_TO_DEVICE, &last);
        if (storm.brokers[i] != NULL)
            packets_in(fake_written(storm.brokers[i]), storm.versions[i], MQTT_TO_BROKER, &last);
    }
    for (size_t i = 0; i < SESSION_END_COUNT; i++)
        ends[i] += tally_read(&storm.world->tally.ends[i]);
    world_destroy(storm.world);
}

static void test_storm(void **state) {
    (void)state;
    const char *wanted = getenv("STORM_SEEDS");
    uint64_t seeds = wanted == NULL ? STORM_SEEDS : strtoull(wanted, NULL, 10);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        storm_once(seed);
    /* It went everywhere; without TLS there is no handshake and no certificate to fail, and memory is not
     * out. */
    for (size_t i = 1; i < SESSION_END_COUNT && seeds >= STORM_SEEDS; i++)
        if (ends[i] == 0 && i != SESSION_END_TLS_FAILED && i != SESSION_END_CERTIFICATE_REVOKED &&
            i != SESSION_END_TAKEN_OVER && i != SESSION_END_PSK_GONE && i != SESSION_END_HANDSHAKE_SHED)
            fail_msg("no session ended with %s", session_end_label((enum session_end)i));
}

static int create_generations(void **state) {
    (void)state;
    log_to_nowhere();
    generations[0] = generation_of(TALK_CONF, PACKETS_ACL, NULL);
    generations[1] = generation_of(TALK_CONF "max_keepalive 2\nmax_qos 1\n", NULL, NULL);
    generations[2] = generation_of(TALK_CONF, PACKETS_ACL "user ann\ntopic ok/#\n", "ann:" HASH "\n");
    generations[3] = generation_of(TALK_CONF "deny_publish disconnect\nmessage_size_limit 1000\n",
                                   "pattern readwrite #\n", "bob:" HASH "\n");
    generations[4] =
        generation_of(TALK_CONF "publish_rate 1/m burst 3\nlistener_packet_rate 5/s\n", NULL, NULL);
    generations[5] = generation_of(TALK_CONF "user_publish_rate 2/s\npublish_bytes_rate 100/s\n"
                                             "rate_action refuse\n",
                                   PACKETS_ACL, NULL);
    generations[6] = generation_of(TALK_CONF "listener_publish_bytes_rate 10/s\nrate_action disconnect\n",
                                   NULL, "ann:" HASH "\n");
    return 0;
}

static int drop_generations(void **state) {
    (void)state;
    bool is_last = true;
    for (size_t i = 0; i < STORM_CONFS; i++) {
        is_last = is_last && generations[i]->references == 1;
        generation_drop(generations[i]);
    }
    return is_last ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests_name("session/storm", tests, create_generations, drop_generations);
}
