/* The lines of the dialect. */
#include "unit/conf/conf_test.h"

#include "conf/lexer.h"

static void expect_line(struct lexer *lexer, unsigned number, const char *keyword, const char *rest) {
    struct lexer_line line;
    assert_true(lexer_next(lexer, &line));
    assert_int_equal(line.number, number);
    assert_true(span_is_text(line.keyword, keyword));
    assert_true(span_is_text(line.rest, rest));
}

static void lines_are_split_and_counted(void **state) {
    (void)state;
    struct lexer lexer = lexer_of(
        SPAN_LITERAL("# first\n\nport 1883\r\n  user  a b \r\r\n \t \n\r\n#x\n #y z\nkey\tvalue x\nlast"));
    expect_line(&lexer, 3, "port", "1883");
    expect_line(&lexer, 4, "user", " a b ");
    expect_line(&lexer, 8, "#y", "z");
    expect_line(&lexer, 9, "key\tvalue", "x");
    expect_line(&lexer, 10, "last", "");
    struct lexer_line line;
    assert_false(lexer_next(&lexer, &line));
    assert_false(lexer_next(&lexer, &line));
}

static void nothing_gives_nothing(void **state) {
    (void)state;
    struct lexer_line line;
    struct lexer lexer = lexer_of(SPAN_NONE);
    assert_false(lexer_next(&lexer, &line));
    lexer = lexer_of(SPAN_LITERAL("\n\n#\n"));
    assert_false(lexer_next(&lexer, &line));
}

static void tokens_are_taken(void **state) {
    (void)state;
    struct span rest = SPAN_LITERAL("  a bc\td  "), token;
    assert_true(lexer_token(&rest, " ", &token) && span_is_text(token, "a"));
    assert_true(lexer_token(&rest, " ", &token) && span_is_text(token, "bc\td"));
    assert_false(lexer_token(&rest, " ", &token));
    rest = SPAN_NONE;
    assert_false(lexer_token(&rest, " ", &token));
}

static void blanks_are_trimmed(void **state) {
    (void)state;
    assert_true(span_is_text(lexer_trim(SPAN_LITERAL(" \t a b\t ")), "a b"));
    assert_int_equal(lexer_trim(SPAN_LITERAL(" \t ")).size, 0);
    assert_int_equal(lexer_trim(SPAN_NONE).size, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_split_and_counted),
        cmocka_unit_test(nothing_gives_nothing),
        cmocka_unit_test(tokens_are_taken),
        cmocka_unit_test(blanks_are_trimmed),
    };
    return cmocka_run_group_tests_name("conf/lexer", tests, NULL, NULL);
}
