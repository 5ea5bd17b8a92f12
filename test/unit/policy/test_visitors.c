#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/visitors.h"

#define HOUR_MS UINT64_C(3600000)

static struct visitor_name user(const char *text) {
    return (struct visitor_name){VISITOR_USERNAME, 0, span_of_text(text)};
}

static size_t remembered(struct visitors *visitors) {
    return visitors_sum_up(visitors, 0).remembered;
}

static void connections_are_counted(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(10);
    bool is_over;
    struct visitor *one = visitors_enter(visitors, user("ann"), 2, 1, &is_over);
    assert_non_null(one);
    assert_false(is_over);
    assert_ptr_equal(visitors_enter(visitors, user("ann"), 2, 1, &is_over), one);
    assert_null(visitors_enter(visitors, user("ann"), 2, 1, &is_over));
    assert_true(is_over);
    struct visitor *other = visitors_enter(visitors, user("bob"), 2, 1, &is_over);
    assert_non_null(other);
    assert_non_null(visitors_enter(visitors, user("ann"), 0, 1, &is_over)); /* no limit */
    assert_int_equal(visitors_connections(visitors, user("ann")), 3);
    assert_int_equal(remembered(visitors), 2);
    for (int i = 0; i < 3; i++)
        visitors_leave(visitors, one);
    assert_int_equal(visitors_connections(visitors, user("ann")), 0);
    assert_int_equal(remembered(visitors), 1); /* nothing is left to remember */
    assert_non_null(one = visitors_enter(visitors, user("ann"), 1, 1, &is_over));
    visitors_leave(visitors, one);
    visitors_leave(visitors, other);
    assert_int_equal(remembered(visitors), 0);
    visitors_destroy(visitors);
}

/* Kind, group, size and every byte tell names apart. */
static void names_are_told_apart(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(100);
    char a[200], b[200];
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    b[150] = 'y';
    const struct visitor_name names[] = {
        user("ann"),
        {VISITOR_USERNAME, 1, span_of_text("ann")},
        {VISITOR_CLIENTID, 0, span_of_text("ann")},
        user("anna"),
        user("an"),
        user(""),
        {VISITOR_USERNAME, 0, span_of(a, sizeof a)},
        {VISITOR_USERNAME, 0, span_of(b, sizeof b)},
        {VISITOR_USERNAME, 0, span_of(a, sizeof a - 1)},
        {VISITOR_USERNAME, 0, span_of("a\0b", 3)},
        {VISITOR_USERNAME, 0, span_of("a\0c", 3)},
    };
    size_t count = sizeof names / sizeof names[0];
    bool is_over;
    struct visitor *found[sizeof names / sizeof names[0]];
    for (size_t i = 0; i < count; i++)
        assert_non_null(found[i] = visitors_enter(visitors, names[i], 1, 1, &is_over));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(visitors_connections(visitors, names[i]), 1);
        visitors_leave(visitors, found[i]);
    }
    visitors_destroy(visitors);
}

static void addresses_are_one_or_not(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(10);
    const struct rate rate = {1, 1};
    static const char *const texts[] = {"192.0.2.7",       "2001:db8::1",      "2001:db8::ffff:1",
                                        "2001:db8:0:1::1", "::ffff:192.0.2.7", "192.0.2.8"};
    static const bool is_new[] = {true, true, false, true, false, true};
    static const char *const printed[] = {"192.0.2.7",         "2001:db8::/64", "2001:db8::/64",
                                          "2001:db8:0:1::/64", "192.0.2.7",     "192.0.2.8"};
    for (size_t i = 0; i < 6; i++) {
        struct network network;
        char room[NETWORK_TEXT_SIZE];
        assert_true(network_read(span_of_text(texts[i]), &network));
        assert_int_equal(visitors_take(visitors, visitor_address(&network.ip, 0), &rate, 1), is_new[i]);
        assert_string_equal(visitor_address_print(&network.ip, room), printed[i]);
    }
    visitors_destroy(visitors);
}

static void rates_are_kept(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(10);
    const struct rate rate = {3600, 3}, none = {0, 0};
    for (int i = 0; i < 3; i++)
        assert_true(visitors_take(visitors, user("ann"), &rate, 1000));
    assert_false(visitors_take(visitors, user("ann"), &rate, 1999));
    assert_true(visitors_take(visitors, user("ann"), &rate, 2000));
    assert_true(visitors_take(visitors, user("bob"), &rate, 2000));
    assert_true(visitors_take(visitors, user("cid"), &none, 2000));
    assert_int_equal(remembered(visitors), 2);
    /* A connection that leaves does not take the rate with it. */
    bool is_over;
    visitors_leave(visitors, visitors_enter(visitors, user("ann"), 1, 2000, &is_over));
    assert_false(visitors_take(visitors, user("ann"), &rate, 2000));
    /* When all is given back, newcomers sweep them out. */
    for (int i = 0; i < 4; i++)
        assert_true(visitors_take(visitors, user(i % 2 == 0 ? "dan" : "eve"), &rate, 1000000));
    assert_int_equal(remembered(visitors), 2);
    visitors_destroy(visitors);
}

static const struct conf_ban three = {3, 60000, 600000, CONF_BAN_ADDRESS};

