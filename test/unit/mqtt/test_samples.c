/* Every sample of test/samples/packets.txt against the readers, whole, cut, and bent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/mqtt/guard.h"
#include "unit/mqtt/samples.h"
#include "unit/mqtt/whole.h"

/* What needs more than one packet, or a limit, to be broken: the judges of order own these. */
static const enum violation of_other_rooms[] = {
    VIOLATION_SECOND_CONNECT,       VIOLATION_PACKET_ORDER,           VIOLATION_PACKET_TOO_LARGE,
    VIOLATION_PACKET_ID_IN_USE,     VIOLATION_PACKET_ID_UNKNOWN,      VIOLATION_RECEIVE_MAXIMUM,
    VIOLATION_SUBACK_COUNT,         VIOLATION_AUTH_METHOD_CHANGED,    VIOLATION_AUTH_UNASKED,
    VIOLATION_SESSION_EXPIRY,       VIOLATION_PROBLEM_INFORMATION,    VIOLATION_QOS_NOT_SUPPORTED,
    VIOLATION_RETAIN_NOT_SUPPORTED, VIOLATION_WILDCARD_NOT_SUPPORTED, VIOLATION_SUBSCRIPTION_ID_NOT_SUPPORTED,
    VIOLATION_SHARED_NOT_SUPPORTED,
};

static enum mqtt_outcome read_sample(const struct sample *sample, struct span bytes,
                                     enum violation *violation) {
    *violation = VIOLATION_NONE;
    return whole_read(guard_copy(bytes), sample->version, sample->direction, violation);
}

static void good_samples_are_taken(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        enum violation violation;
        if (!sample->is_good)
            continue;
        enum mqtt_outcome outcome = read_sample(sample, sample->bytes, &violation);
        if (outcome != MQTT_WHOLE)
            fail_msg("%s: outcome %d, %s", sample->name, outcome, violation_rows[violation].name);
    }
}

static void bad_samples_are_refused_for_their_reason(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        enum violation violation;
        if (sample->is_good)
            continue;
        enum mqtt_outcome outcome = read_sample(sample, sample->bytes, &violation);
        if (outcome != MQTT_WRONG || violation != sample->violation)
            fail_msg("%s: outcome %d, %s", sample->name, outcome, violation_rows[violation].name);
    }
}

static bool is_of_other_rooms(enum violation violation) {
    for (size_t i = 0; i < sizeof of_other_rooms / sizeof of_other_rooms[0]; i++)
        if (of_other_rooms[i] == violation)
            return true;
    return false;
}

static void every_violation_has_a_bad_sample(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (int row = 1; row < VIOLATION_COUNT; row++) {
        size_t count = 0;
        for (size_t i = 0; i < samples->count; i++)
            count += samples->list[i].violation == (enum violation)row;
        if ((count != 0) == is_of_other_rooms((enum violation)row))
            fail_msg("%s has %zu bad samples", violation_rows[row].name, count);
    }
}

static void every_type_has_good_samples_in_its_versions(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    bool has[16][6] = {0};
    for (size_t i = 0; i < samples->count; i++)
        if (samples->list[i].is_good)
            has[samples->list[i].bytes.at[0] >> 4][samples->list[i].version] = true;
    for (int type = MQTT_CONNECT; type <= MQTT_AUTH; type++)
        for (int version = type == MQTT_AUTH ? 5 : 3; version <= 5; version++)
            assert_true(has[type][version]);
}

/* On the wire a packet that is cut is never wrong and never whole. */
static void prefixes_of_good_samples_want_more(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        enum violation violation;
        for (size_t size = 0; sample->is_good && size < sample->bytes.size; size++)
            if (read_sample(sample, span_first(sample->bytes, size), &violation) != MQTT_MORE)
                fail_msg("%s, first %zu bytes", sample->name, size);
    }
}

/* Where a body may end early and be another good packet: version 5 leaves out what stands at the end, lists
 * may be shorter, 3.1 lets credentials be missing, and a payload may have any size. */
static bool may_end_early(const struct sample *sample) {
    switch (sample->bytes.at[0] >> 4) {
    case MQTT_PUBLISH:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_SUBACK: return true;
    case MQTT_CONNECT: return sample->version == MQTT_VERSION_31;
    case MQTT_CONNACK:
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return false;
    default: return sample->version == MQTT_VERSION_5;
    }
}

