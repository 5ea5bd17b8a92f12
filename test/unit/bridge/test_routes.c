/* What a message is called on the other side: mosquitto's rules, its peculiarities, and remap. */
#include "unit/conf/conf_test.h"

#include "base/text.h"
#include "bridge/routes.h"

#define BEGIN    "backend h:1884\nconnection c\naddress r\n" /* the first line behind it is line 4 */
#define HOSTNAME "edge7"

struct made {
    struct outcome outcome;
    struct arena *arena;
    const struct routes *routes;
};

/* The findings of routes_compile alone are in made.outcome.findings. */
static struct made make_from(const char *begin, const char *lines) {
    char text[4000];
    struct made made;
    snprintf(text, sizeof text, "%s%s", begin, lines);
    made.outcome = expect_good(text);
    findings_clear(&made.outcome.findings);
    findings_init(&made.outcome.findings);
    made.arena = arena_create();
    made.routes = routes_compile(made.arena, &made.outcome.conf->bridges[0], made.outcome.conf->backend,
                                 HOSTNAME, &made.outcome.findings);
    return made;
}

static struct made make(const char *lines) {
    struct made made = make_from(BEGIN, lines);
    if (made.routes == NULL)
        outcome_show(&made.outcome);
    assert_non_null(made.routes);
    return made;
}

static void drop(struct made *made) {
    arena_destroy(made->arena);
    outcome_clear(&made->outcome);
}

#define OUT   LANE_OUT
#define IN    LANE_IN
#define NONE  ROUTE_NONE
#define SAME  ROUTE_SAME
#define MADE  ROUTE_MAPPED
#define WRONG ROUTE_WRONG

struct question {
    const char *lines;
    enum lane lane;
    const char *topic;
    enum route_answer answer;
    const char *mapped; /* NULL: the topic itself */
    unsigned line;      /* that decides, 1: the first; 0: none */
};

#define ONE_TO_ONE "topic \"\" both 1 here/x there/y\n"
#define FORTY      "topic # in 0 A/ B/c/\n" /* mosquitto#40 */
#define TWO        "topic a/# out 1 l/ r/\ntopic # out 0 l/ s/\n"
#define MIXED      "topic a/# out 1\ntopic a/+ out 0 \"\" r/\n"

