/* queue_applet: reads beside a running bridge, as any sqlite3 could; only purge wants the file for itself.
 *
 *     --dir PATH, NAME   ->   PATH/NAME.db; a NAME with a slash is a file, such as one that was set aside */
#include "control/queue_applet.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "bridge/store.h"
#include "conf/conf.h"
#include "policy/base64.h"

#define USUAL_CONFIGURATION DRAWBRIDGE_SYSCONFDIR "/drawbridge/drawbridge.conf"
#define DEFAULT_FOLDER      "/var/lib/drawbridge"
#define PATH_SIZE           4096
#define NEWEST_DEAD         3
/* A reader's transaction keeps the journal from being used again, so it is to be short. */
#define ROWS_AT_ONCE 100

static const char usage[] =
    "Usage: drawbridge [-c FILE] queue inspect [--dir PATH] [NAME]    what waits, per bridge\n"
    "       drawbridge [-c FILE] queue export [--dir PATH] [--dead] NAME\n"
    "       drawbridge [-c FILE] queue purge [--dir PATH] [--dead] [--yes] NAME\n"
    "\n"
    "NAME is the bridge's, the word behind `connection`; or, with a slash in it, a file, such as a queue "
    "that\n"
    "was set aside.\n"
    "\n"
    "  inspect     file, size, messages, bytes and the oldest of each direction, and what was given up on\n"
    "  export      one message per line as a JSON object, payload in base64; the bridge may be running\n"
    "  purge       delete all messages; the bridge must not be running\n"
    "  --dead      those that were given up on (dead letters) instead\n"
    "  --yes       do not ask\n"
    "  --dir PATH  where the queues are (default: queue_dir of the configuration)\n"
    "  --help      this text\n";

struct request {
    const char *folder, *name; /* name: NULL for all */
    bool is_dead, is_sure;
};

static int complain(const char *what, const char *path, const char *words) {
    fprintf(stderr, "drawbridge queue: %s %s: %s\n", what, path, words);
    return 1;
}

/* ---- inspect ---- */

static long long size_of(const char *path, const char *suffix) {
    char name[PATH_SIZE + 8];
    struct stat is;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &is) == 0 ? (long long)is.st_size : 0;
}

/* "3d 4h", "12m 5s": two units are enough to see. */
static const char *words_of_age(char *room, size_t size, int64_t seconds) {
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    if (seconds < 0)
        seconds = 0;
    size_t i = 0;
    while (i < 3 && seconds < units[i].seconds)
        i++;
    int64_t rest = i < 3 ? seconds % units[i].seconds / units[i + 1].seconds : 0;
    if (i < 3)
        snprintf(room, size, "%" PRId64 "%c %" PRId64 "%c", seconds / units[i].seconds, units[i].letter, rest,
                 units[i + 1].letter);
    else
        snprintf(room, size, "%" PRId64 "s", seconds);
    return room;
}

static void show_dead(void *keeper, const struct message *message, const struct store_death *death) {
    char topic[TEXT_QUOTED_SIZE], reason[TEXT_QUOTED_SIZE], age[48];
    (void)keeper;
    text_quote(topic, sizeof topic, message_topic(message));
    text_quote(reason, sizeof reason, span_of_text(death->reason));
    printf("            %s, %u bytes, %s ago: %s\n", topic, message->payload_size,
           words_of_age(age, sizeof age, (int64_t)time(NULL) - death->died_s), reason);
}

static int show_store(struct store *store) {
    static const char *const names[LANE_COUNT] = {[LANE_OUT] = "out", [LANE_IN] = "in"};
    char age[48];
    int64_t dead_count = 0;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct store_depth depth;
        int error = store_depth(store, (enum lane)lane, &depth);
        if (error != 0)
            return error;
        printf("  %-8s  %" PRId64 " messages, %" PRId64 " bytes", names[lane], depth.count, depth.bytes);
        if (depth.count != 0)
            printf(", the oldest %s", words_of_age(age, sizeof age, (int64_t)time(NULL) - depth.oldest_s));
        printf("\n");
    }
    store_dead_count(store, &dead_count);
    printf("  dead      %" PRId64 " messages\n", dead_count);
    fflush(stdout);
    const struct store_list newest = {.is_dead = true, .is_backward = true, .above = 0, .limit = NEWEST_DEAD};
    return store_list(store, &newest, show_dead, NULL);
}

