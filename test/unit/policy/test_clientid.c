#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

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

static void test_patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *client_id;
        bool matches;
    } rows[] = {
        {"dev", "dev", true},
        {"dev", "Dev", false},
        {"dev", "de", false},
        {"dev", "devi", false},
        {"", "", true},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "anything", true},
        {"?", "", false},
        {"?", "x", true},
        {"?", "xy", false},
        {"?", "\xC3\xA4", true}, /* one character of two bytes */
        {"?", "\xF0\x9F\x9A\xAA", true},
        {"??", "\xC3\xA4", false},
        {"dev-*", "dev-", true},
        {"dev-*", "dev-1/2", true},
        {"dev-*", "dev", false},
        {"*-1", "dev-1-1", true},
        {"*-1", "dev-1-2", false},
        {"a*b*c", "aXXbYYc", true},
        {"a*b*c", "aXXcYYb", false},
        {"a*b?c", "abbbc", true},
        {"a*b?c", "abc", false},
        {"*a?", "aaaa", true},
        {"*\xC3\xA4*", "x\xC3\xA4y", true},
        {"[a]", "a", false}, /* nothing else has a meaning */
        {"[a]", "[a]", true},
        {"\\*", "\\x", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (clientid_matches(rows[i].pattern, span_of_text(rows[i].client_id)) != rows[i].matches)
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].client_id);
}

/* The worst pattern against the longest client id. */
static void test_pattern_cost(void **state) {
    (void)state;
    static uint8_t client_id[65535];
    memset(client_id, 'a', sizeof client_id);
    assert_false(clientid_matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", span_of(client_id, sizeof client_id)));
    assert_true(clientid_matches("*a*a*a*a*a*a*a*a*a*a*a*a*", span_of(client_id, sizeof client_id)));
}

static void test_unsafe_chars(void **state) {
    (void)state;
    static const char *const unsafe[] = {"+",    "#",     "/",    "a/b",      "/a",        "a+",
                                         "\x01", "a\x1F", "\x7F", "\xC2\x80", "a\xC2\x9F", "\n"};
    static const char *const safe[] = {"",         "dev",      " ~",          "$SYS", "a.b:c@d-e_f*?",
                                       "\xC2\xA0", "\xC3\x84", "\xE2\x82\xAC"};
    for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++)
        assert_true(clientid_has_unsafe_chars(span_of_text(unsafe[i])));
    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        assert_false(clientid_has_unsafe_chars(span_of_text(safe[i])));
}

/* The lines, the client id, what is said, and by which line. */
static void test_judge(void **state) {
    (void)state;
    static const struct {
        const char *lines, *client_id;
        bool is_made;
        enum clientid_fault fault;
        unsigned line; /* behind the two in front of `lines`; 0: none */
    } rows[] = {
        {"", "dev", false, CLIENTID_GOOD, 0},
        {"", "a/b", false, CLIENTID_CHARS, 0},
        {"allow_unsafe_clientid_chars false\n", "a/b", false, CLIENTID_CHARS, 3},
        {"allow_unsafe_clientid_chars true\n", "a/b", false, CLIENTID_GOOD, 0},
        {"", "a/b", true, CLIENTID_GOOD, 0},
        {"max_clientid_length 3\n", "dev", false, CLIENTID_GOOD, 0},
        {"max_clientid_length 3\n", "devi", false, CLIENTID_LENGTH, 3},
        {"max_clientid_length 3\n", "devi", true, CLIENTID_GOOD, 0},
        {"max_clientid_length 3\n", "\xC3\xA4\xC3\xA4", false, CLIENTID_LENGTH, 3}, /* bytes */
        {"clientid_prefixes x\n", "dev", false, CLIENTID_PREFIX, 3},
        {"clientid_deny x*\n", "dev", false, CLIENTID_GOOD, 0},
        {"clientid_deny d*\n", "dev", false, CLIENTID_DENIED, 3},
        {"clientid_allow x*\nclientid_allow y*\n", "dev", false, CLIENTID_NOT_ALLOWED, 4},
        {"clientid_allow x*\nclientid_allow d*\n", "dev", false, CLIENTID_GOOD, 4},
        {"clientid_deny dev\nclientid_allow d*\n", "dev", false, CLIENTID_DENIED, 3},
        {"clientid_deny dev\nclientid_allow d*\n", "dew", false, CLIENTID_GOOD, 4},
        {"clientid_allow d*\nclientid_deny dev\n", "dev", false, CLIENTID_GOOD, 3},
        {"clientid_allow d*\nclientid_deny x\n", "y", false, CLIENTID_NOT_ALLOWED, 3},
        {"clientid_allow d*\n", "auto-1", true, CLIENTID_NOT_ALLOWED, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "backend h\nlistener 1883\n%s", rows[i].lines);
        struct findings findings;
        findings_init(&findings);
        struct conf *conf = conf_read_text("test.conf", span_of_text(lines), &findings);
        assert_non_null(conf);
        struct clientid_verdict verdict =
            clientid_judge(&conf->listeners[0], span_of_text(rows[i].client_id), rows[i].is_made);
        if (verdict.fault != rows[i].fault || verdict.origin.line != rows[i].line)
            fail_msg("'%s' under '%s': %d by line %u", rows[i].client_id, rows[i].lines, verdict.fault,
                     verdict.origin.line);
        assert_int_equal(verdict.words != NULL, verdict.fault != CLIENTID_GOOD);
        conf_destroy(conf);
        findings_clear(&findings);
    }
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
        cmocka_unit_test(test_prefix),       cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_pattern_cost), cmocka_unit_test(test_unsafe_chars),
        cmocka_unit_test(test_judge),        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests_name("clientid", tests, NULL, NULL);
}
