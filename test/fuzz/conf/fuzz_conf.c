/* Any bytes as a configuration: either findings refuse it, or a configuration with sane values comes back.
 * A second reading of the same bytes gives the same values. Since random text is nearly always refused, an
 * input that begins with ~ is taken as a choice of keywords and values instead. */
#include "conf/diff.h"
#include "conf/rows.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static void check_row(const struct conf_row *row, const void *home) {
    const void *value = conf_row_value(row, home);
    if (row->type == CONF_TYPE_INT) {
        int32_t number = *(const int32_t *)value;
        CHECK(number >= row->low && number <= row->high);
    } else if (row->type == CONF_TYPE_DURATION) {
        uint64_t value_ms = *(const uint64_t *)value;
        CHECK(value_ms >= (uint64_t)row->low && value_ms <= (uint64_t)row->high);
    } else if (conf_row_is_text(row) && *(const char *const *)value != NULL) {
        CHECK(**(const char *const *)value != 0);
    }
}

static void check_listener(const struct conf *conf, const struct conf_listener *listener) {
    CHECK(listener->backend == conf->backend);
    CHECK((listener->port == 0) == (listener->path != NULL));
    CHECK(listener->is_default_local || (listener->line != 0 && listener->file != NULL));
    CHECK(listener->protocol == CONF_PROTOCOL_MQTT);
    CHECK(listener->accept_protocol_versions != 0);
    CHECK((listener->certfile == NULL) == (listener->keyfile == NULL));
    if (listener->require_certificate || listener->use_identity_as_username ||
        listener->use_subject_as_username)
        CHECK(conf_listener_is_tls(listener));
    if (listener->allow_anonymous && !listener->is_default_local)
        CHECK(listener->origins[CONF_allow_anonymous].line != 0); /* never by itself */
    for (size_t i = 0; i < conf_row_count; i++)
        if (conf_row_is_of(&conf_rows[i], CONF_HOME_LISTENER))
            check_row(&conf_rows[i], listener);
}

static void check_bridge(const struct conf_bridge *bridge) {
    CHECK(bridge->line != 0 && bridge->file != NULL && bridge->name[0] != 0 && bridge->name[0] != '.');
    CHECK(strchr(bridge->name, '/') == NULL);
    CHECK(bridge->address != NULL && bridge->address->count != 0 && bridge->topic != NULL);
    for (size_t i = 0; i < bridge->address->count; i++)
        CHECK(bridge->address->list[i].port != 0 && bridge->address->list[i].host[0] != 0);
    for (const struct conf_route *route = bridge->topic; route != NULL; route = route->next) {
        CHECK(route->qos <= 2 && route->directions != 0);
        CHECK(route->is_remap ? route->source_filter[0] != 0 && route->target[0] != 0
                              : route->local_filter[0] != 0 && route->remote_filter[0] != 0);
    }
    CHECK(bridge->restart_timeout.base_s != 0 &&
          bridge->restart_timeout.cap_s >= bridge->restart_timeout.base_s);
    CHECK(bridge->keepalive_interval >= 5 && bridge->threshold >= 1 && bridge->idle_timeout_ms >= 1);
    for (size_t i = 0; i < conf_row_count; i++)
        if (conf_row_is_of(&conf_rows[i], CONF_HOME_BRIDGE))
            check_row(&conf_rows[i], bridge);
}

static void check_conf(const struct conf *conf) {
    CHECK(conf->backend != NULL && (conf->backend->host == NULL) != (conf->backend->path == NULL));
    CHECK(conf->backend->host == NULL || (conf->backend->port != 0 && conf->backend->host[0] != 0));
    CHECK((conf->listener_count != 0 || conf->bridge_count != 0) && conf->file_count == 1);
    for (size_t i = 0; i < conf->listener_count; i++)
        check_listener(conf, &conf->listeners[i]);
    for (size_t i = 0; i < conf->bridge_count; i++)
        check_bridge(&conf->bridges[i]);
    for (size_t i = 0; i < conf_row_count; i++)
        if (conf_row_is_of(&conf_rows[i], CONF_HOME_PROGRAM))
            check_row(&conf_rows[i], conf);
}

static void check_findings(const struct findings *findings) {
    for (const struct finding *finding = findings->first; finding != NULL; finding = finding->next)
        for (const char *at = finding->text; *at != 0; at++)
            CHECK((unsigned char)*at >= 0x20 && *at != 0x7F); /* harmless in a log */
}

static void no_change(void *keeper, const struct conf_change *change) {
    (void)keeper;
    fprintf(stderr, "%s: %s -> %s\n", change->keyword, change->from, change->to);
    abort();
}

static void read_bytes(const void *bytes, size_t size) {
    struct findings findings;
    findings_init(&findings);
    struct conf *conf = conf_read_text("folder/fuzz.conf", span_of(bytes, size), &findings);
    CHECK((conf == NULL) == findings_refuse(&findings));
    CHECK(conf != NULL || findings.first != NULL);
    check_findings(&findings);
    if (conf != NULL) {
        check_conf(conf);
        struct conf *again = conf_read_text("folder/fuzz.conf", span_of(bytes, size), &findings);
        CHECK(again != NULL);
        conf_diff(conf, again, no_change, NULL);
        conf_destroy(again);
    }
    conf_destroy(conf);
    findings_clear(&findings);
}

/* Two bytes choose a line. */
static void read_choices(const uint8_t *bytes, size_t size) {
    static const char *const values[] = {"true",
                                         "false",
                                         "1",
                                         "0",
                                         "2",
                                         "8883",
                                         "127.0.0.1",
                                         "8883 ::1",
                                         "0 path",
                                         "x",
                                         "mosquitto_acl_file.so",
                                         "x mosquitto_acl_file.so",
                                         "10s",
                                         "a/# both 1 \"\" b/",
                                         "\"a +/+/#\" out 2 ${topic:-}/$1/$#",
                                         "60 10 3",
                                         "tlsv1.3"};
    char *text = NULL;
    size_t text_size = 0;
    FILE *out = open_memstream(&text, &text_size);
    CHECK(out != NULL);
    fprintf(out, "backend h:1\n");
    for (size_t i = 0; i + 1 < size; i += 2) {
        const struct conf_row *row = &conf_rows[(bytes[i] | (bytes[i + 1] & 0x40u) << 2) % conf_row_count];
        const char *value = values[bytes[i + 1] % (sizeof values / sizeof values[0])];
        bool is_beginning = row->keyword[strlen(row->keyword) - 1] == '_';
        if (row->kind != CONF_ROW_SECTION)
            fprintf(out, "%s%s %s\n", row->keyword, is_beginning ? "acl_file" : "",
                    row->initial != NULL && (bytes[i + 1] & 0x80) != 0 ? row->initial : value);
    }
    fclose(out);
    read_bytes(text, text_size);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size != 0 && bytes[0] == '~')
        read_choices(bytes + 1, size - 1);
    else
        read_bytes(bytes, size);
    return 0;
}
