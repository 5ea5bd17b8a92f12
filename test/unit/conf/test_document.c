/* The documents name every keyword, and the reference configuration means what it says. */
#include "unit/conf/conf_test.h"

#include "conf/document.h"
#include "conf/lexer.h"
#include "conf/rows.h"

#include <stdlib.h>

static char *document_of(const char *what) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(conf_document(what, out), 0);
    fclose(out);
    assert_int_equal(strlen(text), size);
    return text;
}

static void every_keyword_is_documented(void **state) {
    (void)state;
    char *reference = document_of("reference"), *manual = document_of("conf.5");
    for (size_t i = 0; i < conf_row_count; i++) {
        char in_reference[100], in_manual[100];
        bool is_section = conf_rows[i].kind == CONF_ROW_SECTION;
        bool is_beginning = conf_rows[i].keyword[strlen(conf_rows[i].keyword) - 1] == '_';
        snprintf(in_reference, sizeof in_reference,
                 is_section     ? "\n# ==== %s"
                 : is_beginning ? "\n#%s..."
                                : "\n#%s",
                 conf_rows[i].keyword);
        if (strstr(reference, in_reference) == NULL)
            fail_msg("not in the reference: %s", conf_rows[i].keyword);
        snprintf(in_manual, sizeof in_manual, "\\fB%s%s", conf_rows[i].keyword, is_beginning ? "*" : "\\fR");
        if (!is_section && strstr(manual, in_manual) == NULL)
            fail_msg("not in the manual: %s", conf_rows[i].keyword);
    }
    free(reference);
    free(manual);
}

/* As it is it holds nothing; with the lines that show a default made active, nothing changes. */
static void the_reference_is_a_configuration(void **state) {
    (void)state;
    char *reference = document_of("reference");
    expect_one(reference, FINDING_ERROR, ": there is no backend");
    char active[40000] = "backend h\n";
    char global[10000] = "", shared[10000] = "listener 1883\nallow_anonymous true\n";
    char bridge[10000] = "connection c\naddress h\ntopic #\n";
    size_t count = 0;
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind != CONF_ROW_OPTION || row->initial == NULL || row->option == CONF_allow_anonymous)
            continue;
        char line[200];
        snprintf(line, sizeof line, "\n#%s %s\n", row->keyword, row->initial);
        if (strstr(reference, line) == NULL)
            fail_msg("the reference lacks the default: %s", line);
        char *part = row->scope == CONF_SCOPE_LISTENER ? shared
                     : row->scope == CONF_SCOPE_BRIDGE ? bridge
                                                       : global;
        snprintf(part + strlen(part), 10000 - strlen(part), "%s %s\n", row->keyword, row->initial);
        count++;
    }
    assert_true(count > 20);
    strcat(strcat(strcat(active, global), shared), bridge);
    struct outcome outcome = expect_good(active);
    assert_int_equal(outcome_count(&outcome, FINDING_ERROR, ""), 0);
    outcome_clear(&outcome);
    free(reference);
}

static void manual_pages_are_roff(void **state) {
    (void)state;
    static const char *const pages[] = {"conf.5", "drawbridge.8"};
    for (size_t i = 0; i < 2; i++) {
        char *page = document_of(pages[i]);
        assert_non_null(strstr(page, "\n.TH DRAWBRIDGE"));
        assert_non_null(strstr(page, "\n.SH NAME\n"));
        assert_null(strchr(page, '`'));
        assert_null(strstr(page, "\n\n\n"));
        struct lexer lexer = lexer_of(span_of_text(page));
        struct lexer_line line;
        while (lexer_next(&lexer, &line)) /* no line is taken for a command by accident */
            if (line.whole.at[0] == '.') {
                char command[4] = "";
                memcpy(command, line.whole.at, line.whole.size < 3 ? line.whole.size : 3);
                assert_non_null(strstr(".\\\" .TH .SH .TP .PP .nf .fi .br", command));
            }
        free(page);
    }
}

static void other_documents_do_not_exist(void **state) {
    (void)state;
    assert_int_equal(conf_document("novel", stdout), -1);
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(conf_document("reference", full), -1);
    fclose(full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_keyword_is_documented),
        cmocka_unit_test(the_reference_is_a_configuration),
        cmocka_unit_test(manual_pages_are_roff),
        cmocka_unit_test(other_documents_do_not_exist),
    };
    return cmocka_run_group_tests_name("conf/document", tests, NULL, NULL);
}
