/* conf: one configuration generation, read from files in mosquitto's dialect. Immutable once it is read and
 * owned by its arena. Its fields grow from options.def; the floors above read them and nothing else. */
#ifndef DRAWBRIDGE_CONF_CONF_H
#define DRAWBRIDGE_CONF_CONF_H

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/network.h"
#include "base/rate.h"
#include "base/span.h"

/* What an option's value is in C, per type of options.def. */
#define CONF_FIELD_BOOL(field)        bool field;
#define CONF_FIELD_INT(field)         int32_t field;
#define CONF_FIELD_DURATION(field)    uint64_t field; /* milliseconds */
#define CONF_FIELD_CHOICE(field)      int field;      /* the enumerations below */
#define CONF_FIELD_MASK(field)        unsigned field;
#define CONF_FIELD_STRING(field)      const char *field; /* NULL: not set and no default */
#define CONF_FIELD_STRING_LAST(field) const char *field;
#define CONF_FIELD_PATH(field)        const char *field; /* ready to open */
#define CONF_FIELD_PATH_LAST(field)   const char *field;
#define CONF_FIELD_ENDPOINT(field)    const struct conf_endpoint *field; /* NULL: not set */
#define CONF_FIELD_PATTERNS(field)    struct conf_pattern *field;        /* the first; NULL: none */
#define CONF_FIELD_SECRET(field)      const struct conf_secret *field;   /* NULL: not set */
#define CONF_FIELD_BACKEND(field)                                                                            \
    const struct conf_backend *field;                   /* NULL: not set, but never after reading */
#define CONF_FIELD_RATE(field)       struct rate field; /* all zero: no limit */
#define CONF_FIELD_NETWORKS(field)   const struct conf_networks *field; /* NULL: not set */
#define CONF_FIELD_BAN(field)        struct conf_ban field;             /* all zero: never */
#define CONF_FIELD_TEXTS(field)      struct conf_pattern *field;        /* the first; NULL: none */
#define CONF_FIELD_PATHS(field)      struct conf_pattern *field; /* the first; NULL: none; ready to open */
#define CONF_FIELD_SOURCE(field)     struct conf_source field;   /* kind NONE: not set */
#define CONF_FIELD_HIDDEN(field)     const char *field;
#define CONF_FIELD_ADDRESSES(field)  const struct conf_addresses *field; /* NULL: not set */
#define CONF_FIELD_ROUTES(field)     struct conf_route *field;           /* the first; NULL: none */
#define CONF_FIELD_RESTART(field)    struct conf_restart field;
#define CONF_FIELD_KEEPALIVE(field)  struct conf_keepalive field; /* all zero: off */
#define CONF_FIELD_SIZE(field)       uint64_t field;              /* bytes */
#define CONF_FIELD_PRIORITIES(field) struct conf_priority *field; /* the first; NULL: none */
#define CONF_FIELD_STRUCTURE(field)

/* Which struct an option's field is in, per scope of options.def. */
#define CONF_OF_PROGRAM_GLOBAL(...) __VA_ARGS__
#define CONF_OF_PROGRAM_SHARED(...)
#define CONF_OF_PROGRAM_SECURITY(...)
#define CONF_OF_PROGRAM_INHERITED(...)
#define CONF_OF_PROGRAM_LISTENER(...)
#define CONF_OF_PROGRAM_BRIDGE(...)
#define CONF_OF_PROGRAM_BRIDGED(...)
#define CONF_OF_LISTENER_GLOBAL(...)
#define CONF_OF_LISTENER_SHARED(...)    __VA_ARGS__
#define CONF_OF_LISTENER_SECURITY(...)  __VA_ARGS__
#define CONF_OF_LISTENER_INHERITED(...) __VA_ARGS__
#define CONF_OF_LISTENER_LISTENER(...)  __VA_ARGS__
#define CONF_OF_LISTENER_BRIDGE(...)
#define CONF_OF_LISTENER_BRIDGED(...)
#define CONF_OF_BRIDGE_GLOBAL(...)
#define CONF_OF_BRIDGE_SHARED(...)
#define CONF_OF_BRIDGE_SECURITY(...)
#define CONF_OF_BRIDGE_INHERITED(...)
#define CONF_OF_BRIDGE_LISTENER(...)
#define CONF_OF_BRIDGE_BRIDGE(...)  __VA_ARGS__
#define CONF_OF_BRIDGE_BRIDGED(...) __VA_ARGS__

