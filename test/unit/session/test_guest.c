/* A session in the lobby: what counts as a failure, what a device hears when there is no seat for it or it is
 * banned, and that everything is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/session/talk.h"

static const enum mqtt_version versions[] = {MQTT_VERSION_31, MQTT_VERSION_311, MQTT_VERSION_5};

#define SECRET                                                                                               \
    "ann:$6$yMnKy8zNzs/Q0dLT$"                                                                               \
    "siM2EpznaGYRahtVpA/Zxx4YaOuTvewIgPcpJPcS0DpjP8Ju/1a8CqknlojV81VVsyae7ptCDZdrxjd9wMaSzg==\n"

struct stay {
    struct lobby *lobby;
    struct generation *generation;
    struct talk talk;
    enum mqtt_version version;
};

static struct stay stay_of(const char *lines, const char *accounts, enum mqtt_version version) {
    char conf[1024];
    snprintf(conf, sizeof conf, TALK_CONF "%s", lines);
    struct stay stay = {
        .lobby = lobby_create(), .generation = generation_of(conf, NULL, accounts), .version = version};
    assert_non_null(stay.lobby);
    return stay;
}

/* A device from that address comes in; its link is open, or is still to shake hands. */
static void begin(struct stay *stay, const char *from, bool is_open) {
    struct world *world = world_create(stay->generation);
    struct address address;
    struct guest guest;
    world->host.lobby = stay->lobby;
    stay->talk = (struct talk){.world = world, .version = stay->version};
    assert_true(address_read(&address, from, 4711));
    const struct lobby_rules rules = {stay->generation->conf, stay->generation->terms[0].listener, 0};
    assert_int_equal(lobby_arrive(stay->lobby, &rules, &address, !is_open, world->now, &guest),
                     LOBBY_WELCOME);
    stay->talk.device = world_begin(world, is_open, false);
    session_keep_guest(world->host.first, &guest);
}

static void stay_close(struct stay *stay) {
    generation_drop(stay->generation);
    lobby_destroy(stay->lobby);
}

static struct span connect_as(enum mqtt_version version, const char *username, const char *client_id) {
    struct mqtt_connect connect = {
        .version = version, .client_id = span_of_text(client_id), .clean_start = true, .keep_alive_s = 60};
    connect.has_username = connect.has_password = username != NULL;
    connect.username = span_of_text(username);
    connect.password = SPAN_LITERAL("guess");
    if (version == MQTT_VERSION_5)
        connect.props.raw = NO_WORDS;
    struct writer writer = packets_open();
    mqtt_write_connect(&writer, &connect);
    return packets_close(&writer);
}

static size_t bans(const struct stay *stay, enum visitor_kind kind) {
    return lobby_sum_up(stay->lobby, stay->talk.world->now).bans[kind];
}

/* ---- failures ---- */

static void check_failure(struct stay *stay, const char *what, enum session_end end, bool is_failure) {
    assert_int_equal(world_metric(stay->talk.world, METRIC_failures), is_failure);
    if (bans(stay, VISITOR_ADDRESS) != is_failure)
        fail_msg("%s, version %d: %s", what, stay->version, is_failure ? "no ban" : "a ban");
    assert_int_equal(world_metric(stay->talk.world, METRIC_bans_of_addresses), is_failure);
    talk_end(&stay->talk, end);
    stay_close(stay);
}

#define BAN "ban_after 1/60s for 10m\n"

static void wrong_passwords_count(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct stay stay = stay_of(BAN, SECRET, versions[i]);
        begin(&stay, "192.0.2.7", true);
        fake_say(stay.talk.device, connect_as(versions[i], "ann", "dev"));
        world_run_job(stay.talk.world);
        check_failure(&stay, "wrong password", SESSION_END_PASSWORD_WRONG, true);
    }
}

static void refused_connects_count(void **state) {
    (void)state;
    static const char *const lines[] = {"clientid_prefixes x\n", "use_username_as_clientid true\n"};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            char text[256];
            snprintf(text, sizeof text, BAN "%s",
                     j < 2    ? lines[j]
                     : i == 0 ? "accept_protocol_versions 4\n"
                              : "accept_protocol_versions 3\n");
            struct stay stay = stay_of(text, NULL, versions[i]);
            begin(&stay, "192.0.2.7", true);
            fake_say(stay.talk.device, connect_as(versions[i], NULL, "dev"));
            check_failure(&stay, text, SESSION_END_CONNECT_REFUSED, true);
        }
}

