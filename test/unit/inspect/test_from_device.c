#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/each_sample.h"
static void good(void**s){(void)s; good_samples_pass(MQTT_TO_BROKER);}
static void bad(void**s){(void)s; bad_samples_are_wrong(MQTT_TO_BROKER);}
static void good2(void**s){(void)s; good_samples_pass(MQTT_TO_DEVICE);}
static void bad2(void**s){(void)s; bad_samples_are_wrong(MQTT_TO_DEVICE);}
int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad) , cmocka_unit_test(good2), cmocka_unit_test(bad2) };
    return cmocka_run_group_tests_name("inspect/from_device", tests, NULL, NULL);
}
