#include "control/explain.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "base/units.h"
#include "conf/rows.h"
#include "control/explain_bridge.h"
#include "control/generation.h"
#include "crypto/random.h"
#include "mqtt/topic.h"
#include "session/rehearsal.h"

enum { STATUS_ALLOWED, STATUS_REFUSED, STATUS_WRONG };

#define CERTIFICATE_SIZE_MAX (1024 * 1024)

struct question {
    struct rehearsal rehearsal;
    const char *certificate, *address, *psk_identity;
    int32_t port;    /* of the listener; -1: not said */
    int32_t version; /* 0: not said */
};

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("drawbridge explain: ", stderr);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs("\nUsage: drawbridge [-c FILE] explain [--user USER] [--clientid ID] [--cert FILE] [--psk-identity "
          "ID]\n"
          "           publish|subscribe|deliver TOPIC | connect [TOPIC OF THE WILL]\n"
          "           (a topic of - reads topics from standard input, one per line)\n"
          "           [--qos 0|1|2] [--retain] [--listener PORT] [--address ADDRESS] [--mqtt 3|4|5]\n"
          "       drawbridge [-c FILE] explain bridge NAME in|out TOPIC\n",
          stderr);
}

/* ---- the question ---- */

static bool read_act(const char *word, enum rehearsal_act *act) {
    static const char *const words[] = {[REHEARSE_CONNECT] = "connect",
                                        [REHEARSE_PUBLISH] = "publish",
                                        [REHEARSE_SUBSCRIBE] = "subscribe",
                                        [REHEARSE_DELIVER] = "deliver"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *act = (enum rehearsal_act)i;
            return true;
        }
    return false;
}

/* False after a complaint. */
static bool read_option(struct question *question, const char *name, const char *value) {
    struct rehearsal *rehearsal = &question->rehearsal;
    struct span text = span_of_text(value);
    int32_t number = -1;
    (void)units_read_int(text, &number);
    bool is_good = true;
    if (strcmp(name, "--user") == 0) {
        rehearsal->has_username = true;
        rehearsal->username = text;
        is_good = text.size <= UINT16_MAX;
    } else if (strcmp(name, "--clientid") == 0) {
        rehearsal->client_id = text;
        is_good = text.size <= UINT16_MAX;
    } else if (strcmp(name, "--cert") == 0) {
        question->certificate = value;
    } else if (strcmp(name, "--psk-identity") == 0) {
        question->psk_identity = value;
    } else if (strcmp(name, "--address") == 0) {
        is_good = address_read(&rehearsal->address, value, 0);
    } else if (strcmp(name, "--qos") == 0) {
        is_good = number >= 0 && number <= 2;
        rehearsal->qos = (uint8_t)number;
    } else if (strcmp(name, "--listener") == 0) {
        is_good = number >= 0 && number <= UINT16_MAX;
        question->port = number;
    } else if (strcmp(name, "--mqtt") == 0) {
        is_good = number >= 3 && number <= 5;
        question->version = number;
    } else {
        complain("unknown option %s", name);
        return false;
    }
    if (!is_good)
        complain("%s does not take this value", name);
    return is_good;
}

static bool check_topic(const struct rehearsal *rehearsal) {
    bool is_connect = rehearsal->act == REHEARSE_CONNECT;
    if (rehearsal->topic.size == 0) {
        if (!is_connect)
            complain("%s is missing", rehearsal->act == REHEARSE_SUBSCRIBE ? "the filter" : "the topic");
        return is_connect;
    }
    bool is_filter = rehearsal->act == REHEARSE_SUBSCRIBE;
    bool is_good = is_filter ? mqtt_topic_is_filter(rehearsal->topic) : mqtt_topic_is_name(rehearsal->topic);
    if (!is_good)
        complain("this is no valid %s", is_filter ? "topic filter" : "topic name");
    return is_good;
}

static bool read_question(struct question *question, int argc, char **argv) {
    int word_count = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--retain") == 0) {
            question->rehearsal.is_retained = true;
        } else if (strncmp(word, "--", 2) == 0) {
            if (i + 1 == argc) {
                complain("%s needs a value", word);
                return false;
            }
            if (!read_option(question, word, argv[++i]))
                return false;
        } else if (word_count == 0 && !read_act(word, &question->rehearsal.act)) {
            complain("%s is no publish, subscribe, deliver, connect or bridge", word);
            return false;
        } else if (word_count == 1) {
            question->rehearsal.topic = span_of_text(word);
        } else if (word_count > 1) {
            complain("unexpected %s", word);
            return false;
        }
        word_count += strncmp(word, "--", 2) != 0;
    }
    if (word_count == 0) {
        complain("what may it do? publish, subscribe, deliver or connect; or which bridge?");
        return false;
    }
    return check_topic(&question->rehearsal);
}

/* ---- the stage ---- */

