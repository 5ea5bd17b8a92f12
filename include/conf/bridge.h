/* bridge: the sections that `connection NAME` opens. Shared by read.c, generation.c and check.c. */
#ifndef DRAWBRIDGE_CONF_BRIDGE_H
#define DRAWBRIDGE_CONF_BRIDGE_H

#include "conf/reading.h"

/* connection NAME. NULL when memory is out; a wrong name is a finding, and the section takes its lines all
 * the same. */
struct conf_bridge *bridge_open(struct reading *reading, const struct value_place *place, struct span rest);

/* One line of the section, with an OPTION row. */
void bridge_read(struct conf_bridge *bridge, const struct value_place *place, const struct conf_row *option,
                 const char *keyword, struct span rest);

/* Fills in conf->bridges, all values effective. */
void bridge_settle(struct reading *reading);

/* What the bridge's profile sets where the file says nothing; notices tell it. */
void bridge_settle_profile(struct conf_bridge *bridge, struct findings *findings);

/* Findings about bridges, in check_bridge.c and check_profile.c. */
void conf_check_bridges(struct conf *conf, struct findings *findings);
void conf_check_profile(const struct conf_bridge *bridge, struct findings *findings);

#endif
