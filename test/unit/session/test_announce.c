/* What a proxy in front says of a device: whose name counts, and that the time of header and handshake is
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/session/world.h"

static struct session *begin(struct world *world, bool is_shaking) {
    struct address address;
    struct fake *fake = world_fake(world);
    assert_true(address_read(&address, "198.51.100.7", 4711));
    fake->link.is_open = !is_shaking;
    world->begun++;
    struct session *session = session_begin(&world->host, &fake->link, &address, 0, false);
    assert_non_null(session);
    return session;
}

static void end(struct world *world, struct generation *generation) {
    session_end_all(&world->host, SESSION_END_SHUTDOWN);
    world_destroy(world);
    generation_drop(generation);
}

static void a_name_counts_when_verified(void **state) {
    (void)state;
    static const struct {
        uint8_t client;
        uint32_t verify;
        struct span name;
        bool has_facts, has_name;
    } rows[] = {{7, 0, SPAN_LITERAL("alice"), true, true},   {5, 0, SPAN_LITERAL("al\xC3\xAF"), true, true},
                {7, 1, SPAN_LITERAL("alice"), false, false}, {3, 0, SPAN_LITERAL("alice"), false, false},
                {6, 0, SPAN_LITERAL("alice"), false, false}, {7, 0, SPAN_LITERAL(""), true, false},
                {7, 0, SPAN_LITERAL("a\0b"), true, false},   {7, 0, SPAN_LITERAL("\xFF"), true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct generation *generation = generation_of("backend h\nlistener 1\n", NULL, NULL);
        struct world *world = world_create(generation);
        struct session *session = begin(world, false);
        assert_null(session_announced_facts(session));
        uint8_t room[8];
        struct span name = span_of(room, rows[i].name.size);
        memcpy(room, rows[i].name.at, name.size);
        const struct proxy_header header = {
            .tls = {.client = rows[i].client, .verify = rows[i].verify, .common_name = name}};
        session_announce(session, &header, world->now);
        memset(room, 'x', sizeof room); /* it was copied */
        assert_int_equal(session_announced_facts(session) != NULL, rows[i].has_facts);
        assert_true(
            span_is_equal(session_announced_name(session), rows[i].has_name ? rows[i].name : SPAN_NONE));
        end(world, generation);
    }
}

static void header_and_handshake_share_their_time(void **state) {
    (void)state;
    struct generation *generation =
        generation_of("backend h\nlistener 1\nhandshake_timeout 10s\n", NULL, NULL);
    struct world *world = world_create(generation);
    const struct proxy_header header = {.size = 1};
    struct session *session = begin(world, true);
    session_announce(session, &header, world->now - 8000); /* the header took eight seconds */
    world_advance(world, 1500);
    assert_int_equal(tally_read(&world->tally.ends[SESSION_END_HANDSHAKE_TIMEOUT]), 0);
    world_advance(world, 1500);
    assert_int_equal(tally_read(&world->tally.ends[SESSION_END_HANDSHAKE_TIMEOUT]), 1);
    end(world, generation);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_counts_when_verified),
        cmocka_unit_test(header_and_handshake_share_their_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
