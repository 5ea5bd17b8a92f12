/* check_rates: rules between the options of one listener about how fast its devices may send. Called by
 * check.c. */
#ifndef DRAWBRIDGE_CONF_CHECK_RATES_H
#define DRAWBRIDGE_CONF_CHECK_RATES_H

#include "conf/conf.h"

void check_rates(const struct conf *conf, struct findings *findings);

#endif
