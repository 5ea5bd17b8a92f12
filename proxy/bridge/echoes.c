/* echoes: lines of a bridge that feed each other. */
#include "bridge/rule.h"

#include "base/writer.h"
#include "mqtt/topic.h"

#include <stdlib.h>

static bool is_same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_wild(struct span level) {
    return span_is_text(level, "+") || span_is_text(level, "#");
}

static void write_level(struct writer *room, struct span level, bool is_first) {
    if (!is_first)
        writer_u8(room, '/');
    writer_bytes(room, level);
}

/* A filter for the topics that both filters match, written to the room; false when there are none. */
static bool intersect(struct span a, struct span b, struct writer *room) {
    struct span one, other;
    bool is_first = true;
    for (;; is_first = false) {
        bool has_one = mqtt_topic_next_level(&a, &one), has_other = mqtt_topic_next_level(&b, &other);
        if (!has_one || !has_other) /* `a/#` matches `a` */
            return has_one == has_other || span_is_text(has_one ? one : other, "#");
        /* MQTT 5.0 4.7.2-1: a wildcard in front does not match $SYS */
        bool is_hidden = (other.size != 0 && other.at[0] == '$') || (one.size != 0 && one.at[0] == '$');
        if (is_first && is_hidden && (is_wild(one) || is_wild(other)))
            return false;
        if (span_is_text(one, "#") || span_is_text(other, "#")) {
            struct span rest = span_is_text(one, "#") ? b : a;
            write_level(room, span_is_text(one, "#") ? other : one, is_first);
            for (struct span level; mqtt_topic_next_level(&rest, &level);)
                write_level(room, level, false);
            return true;
        }
        if (!is_wild(one) && !is_wild(other) && !span_is_equal(one, other))
            return false;
        write_level(room, is_wild(one) ? other : one, is_first);
    }
}

static bool overlap(struct span a, struct span b) {
    uint8_t none; /* what comes out is not wanted */
    struct writer nowhere = writer_of(&none, 0);
    return intersect(a, b, &nowhere);
}

/* Does a message come back by the name it had? Then a broker that does not send it back is all that is
 * needed, and every `both` line is so. */
static bool is_there_and_back(const struct conf_route *out, const struct conf_route *in) {
    return !out->is_remap && !in->is_remap && is_same(out->local_prefix, in->local_prefix) &&
           is_same(out->remote_prefix, in->remote_prefix);
}

/* Can what goes out by the one line come in by the other and then go out by the first again? The room is
 * for filters; one that is longer than it counts as no. */
static bool comes_back(const struct side *out, const struct rule *inward, struct writer room) {
    const struct side *in = &inward->sides[LANE_IN];
    struct writer mapped = writer_of(room.start, (size_t)(room.end - room.start) / 2);
    room.at = mapped.end;
    room.start = mapped.end;
    if (!intersect(out->reach, in->matching, &room) || room.is_full)
        return false;
    if (inward->line->is_remap)
        return overlap(in->reach, out->matching);
    struct span through = writer_span(&room);
    writer_bytes(&mapped, in->put);
    writer_bytes(&mapped, span_begins_with(through, in->cut) ? span_after(through, in->cut.size) : through);
    return !mapped.is_full && overlap(writer_span(&mapped), out->matching);
}

#define ROOM_SIZE (4 * 65536) /* two filters of two joined ones each */

static void warn_of_echoes(const struct routes *routes, const struct conf_bridge *bridge, void *bytes,
                           struct findings *findings) {
    for (size_t i = 0; i < routes->count; i++)
        for (size_t j = 0; j < routes->count; j++) {
            const struct rule *one = &routes->rules[i], *other = &routes->rules[j];
            const struct side *out = &one->sides[LANE_OUT], *in = &other->sides[LANE_IN];
            if (!out->is_used || !in->is_used || is_there_and_back(one->line, other->line) ||
                !comes_back(out, other, writer_of(bytes, ROOM_SIZE)))
                continue;
            const struct conf_origin *at = j > i ? &other->line->origin : &one->line->origin;
            const struct conf_origin *with = j > i ? &one->line->origin : &other->line->origin;
            findings_add(
                findings, FINDING_WARNING, at->file, at->line,
                "what connection %s sends out by one of this line and %s:%u can come in by the other "
                "under another name and go out again, for ever if the remote broker sends a bridge "
                "its own messages; choose prefixes that do not meet",
                bridge->name, with->file, with->line);
            return; /* one is enough to think about all of them */
        }
}

