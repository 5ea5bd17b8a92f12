/* websocket: the client's side of a WebSocket (RFC 6455) that carries MQTT (MQTT 5.0 6), over whatever stream
 * its owner has.
 *
 *     ASKING --the answer to our request is good--> OPEN --close frame--> CLOSED
 *        |                                           |
 *        +--------------------> WRONG <--------------+
 *
 * Bytes of the stream go in with websocket_feed, which hands out those of MQTT; those of MQTT go in with
 * websocket_wrap. What is to be sent is in websocket_out: the request at first, then frames, and the answers
 * to pings and to a close. */
#ifndef DRAWBRIDGE_BRIDGE_WEBSOCKET_H
#define DRAWBRIDGE_BRIDGE_WEBSOCKET_H

#include <stdbool.h>

#include "base/span.h"

/* The head of the answer to our request is no longer than that. */
#define WEBSOCKET_HEAD_MAX 8192

enum websocket_state { WEBSOCKET_ASKING, WEBSOCKET_OPEN, WEBSOCKET_CLOSED, WEBSOCKET_WRONG };

struct websocket;

/* `host`: of the Host header. `path`: with its query; both fit to stand in a request. NULL: no memory, or no
 * randomness. */
struct websocket *websocket_create(struct span host, struct span path);
void websocket_destroy(struct websocket *websocket); /* NULL is allowed */

/* Takes all of the bytes. `take` gets what MQTT is in them, in pieces; false from it is memory that is out,
 * and WRONG. */
enum websocket_state websocket_feed(struct websocket *websocket, struct span bytes,
                                    bool (*take)(void *owner, struct span bytes), void *owner);
/* One binary frame of them; only when OPEN. False: memory is out. */
bool websocket_wrap(struct websocket *websocket, struct span bytes);
/* A close frame, code 1000; nothing is wrapped any more. */
void websocket_say_goodbye(struct websocket *websocket);

/* To be sent, borrowed until the next call; websocket_sent: it was. */
struct span websocket_out(const struct websocket *websocket);
void websocket_sent(struct websocket *websocket);
/* Why it is WRONG or CLOSED. */
const char *websocket_words(const struct websocket *websocket);

#endif
