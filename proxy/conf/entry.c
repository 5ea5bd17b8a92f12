#include "conf/entry.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "base/units.h"
#include "conf/lexer.h"

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define WARN(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_WARNING, (place)->file, (place)->line, __VA_ARGS__)

#define SECOND_MS UINT64_C(1000)
#define DAY_MS    (24 * 3600 * SECOND_MS)

/* The value without a comment behind it; empty after a finding. */
static struct span take_value(const struct value_place *place, const struct conf_row *row,
                              const char *keyword, struct span rest) {
    for (size_t i = 0; i < rest.size; i++)
        if (rest.at[i] == '#' && (i == 0 || rest.at[i - 1] == ' ' || rest.at[i - 1] == '\t'))
            rest.size = i;
    rest = lexer_trim(rest);
    if (rest.size == 0)
        REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, row->argument);
    return rest;
}

bool entry_read_rate(const struct value_place *place, const struct conf_row *row, const char *keyword,
                     struct span rest, struct rate *field) {
    char room[TEXT_QUOTED_SIZE];
    struct span text = take_value(place, row, keyword, rest);
    if (text.size == 0)
        return false;
    if (!rate_read(text, field)) {
        REFUSE(place,
               "%s is '%s', which is no rate; write a number, /s, /m or /h, and perhaps a burst of at least "
               "1, such as 10/s burst 50, or 0 for no limit",
               keyword, text_quote(room, sizeof room, text));
        return false;
    }
    return true;
}

/* ---- networks ---- */

static struct conf_networks *grow(const struct value_place *place, const struct conf_networks *before,
                                  size_t more) {
    size_t count = before == NULL ? 0 : before->count;
    struct conf_networks *grown =
        arena_alloc(place->arena, sizeof *grown + (count + more) * sizeof grown->list[0]);
    if (grown == NULL) {
        value_out_of_memory(place);
        return NULL;
    }
    if (count != 0)
        memcpy(grown->list, before->list, count * sizeof grown->list[0]);
    grown->count = count;
    return grown;
}

static bool read_network(const struct value_place *place, const char *keyword, struct span token,
                         struct network *network) {
    char quoted[TEXT_QUOTED_SIZE], printed[NETWORK_TEXT_SIZE];
    text_quote(quoted, sizeof quoted, token);
    if (!network_read(token, network)) {
        REFUSE(place,
               "%s names '%s', which is no network; write an address and perhaps the bits that count, such "
               "as 192.0.2.0/24 or 2001:db8::/32",
               keyword, quoted);
        return false;
    }
    if (network->was_trimmed)
        WARN(place, "%s names '%s', which is read as %s; write it so", keyword, quoted,
             network_print(network, printed));
    return true;
}

bool entry_read_networks(const struct value_place *place, const struct conf_row *row, const char *keyword,
                         struct span rest, const struct conf_networks **field) {
    const char *separators = ", \t";
    struct span text = take_value(place, row, keyword, rest), left = text, token;
    size_t more = 0;
    while (lexer_token(&left, separators, &token))
        more++;
    if (text.size == 0)
        return false;
    bool is_none = span_is_text(text, "none");
    struct conf_networks *networks = grow(place, is_none ? NULL : *field, more);
    if (networks == NULL)
        return false;
    bool is_good = true;
    for (left = text; !is_none && lexer_token(&left, separators, &token);)
        is_good &= read_network(place, keyword, token, &networks->list[networks->count++]);
    if (is_good)
        *field = networks;
    return is_good;
}

const char *entry_print_networks(const struct conf_networks *networks, char *room, size_t room_size) {
    char printed[NETWORK_TEXT_SIZE];
    size_t used = 0;
    snprintf(room, room_size, "none");
    for (size_t i = 0; networks != NULL && i < networks->count && used < room_size; i++)
        used += (size_t)snprintf(room + used, room_size - used, "%s%s", i == 0 ? "" : " ",
                                 network_print(&networks->list[i], printed));
    return room;
}

