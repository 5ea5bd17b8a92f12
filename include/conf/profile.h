/* profile: what the remote brokers that `profile` names stand, as far as their makers say. Who sends to them
 * keeps to it: what breaks a limit is not sent, since most of them close the connection over it. */
#ifndef DRAWBRIDGE_CONF_PROFILE_H
#define DRAWBRIDGE_CONF_PROFILE_H

#include "conf/conf.h"

/* 0 in a number: no limit is known. */
struct profile {
    const char *name;   /* as people know it */
    bool takes_private; /* the 0x80 bit of try_private, $SYS topics, and UNSUBSCRIBE for what was never
                           subscribed */
    bool needs_tls;
    bool needs_retain_off; /* a retained PUBLISH of MQTT 3.1.1 closes the connection */
    unsigned versions;     /* bits, 1u << enum conf_bridge_version */
    uint8_t qos_max;
    uint32_t payload_max_bytes; /* of a PUBLISH */
    uint32_t packet_max_bytes;  /* of any packet */
    uint32_t topic_max_bytes, topic_max_slashes;
    uint32_t clientid_max_bytes;
    uint32_t filters_max;  /* subscriptions of one connection */
    uint32_t inflight_max; /* messages without acknowledgement */
    uint32_t publishes_per_s, bytes_per_s;
    int32_t keepalive_min_s, keepalive_max_s;
    int32_t alias_max; /* topic aliases */
};

/* Never NULL: the row of `none` has no limit but those of MQTT. */
const struct profile *profile_of(const struct conf_bridge *bridge);

#endif
