#include "mqtt/packet.h"

#include "mqtt/places.h"

/* The label of a violation is its name in lower case, made from the row while compiling: a letter of a string
 * literal at a fixed place is a constant to both compilers. */
#define LABEL_SIZE      32
#define LETTER(text, i) ((text)[(i) < sizeof(text) ? (i) : sizeof(text) - 1])
#define LOWER(text, i)                                                                                       \
    (char)(LETTER(text, i) >= 'A' && LETTER(text, i) <= 'Z' ? LETTER(text, i) + 32 : LETTER(text, i))
#define LOWER_4(text, i)  LOWER(text, i), LOWER(text, i + 1), LOWER(text, i + 2), LOWER(text, i + 3)
#define LOWER_16(text, i) LOWER_4(text, i), LOWER_4(text, i + 4), LOWER_4(text, i + 8), LOWER_4(text, i + 12)

static const char labels[VIOLATION_COUNT][LABEL_SIZE] = {
    "none",
#define VIOLATION(name, reason, clause, sentence) {LOWER_16(#name, 0), LOWER_16(#name, 16)},
#include "mqtt/violations.def"
#undef VIOLATION
};

#define VIOLATION(name, reason, clause, sentence)                                                            \
    _Static_assert(sizeof(#name) <= LABEL_SIZE, #name " is too long for its label");
#include "mqtt/violations.def"
#undef VIOLATION

const struct violation_row violation_rows[VIOLATION_COUNT] = {
    {labels[VIOLATION_NONE], MQTT_REASON_SUCCESS, "", "nothing is wrong"},
#define VIOLATION(name, reason, clause, sentence) {labels[VIOLATION_##name], (reason), clause, sentence},
#include "mqtt/violations.def"
#undef VIOLATION
};

static const uint32_t reason_places[256] = {
#define REASON(value, name, words, packets) [value] = (packets),
#include "mqtt/reasons.def"
#undef REASON
};

static const char *const reason_words[256] = {
#define REASON(value, name, words, packets) [value] = (words),
#include "mqtt/reasons.def"
#undef REASON
};

bool mqtt_reason_is_allowed(uint8_t reason, enum mqtt_type type) {
    return places_have_either(reason_places[reason], type);
}

bool mqtt_reason_may_travel(uint8_t reason, enum mqtt_type type, enum mqtt_direction direction) {
    return places_have(reason_places[reason], type, direction);
}

const char *mqtt_reason_words(uint8_t reason) {
    return reason_words[reason] == NULL ? "unknown reason" : reason_words[reason];
}

const char *mqtt_type_name(enum mqtt_type type) {
    static const char *const names[16] = {
        "reserved",  "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
        "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
    };
    return names[(unsigned)type < 16 ? (unsigned)type : 0];
}
