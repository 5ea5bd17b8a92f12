#include "policy/psk.h"

#include "base/text.h"
#include "policy/lines.h"
#include "policy/names.h"

#define KEY_SHORT 16 /* bytes; what is shorter can be guessed from a handshake that was listened to */

struct psk_keys {
    struct names *names;
};

struct reading {
    struct arena *arena;
    struct findings *findings;
    const char *path;
    unsigned line;
    struct psk_keys *keys;
};

#define COMPLAIN(reading, kind, ...)                                                                         \
    findings_add((reading)->findings, kind, (reading)->path, (reading)->line, __VA_ARGS__)

static int digit_of(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    uint8_t letter = byte | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* An odd number of digits has a 0 in front, as in mosquitto. 0: it is no key. */
static size_t read_key(struct span text, uint8_t key[PSK_KEY_MAX]) {
    size_t size = (text.size + 1) / 2;
    if (text.size == 0 || size > PSK_KEY_MAX)
        return 0;
    memset(key, 0, size);
    for (size_t i = 0; i < text.size; i++) {
        int digit = digit_of(text.at[i]);
        size_t place = i + text.size % 2; /* among the digits with the 0 */
        if (digit < 0)
            return 0;
        key[place / 2] = (uint8_t)(key[place / 2] << 4 | digit);
    }
    return size;
}

static bool is_identity(struct span text) {
    bool is_good = text.size != 0 && text.size <= PSK_IDENTITY_MAX && text_is_utf8(text);
    for (size_t i = 0; is_good && i < text.size; i++)
        is_good = text.at[i] >= 0x20 && text.at[i] != 0x7F;
    return is_good;
}

static void keep(struct reading *reading, struct span identity, const uint8_t *key, size_t key_size) {
    struct psk *psk = arena_alloc(reading->arena, sizeof *psk + key_size);
    const char *name = arena_text(reading->arena, identity);
    if (psk == NULL || name == NULL) {
        reading->findings->out_of_memory = true;
        return;
    }
    memcpy(psk + 1, key, key_size);
    *psk = (struct psk){span_of(name, identity.size), span_of(psk + 1, key_size), reading->line};
    if (!names_add(reading->keys->names, psk->identity, psk))
        reading->findings->out_of_memory = true;
}

static void read_line(struct reading *reading, struct span line) {
    uint8_t key[PSK_KEY_MAX];
    char quoted[TEXT_QUOTED_SIZE];
    if ((line.size != 0 && line.at[0] == '#') || lines_trim(line).size == 0)
        return;
    const uint8_t *colon = memchr(line.at, ':', line.size);
    if (colon == NULL) {
        COMPLAIN(reading, FINDING_ERROR, "this line is neither identity:key nor a comment");
        return;
    }
    size_t before = (size_t)(colon - line.at);
    struct span identity = lines_trim(span_first(line, before));
    size_t key_size = read_key(lines_trim(span_after(line, before + 1)), key);
    text_quote(quoted, sizeof quoted, identity);
    if (!is_identity(identity))
        COMPLAIN(reading, FINDING_ERROR,
                 "the identity \"%s\" must be 1 to %d bytes of UTF-8 without control characters", quoted,
                 PSK_IDENTITY_MAX);
    else if (key_size == 0)
        COMPLAIN(reading, FINDING_ERROR, "the key of \"%s\" must be 1 to %d hexadecimal digits, without 0x",
                 quoted, 2 * PSK_KEY_MAX);
    else if (names_find(reading->keys->names, identity) != NULL)
        COMPLAIN(reading, FINDING_WARNING,
                 "the identity \"%s\" stands in line %u already, which counts; remove one of the two", quoted,
                 ((const struct psk *)names_find(reading->keys->names, identity))->line);
    else
        keep(reading, identity, key, key_size);
    if (key_size != 0 && key_size < KEY_SHORT)
        COMPLAIN(reading, FINDING_WARNING,
                 "the key of \"%s\" is short; take at least %d random bytes, as from openssl rand -hex %d",
                 quoted, KEY_SHORT, KEY_SHORT);
    explicit_bzero(key, sizeof key);
}

struct psk_keys *psk_read(struct arena *arena, const char *path, struct span text,
                          struct findings *findings) {
    struct reading reading = {.arena = arena, .findings = findings, .path = path};
    size_t errors_before = findings->error_count;
    struct psk_keys *keys = arena_alloc(arena, sizeof *keys);
    if (keys != NULL)
        keys->names = names_create(arena, lines_count(text));
    if (keys == NULL || keys->names == NULL) {
        findings->out_of_memory = true;
        return NULL;
    }
    reading.keys = keys;
    for (struct span rest = text, line; lines_next(&rest, &line);) {
        reading.line++;
        read_line(&reading, line);
    }
    reading.line = 0;
    if (names_count(keys->names) == 0 && findings->error_count == errors_before)
        COMPLAIN(&reading, FINDING_ERROR, "no identity in it; no device could come in");
    return findings->error_count == errors_before && !findings->out_of_memory ? keys : NULL;
}

const struct psk *psk_find(const struct psk_keys *keys, struct span identity) {
    return names_find(keys->names, identity);
}