/* CONF_certfile, CONF_max_qos, ...: an index for the origins. */
enum conf_option {
#define OPTION(scope, type, field, ...) CONF_##field,
#include "conf/options.def"
    CONF_OPTION_COUNT
};

enum conf_socket_domain { CONF_SOCKET_DOMAIN_BOTH, CONF_SOCKET_DOMAIN_IPV4, CONF_SOCKET_DOMAIN_IPV6 };
enum conf_protocol { CONF_PROTOCOL_MQTT, CONF_PROTOCOL_WEBSOCKETS, CONF_PROTOCOL_HTTP_API };
/* Are devices asked for a certificate? Any but NONE says yes. */
enum conf_certificate { CONF_CERTIFICATE_NONE, CONF_CERTIFICATE_REQUIRED, CONF_CERTIFICATE_OPTIONAL };
enum conf_keyform { CONF_KEYFORM_PEM, CONF_KEYFORM_ENGINE };
enum conf_acl_subscribe { CONF_ACL_SUBSCRIBE_REFUSE, CONF_ACL_SUBSCRIBE_SILENT };
enum conf_rate_action {
    CONF_RATE_ACTION_DELAY,
    CONF_RATE_ACTION_DROP,
    CONF_RATE_ACTION_REFUSE,
    CONF_RATE_ACTION_DISCONNECT
};
enum conf_retain_policy { CONF_RETAIN_ALLOW, CONF_RETAIN_STRIP, CONF_RETAIN_REFUSE };
enum conf_deny_publish { CONF_DENY_PUBLISH_ACK, CONF_DENY_PUBLISH_DISCONNECT };

enum conf_proxy_form { CONF_PROXY_OFF, CONF_PROXY_V1, CONF_PROXY_V2, CONF_PROXY_V2_SSL };
enum conf_wills { CONF_WILLS_ALLOW, CONF_WILLS_DENY };

enum conf_crl_check { CONF_CRL_CHECK_LEAF, CONF_CRL_CHECK_CHAIN };

/* Of bridges; the order of the words in options.def. */
enum conf_start_type { CONF_START_AUTOMATIC, CONF_START_LAZY, CONF_START_ONCE };
enum conf_bridge_version { CONF_BRIDGE_MQTTV31, CONF_BRIDGE_MQTTV311, CONF_BRIDGE_MQTTV50 };
enum conf_reload_type { CONF_RELOAD_LAZY, CONF_RELOAD_IMMEDIATE };
enum conf_queue_overflow { CONF_OVERFLOW_DROP_OLDEST, CONF_OVERFLOW_DROP_NEWEST, CONF_OVERFLOW_STOP_READING };
enum conf_queue_order { CONF_ORDER_FIFO, CONF_ORDER_NEWEST_FIRST };
enum conf_durability { CONF_DURABILITY_FULL, CONF_DURABILITY_RELAXED };
enum conf_transport { CONF_TRANSPORT_TCP, CONF_TRANSPORT_WEBSOCKETS };
enum conf_profile {
    CONF_PROFILE_NONE,
    CONF_PROFILE_AWS_IOT,
    CONF_PROFILE_AZURE_IOTHUB,
    CONF_PROFILE_AZURE_EVENTGRID,
    CONF_PROFILE_HIVEMQ_CLOUD,
    CONF_PROFILE_MOSQUITTO
};

/* Bits of accept_protocol_versions, by the protocol level of CONNECT: 1u << 4 is MQTT 3.1.1. */
#define CONF_VERSION(level) (1u << (level))

/* Where a value stands; line 0: nowhere, it is the default. */
struct conf_origin {
    const char *file;
    unsigned line;
};

/* A list of networks; an empty one is as good as none. */
struct conf_networks {
    size_t count;
    struct network list[];
};

/* Who is banned after failures, as bits of conf_ban.kinds. */
enum conf_ban_kind { CONF_BAN_ADDRESS = 1, CONF_BAN_USERNAME = 2, CONF_BAN_CLIENTID = 4 };

/* `count` failures within `window_ms` ban for `ban_ms`. All of one width: compared as bytes. */
struct conf_ban {
    uint64_t count; /* 0: never; at most CONF_BAN_COUNT_MAX */
    uint64_t window_ms, ban_ms;
    uint64_t kinds;
};
#define CONF_BAN_COUNT_MAX 100