static struct generation *load(const char *path) {
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read(path, &findings);
    struct generation *generation = conf == NULL ? NULL : generation_load(conf, NULL, &findings);
    for (const struct finding *one = findings.first; generation == NULL && one != NULL; one = one->next)
        if (one->kind == FINDING_ERROR)
            fprintf(stderr, "%s\n", one->text);
    findings_clear(&findings);
    return generation;
}

static bool choose_listener(struct question *question, const struct generation *generation) {
    size_t found = generation->terms_count;
    for (size_t i = generation->terms_count; i != 0; i--)
        if (question->port == -1 || generation->terms[i - 1].listener->port == question->port)
            found = i - 1;
    question->rehearsal.listener_index = found;
    if (found == generation->terms_count)
        complain("no listener has this port");
    else if (question->port == -1 && generation->terms_count > 1)
        complain("there are several listeners: say which with --listener PORT");
    else
        return true;
    return false;
}

/* The newest version that the listener accepts, if none was asked for. */
static void choose_version(struct question *question, const struct conf_listener *listener) {
    static const enum mqtt_version versions[] = {MQTT_VERSION_5, MQTT_VERSION_311, MQTT_VERSION_31};
    enum mqtt_version chosen = (enum mqtt_version)question->version;
    for (size_t i = 0; i < 3 && chosen == MQTT_VERSION_NONE; i++)
        if ((listener->accept_protocol_versions & CONF_VERSION(versions[i])) != 0)
            chosen = versions[i];
    question->rehearsal.version = chosen == MQTT_VERSION_NONE ? MQTT_VERSION_5 : chosen;
}

/* The start of the file; what is behind the first megabyte is no certificate. Freed by the caller. */
static uint8_t *read_certificate(const char *path, size_t *size) {
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = file == NULL ? NULL : malloc(CERTIFICATE_SIZE_MAX);
    *size = bytes == NULL ? 0 : fread(bytes, 1, CERTIFICATE_SIZE_MAX, file);
    if (file != NULL)
        fclose(file);
    return bytes;
}

/* The same with a pre-shared key. */
static bool put_on_key(struct question *question, const struct terms *terms, int *status) {
    struct engine *engine = question->rehearsal.engine = engine_accept(terms->tls);
    *status = STATUS_WRONG;
    if (engine == NULL)
        complain("memory is out");
    const char *identity = question->psk_identity;
    const char *trouble = engine == NULL     ? ""
                          : identity == NULL ? "it has no identity (--psk-identity)"
                                             : engine_pretend_psk(engine, span_of_text(identity));
    if (engine != NULL && trouble != NULL) {
        printf("refuse: the device is refused by the TLS handshake: %s\n", trouble);
        *status = STATUS_REFUSED;
    }
    return trouble == NULL;
}

/* The TLS side of the device. False: *status says how it ends here. */
static bool put_on_certificate(struct question *question, const struct terms *terms, int *status) {
    const struct conf_listener *listener = terms->listener;
    const char *path = question->certificate;
    if (listener->psk_hint != NULL)
        return put_on_key(question, terms, status);
    *status = STATUS_WRONG;
    if (terms->tls == NULL && listener->require_certificate == CONF_CERTIFICATE_REQUIRED && path == NULL) {
        struct conf_origin origin = conf_listener_origin(listener, CONF_require_certificate);
        printf("refuse %s:%u: %s\n", origin.file, origin.line,
               proxy_fault_sentence(PROXY_FAULT_NO_CERTIFICATE));
        *status = STATUS_REFUSED;
        return false;
    }
    if (terms->tls == NULL && listener->require_certificate != CONF_CERTIFICATE_NONE && path != NULL) {
        complain("the proxy in front of this listener names the certificate's owner, which --cert cannot "
                 "stand for");
        return false;
    }
    if (terms->tls == NULL || listener->require_certificate == CONF_CERTIFICATE_NONE) {
        if (path != NULL)
            fprintf(stderr,
                    "Note: this listener does not ask for a certificate, so --cert changes nothing.\n");
        path = NULL;
    } else if (path == NULL && listener->require_certificate != CONF_CERTIFICATE_OPTIONAL) {
        struct conf_origin origin = conf_listener_origin(listener, CONF_require_certificate);
        printf("refuse %s:%u: a device without a certificate is refused by the TLS handshake\n", origin.file,
               origin.line);
        *status = STATUS_REFUSED;
        return false;
    }
    struct engine *engine = terms->tls == NULL ? NULL : engine_accept(terms->tls);
    question->rehearsal.engine = engine;
    if (path == NULL)
        return true;
    size_t size;
    uint8_t *bytes = read_certificate(path, &size);
    const char *trouble =
        bytes == NULL || engine == NULL ? NULL : engine_pretend(engine, span_of(bytes, size));
    bool is_read = bytes != NULL && engine != NULL;
    free(bytes);
    if (is_read && trouble == NULL)
        return true;
    if (!is_read) {
        complain("%s cannot be read", path);
    } else {
        printf("refuse: the certificate is refused by the TLS handshake: %s\n", trouble);
        *status = STATUS_REFUSED;
    }
    return false;
}

