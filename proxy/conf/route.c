#include "conf/route.h"

#include "base/text.h"
#include "conf/lexer.h"

#include <stdio.h>

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)

#define TOPIC_SIZE_MAX 65535 /* MQTT 5.0 1.5.4 */

bool route_next_word(struct span *rest, struct span *word, bool *is_broken) {
    *is_broken = false;
    while (rest->size != 0 && rest->at[0] == ' ')
        *rest = span_after(*rest, 1);
    if (rest->size == 0 || rest->at[0] != '"')
        return lexer_token(rest, " ", word);
    *rest = span_after(*rest, 1);
    const uint8_t *quote = rest->size == 0 ? NULL : memchr(rest->at, '"', rest->size);
    size_t size = quote == NULL ? rest->size : (size_t)(quote - rest->at);
    *word = span_first(*rest, size);
    *rest = span_after(*rest, quote == NULL ? size : size + 1);
    *is_broken = quote == NULL || (rest->size != 0 && rest->at[0] != ' ');
    return true;
}

/* What stands behind "$share/NAME/" (MQTT 5.0 4.8.2); all of it when it is no shared subscription. */
static struct span without_share(struct span filter) {
    const struct span beginning = SPAN_LITERAL("$share/");
    if (!span_begins_with(filter, beginning))
        return filter;
    filter = span_after(filter, beginning.size);
    const uint8_t *slash = filter.size == 0 ? NULL : memchr(filter.at, '/', filter.size);
    size_t name_size = slash == NULL ? 0 : (size_t)(slash - filter.at);
    struct span name = span_first(filter, name_size);
    bool is_good = name_size != 0 && !span_has_byte(name, '+') && !span_has_byte(name, '#');
    return is_good ? span_after(filter, name_size + 1) : SPAN_NONE;
}

const char *route_filter_trouble(struct span filter) {
    if (filter.size > TOPIC_SIZE_MAX)
        return "is longer than 65535 bytes";
    struct span inner = without_share(filter);
    if (inner.size == 0)
        return filter.size == 0 ? "is empty" : "has no filter behind $share/NAME/";
    for (size_t i = 0; i < inner.size; i++) {
        bool is_start = i == 0 || inner.at[i - 1] == '/';
        bool is_end = i + 1 == inner.size || inner.at[i + 1] == '/';
        if (inner.at[i] == '+' && !(is_start && is_end))
            return "has a + that does not fill its level; it may only stand alone between two slashes";
        if (inner.at[i] == '#' && !(is_start && i + 1 == inner.size))
            return "has a # that is not its last level; it may only stand at the end, behind a slash";
    }
    return NULL;
}

/* The words of a line, as far as there are any. */
struct words {
    const char *const *names; /* of what stands there, for findings */
    const char *text[5];
    size_t count;
};

/* A # begins a comment, but for the first word, which may be the filter #. */
static bool read_words(const struct value_place *place, const char *keyword, struct span rest,
                       size_t count_max, struct words *words) {
    struct span word = SPAN_NONE;
    bool is_broken = false;
    char room[TEXT_QUOTED_SIZE];
    while (words->count < count_max) {
        struct span before = lexer_trim(rest);
        if (words->count != 0 && before.size != 0 && before.at[0] == '#')
            break;
        bool is_quoted = before.size != 0 && before.at[0] == '"';
        if (!route_next_word(&rest, &word, &is_broken))
            break;
        text_quote(room, sizeof room, word);
        if (is_broken) {
            REFUSE(place,
                   "the quotes around '%s' of %s are not closed, or something stands right behind them", room,
                   keyword);
            return false;
        }
        if (!is_quoted && span_has_byte(word, '\t')) {
            REFUSE(place, "there is a tab in '%s' of %s; only spaces separate, so replace it", room, keyword);
            return false;
        }
        const char *kept = arena_text(place->arena, word);
        if (kept == NULL) {
            value_out_of_memory(place);
            return false;
        }
        words->text[words->count++] = kept;
    }
    if (words->count == count_max)
        value_end(place, keyword, rest);
    return true;
}