/* What a name of a device is taken from. */
enum conf_source_kind {
    CONF_SOURCE_NONE,
    CONF_SOURCE_CN,
    CONF_SOURCE_SUBJECT,
    CONF_SOURCE_SAN_DNS,
    CONF_SOURCE_SAN_URI,
    CONF_SOURCE_SAN_EMAIL,
    CONF_SOURCE_SAN_IP,
    CONF_SOURCE_SERIAL,
    CONF_SOURCE_FINGERPRINT,
    CONF_SOURCE_PSK_IDENTITY,
};

/* All of one width: compared as bytes. */
struct conf_source {
    uint32_t kind;   /* enum conf_source_kind */
    uint32_t number; /* which of several SANs, from 1 on */
};

/* A place to listen at. */
struct conf_endpoint {
    const char *file; /* where it stands */
    unsigned line;
    const char *text; /* as it was written, without blanks */
    const char *host; /* name or address without brackets */
    uint16_t port;
};

/* One broker. */
struct conf_backend {
    const char *file; /* where it stands */
    unsigned line;
    const char *text; /* as it was written, without blanks */
    const char *host; /* name or address without brackets; NULL with a path */
    uint16_t port;
    const char *path; /* of a Unix socket, ready to connect to; NULL with a host */
};

/* A line of clientid_allow or clientid_deny, or of another option whose lines add up. */
struct conf_pattern {
    struct conf_pattern *next;
    struct conf_origin origin;
    const char *text;
    bool is_allowed; /* of clientid_allow */
};

/* What may stand in a file of its own and is never shown. */
struct conf_secret {
    const char *text; /* NULL with a path */
    const char *path; /* ready to open; NULL with a text */
};

/* The addresses of a remote broker; paths are NULL. */
struct conf_addresses {
    size_t count;
    struct conf_backend list[];
};

/* Which way the messages of a route go, as bits. */
enum conf_route_direction { CONF_ROUTE_OUT = 1, CONF_ROUTE_IN = 2 };

/* A line of topic or remap. */
struct conf_route {
    struct conf_route *next;
    struct conf_origin origin;
    bool is_remap;
    unsigned directions; /* of CONF_ROUTE_OUT and CONF_ROUTE_IN; a remap has one */
    uint8_t qos;
    /* topic: what was written; a prefix is NULL when there is none or it is "" */
    const char *pattern, *local_prefix, *remote_prefix;
    const char *local_filter, *remote_filter; /* prefix and pattern joined: valid filters */
    /* remap */
    const char *source_filter; /* a valid filter: out: local, in: remote */
    const char *target;        /* the template, in which every $ is good */
};

/* How long to wait before the next attempt. All of one width: compared as bytes. */
struct conf_restart {
    uint32_t base_s, cap_s; /* both the same: always so long */
    uint32_t stable_s;      /* so long a connection must last for the wait to begin at base_s again */
};

/* Probes of TCP; all zero: off. All of one width: compared as bytes. */
struct conf_keepalive {
    uint32_t idle_s, interval_s, count;
};

/* A line of queue_priority. */
struct conf_priority {
    struct conf_priority *next;
    struct conf_origin origin;
    const char *filter; /* a valid one, for the side that a message comes from */
    int16_t priority;
};

/* A `connection` section. */
struct conf_bridge {
    const char *file; /* where its `connection` line stands */
    unsigned line;
    const char *name;                              /* fit for a file's name; unique */
    struct conf_origin origins[CONF_OPTION_COUNT]; /* of the effective values; ask conf_bridge_origin */
#define OPTION(scope, type, field, ...) CONF_OF_BRIDGE_##scope(CONF_FIELD_##type(field))
#include "conf/options.def"
};

struct conf_listener {
    const char *file; /* where its `listener` or `port` line stands; line 0 for the default local one */
    unsigned line;
    uint16_t port;         /* 0 with a path */
    const char *address;   /* host text; NULL: all */
    const char *path;      /* of a Unix socket, ready to bind; NULL otherwise */
    bool is_default_local; /* nothing was configured: listen on 127.0.0.1 and ::1, port 1883 */
    bool is_old_style;     /* made by `port` or `bind_address` */
    const struct conf_backend *backend;
    const char *host;            /* of a host section: the name in small letters, perhaps *.NAME; else NULL */
    struct conf_listener *hosts; /* its host sections, with all values effective */
    size_t host_count;
    struct conf_origin origins[CONF_OPTION_COUNT]; /* of the effective values; ask conf_listener_origin */
#define OPTION(scope, type, field, ...) CONF_OF_LISTENER_##scope(CONF_FIELD_##type(field))
#include "conf/options.def"
};

