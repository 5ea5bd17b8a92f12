/* What a decision costs: the time to load an ACL file, and nanoseconds per question, for 10 to 10,000 rules
 * in one list and for 10,000 users with rules of their own. `make bench-policy`.
 *
 * CPU time; of many short runs the best counts, which is what the machine can do when it is left alone. The
 * exit status is 1 when a question at 10,000 rules costs more than NANOSECONDS_MAX, or loading them more than
 * LOAD_MS_MAX.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/acl.h"

#define RULES_MAX       10000
#define NANOSECONDS_MAX 1000
#define LOAD_MS_MAX     1000
#define RUNS            60
#define QUESTIONS       1000
#define SAMPLES         64
#define TEXT_SIZE       96

/* In all texts of a shape %d stands for the number of a rule. */
#define QUESTIONS_PER_SHAPE 8

enum asked { END, PUBLISH, DELIVER, SUBSCRIBE };

struct question {
    enum asked asked;
    const char *topic;
    bool is_missed; /* the number is one that no rule has */
    bool is_wanted; /* what the answer must be */
};

struct shape {
    const char *name, *rule;
    bool is_per_user;         /* each rule stands below a user of its own */
    const char *first, *last; /* lines before and behind; NULL: none */
    struct question questions[QUESTIONS_PER_SHAPE];
};