static bool is_same_word(const char *text, const char *word) {
    size_t i = 0;
    for (; text[i] != '\0' && word[i] != '\0'; i++)
        if ((text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]) != word[i])
            return false;
    return text[i] == word[i];
}

static bool read_direction(const struct value_place *place, const char *keyword, const char *text,
                           struct conf_route *route) {
    char room[TEXT_QUOTED_SIZE];
    route->directions = is_same_word(text, "out")                        ? CONF_ROUTE_OUT
                        : is_same_word(text, "in")                       ? CONF_ROUTE_IN
                        : is_same_word(text, "both") && !route->is_remap ? CONF_ROUTE_OUT | CONF_ROUTE_IN
                                                                         : 0;
    if (route->directions == 0)
        REFUSE(place, "the direction of %s is '%s', but may only be %s; a pattern with spaces needs quotes",
               keyword, text_quote(room, sizeof room, span_of_text(text)),
               route->is_remap ? "out or in" : "out, in or both");
    return route->directions != 0;
}

static bool read_qos(const struct value_place *place, const char *keyword, const char *text,
                     struct conf_route *route) {
    char room[TEXT_QUOTED_SIZE];
    if (text[0] < '0' || text[0] > '2' || text[1] != '\0') {
        REFUSE(place, "the QoS of %s is '%s', but must be 0, 1 or 2 and stand between the direction and %s",
               keyword, text_quote(room, sizeof room, span_of_text(text)),
               route->is_remap ? "the template" : "the prefixes");
        return false;
    }
    route->qos = (uint8_t)(text[0] - '0');
    return true;
}

static bool is_good_filter(const struct value_place *place, const char *what, const char *filter) {
    char room[TEXT_QUOTED_SIZE];
    const char *trouble = route_filter_trouble(span_of_text(filter));
    if (trouble != NULL)
        REFUSE(place, "the %s '%s' %s", what, text_quote(room, sizeof room, span_of_text(filter)), trouble);
    return trouble == NULL;
}

/* ---- topic ---- */

static bool read_prefix(const struct value_place *place, const char *what, const char *text,
                        const char **prefix) {
    char room[TEXT_QUOTED_SIZE];
    if (text == NULL || text[0] == '\0')
        return true;
    if (strpbrk(text, "+#") != NULL) {
        REFUSE(place, "the %s prefix '%s' may not hold the wildcards + and #; put them into the pattern",
               what, text_quote(room, sizeof room, span_of_text(text)));
        return false;
    }
    *prefix = text;
    return true;
}

static const char *join(const struct value_place *place, const char *prefix, const char *pattern) {
    const char *joined = arena_print(place->arena, "%s%s", prefix == NULL ? "" : prefix, pattern);
    if (joined == NULL)
        value_out_of_memory(place);
    return joined;
}

/* topic PATTERN [out|in|both [QOS [LOCAL-PREFIX [REMOTE-PREFIX]]]] */
static bool read_topic(const struct value_place *place, const char *keyword, struct span rest,
                       struct conf_route *route) {
    struct words words = {.count = 0};
    if (!read_words(place, keyword, rest, 5, &words))
        return false;
    if (words.count == 0) {
        REFUSE(place, "%s has no pattern; write one behind it, such as: topic sensors/# out 1", keyword);
        return false;
    }
    route->pattern = words.text[0];
    route->directions = CONF_ROUTE_OUT;
    if ((words.count > 1 && !read_direction(place, keyword, words.text[1], route)) ||
        (words.count > 2 && !read_qos(place, keyword, words.text[2], route)) ||
        !read_prefix(place, "local", words.text[3], &route->local_prefix) ||
        !read_prefix(place, "remote", words.text[4], &route->remote_prefix))
        return false;
    if (route->pattern[0] == '\0' && (route->local_prefix == NULL || route->remote_prefix == NULL)) {
        REFUSE(place,
               "with an empty pattern %s needs both prefixes, the local topic and the remote one, such "
               "as: topic \"\" out 1 local/topic remote/topic",
               keyword);
        return false;
    }
    route->local_filter = join(place, route->local_prefix, route->pattern);
    route->remote_filter = join(place, route->remote_prefix, route->pattern);
    return route->local_filter != NULL && route->remote_filter != NULL &&
           is_good_filter(place, "local filter", route->local_filter) &&
           is_good_filter(place, "remote filter", route->remote_filter);
}

