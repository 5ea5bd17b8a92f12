/* expiry: when the days of a certificate are worth a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/expiry.h"

#define DAY INT64_C(86400)

/* Looked at daily, `left` seconds before the end, after a look a day earlier. */
static void expect(int64_t left_s, const char *piece) {
    const struct conf_listener listener = {.port = 8883, .host = "a.test"};
    const struct expiry expiry = {&listener, "/x.crt", 1000 * DAY};
    char room[1000];
    const char *words =
        expiry_words(&expiry, 1000 * DAY - left_s - DAY, 1000 * DAY - left_s, room, sizeof room);
    if (piece == NULL ? words[0] != '\0' : strstr(words, piece) == NULL)
        fail_msg("said '%s' with %lld s left", words, (long long)left_s);
    if (piece != NULL)
        assert_non_null(strstr(words, "/x.crt of listener 8883 host a.test "));
}

static void steps_are_told_once(void **state) {
    (void)state;
    expect(90 * DAY, NULL);
    expect(30 * DAY, NULL);
    expect(30 * DAY - 1, "expires in 29 days");
    expect(29 * DAY + 1, "expires in 29 days");
    expect(29 * DAY - 1, NULL);
    expect(7 * DAY, NULL);
    expect(7 * DAY - 1, "expires in 6 days");
    expect(6 * DAY - 1, NULL);
    expect(DAY, NULL);
}

static void the_last_day_is_told_always(void **state) {
    (void)state;
    expect(DAY - 1, "expires in 23 hours");
    expect(0, "expires in 0 hours");
    expect(-1, "has expired");
    expect(-5 * DAY, "has expired");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_told_once),
        cmocka_unit_test(the_last_day_is_told_always),
    };
    return cmocka_run_group_tests_name("control/expiry", tests, NULL, NULL);
}