static const struct question questions[] = {
    /* no prefix: the name stays */
    {"topic #\n", OUT, "a/b", SAME, NULL, 1},
    {"topic #\n", IN, "a/b", NONE, NULL, 0},
    {"topic # in\n", IN, "a", SAME, NULL, 1},
    {"topic # in\n", OUT, "a", NONE, NULL, 0},
    {"topic # both\n", OUT, "a", SAME, NULL, 1},
    {"topic # both\n", IN, "a", SAME, NULL, 1},
    {"topic #\n", OUT, "$SYS/broker/uptime", NONE, NULL, 0},
    {"topic $SYS/# out\n", OUT, "$SYS/broker/uptime", SAME, NULL, 1},
    {"topic +/b\n", OUT, "$SYS/b", NONE, NULL, 0},
    {"topic a/#\n", OUT, "a", SAME, NULL, 1},
    {"topic a/#\n", OUT, "ab", NONE, NULL, 0},
    {"topic a/+\n", OUT, "a/", SAME, NULL, 1},
    {"topic a/+\n", OUT, "a", NONE, NULL, 0},
    {"topic a/+\n", OUT, "a/b/c", NONE, NULL, 0},
    {"topic a/+/c/#\n", OUT, "a/b/c", SAME, NULL, 1},
    {"topic /a\n", OUT, "/a", SAME, NULL, 1},
    {"topic \"a  b/#\" out\n", OUT, "a  b/1", SAME, NULL, 1},
    {"topic \"a b/#\" out\n", OUT, "a  b/1", NONE, NULL, 0},
    /* prefixes */
    {"topic a/# out 0 l/ r/\n", OUT, "l/a/1", MADE, "r/a/1", 1},
    {"topic a/# out 0 l/ r/\n", OUT, "a/1", NONE, NULL, 0},
    {"topic a/# out 0 l/ r/\n", OUT, "l/a", MADE, "r/a", 1},
    {"topic a/# in 0 l/ r/\n", IN, "r/a/1", MADE, "l/a/1", 1},
    {"topic a/# in 0 l/ r/\n", IN, "l/a/1", NONE, NULL, 0},
    {"topic a/# in 0 l/ r/\n", OUT, "l/a/1", NONE, NULL, 0},
    {"topic a/# both 0 l/ r/\n", OUT, "l/a/1", MADE, "r/a/1", 1},
    {"topic a/# both 0 l/ r/\n", IN, "r/a/1", MADE, "l/a/1", 1},
    {"topic # out 0 \"\" r/\n", OUT, "a/b", MADE, "r/a/b", 1},
    {"topic # out 0 l/\n", OUT, "l/a/b", MADE, "a/b", 1},
    {"topic # in 0 l/\n", IN, "a/b", MADE, "l/a/b", 1},
    {"topic # in 0 \"\" r/\n", IN, "r/a/b", MADE, "a/b", 1},
    {"topic # out 0 \"\" \"\"\n", OUT, "a", SAME, NULL, 1},
    {"topic +/t out 0 l/ r/\n", OUT, "l/x/t", MADE, "r/x/t", 1},
    {"topic /a out 0 l r\n", OUT, "l/a", MADE, "r/a", 1}, /* joined as they are */
    {"topic b out 0 l r\n", OUT, "lb", MADE, "rb", 1},
    {"topic b out 0 l r\n", OUT, "l/b", NONE, NULL, 0},
    {"topic l/# out 0 l/ r/\n", OUT, "l/l/x", MADE, "r/l/x", 1}, /* cut once */
    {"topic # out 0 \"two words/\" r/\n", OUT, "two words/a", MADE, "r/a", 1},
    {"topic # out 0 \xC3\xA9/ r/\n", OUT, "\xC3\xA9/a", MADE, "r/a", 1},
    /* an empty pattern: one topic to one topic */
    {ONE_TO_ONE, OUT, "here/x", MADE, "there/y", 1},
    {ONE_TO_ONE, IN, "there/y", MADE, "here/x", 1},
    {ONE_TO_ONE, OUT, "here/x/1", NONE, NULL, 0},
    {ONE_TO_ONE, IN, "here/x", NONE, NULL, 0},
    /* matched by levels, cut by bytes: mosquitto#40 */
    {FORTY, IN, "B/c/d", MADE, "A/d", 1},
    {FORTY, IN, "B/c", MADE, "A/B/c", 1},
    {FORTY, IN, "B/c/", MADE, "A/", 1},
    {"topic # out 0 l/ r/\n", OUT, "l", MADE, "r/l", 1},
    {"topic # out 0 l/\n", OUT, "l", MADE, "l", 1},
    {"topic # out 0 l/\n", OUT, "l/", WRONG, "", 1}, /* nothing is left */
    /* the first line with a prefix wins, in file order; lines without never rename */
    {TWO, OUT, "l/a/1", MADE, "r/a/1", 1},
    {TWO, OUT, "l/b/1", MADE, "s/b/1", 2},
    {TWO, IN, "r/a/1", NONE, NULL, 0},
    {MIXED, OUT, "a/b", MADE, "r/a/b", 2},
    {MIXED, OUT, "a/b/c", SAME, NULL, 1},
    {MIXED, OUT, "a", SAME, NULL, 1},
    {"topic # out 0 l/ r/\ntopic l/a/# out 0 \"\" s/\n", OUT, "l/a/1", MADE, "r/a/1", 1},
    {"topic l/a/# out 0 \"\" s/\ntopic # out 0 l/ r/\n", OUT, "l/a/1", MADE, "s/l/a/1", 1},
    {"topic # in 0 x/\ntopic a/# out 0 \"\" y/\n", OUT, "a/1", MADE, "y/a/1", 2}, /* of that direction */
    {"topic # in 0 x/\ntopic a/# out 0 \"\" y/\n", IN, "a/1", MADE, "x/a/1", 1},
    {"topic a out 0\ntopic a out 1\n", OUT, "a", SAME, NULL, 1},
    /* 2.0 renames; the reverse order and the line without a prefix make no difference */
    {"topic a/# out 0\ntopic a/# out 0 \"\" y/\n", OUT, "a/1", MADE, "y/a/1", 2},
    {"topic a/# out 0 \"\" y/\ntopic a/# out 0\n", OUT, "a/1", MADE, "y/a/1", 1},
    /* shared subscriptions: matched by what is behind the name */
    {"topic $share/g/a/# in 1\n", IN, "a/b", SAME, NULL, 1},
    {"topic $share/g/a/# in 1\n", IN, "g/a/b", NONE, NULL, 0},
    /* remap */
    {"remap sensors/+/temp out 1 eu/$1/t\n", OUT, "sensors/hall/temp", MADE, "eu/hall/t", 1},
    {"remap sensors/+/temp out 1 eu/$1/t\n", OUT, "sensors/hall/hum", NONE, NULL, 0},
    {"remap sensors/+/temp out 1 eu/$1/t\n", IN, "sensors/hall/temp", NONE, NULL, 0},
    {"remap +/+ in 1 $2/$1\n", IN, "a/b", MADE, "b/a", 1},
    {"remap +/+ in 1 $2/$1\n", IN, "/b", MADE, "b/", 1},
    {"remap +/+ in 1 $1\n", IN, "/b", WRONG, "", 1},
    {"remap a/# out 1 x/$#\n", OUT, "a/b/c", MADE, "x/b/c", 1},
    {"remap a/# out 1 x/$#\n", OUT, "a", MADE, "x/", 1},
    {"remap a/# out 1 $#\n", OUT, "a", WRONG, "", 1},
    {"remap # out 1 x/$#\n", OUT, "a/b", MADE, "x/a/b", 1},
    {"remap # out 1 x/$#\n", OUT, "$SYS/b", NONE, NULL, 0},
    {"remap a/# out 1 ${#:-}\n", OUT, "a/b//c", MADE, "b--c", 1},
    {"remap a/+/# out 1 ${topic:_}/$1\n", OUT, "a/b/c/d", MADE, "a_b_c_d/b", 1},
    {"remap a/# out 1 ${topic:\xC3\xA9}\n", OUT, "a/b", MADE,
     "a\xC3\xA9"
     "b",
     1},
    {"remap a/# out 1 ${topic:/}\n", OUT, "a/b", MADE, "a/b", 1},
    {"remap a/# out 1 ${topic:}}\n", OUT, "a/b", MADE, "a}b", 1},
    {"remap a out 1 ${hostname}/${name}/$$x\n", OUT, "a", MADE, HOSTNAME "/c/$x", 1},
    {"remap +/+/+/+/+/+/+/+/+/+ out 0 $9$8$1\n", OUT, "1/2/3/4/5/6/7/8/9/10", MADE, "981", 1},
    {"remap $share/g/+/x in 1 $1\n", IN, "a/x", MADE, "a", 1},
    {"remap \"a b/+\" out 1 \"c d/$1\"\n", OUT, "a b/1", MADE, "c d/1", 1},
    {"remap a/b out 1 c\ntopic a/# out 1 \"\" r/\n", OUT, "a/b", MADE, "c", 1},
    {"topic a/# out 1\nremap a/b out 1 c\n", OUT, "a/b", MADE, "c", 2},
    {"remap a/+ out 1 c/$1\nremap a/b out 1 never\n", OUT, "a/b", MADE, "c/b", 1},
};

