#include "base/wheel.h"

static void ring_init(struct deadline *head) {
    head->next = head->previous = head;
}

static void ring_add(struct deadline *head, struct deadline *deadline) {
    deadline->next = head;
    deadline->previous = head->previous;
    head->previous->next = deadline;
    head->previous = deadline;
}

static void ring_remove(struct deadline *deadline) {
    deadline->next->previous = deadline->previous;
    deadline->previous->next = deadline->next;
    deadline->next = deadline->previous = NULL;
}

void wheel_init(struct wheel *wheel, uint64_t now_ms) {
    for (size_t i = 0; i < WHEEL_SLOT_COUNT; i++)
        ring_init(&wheel->slots[i]);
    wheel->turned_ms = now_ms / WHEEL_TICK_MS * WHEEL_TICK_MS;
    wheel->count = 0;
}

void wheel_set(struct wheel *wheel, struct deadline *deadline, uint64_t due_ms) {
    wheel_cancel(wheel, deadline);
    if (due_ms < wheel->turned_ms)
        due_ms = wheel->turned_ms;
    deadline->due_ms = due_ms;
    ring_add(&wheel->slots[due_ms / WHEEL_TICK_MS % WHEEL_SLOT_COUNT], deadline);
    wheel->count++;
}

void wheel_cancel(struct wheel *wheel, struct deadline *deadline) {
    if (!deadline_is_set(deadline))
        return;
    ring_remove(deadline);
    wheel->count--;
}

/* Fires what is due in one slot. The slot's ring is moved aside first: a deadline that is set again by a
 * callback lands in the slot's own ring and is not looked at twice. */
static void turn_slot(struct wheel *wheel, struct deadline *slot, uint64_t now_ms) {
    if (slot->next == slot)
        return;
    struct deadline aside = *slot;
    aside.next->previous = aside.previous->next = &aside;
    ring_init(slot);
    while (aside.next != &aside) {
        struct deadline *deadline = aside.next;
        ring_remove(deadline);
        if (deadline->due_ms > now_ms) {
            ring_add(slot, deadline);
            continue;
        }
        wheel->count--;
        deadline->on_due(deadline, now_ms);
    }
}

void wheel_turn(struct wheel *wheel, uint64_t now_ms) {
    uint64_t first = wheel->turned_ms / WHEEL_TICK_MS, last = now_ms / WHEEL_TICK_MS;
    if (now_ms < wheel->turned_ms)
        return;
    uint64_t steps = last - first < WHEEL_SLOT_COUNT ? last - first : WHEEL_SLOT_COUNT - 1;
    wheel->turned_ms = last * WHEEL_TICK_MS;
    for (uint64_t i = 0; i <= steps; i++)
        turn_slot(wheel, &wheel->slots[(first + i) % WHEEL_SLOT_COUNT], now_ms);
}
