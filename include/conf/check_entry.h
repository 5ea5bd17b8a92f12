/* check_entry: rules between the options of entry.h and the others. Called by check.c. */
#ifndef DRAWBRIDGE_CONF_CHECK_ENTRY_H
#define DRAWBRIDGE_CONF_CHECK_ENTRY_H

#include "conf/conf.h"

void conf_check_entry(const struct conf *conf, struct findings *findings);

#endif
