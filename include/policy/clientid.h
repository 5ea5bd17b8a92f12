/* clientid: the two things that mosquitto does with client ids besides keeping them. */
#ifndef DRAWBRIDGE_POLICY_CLIENTID_H
#define DRAWBRIDGE_POLICY_CLIENTID_H

#include "base/span.h"

/* The text of a UUID, without a NUL. */
#define CLIENTID_UUID_SIZE 36

/* mosquitto's clientid_prefixes, which is one prefix in spite of its name: does the client id begin with it?
 * NULL and "" ask for nothing. */
bool clientid_has_prefix(const char *prefix, struct span client_id);

/* Writes the client id of a device that sent none: the prefix (auto_id_prefix; NULL is "") and a UUID of
 * version 4 in upper case, with a NUL behind. Returns its size without the NUL, strlen(prefix) +
 * CLIENTID_UUID_SIZE; 0 when the room does not suffice, with nothing but an empty string written. */
size_t clientid_generate(char *room, size_t room_size, const char *prefix, const uint8_t random[16]);

#endif
