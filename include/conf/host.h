/* host: the sections of a listener that `host NAME` opens. Shared by read.c, generation.c and check.c. */
#ifndef DRAWBRIDGE_CONF_HOST_H
#define DRAWBRIDGE_CONF_HOST_H

#include "conf/reading.h"

/* May the option stand below a host line? What acts before the device has named its host may not. */
bool host_may_have(enum conf_option option);

/* host NAME. NULL when memory is out; a wrong name is a finding, and the section takes its lines all the
 * same. */
struct conf_listener *host_open(struct reading *reading, struct conf_listener *listener,
                                const struct value_place *place, struct span rest);

/* Fills in listener->hosts: the listener's effective values, and what a section has of its own. */
void host_settle(struct reading *reading, struct conf_listener *listener,
                 const struct pending_listener *pending);

/* Findings about the hosts of a listener that stand on no line of another one. */
void host_check(const struct conf_listener *listener, struct findings *findings);

#endif
