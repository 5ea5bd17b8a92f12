#include "conf/patterns.h"

#include "base/text.h"

#include <stdio.h>

static bool is_allowing(const char *keyword) {
    const char *ending = strrchr(keyword, '_');
    return ending != NULL && strcmp(ending, "_allow") == 0;
}

/* What stands behind a line that matches everything is never asked. */
static void warn_of_idle(const struct value_place *place, const char *keyword,
                         const struct conf_pattern *above) {
    if (strcmp(above->text, "*") == 0)
        findings_add(place->findings, FINDING_WARNING, place->file, place->line,
                     "%s has no effect, for the line %s:%u above matches every client id; change their order",
                     keyword, above->origin.file, above->origin.line);
}

static bool add(const struct value_place *place, const char *text, bool is_allowed,
                struct conf_pattern **end) {
    struct conf_pattern *pattern = arena_alloc(place->arena, sizeof *pattern);
    if (pattern == NULL) {
        value_out_of_memory(place);
        return false;
    }
    *pattern =
        (struct conf_pattern){.origin = {place->file, place->line}, .text = text, .is_allowed = is_allowed};
    *end = pattern;
    return true;
}

bool patterns_read(const struct value_place *place, const char *keyword, struct span rest,
                   struct conf_pattern **first) {
    const char *text = value_read_string(place, keyword, rest);
    if (text == NULL)
        return false;
    struct conf_pattern **end = first;
    for (; *end != NULL; end = &(*end)->next)
        warn_of_idle(place, keyword, *end);
    return add(place, text, is_allowing(keyword), end);
}

bool patterns_add(const struct value_place *place, const char *keyword, struct span rest,
                  enum pattern_kind kind, struct conf_pattern **first) {
    const char *text = value_read_string(place, keyword, rest);
    if (text != NULL && kind != PATTERN_TEXT)
        text = value_resolve(place, text);
    if (text == NULL)
        return false;
    struct conf_pattern **end = first;
    for (; *end != NULL; end = &(*end)->next)
        if (kind != PATTERN_PLACED_PATH && strcmp((*end)->text, text) == 0) {
            findings_add(place->findings, FINDING_WARNING, place->file, place->line,
                         "%s says the same as the line %s:%u above; remove one of the two", keyword,
                         (*end)->origin.file, (*end)->origin.line);
            return true;
        }
    return add(place, text, false, end);
}

bool patterns_are_equal(const struct conf_pattern *a, const struct conf_pattern *b) {
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (a->is_allowed != b->is_allowed || strcmp(a->text, b->text) != 0)
            return false;
    return a == b;
}

static const char *print(const struct conf_pattern *first, bool is_plain, char *room, size_t room_size) {
    size_t used = (size_t)snprintf(room, room_size, "%s", first == NULL ? "none" : "");
    for (const struct conf_pattern *pattern = first; pattern != NULL; pattern = pattern->next) {
        char quoted[TEXT_QUOTED_SIZE];
        int size = snprintf(room + used, room_size - used, "%s%s%s", pattern == first ? "" : ", ",
                            is_plain              ? ""
                            : pattern->is_allowed ? "allow "
                                                  : "deny ",
                            text_quote(quoted, sizeof quoted, span_of_text(pattern->text)));
        if (size < 0 || (size_t)size >= room_size - used) {
            if (room_size > 3) /* there is more */
                memcpy(room + room_size - 4, "...", 4);
            break;
        }
        used += (size_t)size;
    }
    return room;
}

const char *patterns_print(const struct conf_pattern *first, char *room, size_t room_size) {
    return print(first, false, room, room_size);
}

const char *patterns_print_all(const struct conf_pattern *first, char *room, size_t room_size) {
    return print(first, true, room, room_size);
}
