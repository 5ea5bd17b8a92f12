#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINDINGS_KEPT 100
#define SENTENCE_SIZE 1024

void findings_init(struct findings *findings) {
    *findings = (struct findings){.last = &findings->first};
}

void findings_clear(struct findings *findings) {
    while (findings->first != NULL) {
        struct finding *finding = findings->first;
        findings->first = finding->next;
        free(finding);
    }
    findings_init(findings);
}

void findings_add(struct findings *findings, enum finding_kind kind, const char *file, unsigned line,
                  const char *format, ...) {
    if (kind == FINDING_ERROR)
        findings->error_count++;
    if (kind == FINDING_WARNING)
        findings->warning_count++;
    if (findings->size >= FINDINGS_KEPT)
        return;
    char sentence[SENTENCE_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    char place[32] = "";
    if (line != 0)
        snprintf(place, sizeof place, ":%u", line);
    size_t size = (file == NULL ? 0 : strlen(file) + 2) + strlen(place) + strlen(sentence) + 1;
    struct finding *finding = malloc(sizeof *finding + size);
    if (finding == NULL) {
        findings->out_of_memory = true;
        return;
    }
    finding->next = NULL;
    finding->kind = kind;
    if (file == NULL)
        snprintf(finding->text, size, "%s", sentence);
    else
        snprintf(finding->text, size, "%s%s: %s", file, place, sentence);
    *findings->last = finding;
    findings->last = &finding->next;
    findings->size++;
}
