/* differ: the program and a second reader of MQTT that shares no line with it never understand a packet
 * differently. Conversations, valid and nearly valid, go through whole sessions (relay, inspector, admission,
 * with links made by hand) in pieces of any size; what leaves on the far side must be what the reference
 * reader says: the same packets with the same fields, no more and no less, and where nothing has to be
 * rewritten the same bytes. A difference is made as small as can be and printed in the format of
 * test/samples/packets.txt.
 *
 *     differ [--cases N] [--seed S] [--only N] [--jobs N] [--print N]
 *
 * DIFFER_CASES and DIFFER_SEED stand in for the first two. --only runs a single case and shows it. --print
 * writes cases of devices and what a broker must see of them, for a test with real brokers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "differ/expect.h"
#include "differ/generate.h"
#include "unit/session/world.h"

#define JOBS_MAX       64
#define FAILURES_SHOWN 3

/* ---- the rules ---- */

struct setting {
    const char *conf, *acl;
    struct expect_rules rules;
    struct generation *generation;
};

#define COMMON "backend 127.0.0.1:1\nlistener 1883\nallow_anonymous true\nallow_unsafe_clientid_chars true\n"

static struct setting settings[] = {
    {COMMON "max_packet_size 0\nmax_topic_alias 65535\n",
     NULL,
     {.max_qos = 2, .retain_available = true, .max_topic_alias = 65535},
     NULL},
    {COMMON "max_packet_size 0\n",
     EXPECT_ACL,
     {.has_rules = true, .max_qos = 2, .retain_available = true, .max_topic_alias = 10},
     NULL},
    {COMMON
     "max_packet_size 250\nmessage_size_limit 20\nmax_qos 1\nretain_available false\nmax_topic_alias 5\n",
     NULL,
     {.max_qos = 1, .max_topic_alias = 5, .max_packet_size = 250, .message_size_limit = 20},
     NULL},
    {COMMON "max_packet_size 0\nuse_username_as_clientid true\n",
     EXPECT_ACL,
     {.has_rules = true,
      .use_username_as_clientid = true,
      .max_qos = 2,
      .retain_available = true,
      .max_topic_alias = 10},
     NULL},
};
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static void make_settings(void) {
    const struct log_settings silence = {.dests = LOG_DEST_NONE, .kinds = LOG_KINDS_ALL};
    DRIVER_MUST(log_configure(&silence) == 0);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        settings[i].generation = generation_of(settings[i].conf, settings[i].acl, NULL);
}

static void free_settings(void) {
    for (size_t i = 0; i < SETTING_COUNT; i++)
        generation_drop(settings[i].generation);
}

/* ---- a case on the stage ---- */

struct stage {
    struct world *world;
    struct fake *device, *broker; /* the broker is NULL before it is dialled */
    uint64_t seed;
    struct ref_bytes connack; /* of a broker that says nothing else; empty otherwise */
};

static void move_on(struct stage *stage) {
    fake_pump(stage->device, SIZE_MAX);
    if (stage->broker == NULL)
        stage->broker = stage->world->dialed;
    if (stage->broker != NULL)
        fake_pump(stage->broker, SIZE_MAX);
}

/* The broker accepts and answers now or later; links clog and clear. */
static void stir(struct stage *stage, bool is_last) {
    move_on(stage);
    struct fake *broker = stage->broker;
    if (broker != NULL && (is_last || random_below(&stage->seed, 3) == 0))
        fake_open(broker);
    if (broker != NULL && broker->link.is_open && stage->connack.size != 0 && broker->written.size != 0 &&
        (is_last || random_below(&stage->seed, 3) == 0)) {
        fake_push(broker, span_of(stage->connack.at, stage->connack.size));
        stage->connack.size = 0;
    }
    struct fake *links[] = {stage->device, broker};
    for (size_t i = 0; i < 2; i++) {
        if (links[i] == NULL)
            continue;
        links[i]->is_slow = !is_last && random_below(&stage->seed, 8) == 0;
        if (is_last || random_below(&stage->seed, 2) == 0)
            fake_drain(links[i]);
    }
    move_on(stage);
}

