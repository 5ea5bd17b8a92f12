/* inspector: bytes in; pass, cut, rewrite, answer or end comes out. One per session, with a way per
 * direction.
 *
 *      0 ........ judged ........ scanned ........ filled ........ size
 *        may leave       cut out          not looked at
 *        (packed)                         or incomplete
 *
 * Allowed bytes are moved down over what was cut, each at most once; as long as nothing is cut, nothing
 * moves. No socket, no clock. */
#ifndef DRAWBRIDGE_INSPECT_INSPECTOR_H
#define DRAWBRIDGE_INSPECT_INSPECTOR_H

#include "base/writer.h"
#include "inspect/alias.h"
#include "inspect/inflight.h"
#include "inspect/subscriptions.h"
#include "inspect/tally.h"
#include "inspect/window.h"
#include "mqtt/connect.h"
#include "mqtt/frame.h"
#include "policy/acl.h"
#include "policy/topics.h"

/* CONNECT, SUBSCRIBE, UNSUBSCRIBE, AUTH, the acknowledgements and the head of a PUBLISH are held until they
 * are whole; their bound. */
#define INSPECT_HELD_MAX 100000

enum retain_policy { RETAIN_ALLOW, RETAIN_STRIP, RETAIN_REFUSE };

struct inspect_limits {
    uint32_t max_packet_size;    /* bytes; 0: none */
    uint32_t message_size_limit; /* payload bytes; 0: none */
    uint8_t max_qos;
    bool retain_available;
    uint16_t max_topic_alias;
    uint16_t max_keepalive_s; /* 0: none */
    uint16_t receive_maximum; /* unacknowledged PUBLISHes of a device, version 5; 0: none */
    bool is_broker_counted;   /* the broker is held to the device's Receive Maximum */
    bool is_subscribe_silent; /* SUBSCRIBE is not judged, as in mosquitto */
    bool is_deny_disconnect;  /* a forbidden PUBLISH ends the session */
    /* What inspect/rules.h holds a PUBLISH or a will against; `has_message_rules`: there is any such rule. */
    bool has_message_rules;
    struct topic_rules topics; /* of filters too */
    enum retain_policy retain_policy;
    uint32_t max_user_properties;      /* count; 0: none */
    uint32_t max_user_properties_size; /* bytes of their names and values together; 0: none */
    bool is_response_topic_judged;     /* as a PUBLISH of its sender would be */
    /* Subscriptions: what is false is refused. */
    bool wildcard_subscriptions, shared_subscriptions, subscription_identifiers;
    uint8_t refused_options;            /* bits of a subscription's options that must not be set */
    uint32_t min_wildcard_levels;       /* literal ones in front of the first wildcard */
    uint32_t max_subscriptions;         /* of a session; 0: no limit */
    uint32_t max_filters_per_subscribe; /* 0: no limit */
};

enum inspect_state {
    INSPECT_BEFORE_CONNECT,
    INSPECT_BEFORE_CONNACK, /* the CONNECT has gone to the broker */
    INSPECT_OPEN,
    INSPECT_OVER, /* DISCONNECT or a refusing CONNACK has passed: nothing may follow */
};

enum inspect_result {
    INSPECT_NEXT, /* inside only: this packet is done, look at the next */
    INSPECT_MORE, /* all that can be judged is; `need` tells how many bytes behind `scanned` are worth another
                     look */
    INSPECT_CONNECT, /* a good CONNECT was cut out: the session judges it and calls inspect_forward_connect or
                        ends */
    INSPECT_PAUSE,   /* what follows must wait for the CONNACK */
    INSPECT_DELAY,   /* what follows comes too fast and must wait until pace->due_ms */
    INSPECT_FLUSH,   /* no room to rewrite: send what is judged, pack, call again */
    INSPECT_STARTED, /* the CONNACK that accepts was judged: the device's way may go on (call again for the
                        rest) */
    INSPECT_GOODBYE, /* the sender said its last word, which is judged: send it, then end */
    INSPECT_WRONG,   /* `violation` is broken by the sender of these bytes */
    INSPECT_REFUSED, /* policy ends the session with `refused_reason` */
    INSPECT_TOO_FAST, /* the device sends faster than its rate, and that ends the session */
    INSPECT_NO_MEMORY,
};

