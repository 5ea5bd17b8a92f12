/* Lines of topic and remap, and behind the last newline a topic: whatever is accepted as lines maps any topic
 * to a good one, or says why not. */
#include "bridge/routes.h"
#include "mqtt/topic.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())
#define ROOM_SIZE        70000

static uint8_t whole_bytes[ROOM_SIZE], tight_bytes[ROOM_SIZE];

/* Is the line one that could have decided? */
static void check_line(const struct conf_route *line, enum lane lane, bool renames) {
    CHECK((line->directions & (lane == LANE_OUT ? CONF_ROUTE_OUT : CONF_ROUTE_IN)) != 0);
    CHECK(renames == (line->is_remap || line->local_prefix != NULL || line->remote_prefix != NULL));
}

static void ask(const struct routes *routes, enum lane lane, struct span topic) {
    struct writer room = writer_of(whole_bytes, ROOM_SIZE);
    struct span mapped, again;
    const struct conf_route *line;
    enum route_answer answer = routes_map(routes, lane, topic, &room, &mapped, &line);
    CHECK((line == NULL) == (answer == ROUTE_NONE));
    CHECK(routes_qos(routes, lane, topic) <= 2);
    if (line != NULL)
        check_line(line, lane, answer != ROUTE_SAME);
    if (answer == ROUTE_NONE || answer == ROUTE_SAME)
        CHECK(span_is_equal(mapped, topic));
    if (answer != ROUTE_MAPPED)
        return;
    CHECK(mqtt_topic_is_name(mapped));
    struct writer tight = writer_of(tight_bytes, mapped.size); /* exactly fits, and one byte less does not */
    CHECK(routes_map(routes, lane, topic, &tight, &again, NULL) == ROUTE_MAPPED &&
          span_is_equal(mapped, again));
    tight = writer_of(tight_bytes, mapped.size - 1);
    CHECK(routes_map(routes, lane, topic, &tight, &again, NULL) == ROUTE_WRONG);
}

static void check_filters(const struct routes *routes) {
    for (size_t i = 0; i < routes_count(routes); i++)
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            struct span filter;
            uint8_t qos;
            bool is_used = routes_source(routes, i, (enum lane)lane, &filter, &qos);
            CHECK(!is_used || (mqtt_topic_is_filter(filter) && qos <= 2));
            CHECK(routes_target(routes, i, (enum lane)lane, &filter) == is_used);
            CHECK(filter.size == 0 || mqtt_topic_is_filter(filter));
        }
}

static void compile(const struct conf *conf, const struct conf_backend *local, struct span topic) {
    struct findings findings;
    findings_init(&findings);
    struct arena *arena = arena_create();
    CHECK(arena != NULL);
    const struct routes *routes = routes_compile(arena, &conf->bridges[0], local, "host", &findings);
    CHECK((routes == NULL) == findings_refuse(&findings));
    if (routes != NULL) {
        check_filters(routes);
        if (mqtt_topic_is_name(topic))
            for (int lane = 0; lane < LANE_COUNT; lane++)
                ask(routes, (enum lane)lane, topic);
    }
    findings_clear(&findings);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    size_t lines_size = size;
    while (lines_size != 0 && bytes[lines_size - 1] != '\n')
        lines_size--;
    if (lines_size == 0)
        return 0;
    char *text = NULL;
    size_t text_size = 0;
    FILE *out = open_memstream(&text, &text_size);
    CHECK(out != NULL);
    fprintf(out, "backend h:1\nconnection c\naddress h:1\n");
    fwrite(bytes, 1, lines_size, out);
    fclose(out);
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read_text("f", span_of(text, text_size), &findings);
    struct span topic = span_of(bytes + lines_size, size - lines_size);
    if (conf != NULL) {
        compile(conf, NULL, topic);
        compile(conf, conf->backend, topic); /* the same broker */
    }
    conf_destroy(conf);
    findings_clear(&findings);
    free(text);
    return 0;
}
