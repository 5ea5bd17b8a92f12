#include "bridge/token.h"

#include <stdlib.h>
#include <strings.h>

/* A token with more than that is somebody's file. */
#define PAYLOAD_MAX (48u * 1024)
/* How deep arrays and objects may lie within each other. */
#define DEPTH_MAX     32
#define SAS_BEGINNING "SharedAccessSignature "

/* ---- base64url, RFC 4648 section 5, without padding ---- */

static int digit_of(uint8_t c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

/* The count of bytes, SIZE_MAX when it is none. The room takes three bytes for four characters. */
static size_t decode(struct span text, uint8_t *room) {
    uint32_t bits = 0;
    size_t size = 0;
    unsigned count = 0;
    for (size_t i = 0; i < text.size; i++) {
        int digit = digit_of(text.at[i]);
        if (digit < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            room[size++] = (uint8_t)(bits >> count);
        }
    }
    return text.size % 4 == 1 ? SIZE_MAX : size;
}

/* ---- JSON, as much as it takes to step over what is not asked for ---- */

struct json {
    const uint8_t *at, *end;
};

static void skip_blanks(struct json *json) {
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
}

/* Steps over this byte, and blanks in front of it. */
static bool take(struct json *json, uint8_t byte) {
    skip_blanks(json);
    if (json->at == json->end || *json->at != byte)
        return false;
    json->at++;
    return true;
}

/* A string; its text between the quotes, with escapes as they are. */
static bool take_string(struct json *json, struct span *text) {
    if (!take(json, '"'))
        return false;
    const uint8_t *from = json->at;
    while (json->at < json->end && *json->at != '"') {
        bool is_escape = *json->at == '\\';
        if (*json->at < 0x20 || (is_escape && json->end - json->at < 2))
            return false;
        json->at += is_escape ? 2 : 1;
    }
    if (json->at == json->end)
        return false;
    *text = span_of(from, (size_t)(json->at - from));
    json->at++;
    return true;
}

static bool is_of_word(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
}

/* A number, true, false or null. */
static bool take_word(struct json *json, struct span *word) {
    skip_blanks(json);
    const uint8_t *from = json->at;
    while (json->at < json->end && is_of_word(*json->at))
        json->at++;
    *word = span_of(from, (size_t)(json->at - from));
    return word->size != 0;
}

static bool take_value(struct json *json, unsigned depth, struct span *word);

/* The members of an object or the elements of an array, behind its first byte; `exp` of an object is given.
 */
static bool take_rest(struct json *json, bool is_object, unsigned depth, struct span *expiry) {
    uint8_t end = is_object ? '}' : ']';
    struct span name, value;
    if (take(json, end))
        return true;
    do {
        if (is_object && (!take_string(json, &name) || !take(json, ':')))
            return false;
        if (!take_value(json, depth, &value))
            return false;
        if (is_object && expiry != NULL && span_is_equal(name, SPAN_LITERAL("exp")))
            *expiry = value;
    } while (take(json, ','));
    return take(json, end);
}

/* `word` is empty for what is no number, true, false or null. */
static bool take_value(struct json *json, unsigned depth, struct span *word) {
    struct span text;
    *word = SPAN_NONE;
    if (depth == DEPTH_MAX)
        return false;
    if (take(json, '{'))
        return take_rest(json, true, depth + 1, NULL);
    if (take(json, '['))
        return take_rest(json, false, depth + 1, NULL);
    if (json->at < json->end && *json->at == '"')
        return take_string(json, &text);
    return take_word(json, word);
}

/* The whole part of a number above 0; 0: it is none, or too large to be a time. */
static int64_t seconds_of(struct span word) {
    int64_t value = 0;
    size_t i = 0;
    for (; i < word.size && word.at[i] >= '0' && word.at[i] <= '9' && i < 12; i++)
        value = value * 10 + (word.at[i] - '0');
    return i == word.size || word.at[i] == '.' ? value : 0;
}

/* ---- the two kinds ---- */

static int64_t read_payload(struct span payload) {
    struct json json = {payload.at, payload.at + payload.size};
    struct span expiry = SPAN_NONE;
    bool is_good = take(&json, '{') && take_rest(&json, true, 1, &expiry);
    skip_blanks(&json);
    return is_good && json.at == json.end ? seconds_of(expiry) : 0;
}

static bool find_dot(struct span text, size_t *at) {
    const uint8_t *dot = text.size == 0 ? NULL : memchr(text.at, '.', text.size);
    *at = dot == NULL ? 0 : (size_t)(dot - text.at);
    return dot != NULL;
}

static int64_t read_jwt(struct span password) {
    size_t first, second;
    if (!find_dot(password, &first))
        return 0;
    struct span rest = span_after(password, first + 1);
    if (!find_dot(rest, &second) || second == 0 || second > PAYLOAD_MAX)
        return 0;
    uint8_t *room = malloc(second);
    size_t size = room == NULL ? SIZE_MAX : decode(span_first(rest, second), room);
    int64_t expiry_s = size == SIZE_MAX ? 0 : read_payload(span_of(room, size));
    if (room != NULL)
        explicit_bzero(room, second);
    free(room);
    return expiry_s;
}

static int64_t read_sas(struct span fields) {
    while (fields.size != 0) {
        const uint8_t *end = memchr(fields.at, '&', fields.size);
        struct span field = end == NULL ? fields : span_first(fields, (size_t)(end - fields.at));
        if (span_begins_with(field, SPAN_LITERAL("se=")))
            return seconds_of(span_after(field, 3));
        fields = end == NULL ? SPAN_NONE : span_after(fields, field.size + 1);
    }
    return 0;
}

int64_t token_expiry_s(struct span password) {
    struct span beginning = SPAN_LITERAL(SAS_BEGINNING);
    if (span_begins_with(password, beginning))
        return read_sas(span_after(password, beginning.size));
    return read_jwt(password);
}
