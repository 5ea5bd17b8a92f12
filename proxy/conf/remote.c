#include "conf/remote.h"

#include "base/network.h"
#include "base/text.h"
#include "base/units.h"
#include "conf/lexer.h"
#include "conf/route.h"

#include <inttypes.h>
#include <stdio.h>

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define WARN(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_WARNING, (place)->file, (place)->line, __VA_ARGS__)

#define PORT_DEFAULT  1883 /* also with TLS, as in mosquitto */
#define HOST_SIZE_MAX 255

/* The next word in front of a comment. */
static bool next_value(struct span *rest, struct span *token) {
    return lexer_token(rest, " \t", token) && token->at[0] != '#';
}

/* ---- addresses ---- */

static bool is_host(struct span host) {
    if (host.size == 0 || host.size > HOST_SIZE_MAX)
        return false;
    for (size_t i = 0; i < host.size; i++)
        if (host.at[i] <= ' ' || host.at[i] == 0x7F || strchr("/@[]\"'\\,;", host.at[i]) != NULL)
            return false;
    return true;
}

/* HOST[:PORT] or [IPV6][:PORT]. Without brackets the last colon is in front of the port, also in an IPv6
 * address: such lines are read as mosquitto reads them. */
static bool split(struct span text, struct span *host, struct span *port) {
    *port = SPAN_NONE;
    struct network network;
    size_t colon = text.size;
    if (text.at[0] == '[') {
        const uint8_t *bracket = memchr(text.at, ']', text.size);
        if (bracket == NULL)
            return false;
        *host = span_of(text.at + 1, (size_t)(bracket - text.at) - 1);
        *port = span_after(text, host->size + 2);
        if (port->size != 0 && port->at[0] != ':')
            return false;
        if (port->size != 0)
            *port = span_after(*port, 1);
        else
            port->at = NULL;
        return span_has_byte(*host, ':') && !span_has_byte(*host, '/') && network_read(*host, &network);
    }
    while (colon != 0 && text.at[colon - 1] != ':')
        colon--;
    *host = colon == 0 ? text : span_first(text, colon - 1);
    if (colon != 0)
        *port = span_after(text, colon);
    return is_host(*host) && (!span_has_byte(*host, ':') || network_read(*host, &network));
}

static bool read_address(const struct value_place *place, const char *keyword, struct span token,
                         struct conf_backend *address) {
    struct span host, port;
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, token);
    *address = (struct conf_backend){.file = place->file, .line = place->line, .port = PORT_DEFAULT};
    const uint8_t *colon = memchr(token.at, ':', token.size);
    if (colon != NULL &&
        span_begins_with(span_after(token, (size_t)(colon - token.at)), SPAN_LITERAL("://"))) {
        REFUSE(place, "%s names '%s', a URL; write only HOST:PORT, and the keywords of bridges for all else",
               keyword, room);
        return false;
    }
    if (!split(token, &host, &port)) {
        REFUSE(place,
               "%s names '%s', which is no address; write HOST:PORT, such as broker.example.com:8883 or "
               "[2001:db8::1]:8883",
               keyword, room);
        return false;
    }
    int32_t number = PORT_DEFAULT;
    if (port.at != NULL && (port.size == 0 || port.at[0] < '0' || port.at[0] > '9' ||
                            !units_read_int(port, &number) || number < 1 || number > UINT16_MAX)) {
        REFUSE(place, "%s names '%s', whose port must be a number from 1 to 65535", keyword, room);
        return false;
    }
    address->port = (uint16_t)number;
    address->text = arena_text(place->arena, token);
    address->host = arena_text(place->arena, host);
    if (address->text == NULL || address->host == NULL)
        value_out_of_memory(place);
    struct network network;
    if (token.at[0] != '[' && span_has_byte(host, ':') && network_read(token, &network))
        WARN(place,
             "%s names '%s', which is read as port %" PRId32 " of %s; write [%s]:%" PRId32
             " or brackets around all of it",
             keyword, room, number, address->host, address->host, number);
    return address->text != NULL && address->host != NULL;
}

