#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/password.h"
#include "crypto/random.h"

#define SALT64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="

struct vector {
    const char *password, *hash;
};

static const struct vector vectors[] = {
    /* written by mosquitto_passwd 2.0.11 */
    {"secret", "$7$101$9GN3BtP7TGaiMYbp$"
               "+HiTN+wWXATGsIbJCnSrjsciwe4d4n2OMZ/cX5ACnngikMPfWcd8ZLzJS+aNljWp/zFoZQLqFNLfq0/m68EcQA=="},
    {"p\xc3\xa4ssw\xc3\xb6rd with spaces",
     "$7$101$8NchOa71jD9a64le$"
     "acm7Rh0Jfp68+P4Y4HKQgZDva3WY+7C4tSg/jGIsMHHHo5MzB0O7RtMsq2RmriVBCx8gz/QeLOj63+p1H6G0Sg=="},
    {"hunter2", "$6$cgYy3pGxswGDkwzH$"
                "xylvd2CG0ugp46gjmCceWHl3XTKD4zPzRbKgMVDVgDK8zaduSJKjmT5d22mnGWbJ4dq5Ox6tsXNCaQ0psifzKQ=="},
    /* computed with another implementation of PBKDF2 and SHA-512 */
    {"secret", "$7$1$" SALT64 "$"
               "ZQgkFOvj+smimcxOSYSZfb/uSkVUT1kMbJ9jQC3d0yO6ro8ySPrROaeNVM9nyTTt3WKlESp7uvHrUP0JYbNxUA=="},
    {"secret", "$7$1000$" SALT64 "$"
               "j5aX3DstWRgO5cjjfvKvsf7Z/KK812T4wGDMih+DCHQg8P7++fmj4sZcMp1smkEafZL0QZ29tE5ezahL/nyffw=="},
    {"secret", "$6$" SALT64 "$"
               "wEYf8F4/yHDmlCt3YmMXwFi//Ux0IOce8NucN+r/9QAuqoVaYz7SU9131YSsyqLHn9NUpM/F4yTaDANhOFpYTQ=="},
    {"", "$6$yMnKy8zNzs/Q0dLT$"
         "siM2EpznaGYRahtVpA/Zxx4YaOuTvewIgPcpJPcS0DpjP8Ju/1a8CqknlojV81VVsyae7ptCDZdrxjd9wMaSzg=="},
    {"", "$7$2$yMnKy8zNzs/Q0dLT$"
         "LWXEWNPDPGLJYWNL6zLtt1XJ+Lu2sR42qj5Ivq8WHMERjwARE88tUR81w9R81jyvYgGDtz6E+CwSjD11kmnChA=="},
};

static void test_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct account account = {0};
        struct span password = span_of_text(vectors[i].password);
        assert_true(account_read_hash(span_of_text(vectors[i].hash), &account));
        assert_true(password_is_right(&account, password));
        /* Any bit of the hash or the salt, any byte of the password makes it wrong. */
        for (unsigned bit = 0; bit < ACCOUNT_HASH_SIZE * 8; bit += 37) {
            struct account other = account;
            other.hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(password_is_right(&other, password));
        }
        struct account other = account;
        other.salt[account.salt_size - 1] ^= 1;
        assert_false(password_is_right(&other, password));
        if (account.kind == ACCOUNT_PBKDF2) {
            other = account;
            other.iterations++;
            assert_false(password_is_right(&other, password));
        }
        if (password.size != 0) {
            assert_false(password_is_right(&account, span_first(password, password.size - 1)));
            assert_false(password_is_right(&account, SPAN_NONE));
        }
        assert_false(password_is_right(&account, SPAN_LITERAL("Secret")));
    }
}

static void test_long_password(void **state) {
    (void)state;
    static const char hash[] =
        "$7$3$yMnKy8zNzs/Q0dLT$"
        "vNf9aJN7xGtuWLvujinIfIvOQZFkwCH3ri9eXIkzpZ+qa6o0EzSjDTj3I3QxFWdv+Nb27yFW5+ORPXa+SbSp0A==";
    uint8_t password[255 * 20]; /* 1..255, twenty times */
    for (size_t i = 0; i < sizeof password; i++)
        password[i] = (uint8_t)(i % 255 + 1);
    struct account account = {0};
    assert_true(account_read_hash(span_of_text(hash), &account));
    assert_true(password_is_right(&account, span_of(password, sizeof password)));
    password[sizeof password - 1] = 1;
    assert_false(password_is_right(&account, span_of(password, sizeof password)));
}

/* As in mosquitto a password ends at a NUL byte. */
static void test_nul_ends_it(void **state) {
    (void)state;
    struct account account = {0};
    assert_true(account_read_hash(span_of_text(vectors[0].hash), &account));
    assert_true(password_is_right(&account, span_of("secret\0more", 11)));
    assert_false(password_is_right(&account, span_of("secre\0t", 7)));
    assert_false(password_is_right(&account, span_of("\0secret", 7)));
}

static void test_round_trip(void **state) {
    (void)state;
    struct account account = {.iterations = 5, .line = 3}, again = {0}, other = {0};
    memset(account.salt, 0xff, sizeof account.salt);
    assert_true(password_hash(&account, SPAN_LITERAL("some password")));
    assert_int_equal(account.kind, ACCOUNT_PBKDF2);
    assert_int_equal(account.iterations, PASSWORD_ITERATIONS);
    assert_int_equal(account.salt_size, 12);
    assert_int_equal(account.line, 3);
    assert_true(password_is_right(&account, SPAN_LITERAL("some password")));
    assert_false(password_is_right(&account, SPAN_LITERAL("some passwort")));
    char text[300];
    account_write_hash(&account, text, sizeof text);
    assert_int_equal(strncmp(text, "$7$1000$", 8), 0);
    assert_true(account_read_hash(span_of_text(text), &again));
    assert_true(password_is_right(&again, SPAN_LITERAL("some password")));
    /* The salt is fresh each time. */
    assert_true(password_hash(&other, SPAN_LITERAL("some password")));
    assert_memory_not_equal(other.salt, account.salt, 12);
    assert_memory_not_equal(other.hash, account.hash, 64);
}

/* What cannot be computed is wrong, not right. */
static void test_never_open(void **state) {
    (void)state;
    struct account account = {.kind = ACCOUNT_PBKDF2, .salt_size = 12};
    assert_false(password_is_right(&account, SPAN_LITERAL("a")));
    account.iterations = UINT32_MAX;
    assert_false(password_is_right(&account, SPAN_LITERAL("a")));
    account = (struct account){.salt_size = 12};
    assert_false(password_is_right(&account, SPAN_LITERAL("a")));
}

static void test_random(void **state) {
    (void)state;
    uint8_t a[64] = {0}, b[64] = {0};
    assert_true(random_fill(a, sizeof a - 1));
    assert_true(random_fill(b, sizeof b - 1));
    assert_memory_not_equal(a, b, 32);
    assert_int_equal(a[63], 0);
    assert_true(random_fill(a, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_long_password),
        cmocka_unit_test(test_nul_ends_it), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_never_open),  cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("password", tests, NULL, NULL);
}
