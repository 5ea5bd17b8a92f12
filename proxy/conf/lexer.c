#include "conf/lexer.h"

static bool is_blank(uint8_t byte) {
    return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || byte == '\r';
}

struct span lexer_trim(struct span text) {
    while (text.size != 0 && is_blank(text.at[0]))
        text = span_after(text, 1);
    while (text.size != 0 && is_blank(text.at[text.size - 1]))
        text.size--;
    return text;
}

bool lexer_token(struct span *rest, const char *separators, struct span *token) {
    struct span bytes = span_of_text(separators);
    while (rest->size != 0 && span_has_byte(bytes, rest->at[0]))
        *rest = span_after(*rest, 1);
    size_t size = 0;
    while (size < rest->size && !span_has_byte(bytes, rest->at[size]))
        size++;
    *token = span_first(*rest, size);
    if (size == 0)
        return false;
    *rest = span_after(*rest, size);
    return true;
}

static bool take_line(struct lexer *lexer, struct span *line) {
    if (lexer->left.size == 0)
        return false;
    const uint8_t *end = memchr(lexer->left.at, '\n', lexer->left.size);
    size_t size = end == NULL ? lexer->left.size : (size_t)(end - lexer->left.at);
    *line = span_first(lexer->left, size);
    lexer->left = span_after(lexer->left, end == NULL ? size : size + 1);
    lexer->line++;
    while (line->size != 0 && line->at[line->size - 1] == '\r')
        line->size--;
    return true;
}

bool lexer_next(struct lexer *lexer, struct lexer_line *line) {
    struct span whole;
    while (take_line(lexer, &whole)) {
        if (lexer_trim(whole).size == 0 || whole.at[0] == '#')
            continue;
        line->number = lexer->line;
        line->whole = line->rest = whole;
        lexer_token(&line->rest, " ", &line->keyword);
        if (line->rest.size != 0)
            line->rest = span_after(line->rest, 1);
        return true;
    }
    return false;
}