static void failures_ban(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(10);
    uint64_t now = UINT64_C(0xFFFFFF00); /* where 32 bits go round */
    assert_false(visitors_fail(visitors, user("ann"), &three, now));
    assert_false(visitors_fail(visitors, user("ann"), &three, now + 30000));
    assert_false(visitors_is_banned(visitors, user("ann"), now + 30000));
    assert_false(visitors_fail(visitors, user("bob"), &three, now + 30000));
    assert_true(visitors_fail(visitors, user("ann"), &three, now + 59999));
    assert_true(visitors_is_banned(visitors, user("ann"), now + 59999));
    assert_false(visitors_is_banned(visitors, user("bob"), now + 59999));
    assert_int_equal(visitors_sum_up(visitors, now + 60000).bans[VISITOR_USERNAME], 1);
    assert_int_equal(visitors_sum_up(visitors, now + 60000).bans[VISITOR_ADDRESS], 0);
    /* Who is banned already does not make it longer. */
    for (int i = 0; i < 9; i++)
        assert_false(visitors_fail(visitors, user("ann"), &three, now + 600000));
    assert_true(visitors_is_banned(visitors, user("ann"), now + 59999 + 599999));
    assert_false(visitors_is_banned(visitors, user("ann"), now + 59999 + 600000));
    assert_int_equal(visitors_sum_up(visitors, now + 59999 + 600000).bans[VISITOR_USERNAME], 0);
    /* And begins anew. */
    assert_false(visitors_fail(visitors, user("ann"), &three, now + 659999));
    assert_false(visitors_fail(visitors, user("ann"), &three, now + 659999));
    assert_true(visitors_fail(visitors, user("ann"), &three, now + 659999));
    visitors_destroy(visitors);
}

/* Every window of that length counts, wherever it begins. */
static void the_window_slides(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(10);
    static const uint64_t moments[] = {0, 59000, 61000, 118000};
    for (int i = 0; i < 3; i++)
        assert_false(visitors_fail(visitors, user("ann"), &three, 1000 + moments[i]));
    assert_true(visitors_fail(visitors, user("ann"), &three, 1000 + moments[3]));
    /* exactly as long as the window is too long */
    assert_false(visitors_fail(visitors, user("bob"), &three, 1000));
    assert_false(visitors_fail(visitors, user("bob"), &three, 1000));
    assert_false(visitors_fail(visitors, user("bob"), &three, 61000));
    /* a clock that is a little behind */
    assert_false(visitors_fail(visitors, user("cid"), &three, 1000));
    assert_false(visitors_fail(visitors, user("cid"), &three, 2000));
    assert_true(visitors_fail(visitors, user("cid"), &three, 1990));
    /* months later */
    assert_false(visitors_fail(visitors, user("dan"), &three, 5000));
    assert_false(visitors_fail(visitors, user("dan"), &three, 5000));
    assert_false(visitors_fail(visitors, user("dan"), &three, (UINT64_C(1) << 32) + 6000));
    visitors_destroy(visitors);
}

static void rules_change(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(10);
    const struct conf_ban never = {0, 0, 0, 0}, two = {2, 60000, 1000, 1}, hundred = {100, 86400000, 1000, 1};
    assert_false(visitors_fail(visitors, user("ann"), &never, 1000));
    assert_int_equal(remembered(visitors), 0);
    for (int i = 0; i < 99; i++)
        assert_false(visitors_fail(visitors, user("ann"), &hundred, 1000));
    assert_true(visitors_fail(visitors, user("ann"), &two, 1000)); /* the newest are kept */
    assert_false(visitors_fail(visitors, user("bob"), &three, 1000));
    assert_false(visitors_fail(visitors, user("bob"), &hundred, 1000));
    assert_true(visitors_fail(visitors, user("bob"), &three, 1000));
    visitors_destroy(visitors);
}

static void memory_is_bounded(void **state) {
    (void)state;
    struct visitors *visitors = visitors_create(100);
    bool is_over;
    char text[16];
    struct visitor *connected[200];
    const struct conf_ban one = {1, 1000, 100 * HOUR_MS, 1};
    const struct rate rate = {3600, 10};
    /* Connected ones are never forgotten, and do not take the place of the others. */
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "c%d", i);
        assert_non_null(connected[i] = visitors_enter(visitors, user(text), 1, 1, &is_over));
    }
    assert_true(visitors_fail(visitors, user("banned"), &one, 1));
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "s%d", i);
        assert_true(visitors_take(visitors, user(text), &rate, 1));
        assert_true(remembered(visitors) <= 300);
    }
    assert_true(remembered(visitors) >= 290);
    /* Bans last longest, so strangers without one do not push them out. */
    assert_true(visitors_is_banned(visitors, user("banned"), 1));
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "c%d", i);
        assert_int_equal(visitors_connections(visitors, user(text)), 1);
        visitors_leave(visitors, connected[i]);
    }
    assert_true(remembered(visitors) <= 100);
    /* Time alone empties it, a little with each newcomer. */
    for (int i = 0; i < 200; i++)
        assert_true(visitors_take(visitors, user("s"), &rate, 200 * HOUR_MS + (uint64_t)i * 20000));
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "t%d", i);
        assert_true(visitors_take(visitors, user(text), &rate, 300 * HOUR_MS + (uint64_t)i * 20000));
    }
    assert_true(remembered(visitors) <= 3);
    visitors_destroy(visitors);
    visitors_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_counted),
        cmocka_unit_test(names_are_told_apart),
        cmocka_unit_test(addresses_are_one_or_not),
        cmocka_unit_test(rates_are_kept),
        cmocka_unit_test(failures_ban),
        cmocka_unit_test(the_window_slides),
        cmocka_unit_test(rules_change),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests_name("policy/visitors", tests, NULL, NULL);
}
