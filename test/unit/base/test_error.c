#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void test_sentences(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    assert_false(findings_refuse(&findings));
    findings_add(&findings, FINDING_WARNING, "a.conf", 7, "%s is %d", "x", 3);
    findings_add(&findings, FINDING_NOTICE, "a.conf", 0, "the whole file");
    assert_false(findings_refuse(&findings));
    findings_add(&findings, FINDING_ERROR, NULL, 9, "no file");
    findings_add(&findings, FINDING_ERROR, "b%s.conf", 4294967295u, "100%%");
    assert_true(findings_refuse(&findings));
    assert_int_equal(findings.error_count, 2);
    assert_int_equal(findings.warning_count, 1);
    assert_int_equal(findings.size, 4);
    static const char *const texts[] = {"a.conf:7: x is 3", "a.conf: the whole file", "no file",
                                        "b%s.conf:4294967295: 100%"};
    static const enum finding_kind kinds[] = {FINDING_WARNING, FINDING_NOTICE, FINDING_ERROR, FINDING_ERROR};
    size_t i = 0;
    for (const struct finding *finding = findings.first; finding != NULL; finding = finding->next, i++) {
        assert_string_equal(finding->text, texts[i]);
        assert_int_equal(finding->kind, kinds[i]);
    }
    assert_int_equal(i, 4);
    findings_clear(&findings);
    assert_null(findings.first);
    assert_false(findings_refuse(&findings));
    findings_add(&findings, FINDING_ERROR, "c", 1, "again");
    assert_string_equal(findings.first->text, "c:1: again");
    findings_clear(&findings);
}

/* A file with a million faults does not fill the memory, and the last fault still refuses. */
static void test_many(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    for (unsigned i = 1; i <= 1000; i++)
        findings_add(&findings, FINDING_WARNING, "f", i, "w");
    assert_false(findings_refuse(&findings));
    findings_add(&findings, FINDING_ERROR, "f", 1001, "e");
    assert_true(findings_refuse(&findings));
    assert_int_equal(findings.warning_count, 1000);
    size_t kept = 0;
    for (const struct finding *finding = findings.first; finding != NULL; finding = finding->next)
        kept++;
    assert_int_equal(kept, findings.size);
    assert_true(kept <= 100);
    findings_clear(&findings);
}

static void test_long(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    char file[3000], word[3000];
    memset(file, 'f', sizeof file);
    memset(word, 'w', sizeof word);
    file[sizeof file - 1] = word[sizeof word - 1] = 0;
    findings_add(&findings, FINDING_ERROR, file, 1, "%s", word);
    size_t size = strlen(findings.first->text);
    assert_true(size > sizeof file + 500 &&
                size < sizeof file + 1100); /* the sentence is cut, the place is not */
    assert_memory_equal(findings.first->text + sizeof file - 1, ":1: www", 7);
    findings_clear(&findings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
