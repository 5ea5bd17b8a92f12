/* Which certificates may come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "policy/certificates.h"

#define CONF                                                                                                 \
    "backend h\nlistener 1\nallow_anonymous true\ncertfile c\nkeyfile k\ncafile a\nrequire_certificate "     \
    "true\n" /* 7 */
#define TEXT(text)                                                                                           \
    { (const uint8_t *)(text), sizeof(text) - 1 }
#define HEX    "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define OTHER  "ff0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static uint8_t key[KEY_PIN_SIZE];
static const struct span units[] = {TEXT("plant"), TEXT("hall 3")};
static const struct span sans[] = {TEXT("pump-7.example"), TEXT("urn:pump:7")};
static const struct span addresses[] = {TEXT("192.0.2.7")};
static const struct facts whole = {.common_name = TEXT("pump"),
                                   .issuer = TEXT("CN=Plant CA,O=firm"),
                                   .sans = sans,
                                   .units = units,
                                   .addresses = addresses,
                                   .san_count = 2,
                                   .unit_count = 2,
                                   .address_count = 1,
                                   .key_sha256 = key};
static const struct facts bare = {.issuer = TEXT("CN=Plant CA,O=firm"), .key_sha256 = key};

/* `line`: of the configuration, 0 when it is allowed. */
static void expect(const char *lines, const struct facts *facts, unsigned line, const char *words) {
    char text[1024];
    struct findings findings;
    findings_init(&findings);
    snprintf(text, sizeof text, CONF "%s", lines);
    struct conf *conf = conf_read_text("c", span_of_text(text), &findings);
    assert_non_null(conf);
    struct arena *arena = arena_create();
    const struct certificate_rules *rules = certificate_rules_compile(arena, &conf->listeners[0], &findings);
    assert_int_equal(findings.error_count, 0);
    assert_int_equal(rules == NULL, lines[0] == '\0');
    struct certificate_verdict verdict = certificate_judge(rules, facts);
    if (verdict.is_allowed != (line == 0) || verdict.origin.line != line)
        fail_msg("line %u instead of %u for: %s", verdict.origin.line, line, lines);
    if (line != 0)
        assert_non_null(strstr(verdict.words, words));
    arena_destroy(arena);
    conf_destroy(conf);
    findings_clear(&findings);
}

static void lines_add_up(void **state) {
    (void)state;
    expect("", &whole, 0, NULL);
    expect("allow_issuer CN=Plant CA,O=firm\n", &whole, 0, NULL);
    expect("allow_issuer CN=Plant CA*\n", &whole, 0, NULL);
    expect("allow_issuer CN=Plant CA\n", &whole, 8, "allow_issuer");
    expect("allow_issuer CN=Plant CB*\nallow_issuer *O=firm\n", &whole, 0, NULL);
    expect("allow_issuer x\nallow_issuer y\n", &whole, 9, "allow_issuer");
    expect("allow_ou plant\n", &whole, 0, NULL);
    expect("allow_ou hall ?\n", &whole, 0, NULL);
    expect("allow_ou hal\n", &whole, 8, "allow_ou");
    expect("allow_san pump-*.example\n", &whole, 0, NULL);
    expect("allow_san urn:pump:*\n", &whole, 0, NULL);
    expect("allow_san 192.0.2.*\n", &whole, 0, NULL);
    expect("allow_san pump\n", &whole, 8, "allow_san"); /* the common name is none */
    expect("allow_spki " HEX "\n", &whole, 0, NULL);
    expect("allow_spki " OTHER "\n", &whole, 8, "allow_spki");
    expect("allow_spki " OTHER "\nallow_spki " BASE64 "\n", &whole, 0, NULL);
}

/* One of each kind. */
static void kinds_multiply(void **state) {
    (void)state;
    expect("allow_ou plant\nallow_san x\n", &whole, 9, "allow_san");
    expect("allow_ou x\nallow_san urn:*\n", &whole, 8, "allow_ou");
    expect("allow_spki " HEX "\nallow_issuer x\n", &whole, 9, "allow_issuer");
    expect("allow_issuer *\nallow_ou *\nallow_san *\nallow_spki " HEX "\n", &whole, 0, NULL);
    expect("allow_issuer *\nallow_ou *\nallow_san *\nallow_spki " OTHER "\n", &whole, 11, "allow_spki");
}

/* What is not there matches nothing, not even a star. */
static void nothing_matches_nothing(void **state) {
    (void)state;
    const struct facts nameless = {.key_sha256 = key};
    expect("allow_ou *\n", &bare, 8, "allow_ou");
    expect("allow_san *\n", &bare, 8, "allow_san");
    expect("allow_issuer *\n", &nameless, 8, "allow_issuer");
}

static void pins(void **state) {
    (void)state;
    uint8_t pin[KEY_PIN_SIZE];
    char colons[96] = "";
    for (size_t i = 0; i < KEY_PIN_SIZE; i++)
        sprintf(colons + strlen(colons), "%s%02X", i == 0 ? "" : ":", (unsigned)i);
    const char *const good[] = {HEX, BASE64, "sha256//" BASE64, "sha256//" HEX, colons};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        memset(pin, 0xEE, sizeof pin);
        assert_true(key_pin_read(span_of_text(good[i]), pin));
        assert_memory_equal(pin, key, sizeof pin);
    }
    const char *const bad[] = {"",
                               "00",
                               HEX "0",
                               "g" HEX,
                               "sha256//",
                               "sha1//" BASE64,
                               "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                               "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
                               "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
                               "0001020304050607080g0a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(key_pin_read(span_of_text(bad[i]), pin));
    colons[5] = '-';
    assert_false(key_pin_read(span_of_text(colons), pin));
}

/* A pin that is none refuses the configuration, at its line. */
static void bad_pins_are_named(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read_text(
        "c", span_of_text(CONF "allow_spki " HEX "\nallow_spki short\nallow_spki worse\n"), &findings);
    struct arena *arena = arena_create();
    assert_null(certificate_rules_compile(arena, &conf->listeners[0], &findings));
    assert_int_equal(findings.error_count, 2);
    assert_non_null(strstr(findings.first->text, "c:9: allow_spki is 'short'"));
    arena_destroy(arena);
    conf_destroy(conf);
    findings_clear(&findings);
}

int main(void) {
    for (size_t i = 0; i < KEY_PIN_SIZE; i++)
        key[i] = (uint8_t)i;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_add_up),
        cmocka_unit_test(kinds_multiply),
        cmocka_unit_test(nothing_matches_nothing),
        cmocka_unit_test(pins),
        cmocka_unit_test(bad_pins_are_named),
    };
    return cmocka_run_group_tests_name("policy/certificates", tests, NULL, NULL);
}
