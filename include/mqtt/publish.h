/* publish: the head of a PUBLISH, judged before and without its payload. */
#ifndef DRAWBRIDGE_MQTT_PUBLISH_H
#define DRAWBRIDGE_MQTT_PUBLISH_H

#include "mqtt/frame.h"
#include "mqtt/props.h"

struct mqtt_publish {
    bool dup, retain;
    uint8_t qos;
    struct span topic;    /* may be empty only in version 5 with a topic alias */
    uint16_t packet_id;   /* 0 at QoS 0 */
    uint16_t topic_alias; /* 0: none */
    size_t head_size;     /* fixed header + variable header, in bytes; the payload begins here */
    uint32_t payload_size;
    struct mqtt_props props; /* version 5; only present and user_count are cleared otherwise */
};

/* Reads the head of the PUBLISH whose fixed header is `frame`; `bytes` begins at the fixed header and may end
 * anywhere. MORE while the head is incomplete; WRONG as soon as the fields at hand say so: each is judged
 * once it is whole, the properties as one block (a topic longer than the packet, U+0000 or a wildcard in the
 * topic (MQTT 5.0 3.3.2-2), an empty topic without alias, packet id 0 above QoS 0, topic alias 0, response
 * topic with wildcards, a subscription identifier from a device (MQTT 5.0 3.3.4-6), ...). With MORE,
 * head_size is filled in too: the bytes without which asking again is of no use. A caller that has a limit
 * for heads sees there that one will be too large before it came. */
enum mqtt_outcome mqtt_publish_read(const struct mqtt_frame *frame, struct span bytes,
                                    enum mqtt_version version, enum mqtt_direction direction,
                                    struct mqtt_publish *publish, enum violation *violation);

#endif
