/* What was published comes back once, and is known then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/hash.h"
#include "bridge/echo.h"

#define TOPIC   SPAN_LITERAL("a/b")
#define PAYLOAD SPAN_LITERAL("21")

static void an_echo_is_taken_once(void **state) {
    struct echo *echo = echo_create();
    (void)state;
    assert_non_null(echo);
    assert_false(echo_take(echo, TOPIC, PAYLOAD, 1000));
    echo_note(echo, TOPIC, PAYLOAD, 1000);
    assert_true(echo_take(echo, TOPIC, PAYLOAD, 1001));
    assert_false(echo_take(echo, TOPIC, PAYLOAD, 1002));
    echo_note(echo, TOPIC, PAYLOAD, 1000);
    echo_note(echo, TOPIC, PAYLOAD, 1000);
    assert_true(echo_take(echo, TOPIC, PAYLOAD, 1001));
    assert_true(echo_take(echo, TOPIC, PAYLOAD, 1001));
    assert_false(echo_take(echo, TOPIC, PAYLOAD, 1001));
    echo_destroy(echo);
}

static void others_are_no_echoes(void **state) {
    struct echo *echo = echo_create();
    (void)state;
    echo_note(echo, TOPIC, PAYLOAD, 1000);
    assert_false(echo_take(echo, TOPIC, SPAN_LITERAL("22"), 1000));
    assert_false(echo_take(echo, SPAN_LITERAL("a/c"), PAYLOAD, 1000));
    assert_false(echo_take(echo, SPAN_LITERAL("a/b2"), SPAN_LITERAL("1"), 1000));
    assert_false(echo_take(echo, PAYLOAD, TOPIC, 1000));
    assert_false(echo_take(echo, SPAN_NONE, SPAN_NONE, 1000));
    assert_true(echo_take(echo, TOPIC, PAYLOAD, 1000));
    echo_destroy(echo);
}

static void it_is_forgotten_after_a_while(void **state) {
    struct echo *echo = echo_create();
    (void)state;
    echo_note(echo, TOPIC, PAYLOAD, 1000);
    assert_false(echo_take(echo, TOPIC, PAYLOAD, 1000 + ECHO_MS));
    echo_note(echo, TOPIC, PAYLOAD, 1000);
    assert_true(echo_take(echo, TOPIC, PAYLOAD, 1000 + ECHO_MS - 1));
    echo_destroy(echo);
}

/* Of many, the last ones are known. */
static void the_oldest_give_way(void **state) {
    struct echo *echo = echo_create();
    char text[16];
    unsigned known = 0, last = 0;
    (void)state;
    for (unsigned i = 0; i < 4 * ECHO_COUNT; i++) {
        snprintf(text, sizeof text, "%u", i);
        echo_note(echo, TOPIC, span_of_text(text), 1000 + i / 10);
    }
    for (unsigned i = 0; i < 4 * ECHO_COUNT; i++) {
        snprintf(text, sizeof text, "%u", i);
        bool is_known = echo_take(echo, TOPIC, span_of_text(text), 2000);
        known += is_known;
        last += is_known && i >= 4 * ECHO_COUNT - 256;
    }
    assert_true(known <= ECHO_COUNT && known > ECHO_COUNT / 2);
    assert_true(last > 240);
    echo_destroy(echo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_is_taken_once),
        cmocka_unit_test(others_are_no_echoes),
        cmocka_unit_test(it_is_forgotten_after_a_while),
        cmocka_unit_test(the_oldest_give_way),
    };
    return cmocka_run_group_tests_name("bridge/echo", tests, NULL, NULL);
}
