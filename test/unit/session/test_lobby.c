/* Who is let in at the door and seated at the CONNECT, and that many workers may ask at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "session/lobby.h"

struct house {
    struct lobby *lobby;
    struct conf *conf;
};

static struct house house_of(const char *lines) {
    char text[1024];
    struct findings findings;
    findings_init(&findings);
    snprintf(text, sizeof text, "backend h\n%s", lines);
    struct house house = {lobby_create(), conf_read_text("test.conf", span_of_text(text), &findings)};
    findings_clear(&findings);
    assert_non_null(house.lobby);
    assert_non_null(house.conf);
    return house;
}

static void house_close(struct house *house) {
    lobby_destroy(house->lobby);
    conf_destroy(house->conf);
}

static struct lobby_rules rules_of(const struct house *house, size_t index) {
    return (struct lobby_rules){house->conf, &house->conf->listeners[index], index};
}

static enum lobby_answer arrive(struct house *house, size_t index, const char *from, struct guest *guest,
                                uint64_t now_ms) {
    const struct lobby_rules rules = rules_of(house, index);
    struct address address;
    assert_true(from[0] == '/' ? address_of_path(&address, from) : address_read(&address, from, 4711));
    return lobby_arrive(house->lobby, &rules, &address, conf_listener_is_tls(rules.listener), now_ms, guest);
}

static enum lobby_answer seat(struct house *house, const char *username, const char *client_id,
                              struct guest *guest) {
    const struct lobby_rules rules = rules_of(house, 0);
    return lobby_seat(house->lobby, &rules, span_of_text(username), span_of_text(client_id), 1000, guest);
}

static void nothing_is_asked_for(void **state) {
    (void)state;
    struct house house = house_of("listener 1\n");
    struct guest guests[50];
    for (int i = 0; i < 50; i++) {
        assert_int_equal(arrive(&house, 0, "192.0.2.7", &guests[i], 1000), LOBBY_WELCOME);
        assert_int_equal(seat(&house, "ann", "dev", &guests[i]), LOBBY_WELCOME);
    }
    assert_int_equal(lobby_sum_up(house.lobby, 1000).remembered, 0);
    for (int i = 0; i < 50; i++)
        lobby_leave(house.lobby, &guests[i]);
    house_close(&house);
}

static void lists_decide_first(void **state) {
    (void)state;
    struct house house =
        house_of("allow_from 192.0.2.0/24 2001:db8::/32 127.0.0.1\ndeny_from 192.0.2.13 2001:db8:1::/48\n"
                 "connection_rate 1/h\nlistener 1\nlistener 2\nallow_from none\n");
    static const struct {
        const char *from;
        enum lobby_answer answers[2];
    } rows[] = {{"192.0.2.7", {LOBBY_WELCOME, LOBBY_OVER_RATE}},
                {"192.0.2.13", {LOBBY_DENIED, LOBBY_DENIED}},
                {"198.51.100.1", {LOBBY_NOT_ALLOWED, LOBBY_WELCOME}},
                {"::ffff:192.0.2.13", {LOBBY_DENIED, LOBBY_DENIED}},
                {"::ffff:127.0.0.1", {LOBBY_WELCOME, LOBBY_OVER_RATE}},
                {"2001:db8::1", {LOBBY_WELCOME, LOBBY_OVER_RATE}},
                {"2001:db8:1::1", {LOBBY_DENIED, LOBBY_DENIED}},
                {"2001:db9::1", {LOBBY_NOT_ALLOWED, LOBBY_WELCOME}},
                {"/run/unix.sock", {LOBBY_WELCOME, LOBBY_WELCOME}}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t index = 0; index < 2; index++) {
            struct guest guest;
            enum lobby_answer answer = arrive(&house, index, rows[i].from, &guest, 1000);
            if (answer != rows[i].answers[index])
                fail_msg("%s at listener %zu: %s", rows[i].from, index, lobby_words(answer));
            lobby_leave(house.lobby, &guest);
        }
    house_close(&house);
}

static void one_more_may_come_to_its_connect(void **state) {
    (void)state;
    struct house house =
        house_of("max_connections_per_address 2\nlistener 1\nlistener 2\nmax_connections_per_address 1\n");
    struct guest a, b, c, d, e;
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &a, 1000), LOBBY_WELCOME);
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &b, 1000), LOBBY_WELCOME);
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &c, 1000), LOBBY_WELCOME);
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &d, 1000), LOBBY_OVER_ADDRESS);
    assert_int_equal(arrive(&house, 1, "192.0.2.7", &d, 1000), LOBBY_WELCOME); /* has its own line */
    assert_int_equal(arrive(&house, 0, "192.0.2.8", &e, 1000), LOBBY_WELCOME);
    /* Who says its CONNECT first is seated, whoever came first. */
    assert_int_equal(seat(&house, "", "c", &c), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "", "a", &a), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "", "b", &b), LOBBY_OVER_ADDRESS);
    /* A second try with the refused name is no take-over of the first. */
    lobby_leave(house.lobby, &b);
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &b, 1000), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "", "b", &b), LOBBY_OVER_ADDRESS);
    lobby_leave(house.lobby, &b);
    lobby_leave(house.lobby, &b); /* twice does no harm */
    lobby_leave(house.lobby, &c);
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &b, 1000), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "", "b", &b), LOBBY_WELCOME);
    struct guest *all[] = {&a, &b, &c, &d, &e};
    for (size_t i = 0; i < 5; i++)
        lobby_leave(house.lobby, all[i]);
    assert_int_equal(lobby_sum_up(house.lobby, 1000).remembered, 0);
    house_close(&house);
}