struct inspect_way {
    enum mqtt_direction direction;
    uint32_t payload_left; /* of the PUBLISH whose head is judged */
    bool is_cutting;       /* that payload is not passed */
    /* Owed for the PUBLISH that is being cut, once its last byte is here: a sender that hears the answer
     * before has not finished speaking. Type 0: nothing. */
    struct {
        int type;
        uint16_t packet_id;
        uint8_t reason;
    } answer;
    struct alias_map aliases;
    struct id_set ours;   /* QoS 2 packet ids of this way's PUBLISHes that we answered ourselves */
    struct window window; /* PUBLISHes of this way that reached their receiver, or us in its place */
};

/* What a refusal was about, for the log; spans borrowed for the length of the call. */
struct inspect_refusal {
    enum mqtt_type type;
    enum mqtt_direction direction;
    struct span topic; /* or filter */
    struct verdict verdict;
};

struct pace;  /* pace.h */
struct twins; /* twins.h */

struct inspector {
    enum inspect_state state;
    enum mqtt_version version;
    struct span auth_method; /* of the CONNECT, kept; empty: none */
    bool is_auth_open;       /* an AUTH of the broker waits for one of the device */
    bool has_session_expiry; /* the CONNECT asked for a session that outlives the connection */
    bool may_tell_reasons;   /* a good CONNECT of version 5 did not forbid it (Request Problem Information) */
    bool is_client_id_ours;  /* the broker knows the device under another client id than it knows itself */
    uint32_t device_max_packet_size; /* of the CONNECT; 0: none */
    struct inspect_limits limits;
    struct acl_binding acl;
    struct inspect_way from_device, from_broker;
    struct pace *pace; /* lent by the session; NULL: the device may send as fast as it likes */
    struct merge_list merges;
    struct span mount;                  /* see mount.h; kept; empty: none */
    uint32_t broker_packet_max;         /* Maximum Packet Size of the CONNACK; 0: none */
    uint32_t own_pings;                 /* PINGREQs of ours that the broker has not answered */
    struct subscriptions subscriptions; /* those that count against max_subscriptions */
    struct span assigned_client_id;     /* one that we made: told in the CONNACK; borrowed */
    uint16_t keep_alive_s;              /* of the CONNECT, then what the CONNACK says instead; 0: none */
    enum violation violation;
    uint8_t refused_reason;
    uint8_t connack_code;
    struct tally *tally;
    void (*on_refused)(void *owner, const struct inspect_refusal *refusal);
    void *owner;
    struct mqtt_connect *connect; /* lent by the session for INSPECT_CONNECT */
};

/* Bytes of one way, lent by the worker. */
struct inspect_bytes {
    uint8_t *at;
    size_t judged, scanned, filled, size;
    size_t need;
    uint8_t *scratch; /* where a rewritten packet is put together; never inside `at` */
    size_t scratch_size;
    struct twins *twins; /* the worker's; NULL: none */
};

/* The longest rewritten packet, and so the scratch: a head with a topic put in and a response topic made
 * longer. */
#define INSPECT_SCRATCH_SIZE (INSPECT_HELD_MAX + 2 * 65536 + 16)
/* Free room that `reply` must have for one packet's answer (a SUBACK for the longest SUBSCRIBE). */
#define INSPECT_REPLY_ROOM 40000

void inspector_init(struct inspector *inspector, const struct inspect_limits *limits, struct tally *tally);
void inspector_clear(struct inspector *inspector);

/* Judges as much as it can. `reply` takes answers to the side that sent the bytes; when it is full the result
 * is FLUSH. */
enum inspect_result inspect_from_device(struct inspector *inspector, struct inspect_bytes *bytes,
                                        struct writer *reply);
enum inspect_result inspect_from_broker(struct inspector *inspector, struct inspect_bytes *bytes,
                                        struct writer *reply);

/* May a packet of that size be sent to the device (MQTT 5.0 3.1.2-24)? */
static inline bool inspect_fits_device(const struct inspector *inspector, size_t size) {
    return inspector->device_max_packet_size == 0 || size <= inspector->device_max_packet_size;
}

/* Is the stream of that way at a packet boundary, so that a word of our own may follow what was judged? */
static inline bool inspect_is_at_boundary(const struct inspect_way *way) {
    return way->payload_left == 0 || way->is_cutting;
}

#endif