static void topics_are_mapped(void **state) {
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        const struct question *question = &questions[i];
        struct made made = make(question->lines);
        struct writer room = writer_of(bytes, sizeof bytes);
        struct span topic = span_of_text(question->topic), mapped;
        const struct conf_route *line;
        enum route_answer answer = routes_map(made.routes, question->lane, topic, &room, &mapped, &line);
        const char *wanted = question->mapped == NULL ? question->topic : question->mapped;
        if (answer != question->answer || !span_is_text(mapped, wanted))
            fail_msg("%s %s: answer %d with '%.*s'", question->lines, question->topic, (int)answer,
                     SPAN_PRINT(mapped));
        assert_int_equal(line == NULL ? 0 : line->origin.line - 3, question->line);
        drop(&made);
    }
}

/* Names that are too long for the room or for MQTT, and a room that is used again. */
static void long_names_are_wrong(void **state) {
    (void)state;
    static uint8_t bytes[70000], name[65535];
    memset(name, 'x', sizeof name);
    struct made made = make("topic # out 1 \"\" r/\n");
    struct span mapped;
    struct writer room = writer_of(bytes, sizeof bytes);
    assert_int_equal(routes_map(made.routes, OUT, span_of(name, 65533), &room, &mapped, NULL), MADE);
    assert_int_equal(mapped.size, 65535);
    assert_int_equal(routes_map(made.routes, OUT, span_of(name, 65534), &room, &mapped, NULL), WRONG);
    assert_int_equal(routes_map(made.routes, OUT, span_of(name, 1), &room, &mapped, NULL), MADE);
    assert_true(span_is_text(mapped, "r/x"));
    struct writer small = writer_of(bytes, 4);
    assert_int_equal(routes_map(made.routes, OUT, span_of(name, 3), &small, &mapped, NULL), WRONG);
    assert_int_equal(routes_map(made.routes, OUT, span_of(name, 2), &small, &mapped, NULL), MADE);
    drop(&made);
}