static void a_takeover_is_seated(void **state) {
    (void)state;
    struct house house =
        house_of("max_connections_per_address 1\nmax_connections_per_username 1\nlistener 1\n");
    struct guest old, new, third;
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &old, 1000), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "ann", "dev", &old), LOBBY_WELCOME);
    static const char *const others[][2] = {{"ann", "other"}, {"bob", "dev"}, {"", "dev"}, {"anndev", ""}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(arrive(&house, 0, "192.0.2.7", &new, 1000), LOBBY_WELCOME);
        assert_int_equal(seat(&house, others[i][0], others[i][1], &new), LOBBY_OVER_ADDRESS);
        lobby_leave(house.lobby, &new);
    }
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &new, 1000), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "ann", "dev", &new), LOBBY_WELCOME);
    /* From another address only the username counts; a second take-over waits. */
    assert_int_equal(arrive(&house, 0, "192.0.2.8", &third, 1000), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "ann", "dev", &third), LOBBY_OVER_USERNAME);
    assert_null(third.of_address.visitor); /* the seat it had got already is free again */
    assert_null(third.of_address.identity);
    lobby_leave(house.lobby, &third);
    lobby_leave(house.lobby, &old);
    assert_int_equal(arrive(&house, 0, "192.0.2.8", &third, 1000), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "ann", "dev", &third), LOBBY_WELCOME);
    lobby_leave(house.lobby, &new);
    lobby_leave(house.lobby, &third);
    assert_int_equal(lobby_sum_up(house.lobby, 1000).remembered, 0);
    house_close(&house);
}

static void usernames_are_seated(void **state) {
    (void)state;
    struct house house = house_of("max_connections_per_username 2\nlistener 1\n");
    struct guest guests[6] = {0};
    assert_int_equal(seat(&house, "ann", "a", &guests[0]), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "ann", "b", &guests[1]), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "ann", "c", &guests[2]), LOBBY_OVER_USERNAME);
    assert_null(guests[2].of_username.visitor);
    assert_null(guests[2].of_username.identity);
    assert_int_equal(seat(&house, "bob", "c", &guests[2]), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "", "d", &guests[3]), LOBBY_WELCOME); /* nobody */
    assert_int_equal(seat(&house, "", "e", &guests[4]), LOBBY_WELCOME);
    assert_int_equal(seat(&house, "", "f", &guests[5]), LOBBY_WELCOME);
    for (int i = 0; i < 6; i++)
        lobby_leave(house.lobby, &guests[i]);
    assert_int_equal(lobby_sum_up(house.lobby, 1000).remembered, 0);
    house_close(&house);
}

