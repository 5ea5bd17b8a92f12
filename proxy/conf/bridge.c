#include "conf/bridge.h"

#include "base/text.h"
#include "conf/lexer.h"

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)

#define NAME_SIZE_MAX 128 /* a file's name is made of it */

static bool is_name_byte(uint8_t byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '.' || byte == '_' || byte == '-';
}

static bool is_name(struct span text) {
    for (size_t i = 0; i < text.size; i++)
        if (!is_name_byte(text.at[i]))
            return false;
    return text.size != 0 && text.size <= NAME_SIZE_MAX && text.at[0] != '.';
}

/* "" after a finding. */
static const char *read_name(const struct value_place *place, struct span rest) {
    struct span token;
    char room[TEXT_QUOTED_SIZE];
    if (!lexer_token(&rest, " \t", &token) || token.at[0] == '#') {
        REFUSE(place, "connection has no name; write: connection NAME");
        return "";
    }
    if (!is_name(token)) {
        REFUSE(place,
               "the name of the connection is '%s', but a file is named so: write letters, digits, dots, "
               "underscores and minus signs, at most "
               "%d, and no dot in front",
               text_quote(room, sizeof room, token), NAME_SIZE_MAX);
        return "";
    }
    value_end(place, "connection", rest);
    const char *name = arena_text(place->arena, token);
    if (name == NULL)
        value_out_of_memory(place);
    return name == NULL ? "" : name;
}

struct conf_bridge *bridge_open(struct reading *reading, const struct value_place *place, struct span rest) {
    struct pending_bridge *pending = arena_alloc(reading->arena, sizeof *pending);
    const char *name = read_name(place, rest);
    if (pending == NULL) {
        reading->findings->out_of_memory = true;
        return NULL;
    }
    for (const struct pending_bridge *other = reading->bridges; other != NULL && name[0] != '\0';
         other = other->next)
        if (strcmp(other->bridge.name, name) == 0) {
            REFUSE(place, "connection %s stands at %s:%u already; give each its own name", name,
                   other->bridge.file, other->bridge.line);
            break;
        }
    pending->bridge = reading->bridge_defaults;
    pending->bridge.file = place->file;
    pending->bridge.line = place->line;
    pending->bridge.name = name;
    *reading->last_bridge = pending;
    reading->last_bridge = &pending->next;
    reading->conf->bridge_count++;
    return &pending->bridge;
}

void bridge_read(struct conf_bridge *bridge, const struct value_place *place, const struct conf_row *option,
                 const char *keyword, struct span rest) {
    struct span left = rest, token;
    if (option->option == CONF_start_type && lexer_token(&left, " ", &token) &&
        span_is_text(token, "manual")) {
        REFUSE(place, "start_type manual is not possible, for nobody could start the bridge (mosquitto "
                      "refuses it as well); write "
                      "automatic, lazy or once");
        bridge->origins[CONF_start_type] = (struct conf_origin){place->file, place->line};
        return;
    }
    value_read(place, option, keyword, rest, bridge, &bridge->origins[option->option]);
}

/* Gives a bridge what was set for all, where it has nothing of its own. */
static void inherit(struct conf_bridge *bridge, const struct conf_bridge *bridged) {
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (!conf_row_is_of(row, CONF_HOME_BRIDGE) || row->scope != CONF_SCOPE_BRIDGED ||
            bridge->origins[row->option].line != 0 || bridged->origins[row->option].line == 0)
            continue;
        memcpy(conf_row_field(row, bridge), conf_row_value(row, bridged), row->size);
        bridge->origins[row->option] = bridged->origins[row->option];
    }
}

#define WARN_AT(findings, bridge, option, ...)                                                               \
    findings_add(findings, FINDING_WARNING, (bridge)->origins[option].file, (bridge)->origins[option].line,  \
                 __VA_ARGS__)

/* What mosquitto takes and makes larger. */
static void settle_numbers(struct conf_bridge *bridge, struct findings *findings) {
    if (bridge->keepalive_interval < 5) {
        WARN_AT(findings, bridge, CONF_keepalive_interval,
                "keepalive_interval is %d and counts as 5, the least", (int)bridge->keepalive_interval);
        bridge->keepalive_interval = 5;
    }
    if (bridge->threshold < 1) {
        WARN_AT(findings, bridge, CONF_threshold, "threshold is 0 and counts as 1, the least");
        bridge->threshold = 1;
    }
    if (bridge->idle_timeout_ms == 0) {
        WARN_AT(findings, bridge, CONF_idle_timeout_ms, "idle_timeout is 0 and counts as 1s");
        bridge->idle_timeout_ms = 1000;
    }
}

/* What mosquitto has for its clients and its bridges is for the broker alone where there is no bridge. */
static void note_global(struct reading *reading) {
    static const enum conf_option options[] = {CONF_max_inflight_messages, CONF_max_queued_messages,
                                               CONF_max_queued_bytes, CONF_queue_qos0_messages,
                                               CONF_upgrade_outgoing_qos};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (reading->conf->origins[options[i]].line != 0)
            reading_note_broker(reading, reading->conf->origins[options[i]],
                                conf_row_of(options[i])->keyword);
}

void bridge_settle(struct reading *reading) {
    struct conf *conf = reading->conf;
    if (conf->bridge_count == 0) {
        note_global(reading);
        return;
    }
    conf->bridges = arena_alloc(reading->arena, conf->bridge_count * sizeof *conf->bridges);
    if (conf->bridges == NULL) {
        reading->findings->out_of_memory = true;
        conf->bridge_count = 0;
        return;
    }
    size_t i = 0;
    for (const struct pending_bridge *pending = reading->bridges; pending != NULL; pending = pending->next) {
        struct conf_bridge *bridge = &conf->bridges[i++];
        *bridge = pending->bridge;
        inherit(bridge, &conf->bridged);
        settle_numbers(bridge, reading->findings);
        bridge_settle_profile(bridge, reading->findings);
        if (bridge->origins[CONF_local_cleansession].line == 0)
            bridge->local_cleansession = bridge->cleansession;
    }
}
