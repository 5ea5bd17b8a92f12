#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/units.h"

#define NONE UINT64_MAX

static void test_durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value; /* NONE: refused */
    } rows[] = {
        {"0", 0},
        {"10", 10000},
        {"10s", 10000},
        {"500ms", 500},
        {"5m", 300000},
        {"8h", 28800000},
        {"7d", 604800000},
        {"007s", 7000},
        {"18446744073709551614ms", UINT64_MAX - 1},
        {"18446744073709551616ms", NONE},
        {"18446744073709551615s", NONE},
        {"18446744073709551", 18446744073709551000u},
        {"18446744073709552", NONE},
        {"213503982334d", 18446744073657600000u},
        {"213503982335d", NONE},
        {"99999999999999999999999999999", NONE},
        {"", NONE},
        {"s", NONE},
        {"-1s", NONE},
        {"+1s", NONE},
        {" 1s", NONE},
        {"1 s", NONE},
        {"1s ", NONE},
        {"1S", NONE},
        {"1.5s", NONE},
        {"1sec", NONE},
        {"1ss", NONE},
        {"1w", NONE},
        {"0x10", NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 12345;
        bool is_read = units_read_duration_ms(span_of_text(rows[i].text), &value);
        if (is_read != (rows[i].value != NONE) || (is_read && value != rows[i].value))
            fail_msg("'%s': %d, %llu", rows[i].text, is_read, (unsigned long long)value);
    }
    uint64_t value;
    assert_false(units_read_duration_ms(SPAN_NONE, &value));
    assert_false(units_read_duration_ms(SPAN_LITERAL("1\0s"), &value));
    assert_false(units_read_duration_ms(SPAN_LITERAL("1s\0"), &value));
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } rows[] = {
        {"0", 0},
        {"100", 100},
        {"64k", 65536},
        {"64K", 65536},
        {"1m", 1048576},
        {"2G", 2147483648u},
        {"18446744073709551614", UINT64_MAX - 1},
        {"18446744073709551616", NONE},
        {"18014398509481983k", 18446744073709550592u},
        {"18014398509481984k", NONE},
        {"17179869184g", NONE},
        {"17179869183g", 18446744072635809792u},
        {"", NONE},
        {"k", NONE},
        {"1kb", NONE},
        {"1t", NONE},
        {"1 k", NONE},
        {"-1", NONE},
        {"1\v", NONE},
        {"1+", NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 12345;
        bool is_read = units_read_size_bytes(span_of_text(rows[i].text), &value);
        if (is_read != (rows[i].value != NONE) || (is_read && value != rows[i].value))
            fail_msg("'%s': %d, %llu", rows[i].text, is_read, (unsigned long long)value);
    }
    /* 0x20 is or'ed to tell small letters from large: what only becomes a letter by that is none. */
    for (unsigned byte = 1; byte < 256; byte++) {
        uint8_t text[2] = {'1', (uint8_t)byte};
        uint64_t value;
        bool is_unit = strchr("kKmMgG0123456789", (int)byte) != NULL;
        assert_int_equal(units_read_size_bytes(span_of(text, 2), &value), is_unit);
    }
}

static void test_integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        int32_t value;
    } rows[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"+5", true, 5},
        {"010", true, 8},
        {"0x10", true, 16},
        {"0XfF", true, 255},
        {"2147483647", true, INT32_MAX},
        {"-2147483648", true, INT32_MIN},
        {"2147483648", false, 0},
        {"-2147483649", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"08", false, 0},
        {"0x", false, 0},
        {"1 ", false, 0},
        {" 1", false, 0},
        {"\t1", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"--1", false, 0},
        {"10s", false, 0},
        {"ten", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int32_t value = 777;
        bool is_read = units_read_int(span_of_text(rows[i].text), &value);
        if (is_read != rows[i].is_good || value != (is_read ? rows[i].value : 777))
            fail_msg("'%s': %d, %d", rows[i].text, is_read, value);
    }
    int32_t value;
    assert_false(units_read_int(SPAN_LITERAL("1\0"), &value));
    assert_false(units_read_int(SPAN_NONE, &value));
    /* Not ended by a NUL: what stands behind is not read. */
    assert_true(units_read_int(span_of("12345", 2), &value));
    assert_int_equal(value, 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests_name("base/units", tests, NULL, NULL);
}
