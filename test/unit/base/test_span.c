/* span, reader and writer: borrowed bytes and the two cursors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/reader.h"
#include "base/span.h"
#include "base/writer.h"

static void test_span(void **state) {
    (void)state;
    struct span abc = SPAN_LITERAL("abc");
    assert_int_equal(abc.size, 3);
    assert_true(span_is_equal(abc, span_of("abcd", 3)));
    assert_false(span_is_equal(abc, span_of("abcd", 4)));
    assert_false(span_is_equal(abc, SPAN_LITERAL("abd")));
    assert_true(span_is_equal(SPAN_NONE, SPAN_LITERAL("")));
    assert_true(span_is_equal(SPAN_NONE, SPAN_NONE));
    assert_int_equal(span_of_text(NULL).size, 0);
    assert_true(span_is_text(SPAN_NONE, NULL));
    assert_true(span_is_text(abc, "abc"));
    assert_false(span_is_text(abc, "ab"));
    assert_false(span_is_text(SPAN_LITERAL("a\0b"), "a"));
    assert_true(span_begins_with(abc, SPAN_NONE));
    assert_true(span_begins_with(abc, abc));
    assert_true(span_begins_with(abc, SPAN_LITERAL("ab")));
    assert_false(span_begins_with(abc, SPAN_LITERAL("b")));
    assert_false(span_begins_with(SPAN_LITERAL("ab"), abc));
    assert_true(span_begins_with(SPAN_NONE, SPAN_NONE));
    assert_true(span_has_byte(SPAN_LITERAL("a\0b"), 0));
    assert_true(span_has_byte(abc, 'c'));
    assert_false(span_has_byte(span_first(abc, 2), 'c'));
    assert_false(span_has_byte(SPAN_NONE, 0));
    assert_true(span_is_text(span_after(abc, 1), "bc"));
    assert_int_equal(span_after(abc, 3).size, 0);
    assert_int_equal(span_first(abc, 0).size, 0);
}

static void test_reader(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 0, 2, 'h', 'i', 0, 0};
    struct reader reader = reader_of(span_of(bytes, sizeof bytes));
    assert_int_equal(reader_u8(&reader), 1);
    assert_int_equal(reader_u16(&reader), 0x0203);
    assert_int_equal(reader_u32(&reader), 0x04050607);
    assert_true(span_is_text(reader_string(&reader), "hi"));
    assert_int_equal(reader_left(&reader), 2);
    assert_int_equal(reader_string(&reader).size, 0);
    assert_int_equal(reader_left(&reader), 0);
    assert_false(reader.is_short);
    assert_int_equal(reader_bytes(&reader, 0).size, 0);
    assert_false(reader.is_short);
    assert_int_equal(reader_u8(&reader), 0);
    assert_true(reader.is_short);
}

/* A read past the end gives nothing, uses up everything, and is remembered. */
static void test_reader_short(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0xFF, 0xFF, 0xFF};
    for (size_t size = 0; size < sizeof bytes; size++) {
        struct reader u32 = reader_of(span_of(bytes, size)), u16 = u32, string = u32;
        assert_int_equal(reader_u32(&u32), 0);
        assert_true(u32.is_short);
        assert_int_equal(reader_left(&u32), 0);
        assert_int_equal(reader_u16(&u16), size == 2 ? 0xFFFF : 0);
        assert_int_equal(u16.is_short, size != 2);
        struct span text = reader_string(&string); /* announces 65,535 bytes */
        assert_int_equal(text.size, 0);
        assert_true(string.is_short);
    }
    struct reader reader = reader_of(span_of(bytes, 3));
    assert_int_equal(reader_bytes(&reader, SIZE_MAX).size, 0);
    assert_true(reader.is_short);
    assert_int_equal(reader_u8(&reader), 0); /* and stays so */
    struct reader none = reader_of(SPAN_NONE);
    assert_int_equal(reader_left(&none), 0);
    assert_int_equal(reader_bytes(&none, 0).size, 0);
    assert_false(none.is_short);
    assert_int_equal(reader_u8(&none), 0);
    assert_true(none.is_short);
}

static void test_writer(void **state) {
    (void)state;
    uint8_t room[12];
    struct writer writer = writer_of(room, sizeof room);
    writer_u8(&writer, 0xAB);
    writer_u16(&writer, 0x0102);
    writer_u32(&writer, 0x03040506);
    writer_string(&writer, SPAN_LITERAL("xy"));
    writer_bytes(&writer, SPAN_NONE);
    static const uint8_t wanted[] = {0xAB, 1, 2, 3, 4, 5, 6, 0, 2, 'x', 'y'};
    assert_true(span_is_equal(writer_span(&writer), span_of(wanted, sizeof wanted)));
    writer_u8(&writer, 7);
    assert_false(writer.is_full);
    assert_int_equal(writer_size(&writer), 12);
    writer_bytes(&writer, SPAN_NONE); /* nothing always fits */
    assert_false(writer.is_full);
    writer_u8(&writer, 8);
    assert_true(writer.is_full);
    assert_int_equal(writer_size(&writer), 12);
}

/* What does not fit is not begun, and nothing comes behind it. */
static void test_writer_full(void **state) {
    (void)state;
    for (size_t room_size = 0; room_size < 8; room_size++) {
        uint8_t *room = test_malloc(room_size + 1); /* one byte more, to see that it stays */
        room[room_size] = 0x77;
        struct writer u32 = writer_of(room, room_size);
        writer_u32(&u32, 1);
        assert_int_equal(u32.is_full, room_size < 4);
        assert_int_equal(writer_size(&u32), room_size < 4 ? 0 : 4);
        if (u32.is_full) {
            writer_u8(&u32, 1);
            assert_int_equal(writer_size(&u32), 0);
        }
        struct writer string = writer_of(room, room_size);
        writer_string(&string, SPAN_LITERAL("hello"));
        assert_int_equal(string.is_full, room_size < 7);
        if (room_size < 2)
            assert_int_equal(writer_size(&string), 0);
        assert_int_equal(room[room_size], 0x77);
        test_free(room);
    }
    static uint8_t room[70000], text[65536];
    struct writer writer = writer_of(room, sizeof room);
    writer_string(&writer, span_of(text, 65535));
    assert_false(writer.is_full);
    assert_int_equal(writer_size(&writer), 65537);
    writer = writer_of(room, sizeof room);
    writer_string(&writer, span_of(text, 65536)); /* no length says that */
    assert_true(writer.is_full);
    assert_int_equal(writer_size(&writer), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span),         cmocka_unit_test(test_reader),
        cmocka_unit_test(test_reader_short), cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_full),
    };
    return cmocka_run_group_tests_name("base/span", tests, NULL, NULL);
}