static int inspect_file(const char *name, const char *path) {
    struct store *store;
    if (store_open(path, false, true, &store) != 0)
        return complain("cannot read", path, store_words(NULL));
    printf("%s\n  file      %s, %lld bytes, its journal %lld\n", name, path, size_of(path, ""),
           size_of(path, "-wal"));
    int status = show_store(store) == 0 ? 0 : complain("cannot read", path, store_words(store));
    store_close(store);
    return status;
}

static int is_queue(const struct dirent *entry) {
    size_t size = strlen(entry->d_name);
    return size > 3 && strcmp(entry->d_name + size - 3, ".db") == 0;
}

static int inspect_all(const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_queue, alphasort), status = 0;
    if (count < 0)
        return complain("cannot read the folder", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = NULL, *name = entries[i]->d_name;
        bool is_made = asprintf(&path, "%s/%s", folder, name) >= 0;
        name[strlen(name) - 3] = 0;
        status |= is_made ? inspect_file(name, path) : complain("cannot read", name, strerror(ENOMEM));
        if (is_made)
            free(path);
        free(entries[i]);
    }
    free(entries);
    if (count == 0)
        printf("no queue in %s\n", folder);
    return status;
}

/* ---- export ---- */

/* As RFC 8259 wants it; what is no UTF-8 was no topic of MQTT's either, and each such byte becomes U+FFFD. */
static void print_text(struct span text) {
    bool is_good = text_is_utf8(text);
    putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.at[i];
        if (byte < 0x20 || byte == 0x7f)
            printf("\\u%04x", byte);
        else if (byte >= 0x80 && !is_good)
            fputs("\\ufffd", stdout);
        else if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void print_base64(struct span bytes) {
    char room[BASE64_SIZE(3072)];
    putchar('"');
    while (bytes.size != 0) {
        size_t size = bytes.size < 3072 ? bytes.size : 3072;
        fwrite(room, 1, base64_write(room, span_first(bytes, size)), stdout);
        bytes = span_after(bytes, size);
    }
    putchar('"');
}

struct exporting {
    int64_t last_number;
    size_t count;
};

static void export_row(void *keeper, const struct message *message, const struct store_death *death) {
    struct exporting *exporting = keeper;
    printf("{\"number\":%" PRId64 ",\"lane\":\"%s\",\"topic\":", message->number,
           message->lane == LANE_IN ? "in" : "out");
    print_text(message_topic(message));
    printf(",\"qos\":%u,\"retain\":%s,\"priority\":%d,\"came\":%" PRId64 ",\"expires\":", message->qos,
           message->retain ? "true" : "false", message->priority, message->came_s);
    if (message->expires_s != 0)
        printf("%" PRId64, message->expires_s);
    else
        fputs("null", stdout);
    if (death->died_s != 0) {
        printf(",\"died\":%" PRId64 ",\"reason\":", death->died_s);
        print_text(span_of_text(death->reason));
    }
    if (message->props_size != 0) {
        fputs(",\"properties\":", stdout);
        print_base64(message_props(message));
    }
    fputs(",\"payload\":", stdout);
    print_base64(message_payload(message));
    fputs("}\n", stdout);
    exporting->last_number = message->number;
    exporting->count++;
}

static int export(const struct request *request, const char *path) {
    struct store *store;
    if (store_open(path, false, true, &store) != 0)
        return complain("cannot read", path, store_words(NULL));
    struct exporting exporting = {.count = 1};
    int error = 0;
    while (error == 0 && exporting.count != 0 && !ferror(stdout)) {
        exporting.count = 0;
        const struct store_list next = {request->is_dead, false, exporting.last_number, ROWS_AT_ONCE};
        error = store_list(store, &next, export_row, &exporting);
    }
    int status = error == 0 ? 0 : complain("cannot read all of", path, store_words(store));
    store_close(store);
    if (fflush(stdout) != 0 || ferror(stdout))
        status = complain("cannot write what is in", path, strerror(errno));
    return status;
}

/* ---- purge ---- */

static bool is_agreed(const struct request *request, int64_t count, const char *path) {
    if (request->is_sure)
        return true;
    char answer[16] = "";
    fprintf(stderr, "Delete %" PRId64 " %s of %s? [y/N] ", count,
            request->is_dead ? "dead letters" : "messages", path);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static int purge_store(const struct request *request, struct store *store, const char *path) {
    struct store_depth depth[LANE_COUNT];
    int64_t count = 0;
    if (store_depth(store, LANE_OUT, &depth[LANE_OUT]) != 0 ||
        store_depth(store, LANE_IN, &depth[LANE_IN]) != 0)
        return complain("cannot read", path, store_words(store));
    store_dead_count(store, &count);
    if (!request->is_dead)
        count = depth[LANE_OUT].count + depth[LANE_IN].count;
    if (!is_agreed(request, count, path)) {
        fprintf(stderr, "drawbridge queue: nothing was deleted\n");
        return 1;
    }
    bool has_more = true;
    int error = store_purge(store, request->is_dead, &count);
    while (error == 0 && has_more)
        error = store_shrink(store, &has_more);
    if (error != 0)
        return complain("cannot purge", path, store_words(store));
    printf("%" PRId64 " %s deleted\n", count, request->is_dead ? "dead letters" : "messages");
    return 0;
}

static int purge(const struct request *request, const char *path) {
    struct store *store;
    if (access(path, F_OK) != 0)
        return complain("cannot open", path, strerror(errno));
    if (store_open(path, false, false, &store) != 0)
        return complain("cannot purge", path, store_words(NULL));
    int status = purge_store(request, store, path);
    store_close(store);
    return status;
}

/* ---- the command line ---- */

static int misuse(const char *words) {
    fprintf(stderr, "drawbridge queue: %s\nTry `drawbridge queue --help`.\n", words);
    return 1;
}

static bool read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"dead", no_argument, NULL, 'D'},
                                            {"yes", no_argument, NULL, 'y'},
                                            {NULL, 0, NULL, 0}};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd': request->folder = optarg; break;
        case 'D': request->is_dead = true; break;
        case 'y': request->is_sure = true; break;
        default: fputs("Try `drawbridge queue --help`.\n", stderr); return false;
        }
    }
    request->name = optind < argc ? argv[optind] : NULL;
    if (optind + 1 < argc)
        misuse("one NAME at a time");
    return optind + 1 >= argc;
}

