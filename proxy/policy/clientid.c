#include "policy/clientid.h"

bool clientid_has_prefix(const char *prefix, struct span client_id) {
    return span_begins_with(client_id, span_of_text(prefix));
}

static bool is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* Behind the character at `at`. */
static size_t behind(struct span text, size_t at) {
    do
        at++;
    while (at < text.size && is_continuation(text.at[at]));
    return at;
}

/* The text is walked once; after a mismatch the newest star takes one character more. */
bool clientid_matches(const char *pattern, struct span client_id) {
    struct span wanted = span_of_text(pattern);
    size_t at = 0, in_pattern = 0, star = SIZE_MAX, taken = 0;
    while (at < client_id.size) {
        bool is_here = in_pattern < wanted.size;
        if (is_here && wanted.at[in_pattern] == '*') {
            star = in_pattern++;
            taken = at;
        } else if (is_here && wanted.at[in_pattern] == '?') {
            in_pattern++;
            at = behind(client_id, at);
        } else if (is_here && wanted.at[in_pattern] == client_id.at[at]) {
            in_pattern++;
            at++;
        } else if (star != SIZE_MAX) {
            taken = behind(client_id, taken);
            at = taken;
            in_pattern = star + 1;
        } else {
            return false;
        }
    }
    while (in_pattern < wanted.size && wanted.at[in_pattern] == '*')
        in_pattern++;
    return in_pattern == wanted.size;
}

bool clientid_has_unsafe_chars(struct span client_id) {
    for (size_t i = 0; i < client_id.size; i++) {
        uint8_t byte = client_id.at[i];
        /* U+0080..U+009F are C2 80..C2 9F; C2 begins nothing else that ends so. */
        bool is_control = byte < 0x20 || byte == 0x7F ||
                          (byte == 0xC2 && i + 1 < client_id.size && client_id.at[i + 1] < 0xA0);
        if (is_control || byte == '+' || byte == '#' || byte == '/')
            return true;
    }
    return false;
}

static const char *const words_of[] = {
    [CLIENTID_CHARS] =
        "its client id holds + # / or a control character, against allow_unsafe_clientid_chars",
    [CLIENTID_LENGTH] = "its client id is longer than max_clientid_length",
    [CLIENTID_PREFIX] = "its client id does not begin with clientid_prefixes",
    [CLIENTID_DENIED] = "its client id is refused by clientid_deny",
    [CLIENTID_NOT_ALLOWED] = "its client id is in no clientid_allow",
};

static struct clientid_verdict fault_of(enum clientid_fault fault, struct conf_origin origin) {
    return (struct clientid_verdict){fault, origin, words_of[fault]};
}

static struct clientid_verdict judge_patterns(const struct conf_listener *listener, struct span client_id) {
    const struct conf_pattern *last_allow = NULL;
    for (const struct conf_pattern *pattern = listener->clientid_patterns; pattern != NULL;
         pattern = pattern->next) {
        if (clientid_matches(pattern->text, client_id))
            return fault_of(pattern->is_allowed ? CLIENTID_GOOD : CLIENTID_DENIED, pattern->origin);
        if (pattern->is_allowed)
            last_allow = pattern;
    }
    return last_allow == NULL ? fault_of(CLIENTID_GOOD, (struct conf_origin){NULL, 0})
                              : fault_of(CLIENTID_NOT_ALLOWED, last_allow->origin);
}

struct clientid_verdict clientid_judge(const struct conf_listener *listener, struct span client_id,
                                       bool is_made) {
    const struct conf_origin *origins = listener->origins;
    if (!is_made && !listener->allow_unsafe_clientid_chars && clientid_has_unsafe_chars(client_id))
        return fault_of(CLIENTID_CHARS, origins[CONF_allow_unsafe_clientid_chars]);
    if (!is_made && listener->max_clientid_length != 0 &&
        client_id.size > (size_t)listener->max_clientid_length)
        return fault_of(CLIENTID_LENGTH, origins[CONF_max_clientid_length]);
    if (!clientid_has_prefix(listener->clientid_prefixes, client_id))
        return fault_of(CLIENTID_PREFIX, origins[CONF_clientid_prefixes]);
    return judge_patterns(listener, client_id);
}

size_t clientid_generate(char *room, size_t room_size, const char *prefix, const uint8_t random[16]) {
    static const char digits[] = "0123456789ABCDEF";
    struct span start = span_of_text(prefix);
    if (room_size < CLIENTID_UUID_SIZE + 1 || start.size > room_size - CLIENTID_UUID_SIZE - 1) {
        if (room_size != 0)
            room[0] = '\0';
        return 0;
    }
    if (start.size != 0)
        memcpy(room, start.at, start.size);
    char *at = room + start.size;
    for (unsigned i = 0; i < 16; i++) {
        uint8_t byte = random[i];
        if (i == 6)
            byte = (uint8_t)((byte & 0x0f) | 0x40); /* version 4 */
        if (i == 8)
            byte = (uint8_t)((byte & 0x3f) | 0x80); /* the variant of RFC 4122 */
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 0x0f];
    }
    *at = '\0';
    return start.size + CLIENTID_UUID_SIZE;
}
