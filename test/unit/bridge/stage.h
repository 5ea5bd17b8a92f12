/* stage: a folder of its own for each case, and messages. */
#ifndef DRAWBRIDGE_TEST_BRIDGE_STAGE_H
#define DRAWBRIDGE_TEST_BRIDGE_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/store.h"

static char stage_folder[64], stage_path[96];

/* For cmocka's setup and teardown. The folder is removed with what is in it. */
static inline int stage_up(void **state) {
    (void)state;
    strcpy(stage_folder, "/tmp/drawbridge-queue-XXXXXX");
    if (mkdtemp(stage_folder) == NULL)
        return -1;
    snprintf(stage_path, sizeof stage_path, "%s/q/cloud.db", stage_folder);
    return 0;
}

static inline int stage_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", stage_folder);
    return system(command); /* NOLINT: our own name */
}

static inline struct message *stage_message(enum lane lane, const char *topic, const char *payload) {
    struct message *message =
        message_create(span_of_text(topic), SPAN_LITERAL("\x26\x00\x01k\x00\x01v"), span_of_text(payload));
    assert_non_null(message);
    message->lane = (uint8_t)lane;
    message->qos = 1;
    message->came_s = 1000;
    return message;
}

static inline void stage_free(struct message *first) {
    while (first != NULL) {
        struct message *next = first->next;
        free(first);
        first = next;
    }
}

#endif
