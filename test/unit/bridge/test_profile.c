/* profile: what is not sent to which remote broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/profile.h"

static char words[PROFILE_WORDS_SIZE];

static const char *judge_as(int profile, enum lane lane, const char *topic, size_t payload_size) {
    static uint8_t payload[600 * 1024];
    const struct conf_bridge bridge = {.profile = profile};
    const struct client_publish publish = {
        .topic = span_of_text(topic), .payload = span_of(payload, payload_size), .qos = 1, .packet_id = 1};
    return profile_judge(&bridge, lane, MQTT_VERSION_311, &publish, words);
}

static const char *judge(int profile, const char *topic, size_t payload_size) {
    return judge_as(profile, LANE_OUT, topic, payload_size);
}

static void aws_has_limits(void **state) {
    char topic[300];
    (void)state;
    assert_null(judge(CONF_PROFILE_AWS_IOT, "1/2/3/4/5/6/7/8", 128 * 1024));
    assert_string_equal(judge(CONF_PROFILE_AWS_IOT, "1/2/3/4/5/6/7/8/9", 0),
                        "AWS IoT Core takes topics of at most 7 slashes");
    assert_string_equal(judge(CONF_PROFILE_AWS_IOT, "a", 128 * 1024 + 1),
                        "AWS IoT Core takes payloads of at most 131072 bytes");
    assert_null(judge(CONF_PROFILE_AWS_IOT, "$aws/rules/store/1/2/3/4/5/6/7/8", 0));
    assert_non_null(judge(CONF_PROFILE_AWS_IOT, "$aws/rules/store/1/2/3/4/5/6/7/8/9", 0));
    assert_null(judge(CONF_PROFILE_AWS_IOT, "$aws/rules/", 0));
    assert_null(judge(CONF_PROFILE_AWS_IOT, "$aws/rules/store", 0));
    memset(topic, 'x', sizeof topic);
    topic[256] = '\0';
    assert_null(judge(CONF_PROFILE_AWS_IOT, topic, 0));
    topic[256] = 'x';
    topic[257] = '\0';
    assert_string_equal(judge(CONF_PROFILE_AWS_IOT, topic, 0),
                        "AWS IoT Core takes topics of at most 256 bytes");
}

static void iothub_knows_few_topics(void **state) {
    (void)state;
    assert_null(judge(CONF_PROFILE_AZURE_IOTHUB, "devices/edge/messages/events/a/b/c/d/e/f/g/h", 256 * 1024));
    assert_null(judge(CONF_PROFILE_AZURE_IOTHUB, "$iothub/twin/PATCH/properties/reported/?$rid=1", 0));
    assert_string_equal(judge(CONF_PROFILE_AZURE_IOTHUB, "device/edge", 0),
                        "Azure IoT Hub takes topics below devices/ and $iothub/ only");
    assert_string_equal(judge(CONF_PROFILE_AZURE_IOTHUB, "devices/edge", 256 * 1024 + 1),
                        "Azure IoT Hub takes payloads of at most 262144 bytes");
}

static void eventgrid_counts_the_packet(void **state) {
    (void)state;
    /* 1 + 3 bytes of length, 2 + 1 of topic, 2 of packet id */
    assert_null(judge(CONF_PROFILE_AZURE_EVENTGRID, "a", 512 * 1024 - 9));
    assert_string_equal(judge(CONF_PROFILE_AZURE_EVENTGRID, "a", 512 * 1024 - 8),
                        "Azure Event Grid takes packets of at most 524288 bytes");
}

static void others_have_none(void **state) {
    static const int profiles[] = {CONF_PROFILE_NONE, CONF_PROFILE_HIVEMQ_CLOUD, CONF_PROFILE_MOSQUITTO};
    (void)state;
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
        assert_null(judge(profiles[i], "1/2/3/4/5/6/7/8/9/10", 600 * 1024));
}

static void what_comes_from_there_is_not_judged(void **state) {
    (void)state;
    assert_null(judge_as(CONF_PROFILE_AWS_IOT, LANE_IN, "1/2/3/4/5/6/7/8/9/10", 600 * 1024));
    assert_null(judge_as(CONF_PROFILE_AZURE_IOTHUB, LANE_IN, "local", 0));
}

static void retained_messages(void **state) {
    const struct conf_bridge grid = {.profile = CONF_PROFILE_AZURE_EVENTGRID},
                             aws = {.profile = CONF_PROFILE_AWS_IOT};
    (void)state;
    assert_false(profile_has_retain(&grid, MQTT_VERSION_311));
    assert_true(profile_has_retain(&grid, MQTT_VERSION_5));
    assert_true(profile_has_retain(&aws, MQTT_VERSION_311));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aws_has_limits),
        cmocka_unit_test(iothub_knows_few_topics),
        cmocka_unit_test(eventgrid_counts_the_packet),
        cmocka_unit_test(others_have_none),
        cmocka_unit_test(what_comes_from_there_is_not_judged),
        cmocka_unit_test(retained_messages),
    };
    return cmocka_run_group_tests_name("bridge/profile", tests, NULL, NULL);
}
