/* token: which passwords tell when they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/password.h"
#include "bridge/token.h"

/* base64url without padding. */
static void encode(const char *text, char *room) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < size ? (unsigned char)text[i + j] : 0u);
        for (size_t j = 0; j < 4 && j <= size - i; j++)
            *room++ = digits[bits >> (18 - 6 * j) & 63];
    }
    *room = '\0';
}

static int64_t expiry_of(const char *payload) {
    char room[4096] = "eyJhbGciOiJub25lIn0.";
    encode(payload, room + strlen(room));
    strcat(room, ".c2ln");
    return token_expiry_s(span_of_text(room));
}

static void test_json_web_tokens(void **state) {
    (void)state;
    assert_int_equal(expiry_of("{\"exp\":1700000000}"), 1700000000);
    assert_int_equal(expiry_of("{\"exp\":1700000000.75}"), 1700000000);
    assert_int_equal(
        expiry_of(" { \"iss\" : \"a\\\"}b\" ,\n\"exp\" : 1700000000 , \"x\":[1,{\"exp\":5},[]],\"y\":{}} "),
        1700000000);
    assert_int_equal(expiry_of("{\"a\":null,\"b\":true,\"c\":-1.5e3,\"exp\":12}"), 12);
}

static void test_an_exp_of_something_else(void **state) {
    (void)state;
    assert_int_equal(expiry_of("{\"sub\":{\"exp\":1700000000}}"), 0);
    assert_int_equal(expiry_of("[{\"exp\":1700000000}]"), 0);
    assert_int_equal(expiry_of("{\"note\":\"\\\"exp\\\":1700000000\"}"), 0);
    assert_int_equal(expiry_of("{\"nexp\":1700000000}"), 0);
}

static void test_what_is_no_time(void **state) {
    (void)state;
    assert_int_equal(expiry_of("{\"exp\":\"1700000000\"}"), 0);
    assert_int_equal(expiry_of("{\"exp\":-5}"), 0);
    assert_int_equal(expiry_of("{\"exp\":1e9}"), 0);
    assert_int_equal(expiry_of("{\"exp\":99999999999999999999}"), 0);
    assert_int_equal(expiry_of("{\"exp\":true}"), 0);
    assert_int_equal(expiry_of("{\"exp\":}"), 0);
}

static void test_broken_json(void **state) {
    (void)state;
    assert_int_equal(expiry_of("{\"exp\":1700000000"), 0);
    assert_int_equal(expiry_of("{\"exp\":1700000000} x"), 0);
    assert_int_equal(expiry_of("{\"exp\" 1700000000}"), 0);
    assert_int_equal(expiry_of("{\"exp\":1700000000,}"), 0);
    assert_int_equal(expiry_of("{\"a\":\"\\"), 0);
    assert_int_equal(expiry_of("{\"a\":\"\n\",\"exp\":1}"), 0);
    assert_int_equal(expiry_of(""), 0);
    char deep[300] = "{\"a\":";
    memset(deep + 5, '[', 200);
    assert_int_equal(expiry_of(deep), 0);
}

static void test_what_is_no_token(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",         "secret", "a.b", "a.b.c", "..", "eyJleHAiOjEyfQ", ".eyJleHAiOjEyfQ", "a.e*JleHAiOjEyfQ.c",
        "a.eyJle.c"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(token_expiry_s(span_of_text(texts[i])), 0);
    assert_int_equal(token_expiry_s(SPAN_NONE), 0);
    assert_int_equal(token_expiry_s(SPAN_LITERAL("a.eyJleHAiOjEyfQ.c")), 12);
}

static void test_shared_access_signatures(void **state) {
    (void)state;
    assert_int_equal(token_expiry_s(SPAN_LITERAL(
                         "SharedAccessSignature sr=hub%2Fdevices&sig=x%3D&se=1700000001&skn=device")),
                     1700000001);
    assert_int_equal(token_expiry_s(SPAN_LITERAL("SharedAccessSignature se=1700000001")), 1700000001);
    assert_int_equal(token_expiry_s(SPAN_LITERAL("SharedAccessSignature sr=a&nse=1700000001")), 0);
    assert_int_equal(token_expiry_s(SPAN_LITERAL("SharedAccessSignature sr=a&se=soon")), 0);
    assert_int_equal(token_expiry_s(SPAN_LITERAL("SharedAccessSignature ")), 0);
    assert_int_equal(token_expiry_s(SPAN_LITERAL("SharedAccessSignature&se=1700000001")), 0);
}

static void check_line(const char *source, const char *line) {
    struct password password = {NULL};
    char words[128] = "";
    bool is_good = password_take(&password, span_of_text(source), words, sizeof words);
    assert_int_equal(is_good, line != NULL);
    if (line != NULL)
        assert_true(span_is_text(password_span(&password), line));
    else
        assert_string_not_equal(words, "");
    password_forget(&password);
    password_forget(&password);
    assert_null(password.bytes);
}

static void test_the_first_line_is_the_password(void **state) {
    (void)state;
    check_line("one", "one");
    check_line("one\n", "one");
    check_line("one\r\ntwo\n", "one");
    check_line(" one \n", " one ");
    check_line("\none", NULL);
    check_line("\r\n", NULL);
    check_line("", NULL);
}

static void test_how_long_it_may_be(void **state) {
    (void)state;
    static uint8_t room[PASSWORD_SIZE_MAX + 2];
    struct password password = {NULL};
    char words[128];
    memset(room, 'x', sizeof room);
    assert_false(password_take(&password, span_of(room, PASSWORD_SIZE_MAX + 1), words, sizeof words));
    assert_true(password_take(&password, span_of(room, PASSWORD_SIZE_MAX), words, sizeof words));
    assert_int_equal(password.size, PASSWORD_SIZE_MAX);
    password_forget(&password);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_web_tokens),
        cmocka_unit_test(test_an_exp_of_something_else),
        cmocka_unit_test(test_what_is_no_time),
        cmocka_unit_test(test_broken_json),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_shared_access_signatures),
        cmocka_unit_test(test_the_first_line_is_the_password),
        cmocka_unit_test(test_how_long_it_may_be),
    };
    return cmocka_run_group_tests_name("bridge/token", tests, NULL, NULL);
}