/* In one piece, in crumbs, or in pieces of any size. */
static void say_in_pieces(struct stage *stage, struct fake *speaker, struct span bytes) {
    uint32_t way = random_below(&stage->seed, 3);
    uint32_t most = way == 0 ? UINT32_MAX : way == 1 && bytes.size < 3000 ? 9 : 1500;
    while (bytes.size != 0) {
        size_t size = most == UINT32_MAX ? bytes.size : 1 + random_below(&stage->seed, most);
        size = size < bytes.size ? size : bytes.size;
        fake_push(speaker, span_first(bytes, size));
        bytes = span_after(bytes, size);
        stir(stage, false);
    }
}

static void play(struct stage *stage, const struct differ_case *made, struct ref_bytes stream,
                 struct ref_bytes opposite) {
    stage->seed = made->chop_seed;
    stage->world = world_create(settings[made->rules].generation);
    stage->device = world_begin(stage->world, true, false);
    stage->broker = NULL;
    stage->connack = (struct ref_bytes){NULL, 0};
    if (made->is_to_device) {
        fake_push(stage->device, span_of(opposite.at, opposite.size));
        move_on(stage);
        if (stage->broker == NULL)
            return; /* refused by policy */
        fake_open(stage->broker);
        say_in_pieces(stage, stage->broker, span_of(stream.at, stream.size));
    } else {
        stage->connack = opposite;
        say_in_pieces(stage, stage->device, span_of(stream.at, stream.size));
    }
    for (int i = 0; i < 4; i++)
        stir(stage, true);
}

static void strike(struct stage *stage) {
    fake_end(stage->device, 0);
    world_destroy(stage->world);
}

/* ---- the verdict ---- */

enum difference {
    SAME,
    BAD_PACKET_PASSED,
    OTHER_PACKETS,
    OTHER_END,
    OTHER_BYTES,
    PART_OF_A_PACKET,
    BAD_ANSWER,
};
static const char *const difference_words[] = {
    "the same",
    "a packet left that a strict reader refuses",
    "the packets that left are not those that should",
    "the connection should have ended, or should not",
    "packets that need no rewriting left as other bytes",
    "a part of a packet left that is no part of a good one",
    "an answer of the program is no good packet",
};

struct trial {
    enum difference difference;
    const char *why; /* of the reference reader; may be NULL */
    int version;     /* of the conversation; 0: it never got one */
    bool is_over;
    enum violation violation; /* that the program found */
    struct expectation expected, completed;
    struct lines seen, answers;
};

static struct ref_bytes written(const struct fake *fake) {
    return fake == NULL ? (struct ref_bytes){NULL, 0}
                        : (struct ref_bytes){fake->written.at, fake->written.size};
}

/* With zeros for what is missing of its payload, what does this beginning of a PUBLISH say? */
static bool complete(struct ref_bytes part, int version, bool is_from_device, struct lines *lines) {
    static uint8_t room[400000];
    static struct ref_packet packet;
    const char *why;
    if (part.size == 0 || part.at[0] >> 4 != REF_PUBLISH || part.size > sizeof room / 2)
        return false;
    memset(room, 0, sizeof room);
    memcpy(room, part.at, part.size);
    if (ref_read((struct ref_bytes){room, sizeof room}, version, is_from_device, &packet, &why) != REF_GOOD)
        return false;
    lines_add_packet(lines, &packet, packet.topic);
    return true;
}

/* What is left behind the last whole packet must be the beginning of the one that is under way. */
static bool is_part_good(const struct trial *trial, struct ref_bytes stream, struct ref_bytes rest,
                         int version, bool is_from_device) {
    static struct lines ours, theirs;
    if (rest.size == 0)
        return true;
    if (trial->expected.end != EXPECT_ANYHOW || trial->is_over)
        return false;
    lines_clear(&ours);
    lines_clear(&theirs);
    /* Announced sizes that the room cannot complete are compared as bytes. */
    struct ref_bytes source = {stream.at + stream.size, 0};
    size_t at = 0;
    static struct ref_packet packet;
    const char *why;
    while (ref_read((struct ref_bytes){stream.at + at, stream.size - at},
                    at == 0 && is_from_device ? 0 : version, is_from_device, &packet, &why) == REF_GOOD)
        at += packet.whole.size;
    source = (struct ref_bytes){stream.at + at, stream.size - at};
    if (!complete(rest, version, is_from_device, &ours) ||
        !complete(source, version, is_from_device, &theirs))
        return rest.size <= source.size && memcmp(rest.at, source.at, rest.size) == 0;
    /* A topic may have been put in for an alias; all else is the same. */
    return trial->expected.is_rewritten || strcmp(lines_text(&ours), lines_text(&theirs)) == 0;
}

