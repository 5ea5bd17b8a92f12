#include "inspect/alias.h"

#include <stdlib.h>

void alias_clear(struct alias_map *map) {
    for (uint32_t i = 0; i < map->room; i++)
        free(map->entries[i].topic);
    free(map->entries);
    *map = (struct alias_map){.max = map->max};
}

static bool make_room(struct alias_map *map, uint16_t alias) {
    if (alias <= map->room)
        return true;
    uint32_t room = map->room == 0 ? 8 : map->room * 2u;
    while (room < alias)
        room *= 2;
    if (room > map->max)
        room = map->max;
    struct alias_entry *grown = realloc(map->entries, room * sizeof *grown);
    if (grown == NULL)
        return false;
    memset(grown + map->room, 0, (room - map->room) * sizeof *grown);
    map->entries = grown;
    map->room = (uint16_t)room;
    return true;
}

bool alias_set(struct alias_map *map, uint16_t alias, struct span topic, bool is_known) {
    if (alias == 0 || alias > map->max || !make_room(map, alias))
        return false;
    struct alias_entry *entry = &map->entries[alias - 1];
    if (entry->topic != NULL && span_is_equal(span_of(entry->topic, entry->size), topic)) {
        entry->is_known = entry->is_known || is_known;
        return true;
    }
    if (map->bytes - entry->size + topic.size > ALIAS_BYTES_MAX)
        return false;
    uint8_t *copy = malloc(topic.size);
    if (copy == NULL)
        return false;
    memcpy(copy, topic.at, topic.size);
    free(entry->topic);
    map->bytes += topic.size - entry->size;
    *entry = (struct alias_entry){copy, (uint16_t)topic.size, is_known};
    return true;
}

struct alias_entry *alias_find(struct alias_map *map, uint16_t alias) {
    if (alias == 0 || alias > map->room || map->entries[alias - 1].topic == NULL)
        return NULL;
    return &map->entries[alias - 1];
}
