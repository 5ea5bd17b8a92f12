/* MQTT's strings, compared with a slow reader that works the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/utf8.h"
#include "unit/mqtt/guard.h"

/* Encodes a code point as Unicode says; surrogates and what lies above U+10FFFF have no form. */
static size_t encode(uint32_t code, uint8_t out[4]) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(code | (size == 2 ? 0xC0 : size == 3 ? 0xE0 : 0xF0));
    return size;
}

/* A character is good when taking its bits out and encoding them again gives the same bytes. */
static unsigned slow_flaws(struct span text) {
    unsigned flaws = 0;
    for (size_t i = 0; i < text.size;) {
        const uint8_t *at = text.at + i;
        size_t size = at[0] < 0x80   ? 1
                      : at[0] < 0xC0 ? 0
                      : at[0] < 0xE0 ? 2
                      : at[0] < 0xF0 ? 3
                      : at[0] < 0xF8 ? 4
                                     : 0;
        if (size == 0 || size > text.size - i)
            return flaws | MQTT_FLAW_UTF8;
        uint32_t code = size == 1 ? at[0] : at[0] & (0x7Fu >> size);
        for (size_t k = 1; k < size; k++)
            code = code << 6 | (at[k] & 0x3F);
        uint8_t again[4];
        if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) || encode(code, again) != size ||
            memcmp(again, at, size) != 0)
            return flaws | MQTT_FLAW_UTF8;
        flaws |= code == 0 ? MQTT_FLAW_NUL : code == '+' || code == '#' ? MQTT_FLAW_WILDCARD : 0;
        i += size;
    }
    return flaws;
}

static void check(const uint8_t *bytes, size_t size) {
    struct span text = guard_copy(span_of(bytes, size));
    unsigned fast = mqtt_utf8_flaws(text), slow = slow_flaws(text);
    if (fast != slow)
        fail_msg("size %zu, first bytes %02x %02x %02x %02x: %u instead of %u", size, bytes[0], bytes[1],
                 bytes[2], bytes[3], fast, slow);
    assert_int_equal(mqtt_utf8_is_valid(text), (slow & (MQTT_FLAW_UTF8 | MQTT_FLAW_NUL)) == 0);
}

static void all_of_one_to_three_bytes(void **state) {
    (void)state;
    uint8_t bytes[4] = {0};
    for (unsigned a = 0; a < 256; a++) {
        bytes[0] = (uint8_t)a;
        check(bytes, 1);
        for (unsigned b = 0; b < 256; b++) {
            bytes[1] = (uint8_t)b;
            check(bytes, 2);
            for (unsigned c = 0; c < 256; c += a < 0x80 ? 17 : 1) {
                bytes[2] = (uint8_t)c;
                check(bytes, 3);
            }
        }
    }
}

/* The third and fourth bytes only at the edges of their ranges. */
static void four_bytes(void **state) {
    (void)state;
    const uint8_t edges[] = {0x00, 0x2B, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (unsigned a = 0xC0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < sizeof edges; c++)
                for (size_t d = 0; d < sizeof edges; d++) {
                    const uint8_t bytes[4] = {(uint8_t)a, (uint8_t)b, edges[c], edges[d]};
                    check(bytes, 4);
                }
}

static void every_code_point(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x110010; code++) {
        uint8_t bytes[4];
        size_t size = encode(code, bytes);
        bool is_good = code != 0 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
        assert_int_equal(mqtt_utf8_is_valid(span_of(bytes, size)), is_good);
    }
}

/* Every byte and some characters in every place of texts of every size: the word-wise look misses nothing. */
static void every_place_of_a_text(void **state) {
    (void)state;
    uint8_t text[40];
    for (size_t size = 1; size <= 34; size++)
        for (size_t place = 0; place < size; place++) {
            memset(text, 'x', sizeof text);
            for (unsigned byte = 0; byte < 256; byte++) {
                text[place] = (uint8_t)byte;
                check(text, size);
            }
            const char *characters[] = {"é",  "€",  "\xF0\x90\x8D\x88", "\xED\xA0\x80", "\xC0\x80",
                                        "+#", "#\0"};
            for (size_t k = 0; k < sizeof characters / sizeof characters[0]; k++) {
                memset(text, 0x7F, sizeof text);
                for (size_t i = 0; i < 4 && place + i < size && characters[k][i] != 0; i++)
                    text[place + i] = (uint8_t)characters[k][i];
                check(text, size);
            }
        }
}

static void what_the_judge_says(void **state) {
    (void)state;
    assert_int_equal(mqtt_utf8_judge(SPAN_NONE), VIOLATION_NONE);
    assert_int_equal(mqtt_utf8_judge(SPAN_LITERAL("a+b#\xEF\xBB\xBF\x01\x7F")), VIOLATION_NONE);
    assert_int_equal(mqtt_utf8_judge(SPAN_LITERAL("a\0b")), VIOLATION_STRING_NUL);
    assert_int_equal(mqtt_utf8_judge(SPAN_LITERAL("a\0\xFF")), VIOLATION_STRING_UTF8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_one_to_three_bytes), cmocka_unit_test(four_bytes),
        cmocka_unit_test(every_code_point),          cmocka_unit_test(every_place_of_a_text),
        cmocka_unit_test(what_the_judge_says),
    };
    return cmocka_run_group_tests_name("mqtt/utf8", tests, NULL, NULL);
}
