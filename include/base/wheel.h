/* wheel: all deadlines of a worker behind one timer. Time is an argument; a deadline fires in the first turn
 * at or after its moment, up to one tick late. Setting, moving and cancelling cost a few pointer writes.
 *
 *     slot 0 .. 511, one tick of 100 ms each; a deadline further away than the wheel is wide waits in its
 * slot and is looked at once per rotation (51.2 s).
 */
#ifndef DRAWBRIDGE_BASE_WHEEL_H
#define DRAWBRIDGE_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_TICK_MS    100
#define WHEEL_SLOT_COUNT 512

struct deadline {
    struct deadline *next, *previous; /* NULL while not set */
    uint64_t due_ms;
    void (*on_due)(struct deadline *deadline, uint64_t now_ms); /* may set or cancel any deadline */
};

struct wheel {
    struct deadline slots[WHEEL_SLOT_COUNT]; /* ring heads */
    uint64_t turned_ms;                      /* everything due before this has fired */
    size_t count;                            /* deadlines set */
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* Sets or moves a deadline (borrowed until it fires or is cancelled). on_due must be filled in. */
void wheel_set(struct wheel *wheel, struct deadline *deadline, uint64_t due_ms);
void wheel_cancel(struct wheel *wheel, struct deadline *deadline);
static inline bool deadline_is_set(const struct deadline *deadline) {
    return deadline->next != NULL;
}

/* Fires what is due. */
void wheel_turn(struct wheel *wheel, uint64_t now_ms);

#endif