static void handshakes_are_counted(void **state) {
    (void)state;
    struct house house = house_of("max_handshakes 2\nlistener 1\ncertfile c\nkeyfile k\nlistener 2\n");
    struct guest a, b, c, plain;
    assert_int_equal(arrive(&house, 0, "192.0.2.7", &a, 1000), LOBBY_WELCOME);
    assert_int_equal(arrive(&house, 0, "192.0.2.8", &b, 1000), LOBBY_WELCOME);
    assert_int_equal(arrive(&house, 0, "192.0.2.9", &c, 1000), LOBBY_OVER_HANDSHAKES);
    assert_int_equal(lobby_handshakes(house.lobby), 2);
    assert_int_equal(arrive(&house, 1, "192.0.2.9", &plain, 1000), LOBBY_WELCOME);
    lobby_shaken(house.lobby, &a);
    lobby_shaken(house.lobby, &a);
    lobby_leave(house.lobby, &a);
    assert_int_equal(lobby_handshakes(house.lobby), 1);
    assert_int_equal(arrive(&house, 0, "192.0.2.9", &c, 1000), LOBBY_WELCOME);
    lobby_leave(house.lobby, &b); /* in the middle of it */
    lobby_leave(house.lobby, &c);
    lobby_leave(house.lobby, &plain);
    assert_int_equal(lobby_handshakes(house.lobby), 0);
    house_close(&house);
}

/* What is refused behind the count gives it back. */
static void a_refused_arrival_holds_nothing(void **state) {
    (void)state;
    struct house house =
        house_of("max_handshakes 1\nmax_connections_per_address 1\nlistener 1\ncertfile c\nkeyfile k\n");
    struct guest shaking, late;
    assert_int_equal(arrive(&house, 0, "192.0.2.8", &shaking, 1000), LOBBY_WELCOME);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(arrive(&house, 0, "192.0.2.7", &late, 1000), LOBBY_OVER_HANDSHAKES);
        assert_null(late.address);
        assert_false(late.is_shaking);
    }
    lobby_leave(house.lobby, &shaking);
    assert_int_equal(lobby_sum_up(house.lobby, 1000).remembered, 0);
    house_close(&house);
}

static void bans_are_by_what_was_asked_for(void **state) {
    (void)state;
    struct house house =
        house_of("ban_after 2/60s for 10m by address,username,clientid\nlistener 1\nlistener 2\n"
                 "ban_after 0\nlistener 3\nban_after 2/60s for 10m\n"
                 "listener 4\nban_after 1/60s for 10m by username\n");
    const struct lobby_rules all = rules_of(&house, 0), none = rules_of(&house, 1),
                             address = rules_of(&house, 2);
    const struct span ann = SPAN_LITERAL("ann"), dev = SPAN_LITERAL("dev"), bob = SPAN_LITERAL("bob");
    struct guest guest, other;
    assert_int_equal(arrive(&house, 0, "2001:db8::1", &guest, 1000), LOBBY_WELCOME);
    assert_int_equal(lobby_fail(house.lobby, &none, &guest, ann, dev, 1000), 0);
    assert_int_equal(lobby_fail(house.lobby, &all, &guest, ann, dev, 1000), 0);
    assert_int_equal(lobby_fail(house.lobby, &all, &guest, SPAN_NONE, dev, 1000),
                     CONF_BAN_ADDRESS | CONF_BAN_CLIENTID);
    assert_int_equal(lobby_fail(house.lobby, &all, &guest, ann, SPAN_NONE, 1000), CONF_BAN_USERNAME);
    assert_int_equal(arrive(&house, 0, "2001:db8::2", &other, 1000), LOBBY_BANNED);
    assert_int_equal(arrive(&house, 2, "2001:db8::2", &other, 1000), LOBBY_BANNED);
    assert_int_equal(arrive(&house, 1, "2001:db8::2", &other, 1000), LOBBY_WELCOME);
    assert_int_equal(arrive(&house, 0, "2001:db8:0:1::2", &other, 1000), LOBBY_WELCOME);
    assert_true(lobby_is_banned(house.lobby, &all, ann, SPAN_LITERAL("x"), 1000));
    assert_true(lobby_is_banned(house.lobby, &all, bob, dev, 1000));
    assert_true(lobby_is_banned(house.lobby, &all, SPAN_NONE, dev, 1000));
    assert_false(lobby_is_banned(house.lobby, &all, bob, SPAN_LITERAL("x"), 1000));
    assert_false(lobby_is_banned(house.lobby, &none, ann, dev, 1000));
    assert_false(lobby_is_banned(house.lobby, &address, ann, dev, 1000));
    assert_false(lobby_is_banned(house.lobby, &all, ann, dev, 601000));
    /* By username alone. */
    const struct lobby_rules username = rules_of(&house, 3);
    assert_int_equal(arrive(&house, 2, "192.0.2.7", &other, 1000), LOBBY_WELCOME);
    assert_int_equal(lobby_fail(house.lobby, &username, &other, SPAN_LITERAL("eve"), SPAN_LITERAL("y"), 1000),
                     CONF_BAN_USERNAME);
    assert_int_equal(arrive(&house, 2, "192.0.2.7", &other, 1000), LOBBY_WELCOME);
    /* A Unix socket has no address to ban. */
    assert_int_equal(arrive(&house, 2, "/run/unix.sock", &guest, 1000), LOBBY_WELCOME);
    for (int i = 0; i < 5; i++)
        assert_int_equal(lobby_fail(house.lobby, &address, &guest, bob, dev, 1000), 0);
    struct visitors_summary summary = lobby_sum_up(house.lobby, 1000);
    assert_int_equal(summary.bans[VISITOR_ADDRESS], 1);
    assert_int_equal(summary.bans[VISITOR_USERNAME], 2);
    assert_int_equal(summary.bans[VISITOR_CLIENTID], 1);
    house_close(&house);
}