bool remote_read_addresses(const struct value_place *place, const struct conf_row *row, const char *keyword,
                           struct span rest, const struct conf_addresses **field) {
    struct span left = rest, token;
    size_t count = 0;
    while (next_value(&left, &token))
        count++;
    if (count == 0) {
        REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, row->argument);
        return false;
    }
    struct conf_addresses *addresses =
        arena_alloc(place->arena, sizeof *addresses + count * sizeof addresses->list[0]);
    if (addresses == NULL) {
        value_out_of_memory(place);
        return false;
    }
    bool is_good = true;
    while (next_value(&rest, &token))
        is_good &= read_address(place, keyword, token, &addresses->list[addresses->count++]);
    if (is_good)
        *field = addresses;
    return is_good;
}

bool remote_are_equal_addresses(const struct conf_addresses *a, const struct conf_addresses *b) {
    if (a == NULL || b == NULL || a->count != b->count)
        return a == b;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->list[i].host, b->list[i].host) != 0 || a->list[i].port != b->list[i].port)
            return false;
    return true;
}

const char *remote_print_addresses(const struct conf_addresses *addresses, char *room, size_t room_size) {
    char quoted[TEXT_QUOTED_SIZE];
    size_t used = 0;
    snprintf(room, room_size, "none");
    for (size_t i = 0; addresses != NULL && i < addresses->count && used < room_size; i++)
        used += (size_t)snprintf(room + used, room_size - used, "%s%s", i == 0 ? "" : " ",
                                 text_quote(quoted, sizeof quoted, span_of_text(addresses->list[i].text)));
    return room;
}

/* ---- numbers ---- */

/* Up to `wanted` whole numbers; how many there were, -1 after a finding. */
static int read_numbers(const struct value_place *place, const struct conf_row *row, const char *keyword,
                        struct span rest, int32_t *numbers, int wanted) {
    struct span token;
    char room[TEXT_QUOTED_SIZE];
    int count = 0;
    for (; count < wanted; count++) {
        struct span before = rest;
        if (!next_value(&rest, &token)) {
            rest = before;
            break;
        }
        if (!units_read_int(token, &numbers[count])) {
            REFUSE(place, "%s has '%s', which is no whole number; write: %s %s", keyword,
                   text_quote(room, sizeof room, token), keyword, row->argument);
            return -1;
        }
    }
    if (count == 0)
        REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, row->argument);
    value_end(place, keyword, rest);
    return count == 0 ? -1 : count;
}

#define CAP_MAX 7200

bool remote_read_restart(const struct value_place *place, const struct conf_row *row, const char *keyword,
                         struct span rest, struct conf_restart *field) {
    int32_t numbers[3] = {0, 0, 0};
    int count = read_numbers(place, row, keyword, rest, numbers, 3);
    if (count < 0)
        return false;
    if (numbers[0] < 1) {
        WARN(place, "%s is below 1 and counts as 1", keyword);
        numbers[0] = 1;
    }
    if (count == 1)
        numbers[1] = numbers[0];
    if (numbers[0] > row->high || numbers[1] < numbers[0] || numbers[1] > CAP_MAX || numbers[2] < 0) {
        REFUSE(place,
               "%s must be from %" PRId64 " to %" PRId64
               " seconds; a second number not less than the first and at most %d; a third not "
               "below 0",
               keyword, row->low, row->high, CAP_MAX);
        return false;
    }
    *field = (struct conf_restart){(uint32_t)numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2]};
    return true;
}

const char *remote_print_restart(const struct conf_restart *restart, char *room, size_t room_size) {
    snprintf(room, room_size, "%" PRIu32 " %" PRIu32 " %" PRIu32, restart->base_s, restart->cap_s,
             restart->stable_s);
    return room;
}

