/* check_identity: what options about the identity of devices say together. Called by check.c. */
#ifndef DRAWBRIDGE_CONF_CHECK_IDENTITY_H
#define DRAWBRIDGE_CONF_CHECK_IDENTITY_H

#include "conf/conf.h"

void conf_check_identity(const struct conf_listener *listener, struct findings *findings);

#endif