static bool is_end_right(const struct trial *trial) {
    bool must_be_open =
        trial->expected.end == EXPECT_OPEN || (trial->expected.end == EXPECT_ANYHOW &&
                                               trial->completed.packet_count > trial->expected.packet_count);
    bool must_be_over = trial->expected.end == EXPECT_END;
    return trial->is_over ? !must_be_open : !must_be_over;
}

/* What the program said to the side that is tried; before there is a version it may choose one. */
static bool is_answer_good(struct trial *trial, struct ref_bytes back, bool is_to_broker) {
    int first = trial->version == 0 ? 3 : trial->version, last = trial->version == 0 ? 5 : trial->version;
    for (int version = first; version <= last; version++) {
        struct ref_bytes rest = {NULL, 0};
        lines_clear(&trial->answers);
        if (expect_see(back, version, is_to_broker, &trial->answers, &rest, &trial->why) && rest.size == 0)
            return true;
    }
    return false;
}

/* How the program explains its last words to a person is its own affair. */
static void cut_explanation(struct lines *lines) {
    size_t start = lines->size;
    while (start > 1 && lines->at[start - 2] != '\n')
        start--;
    char *props = start < 1 ? NULL : strstr(lines->at + start - 1, " prop-");
    if (props == NULL)
        return;
    props[0] = '\n';
    props[1] = 0;
    lines->size = (size_t)(props + 1 - lines->at);
}

static enum difference compare(const struct differ_case *made, struct stage *stage, struct ref_bytes stream,
                               struct trial *trial) {
    struct ref_bytes far = written(made->is_to_device ? stage->device : stage->broker);
    struct ref_bytes back = written(made->is_to_device ? stage->broker : stage->device);
    struct expectation *expected = &trial->expected;
    struct ref_bytes rest;
    lines_clear(&trial->seen);
    trial->is_over = stage->device->link.is_closing;
    for (int i = VIOLATION_NONE + 1; i < VIOLATION_COUNT; i++)
        if (stage->world->tally.violations[i] != 0)
            trial->violation = (enum violation)i;
    bool is_wrong_end = trial->is_over && (expected->why != NULL || expected->end == EXPECT_ANYHOW);
    if (is_wrong_end)
        lines_add_text(&expected->lines, lines_text(&expected->last_words));

    if (!expect_see(far, trial->version, !made->is_to_device, &trial->seen, &rest, &trial->why))
        return BAD_PACKET_PASSED;
    if (is_wrong_end && expected->last_words.size != 0)
        cut_explanation(&trial->seen);
    trial->why = expected->why;
    if (strcmp(lines_text(&trial->seen), lines_text(&expected->lines)) != 0)
        return OTHER_PACKETS;
    if (!is_end_right(trial))
        return OTHER_END;
    if (!expected->is_rewritten &&
        (far.size < expected->whole_size ||
         (expected->whole_size != 0 && memcmp(far.at, stream.at, expected->whole_size) != 0)))
        return OTHER_BYTES;
    if (!is_part_good(trial, stream, rest, trial->version, !made->is_to_device))
        return PART_OF_A_PACKET;
    return is_answer_good(trial, back, made->is_to_device) ? SAME : BAD_ANSWER;
}

/* The version that the first packet speaks, 0 when it is none, decides what a good CONNACK is. */
static struct ref_bytes fitting_opposite(const struct differ_case *made, struct ref_bytes stream,
                                         int *version) {
    static struct ref_packet packet;
    static const uint8_t old[] = {0x20, 2, 0, 0}, new[] = {0x20, 3, 0, 0, 0};
    const char *why;
    struct ref_bytes opposite = {made->opposite.at, made->opposite.size};
    *version = made->version;
    if (made->is_to_device)
        return opposite;
    *version = ref_read(stream, 0, true, &packet, &why) == REF_GOOD ? packet.version : 0;
    if (*version == made->version)
        return opposite;
    return *version == 5 ? (struct ref_bytes){new, sizeof new} : (struct ref_bytes){old, sizeof old};
}

/* Does the reference let this CONNECT in? */
static bool is_admitted(const struct expect_rules *rules, struct ref_bytes connect) {
    static struct expectation alone;
    static const uint8_t connack[] = {0x20, 2, 0, 0};
    expect_at_broker(rules, connect, (struct ref_bytes){connack, sizeof connack}, &alone);
    bool is_good = alone.packet_count == 1;
    expectation_free(&alone);
    return is_good;
}