/* ---- many at a time ---- */

#define THREADS 4
#define ROUNDS  2000

struct crowd_thread {
    pthread_t thread;
    struct house *house;
    unsigned number, welcome, seated, banned;
};

static void *come_and_go(void *argument) {
    struct crowd_thread *self = argument;
    struct house *house = self->house;
    const struct lobby_rules rules = rules_of(house, 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char from[32], client_id[16];
        struct guest guest;
        struct address address;
        snprintf(from, sizeof from, "192.0.2.%u", i % 5);
        snprintf(client_id, sizeof client_id, "dev%u", (i + self->number) % 7);
        address_read(&address, from, 1);
        if (lobby_arrive(house->lobby, &rules, &address, true, i, &guest) != LOBBY_WELCOME)
            continue;
        self->welcome++;
        lobby_shaken(house->lobby, &guest);
        struct span user = SPAN_LITERAL("ann"), client = span_of_text(client_id);
        bool is_banned = lobby_is_banned(house->lobby, &rules, user, client, i);
        if (!is_banned && lobby_seat(house->lobby, &rules, user, client, i, &guest) == LOBBY_WELCOME)
            self->seated++;
        if (i % 16 == 0)
            self->banned += lobby_fail(house->lobby, &rules, &guest, SPAN_NONE, client, i) != 0;
        if (i % 64 == 0)
            (void)lobby_sum_up(house->lobby, i);
        lobby_leave(house->lobby, &guest);
    }
    return NULL;
}

static void many_may_ask_at_a_time(void **state) {
    (void)state;
    struct house house =
        house_of("max_handshakes 3\nmax_connections_per_address 2\nmax_connections_per_username 3\n"
                 "connection_rate 1000/s\nban_after 5/1s for 1s by clientid\nlistener 1\n"
                 "certfile c\nkeyfile k\n");
    struct crowd_thread threads[THREADS];
    unsigned welcome = 0, seated = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct crowd_thread){.house = &house, .number = i};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, come_and_go, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        welcome += threads[i].welcome;
        seated += threads[i].seated;
    }
    assert_true(welcome > 0 && seated > 0);
    assert_int_equal(lobby_handshakes(house.lobby), 0);
    /* Everything was given back: the limits are free again. */
    struct guest guests[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(arrive(&house, 0, "198.51.100.1", &guests[i], 1000000), LOBBY_WELCOME);
    for (int i = 0; i < 3; i++)
        lobby_leave(house.lobby, &guests[i]);
    for (int i = 0; i < 3; i++) {
        char client_id[2] = {(char)('a' + i), 0};
        guests[i] = (struct guest){.ip = {.family = IP_NONE}};
        assert_int_equal(seat(&house, "ann", client_id, &guests[i]), LOBBY_WELCOME);
    }
    for (int i = 0; i < 3; i++)
        lobby_leave(house.lobby, &guests[i]);
    house_close(&house);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_for),
        cmocka_unit_test(lists_decide_first),
        cmocka_unit_test(one_more_may_come_to_its_connect),
        cmocka_unit_test(a_takeover_is_seated),
        cmocka_unit_test(usernames_are_seated),
        cmocka_unit_test(handshakes_are_counted),
        cmocka_unit_test(a_refused_arrival_holds_nothing),
        cmocka_unit_test(bans_are_by_what_was_asked_for),
        cmocka_unit_test(many_may_ask_at_a_time),
    };
    return cmocka_run_group_tests_name("session/lobby", tests, NULL, NULL);
}
