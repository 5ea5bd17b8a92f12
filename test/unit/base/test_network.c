#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/network.h"

static void test_reading(void **state) {
    (void)state;
    static const struct {
        const char *text, *printed; /* NULL: refused */
        bool was_trimmed;
    } rows[] = {
        {"192.0.2.7", "192.0.2.7", false},
        {"192.0.2.7/32", "192.0.2.7", false},
        {"192.0.2.0/24", "192.0.2.0/24", false},
        {"192.0.2.7/24", "192.0.2.0/24", true},
        {"192.0.2.129/25", "192.0.2.128/25", true},
        {"0.0.0.0/0", "0.0.0.0/0", false},
        {"1.2.3.4/0", "0.0.0.0/0", true},
        {"2001:db8::/32", "2001:db8::/32", false},
        {"2001:DB8::1", "2001:db8::1", false},
        {"2001:db8::1/64", "2001:db8::/64", true},
        {"::/0", "::/0", false},
        {"::1/128", "::1", false},
        {"fe80::/10", "fe80::/10", false},
        {"::ffff:192.0.2.7", "192.0.2.7", false},
        {"::ffff:192.0.2.0/120", "192.0.2.0/24", false},
        {"::ffff:0.0.0.0/96", "0.0.0.0/0", false},
        {"::ffff:192.0.2.7/95", NULL, false},
        {"", NULL, false},
        {"/24", NULL, false},
        {"192.0.2.0/", NULL, false},
        {"192.0.2.0/33", NULL, false},
        {"192.0.2.0/-1", NULL, false},
        {"192.0.2.0/+1", NULL, false},
        {"192.0.2.0/0x8", NULL, false},
        {"192.0.2.0/24/24", NULL, false},
        {"192.0.2.0/255.255.255.0", NULL, false},
        {"192.0.2", NULL, false},
        {"192.0.2.256", NULL, false},
        {"010.0.0.1", NULL, false}, /* octal for some, decimal for others */
        {"2001:db8::/129", NULL, false},
        {"2001:db8::/1000", NULL, false},
        {"[2001:db8::1]", NULL, false},
        {"fe80::1%eth0", NULL, false},
        {"localhost", NULL, false},
        {" 192.0.2.7", NULL, false},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111:2222:3333", NULL, false},
    };
    char room[NETWORK_TEXT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network network;
        bool is_read = network_read(span_of_text(rows[i].text), &network);
        if (is_read != (rows[i].printed != NULL))
            fail_msg("'%s': %d", rows[i].text, is_read);
        if (is_read)
            assert_string_equal(network_print(&network, room), rows[i].printed);
        assert_true(!is_read || network.was_trimmed == rows[i].was_trimmed);
    }
    struct network network;
    assert_false(network_read(SPAN_NONE, &network));
    assert_false(network_read(SPAN_LITERAL("192.0.2.7\0"), &network));
    assert_true(network_read(span_of("10.0.0.0/80", 10), &network)); /* what stands behind is not read */
    assert_int_equal(network.prefix, 8);
}

static struct ip ip_of(const char *text) {
    struct network network;
    assert_true(network_read(span_of_text(text), &network));
    return network.ip;
}

static void test_holding(void **state) {
    (void)state;
    static const struct {
        const char *network, *ip;
        bool is_held;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.0", true},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/23", "192.0.3.255", true},
        {"192.0.2.8/29", "192.0.2.15", true},
        {"192.0.2.8/29", "192.0.2.16", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "10.0.0.1", false},
        {"::/0", "::ffff:10.0.0.1", false},
        {"10.0.0.0/8", "::ffff:10.0.0.1", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::2", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network network;
        assert_true(network_read(span_of_text(rows[i].network), &network));
        struct ip ip = ip_of(rows[i].ip);
        if (network_holds(&network, &ip) != rows[i].is_held)
            fail_msg("%s in %s", rows[i].ip, rows[i].network);
    }
    struct network all;
    struct ip none = {.family = IP_NONE};
    char room[NETWORK_TEXT_SIZE];
    assert_true(network_read(SPAN_LITERAL("0.0.0.0/0"), &all));
    assert_false(network_holds(&all, &none));
    assert_true(network_read(SPAN_LITERAL("::/0"), &all));
    assert_false(network_holds(&all, &none));
    assert_string_equal(ip_print(&none, room), "none");
}

static void test_one_machine(void **state) {
    (void)state;
    struct ip a = ip_as_one(ip_of("2001:db8:1:2:3:4:5:6")), b = ip_as_one(ip_of("2001:db8:1:2::7"));
    struct ip c = ip_as_one(ip_of("2001:db8:1:3::7"));
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&a, &c, sizeof a);
    struct ip d = ip_as_one(ip_of("192.0.2.7")), e = ip_as_one(ip_of("192.0.2.8"));
    assert_memory_not_equal(&d, &e, sizeof d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_holding),
        cmocka_unit_test(test_one_machine),
    };
    return cmocka_run_group_tests_name("base/network", tests, NULL, NULL);
}
