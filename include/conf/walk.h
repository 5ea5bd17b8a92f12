/* walk: what a configuration was made of. */
#ifndef DRAWBRIDGE_CONF_WALK_H
#define DRAWBRIDGE_CONF_WALK_H

#include "conf/conf.h"

/* Tells every file and folder that a reload reads: the configuration's own, the folder of include_dir, and
 * those that options name, with the keyword of the option (NULL: the configuration itself); some perhaps more
 * than once. Both are borrowed during the call. */
void conf_each_path(const struct conf *conf,
                    void (*tell)(void *keeper, const char *keyword, const char *path), void *keeper);

#endif