/* The same cut with a remaining length that fits the cut: the readers must see it in the body. */
static void shortened_bodies_are_refused(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        struct mqtt_frame frame;
        enum violation violation;
        if (!sample->is_good)
            continue;
        mqtt_frame_read(sample->bytes, sample->bytes.at[0] >> 4 == 1 ? MQTT_VERSION_NONE : sample->version,
                        sample->direction, &frame, &violation);
        for (uint32_t size = 0; size < frame.remaining; size++) {
            uint8_t bytes[1024];
            bytes[0] = sample->bytes.at[0];
            unsigned header = 1 + mqtt_varint_write(bytes + 1, size);
            assert_true(header + size <= sizeof bytes);
            memcpy(bytes + header, sample->bytes.at + frame.header_size, size);
            enum mqtt_outcome outcome = read_sample(sample, span_of(bytes, header + size), &violation);
            if (outcome == MQTT_MORE || (outcome == MQTT_WHOLE && !may_end_early(sample)))
                fail_msg("%s, body of %u bytes: outcome %d", sample->name, size, outcome);
        }
    }
}

/* Whatever single byte is bent: an answer comes, and a refusal has a name. */
static void bent_samples_get_an_answer(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        uint8_t bytes[1024];
        assert_true(sample->bytes.size <= sizeof bytes);
        for (size_t at = 0; at < sample->bytes.size; at++) {
            uint8_t was = sample->bytes.at[at];
            const uint8_t values[] = {0,
                                      1,
                                      0x7F,
                                      0x80,
                                      0xFF,
                                      '#',
                                      '+',
                                      '/',
                                      (uint8_t)(was + 1),
                                      (uint8_t)(was - 1),
                                      (uint8_t)(was ^ 0x80),
                                      (uint8_t)(was ^ 8)};
            for (size_t k = 0; k < sizeof values; k++) {
                enum violation violation;
                memcpy(bytes, sample->bytes.at, sample->bytes.size);
                bytes[at] = values[k];
                enum mqtt_outcome outcome =
                    read_sample(sample, span_of(bytes, sample->bytes.size), &violation);
                assert_int_equal(outcome == MQTT_WRONG, violation != VIOLATION_NONE);
            }
        }
    }
}

/* Every pair of bytes that could be a length set to 0, to one less, to one more, and to the most: the reader
 * stays inside the packet (the guard sees to it) and never takes a field that reaches beyond it. */
static void bent_lengths_stay_inside(void **state) {
    (void)state;
    const struct samples *samples = samples_load();
    for (size_t i = 0; i < samples->count; i++) {
        const struct sample *sample = &samples->list[i];
        uint8_t bytes[1024];
        for (size_t at = 1; at + 1 < sample->bytes.size; at++) {
            unsigned was = (unsigned)(sample->bytes.at[at] << 8 | sample->bytes.at[at + 1]);
            const unsigned values[] = {0,
                                       was - 1,
                                       was + 1,
                                       65535,
                                       (unsigned)(sample->bytes.size - at - 2),
                                       (unsigned)(sample->bytes.size - at - 1)};
            for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
                enum violation violation;
                memcpy(bytes, sample->bytes.at, sample->bytes.size);
                bytes[at] = (uint8_t)(values[k] >> 8);
                bytes[at + 1] = (uint8_t)values[k];
                enum mqtt_outcome outcome =
                    read_sample(sample, span_of(bytes, sample->bytes.size), &violation);
                assert_int_equal(outcome == MQTT_WRONG, violation != VIOLATION_NONE);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_samples_are_taken),
        cmocka_unit_test(bad_samples_are_refused_for_their_reason),
        cmocka_unit_test(every_violation_has_a_bad_sample),
        cmocka_unit_test(every_type_has_good_samples_in_its_versions),
        cmocka_unit_test(prefixes_of_good_samples_want_more),
        cmocka_unit_test(shortened_bodies_are_refused),
        cmocka_unit_test(bent_samples_get_an_answer),
        cmocka_unit_test(bent_lengths_stay_inside),
    };
    return cmocka_run_group_tests_name("mqtt/samples", tests, NULL, NULL);
}