/* What we cannot do is not the device's fault. */
static void our_own_troubles_do_not_count(void **state) {
    (void)state;
    struct stay stay = stay_of(BAN, NULL, MQTT_VERSION_5);
    begin(&stay, "192.0.2.7", true);
    stay.talk.world->host.random = world_no_random;
    fake_say(stay.talk.device, connect_as(MQTT_VERSION_5, NULL, ""));
    check_failure(&stay, "no randomness", SESSION_END_CONNECT_REFUSED, false);
    stay = stay_of(BAN, NULL, MQTT_VERSION_5);
    begin(&stay, "192.0.2.7", true);
    stay.talk.world->next_dial = 'e';
    fake_say(stay.talk.device, connect_as(MQTT_VERSION_5, NULL, "dev"));
    check_failure(&stay, "no broker", SESSION_END_BROKER_UNREACHABLE, false);
    stay = stay_of(BAN, NULL, MQTT_VERSION_5);
    begin(&stay, "192.0.2.7", true);
    fake_end(stay.talk.device, 0);
    check_failure(&stay, "closed without a word", SESSION_END_DEVICE_CLOSED, false);
}

static void broken_protocol_counts_before_the_connack(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct stay stay = stay_of(BAN, NULL, versions[i]);
        begin(&stay, "192.0.2.7", true);
        fake_say(stay.talk.device, ping());
        check_failure(&stay, "no CONNECT", SESSION_END_DEVICE_WRONG, true);
        stay = stay_of(BAN, NULL, versions[i]);
        begin(&stay, "192.0.2.7", true);
        talk_open(&stay.talk);
        fake_say(stay.talk.device, connect_as(versions[i], NULL, "dev"));
        check_failure(&stay, "a second CONNECT", SESSION_END_DEVICE_WRONG, false);
    }
}

static void the_brokers_word_counts(void **state) {
    (void)state;
    static const struct {
        uint8_t before_5, in_5;
        bool is_failure;
    } rows[] = {{4, 0x86, true},  {5, 0x87, true},  {5, 0x8C, true},
                {3, 0x88, false}, {2, 0x85, false}, {3, 0x97, false}};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
            uint8_t code = versions[i] == MQTT_VERSION_5 ? rows[j].in_5 : rows[j].before_5;
            struct stay stay = stay_of(BAN, NULL, versions[i]);
            begin(&stay, "192.0.2.7", true);
            talk_wait(&stay.talk, SPAN_NONE, 60);
            fake_say(stay.talk.broker, talk_connack(&stay.talk, code));
            check_failure(&stay, "refused by the broker", SESSION_END_BROKER_REFUSED, rows[j].is_failure);
        }
}

/* ---- banned names ---- */

static void banned_names_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *by, *username, *client_id;
        bool is_banned;
    } rows[] = {{"username", "ann", "other", true}, {"username", "bob", "dev", false},
                {"username", NULL, "dev", false},   {"clientid", "bob", "dev", true},
                {"clientid", NULL, "dev", true},    {"clientid", "ann", "other", false},
                {"address", "ann", "dev", false}};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
            char lines[128];
            snprintf(lines, sizeof lines, "ban_after 1/60s for 10m by %s\n", rows[j].by);
            struct stay stay = stay_of(lines, NULL, versions[i]);
            const struct lobby_rules rules = {stay.generation->conf, stay.generation->terms[0].listener, 0};
            begin(&stay, "192.0.2.8", true);
            const struct guest nobody = {.ip = {.family = IP_NONE}};
            (void)lobby_fail(stay.lobby, &rules, &nobody, SPAN_LITERAL("ann"), SPAN_LITERAL("dev"),
                             stay.talk.world->now);
            fake_say(stay.talk.device, connect_as(versions[i], rows[j].username, rows[j].client_id));
            stay.talk.broker = stay.talk.world->dialed;
            if ((stay.talk.broker == NULL) != rows[j].is_banned)
                fail_msg("row %zu, version %d", j, versions[i]);
            assert_int_equal(world_metric(stay.talk.world, METRIC_connects_banned), rows[j].is_banned);
            assert_int_equal(world_metric(stay.talk.world, METRIC_failures), 0); /* no ban feeds itself */
            if (rows[j].is_banned) {
                assert_bytes(fake_written(stay.talk.device),
                             talk_connack(&stay.talk, versions[i] == MQTT_VERSION_5 ? 0x8A : 5));
                talk_end(&stay.talk, SESSION_END_CONNECT_REFUSED);
            } else {
                fake_end(stay.talk.device, 0);
                talk_end(&stay.talk, SESSION_END_DEVICE_CLOSED);
            }
            stay_close(&stay);
        }
}