struct conf {
    struct arena *arena;
    const char *path;         /* of the main file, as it was given */
    const char *const *files; /* all files that were read, the main file first */
    size_t file_count;
    const char *include_dir;         /* ready to open; NULL: none */
    struct conf_listener *listeners; /* all values effective; none only where there are bridges */
    size_t listener_count;
    struct conf_listener shared; /* what was set for all listeners; the listeners hold it already */
    struct conf_bridge *bridges; /* in the order of the file; all values effective */
    size_t bridge_count;
    struct conf_bridge bridged; /* what was set for all bridges; the bridges hold it already */
    const char *log_file;       /* of `log_dest file`; NULL otherwise */
    struct conf_origin origins[CONF_OPTION_COUNT];
#define OPTION(scope, type, field, ...) CONF_OF_PROGRAM_##scope(CONF_FIELD_##type(field))
#include "conf/options.def"
};

/* Reads the main file and the files of its include_dir. Every error is a finding, none ends the reading; with
 * any error finding NULL comes back. Warnings and notices come with a good configuration as well. Findings
 * may hold some of an earlier call; only new ones count. */
struct conf *conf_read(const char *path, struct findings *findings);

/* The same from memory: `path` is only a name for findings and the base of relative paths. include_dir is an
 * error. Touches no file. */
struct conf *conf_read_text(const char *path, struct span text, struct findings *findings);

/* Frees everything, the strings included. NULL is allowed. */
void conf_destroy(struct conf *conf);

/* True when the listener speaks TLS. */
static inline bool conf_listener_is_tls(const struct conf_listener *listener) {
    return listener->certfile != NULL || listener->pem_dir != NULL || listener->psk_hint != NULL;
}

/* What the username is taken from, in whatever keyword it was said; kind NONE: it is the device's own. */
static inline struct conf_source conf_listener_user_source(const struct conf_listener *listener) {
    if (listener->use_identity_as_username)
        return (struct conf_source){listener->psk_hint != NULL ? CONF_SOURCE_PSK_IDENTITY : CONF_SOURCE_CN,
                                    1};
    if (listener->use_subject_as_username)
        return (struct conf_source){CONF_SOURCE_SUBJECT, 1};
    return listener->username_from;
}

/* Where an effective value comes from, for findings: {file, line} of its own line or, when it is a default,
 * of the listener. */
static inline struct conf_origin conf_listener_origin(const struct conf_listener *listener,
                                                      enum conf_option option) {
    if (listener->origins[option].line != 0)
        return listener->origins[option];
    return (struct conf_origin){listener->file, listener->line};
}

/* The same for a bridge. */
static inline struct conf_origin conf_bridge_origin(const struct conf_bridge *bridge,
                                                    enum conf_option option) {
    if (bridge->origins[option].line != 0)
        return bridge->origins[option];
    return (struct conf_origin){bridge->file, bridge->line};
}

/* True when the bridge speaks TLS with the remote broker. A client certificate alone does not turn it on. */
static inline bool conf_bridge_is_tls(const struct conf_bridge *bridge) {
    return bridge->bridge_cafile != NULL || bridge->bridge_capath != NULL ||
           bridge->bridge_tls_use_os_certs || bridge->bridge_psk != NULL;
}

/* The client ids with their defaults: HOSTNAME.NAME at the remote broker, local.REMOTE-ID at ours. Cut when
 * the room is too small. Return `room`. */
const char *conf_bridge_remote_id(const struct conf_bridge *bridge, const char *hostname, char *room,
                                  size_t room_size);
const char *conf_bridge_local_id(const struct conf_bridge *bridge, const char *hostname, char *room,
                                 size_t room_size);

/* True when the listener has the value from a line for all listeners (or has the default): listeners that
 * have it from there share it. */
static inline bool conf_is_from_all(const struct conf *conf, const struct conf_listener *listener,
                                    enum conf_option option) {
    const struct conf_origin *own = &listener->origins[option], *all = &conf->shared.origins[option];
    return own->line == all->line && own->file == all->file;
}

/* "listener 8883 192.0.2.1", "listener 0 /run/x.sock", "the default listener": for log lines, with " host
 * NAME" behind it for a host. Returns `room`. */
const char *conf_listener_name(const struct conf_listener *listener, char *room, size_t room_size);

/* What base/log.h wants; borrows from the configuration. */
struct log_settings conf_log_settings(const struct conf *conf);

#endif