/* ---- the answer ---- */

static bool is_word_byte(char byte) {
    return isalnum((unsigned char)byte) || byte == '_' || byte == '.';
}

static bool has_word(const char *text, const char *word) {
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += size)
        if ((at == text || !is_word_byte(at[-1])) && !is_word_byte(at[size]))
            return true;
    return false;
}

/* The option that the words name; every refusal of an option does. A word of everyday English, such as
 * "user", is none. */
static struct conf_origin origin_of_words(const struct conf *conf, const struct conf_listener *listener,
                                          const char *words) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind != CONF_ROW_OPTION || strchr(row->keyword, '_') == NULL ||
            !has_word(words, row->keyword))
            continue;
        struct conf_origin origin =
            row->scope == CONF_SCOPE_GLOBAL ? conf->origins[row->option] : listener->origins[row->option];
        if (origin.line != 0)
            return origin;
    }
    return (struct conf_origin){NULL, 0};
}

static struct conf_origin origin_of(const struct conf *conf, const struct conf_listener *listener,
                                    const struct rehearsed *told) {
    if (told->file != NULL)
        return (struct conf_origin){told->file, told->line};
    struct conf_origin origin = origin_of_words(conf, listener, told->words);
    if (origin.line != 0)
        return origin;
    switch (told->violation) {
    case VIOLATION_QOS_NOT_SUPPORTED: return listener->origins[CONF_max_qos];
    case VIOLATION_RETAIN_NOT_SUPPORTED: return listener->origins[CONF_retain_available];
    case VIOLATION_PACKET_TOO_LARGE: return listener->origins[CONF_max_packet_size];
    default: return origin;
    }
}

static int answer(const struct question *question, const struct conf *conf,
                  const struct conf_listener *listener, const struct rehearsed *told) {
    struct conf_origin origin = origin_of(conf, listener, told);
    /* What no rule grants, the whole file refuses. $SYS and $share are refused without any file. */
    if (!told->is_allowed && origin.line == 0 &&
        (has_word(told->words, "rule") || has_word(told->words, "patterns")))
        origin = listener->origins[CONF_acl_file];
    printf("%s", told->is_allowed ? "allow" : "refuse");
    if (origin.line != 0)
        printf(" %s:%u", origin.file, origin.line);
    if (told->words[0] != '\0')
        printf(": %s", told->words);
    if (told->is_allowed && question->rehearsal.act == REHEARSE_SUBSCRIBE &&
        told->qos < question->rehearsal.qos)
        printf("%s QoS %u instead of %u", told->words[0] == '\0' ? ":" : ",", told->qos,
               question->rehearsal.qos);
    printf("\n");
    return told->is_allowed ? STATUS_ALLOWED : STATUS_REFUSED;
}

/* One topic: its answer, and the status of the worst one so far. */
static int ask(const struct question *question, int worst) {
    const struct rehearsal *rehearsal = &question->rehearsal;
    struct rehearsed told;
    int status = STATUS_WRONG;
    if (rehearse(rehearsal, &told))
        status = answer(question, rehearsal->generation->conf,
                        rehearsal->generation->terms[rehearsal->listener_index].listener, &told);
    else
        fprintf(stderr, "drawbridge explain: memory is out\n");
    return status > worst ? status : worst;
}

/* A topic of "-": one per line of standard input, and an answer per line. */
static int ask_all(struct question *question) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int worst = STATUS_ALLOWED;
    while (worst != STATUS_WRONG && (size = getline(&line, &room, stdin)) > 0) {
        if (line[size - 1] == '\n')
            size--;
        question->rehearsal.topic = span_of(line, (size_t)size);
        worst = check_topic(&question->rehearsal) ? ask(question, worst) : STATUS_WRONG;
    }
    free(line);
    return worst;
}

int explain_main(const char *path, int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "bridge") == 0)
        return explain_bridge_main(path, argc - 1, argv + 1);
    struct question question = {.port = -1};
    uint8_t key[16];
    int status = STATUS_WRONG;
    (void)address_read(&question.rehearsal.address, "127.0.0.1", 0);
    if (!read_question(&question, argc, argv))
        return STATUS_WRONG;
    const struct log_settings no_log = {.dests = LOG_DEST_NONE};
    (void)log_configure(&no_log);
    if (random_fill(key, sizeof key))
        hash_seed(key);
    struct generation *generation = load(path);
    if (generation == NULL)
        return STATUS_WRONG;
    question.rehearsal.generation = generation;
    if (choose_listener(&question, generation)) {
        const struct terms *terms = &generation->terms[question.rehearsal.listener_index];
        choose_version(&question, terms->listener);
        if (put_on_certificate(&question, terms, &status))
            status = span_is_text(question.rehearsal.topic, "-") ? ask_all(&question)
                                                                 : ask(&question, STATUS_ALLOWED);
        engine_destroy(question.rehearsal.engine);
    }
    generation_drop(generation);
    return status;
}
