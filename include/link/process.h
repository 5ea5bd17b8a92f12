/* process: a command of the configuration, run by the shell beside the loop. What it prints is gathered. */
#ifndef DRAWBRIDGE_LINK_PROCESS_H
#define DRAWBRIDGE_LINK_PROCESS_H

#include <stdbool.h>

#include "base/span.h"

struct loop;
struct process;

/* How it went. The spans are borrowed during the call, and wiped behind it. */
struct process_end {
    int status;          /* of its exit; -1: a signal ended it */
    int signal;          /* that one */
    bool is_too_long;    /* it printed more than output_max bytes, the rest was thrown away */
    struct span output;  /* of its standard output, at most output_max */
    struct span trouble; /* of its standard error, at most PROCESS_TROUBLE_MAX */
};

#define PROCESS_TROUBLE_MAX 1024

/* `/bin/sh -c command`, with our environment, nothing to read, in a process group of its own. on_end comes
 * once, on the loop, when the shell is gone and both its streams are closed, never before this returns. NULL
 * and a negative errno when it could not even begin. */
struct process *process_start(struct loop *loop, const char *command, size_t output_max,
                              void (*on_end)(void *owner, const struct process_end *end), void *owner,
                              int *error);
/* Nobody wants to know any more: SIGKILL to the whole group, and on_end does not come. */
void process_cancel(struct process *process);

#endif
