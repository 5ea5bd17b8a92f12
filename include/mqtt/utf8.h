/* utf8: MQTT's UTF-8 encoded strings (MQTT 5.0 1.5.4): well-formed, no surrogates, no U+0000. */
#ifndef DRAWBRIDGE_MQTT_UTF8_H
#define DRAWBRIDGE_MQTT_UTF8_H

#include "mqtt/packet.h"

/* What one pass over a text finds; no flaw is 0. */
enum mqtt_flaw {
    MQTT_FLAW_UTF8 = 1,     /* not well-formed: the bytes behind the place were not looked at */
    MQTT_FLAW_NUL = 2,      /* U+0000 */
    MQTT_FLAW_WILDCARD = 4, /* `+` or `#`: a flaw in a topic name only */
};
unsigned mqtt_utf8_flaws(struct span bytes);

/* True when the bytes are what MQTT lets a string hold. Control characters and non-characters, which the
 * specification only advises against, are allowed. Fast on ASCII. */
static inline bool mqtt_utf8_is_valid(struct span bytes) {
    return (mqtt_utf8_flaws(bytes) & (MQTT_FLAW_UTF8 | MQTT_FLAW_NUL)) == 0;
}

/* The statement that a string breaks, VIOLATION_NONE for a good one. */
enum violation mqtt_utf8_judge(struct span bytes);

#endif
