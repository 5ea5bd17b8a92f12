/* denials: refusals in the log. A device may earn as many as it likes, with as many topics as it likes, and
 * the log must stay readable:
 *
 *     new        -> a line at once, kept for a minute
 *     kept       -> counted; "... and N more like it" at the minute's end, kept for one more
 *     no place   -> counted together; "... and N others" */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "session/inside.h"

struct denial {
    uint64_t key; /* of what is the same refusal */
    uint32_t more;
    enum log_kind kind;
    char words[400]; /* of its line */
};

struct denials {
    struct deadline deadline;
    struct session *session;
    struct denial kept[DENIALS_KEPT_MAX];
    uint32_t kept_count, other_count;
};

/* Who refused what to whom, and why. */
static void write_line(char *room, size_t size, const struct session *session,
                       const struct inspect_refusal *refusal) {
    char address[ADDRESS_TEXT_SIZE], client[TEXT_QUOTED_SIZE], topic[TEXT_QUOTED_SIZE];
    char user[TEXT_QUOTED_SIZE + 8], rule[LOG_LINE_SIZE / 2] = "";
    const struct verdict *verdict = &refusal->verdict;
    const char *what = refusal->direction == MQTT_TO_DEVICE ? "delivery from"
                       : refusal->type == MQTT_CONNECT      ? "a will to"
                       : refusal->type == MQTT_SUBSCRIBE    ? "SUBSCRIBE to"
                                                            : "PUBLISH to";
    if (verdict->file != NULL)
        snprintf(rule, sizeof rule, ", %s:%u", verdict->file, verdict->line);
    snprintf(room, size, "Denied %s '%s', client %s%s [%s]: %s%s", what,
             text_quote(topic, sizeof topic, refusal->topic),
             text_quote(client, sizeof client, heap_span(&session->client_id)),
             session_user_words(session, user, sizeof user), address_print(&session->address, address),
             verdict->words == NULL ? "a rule denies it" : verdict->words, rule);
}

static uint64_t key_of(const struct inspect_refusal *refusal) {
    const struct {
        uint64_t topic, line;
        uint64_t words; /* the address of a static text */
        uint64_t kind;
    } parts = {hash_bytes(refusal->topic.at, refusal->topic.size), refusal->verdict.line,
               (uint64_t)(uintptr_t)refusal->verdict.words,
               (uint64_t)refusal->type << 1 | (uint64_t)refusal->direction};
    return hash_bytes(&parts, sizeof parts);
}

/* Tells the counts; what went on is kept, the rest makes room. */
static void tell_counts(struct denials *denials) {
    uint32_t left = 0;
    char client[TEXT_QUOTED_SIZE], address[ADDRESS_TEXT_SIZE];
    for (uint32_t i = 0; i < denials->kept_count; i++) {
        struct denial *denial = &denials->kept[i];
        if (denial->more == 0)
            continue;
        log_line(denial->kind, "%s ... and %u more like it.", denial->words, denial->more);
        denial->more = 0;
        denials->kept[left++] = *denial;
    }
    denials->kept_count = left;
    if (denials->other_count == 0)
        return;
    log_notice("Denied client %s [%s] ... and %u others.",
               text_quote(client, sizeof client, heap_span(&denials->session->client_id)),
               address_print(&denials->session->address, address), denials->other_count);
    denials->other_count = 0;
}

static void on_minute(struct deadline *deadline, uint64_t now) {
    struct denials *denials = (struct denials *)((char *)deadline - offsetof(struct denials, deadline));
    tell_counts(denials);
    if (denials->kept_count != 0)
        wheel_set(denials->session->host->wheel, deadline, now + DENIALS_WINDOW_MS);
}

void denials_note(struct session *session, const struct inspect_refusal *refusal) {
    enum log_kind kind = refusal->direction == MQTT_TO_DEVICE ? LOG_KIND_INFORMATION : LOG_KIND_NOTICE;
    if (!log_is_on(kind) || session->state == SESSION_ENDING)
        return;
    struct denials *denials = session->denials;
    if (denials == NULL) {
        denials = session->denials = calloc(1, sizeof *denials);
        if (denials == NULL)
            return; /* the counters still have it */
        denials->session = session;
        denials->deadline.on_due = on_minute;
    }
    uint64_t key = key_of(refusal);
    for (uint32_t i = 0; i < denials->kept_count; i++)
        if (denials->kept[i].key == key) {
            denials->kept[i].more++;
            return;
        }
    if (!deadline_is_set(&denials->deadline))
        wheel_set(session->host->wheel, &denials->deadline,
                  session->host->now_ms(session->host) + DENIALS_WINDOW_MS);
    if (denials->kept_count == DENIALS_KEPT_MAX) {
        denials->other_count++;
        return;
    }
    struct denial *denial = &denials->kept[denials->kept_count++];
    *denial = (struct denial){.key = key, .kind = kind};
    char line[LOG_LINE_SIZE];
    write_line(line, sizeof line, session, refusal);
    log_line(kind, "%s", line);
    snprintf(denial->words, sizeof denial->words, "%.*s", (int)sizeof denial->words - 1, line);
}

void denials_end(struct session *session) {
    struct denials *denials = session->denials;
    if (denials == NULL)
        return;
    tell_counts(denials);
    wheel_cancel(session->host->wheel, &denials->deadline);
    free(denials);
    session->denials = NULL;
}