static void subscriptions_are_told(void **state) {
    (void)state;
    struct made made = make("topic a/# out 1 l/ r/\n"
                            "topic b both 2\n"
                            "topic a/# out 0 l/ s/\n"
                            "remap c/+ in 1 d/$1\n"
                            "topic $share/g/e in 0 l/\n");
    static const struct {
        size_t index;
        enum lane lane;
        const char *source; /* NULL: not of this lane */
        uint8_t qos;
        const char *target;
    } rows[] = {
        {0, OUT, "l/a/#", 1, "r/a/#"},
        {0, IN, NULL, 0, NULL},
        {1, OUT, "b", 2, "b"},
        {1, IN, "b", 2, "b"},
        {2, OUT, "l/a/#", 1, "s/a/#"}, /* the highest QoS of one filter */
        {3, OUT, NULL, 0, NULL},
        {3, IN, "c/+", 1, ""},
        {4, IN, "$share/g/e", 0, "l/$share/g/e"},
    };
    assert_int_equal(routes_count(made.routes), 5);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span filter;
        uint8_t qos;
        assert_int_equal(routes_source(made.routes, rows[i].index, rows[i].lane, &filter, &qos),
                         rows[i].source != NULL);
        if (rows[i].source == NULL) {
            assert_false(routes_target(made.routes, rows[i].index, rows[i].lane, &filter));
            continue;
        }
        assert_true(span_is_text(filter, rows[i].source));
        assert_int_equal(qos, rows[i].qos);
        assert_true(routes_target(made.routes, rows[i].index, rows[i].lane, &filter));
        assert_true(span_is_text(filter, rows[i].target));
        assert_int_equal(routes_line(made.routes, rows[i].index)->origin.line, rows[i].index + 4);
    }
    drop(&made);
}

