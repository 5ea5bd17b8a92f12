/* connect: CONNECT and CONNACK. */
#ifndef DRAWBRIDGE_MQTT_CONNECT_H
#define DRAWBRIDGE_MQTT_CONNECT_H

#include "mqtt/props.h"

struct mqtt_connect {
    enum mqtt_version version;
    bool is_bridge; /* bit 0x80 of the protocol level: mosquitto's try_private, versions 3.1 and 3.1.1 only */
    bool clean_start; /* "clean session" before 5.0 */
    uint16_t keep_alive_s;
    struct span client_id;
    bool has_will, will_retain;
    uint8_t will_qos;
    struct span will_topic, will_payload;
    struct mqtt_props will_props; /* version 5 */
    bool has_username, has_password;
    struct span username, password;
    struct mqtt_props props; /* version 5 */
};

/* Reads the body (all bytes behind the fixed header) of a CONNECT. All spans borrow from `body`. Never MORE.
 * Strict (MQTT 5.0 3.1, 3.1.1 3.1, 3.1): protocol name and level belong together; reserved flag 0; will flags
 * only with a will, will QoS below 3; before 5.0 no password without username; strings in UTF-8; will topic a
 * valid topic name; nothing behind the last field. 3.1 itself wants these three to be let through: the
 * reserved flag set, will flags other than QoS 3 without a will (they are disregarded), and a username or
 * password that is announced by its flag and then missing at the end (has_username and has_password say
 * whether it was there). An unknown protocol level (with the right name) is VIOLATION_PROTOCOL_VERSION, and
 * the version is still filled in as far as it was understood (so that a CONNACK can be chosen); so it is when
 * a later field is WRONG. Whether a CONNECT of version 5 had a minimal fixed header is the caller's question
 * to mqtt_frame_is_minimal. A zero-length client id without clean session before 5.0 is left to the policy,
 * which has its own answer to it. */
enum mqtt_outcome mqtt_connect_read(struct span body, struct mqtt_connect *connect,
                                    enum violation *violation);

struct mqtt_connack {
    bool session_present;
    uint8_t code;            /* return code before 5.0 (0..5), reason code in 5.0 */
    struct mqtt_props props; /* version 5 */
};

/* Reads the body of a CONNACK. Session present with a refusal is WRONG (MQTT 5.0 3.2.2-6); in 3.1 the first
 * byte is free. */
enum mqtt_outcome mqtt_connack_read(struct span body, enum mqtt_version version, struct mqtt_connack *connack,
                                    enum violation *violation);

#endif
