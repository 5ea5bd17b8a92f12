#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/clientid.h"

static void test_prefix(void **state) {
    (void)state;
    assert_true(clientid_has_prefix(NULL, SPAN_LITERAL("any")));
    assert_true(clientid_has_prefix(NULL, SPAN_NONE));
    assert_true(clientid_has_prefix("", SPAN_NONE));
    assert_true(clientid_has_prefix("secure-", SPAN_LITERAL("secure-client")));
    assert_true(clientid_has_prefix("secure-", SPAN_LITERAL("secure-")));
    assert_false(clientid_has_prefix("secure-", SPAN_LITERAL("secure")));
    assert_false(clientid_has_prefix("secure-", SPAN_LITERAL("Secure-client")));
    assert_false(clientid_has_prefix("secure-", SPAN_LITERAL("a-secure-client")));
    assert_false(clientid_has_prefix("secure-", SPAN_NONE));
    assert_false(clientid_has_prefix("a b", SPAN_LITERAL("a"))); /* one prefix, whatever it holds */
}

static void test_generate(void **state) {
    (void)state;
    uint8_t random[16];
    char room[64];
    for (unsigned i = 0; i < 16; i++)
        random[i] = (uint8_t)(0x11 * i);
    assert_int_equal(clientid_generate(room, sizeof room, "auto-", random), 41);
    assert_string_equal(room, "auto-00112233-4455-4677-8899-AABBCCDDEEFF");
    memset(random, 0xff, sizeof random);
    assert_int_equal(clientid_generate(room, sizeof room, NULL, random), 36);
    assert_string_equal(room, "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF");
    memset(random, 0, sizeof random);
    assert_int_equal(clientid_generate(room, sizeof room, "", random), 36);
    assert_string_equal(room, "00000000-0000-4000-8000-000000000000");
}

static void test_room(void **state) {
    (void)state;
    const uint8_t random[16] = {0};
    char room[42];
    for (size_t size = 0; size < sizeof room; size++) {
        memset(room, 'x', sizeof room);
        assert_int_equal(clientid_generate(room, size, "auto-", random), 0);
        for (size_t i = size == 0 ? 0 : 1; i < sizeof room; i++)
            assert_int_equal(room[i], 'x');
        if (size != 0)
            assert_int_equal(room[0], '\0');
    }
    assert_int_equal(clientid_generate(room, sizeof room, "auto-", random), 41);
    assert_int_equal(room[41], '\0');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests_name("clientid", tests, NULL, NULL);
}
