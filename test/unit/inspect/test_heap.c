/* Malformed packets by the hundred thousand leave nothing on the heap: not even for as long as the process
 * lives, which a leak check at its end would not see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/inspect/each_sample.h"

/* Of the address checks; without them there is nothing to ask, and the test of the release build looks at the
 * memory of the whole process. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

#define PACKETS_PER_CLASS 10000

static size_t heap_bytes(void) {
    return __sanitizer_get_current_allocated_bytes == NULL ? 0 : __sanitizer_get_current_allocated_bytes();
}

static void feed(const struct sample *sample) {
    struct driver *driver = driver_for_sample(sample);
    enum inspect_result result = driver_feed(driver, sample->direction, sample->bytes);
    if (result != INSPECT_WRONG)
        fail_msg("%s: result %d", sample->name, result);
    driver_destroy(driver);
}

/* All samples that break this statement, one after the other; false when there is none. */
static bool feed_class(enum violation violation, size_t count) {
    const struct samples *samples = samples_load();
    bool is_fed = false;
    for (size_t fed = 0, i = 0; fed < count; i = (i + 1) % samples->count) {
        const struct sample *sample = &samples->list[i];
        if (!sample->is_good && sample->violation == violation) {
            feed(sample);
            fed++;
            is_fed = true;
        } else if (!is_fed && i + 1 == samples->count) {
            return false;
        }
    }
    return true;
}

static void malformed_packets_leave_nothing_behind(void **state) {
    (void)state;
    size_t classes = 0;
    for (int violation = VIOLATION_NONE + 1; violation < VIOLATION_COUNT; violation++) {
        if (!feed_class((enum violation)violation, 10)) /* rooms that are made once */
            continue;
        size_t before = heap_bytes();
        feed_class((enum violation)violation, PACKETS_PER_CLASS);
        if (heap_bytes() != before)
            fail_msg("%s: %zu bytes are left on the heap", violation_rows[violation].name,
                     heap_bytes() - before);
        classes++;
    }
    assert_true(classes > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_packets_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("inspect/heap", tests, NULL, NULL);
}
