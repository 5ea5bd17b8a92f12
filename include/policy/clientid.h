/* clientid: which client ids may come in, and the ones that are made for devices without. */
#ifndef DRAWBRIDGE_POLICY_CLIENTID_H
#define DRAWBRIDGE_POLICY_CLIENTID_H

#include "conf/conf.h"

/* The text of a UUID, without a NUL. */
#define CLIENTID_UUID_SIZE 36

/* mosquitto's clientid_prefixes, which is one prefix in spite of its name: does the client id begin with it?
 * NULL and "" ask for nothing. */
bool clientid_has_prefix(const char *prefix, struct span client_id);

/* A shell's pattern: `*` stands for any characters, `?` for one; everything else for itself. Does it match
 * the whole client id, which is UTF-8? */
bool clientid_matches(const char *pattern, struct span client_id);

/* Does it hold + # / (which mean something in topics) or a control character (U+0001..U+001F,
 * U+007F..U+009F)? */
bool clientid_has_unsafe_chars(struct span client_id);

enum clientid_fault {
    CLIENTID_GOOD,
    CLIENTID_CHARS,       /* against allow_unsafe_clientid_chars */
    CLIENTID_LENGTH,      /* above max_clientid_length */
    CLIENTID_PREFIX,      /* not with clientid_prefixes */
    CLIENTID_DENIED,      /* by a line of clientid_deny */
    CLIENTID_NOT_ALLOWED, /* by no line of clientid_allow */
};

struct clientid_verdict {
    enum clientid_fault fault;
    struct conf_origin origin; /* of the line that spoke; line 0: the default did */
    const char *words;         /* "its client id ..."; NULL when it is good */
};

/* Judges the client id that rules, log and broker will know. `is_made`: clientid_generate made it, so that
 * its length and characters are the owner's choice. */
struct clientid_verdict clientid_judge(const struct conf_listener *listener, struct span client_id,
                                       bool is_made);

/* Writes the client id of a device that sent none: the prefix (auto_id_prefix; NULL is "") and a UUID of
 * version 4 in upper case, with a NUL behind. Returns its size without the NUL, strlen(prefix) +
 * CLIENTID_UUID_SIZE; 0 when the room does not suffice, with nothing but an empty string written. */
size_t clientid_generate(char *room, size_t room_size, const char *prefix, const uint8_t random[16]);

#endif
