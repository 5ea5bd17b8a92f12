#include <stdlib.h>

#include "link/uv.h"

static void on_tick(uv_timer_t *timer) {
    struct loop *loop = timer->data;
    wheel_turn(&loop->wheel, uv_now(&loop->uv));
}

static void free_buffers(struct loop *loop) {
    free(loop->ciphertext);
    free(loop->out.room);
}

int loop_init(struct loop *loop, void *owner) {
    *loop = (struct loop){.owner = owner};
    loop->ciphertext = malloc(LOOP_READ_SIZE);
    loop->out = (struct engine_out){malloc(ENGINE_OUT_SIZE), ENGINE_OUT_SIZE, 0};
    int result = loop->ciphertext == NULL || loop->out.room == NULL ? UV_ENOMEM : uv_loop_init(&loop->uv);
    if (result == 0) {
        result = aside_open(loop);
        if (result < 0)
            uv_loop_close(&loop->uv);
    }
    if (result < 0) {
        free_buffers(loop);
        return result;
    }
    loop->uv.data = loop;
    wheel_init(&loop->wheel, uv_now(&loop->uv));
    uv_timer_init(&loop->uv, &loop->tick);
    loop->tick.data = loop;
    uv_timer_start(&loop->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    uv_unref((uv_handle_t *)&loop->tick);
    turn_open(loop);
    return 0;
}

void loop_close(struct loop *loop) {
    aside_close(loop);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    turn_close(loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    free_buffers(loop);
}

uint64_t loop_now_ms(const struct loop *loop) {
    return uv_now(&loop->uv);
}

struct wheel *loop_wheel(struct loop *loop) {
    return &loop->wheel;
}

const char *loop_error_words(int error) {
    return uv_strerror(error);
}

struct work {
    uv_work_t request;
    struct loop_job *job;
};

static void on_work(uv_work_t *request) {
    struct loop_job *job = ((struct work *)request)->job;
    job->work(job);
}

static void on_work_done(uv_work_t *request, int status) {
    (void)status; /* nobody cancels */
    struct loop_job *job = ((struct work *)request)->job;
    free(request);
    job->done(job);
}

int loop_work(struct loop *loop, struct loop_job *job) {
    struct work *work = malloc(sizeof *work);
    if (work == NULL)
        return UV_ENOMEM;
    work->job = job;
    int result = uv_queue_work(&loop->uv, &work->request, on_work, on_work_done);
    if (result < 0)
        free(work);
    return result;
}

struct lookup {
    uv_getaddrinfo_t request;
    struct loop_lookup *asker;
    uint16_t port;
};

#define LOOKUP_ADDRESSES_MAX 16

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct lookup *lookup = (struct lookup *)request;
    struct loop_lookup *asker = lookup->asker;
    struct address addresses[LOOKUP_ADDRESSES_MAX];
    size_t count = 0;
    for (struct addrinfo *one = found; one != NULL && count < LOOKUP_ADDRESSES_MAX; one = one->ai_next) {
        if (one->ai_addrlen > sizeof addresses[0].socket)
            continue;
        addresses[count] = (struct address){.size = one->ai_addrlen};
        memcpy(&addresses[count].socket, one->ai_addr, one->ai_addrlen);
        count++;
    }
    uv_freeaddrinfo(found);
    free(lookup);
    if (status == 0 && count == 0)
        status = UV_EAI_NONAME;
    asker->done(asker, status, addresses, count);
}

int loop_resolve(struct loop *loop, struct loop_lookup *asker, const char *host, uint16_t port) {
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return UV_ENOMEM;
    lookup->asker = asker;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    int result = uv_getaddrinfo(&loop->uv, &lookup->request, on_resolved, host, service, &hints);
    if (result < 0)
        free(lookup);
    return result;
}
