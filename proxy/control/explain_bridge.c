#include "control/explain_bridge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "bridge/routes.h"
#include "conf/route.h"
#include "mqtt/topic.h"

enum { STATUS_CROSSES, STATUS_STAYS, STATUS_WRONG };

#define TOPIC_SIZE_MAX 65535 /* MQTT 5.0 1.5.4 */

struct asking {
    const struct conf_bridge *bridge;
    const struct routes *routes;
    enum lane lane;
    uint8_t bytes[TOPIC_SIZE_MAX];
};

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("drawbridge explain bridge: ", stderr);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs("\nUsage: drawbridge [-c FILE] explain bridge NAME in|out TOPIC\n"
          "           (a topic of - reads topics from standard input, one per line)\n",
          stderr);
}

static void print_errors(const struct findings *findings) {
    for (const struct finding *one = findings->first; one != NULL; one = one->next)
        if (one->kind == FINDING_ERROR)
            fprintf(stderr, "%s\n", one->text);
    if (findings->out_of_memory)
        fputs("memory is out\n", stderr);
}

/* What the source is asked for is the line's QoS, so more never comes. */
static void print_crossing(const struct asking *asking, struct span topic, const struct conf_route *line,
                           struct span mapped) {
    static char words[4 * TEXT_QUOTED_SIZE], room[4 * TOPIC_SIZE_MAX + 4];
    printf("%s:%u: %s: %s, QoS %u at most\n", line->origin.file, line->origin.line,
           route_print(line, words, sizeof words), text_quote(room, sizeof room, mapped),
           routes_qos(asking->routes, asking->lane, topic));
}

static int ask(struct asking *asking, struct span topic) {
    if (!mqtt_topic_is_name(topic)) {
        complain("this is no valid topic name");
        return STATUS_WRONG;
    }
    struct writer room = writer_of(asking->bytes, sizeof asking->bytes);
    const struct conf_bridge *bridge = asking->bridge;
    const struct conf_route *line;
    struct span mapped;
    char words[4 * TEXT_QUOTED_SIZE];
    switch (routes_map(asking->routes, asking->lane, topic, &room, &mapped, &line)) {
    case ROUTE_NONE: break;
    case ROUTE_WRONG:
        printf("refuse %s:%u: %s: what it makes of this topic is no topic name\n", line->origin.file,
               line->origin.line, route_print(line, words, sizeof words));
        return STATUS_STAYS;
    case ROUTE_SAME:
    case ROUTE_MAPPED:
        fputs("allow ", stdout);
        print_crossing(asking, topic, line, mapped);
        return STATUS_CROSSES;
    }
    printf("refuse %s:%u: no line %s of connection %s matches\n", bridge->file, bridge->line,
           asking->lane == LANE_OUT ? "out" : "in", bridge->name);
    return STATUS_STAYS;
}

/* A topic of "-": one per line of standard input, and an answer per line. */
static int ask_all(struct asking *asking) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int worst = STATUS_CROSSES;
    while (worst != STATUS_WRONG && (size = getline(&line, &room, stdin)) > 0) {
        if (line[size - 1] == '\n')
            size--;
        int status = ask(asking, span_of(line, (size_t)size));
        worst = status > worst ? status : worst;
    }
    free(line);
    return worst;
}

static const struct conf_bridge *find(const struct conf *conf, const char *name) {
    for (size_t i = 0; i < conf->bridge_count; i++)
        if (strcmp(conf->bridges[i].name, name) == 0)
            return &conf->bridges[i];
    complain("there is no connection %s in %s", name, conf->path);
    return NULL;
}

static int ask_of(const struct conf *conf, const char *name, enum lane lane, const char *topic) {
    static struct asking asking;
    struct findings findings;
    char hostname[256] = "";
    asking.lane = lane;
    asking.bridge = find(conf, name);
    if (asking.bridge == NULL)
        return STATUS_WRONG;
    gethostname(hostname, sizeof hostname - 1);
    findings_init(&findings);
    struct arena *arena = arena_create();
    asking.routes =
        arena == NULL ? NULL : routes_compile(arena, asking.bridge, conf->backend, hostname, &findings);
    print_errors(&findings);
    int status = asking.routes == NULL     ? STATUS_WRONG
                 : strcmp(topic, "-") == 0 ? ask_all(&asking)
                                           : ask(&asking, span_of_text(topic));
    arena_destroy(arena);
    findings_clear(&findings);
    return status;
}

int explain_bridge_main(const char *path, int argc, char **argv) {
    bool is_out = argc > 2 && strcmp(argv[2], "out") == 0;
    if (argc != 4) {
        complain("which connection, in or out, and which topic?");
        return STATUS_WRONG;
    }
    if (!is_out && strcmp(argv[2], "in") != 0) {
        complain("%s is no in or out", argv[2]);
        return STATUS_WRONG;
    }
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read(path, &findings);
    print_errors(&findings);
    int status = conf == NULL ? STATUS_WRONG : ask_of(conf, argv[1], is_out ? LANE_OUT : LANE_IN, argv[3]);
    findings_clear(&findings);
    conf_destroy(conf);
    return status;
}