static int perform(const struct request *request, const char *verb) {
    char path[PATH_SIZE];
    bool is_inspect = strcmp(verb, "inspect") == 0;
    if (!is_inspect && strcmp(verb, "export") != 0 && strcmp(verb, "purge") != 0)
        return misuse("it is inspect, export or purge");
    if (request->name == NULL)
        return is_inspect ? inspect_all(request->folder) : misuse("which bridge? A NAME is missing");
    int size = strchr(request->name, '/') != NULL
                   ? snprintf(path, sizeof path, "%s", request->name)
                   : snprintf(path, sizeof path, "%s/%s.db", request->folder, request->name);
    if (size < 0 || (size_t)size >= sizeof path)
        return misuse("the name is too long");
    if (is_inspect)
        return inspect_file(request->name, path);
    return strcmp(verb, "export") == 0 ? export(request, path) : purge(request, path);
}

/* queue_dir of the configuration; where there is none at its usual place, the usual folder. False after
 * complaints. */
static bool find_folder(const char *path, char room[PATH_SIZE]) {
    struct findings findings;
    if (access(path, F_OK) != 0 && strcmp(path, USUAL_CONFIGURATION) == 0) {
        snprintf(room, PATH_SIZE, "%s", DEFAULT_FOLDER);
        return true;
    }
    findings_init(&findings);
    struct conf *conf = conf_read(path, &findings);
    for (const struct finding *one = findings.first; conf == NULL && one != NULL; one = one->next)
        fprintf(stderr, "%s\n", one->text);
    findings_clear(&findings);
    int size = conf == NULL ? -1 : snprintf(room, PATH_SIZE, "%s", conf->queue_dir);
    conf_destroy(conf);
    return size >= 0 && size < PATH_SIZE;
}

int queue_main(const char *path, int argc, char **argv) {
    char folder[PATH_SIZE];
    struct request request = {.folder = NULL};
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2;
    }
    if (!read_options(&request, argc - 1, argv + 1))
        return 1;
    bool is_file = request.name != NULL && strchr(request.name, '/') != NULL;
    if (request.folder == NULL && !is_file && !find_folder(path, folder))
        return 1;
    if (request.folder == NULL)
        request.folder = folder;
    return perform(&request, argv[1]);
}
