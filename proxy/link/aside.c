/* aside: a second thread of a worker, which takes handshakes a step further while the loop serves those who
 * are connected. The loop goes first where both want the same core.
 *
 *     loop                                                      thread
 *       bytes of a handshake, copied --- stack `due` ---------> engine_feed
 *                                        semaphore: wake up
 *       wire_step_back <---------------- stack `done` --------- what the engine said, copied
 *                                        eventfd: look
 *
 * Each side pushes one step at a time and takes all there are, without a lock: the thread may be held up
 * anywhere for as long as the loop is busy, so the loop must never wait for it. That is also why uv_async_t
 * will not do: there the loop spins until the other side has come out of its call.
 *
 * While a step is away its wire is parked: what comes stays in the socket, nobody asks the engine, and a wire
 * that is closed meanwhile is freed when the step is back. The thread is started for the first step; who only
 * listens without TLS never has it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "link/uv.h"

#define NICE 10

/* ---- stacks ---- */

static void push(struct step **stack, struct step *step) {
    step->next = __atomic_load_n(stack, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(stack, &step->next, step, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

/* All of them, the oldest first. */
static struct step *take_all(struct step **stack) {
    struct step *list = NULL, *next;
    for (struct step *step = __atomic_exchange_n(stack, NULL, __ATOMIC_ACQUIRE); step != NULL; step = next) {
        next = step->next;
        step->next = list;
        list = step;
    }
    return list;
}

/* ---- the thread ---- */

/* What does not fit into memory leaves `said` without room. */
static void take(struct step *step, struct engine_out *out) {
    out->filled = 0;
    (void)engine_feed(step->engine, step->bytes, out);
    step->said.filled = out->filled;
    if (out->filled != 0 && (step->said.room = malloc(out->filled)) != NULL)
        memcpy(step->said.room, out->room, out->filled);
}

static void run(void *argument) {
    struct aside *aside = argument;
    struct step *list = NULL;
    const uint64_t one = 1;
    prctl(PR_SET_NAME, "handshakes");
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE); /* of this thread alone */
    for (;;) {
        uv_sem_wait(&aside->come); /* as often as steps were pushed, and once for the end */
        if (list == NULL)
            list = take_all(&aside->due);
        struct step *step = list;
        if (step == NULL)
            return;
        list = step->next; /* who pushes it changes that */
        take(step, &aside->out);
        push(&aside->done, step);
        if (write(aside->back_fd, &one, sizeof one) < 0)
            abort(); /* it counts to 2^64 */
    }
}

/* ---- the loop ---- */

static void take_back(struct loop *loop) {
    struct step *next;
    for (struct step *step = take_all(&loop->aside.done); step != NULL; step = next) {
        next = step->next;
        loop->aside.away_count--;
        wire_step_back(step->wire, step);
    }
}

static void on_back(uv_poll_t *back, int status, int events) {
    struct loop *loop = back->data;
    uint64_t count;
    (void)status, (void)events;
    if (read(loop->aside.back_fd, &count, sizeof count) == sizeof count)
        take_back(loop);
}

int aside_open(struct loop *loop) {
    struct aside *aside = &loop->aside;
    int error = uv_sem_init(&aside->come, 0);
    if (error < 0)
        return error;
    aside->back_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    error = aside->back_fd < 0 ? -errno : uv_poll_init(&loop->uv, &aside->back, aside->back_fd);
    if (error == 0) {
        aside->back.data = loop;
        uv_poll_start(&aside->back, UV_READABLE, on_back);
        uv_unref((uv_handle_t *)&aside->back);
        return 0;
    }
    if (aside->back_fd >= 0)
        close(aside->back_fd);
    uv_sem_destroy(&aside->come);
    return error;
}

/* Tried once: without the thread the loop takes all steps itself. */
static bool is_running(struct aside *aside) {
    if (aside->state != ASIDE_NOT_YET)
        return aside->state == ASIDE_RUNS;
    aside->out = (struct engine_out){malloc(ENGINE_OUT_SIZE), ENGINE_OUT_SIZE, 0};
    bool is_good = aside->out.room != NULL && uv_thread_create(&aside->thread, run, aside) == 0;
    aside->state = is_good ? ASIDE_RUNS : ASIDE_NEVER;
    if (!is_good)
        free(aside->out.room);
    return is_good;
}

bool aside_take(struct wire *wire, struct span bytes) {
    struct aside *aside = &wire->loop->aside;
    struct step *step = is_running(aside) ? malloc(sizeof *step + bytes.size) : NULL;
    if (step == NULL)
        return false;
    *step = (struct step){.wire = wire, .engine = wire->link.engine};
    memcpy(step->room, bytes.at, bytes.size);
    step->bytes = span_of(step->room, bytes.size);
    wire->step = step;
    wire->link.is_away = true;
    aside->away_count++;
    push(&aside->due, step);
    uv_sem_post(&aside->come);
    return true;
}

void aside_close(struct loop *loop) {
    struct aside *aside = &loop->aside;
    if (aside->state == ASIDE_RUNS) {
        uv_sem_post(&aside->come); /* finds nothing when all steps before are taken */
        uv_thread_join(&aside->thread);
        take_back(loop);
        free(aside->out.room);
    }
    aside->state = ASIDE_NEVER;
    uv_close((uv_handle_t *)&aside->back, NULL);
    close(aside->back_fd);
    uv_sem_destroy(&aside->come);
}
