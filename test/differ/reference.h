/* reference: a second reader of MQTT 3.1, 3.1.1 and 5.0, written from the specifications alone, slow and
 * plain. It shares nothing with the program, not even its headers, so that both hardly make the same mistake.
 */
#ifndef TEST_DIFFER_REFERENCE_H
#define TEST_DIFFER_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REF_CONNECT = 1,
    REF_CONNACK,
    REF_PUBLISH,
    REF_PUBACK,
    REF_PUBREC,
    REF_PUBREL,
    REF_PUBCOMP,
    REF_SUBSCRIBE,
    REF_SUBACK,
    REF_UNSUBSCRIBE,
    REF_UNSUBACK,
    REF_PINGREQ,
    REF_PINGRESP,
    REF_DISCONNECT,
    REF_AUTH,
    REF_WILL = 0, /* the place of the will's properties */
};

/* Borrowed bytes. */
struct ref_bytes {
    const uint8_t *at;
    size_t size;
};

#define REF_PROPS_MAX   300
#define REF_FILTERS_MAX 1500

/* A property as it came. `text` is a string, binary data or a name; `value` what belongs to the name. */
struct ref_prop {
    unsigned id;
    uint32_t number;
    struct ref_bytes text, value;
};

struct ref_props {
    size_t count;
    struct ref_prop list[REF_PROPS_MAX];
};

struct ref_filter {
    struct ref_bytes text;
    uint8_t options;
};

/* What a packet says. Fields that its type does not have are 0. */
struct ref_packet {
    int type, flags, version; /* `version`: of a CONNECT its own */
    struct ref_bytes whole;
    bool is_odd; /* a string holds characters that 1.5.4 advises against: some brokers refuse them */
    /* CONNECT */
    bool is_bridge, is_clean, has_will, will_retain, has_username, has_password;
    int will_qos;
    unsigned keep_alive;
    struct ref_bytes client_id, will_topic, will_payload, username, password;
    /* CONNACK */
    int session_present;
    /* PUBLISH */
    bool is_dup, is_retained;
    int qos;
    struct ref_bytes topic, payload;
    /* others */
    unsigned packet_id;
    int reason; /* return code, reason code */
    struct ref_bytes codes;
    size_t filter_count;
    struct ref_filter filters[REF_FILTERS_MAX];
    struct ref_props props, will_props;
};

enum ref_answer {
    REF_GOOD, /* a whole packet stands at the start */
    REF_MORE, /* nothing is wrong with what is there, but it is not whole */
    REF_BAD,  /* *why is the statement that is broken */
};

/* Reads the packet at the start of the bytes. `version` is that of the connection, 0 before the CONNECT. Only
 * whole packets are looked into; of others the fixed header is judged. */
enum ref_answer ref_read(struct ref_bytes bytes, int version, bool is_from_device, struct ref_packet *packet,
                         const char **why);

/* The first property of that identifier; NULL when there is none. */
const struct ref_prop *ref_prop_find(const struct ref_props *props, unsigned id);

/* The table of properties, for the generator too. */
enum ref_kind { REF_BYTE, REF_TWO, REF_FOUR, REF_VARINT, REF_STRING, REF_BINARY, REF_PAIR };
struct ref_prop_row {
    unsigned id;
    enum ref_kind kind;
    uint32_t device, broker; /* bits of the packet types that may carry it, by who sends them */
};
extern const struct ref_prop_row ref_prop_rows[];
extern const size_t ref_prop_row_count;

/* Control characters and non-characters (1.5.4, non-normative). */
bool ref_is_odd(struct ref_bytes text);
bool ref_is_utf8(struct ref_bytes text);
bool ref_is_topic_name(struct ref_bytes text);
bool ref_is_topic_filter(struct ref_bytes text);

#endif
