#include "inspect/window.h"

static bool is_watched(const struct window *window) {
    return window->max != 0 && window->max != WINDOW_UNLIMITED;
}

static uint16_t *find_few(struct window *window, uint16_t id) {
    for (uint16_t i = 0; i < window->count; i++)
        if (window->few[i] == id)
            return &window->few[i];
    return NULL;
}

static bool has(struct window *window, uint16_t id) {
    return window->many.bits != NULL ? id_set_has(&window->many, id) : find_few(window, id) != NULL;
}

/* From now on the set has all. */
static bool move_to_many(struct window *window) {
    for (uint16_t i = 0; i < window->count; i++)
        if (!id_set_add(&window->many, window->few[i]))
            return false;
    return true;
}

enum window_answer window_take(struct window *window, uint16_t id) {
    if (!is_watched(window) || has(window, id))
        return WINDOW_TAKEN;
    if (window->count >= window->max)
        return WINDOW_FULL;
    if (window->many.bits == NULL && window->count < WINDOW_FEW)
        window->few[window->count] = id;
    else if ((window->many.bits == NULL && !move_to_many(window)) || !id_set_add(&window->many, id))
        return WINDOW_NO_MEMORY;
    window->count++;
    return WINDOW_TAKEN;
}

void window_free(struct window *window, uint16_t id) {
    if (!is_watched(window) || !has(window, id))
        return;
    if (window->many.bits != NULL)
        id_set_remove(&window->many, id);
    else /* the last one fills the gap */
        *find_few(window, id) = window->few[window->count - 1];
    window->count--;
}

void window_clear(struct window *window) {
    id_set_clear(&window->many);
    window->count = 0;
}
