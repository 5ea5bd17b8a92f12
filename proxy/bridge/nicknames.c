#include "bridge/nicknames.h"

#include <stdlib.h>
#include <string.h>

void nicknames_clear(struct nicknames *nicknames) {
    for (size_t i = 0; i < NICKNAMES_MAX; i++)
        free(nicknames->entries[i].topic);
    *nicknames = (struct nicknames){0};
}

void nicknames_begin(struct nicknames *nicknames, uint32_t max) {
    nicknames_clear(nicknames);
    nicknames->max = (uint16_t)(max < NICKNAMES_MAX ? max : NICKNAMES_MAX);
}

uint16_t nicknames_find(struct nicknames *nicknames, struct span topic) {
    for (uint16_t i = 0; i < nicknames->max; i++) {
        struct nickname *entry = &nicknames->entries[i];
        if (entry->topic == NULL || !span_is_equal(span_of(entry->topic, entry->size), topic))
            continue;
        entry->used = ++nicknames->now;
        return (uint16_t)(i + 1);
    }
    return 0;
}

uint16_t nicknames_give(struct nicknames *nicknames, struct span topic) {
    uint16_t oldest = 0;
    if (nicknames->max == 0 || topic.size < NICKNAME_TOPIC_MIN)
        return 0;
    for (uint16_t i = 1; i < nicknames->max; i++)
        if (nicknames->entries[i].used < nicknames->entries[oldest].used)
            oldest = i;
    uint8_t *own = malloc(topic.size);
    if (own == NULL)
        return 0; /* it goes without */
    memcpy(own, topic.at, topic.size);
    free(nicknames->entries[oldest].topic);
    nicknames->entries[oldest] = (struct nickname){own, topic.size, ++nicknames->now};
    return (uint16_t)(oldest + 1);
}
