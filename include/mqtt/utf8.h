/* utf8: MQTT's UTF-8 encoded strings (MQTT 5.0 1.5.4): well-formed, no surrogates, no U+0000. */
#ifndef DRAWBRIDGE_MQTT_UTF8_H
#define DRAWBRIDGE_MQTT_UTF8_H

#include "base/span.h"

/* True when the bytes are what MQTT lets a string hold. Control characters and non-characters, which the
 * specification only advises against, are allowed. Fast on ASCII. */
bool mqtt_utf8_is_valid(struct span bytes);

#endif
