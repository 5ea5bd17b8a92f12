/* psk_file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "policy/psk.h"

#define LONG "000102030405060708090a0b0c0d0e0f"

static struct arena *arena;
static struct findings findings;

static struct psk_keys *read_text(struct span text) {
    arena = arena_create();
    findings_init(&findings);
    return psk_read(arena, "keys", text, &findings);
}

static void finish(void) {
    arena_destroy(arena);
    findings_clear(&findings);
}

static void good_files(void **state) {
    (void)state;
    const struct psk_keys *keys = read_text(SPAN_LITERAL("# a comment\n"
                                                         "\n"
                                                         "  pump : " LONG "\r\n"
                                                         "K\xC3\xBC"
                                                         "che 1:" LONG "FF\n"
                                                         "odd:1" LONG "\n"
                                                         "zeros:0000" LONG));
    assert_non_null(keys);
    assert_int_equal(findings.size, 0);
    const struct psk *psk = psk_find(keys, SPAN_LITERAL("pump"));
    assert_int_equal(psk->key.size, 16);
    assert_int_equal(psk->key.at[15], 0x0f);
    assert_int_equal(psk->line, 3);
    psk = psk_find(keys, SPAN_LITERAL("K\xC3\xBC"
                                      "che 1"));
    assert_int_equal(psk->key.size, 17);
    assert_int_equal(psk->key.at[16], 0xff);
    psk = psk_find(keys, SPAN_LITERAL("odd"));
    assert_int_equal(psk->key.size, 17);
    assert_int_equal(psk->key.at[0], 1);
    assert_int_equal(psk->key.at[2], 1);
    assert_int_equal(psk_find(keys, SPAN_LITERAL("zeros"))->key.size, 18); /* they count */
    assert_null(psk_find(keys, SPAN_LITERAL("pum")));
    assert_null(psk_find(keys, SPAN_LITERAL("pump\0")));
    assert_null(psk_find(keys, SPAN_NONE));
    finish();
}

static void bad_files(void **state) {
    (void)state;
    static const struct {
        struct span text;
        const char *words;
    } cases[] = {
        {{(const uint8_t *)"", 0}, "keys: no identity in it"},
        {{(const uint8_t *)"# nothing\n", 10}, "keys: no identity in it"},
        {{(const uint8_t *)"pump\n", 5}, "keys:1: this line is neither"},
        {{(const uint8_t *)"a:00\nb:\n", 8}, "keys:2: the key of \"b\""},
        {{(const uint8_t *)"b:0x00\n", 7}, "keys:1: the key of \"b\""},
        {{(const uint8_t *)"b:0g\n", 5}, "keys:1: the key of \"b\""},
        {{(const uint8_t *)"b:00 11\n", 8}, "keys:1: the key of \"b\""},
        {{(const uint8_t *)":00\n", 4}, "keys:1: the identity \"\""},
        {{(const uint8_t *)"\xff:00\n", 5}, "keys:1: the identity \"\\xFF\""},
        {{(const uint8_t *)"a\0b:00\n", 7}, "keys:1: the identity \"a\\x00b\""},
        {{(const uint8_t *)"a\tb:00\n", 7}, "keys:1: the identity"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(read_text(cases[i].text));
        bool is_found = false;
        for (const struct finding *one = findings.first; one != NULL; one = one->next)
            is_found |= one->kind == FINDING_ERROR && strstr(one->text, cases[i].words) != NULL;
        if (!is_found)
            fail_msg("no '%s' but '%s'", cases[i].words,
                     findings.first == NULL ? "nothing" : findings.first->text);
        finish();
    }
}

static void limits(void **state) {
    (void)state;
    char text[2048], name[200], key[600];
    for (int excess = 0; excess < 2; excess++) {
        memset(name, 'n', sizeof name);
        name[PSK_IDENTITY_MAX + excess] = '\0';
        snprintf(text, sizeof text, "%s:" LONG "\n", name);
        assert_int_equal(read_text(span_of_text(text)) != NULL, excess == 0);
        finish();
        memset(key, 'a', sizeof key);
        key[2 * PSK_KEY_MAX + excess] = '\0';
        snprintf(text, sizeof text, "n:%s\n", key);
        assert_int_equal(read_text(span_of_text(text)) != NULL, excess == 0);
        finish();
    }
}

/* As in mosquitto the first counts; it is told. Short keys too. */
static void warnings(void **state) {
    (void)state;
    const struct psk_keys *keys = read_text(SPAN_LITERAL("a:" LONG "\na:" LONG "00\nb:1234\n"));
    assert_non_null(keys);
    assert_int_equal(psk_find(keys, SPAN_LITERAL("a"))->key.size, 16);
    assert_int_equal(findings.error_count, 0);
    assert_non_null(strstr(findings.first->text, "keys:2: the identity \"a\" stands in line 1 already"));
    assert_non_null(strstr(findings.first->next->text, "keys:3: the key of \"b\" is short"));
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(limits),
        cmocka_unit_test(warnings),
    };
    return cmocka_run_group_tests_name("policy/psk", tests, NULL, NULL);
}
