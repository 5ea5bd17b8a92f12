/* profile: what the remote brokers that `profile` names refuse or end the connection over, known before it is
 * sent. Pure. */
#ifndef DRAWBRIDGE_BRIDGE_PROFILE_H
#define DRAWBRIDGE_BRIDGE_PROFILE_H

#include "bridge/client.h"
#include "conf/profile.h"

#define PROFILE_WORDS_SIZE 160

/* NULL when a message may be sent, else which limit it breaks, in words that are put into `room`
 * (PROFILE_WORDS_SIZE). QoS and retain are adapted before: they are limits like those of a CONNACK. */
const char *profile_judge(const struct conf_bridge *bridge, enum lane lane, enum mqtt_version version,
                          const struct client_publish *publish, char *room);
/* Does it take retained messages in this version of MQTT? */
bool profile_has_retain(const struct conf_bridge *bridge, enum mqtt_version version);

#endif