bool remote_read_keepalive(const struct value_place *place, const struct conf_row *row, const char *keyword,
                           struct span rest, struct conf_keepalive *field) {
    int32_t numbers[3] = {0, 0, 0};
    int count = read_numbers(place, row, keyword, rest, numbers, 3);
    if (count < 0)
        return false;
    /* What the kernel takes: TCP_KEEPIDLE and TCP_KEEPINTVL up to 32767, TCP_KEEPCNT up to 127. */
    if (count != 3 || numbers[0] < 1 || numbers[1] < 1 || numbers[2] < 1 || numbers[0] > 32767 ||
        numbers[1] > 32767 || numbers[2] > 127) {
        REFUSE(place,
               "%s takes three numbers above 0, the first two at most 32767, the third 127; write: %s %s, "
               "such as 60 10 5",
               keyword, keyword, row->argument);
        return false;
    }
    *field = (struct conf_keepalive){(uint32_t)numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2]};
    return true;
}

const char *remote_print_keepalive(const struct conf_keepalive *keepalive, char *room, size_t room_size) {
    if (keepalive->count == 0)
        snprintf(room, room_size, "none");
    else
        snprintf(room, room_size, "%" PRIu32 " %" PRIu32 " %" PRIu32, keepalive->idle_s,
                 keepalive->interval_s, keepalive->count);
    return room;
}

bool remote_read_size(const struct value_place *place, const char *keyword, struct span rest,
                      uint64_t *field) {
    struct span token;
    char room[TEXT_QUOTED_SIZE];
    uint64_t value;
    if (!next_value(&rest, &token)) {
        REFUSE(place, "%s has no value; write a number of bytes, such as 500m or 1g", keyword);
        return false;
    }
    if (!units_read_size_bytes(token, &value) || value > INT64_MAX) {
        REFUSE(place,
               "%s is '%s', which is no size; write a number and perhaps k, m or g, such as 500m or 1g",
               keyword, text_quote(room, sizeof room, token));
        return false;
    }
    value_end(place, keyword, rest);
    *field = value;
    return true;
}

/* ---- priorities ---- */

bool remote_read_priority(const struct value_place *place, const struct conf_row *row, const char *keyword,
                          struct span rest, struct conf_priority **first) {
    struct span word, token;
    bool is_broken;
    int32_t number;
    char room[TEXT_QUOTED_SIZE];
    if (!route_next_word(&rest, &word, &is_broken) || is_broken || !next_value(&rest, &token) ||
        !units_read_int(token, &number) || number < row->low || number > row->high) {
        REFUSE(place,
               "%s takes a filter and a number from %" PRId64 " to %" PRId64
               "; write: %s FILTER NUMBER, such as: %s alarms/# 10",
               keyword, row->low, row->high, keyword, keyword);
        return false;
    }
    const char *trouble = route_filter_trouble(word);
    if (trouble != NULL) {
        REFUSE(place, "the filter '%s' of %s %s", text_quote(room, sizeof room, word), keyword, trouble);
        return false;
    }
    value_end(place, keyword, rest);
    struct conf_priority *priority = arena_alloc(place->arena, sizeof *priority), **end = first;
    const char *filter = arena_text(place->arena, word);
    if (priority == NULL || filter == NULL) {
        value_out_of_memory(place);
        return false;
    }
    *priority = (struct conf_priority){
        .origin = {place->file, place->line}, .filter = filter, .priority = (int16_t)number};
    while (*end != NULL)
        end = &(*end)->next;
    *end = priority;
    return true;
}

bool remote_are_equal_priorities(const struct conf_priority *a, const struct conf_priority *b) {
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (a->priority != b->priority || strcmp(a->filter, b->filter) != 0)
            return false;
    return a == b;
}

const char *remote_print_priorities(const struct conf_priority *first, char *room, size_t room_size) {
    char quoted[TEXT_QUOTED_SIZE];
    size_t used = 0;
    snprintf(room, room_size, "none");
    for (const struct conf_priority *one = first; one != NULL && used < room_size; one = one->next)
        used += (size_t)snprintf(room + used, room_size - used, "%s%s %d", one == first ? "" : ", ",
                                 text_quote(quoted, sizeof quoted, span_of_text(one->filter)), one->priority);
    return room;
}