static void the_highest_qos_counts(void **state) {
    (void)state;
    struct made made = make("topic # both 0\ntopic a/# out 1 \"\" r/\ntopic a/b out 2\ntopic a/c in 1\n");
    assert_int_equal(routes_qos(made.routes, OUT, SPAN_LITERAL("x")), 0);
    assert_int_equal(routes_qos(made.routes, OUT, SPAN_LITERAL("a/x")), 1);
    assert_int_equal(routes_qos(made.routes, OUT, SPAN_LITERAL("a/b")), 2);
    assert_int_equal(routes_qos(made.routes, OUT, SPAN_LITERAL("a/c")), 1);
    assert_int_equal(routes_qos(made.routes, IN, SPAN_LITERAL("a/c")), 1);
    assert_int_equal(routes_qos(made.routes, IN, SPAN_LITERAL("a/b")), 0);
    drop(&made);
}

static void lines_that_say_the_same_are_left_out(void **state) {
    (void)state;
    struct made made = make("topic a out 1 l/ r/\ntopic \"a\" OUT 1 l/ r/\nremap b in 0 c\nremap b in 0 c\n");
    assert_int_equal(routes_count(made.routes), 2);
    assert_int_equal(made.outcome.findings.warning_count, 2);
    assert_int_equal(
        outcome_count(&made.outcome, FINDING_WARNING, ":5: this line says the same as " TEST_PATH ":4"), 1);
    assert_int_equal(
        outcome_count(&made.outcome, FINDING_WARNING, ":7: this line says the same as " TEST_PATH ":6"), 1);
    drop(&made);
    made = make("topic a out 1 l/ r/\ntopic a out 0 l/ r/\ntopic a in 1 l/ r/\ntopic a out 1 l/ s/\ntopic b "
                "out 1 l/ r/\n");
    assert_int_equal(routes_count(made.routes), 5);
    assert_int_equal(made.outcome.findings.size, 0);
    drop(&made);
    made = make("topic a out 1\ntopic a out 1 \"\" r/\n");
    assert_int_equal(routes_count(made.routes), 2);
    assert_int_equal(
        outcome_count(&made.outcome, FINDING_NOTICE, ":5: this line and " TEST_PATH ":4 differ in a prefix"),
        1);
    drop(&made);
}

/* ---- lines that feed each other ---- */

