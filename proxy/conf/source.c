#include "conf/source.h"

#include "base/text.h"
#include "base/units.h"
#include "conf/lexer.h"

#include <inttypes.h>
#include <stdio.h>

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)

#define NUMBER_MAX 16 /* as many names of one certificate are looked at */

static const struct {
    const char *word;
    bool may_count; /* there may be several, which :n tells apart */
} words[] = {
    [CONF_SOURCE_NONE] = {"none", false},
    [CONF_SOURCE_CN] = {"cn", false},
    [CONF_SOURCE_SUBJECT] = {"subject", false},
    [CONF_SOURCE_SAN_DNS] = {"san_dns", true},
    [CONF_SOURCE_SAN_URI] = {"san_uri", true},
    [CONF_SOURCE_SAN_EMAIL] = {"san_email", true},
    [CONF_SOURCE_SAN_IP] = {"san_ip", true},
    [CONF_SOURCE_SERIAL] = {"serial", false},
    [CONF_SOURCE_FINGERPRINT] = {"fingerprint", false},
    [CONF_SOURCE_PSK_IDENTITY] = {"psk_identity", false},
};

/* The kind of a word; NONE when there is no such word. `none` is no word of the file. */
static uint32_t kind_of(struct span word) {
    for (uint32_t kind = CONF_SOURCE_CN; kind < sizeof words / sizeof words[0]; kind++)
        if (span_is_text(word, words[kind].word))
            return kind;
    return CONF_SOURCE_NONE;
}

static bool read_number(struct span text, uint32_t *number) {
    int32_t value;
    bool is_number = text.size != 0 && text.at[0] >= '1' && text.at[0] <= '9' &&
                     units_read_int(text, &value) && value <= NUMBER_MAX;
    if (is_number)
        *number = (uint32_t)value;
    return is_number;
}

bool source_read(const struct value_place *place, const struct conf_row *row, const char *keyword,
                 struct span rest, struct conf_source *field) {
    struct span token;
    char room[TEXT_QUOTED_SIZE];
    if (!lexer_token(&rest, " \t", &token) || token.at[0] == '#') {
        REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, row->argument);
        return false;
    }
    struct span word = token, number = SPAN_NONE;
    const uint8_t *colon = memchr(token.at, ':', token.size);
    if (colon != NULL) {
        word = span_first(token, (size_t)(colon - token.at));
        number = span_after(token, word.size + 1);
    }
    struct conf_source source = {.kind = kind_of(word), .number = 1};
    text_quote(room, sizeof room, token);
    if (source.kind == CONF_SOURCE_NONE) {
        REFUSE(place, "%s is '%s', but may only be one of %s", keyword, room, row->argument);
        return false;
    }
    if (colon != NULL && (!words[source.kind].may_count || !read_number(number, &source.number))) {
        REFUSE(place,
               "%s is '%s', but only san_dns, san_uri, san_email and san_ip take a number, from :1 to :%d",
               keyword, room, NUMBER_MAX);
        return false;
    }
    value_end(place, keyword, rest);
    *field = source;
    return true;
}

const char *source_print(struct conf_source source, char *room, size_t room_size) {
    if (source.number > 1)
        snprintf(room, room_size, "%s:%" PRIu32, words[source.kind].word, source.number);
    else
        snprintf(room, room_size, "%s", words[source.kind].word);
    return room;
}
