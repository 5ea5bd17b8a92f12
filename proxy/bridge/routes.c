#include "bridge/routes.h"

#include "bridge/rule.h"
#include "mqtt/topic.h"

static struct span text_of(const char *text) {
    return text == NULL ? SPAN_NONE : span_of_text(text);
}

static struct span without_share(struct span filter) {
    struct span name, inner;
    return mqtt_topic_split_share(filter, &name, &inner) ? inner : filter;
}

/* Lines without a prefix never rename, and are asked last. */
static bool may_rename(const struct conf_route *line) {
    return line->is_remap || line->local_prefix != NULL || line->remote_prefix != NULL;
}

/* ---- remap ---- */

#define CAPTURES_MAX 9

struct captures {
    struct span levels[CAPTURES_MAX]; /* what each + matched */
    struct span rest;                 /* what # matched */
};

/* The name matches the filter. `a/#` matches `a`, with nothing for the #. */
static void capture(struct span filter, struct span name, struct captures *captures) {
    struct span wanted, level;
    size_t count = 0;
    *captures = (struct captures){.rest = SPAN_NONE};
    while (mqtt_topic_next_level(&filter, &wanted)) {
        if (span_is_text(wanted, "#")) {
            captures->rest = name;
            return;
        }
        if (!mqtt_topic_next_level(&name, &level))
            return;
        if (span_is_text(wanted, "+") && count < CAPTURES_MAX)
            captures->levels[count++] = level;
    }
}

/* `text` with `character` in place of each slash. */
static void write_flat(struct writer *room, struct span text, struct span character) {
    struct span level;
    for (bool is_first = true; mqtt_topic_next_level(&text, &level); is_first = false) {
        if (!is_first)
            writer_bytes(room, character);
        writer_bytes(room, level);
    }
}

/* ${#:C} or ${topic:C}: how long it is; 0: none of them. *character is C. */
static size_t flattened_size(struct span at, const char *beginning, struct span *character) {
    size_t start = strlen(beginning), size = start + 1;
    if (!span_begins_with(at, span_of_text(beginning)))
        return 0;
    while (size < at.size && (at.at[size] & 0xC0) == 0x80) /* the rest of one UTF-8 character */
        size++;
    *character = span_of(at.at + start, size - start);
    return size + 1; /* with the brace */
}

enum piece {
    PIECE_TEXT,
    PIECE_LEVEL, /* one level of the topic */
    PIECE_REST,  /* any number of them */
};

struct filling {
    struct writer *room;
    const struct captures *captures;
    struct span topic;
    const char *hostname, *name;
};

/* Takes the next piece off the template, which the configuration has checked, and writes what it stands
 * for. With `captures` NULL only text is written: what is fixed. */
static enum piece fill(const struct filling *filling, struct span *template) {
    struct span at = *template, character = SPAN_NONE;
    const struct captures *captures = filling->captures;
    size_t size = 1;
    enum piece piece = PIECE_TEXT;
    const struct span hostname = SPAN_LITERAL("${hostname}"), name = SPAN_LITERAL("${name}");
    if (at.at[0] != '$') {
        writer_bytes(filling->room, span_first(at, 1));
    } else if (at.size > 1 && at.at[1] == '$') {
        size = 2;
        writer_u8(filling->room, '$');
    } else if (at.size > 1 && at.at[1] >= '1' && at.at[1] <= '9') {
        size = 2;
        piece = PIECE_LEVEL;
        if (captures != NULL)
            writer_bytes(filling->room, captures->levels[at.at[1] - '1']);
    } else if (at.size > 1 && at.at[1] == '#') {
        size = 2;
        piece = PIECE_REST;
        if (captures != NULL)
            writer_bytes(filling->room, captures->rest);
    } else if (span_begins_with(at, hostname)) {
        size = hostname.size;
        writer_bytes(filling->room, span_of_text(filling->hostname));
    } else if (span_begins_with(at, name)) {
        size = name.size;
        writer_bytes(filling->room, span_of_text(filling->name));
    } else if ((size = flattened_size(at, "${#:", &character)) != 0 ||
               (size = flattened_size(at, "${topic:", &character)) != 0) {
        piece = span_is_text(character, "/") ? PIECE_REST : PIECE_LEVEL;
        if (captures != NULL)
            write_flat(filling->room, at.at[2] == '#' ? captures->rest : filling->topic, character);
    } else {
        size = 1;
    }
    *template = span_after(at, size < at.size ? size : at.size);
    return piece;
}

static void remap(const struct routes *routes, const struct conf_route *line, struct span matching,
                  struct span topic, struct writer *room) {
    struct captures captures;
    capture(matching, topic, &captures);
    const struct filling filling = {room, &captures, topic, routes->hostname, routes->name};
    for (struct span template = span_of_text(line->target); template.size != 0;)
        fill(&filling, &template);
}

/* A filter for all that the template may make: a level with anything variable in it becomes +, and from
 * where the number of levels is open, #. Empty when memory is out. */