static const struct shape shapes[] = {
    {"topics of one user",
     "topic readwrite plant/hall/%d/#\n",
     false,
     NULL,
     NULL,
     {{PUBLISH, "plant/hall/%d/temperature", false, true},
      {PUBLISH, "plant/hall/%d/temperature", true, false},
      {DELIVER, "plant/hall/%d/temperature", false, true},
      {SUBSCRIBE, "plant/hall/%d/temperature", false, true},
      {SUBSCRIBE, "plant/+/%d/temperature", false, true},
      {SUBSCRIBE, "plant/#", false, true},
      {SUBSCRIBE, "+/hall/%d/#", false, true},
      {SUBSCRIBE, "$share/g/plant/hall/%d/#", true, false}}},
    {"four kinds of leaves",
     "topic read plant/%d/state\ntopic read office/%d/heat\ntopic read plant/%d/light\ntopic read "
     "yard/%d/state\n",
     false,
     NULL,
     NULL,
     {{SUBSCRIBE, "plant/+/state", false, true},
      {SUBSCRIBE, "plant/+/heat", false, false},
      {SUBSCRIBE, "+/%d/light", false, true},
      {SUBSCRIBE, "+/%d/#", false, true},
      {SUBSCRIBE, "+/+/heat", false, true},
      {SUBSCRIBE, "plant/#", false, true},
      {SUBSCRIBE, "#", false, true},
      {SUBSCRIBE, "+/%d/nothing", false, false}}},
    {"wildcards in front",
     "topic readwrite +/hall/%d/#\n",
     false,
     NULL,
     NULL,
     {{PUBLISH, "plant/hall/%d/temperature", false, true},
      {PUBLISH, "plant/hall/%d/temperature", true, false},
      {DELIVER, "plant/hall/%d/temperature", true, false},
      {SUBSCRIBE, "plant/+/%d/x", false, true},
      {SUBSCRIBE, "plant/hall/#", false, true},
      {SUBSCRIBE, "+/hall/%d/#", false, true},
      {SUBSCRIBE, "+/+/%d/x/#", true, false},
      {SUBSCRIBE, "plant/yard/+/x", false, false}}},
    {"denies",
     "topic deny plant/hall/%d/secret\n",
     false,
     NULL,
     "topic readwrite plant/#\n",
     {{PUBLISH, "plant/hall/%d/secret", false, false},
      {PUBLISH, "plant/hall/%d/open", false, true},
      {DELIVER, "plant/hall/%d/secret", false, false},
      {SUBSCRIBE, "plant/hall/%d/secret", false, false},
      {SUBSCRIBE, "plant/hall/%d/+", false, true},
      {SUBSCRIBE, "plant/hall/+/secret", false, true},
      {SUBSCRIBE, "plant/hall/%d/#", false, true},
      {SUBSCRIBE, "+/hall/%d/secret/#", false, true}}},
    {"denies with wildcards",
     "topic read plant/hall/%d/open\ntopic deny plant/hall/%d/+/#\ntopic deny +/yard/%d/#\n",
     false,
     NULL,
     "topic read plant/#\n",
     {{PUBLISH, "plant/hall/%d/open", false, false},
      {DELIVER, "plant/hall/%d/open", false, false},
      {DELIVER, "plant/hall/%d", false, true},
      {SUBSCRIBE, "plant/hall/%d/+", false, false},
      {SUBSCRIBE, "plant/hall/%d/#", false, true},
      {SUBSCRIBE, "plant/yard/%d/#", false, false},
      {SUBSCRIBE, "+/yard/%d/x", false, false},
      {SUBSCRIBE, "plant/+/%d/open", true, true}}},
    {"one deny over all",
     "topic read plant/hall/%d/#\n",
     false,
     "topic deny plant/#\n",
     NULL,
     {{DELIVER, "plant/hall/%d/x", false, false},
      {SUBSCRIBE, "plant/hall/+/x", false, false},
      {SUBSCRIBE, "plant/#", false, false},
      {SUBSCRIBE, "+/hall/%d/#", false, false},
      {SUBSCRIBE, "#", false, false}}},
    {"patterns",
     "pattern readwrite dev/%%c/%d/#\n",
     false,
     NULL,
     NULL,
     {{PUBLISH, "dev/client/%d/temperature", false, true},
      {PUBLISH, "dev/other/%d/temperature", false, false},
      {DELIVER, "dev/client/%d/temperature", false, true},
      {SUBSCRIBE, "dev/client/%d/#", false, true},
      {SUBSCRIBE, "dev/+/%d/x", false, true},
      {SUBSCRIBE, "dev/other/+/x", false, false},
      {SUBSCRIBE, "dev/other/#", false, false},
      {SUBSCRIBE, "+/client/#", false, true}}},
    {"patterns without value",
     "pattern readwrite dev/%%{cn}/%d/#\n",
     false,
     NULL,
     NULL,
     {{PUBLISH, "dev/client/%d/temperature", false, false},
      {DELIVER, "dev/client/%d/temperature", false, false},
      {SUBSCRIBE, "dev/+/%d/x", false, false},
      {SUBSCRIBE, "dev/#", false, false},
      {SUBSCRIBE, "#", false, false}}},
    {"subscribe rules",
     "topic subscribe plant/hall/%d/#\ntopic subscribe +/%d/state\ntopic read plant/hall/%d/#\n",
     false,
     "topic deny plant/hall/+/shut/#\n",
     NULL,
     {{DELIVER, "plant/hall/%d/x", false, true},
      {SUBSCRIBE, "plant/hall/%d/x", false, true},
      {SUBSCRIBE, "plant/hall/%d/#", false, true},
      {SUBSCRIBE, "plant/hall/%d/+/y", false, true},
      {SUBSCRIBE, "+/%d/state", false, true},
      {SUBSCRIBE, "plant/hall/+/x", false, false},
      {SUBSCRIBE, "plant/hall/%d/shut/#", false, false},
      {SUBSCRIBE, "#", false, false}}},
    {"subscribe patterns",
     "pattern subscribe dev/%%c/%d/#\n",
     false,
     NULL,
     NULL,
     {{SUBSCRIBE, "dev/client/%d/#", false, true},
      {SUBSCRIBE, "dev/client/%d/+/x", false, true},
      {SUBSCRIBE, "dev/other/%d/#", false, false},
      {SUBSCRIBE, "dev/+/%d/x", false, false},
      {SUBSCRIBE, "$share/g/dev/client/%d/x", false, true}}},
    {"users",
     "topic readwrite plant/hall/%d/#\n",
     true,
     NULL,
     NULL,
     {{PUBLISH, "plant/hall/%d/temperature", false, true},
      {PUBLISH, "plant/hall/%d/temperature", true, false},
      {DELIVER, "plant/hall/%d/temperature", false, true},
      {SUBSCRIBE, "plant/hall/%d/x", false, true},
      {SUBSCRIBE, "plant/+/%d/#", false, true},
      {SUBSCRIBE, "plant/#", false, true},
      {SUBSCRIBE, "plant/+/%d/#", true, false}}},
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Puts the number in the place of each %d; %% is one. */
static size_t fill_in(char *room, const char *text, int number) {
    size_t size = 0;
    for (; text != NULL && *text != '\0'; text++) {
        if (*text == '%' && text[1] == 'd') {
            size += (size_t)sprintf(room + size, "%d", number);
            text++;
        } else {
            room[size++] = *text;
            text += *text == '%';
        }
    }
    room[size] = '\0';
    return size;
}

static int lines_in(const char *text) {
    int count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* Rules with numbers from 0 on, `count` lines in all. Returns the size; *number_count is behind the last. */
static size_t write_file(char *file, const struct shape *shape, int count, int *number_count) {
    int lines = lines_in(shape->rule), number = 0;
    size_t size = (size_t)sprintf(file, "user u0\n");
    size += fill_in(file + size, shape->first, 0);
    for (int written = 0; written < count; written += lines, number++) {
        if (shape->is_per_user)
            size += (size_t)sprintf(file + size, "user u%d\n", number);
        size += fill_in(file + size, shape->rule, number);
    }
    size += fill_in(file + size, shape->last, 0);
    *number_count = number;
    return size;
}

static bool ask(const struct acl_binding *binding, enum asked asked, struct span topic) {
    switch (asked) {
    case PUBLISH: return acl_may_publish(binding, topic, 1, false).is_allowed;
    case DELIVER: return acl_may_read(binding, topic).is_allowed;
    default: return acl_may_subscribe(binding, topic).is_allowed;
    }
}

/* Nanoseconds per question, in the best run. */
static double measure(const struct acl_binding *binding, const struct question *question, int user,
                      int number_count) {
    static char texts[SAMPLES][TEXT_SIZE];
    struct span topics[SAMPLES];
    double best = 1e9;
    for (int i = 0; i < SAMPLES; i++) {
        int number = user != 0 ? user : (int)((long)i * 7919 % number_count);
        size_t size = fill_in(texts[i], question->topic, question->is_missed ? number + 1000000 : number);
        topics[i] = span_of(texts[i], size);
        if (ask(binding, question->asked, topics[i]) != question->is_wanted) {
            printf("%s: the answer is wrong\n", texts[i]);
            exit(1);
        }
    }
    for (int run = 0; run < RUNS; run++) {
        volatile unsigned allowed = 0;
        uint64_t start = now_ns();
        for (int i = 0; i < QUESTIONS; i++)
            allowed += ask(binding, question->asked, topics[i % SAMPLES]);
        double each = (double)(now_ns() - start) / QUESTIONS;
        best = each < best ? each : best;
    }
    return best;
}

/* The binding of the last load stays, for the questions. */
static double load(struct arena **arena, const struct acl **acl, struct span file) {
    double best = 1e9;
    for (int run = 0; run < 3; run++) {
        struct findings findings;
        findings_init(&findings);
        arena_destroy(*arena);
        *arena = arena_create();
        uint64_t start = now_ns();
        *acl = acl_compile(*arena, "bench", file, &findings);
        double took = (double)(now_ns() - start) / 1e6;
        best = took < best ? took : best;
        if (*acl == NULL)
            abort();
        findings_clear(&findings);
    }
    return best;
}

/* False when a limit is broken. */
static bool run(const struct shape *shape, int count) {
    static const char *const words[] = {"", "publish", "deliver", "subscribe"};
    char *file = malloc((size_t)count * TEXT_SIZE + 1024), name[32];
    struct arena *arena = NULL;
    const struct acl *acl;
    int number_count;
    size_t size = write_file(file, shape, count, &number_count);
    double load_ms = load(&arena, &acl, span_of(file, size));
    int user = shape->is_per_user ? number_count / 2 : 0;
    snprintf(name, sizeof name, "u%d", user);
    struct acl_binding binding;
    acl_bind(&binding, acl, (struct acl_identity){true, span_of_text(name), SPAN_LITERAL("client"), NULL});
    bool is_good = load_ms <= LOAD_MS_MAX;
    printf("%-23s %6d rules: loaded in %.2f ms, %.0f KiB%s\n", shape->name, count, load_ms,
           (double)arena_size(arena) / 1024, is_good ? "" : "  TOO SLOW");
    for (int i = 0; i < QUESTIONS_PER_SHAPE && shape->questions[i].asked != END; i++) {
        const struct question *question = &shape->questions[i];
        double each = measure(&binding, question, user, number_count);
        bool is_slow = count == RULES_MAX && each > NANOSECONDS_MAX;
        printf("    %-9s %-28s %-7s %7.1f ns%s\n", words[question->asked], question->topic,
               question->is_wanted ? "allowed" : "refused", each, is_slow ? "  TOO SLOW" : "");
        is_good = is_good && !is_slow;
    }
    arena_destroy(arena);
    free(file);
    return is_good;
}

int main(int count, char **arguments) {
    static const int counts[] = {10, 1000, RULES_MAX};
    bool is_good = true;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (size_t j = 0;
             (count < 2 || strcmp(arguments[1], shapes[i].name) == 0) && j < sizeof counts / sizeof counts[0];
             j++)
            is_good = run(&shapes[i], counts[j]) && is_good;
    return is_good ? 0 : 1;
}