/* ---- seats ---- */

static void no_seat_is_told(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int by_name = 0; by_name < 2; by_name++) {
            struct stay stay =
                stay_of(by_name ? "max_connections_per_username 1\n" : "max_connections_per_address 1\n",
                        NULL, versions[i]);
            begin(&stay, "192.0.2.7", true);
            struct talk first = stay.talk;
            fake_say(first.device, connect_as(versions[i], "ann", "a"));
            first.broker = first.world->dialed;
            assert_non_null(first.broker);
            begin(&stay, "192.0.2.7", true);
            fake_say(stay.talk.device, connect_as(versions[i], "ann", "b"));
            assert_int_equal(stay.talk.world->dials, 0);
            assert_bytes(fake_written(stay.talk.device),
                         talk_connack(&stay.talk, versions[i] == MQTT_VERSION_5 ? 0x97 : 3));
            assert_int_equal(world_metric(stay.talk.world, by_name ? METRIC_connects_over_username
                                                                   : METRIC_connects_over_address),
                             1);
            assert_int_equal(world_metric(stay.talk.world, METRIC_connects_refused), 1);
            assert_int_equal(world_metric(stay.talk.world, METRIC_failures), 0);
            talk_end(&stay.talk, SESSION_END_CONNECT_REFUSED);
            /* A take-over is seated, and the seat of the first is free when it is gone. */
            begin(&stay, "192.0.2.7", true);
            fake_say(stay.talk.device, connect_as(versions[i], "ann", "a"));
            assert_int_equal(stay.talk.world->dials, 1);
            stay.talk.broker = stay.talk.world->dialed;
            fake_end(first.device, 0);
            talk_end(&first, SESSION_END_DEVICE_CLOSED);
            fake_end(stay.talk.device, 0);
            talk_end(&stay.talk, SESSION_END_DEVICE_CLOSED);
            assert_int_equal(lobby_sum_up(stay.lobby, 0).remembered, 0);
            stay_close(&stay);
        }
}

/* Wrong passwords take no seat from the user whose name they use. */
static void a_seat_costs_a_password(void **state) {
    (void)state;
    struct stay stay = stay_of("max_connections_per_username 1\n", SECRET, MQTT_VERSION_311);
    begin(&stay, "192.0.2.7", true);
    fake_say(stay.talk.device, connect_as(MQTT_VERSION_311, "ann", "dev"));
    assert_state(&stay.talk, SESSION_CHECKING);
    assert_int_equal(lobby_sum_up(stay.lobby, 0).remembered, 0);
    world_run_job(stay.talk.world);
    talk_end(&stay.talk, SESSION_END_PASSWORD_WRONG);
    stay_close(&stay);
}

/* ---- handshakes ---- */

static void handshakes_are_given_back(void **state) {
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct stay stay = stay_of("max_handshakes 1\n", NULL, MQTT_VERSION_311);
        begin(&stay, "192.0.2.7", false);
        assert_int_equal(lobby_handshakes(stay.lobby), 1);
        if (how == 0)
            fake_open(stay.talk.device);
        else if (how == 1)
            world_advance(stay.talk.world, 7200);
        else
            fake_end(stay.talk.device, -ECONNRESET);
        assert_int_equal(lobby_handshakes(stay.lobby), 0);
        if (how == 0)
            fake_end(stay.talk.device, 0);
        talk_end(&stay.talk, how == 0   ? SESSION_END_DEVICE_CLOSED
                             : how == 1 ? SESSION_END_HANDSHAKE_TIMEOUT
                                        : SESSION_END_DEVICE_LOST);
        assert_int_equal(lobby_handshakes(stay.lobby), 0);
        stay_close(&stay);
    }
}

static int be_quiet(void **state) {
    (void)state;
    log_to_nowhere();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_passwords_count),
        cmocka_unit_test(refused_connects_count),
        cmocka_unit_test(our_own_troubles_do_not_count),
        cmocka_unit_test(broken_protocol_counts_before_the_connack),
        cmocka_unit_test(the_brokers_word_counts),
        cmocka_unit_test(banned_names_are_refused),
        cmocka_unit_test(no_seat_is_told),
        cmocka_unit_test(a_seat_costs_a_password),
        cmocka_unit_test(handshakes_are_given_back),
    };
    return cmocka_run_group_tests_name("session/guest", tests, be_quiet, NULL);
}