static struct span reach_of(struct arena *arena, const struct routes *routes, const struct conf_route *line) {
    size_t size = strlen(line->target) * (strlen(routes->hostname) + strlen(routes->name) + 1) + 2;
    char *bytes = arena_alloc(arena, size);
    if (bytes == NULL)
        return SPAN_NONE;
    struct writer room = writer_of(bytes, size);
    const struct filling filling = {&room, NULL, SPAN_NONE, routes->hostname, routes->name};
    uint8_t *level = room.at;
    bool is_open = false;
    for (struct span template = span_of_text(line->target); template.size != 0;) {
        bool is_slash = template.at[0] == '/';
        enum piece piece = is_slash ? PIECE_TEXT : fill(&filling, &template);
        is_open |= piece == PIECE_LEVEL;
        if (piece == PIECE_REST) {
            room.at = level;
            writer_u8(&room, '#');
            return writer_span(&room);
        }
        if (is_open && (is_slash || template.size == 0)) {
            room.at = level;
            writer_u8(&room, '+');
        }
        if (is_slash) {
            template = span_after(template, 1);
            writer_u8(&room, '/');
            level = room.at;
            is_open = false;
        }
    }
    return writer_span(&room);
}

/* ---- compiling ---- */

static bool is_same(const char *a, const char *b) {
    return span_is_equal(text_of(a), text_of(b));
}

/* A prefix that is missing in one of two lines makes them the same for mosquitto 2.1; 2.0 keeps both. */
static bool is_missing_or_same(const char *a, const char *b) {
    return a == NULL || b == NULL || is_same(a, b);
}

/* The line before that makes this one needless; NULL: none. */
static const struct conf_route *find_same(const struct routes *routes, const struct conf_route *line,
                                          struct findings *findings) {
    for (size_t i = 0; i < routes->count; i++) {
        const struct conf_route *other = routes->rules[i].line;
        if (other->is_remap != line->is_remap || other->directions != line->directions ||
            other->qos != line->qos || !is_same(other->pattern, line->pattern) ||
            !is_same(other->source_filter, line->source_filter) || !is_same(other->target, line->target))
            continue;
        if (is_same(other->local_prefix, line->local_prefix) &&
            is_same(other->remote_prefix, line->remote_prefix))
            return other;
        if (is_missing_or_same(other->local_prefix, line->local_prefix) &&
            is_missing_or_same(other->remote_prefix, line->remote_prefix))
            findings_add(findings, FINDING_NOTICE, line->origin.file, line->origin.line,
                         "this line and %s:%u differ in a prefix that one of them has not; mosquitto 2.1 "
                         "leaves out the second of such lines, here both count",
                         other->origin.file, other->origin.line);
    }
    return NULL;
}

static void add(struct routes *routes, const struct conf_route *line) {
    struct rule *rule = &routes->rules[routes->count++];
    rule->line = line;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct side *side = &rule->sides[lane];
        bool is_out = lane == LANE_OUT;
        side->is_used = (line->directions & (is_out ? CONF_ROUTE_OUT : CONF_ROUTE_IN)) != 0;
        if (!side->is_used)
            continue;
        if (line->is_remap) {
            side->source = span_of_text(line->source_filter);
        } else {
            side->source = span_of_text(is_out ? line->local_filter : line->remote_filter);
            side->target = span_of_text(is_out ? line->remote_filter : line->local_filter);
            side->cut = text_of(is_out ? line->local_prefix : line->remote_prefix);
            side->put = text_of(is_out ? line->remote_prefix : line->local_prefix);
            side->reach = without_share(side->target);
        }
        side->matching = without_share(side->source);
    }
}

static size_t count_lines(const struct conf_bridge *bridge) {
    size_t count = 0;
    for (const struct conf_route *line = bridge->topic; line != NULL; line = line->next)
        count++;
    return count;
}

static bool reach_all(struct arena *arena, struct routes *routes) {
    for (size_t i = 0; i < routes->count; i++)
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            struct rule *rule = &routes->rules[i];
            if (!rule->line->is_remap || !rule->sides[lane].is_used)
                continue;
            rule->sides[lane].reach = reach_of(arena, routes, rule->line);
            if (rule->sides[lane].reach.at == NULL)
                return false;
        }
    return true;
}

const struct routes *routes_compile(struct arena *arena, const struct conf_bridge *bridge,
                                    const struct conf_backend *local, const char *hostname,
                                    struct findings *findings) {
    struct routes *routes =
        arena_alloc(arena, sizeof *routes + count_lines(bridge) * sizeof routes->rules[0]);
    if (routes == NULL) {
        findings->out_of_memory = true;
        return NULL;
    }
    routes->hostname = hostname;
    routes->name = bridge->name;
    for (const struct conf_route *line = bridge->topic; line != NULL; line = line->next) {
        const struct conf_route *same = find_same(routes, line, findings);
        if (same == NULL)
            add(routes, line);
        else
            findings_add(findings, FINDING_WARNING, line->origin.file, line->origin.line,
                         "this line says the same as %s:%u; remove one of the two", same->origin.file,
                         same->origin.line);
    }
    if (!reach_all(arena, routes)) {
        findings->out_of_memory = true;
        return NULL;
    }
    return echoes_check(routes, bridge, local, findings) ? routes : NULL;
}

