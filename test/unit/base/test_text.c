#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/text.h"

static void check_quote(struct span bytes, const char *wanted) {
    char room[TEXT_QUOTED_SIZE];
    assert_ptr_equal(text_quote(room, sizeof room, bytes), room);
    assert_string_equal(room, wanted);
}

static void test_quote(void **state) {
    (void)state;
    check_quote(SPAN_NONE, "");
    check_quote(SPAN_LITERAL("sensors/hall 1/~'\""), "sensors/hall 1/~'\"");
    check_quote(SPAN_LITERAL("a\\b"), "a\\\\b");
    check_quote(SPAN_LITERAL("a\nb\r\t\x1b[31m\x7f"), "a\\x0Ab\\x0D\\x09\\x1B[31m\\x7F");
    check_quote(SPAN_LITERAL("nul\0behind"), "nul\\x00behind");
    check_quote(SPAN_LITERAL("K\xc3\xbc"
                             "che \xe2\x82\xac \xf0\x9f\x98\x80"),
                "K\xc3\xbc"
                "che \xe2\x82\xac \xf0\x9f\x98\x80");
    /* no UTF-8: alone, cut off, over-long, a surrogate, above the last */
    check_quote(SPAN_LITERAL("\xff\xfe\x80"), "\\xFF\\xFE\\x80");
    check_quote(SPAN_LITERAL("\xe2\x82"), "\\xE2\\x82");
    check_quote(SPAN_LITERAL("\xc0\xaf"), "\\xC0\\xAF");
    check_quote(SPAN_LITERAL("\xed\xa0\x80"), "\\xED\\xA0\\x80");
    check_quote(SPAN_LITERAL("\xf4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");
    /* well-formed, but it steers terminals, ends lines or turns the writing direction */
    check_quote(SPAN_LITERAL("\xc2\x9b"
                             "31m"),
                "\\xC2\\x9B31m");
    check_quote(SPAN_LITERAL("\xe2\x80\xa8\xe2\x80\xae\xe2\x80\x8f\xe2\x81\xa6"),
                "\\xE2\\x80\\xA8\\xE2\\x80\\xAE\\xE2\\x80\\x8F\\xE2\\x81\\xA6");
    check_quote(SPAN_LITERAL("\xc2\xa0\xe2\x80\x90\xe2\x80\xaf\xe2\x81\x9f"),
                "\xc2\xa0\xe2\x80\x90\xe2\x80\xaf\xe2\x81\x9f");
}

/* Whatever comes and however small the room: nothing outside it is written, the text ends, and it holds
 * nothing but harmless characters. */
static void test_quote_in_small_rooms(void **state) {
    (void)state;
    uint32_t chance = 1;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[24];
        size_t size = round % sizeof bytes;
        for (size_t i = 0; i < size; i++) {
            chance = chance * 1664525u + 1013904223u;
            static const uint8_t some[] = {'a',  '\\', '\n', 0xC3, 0xBC, 0xE2,
                                           0x82, 0xAC, 0xF0, 0x9F, 0x80, 0};
            bytes[i] = chance >> 31 ? some[(chance >> 8) % sizeof some] : (uint8_t)(chance >> 16);
        }
        size_t room_size = 8 + round % 40;
        char *room = malloc(room_size); /* of its exact size */
        text_quote(room, room_size, span_of(bytes, size));
        size_t used = strnlen(room, room_size);
        assert_true(used < room_size);
        assert_true(text_is_utf8(span_of(room, used)));
        for (size_t i = 0; i < used; i++)
            assert_true((uint8_t)room[i] >= 0x20 && room[i] != 0x7F);
        /* Cut only when it must be: what would fit in four more bytes is never cut. */
        char whole[256];
        text_quote(whole, sizeof whole, span_of(bytes, size));
        if (strlen(whole) + 4 < room_size)
            assert_string_equal(room, whole);
        else if (strcmp(room, whole) != 0) {
            assert_memory_equal(room + used - 3, "...", 3);
            assert_memory_equal(room, whole, used - 3);
        }
        free(room);
    }
}

static void test_long_quote(void **state) {
    (void)state;
    static uint8_t topic[65535];
    memset(topic, 'x', sizeof topic);
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, span_of(topic, sizeof topic));
    assert_int_equal(strlen(room), sizeof room - 1);
    assert_string_equal(room + sizeof room - 5, "x...");
    memset(topic, 1, sizeof topic);
    text_quote(room, sizeof room, span_of(topic, sizeof topic));
    assert_true(strlen(room) >= sizeof room - 5);
}

/* Every code point there is, written well, is well-formed, and none of the wrong forms is. */
static void test_utf8(void **state) {
    (void)state;
    for (uint32_t point = 0; point < 0x110000 + 0x800; point++) {
        uint8_t bytes[4];
        size_t size;
        if (point < 0x80) {
            bytes[0] = (uint8_t)point;
            size = 1;
        } else if (point < 0x800) {
            bytes[0] = (uint8_t)(0xC0 | point >> 6);
            bytes[1] = (uint8_t)(0x80 | (point & 63));
            size = 2;
        } else if (point < 0x10000) {
            bytes[0] = (uint8_t)(0xE0 | point >> 12);
            bytes[1] = (uint8_t)(0x80 | (point >> 6 & 63));
            bytes[2] = (uint8_t)(0x80 | (point & 63));
            size = 3;
        } else {
            bytes[0] = (uint8_t)(0xF0 | point >> 18);
            bytes[1] = (uint8_t)(0x80 | (point >> 12 & 63));
            bytes[2] = (uint8_t)(0x80 | (point >> 6 & 63));
            bytes[3] = (uint8_t)(0x80 | (point & 63));
            size = 4;
        }
        bool is_good = (point < 0xD800 || point > 0xDFFF) && point <= 0x10FFFF;
        if (text_is_utf8(span_of(bytes, size)) != is_good)
            fail_msg("U+%04X", point);
        for (size_t cut = 1; cut < size; cut++)
            assert_false(text_is_utf8(span_of(bytes, cut)));
    }
    assert_true(text_is_utf8(SPAN_NONE));
    static const char *const wrong[] = {"\x80",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xe0\x80\x80",
                                        "\xe0\x9f\xbf",
                                        "\xf0\x80\x80\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf5\x80\x80\x80",
                                        "\xfe",
                                        "\xff",
                                        "\xc3(",
                                        "\xe2\x82("};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(text_is_utf8(span_of_text(wrong[i])));
}

static void test_distance(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"certfile", "certfile", 0},
        {"certfile", "certfiel", 1}, /* neighbours swapped */
        {"certfile", "cetrfile", 1},
        {"certfile", "certfil", 1},
        {"certfile", "certfilee", 1},
        {"certfile", "cartfile", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"ca", "abc", 3}, /* each letter is edited once */
        {"abcd", "badc", 2},
        {"a", "b", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (text_distance(rows[i].a, rows[i].b) != rows[i].distance ||
            text_distance(rows[i].b, rows[i].a) != rows[i].distance)
            fail_msg("%s, %s: %u", rows[i].a, rows[i].b, text_distance(rows[i].a, rows[i].b));
    }
    char longest[66];
    memset(longest, 'a', sizeof longest);
    longest[64] = 0;
    assert_int_equal(text_distance(longest, longest), 0);
    assert_int_equal(text_distance(longest, ""), 64);
    longest[64] = 'a';
    longest[65] = 0;
    assert_true(text_distance(longest, longest) >= 64); /* too long to be looked at: far away */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),      cmocka_unit_test(test_quote_in_small_rooms),
        cmocka_unit_test(test_long_quote), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests_name("base/text", tests, NULL, NULL);
}