static bool is_loopback(const char *host) {
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || strncmp(host, "127.", 4) == 0;
}

static const struct conf_backend *find_local(const struct conf_bridge *bridge,
                                             const struct conf_backend *local) {
    for (size_t i = 0; local != NULL && local->host != NULL && i < bridge->address->count; i++) {
        const struct conf_backend *remote = &bridge->address->list[i];
        if (remote->port == local->port && (strcmp(remote->host, local->host) == 0 ||
                                            (is_loopback(remote->host) && is_loopback(local->host))))
            return remote;
    }
    return NULL;
}

/* What a walk over the lines of a bridge from a broker to itself remembers of each line and lane. */
enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

/* Where the walk stands: line and lane, and what is to be looked at next. */
struct step {
    size_t node, next;
};

static const struct side *side_at(const struct routes *routes, size_t node) {
    return &routes->rules[node / LANE_COUNT].sides[node % LANE_COUNT];
}

/* Depth first from one line, without recursion: files may be long. True when the walk comes back to where it
 * has been: *found is there. */
static bool walk(const struct routes *routes, size_t start, uint8_t *marks, struct step *steps,
                 size_t *found) {
    size_t depth = 1, nodes = routes->count * LANE_COUNT;
    steps[0] = (struct step){start, 0};
    marks[start] = MARK_OPEN;
    while (depth != 0) {
        struct step *step = &steps[depth - 1];
        if (step->next == nodes) {
            marks[step->node] = MARK_DONE;
            depth--;
            continue;
        }
        size_t next = step->next++;
        const struct side *side = side_at(routes, next);
        if (!side->is_used || marks[next] == MARK_DONE ||
            !overlap(side_at(routes, step->node)->reach, side->matching))
            continue;
        if (marks[next] == MARK_OPEN) {
            *found = next;
            return true;
        }
        marks[next] = MARK_OPEN;
        steps[depth++] = (struct step){next, 0};
    }
    return false;
}

/* From a broker to itself: any circle of lines is endless. */
static bool check_same_broker(const struct routes *routes, const struct conf_backend *remote,
                              struct findings *findings) {
    size_t nodes = routes->count * LANE_COUNT, found = 0;
    uint8_t *marks = calloc(nodes, 1);
    struct step *steps = calloc(nodes, sizeof *steps);
    bool is_found = false;
    findings->out_of_memory |= marks == NULL || steps == NULL;
    for (size_t i = 0; marks != NULL && steps != NULL && i < nodes && !is_found; i++)
        is_found =
            side_at(routes, i)->is_used && marks[i] == MARK_NEW && walk(routes, i, marks, steps, &found);
    free(marks);
    free(steps);
    if (is_found) {
        const struct conf_origin *at = &routes->rules[found / LANE_COUNT].line->origin;
        findings_add(findings, FINDING_ERROR, at->file, at->line,
                     "address %s is the broker in backend, so what this line makes comes back to it without "
                     "end; name another broker, or choose prefixes that lead away",
                     remote->text);
    }
    return !is_found && !findings->out_of_memory;
}

bool echoes_check(const struct routes *routes, const struct conf_bridge *bridge,
                  const struct conf_backend *local, struct findings *findings) {
    const struct conf_backend *remote = find_local(bridge, local);
    if (remote != NULL)
        return check_same_broker(routes, remote, findings);
    void *bytes = malloc(ROOM_SIZE);
    if (bytes == NULL) {
        findings->out_of_memory = true;
        return false;
    }
    warn_of_echoes(routes, bridge, bytes, findings);
    free(bytes);
    return true;
}
