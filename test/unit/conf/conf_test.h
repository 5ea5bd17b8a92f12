/* What the tests of conf share: read lines, look at the findings. */
#ifndef DRAWBRIDGE_TEST_CONF_TEST_H
#define DRAWBRIDGE_TEST_CONF_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/conf.h"

#include <stdio.h>
#include <string.h>

#define TEST_PATH "etc/test.conf"

struct outcome {
    struct conf *conf; /* NULL when refused */
    struct findings findings;
};

static inline struct outcome outcome_of(const char *lines) {
    struct outcome outcome;
    findings_init(&outcome.findings);
    outcome.conf = conf_read_text(TEST_PATH, span_of_text(lines), &outcome.findings);
    return outcome;
}

static inline void outcome_clear(struct outcome *outcome) {
    conf_destroy(outcome->conf);
    findings_clear(&outcome->findings);
}

static inline void outcome_show(const struct outcome *outcome) {
    for (const struct finding *finding = outcome->findings.first; finding != NULL; finding = finding->next)
        print_error("  finding of kind %d: %s\n", finding->kind, finding->text);
}

/* How many findings of this kind hold the piece. */
static inline size_t outcome_count(const struct outcome *outcome, enum finding_kind kind, const char *piece) {
    size_t count = 0;
    for (const struct finding *finding = outcome->findings.first; finding != NULL; finding = finding->next)
        count += finding->kind == kind && strstr(finding->text, piece) != NULL;
    return count;
}

/* The lines are read without any error and without any other finding. */
static inline struct outcome expect_clean(const char *lines) {
    struct outcome outcome = outcome_of(lines);
    if (outcome.conf == NULL || outcome.findings.size != 0) {
        outcome_show(&outcome);
        fail_msg("not clean: %s", lines);
    }
    return outcome;
}

static inline struct outcome expect_good(const char *lines) {
    struct outcome outcome = outcome_of(lines);
    if (outcome.conf == NULL) {
        outcome_show(&outcome);
        fail_msg("refused: %s", lines);
    }
    return outcome;
}

/* Exactly one finding of that kind, which holds the piece; refused exactly when it is an error. */
static inline void expect_one(const char *lines, enum finding_kind kind, const char *piece) {
    struct outcome outcome = outcome_of(lines);
    if (outcome_count(&outcome, kind, piece) != 1 || outcome_count(&outcome, kind, "") != 1 ||
        (outcome.conf == NULL) != (kind == FINDING_ERROR)) {
        outcome_show(&outcome);
        fail_msg("wanted one finding of kind %d with '%s' for: %s", kind, piece, lines);
    }
    outcome_clear(&outcome);
}

#define OPEN "backend h\nlistener 1883\nallow_anonymous true\n" /* three lines that are clean */

#endif