static enum difference try_case(const struct differ_case *made, struct trial *trial) {
    const struct expect_rules *rules = &settings[made->rules].rules;
    struct owned_bytes all = case_stream(made);
    struct ref_bytes stream = {all.at, all.size - made->withheld}, whole = {all.at, all.size};
    struct ref_bytes opposite = fitting_opposite(made, whole, &trial->version);
    void (*expect)(const struct expect_rules *, struct ref_bytes, struct ref_bytes, struct expectation *) =
        made->is_to_device ? expect_at_device : expect_at_broker;
    expect(rules, whole, opposite, &trial->completed);
    expect(rules, stream, opposite, &trial->expected);
    trial->violation = VIOLATION_NONE;
    trial->why = NULL;
    struct stage stage;
    play(&stage, made, stream, opposite);
    if (made->is_to_device && stage.broker == NULL)
        trial->difference = is_admitted(rules, opposite) ? OTHER_END : SAME;
    else
        trial->difference = compare(made, &stage, stream, trial);
    strike(&stage);
    free(all.at);
    return trial->difference;
}

static void trial_free(struct trial *trial) {
    expectation_free(&trial->expected);
    expectation_free(&trial->completed);
    lines_free(&trial->seen);
    lines_free(&trial->answers);
}

/* ---- a difference made small ---- */

static bool still_differs(const struct differ_case *made, enum difference difference) {
    static struct trial trial;
    return made->packet_count != 0 && try_case(made, &trial) == difference;
}

/* Keeps `smaller` when it shows the same difference; frees the one that goes. */
static bool keep_smaller(struct differ_case *made, struct differ_case *smaller, enum difference difference) {
    bool is_kept = still_differs(smaller, difference);
    case_free(is_kept ? made : smaller);
    if (is_kept)
        *made = *smaller;
    return is_kept;
}

static void shrink(struct differ_case *made, enum difference difference) {
    for (bool is_smaller = true; is_smaller;) {
        is_smaller = false;
        for (size_t i = made->packet_count; i-- > 0;) {
            struct differ_case smaller;
            case_copy(&smaller, made);
            case_drop_packet(&smaller, i);
            is_smaller = keep_smaller(made, &smaller, difference) || is_smaller;
        }
        for (size_t i = 0; i < made->packet_count; i++)
            for (size_t count = made->packets[i].size / 2; count != 0; count /= 2)
                for (size_t at = 0; at + count <= made->packets[i].size;) {
                    struct differ_case smaller;
                    case_copy(&smaller, made);
                    case_drop_bytes(&smaller, i, at, count);
                    if (keep_smaller(made, &smaller, difference))
                        is_smaller = true;
                    else
                        at += count;
                }
    }
}

/* ---- what is printed ---- */

static void print_sample(const struct differ_case *made, size_t index, enum violation violation) {
    static struct ref_packet packet;
    const char *why = NULL;
    const struct owned_bytes *bytes = &made->packets[index];
    bool is_first = index == 0 && !made->is_to_device;
    enum ref_answer answer = ref_read((struct ref_bytes){bytes->at, bytes->size},
                                      is_first ? 0 : made->version, !made->is_to_device, &packet, &why);
    bool is_good = answer == REF_GOOD && packet.whole.size == bytes->size;
    printf("    %s %d %s differ-%llu-%u-%zu %s", is_good ? "good" : "bad", made->version,
           made->is_to_device ? "to_device" : "to_broker", (unsigned long long)made->seed, made->number,
           index, is_good || violation == VIOLATION_NONE ? "-" : violation_rows[violation].name);
    for (size_t i = 0; i < bytes->size && i < 4000; i++)
        printf(" %02x", bytes->at[i]);
    printf("\n");
    if (answer == REF_BAD)
        printf("        (reference: %s)\n", why);
}

static void print_bytes(const char *words, struct owned_bytes bytes) {
    printf("    %s:", words);
    for (size_t i = 0; i < bytes.size; i++)
        printf(" %02x", bytes.at[i]);
    printf("\n");
}