/* ---- remap ---- */

/* How many + the filter has, and whether it ends in #. */
static unsigned count_captures(const char *filter, bool *has_rest) {
    unsigned count = 0;
    *has_rest = false;
    for (struct span inner = without_share(span_of_text(filter)); inner.size != 0;
         inner = span_after(inner, 1)) {
        count += inner.at[0] == '+';
        *has_rest |= inner.at[0] == '#';
    }
    return count;
}

/* C} of ${topic:C}: one character that may stand in a topic. Returns its size; 0: it is none. */
static size_t flattening_size(const char *at) {
    size_t size = 1;
    if (*at == '\0' || *at == '+' || *at == '#')
        return 0;
    while (((uint8_t)at[size] & 0xC0) == 0x80) /* the line is UTF-8 */
        size++;
    return at[size] == '}' ? size + 1 : 0;
}

/* The placeholder at a $: its size, 0 and a finding when it is none. */
static size_t read_placeholder(const struct value_place *place, const char *at, unsigned captures,
                               bool has_rest) {
    static const char *const flattened[] = {"${#:", "${topic:"};
    static const char *const names[] = {"${hostname}", "${name}", "$$"};
    char room[TEXT_QUOTED_SIZE];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(at, names[i], strlen(names[i])) == 0)
            return strlen(names[i]);
    if (at[1] >= '1' && at[1] <= '9') {
        if ((unsigned)(at[1] - '0') <= captures)
            return 2;
        REFUSE(place,
               "the template of remap has $%c, but the filter has only %u +; remove it or change the filter",
               at[1], captures);
        return 0;
    }
    bool is_rest = at[1] == '#' || strncmp(at, flattened[0], strlen(flattened[0])) == 0;
    if (is_rest && !has_rest) {
        REFUSE(place,
               "the template of remap has $#, but the filter has no #; remove it or change the filter");
        return 0;
    }
    if (at[1] == '#')
        return 2;
    for (size_t i = 0; i < sizeof flattened / sizeof flattened[0]; i++) {
        size_t size = strlen(flattened[i]);
        size_t more = strncmp(at, flattened[i], size) == 0 ? flattening_size(at + size) : 0;
        if (more != 0)
            return size + more;
    }
    REFUSE(place,
           "the template of remap has '%s', which is none of $1 to $9, $#, ${#:C}, ${topic:C} (C is one "
           "character), ${hostname}, "
           "${name}; write $$ for a dollar",
           text_quote(room, sizeof room, span_of_text(at)));
    return 0;
}

static bool check_template(const struct value_place *place, const char *filter, const char *target) {
    bool has_rest;
    unsigned captures = count_captures(filter, &has_rest);
    char room[TEXT_QUOTED_SIZE];
    for (const char *at = target; *at != '\0';) {
        if (*at == '+' || *at == '#') {
            REFUSE(place,
                   "the template of remap is '%s', but no topic holds + or #; write $1 to $9 or $# for what "
                   "they matched",
                   text_quote(room, sizeof room, span_of_text(target)));
            return false;
        }
        size_t size = *at == '$' ? read_placeholder(place, at, captures, has_rest) : 1;
        if (size == 0)
            return false;
        at += size;
    }
    if (target[0] != '\0' && strlen(target) <= TOPIC_SIZE_MAX)
        return true;
    REFUSE(place, "the template of remap is %s, which never makes a topic",
           target[0] == '\0' ? "empty" : "too long");
    return false;
}

