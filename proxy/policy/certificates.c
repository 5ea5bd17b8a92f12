#include "policy/certificates.h"

#include "base/text.h"
#include "policy/base64.h"
#include "policy/clientid.h"

struct pin {
    uint8_t bytes[KEY_PIN_SIZE];
};

struct certificate_rules {
    const struct conf_listener *listener;
    struct pin *pins; /* of its allow_spki lines */
    size_t pin_count;
};

static int digit_of(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    uint8_t letter = byte | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* `step`: characters per byte, 3 with a colon behind each but the last. */
static bool read_hex(struct span text, size_t step, uint8_t *pin) {
    for (size_t i = 0; i < KEY_PIN_SIZE; i++) {
        const uint8_t *at = text.at + i * step;
        int high = digit_of(at[0]), low = digit_of(at[1]);
        if (high < 0 || low < 0 || (step == 3 && i + 1 < KEY_PIN_SIZE && at[2] != ':'))
            return false;
        pin[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool key_pin_read(struct span text, uint8_t pin[KEY_PIN_SIZE]) {
    size_t size = 0;
    if (span_begins_with(text, SPAN_LITERAL("sha256//")))
        text = span_after(text, 8);
    switch (text.size) {
    case 2 * KEY_PIN_SIZE: return read_hex(text, 2, pin);
    case 3 * KEY_PIN_SIZE - 1: return read_hex(text, 3, pin);
    case BASE64_SIZE(KEY_PIN_SIZE):
        return base64_read(text, pin, KEY_PIN_SIZE, &size) && size == KEY_PIN_SIZE;
    default: return false;
    }
}

static bool read_pins(struct certificate_rules *rules, struct arena *arena, struct findings *findings) {
    size_t count = 0;
    bool is_good = true;
    for (const struct conf_pattern *line = rules->listener->allow_spki; line != NULL; line = line->next)
        count++;
    rules->pins = arena_alloc(arena, count * sizeof *rules->pins);
    if (count != 0 && rules->pins == NULL) {
        findings->out_of_memory = true;
        return false;
    }
    for (const struct conf_pattern *line = rules->listener->allow_spki; line != NULL; line = line->next) {
        char quoted[TEXT_QUOTED_SIZE];
        if (key_pin_read(span_of_text(line->text), rules->pins[rules->pin_count++].bytes))
            continue;
        is_good = false;
        findings_add(
            findings, FINDING_ERROR, line->origin.file, line->origin.line,
            "allow_spki is '%s', which is no SHA-256 of a key in 64 hexadecimal digits or in base64; "
            "openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst "
            "-sha256 makes one",
            text_quote(quoted, sizeof quoted, span_of_text(line->text)));
    }
    return is_good;
}

const struct certificate_rules *certificate_rules_compile(struct arena *arena,
                                                          const struct conf_listener *listener,
                                                          struct findings *findings) {
    if (listener->allow_issuer == NULL && listener->allow_ou == NULL && listener->allow_san == NULL &&
        listener->allow_spki == NULL)
        return NULL;
    struct certificate_rules *rules = arena_alloc(arena, sizeof *rules);
    if (rules == NULL) {
        findings->out_of_memory = true;
        return NULL;
    }
    *rules = (struct certificate_rules){.listener = listener};
    return read_pins(rules, arena, findings) ? rules : NULL;
}

static bool matches_any(const struct conf_pattern *lines, const struct span *names, size_t count) {
    for (; lines != NULL; lines = lines->next)
        for (size_t i = 0; i < count; i++)
            if (names[i].size != 0 && clientid_matches(lines->text, names[i]))
                return true;
    return false;
}

static bool is_pinned(const struct certificate_rules *rules, const uint8_t *key) {
    for (size_t i = 0; i < rules->pin_count; i++)
        if (memcmp(rules->pins[i].bytes, key, KEY_PIN_SIZE) == 0)
            return true;
    return false;
}

static struct certificate_verdict refuse(const struct conf_pattern *lines, const char *words) {
    while (lines->next != NULL)
        lines = lines->next;
    return (struct certificate_verdict){.origin = lines->origin, .words = words};
}

struct certificate_verdict certificate_judge(const struct certificate_rules *rules,
                                             const struct facts *facts) {
    const struct certificate_verdict allowed = {.is_allowed = true};
    if (rules == NULL)
        return allowed;
    const struct conf_listener *listener = rules->listener;
    if (listener->allow_issuer != NULL && !matches_any(listener->allow_issuer, &facts->issuer, 1))
        return refuse(listener->allow_issuer, "the issuer of its certificate is in no allow_issuer");
    if (listener->allow_ou != NULL && !matches_any(listener->allow_ou, facts->units, facts->unit_count))
        return refuse(listener->allow_ou, "no OU of its certificate is in an allow_ou");
    if (listener->allow_san != NULL && !matches_any(listener->allow_san, facts->sans, facts->san_count) &&
        !matches_any(listener->allow_san, facts->addresses, facts->address_count))
        return refuse(listener->allow_san, "no alternative name of its certificate is in an allow_san");
    if (listener->allow_spki != NULL && !is_pinned(rules, facts->key_sha256))
        return refuse(listener->allow_spki, "the key of its certificate is in no allow_spki");
    return allowed;
}