static void print_case(const struct differ_case *made, const struct trial *trial) {
    printf("    rules %d, %zu bytes withheld; the other side says", made->rules, made->withheld);
    print_bytes("", made->opposite);
    for (size_t i = 0; i < made->packet_count; i++)
        print_sample(made, i, i + 1 == made->packet_count ? trial->violation : VIOLATION_NONE);
    printf("    the program: %s%s%s; the reference: %s\n", trial->is_over ? "ended" : "goes on",
           trial->violation == VIOLATION_NONE ? "" : ", ",
           trial->violation == VIOLATION_NONE ? "" : violation_rows[trial->violation].name,
           trial->expected.why == NULL ? "all well" : trial->expected.why);
    printf("  expected:\n%s  seen:\n%s", lines_text(&trial->expected.lines), lines_text(&trial->seen));
    fflush(stdout);
}

static void report(const struct differ_case *found, const struct trial *trial) {
    static struct trial again;
    printf("FAIL differ case %u of seed %llu: %s (%s)\n", found->number, (unsigned long long)found->seed,
           difference_words[trial->difference], trial->why == NULL ? "-" : trial->why);
    struct differ_case made;
    case_copy(&made, found);
    shrink(&made, trial->difference);
    try_case(&made, &again);
    print_case(&made, &again);
    case_free(&made);
}

/* ---- many cases on all cores ---- */

struct score {
    unsigned current[JOBS_MAX]; /* the case that each job is at, for the one that crashes */
    unsigned passed[JOBS_MAX][3][2], failed[JOBS_MAX];
    unsigned all_good[JOBS_MAX], ended[JOBS_MAX], rewritten[JOBS_MAX];
};

static void work(struct score *score, unsigned job, unsigned jobs, uint64_t seed, unsigned count) {
    static struct trial trial;
    make_settings();
    for (unsigned number = job; number < count; number += jobs) {
        struct differ_case made;
        score->current[job] = number;
        case_make(&made, seed, number, SETTING_COUNT);
        if (try_case(&made, &trial) == SAME)
            score->passed[job][made.version - 3][made.is_to_device]++;
        else if (score->failed[job]++ < FAILURES_SHOWN)
            report(&made, &trial);
        score->all_good[job] += trial.expected.end == EXPECT_OPEN;
        score->ended[job] += trial.expected.why != NULL;
        score->rewritten[job] += trial.expected.is_rewritten;
        case_free(&made);
        if (score->failed[job] >= 50)
            break;
    }
    trial_free(&trial);
    free_settings();
}

static unsigned sum(const unsigned *list, unsigned count) {
    unsigned total = 0;
    for (unsigned i = 0; i < count; i++)
        total += list[i];
    return total;
}

