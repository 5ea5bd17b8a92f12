/* process: its life.
 *
 *     process_start ---> three handles: the child, its stdout, its stderr
 *                          | each ends by itself, in any order
 *                          v
 *                        on_end when all are ended; freed when all are closed
 *
 * process_cancel kills the group and does not wait: the child's handle stays until the system has told its
 * end, so that no zombie stays. */
#include "link/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "link/uv.h"

#define PIECE_SIZE 4096

/* What comes out of one stream. */
struct outlet {
    uv_pipe_t pipe;
    struct process *process;
    size_t filled, max;
    bool is_too_long, is_ended;
    uint8_t *bytes;            /* max of them */
    uint8_t piece[PIECE_SIZE]; /* as it is read */
};

struct process {
    uv_process_t child;
    struct outlet output, trouble;
    bool has_exited, is_cancelled;
    unsigned open_handles;
    int64_t status;
    int signal;
    void (*on_end)(void *owner, const struct process_end *end);
    void *owner;
};

static void release(struct process *process) {
    struct outlet *outlets[] = {&process->output, &process->trouble};
    for (size_t i = 0; i < 2; i++) {
        if (outlets[i]->bytes != NULL)
            explicit_bzero(outlets[i]->bytes, outlets[i]->max);
        free(outlets[i]->bytes);
    }
    explicit_bzero(process, sizeof *process);
    free(process);
}

static void on_closed(uv_handle_t *handle) {
    struct process *process = handle->data;
    if (--process->open_handles == 0)
        release(process);
}

static void close_handle(uv_handle_t *handle) {
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

/* Is that all? Then it is told, and everything closed. */
static void settle(struct process *process) {
    if (!process->has_exited || !process->output.is_ended || !process->trouble.is_ended)
        return;
    const struct process_end end = {.status = process->signal != 0 ? -1 : (int)process->status,
                                    .signal = process->signal,
                                    .is_too_long = process->output.is_too_long,
                                    .output = span_of(process->output.bytes, process->output.filled),
                                    .trouble = span_of(process->trouble.bytes, process->trouble.filled)};
    if (!process->is_cancelled)
        process->on_end(process->owner, &end);
    close_handle((uv_handle_t *)&process->child);
    close_handle((uv_handle_t *)&process->output.pipe);
    close_handle((uv_handle_t *)&process->trouble.pipe);
}

static void on_gone(uv_process_t *child, int64_t status, int number) {
    struct process *process = child->data;
    process->has_exited = true;
    process->status = status;
    process->signal = number;
    settle(process);
}

/* ---- the streams ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct outlet *outlet = (struct outlet *)(void *)handle;
    (void)suggested;
    *buffer = uv_buf_init((char *)outlet->piece, PIECE_SIZE);
}

static void end_outlet(struct outlet *outlet) {
    outlet->is_ended = true;
    uv_read_stop((uv_stream_t *)&outlet->pipe);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct outlet *outlet = (struct outlet *)(void *)stream;
    size_t room = outlet->max - outlet->filled;
    size_t taken = count <= 0 ? 0 : (size_t)count < room ? (size_t)count : room;
    if (count < 0) {
        end_outlet(outlet);
        settle(outlet->process);
        return;
    }
    if (taken != 0)
        memcpy(outlet->bytes + outlet->filled, buffer->base, taken);
    outlet->filled += taken;
    outlet->is_too_long |= taken < (size_t)count;
    explicit_bzero(outlet->piece, (size_t)count);
}

static bool open_outlet(struct process *process, struct loop *loop, struct outlet *outlet, size_t max) {
    outlet->process = process;
    outlet->max = max;
    outlet->bytes = malloc(max);
    if (outlet->bytes == NULL || uv_pipe_init(&loop->uv, &outlet->pipe, 0) < 0)
        return false;
    outlet->pipe.data = process;
    process->open_handles++;
    return true;
}

/* ---- begin and end ---- */

static int spawn(struct process *process, struct loop *loop, const char *command) {
    char shell[] = "/bin/sh", flag[] = "-c";
    char *own = strdup(command);
    if (own == NULL)
        return -ENOMEM;
    char *arguments[] = {shell, flag, own, NULL};
    uv_stdio_container_t streams[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&process->output.pipe},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&process->trouble.pipe}};
    const uv_process_options_t options = {
        .exit_cb = on_gone,
        .file = shell,
        .args = arguments,
        .flags = UV_PROCESS_DETACHED, /* a group of its own, to be killed as a whole */
        .stdio_count = 3,
        .stdio = streams};
    int error = uv_spawn(&loop->uv, &process->child, &options);
    process->child.data = process;
    process->open_handles++; /* the handle is there also when the child is not */
    free(own);
    return error;
}

struct process *process_start(struct loop *loop, const char *command, size_t output_max,
                              void (*on_end)(void *owner, const struct process_end *end), void *owner,
                              int *error) {
    struct process *process = calloc(1, sizeof *process);
    *error = -ENOMEM;
    if (process == NULL)
        return NULL;
    process->on_end = on_end;
    process->owner = owner;
    bool is_open = open_outlet(process, loop, &process->output, output_max);
    is_open = open_outlet(process, loop, &process->trouble, PROCESS_TROUBLE_MAX) && is_open;
    if (is_open)
        *error = spawn(process, loop, command);
    if (*error == 0) {
        (void)uv_read_start((uv_stream_t *)&process->output.pipe, on_alloc, on_read);
        (void)uv_read_start((uv_stream_t *)&process->trouble.pipe, on_alloc, on_read);
        return process;
    }
    process->is_cancelled = process->has_exited = true;
    if (process->open_handles == 0)
        release(process);
    else {
        process->output.is_ended = process->trouble.is_ended = true;
        uv_handle_t *handles[] = {(uv_handle_t *)&process->child, (uv_handle_t *)&process->output.pipe,
                                  (uv_handle_t *)&process->trouble.pipe};
        for (size_t i = 0; i < 3; i++)
            if (handles[i]->data != NULL)
                close_handle(handles[i]);
    }
    return NULL;
}

void process_cancel(struct process *process) {
    process->is_cancelled = true;
    if (!process->has_exited)
        (void)kill(-process->child.pid, SIGKILL);
    /* Whoever left the group may hold the streams still. */
    end_outlet(&process->output);
    end_outlet(&process->trouble);
    close_handle((uv_handle_t *)&process->output.pipe);
    close_handle((uv_handle_t *)&process->trouble.pipe);
    settle(process);
}
