/* plugin: mosquitto's plugin lines. Its own acl-file and password-file plugins become acl_file and
 * password_file; every other plugin is refused, since leaving out one that checks devices opens the door. */
#ifndef DRAWBRIDGE_CONF_PLUGIN_H
#define DRAWBRIDGE_CONF_PLUGIN_H

#include "conf/value.h"

struct plugin;

/* All plugins of one configuration; zeroed is empty. */
struct plugins {
    struct plugin *first;
};

/* Reads one plugin line. `*current` is the plugin that options belong to, one per file. `listener` is the
 * listener above or NULL; `secured` is where `plugin` lines attach (the shared values or a listener; NULL
 * after a finding); `shared` is all listeners, or NULL with per_listener_settings. */
void plugin_read(struct plugins *plugins, struct plugin **current, const struct value_place *place,
                 struct span keyword, struct span rest, struct conf_listener *listener,
                 struct conf_listener *secured, struct conf_listener *shared);

/* At the end of reading: hands the files of the plugins to the listeners that use them. */
void plugin_resolve(const struct plugins *plugins, struct arena *arena, struct findings *findings);

#endif