static unsigned wait_for_all(const struct score *score, const pid_t *pids, unsigned jobs, uint64_t seed) {
    unsigned crashed = 0;
    for (unsigned job = 0; job < jobs; job++) {
        int status;
        if (waitpid(pids[job], &status, 0) == pids[job] && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        printf("FAIL differ case %u: the program crashed; again with --seed %llu --only %u\n",
               score->current[job], (unsigned long long)seed, score->current[job]);
        crashed++;
    }
    return crashed;
}

static int run_all(uint64_t seed, unsigned count, unsigned jobs) {
    struct score *score =
        mmap(NULL, sizeof *score, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    DRIVER_MUST(score != MAP_FAILED);
    pid_t pids[JOBS_MAX];
    fflush(stdout);
    for (unsigned job = 0; job < jobs; job++) {
        pids[job] = fork();
        DRIVER_MUST(pids[job] >= 0);
        if (pids[job] == 0) {
            work(score, job, jobs, seed, count);
            exit(0);
        }
    }
    unsigned failed = wait_for_all(score, pids, jobs, seed), passed = 0;
    failed += sum(score->failed, jobs);
    static const char *const versions[] = {"3.1", "3.1.1", "5.0"};
    for (int version = 0; version < 3; version++)
        for (int direction = 0; direction < 2; direction++) {
            unsigned some = 0;
            for (unsigned job = 0; job < jobs; job++)
                some += score->passed[job][version][direction];
            passed += some;
            if (some != 0)
                printf("ok   differ %s, %s: %u cases\n", versions[version],
                       direction == 0 ? "device to broker" : "broker to device", some);
        }
    unsigned good = sum(score->all_good, jobs), ended = sum(score->ended, jobs),
             rewritten = sum(score->rewritten, jobs);
    printf("     seed %llu; all well %u, something wrong %u, something rewritten %u\n",
           (unsigned long long)seed, good, ended, rewritten);
    /* A generator of nothing but rubbish, or of nothing but good packets, would prove nothing. */
    if (failed == 0 && count >= 1000 && (good < count / 5 || ended < count / 5 || rewritten < count / 20)) {
        printf("FAIL differ: the cases are one-sided\n");
        failed++;
    }
    printf("differ: %u passed, %u failed\n", passed, failed);
    return failed == 0 && passed != 0 ? 0 : 1;
}

static int run_one(uint64_t seed, unsigned number) {
    static struct trial trial;
    struct differ_case made;
    make_settings();
    case_make(&made, seed, number, SETTING_COUNT);
    enum difference difference = try_case(&made, &trial);
    printf("case %u of seed %llu: %s\n", number, (unsigned long long)seed, difference_words[difference]);
    print_case(&made, &trial);
    if (difference != SAME)
        report(&made, &trial);
    case_free(&made);
    trial_free(&trial);
    free_settings();
    return difference == SAME ? 0 : 1;
}

/* ---- cases for a test with real brokers ---- */

/* What a broker sees of the case: a line `case NUMBER VERSION open|end BYTES SIZE`, SIZE of the part that
 * reaches it, and behind it `connect`, `publish` and other lines, one per packet, fields in hexadecimal. */
static void print_for_brokers(const struct differ_case *made) {
    static struct expectation expected;
    static const uint8_t connack_5[] = {0x20, 6, 0, 0, 3, 0x22, 0, 10}, connack_3[] = {0x20, 2, 0, 0};
    struct ref_bytes connack = {connack_3, sizeof connack_3};
    struct owned_bytes all = case_stream(made);
    struct ref_bytes stream = {all.at, all.size};
    if (made->version == 5)
        connack = (struct ref_bytes){connack_5, sizeof connack_5};
    int version;
    fitting_opposite(made, stream, &version);
    expect_at_broker(&settings[0].rules, stream, connack, &expected);
    bool is_refused = version == 0;
    if ((version == made->version || is_refused) && !expected.is_rewritten && expected.end != EXPECT_ANYHOW) {
        printf("case %u %d %s", made->number, made->version, expected.end == EXPECT_OPEN ? "open" : "end");
        for (size_t i = 0; i < stream.size; i++)
            printf("%s%02x", i == 0 ? " " : "", stream.at[i]);
        printf(" %zu\n", expected.whole_size);
        expect_print((struct ref_bytes){stream.at, expected.whole_size}, version);
    }
    expectation_free(&expected);
    free(all.at);
}

static int print_all(uint64_t seed, unsigned count) {
    for (unsigned number = 0; number < count; number++) {
        struct differ_case made;
        case_make(&made, seed, number, 1);
        if (!made.is_to_device && made.withheld == 0)
            print_for_brokers(&made);
        case_free(&made);
    }
    return 0;
}

static unsigned long long number_of(const char *text) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != 0) {
        fprintf(stderr, "differ: '%s' is no number\n", text);
        exit(2);
    }
    return number;
}

int main(int count, char **words) {
    const char *cases = getenv("DIFFER_CASES"), *seed = getenv("DIFFER_SEED"), *only = NULL, *jobs = NULL,
               *print = NULL;
    for (int i = 1; i < count; i++) {
        const char **place = strcmp(words[i], "--cases") == 0   ? &cases
                             : strcmp(words[i], "--seed") == 0  ? &seed
                             : strcmp(words[i], "--only") == 0  ? &only
                             : strcmp(words[i], "--jobs") == 0  ? &jobs
                             : strcmp(words[i], "--print") == 0 ? &print
                                                                : NULL;
        if (place == NULL || i + 1 == count) {
            fprintf(stderr, "usage: differ [--cases N] [--seed S] [--only N] [--jobs N] [--print N]\n");
            return 2;
        }
        *place = words[++i];
    }
    uint64_t seed_number = seed == NULL ? 1 : number_of(seed);
    if (only != NULL)
        return run_one(seed_number, (unsigned)number_of(only));
    if (print != NULL)
        return print_all(seed_number, (unsigned)number_of(print));
    unsigned long long cores =
        jobs == NULL ? (unsigned long long)sysconf(_SC_NPROCESSORS_ONLN) : number_of(jobs);
    return run_all(seed_number, cases == NULL ? 200000 : (unsigned)number_of(cases),
                   cores < 1          ? 1
                   : cores > JOBS_MAX ? JOBS_MAX
                                      : (unsigned)cores);
}