static void echoes_are_warned_of(void **state) {
    (void)state;
    static const struct {
        const char *lines;
        unsigned line; /* of the warning; 0: none */
    } rows[] = {
        {"topic # both\n", 0},
        {"topic # both 1 l/ r/\n", 0},
        {"topic a/# out\ntopic # in\n", 0},
        {"topic a/# out 1 l/ r/\ntopic # in 1 l/ r/\n", 0},
        {"topic # out 1 \"\" up/\ntopic # in 1 down/ to/\n",
         0}, /* what comes by the second cannot have gone by the first */
        {"topic # out 1 \"\" up/\ntopic # in\n", 5},
        {"topic # in\ntopic # out 1 \"\" up/\n", 5},
        {"topic a/# out 1 \"\" up/\ntopic # in\n", 0}, /* up/... does not go out again */
        {"topic a/# out 1 \"\" up/\ntopic # in 1 a/\ntopic x both\n", 5},
        {"topic +/t out 1 \"\" up/\ntopic up/a/# in 1 a/t/\n", 0},
        {"topic +/t/# out 1 \"\" up/\ntopic a/# in 1 a/t/ up/\n", 5},
        {"remap $SYS/# out 1 $$SYS/$#\ntopic # in\n", 0},
        {"remap s/+ out 1 t/$1\nremap t/+ in 1 s/$1\n", 5},
        {"remap s/+ out 1 t/$1\nremap u/+ in 1 s/$1\n", 0},
        {"remap s/# out 1 t/$#\nremap t/a/b in 1 s/x\n", 5},
        {"remap s/# out 1 ${#:-}\nremap t/+ in 1 s/x\n", 0},
        {"remap s/# out 1 t/x${#:-}\nremap t/+ in 1 s/x\n", 5},
        {"remap s/+ out 1 t/x$1\nremap t/xa in 1 s/b\n", 5},
        {"remap s out 1 ${hostname}/$$x\nremap " HOSTNAME "/$x in 1 s\n", 5},
        {"remap s out 1 ${hostname}/x\nremap other/x in 1 s\n", 0},
        {"topic \"\" out 1 a b\ntopic \"\" in 1 a c\n", 0},
        {"topic \"\" out 1 a b\ntopic b in\ntopic a in\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made made = make(rows[i].lines);
        char piece[60];
        snprintf(piece, sizeof piece, ":%u: what connection c sends out", rows[i].line);
        if (made.outcome.findings.warning_count != (rows[i].line != 0) ||
            outcome_count(&made.outcome, FINDING_WARNING, piece) != (rows[i].line != 0)) {
            outcome_show(&made.outcome);
            fail_msg("%s", rows[i].lines);
        }
        drop(&made);
    }
}

static void the_same_broker_is_refused_where_lines_lead_back(void **state) {
    (void)state;
    static const struct {
        const char *backend, *address, *lines;
        unsigned line; /* of the error; 0: none */
    } rows[] = {
        {"h:1884", "h:1884", "topic #\n", 4},
        {"h:1884", "h:1883", "topic #\n", 0},
        {"h:1884", "x:1884", "topic #\n", 0},
        {"localhost:1884", "127.0.0.1:1884", "topic #\n", 4},
        {"127.0.0.1:1884", "a b [::1]:1884", "topic #\n", 4},
        {"unix:/x", "h:1884", "topic #\n", 0},
        {"h:1884", "h:1884", "topic a/# out 1 \"\" b/\n", 0},
        {"h:1884", "h:1884", "topic a/# both 1 \"\" b/\n", 4},
        {"h:1884", "h:1884", "topic a/# out 1 \"\" b/\ntopic a/# in 1 c/ b/\n", 0}, /* a to b/a, b/a to c/a */
        {"h:1884", "h:1884", "topic a/# out 1 \"\" b/\ntopic x/# out 1 \"\" y/\ntopic # in 1 a/ b/a/\n", 4},
        {"h:1884", "h:1884", "topic a/# out 1 \"\" b/\ntopic c/# in\n", 5},
        {"h:1884", "h:1884", "topic # out 1 \"\" b/\n", 4},
        {"h:1884", "h:1884", "remap a/+ out 1 b/$1\nremap b/+ out 1 c/$1\nremap c/+ out 1 a/$1\n", 4},
        {"h:1884", "h:1884", "remap a/+ out 1 b/$1\nremap b/+ out 1 c/$1\nremap c/+ in 1 d/$1\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char begin[200], piece[100];
        snprintf(begin, sizeof begin, "backend %s\nconnection c\naddress %s\n", rows[i].backend,
                 rows[i].address);
        snprintf(piece, sizeof piece, ":%u: address ", rows[i].line);
        struct made made = make_from(begin, rows[i].lines);
        if ((made.routes == NULL) != (rows[i].line != 0) ||
            outcome_count(&made.outcome, FINDING_ERROR, piece) != (rows[i].line != 0)) {
            outcome_show(&made.outcome);
            fail_msg("%s%s", begin, rows[i].lines);
        }
        drop(&made);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_mapped),
        cmocka_unit_test(long_names_are_wrong),
        cmocka_unit_test(subscriptions_are_told),
        cmocka_unit_test(the_highest_qos_counts),
        cmocka_unit_test(lines_that_say_the_same_are_left_out),
        cmocka_unit_test(echoes_are_warned_of),
        cmocka_unit_test(the_same_broker_is_refused_where_lines_lead_back),
    };
    return cmocka_run_group_tests_name("bridge/routes", tests, NULL, NULL);
}
