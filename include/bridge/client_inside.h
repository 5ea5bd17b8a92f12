/* client_inside: what the files of a client share: client.c, client_say.c. Nobody else includes this. */
#ifndef DRAWBRIDGE_BRIDGE_CLIENT_INSIDE_H
#define DRAWBRIDGE_BRIDGE_CLIENT_INSIDE_H

#include "bridge/client.h"

/* For the bytes around the payload. */
#define PACKET_HEAD_MAX 16

static inline enum mqtt_version client_version(const struct client *client) {
    return client->wish.connect.version;
}

/* client.c: ends it, with these words for the log. */
void client_fail(struct client *client, enum client_end end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* client_say.c */
/* False: memory is out, and the client ends with the next flush or read. */
bool client_make_room(struct client *client, struct client_buffer *buffer, size_t wanted);
/* An empty buffer that is larger than usual. */
void client_give_back(struct client_buffer *buffer, size_t usual);
/* A writer of at least `size` bytes behind what is written; client_wrote takes what was put there. */
bool client_begin(struct client *client, size_t size, struct writer *writer);
void client_wrote(struct client *client, const struct writer *writer);
/* What the WebSocket has to say; a negative errno. */
int client_send_frames(struct client *client);

#endif
