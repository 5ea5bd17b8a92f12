#include <stdlib.h>

#include "bridge/inside.h"

bool supply_has(const struct supply *supply, int64_t number) {
    for (const struct message *one = supply->first; one != NULL; one = one->next)
        if (one->number == number)
            return true;
    return false;
}

static bool is_before(const struct message *a, const struct message *b, bool is_newest_first) {
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return is_newest_first ? a->number > b->number : a->number < b->number;
}

static void drop_last(struct supply *supply) {
    struct message **link = &supply->first;
    while ((*link)->next != NULL)
        link = &(*link)->next;
    supply->bytes -= message_size(*link);
    supply->count--;
    free(*link);
    *link = NULL;
    supply->has_more = true;
}

static bool is_over(const struct supply *supply) {
    return supply->count > SUPPLY_COUNT_MAX || (supply->bytes > SUPPLY_BYTES_MAX && supply->count > 1);
}

/* At its place. Most come in order, so it is looked for only when the last one is not before it. */
static void insert(struct supply *supply, struct message *message, struct message **end,
                   bool is_newest_first) {
    struct message **link = end;
    if (link == NULL)
        for (link = &supply->first; *link != NULL && is_before(*link, message, is_newest_first);)
            link = &(*link)->next;
    message->next = *link;
    *link = message;
    supply->count++;
    supply->bytes += message_size(message);
}

void supply_offer(struct supply *supply, struct message *message, bool is_newest_first) {
    struct message **link = &supply->first;
    while (*link != NULL && is_before(*link, message, is_newest_first))
        link = &(*link)->next;
    if (*link == NULL && supply->has_more) { /* others that are on the disk alone may come before it */
        free(message);
        return;
    }
    insert(supply, message, link, is_newest_first);
    while (is_over(supply))
        drop_last(supply);
}

void supply_take(struct supply *supply, struct message *first, bool is_newest_first) {
    while (first != NULL) {
        struct message *one = first;
        first = one->next;
        if (supply_has(supply, one->number))
            free(one);
        else
            insert(supply, one, NULL, is_newest_first);
    }
}

struct message *supply_pop(struct supply *supply) {
    struct message *message = supply->first;
    if (message == NULL)
        return NULL;
    supply->first = message->next;
    supply->count--;
    supply->bytes -= message_size(message);
    message->next = NULL;
    return message;
}

void supply_remove(struct supply *supply, int64_t number) {
    for (struct message **link = &supply->first; *link != NULL; link = &(*link)->next)
        if ((*link)->number == number) {
            struct message *gone = *link;
            *link = gone->next;
            supply->count--;
            supply->bytes -= message_size(gone);
            free(gone);
            return;
        }
}

void supply_clear(struct supply *supply) {
    while (supply->first != NULL)
        free(supply_pop(supply));
    supply->is_fetching = false;
    supply->tag++;
}
