/* Before an end connects: its password, where a file or a command has it, and what follows from that one's
 * own time limit. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "bridge/inside.h"
#include "link/process.h"

/* A token is renewed so long before it expires, or a tenth of its life, what is less. */
#define RENEW_BEFORE_S 60

static const struct conf_bridge *conf_of(const struct end *end) {
    return end->bridge->terms.conf;
}

static const char *file_of(const struct end *end) {
    return end->side == SIDE_REMOTE ? conf_of(end)->remote_password_file : conf_of(end)->local_password_file;
}

static void fail(struct end *end, const char *what, const char *words) {
    char room[1024];
    snprintf(room, sizeof room, "%s: %s", what, words);
    end_unprepared(end, room);
}

/* When to come with a new one. The same token again is not left for itself: the broker says when it has
 * enough of it. */
static void plan_renewal(struct end *end) {
    int64_t now_s = time(NULL), expires_s = end->password.expires_s, left_s = expires_s - now_s;
    bool is_the_same = expires_s == end->last_expires_s;
    end->last_expires_s = expires_s;
    end->renew_s = 0;
    if (expires_s == 0)
        return;
    if (left_s <= 0)
        log_warning("Bridge %s: the password expired %lld seconds ago; it is tried all the same.",
                    conf_of(end)->name, (long long)-left_s);
    else if (!is_the_same)
        end->renew_s = expires_s - (left_s / 10 < RENEW_BEFORE_S ? left_s / 10 + 1 : RENEW_BEFORE_S);
    else
        log_notice("Bridge %s: the password is still the one that expires in %lld seconds.",
                   conf_of(end)->name, (long long)left_s);
}

bool end_renews(struct end *end) {
    int64_t now_s = time(NULL);
    if (end->renew_s == 0 || now_s < end->renew_s)
        return false;
    log_notice("Bridge %s: the password expires in %lld seconds; connecting anew with a fresh one.",
               conf_of(end)->name, (long long)(end->last_expires_s - now_s));
    end->renew_s = 0;
    bridge_count(end->bridge, BRIDGE_METRIC_password_renewals, 1);
    end->is_hurried = true;
    end_break(end, CLIENT_OURS);
    return true;
}

/* ---- a command ---- */

static void word_status(const struct process_end *result, char *room, size_t size) {
    char quoted[TEXT_QUOTED_SIZE];
    const uint8_t *newline =
        result->trouble.size == 0 ? NULL : memchr(result->trouble.at, '\n', result->trouble.size);
    struct span line = newline == NULL ? result->trouble
                                       : span_first(result->trouble, (size_t)(newline - result->trouble.at));
    int used = result->status < 0 ? snprintf(room, size, "it was ended by signal %d", result->signal)
                                  : snprintf(room, size, "it ended with status %d", result->status);
    if (line.size != 0)
        snprintf(room + used, size - (size_t)used, " and said: %s", text_quote(quoted, sizeof quoted, line));
}

static void on_printed(void *owner, const struct process_end *result) {
    struct end *end = owner;
    char words[400];
    bool is_good = result->status == 0;
    end->process = NULL;
    if (!is_good)
        word_status(result, words, sizeof words);
    else
        is_good = password_take(&end->password, result->output, words, sizeof words);
    if (!is_good) {
        fail(end, "remote_password_command", words);
        return;
    }
    plan_renewal(end);
    end_connect(end);
}

static void run(struct end *end) {
    const struct conf_bridge *conf = conf_of(end);
    int error;
    end_enter_preparing(end, conf->remote_password_timeout_ms);
    end->process = process_start(end->bridge->host->loop, conf->remote_password_command, PASSWORD_SOURCE_MAX,
                                 on_printed, end, &error);
    if (end->process == NULL)
        fail(end, "remote_password_command", loop_error_words(error));
}

void end_prepare_late(struct end *end) {
    char words[64];
    end_prepare_cancel(end);
    snprintf(words, sizeof words, "it took longer than %llu ms and was ended",
             (unsigned long long)conf_of(end)->remote_password_timeout_ms);
    fail(end, "remote_password_command", words);
}

void end_prepare_cancel(struct end *end) {
    if (end->process != NULL)
        process_cancel(end->process);
    end->process = NULL;
}

/* ---- either ---- */

void end_prepare(struct end *end) {
    char words[128], what[400];
    const char *path = file_of(end);
    end->password.expires_s = 0;
    if (path == NULL && end->side == SIDE_REMOTE && conf_of(end)->remote_password_command != NULL) {
        run(end);
        return;
    }
    if (path != NULL && !password_read_file(&end->password, path, words, sizeof words)) {
        snprintf(what, sizeof what, "%s %s",
                 end->side == SIDE_REMOTE ? "remote_password_file" : "local_password_file", path);
        fail(end, what, words);
        return;
    }
    if (path == NULL && end->side == SIDE_REMOTE) /* one of the configuration may be a token, too, but a fresh
                                                     one comes with a reload */
        end->last_expires_s = 0;
    if (end->side == SIDE_REMOTE)
        plan_renewal(end);
    end_connect(end);
}
