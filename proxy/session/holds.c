#include "session/holds.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

struct hold {
    UT_hash_handle hh;
    struct holder *holder;
    void *owner;
    struct hold *next_lost, **previous_lost; /* among the holder's lost ones; previous NULL: not there */
    bool is_in_table;
    size_t size;
    uint8_t name[];
};

struct holds {
    pthread_mutex_t lock;
    struct hold *table;
};

struct holds *holds_create(void) {
    struct holds *holds = calloc(1, sizeof *holds);
    if (holds != NULL)
        pthread_mutex_init(&holds->lock, NULL);
    return holds;
}

void holds_destroy(struct holds *holds) {
    if (holds == NULL)
        return;
    pthread_mutex_destroy(&holds->lock);
    free(holds);
}

/* All below under the lock. */

static void take_out(struct holds *holds, struct hold *hold) {
    HASH_DEL(holds->table, hold); /* NOLINT(clang-analyzer-*) */
    hold->is_in_table = false;
}

static void line_up(struct hold *hold) {
    struct holder *holder = hold->holder;
    hold->next_lost = holder->lost;
    hold->previous_lost = &holder->lost;
    if (hold->next_lost != NULL)
        hold->next_lost->previous_lost = &hold->next_lost;
    holder->lost = hold;
}

static void step_out(struct hold *hold) {
    if (hold->previous_lost == NULL)
        return;
    *hold->previous_lost = hold->next_lost;
    if (hold->next_lost != NULL)
        hold->next_lost->previous_lost = hold->previous_lost;
    hold->previous_lost = NULL;
}

static void put_in(struct holds *holds, struct hold *hold) {
    struct hold *before;
    HASH_FIND(hh, holds->table, hold->name, hold->size, before);
    if (before != NULL)
        take_out(holds, before);
    HASH_ADD_KEYPTR(hh, holds->table, hold->name, hold->size, hold);
    hold->is_in_table = hold->hh.tbl != NULL;
    if (before == NULL)
        return;
    /* With memory out, nobody has it: two sessions at a time would be worse than none. */
    line_up(before);
    before->holder->call(before->holder);
}

struct hold *holds_take(struct holds *holds, struct span name, struct holder *holder, void *owner) {
    struct hold *hold = calloc(1, sizeof *hold + name.size);
    if (hold == NULL)
        return NULL;
    hold->holder = holder;
    hold->owner = owner;
    hold->size = name.size;
    memcpy(hold->name, name.at, name.size);
    pthread_mutex_lock(&holds->lock);
    put_in(holds, hold);
    bool is_taken = hold->is_in_table;
    pthread_mutex_unlock(&holds->lock);
    if (is_taken)
        return hold;
    free(hold);
    return NULL;
}

void holds_give_back(struct holds *holds, struct hold *hold) {
    if (hold == NULL)
        return;
    pthread_mutex_lock(&holds->lock);
    if (hold->is_in_table)
        take_out(holds, hold);
    step_out(hold);
    pthread_mutex_unlock(&holds->lock);
    free(hold);
}

void *holds_next_lost(struct holds *holds, struct holder *holder) {
    pthread_mutex_lock(&holds->lock);
    struct hold *hold = holder->lost;
    void *owner = hold == NULL ? NULL : hold->owner;
    if (hold != NULL)
        step_out(hold);
    pthread_mutex_unlock(&holds->lock);
    return owner;
}
