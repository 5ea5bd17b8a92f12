/* mount: mosquitto's mount_point, a text in front of every topic of one session. Towards the broker it is put
 * on, towards the device it is cut off; what stands outside of it never reaches the device. It is put on
 * before policy is asked and cut off afterwards, so that rules speak of the broker's topics.
 *
 *     device                         broker, acl_file
 *     a/b                            MOUNTa/b
 *     $share/NAME/FILTER             $share/NAME/MOUNTFILTER
 *     $SYS/#                         MOUNT$SYS/#           as in mosquitto: nothing of $SYS is seen
 *
 * The aliases of both ways (MQTT 5.0 3.3.2.3.4) stand for the broker's topics. */
#ifndef DRAWBRIDGE_INSPECT_MOUNT_H
#define DRAWBRIDGE_INSPECT_MOUNT_H

#include "inspect/inspector.h"
#include "mqtt/publish.h"
#include "mqtt/subscribe.h"

/* A topic wants one byte more. */
#define MOUNT_SIZE_MAX 65534

/* Binds the session to its mount point, for as long as it lives: the subscriptions that the broker keeps for
 * it begin with this text. `pattern` is the option's value (borrowed); %c and %u in it become the client id
 * and the username. Those may then hold no `/`, `+`, `#`, which would lead out of the device's own place.
 * False: the device is refused with *reason, for the cause in *words. */
bool mount_bind(struct inspector *inspector, const char *pattern, struct acl_identity identity,
                uint8_t *reason, const char **words);

static inline bool mount_is_on(const struct inspector *inspector) {
    return inspector->mount.size != 0;
}

/* ---- to the broker ---- */

/* Puts it in front of the topic of a PUBLISH that is not bare: publish->topic then lies in the scratch.
 * REFUSED when the topic, or the response topic, would be longer than 65,535 bytes (MQTT 5.0 4.7.3-3). */
enum inspect_result mount_publish(struct inspector *inspector, struct inspect_bytes *bytes,
                                  struct mqtt_publish *publish);

/* The response topic as the broker gets it, in the scratch behind a topic that mount_publish put there;
 * empty: none. */
struct span mount_response_topic(const struct inspector *inspector, const struct inspect_bytes *bytes,
                                 const struct mqtt_props *props);

/* The filter as the broker gets it, in the scratch until its next use; without a mount point the filter
 * itself. Empty when it cannot be one: too long, or a wildcard would not fill its level any more. */
struct span mount_filter(const struct inspector *inspector, const struct inspect_bytes *bytes,
                         struct span filter);
/* The same as MQTT's string; a filter that can be none sets is_full. */
void mount_write_filter(struct writer *writer, const struct inspector *inspector, struct span filter);
/* May a SUBSCRIBE or UNSUBSCRIBE grow that much? NEXT, or FLUSH before anything was judged or counted, or
 * WRONG when it would be too large. */
enum inspect_result mount_make_room(struct inspector *inspector, const struct inspect_bytes *bytes,
                                    const struct mqtt_frame *frame, uint32_t filter_count);
/* Passes an UNSUBSCRIBE, without its properties when these may not go on; after mount_make_room. */
enum inspect_result mount_unsubscribe(struct inspector *inspector, struct inspect_bytes *bytes,
                                      const struct mqtt_frame *frame,
                                      const struct mqtt_subscribe *unsubscribe, bool has_properties);

/* Puts it in front of the will's topic and response topic, which then lie in the scratch. False when one
 * would be too long. */
bool mount_will(const struct inspector *inspector, struct mqtt_connect *connect, uint8_t *scratch,
                size_t scratch_size);

/* ---- to the device ---- */

/* Is the broker's topic inside, with something left behind the mount point? */
bool mount_has_inside(const struct inspector *inspector, struct span topic);

/* What a device may be told of the broker's Maximum Packet Size, since its packets grow on their way. */
uint32_t mount_packet_max(const struct inspector *inspector, uint32_t broker_max);

/* ---- both ways ---- */

/* The head of a PUBLISH as its receiver gets it, in the scratch. `is_bare`: without the topic, whose alias
 * the receiver knows. A response topic goes with it; one outside of the mount point is left out towards the
 * device, which could not answer there. WRONG when the packet would be too large. */
enum inspect_result mount_head(struct inspector *inspector, const struct inspect_way *way,
                               const struct inspect_bytes *bytes, const struct mqtt_frame *frame,
                               const struct mqtt_publish *publish, bool is_bare, struct span *head);

#endif
