/* expect: what must come out on the far side of the program, worked out from what was put in with the
 * reference reader alone, and what did come out, read with the same. */
#ifndef TEST_DIFFER_EXPECT_H
#define TEST_DIFFER_EXPECT_H

#include "differ/lines.h"

/* The rules that the program runs under. has_rules: the ACL file is EXPECT_ACL. */
#define EXPECT_ACL "pattern readwrite #\npattern deny no/#\n"

/* The name that a device without one gets, since the stage's random bytes are all the same. */
#define EXPECT_CLIENT_ID "auto-5A5A5A5A-5A5A-4A5A-9A5A-5A5A5A5A5A5A"

struct expect_rules {
    bool has_rules;
    bool use_username_as_clientid;
    int max_qos;
    bool retain_available;
    unsigned max_topic_alias;
    size_t max_packet_size; /* 0: none */
    size_t message_size_limit;
};

enum expect_end {
    EXPECT_OPEN,   /* the connection goes on */
    EXPECT_END,    /* it is over: a goodbye, or something was wrong */
    EXPECT_ANYHOW, /* the last packet is not whole, and may be wrong already or not */
};

struct expectation {
    struct lines lines;
    struct lines last_words; /* what the device hears of the program itself when the broker was wrong */
    enum expect_end end;
    bool is_rewritten;   /* some packet is not passed as it came */
    size_t whole_size;   /* bytes of the packets that pass, as they came */
    size_t packet_count; /* whole packets that were judged good */
    const char *why;     /* what is wrong with the next one; NULL when nothing is */
};

/* The device says `stream`, the broker nothing but the good `connack`. */
void expect_at_broker(const struct expect_rules *rules, struct ref_bytes stream, struct ref_bytes connack,
                      struct expectation *expectation);
/* The broker says `stream`, the device nothing but the good `connect`. */
void expect_at_device(const struct expect_rules *rules, struct ref_bytes stream, struct ref_bytes connect,
                      struct expectation *expectation);

/* Prints good packets of a device, one a line: its kind and the fields that a broker acts on, in hexadecimal.
 */
void expect_print(struct ref_bytes stream, int version);

void expectation_free(struct expectation *expectation);

/* Reads what came out; `version` is learnt from a CONNECT. False when a packet is bad or uses an alias that
 * nobody told: *why then. What is left at the end, a packet that is not whole, is *rest. */
bool expect_see(struct ref_bytes stream, int version, bool is_from_device, struct lines *lines,
                struct ref_bytes *rest, const char **why);

#endif
