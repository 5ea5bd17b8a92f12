/* echo: our own guard against loops, for brokers that know neither No Local (MQTT 5.0 3.8.3.1) nor
 * mosquitto's bridge bit: what we published there is remembered for a while by the hash of topic and payload,
 * and left out once when it comes back. */
#ifndef DRAWBRIDGE_BRIDGE_ECHO_H
#define DRAWBRIDGE_BRIDGE_ECHO_H

#include "base/span.h"

/* Messages that are remembered, and how long. */
#define ECHO_COUNT 4096
#define ECHO_MS    10000

struct echo;

struct echo *echo_create(void); /* NULL: memory is out */
void echo_destroy(struct echo *echo);
void echo_note(struct echo *echo, struct span topic, struct span payload, uint64_t now_ms);
/* Was it noted? Then it is forgotten. */
bool echo_take(struct echo *echo, struct span topic, struct span payload, uint64_t now_ms);

#endif
