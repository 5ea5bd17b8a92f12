#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/base64.h"

/* RFC 4648 section 10. */
static const char *const vectors[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"},
                                         {"\xfb\xff\xbe", "+/++"}};

static void test_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct span bytes = span_of_text(vectors[i][0]), encoded = span_of_text(vectors[i][1]);
        char text[16];
        uint8_t back[16];
        size_t size;
        assert_int_equal(BASE64_SIZE(bytes.size), encoded.size);
        assert_int_equal(base64_write(text, bytes), encoded.size);
        assert_memory_equal(text, encoded.at, encoded.size);
        assert_true(base64_read(encoded, back, bytes.size, &size));
        assert_true(span_is_equal(span_of(back, size), bytes));
        if (bytes.size != 0) /* a byte too little room */
            assert_false(base64_read(encoded, back, bytes.size - 1, &size));
    }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "Z",    "Zg",   "Zg=",   "Zg==Zg==", "=",    "====",   "Z===", "Zh==",
        "Zm9=", "Zm 8", "Zm8\n", "Zg=A",     "Zg-_", "Zm9v\n", "Z=g=", "\xff\xff\xff\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t room[16];
        size_t size;
        size_t bad_size = strlen(bad[i]);
        uint8_t *exact = malloc(bad_size); /* so that the sanitizer sees every byte read too far */
        memcpy(exact, bad[i], bad_size);
        assert_false(base64_read(span_of(exact, bad_size), room, sizeof room, &size));
        free(exact);
    }
    uint8_t room[16];
    size_t size;
    assert_false(base64_read(span_of("Zm\0v", 4), room, sizeof room, &size));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
