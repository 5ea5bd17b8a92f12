/* What a decision costs: the time to load an ACL file, and nanoseconds per question, for 10 to 10,000 rules
 * in one list and for 10,000 users with rules of their own. `make bench-policy`. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/acl.h"

#define QUESTIONS 2000000

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct shape {
    const char *name;
    const char *every; /* the rule of number %d */
    const char *hit;   /* a topic of rule %d */
    bool is_per_user;  /* each rule stands below a user of its own */
};

static const struct shape shapes[] = {
    {"topics of one user", "topic readwrite plant/hall/%d/#\n", "plant/hall/%d/temperature", false},
    {"wildcards in front", "topic readwrite +/hall/%d/#\n", "plant/hall/%d/temperature", false},
    {"denies", "topic deny plant/hall/%d/secret\n", "plant/hall/%d/secret", false},
    {"patterns", "pattern readwrite dev/%%c/%d/#\n", "dev/client/%d/temperature", false},
    {"users", "topic readwrite plant/hall/%d/#\n", "plant/hall/%d/temperature", true},
};

static size_t write_file(char *file, const struct shape *shape, int count) {
    size_t size = (size_t)sprintf(file, "user u0\n");
    for (int i = 0; i < count; i++) {
        if (shape->is_per_user)
            size += (size_t)sprintf(file + size, "user u%d\n", i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        size += (size_t)sprintf(file + size, shape->every, i);
#pragma GCC diagnostic pop
    }
    return size;
}

static double measure(const struct acl_binding *binding, char topics[64][64], char question) {
    unsigned allowed = 0;
    uint64_t start = now_ns();
    for (int i = 0; i < QUESTIONS; i++) {
        struct span topic = span_of_text(topics[i % 64]);
        struct verdict verdict =
            question == 's' ? acl_may_subscribe(binding, topic) : acl_may_publish(binding, topic, 1, false);
        allowed += verdict.is_allowed;
    }
    volatile unsigned keep = allowed;
    (void)keep;
    return (double)(now_ns() - start) / QUESTIONS;
}

static void run(const struct shape *shape, int count) {
    char *file = malloc((size_t)count * 96 + 64);
    char hits[64][64], misses[64][64], name[32];
    size_t size = write_file(file, shape, count);
    struct findings findings;
    findings_init(&findings);
    struct arena *arena = arena_create();
    uint64_t start = now_ns();
    struct acl *acl = acl_compile(arena, "bench", span_of(file, size), &findings);
    double load_ms = (double)(now_ns() - start) / 1e6;
    if (acl == NULL)
        abort();
    int user = shape->is_per_user ? count / 2 : 0;
    for (int i = 0; i < 64; i++) {
        int number = shape->is_per_user ? user : (int)((long)i * 7919 % count);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(hits[i], sizeof hits[i], shape->hit, number);
        snprintf(misses[i], sizeof misses[i], shape->hit, number + 100000);
#pragma GCC diagnostic pop
    }
    snprintf(name, sizeof name, "u%d", user);
    struct acl_binding binding;
    acl_bind(&binding, acl, (struct acl_identity){true, span_of_text(name), SPAN_LITERAL("client"), NULL});
    printf("%-20s %6d rules: load %7.2f ms, publish %6.1f ns, refused %6.1f ns, subscribe %8.1f ns\n",
           shape->name, count, load_ms, measure(&binding, hits, 'p'), measure(&binding, misses, 'p'),
           measure(&binding, hits, 's'));
    findings_clear(&findings);
    arena_destroy(arena);
    free(file);
}

int main(void) {
    static const int counts[] = {10, 1000, 10000};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (size_t j = 0; j < sizeof counts / sizeof counts[0]; j++)
            run(&shapes[i], counts[j]);
    return 0;
}
