/* check: rules between options, after everything was read. */
#ifndef DRAWBRIDGE_CONF_CHECK_H
#define DRAWBRIDGE_CONF_CHECK_H

#include "conf/conf.h"

/* Adds a finding for everything that does not fit together, and brings values into their one form (negative
 * limits become -1). */
void conf_check(struct conf *conf, struct findings *findings);

/* Its part about the PROXY protocol in front of listeners; for conf_check only. */
void conf_check_proxy(const struct conf *conf, struct findings *findings);

/* Its part about TLS to the broker; for conf_check only. */
void conf_check_broker(const struct conf *conf, struct findings *findings);

/* Its part about messages and subscriptions; for conf_check only. */
void conf_check_rules(const struct conf *conf, struct findings *findings);

#endif