bool entry_is_equal_networks(const struct conf_networks *a, const struct conf_networks *b) {
    size_t count = a == NULL ? 0 : a->count;
    if (count != (b == NULL ? 0 : b->count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (a->list[i].prefix != b->list[i].prefix ||
            memcmp(&a->list[i].ip, &b->list[i].ip, sizeof a->list[i].ip) != 0)
            return false;
    return true;
}

/* ---- bans ---- */

static const struct {
    const char *word;
    enum conf_ban_kind kind;
} kinds[] = {{"address", CONF_BAN_ADDRESS}, {"username", CONF_BAN_USERNAME}, {"clientid", CONF_BAN_CLIENTID}};

static uint64_t read_kinds(struct span text) {
    uint64_t found = 0;
    for (struct span token; lexer_token(&text, ", \t", &token);) {
        uint64_t kind = 0;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            if (span_is_text(token, kinds[i].word))
                kind = kinds[i].kind;
        if (kind == 0)
            return 0;
        found |= kind;
    }
    return found;
}

/* 5/60s */
static bool read_failures(struct span token, struct conf_ban *ban) {
    const uint8_t *slash = token.size == 0 ? NULL : memchr(token.at, '/', token.size);
    if (slash == NULL)
        return false;
    size_t size = (size_t)(slash - token.at);
    int32_t count;
    if (size == 0 || token.at[0] < '1' || token.at[0] > '9' ||
        !units_read_int(span_first(token, size), &count))
        return false;
    ban->count = (uint64_t)count;
    return units_read_duration_ms(span_after(token, size + 1), &ban->window_ms);
}

static bool read_ban(struct span text, struct conf_ban *ban) {
    struct span token, word;
    *ban = (struct conf_ban){.kinds = CONF_BAN_ADDRESS};
    if (!lexer_token(&text, " \t", &token) || !read_failures(token, ban) ||
        !lexer_token(&text, " \t", &word) || !span_is_text(word, "for") ||
        !lexer_token(&text, " \t", &token) || !units_read_duration_ms(token, &ban->ban_ms))
        return false;
    if (!lexer_token(&text, " \t", &word))
        return true;
    ban->kinds = read_kinds(text);
    return span_is_text(word, "by") && ban->kinds != 0;
}

bool entry_read_ban(const struct value_place *place, const struct conf_row *row, const char *keyword,
                    struct span rest, struct conf_ban *field) {
    char room[TEXT_QUOTED_SIZE];
    struct span text = take_value(place, row, keyword, rest);
    struct conf_ban ban;
    if (text.size == 0)
        return false;
    if (span_is_text(text, "0")) {
        *field = (struct conf_ban){0};
        return true;
    }
    text_quote(room, sizeof room, text);
    if (!read_ban(text, &ban)) {
        REFUSE(place,
               "%s is '%s', which is no ban; write failures, the time they fall into and the time of the "
               "ban, such as 5/60s for 10m, perhaps with by address,username,clientid, or 0 for none",
               keyword, room);
        return false;
    }
    if (ban.count > CONF_BAN_COUNT_MAX || ban.window_ms < SECOND_MS || ban.window_ms > DAY_MS ||
        ban.ban_ms < SECOND_MS || ban.ban_ms > 365 * DAY_MS) {
        REFUSE(place, "%s is '%s', but must be of 1 to %d failures within 1s to 1d, for 1s to 365d", keyword,
               room, CONF_BAN_COUNT_MAX);
        return false;
    }
    *field = ban;
    return true;
}

static const char *print_duration(uint64_t value_ms, char *room, size_t room_size) {
    snprintf(room, room_size, "%" PRIu64 "%s", value_ms % SECOND_MS == 0 ? value_ms / SECOND_MS : value_ms,
             value_ms % SECOND_MS == 0 ? "s" : "ms");
    return room;
}

const char *entry_print_ban(const struct conf_ban *ban, char *room, size_t room_size) {
    char window[24], duration[24];
    size_t used = (size_t)snprintf(room, room_size, "0");
    if (ban->count == 0)
        return room;
    used = (size_t)snprintf(room, room_size, "%" PRIu64 "/%s for %s by ", ban->count,
                            print_duration(ban->window_ms, window, sizeof window),
                            print_duration(ban->ban_ms, duration, sizeof duration));
    bool is_first = true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((ban->kinds & kinds[i].kind) != 0 && used < room_size) {
            used +=
                (size_t)snprintf(room + used, room_size - used, "%s%s", is_first ? "" : ",", kinds[i].word);
            is_first = false;
        }
    return room;
}