/* ---- asking ---- */

size_t routes_count(const struct routes *routes) {
    return routes->count;
}

const struct conf_route *routes_line(const struct routes *routes, size_t index) {
    return routes->rules[index].line;
}

bool routes_source(const struct routes *routes, size_t index, enum lane lane, struct span *filter,
                   uint8_t *qos) {
    const struct side *side = &routes->rules[index].sides[lane];
    if (!side->is_used)
        return false;
    *filter = side->source;
    *qos = 0;
    for (size_t i = 0; i < routes->count; i++) {
        const struct rule *rule = &routes->rules[i];
        if (rule->sides[lane].is_used && rule->line->qos > *qos &&
            span_is_equal(rule->sides[lane].source, side->source))
            *qos = rule->line->qos;
    }
    return true;
}

bool routes_target(const struct routes *routes, size_t index, enum lane lane, struct span *filter) {
    const struct side *side = &routes->rules[index].sides[lane];
    *filter = side->target;
    return side->is_used;
}

/* The first line that renames, else the first that matches at all. */
static const struct rule *find(const struct routes *routes, enum lane lane, struct span topic) {
    const struct rule *plain = NULL;
    for (size_t i = 0; i < routes->count; i++) {
        const struct rule *rule = &routes->rules[i];
        bool renames = may_rename(rule->line);
        if (!rule->sides[lane].is_used || (!renames && plain != NULL) ||
            !mqtt_topic_matches(rule->sides[lane].matching, topic))
            continue;
        if (renames)
            return rule;
        plain = rule;
    }
    return plain;
}

enum route_answer routes_map(const struct routes *routes, enum lane lane, struct span topic,
                             struct writer *room, struct span *mapped, const struct conf_route **line) {
    const struct rule *rule = find(routes, lane, topic);
    if (line != NULL)
        *line = rule == NULL ? NULL : rule->line;
    *mapped = topic;
    if (rule == NULL)
        return ROUTE_NONE;
    if (!may_rename(rule->line))
        return ROUTE_SAME;
    const struct side *side = &rule->sides[lane];
    *room = writer_of(room->start, (size_t)(room->end - room->start));
    if (rule->line->is_remap) {
        remap(routes, rule->line, side->matching, topic, room);
    } else {
        /* The filter was compared by levels, the prefix is by bytes: `B/c` matches `B/c/#` and does not
         * begin with `B/c/`, so nothing is cut. */
        bool has_prefix = side->cut.size != 0 && span_begins_with(topic, side->cut);
        writer_bytes(room, side->put);
        writer_bytes(room, has_prefix ? span_after(topic, side->cut.size) : topic);
    }
    *mapped = writer_span(room);
    return room->is_full || !mqtt_topic_is_name(*mapped) ? ROUTE_WRONG : ROUTE_MAPPED;
}

/* Of the matching lines the one with the highest QoS, the first of them. */
static const struct side *best_of(const struct routes *routes, enum lane lane, struct span topic,
                                  uint8_t *qos) {
    const struct side *best = NULL;
    *qos = 0;
    for (size_t i = 0; i < routes->count; i++) {
        const struct rule *rule = &routes->rules[i];
        const struct side *side = &rule->sides[lane];
        if (side->is_used && (best == NULL || rule->line->qos > *qos) &&
            mqtt_topic_matches(side->matching, topic)) {
            best = side;
            *qos = rule->line->qos;
        }
    }
    return best;
}

uint8_t routes_qos(const struct routes *routes, enum lane lane, struct span topic) {
    uint8_t qos;
    best_of(routes, lane, topic, &qos);
    return qos;
}

/* FNV-1a, folded into what a variable byte integer can hold; two filters with the same number only make
 * copies look alike. */
static uint32_t number_of(struct span filter) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < filter.size; i++)
        hash = (hash ^ filter.at[i]) * 16777619u;
    return 1 + hash % 268435454u;
}

uint32_t routes_subscription_id(const struct routes *routes, size_t index, enum lane lane) {
    return number_of(routes->rules[index].sides[lane].source);
}

bool routes_takes_copy(const struct routes *routes, enum lane lane, struct span topic,
                       uint32_t subscription_id) {
    uint8_t qos;
    const struct side *best = best_of(routes, lane, topic, &qos);
    if (best == NULL || number_of(best->source) == subscription_id)
        return true;
    for (size_t i = 0; i < routes->count; i++) {
        const struct side *side = &routes->rules[i].sides[lane];
        if (side->is_used && number_of(side->source) == subscription_id)
            return false;
    }
    return true;
}