/* remap FILTER out|in QOS TEMPLATE */
static bool read_remap(const struct value_place *place, const char *keyword, struct span rest,
                       struct conf_route *route) {
    struct words words = {.count = 0};
    route->is_remap = true;
    if (!read_words(place, keyword, rest, 4, &words))
        return false;
    if (words.count < 4) {
        REFUSE(place,
               "%s takes four values; write: remap FILTER out|in QOS TEMPLATE, such as: remap sensors/+/temp "
               "out 1 eu/$1/t",
               keyword);
        return false;
    }
    route->source_filter = words.text[0];
    route->target = words.text[3];
    return is_good_filter(place, "filter", route->source_filter) &&
           read_direction(place, keyword, words.text[1], route) &&
           read_qos(place, keyword, words.text[2], route) &&
           check_template(place, route->source_filter, route->target);
}

bool route_read(const struct value_place *place, const char *keyword, struct span rest,
                struct conf_route **first) {
    struct conf_route *route = arena_alloc(place->arena, sizeof *route), **end = first;
    if (route == NULL) {
        value_out_of_memory(place);
        return false;
    }
    route->origin = (struct conf_origin){place->file, place->line};
    if (strcmp(keyword, "remap") == 0 ? !read_remap(place, keyword, rest, route)
                                      : !read_topic(place, keyword, rest, route))
        return false;
    while (*end != NULL)
        end = &(*end)->next;
    *end = route;
    return true;
}

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool routes_are_equal(const struct conf_route *a, const struct conf_route *b) {
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (a->is_remap != b->is_remap || a->directions != b->directions || a->qos != b->qos ||
            !is_same_text(a->pattern, b->pattern) || !is_same_text(a->local_prefix, b->local_prefix) ||
            !is_same_text(a->remote_prefix, b->remote_prefix) ||
            !is_same_text(a->source_filter, b->source_filter) || !is_same_text(a->target, b->target))
            return false;
    return a == b;
}

/* A word, in quotes where it needs them. */
static const char *print_word(const char *text, char *room, size_t room_size) {
    char quoted[TEXT_QUOTED_SIZE];
    bool needs_quotes = text == NULL || text[0] == '\0' || strchr(text, ' ') != NULL;
    text_quote(quoted, sizeof quoted, text == NULL ? SPAN_NONE : span_of_text(text));
    snprintf(room, room_size, needs_quotes ? "\"%s\"" : "%s", quoted);
    return room;
}

const char *route_print(const struct conf_route *route, char *room, size_t room_size) {
    char first[TEXT_QUOTED_SIZE + 2], local[TEXT_QUOTED_SIZE + 2], remote[TEXT_QUOTED_SIZE + 2];
    const char *direction = route->directions == CONF_ROUTE_OUT  ? "out"
                            : route->directions == CONF_ROUTE_IN ? "in"
                                                                 : "both";
    print_word(route->is_remap ? route->source_filter : route->pattern, first, sizeof first);
    if (route->is_remap)
        snprintf(room, room_size, "remap %s %s %u %s", first, direction, route->qos,
                 print_word(route->target, local, sizeof local));
    else if (route->local_prefix == NULL && route->remote_prefix == NULL)
        snprintf(room, room_size, "topic %s %s %u", first, direction, route->qos);
    else
        snprintf(room, room_size, "topic %s %s %u %s %s", first, direction, route->qos,
                 print_word(route->local_prefix, local, sizeof local),
                 print_word(route->remote_prefix, remote, sizeof remote));
    return room;
}

const char *routes_print(const struct conf_route *first, char *room, size_t room_size) {
    char line[3 * TEXT_QUOTED_SIZE + 32];
    size_t used = (size_t)snprintf(room, room_size, "%s", first == NULL ? "none" : "");
    for (const struct conf_route *route = first; route != NULL; route = route->next) {
        int size = snprintf(room + used, room_size - used, "%s%s", route == first ? "" : ", ",
                            route_print(route, line, sizeof line));
        if (size < 0 || (size_t)size >= room_size - used) {
            if (room_size > 3) /* there is more */
                memcpy(room + room_size - 4, "...", 4);
            break;
        }
        used += (size_t)size;
    }
    return room;
}
