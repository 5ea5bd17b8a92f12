#include "conf/words.h"

#include "base/text.h"
#include "base/units.h"
#include "conf/lexer.h"

#include <stdio.h>

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define NOTE(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_NOTICE, (place)->file, (place)->line, __VA_ARGS__)

#define PORT_DEFAULT    1883
#define HOST_SIZE_MAX   255 /* of a domain name */
#define SOCKET_PATH_MAX 107 /* sun_path holds 108 bytes with the NUL */

struct word {
    const char *word;
    unsigned bit;
};

static const struct word dests[] = {{"stderr", LOG_DEST_STDERR},
                                    {"stdout", LOG_DEST_STDOUT},
                                    {"syslog", LOG_DEST_SYSLOG},
                                    {"file", LOG_DEST_FILE}};

/* internal and websockets are the broker's: known, and nothing of ours. */
static const struct word kinds[] = {{"error", LOG_KIND_ERROR},
                                    {"warning", LOG_KIND_WARNING},
                                    {"notice", LOG_KIND_NOTICE},
                                    {"information", LOG_KIND_INFORMATION},
                                    {"debug", LOG_KIND_DEBUG},
                                    {"subscribe", LOG_KIND_SUBSCRIBE},
                                    {"unsubscribe", LOG_KIND_UNSUBSCRIBE},
                                    {"internal", 0},
                                    {"websockets", 0}};

static const struct word versions[] = {
    {"3", CONF_VERSION(3)}, {"4", CONF_VERSION(4)}, {"5", CONF_VERSION(5)}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct word *find_word(const struct word *words, size_t count, struct span token) {
    for (size_t i = 0; i < count; i++)
        if (span_is_text(token, words[i].word))
            return &words[i];
    return NULL;
}

static bool refuse_word(const struct value_place *place, enum conf_option option, const char *keyword,
                        struct span token) {
    char room[TEXT_QUOTED_SIZE];
    if (token.size == 0)
        REFUSE(place, "%s has no value; write: %s %s", keyword, keyword, conf_row_of(option)->argument);
    else
        REFUSE(place, "%s is '%s', but may only be %s", keyword, text_quote(room, sizeof room, token),
               conf_row_of(option)->argument);
    return false;
}

static bool read_dest_file(const struct value_place *place, const char *keyword, struct span rest,
                           struct conf *conf) {
    if (conf->log_file != NULL) {
        REFUSE(place,
               "%s file stands there already and there can be only one log file; remove one of the lines",
               keyword);
        return false;
    }
    const char *path = value_read_string(place, "log_dest file", rest);
    if (path != NULL)
        path = value_resolve(place, path);
    if (path == NULL)
        return false;
    conf->log_file = path;
    return true;
}

/* The first log_dest line takes the place of the default, the next ones add. */
static bool read_dest(const struct value_place *place, const char *keyword, struct span rest,
                      struct conf *conf) {
    struct span token;
    lexer_token(&rest, " ", &token);
    if (span_is_text(token, "topic") || span_is_text(token, "dlt")) {
        NOTE(place,
             "%s %.*s is for the broker; Drawbridge logs to its other log_dest lines, or else to stderr",
             keyword, SPAN_PRINT(token));
        return true;
    }
    bool is_first = conf->origins[CONF_log_dest].line == 0;
    if (span_is_text(token, "none")) {
        value_end(place, keyword, rest);
        conf->log_dest = LOG_DEST_NONE;
        conf->log_file = NULL;
    } else {
        const struct word *word = find_word(dests, COUNT(dests), token);
        if (word == NULL)
            return refuse_word(place, CONF_log_dest, keyword, token);
        if (word->bit == LOG_DEST_FILE) {
            if (!read_dest_file(place, keyword, rest, conf))
                return false;
        } else if (word->bit !=
                   LOG_DEST_STDOUT) { /* mosquitto has `stdout unbuffered`, which we always are */
            value_end(place, keyword, rest);
        }
        conf->log_dest = (is_first ? 0 : conf->log_dest) | word->bit;
    }
    if (place->file != NULL)
        conf->origins[CONF_log_dest] = (struct conf_origin){place->file, place->line};
    return true;
}

static bool read_kind(const struct value_place *place, const char *keyword, struct span rest,
                      struct conf *conf) {
    struct span token;
    lexer_token(&rest, " ", &token);
    bool is_first = conf->origins[CONF_log_type].line == 0;
    const struct word *word = find_word(kinds, COUNT(kinds), token);
    if (span_is_text(token, "none"))
        conf->log_type = 0;
    else if (span_is_text(token, "all"))
        conf->log_type = LOG_KINDS_ALL;
    else if (word == NULL)
        return refuse_word(place, CONF_log_type, keyword, token);
    else
        conf->log_type = (is_first ? 0 : conf->log_type) | word->bit;
    value_end(place, keyword, rest);
    return true;
}

/* The only list that tabs separate, too. */
static bool read_versions(const struct value_place *place, const char *keyword, struct span rest,
                          unsigned *mask) {
    struct span token;
    unsigned found = 0;
    while (lexer_token(&rest, ", \t", &token) && token.at[0] != '#') {
        const struct word *word = find_word(versions, COUNT(versions), token);
        if (word == NULL) {
            char room[TEXT_QUOTED_SIZE];
            REFUSE(place, "%s names '%s', but the versions are 3 (MQTT 3.1), 4 (3.1.1) and 5", keyword,
                   text_quote(room, sizeof room, token));
            return false;
        }
        found |= word->bit;
    }
    if (found == 0)
        return refuse_word(place, CONF_accept_protocol_versions, keyword, SPAN_NONE);
    *mask = found;
    return true;
}

bool words_read_mask(const struct value_place *place, enum conf_option option, const char *keyword,
                     struct span rest, void *home) {
    switch (option) {
    case CONF_log_dest: return read_dest(place, keyword, rest, home);
    case CONF_log_type: return read_kind(place, keyword, rest, home);
    case CONF_accept_protocol_versions:
        return read_versions(place, keyword, rest, &((struct conf_listener *)home)->accept_protocol_versions);
    default: return false;
    }
}

const char *words_print_mask(enum conf_option option, const void *home, char *room, size_t room_size) {
    const struct word *words = option == CONF_log_dest ? dests : option == CONF_log_type ? kinds : versions;
    size_t count = option == CONF_log_dest   ? COUNT(dests)
                   : option == CONF_log_type ? COUNT(kinds)
                                             : COUNT(versions);
    unsigned mask = *(const unsigned *)conf_row_value(conf_row_of(option), home);
    size_t used = 0;
    room[0] = 0;
    for (size_t i = 0; i < count; i++)
        if ((mask & words[i].bit) != 0 && used < room_size)
            used +=
                (size_t)snprintf(room + used, room_size - used, "%s%s", used == 0 ? "" : " ", words[i].word);
    if (used == 0)
        snprintf(room, room_size, "none");
    return room;
}

/* What an address is made of, before it is copied. */
struct address {
    struct span host;
    uint16_t port; /* 0: none was written */
};

static bool read_port(const struct value_place *place, const char *keyword, struct span text,
                      uint16_t *port) {
    int32_t value;
    bool is_number = text.size != 0 && text.at[0] >= '0' && text.at[0] <= '9' && units_read_int(text, &value);
    if (is_number && value >= 1 && value <= UINT16_MAX) {
        *port = (uint16_t)value;
        return true;
    }
    char room[TEXT_QUOTED_SIZE];
    REFUSE(place, "the port of %s is '%s', but must be a number from 1 to 65535", keyword,
           text_quote(room, sizeof room, text));
    return false;
}

static bool is_host(struct span host) {
    if (host.size == 0 || host.size > HOST_SIZE_MAX)
        return false;
    for (size_t i = 0; i < host.size; i++)
        if (host.at[i] <= ' ' || host.at[i] == 0x7F || strchr("/@[]\"'\\,;", host.at[i]) != NULL)
            return false;
    return true;
}

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT into *address, which borrows from `written`. */
static bool split_address(const struct value_place *place, const char *keyword, const char *written,
                          struct address *address) {
    struct span text = span_of_text(written);
    char room[TEXT_QUOTED_SIZE];
    if (strstr(written, "://") != NULL) {
        REFUSE(place, "%s is '%s', a URL; write only %s HOST:PORT", keyword,
               text_quote(room, sizeof room, text), keyword);
        return false;
    }
    *address = (struct address){.host = text};
    struct span behind = SPAN_NONE;
    const uint8_t *colon = text.size == 0 ? NULL : memchr(text.at, ':', text.size);
    if (text.size != 0 && text.at[0] == '[') {
        const uint8_t *bracket = memchr(text.at, ']', text.size);
        size_t size = bracket == NULL ? 0 : (size_t)(bracket - text.at);
        address->host = bracket == NULL ? SPAN_NONE : span_of(text.at + 1, size - 1);
        behind = bracket == NULL ? SPAN_NONE : span_after(text, size + 1);
        if (!span_has_byte(address->host, ':'))
            address->host = SPAN_NONE; /* brackets are for IPv6 alone */
    } else if (colon != NULL) {
        size_t size = (size_t)(colon - text.at);
        address->host = span_first(text, size);
        behind = span_after(text, size);
        if (span_has_byte(span_after(behind, 1), ':')) {
            REFUSE(place, "%s '%s' has several colons; put an IPv6 address into brackets, such as [::1]:1884",
                   keyword, text_quote(room, sizeof room, text));
            return false;
        }
    }
    if (!is_host(address->host) || (behind.size != 0 && behind.at[0] != ':')) {
        REFUSE(place, "%s is '%s', which is no address; write: %s HOST:PORT, such as 127.0.0.1:1884", keyword,
               text_quote(room, sizeof room, text), keyword);
        return false;
    }
    return behind.size == 0 || read_port(place, keyword, span_after(behind, 1), &address->port);
}

static bool read_unix_backend(const struct value_place *place, const char *keyword, struct span path,
                              struct conf_backend *backend) {
    if (path.size == 0) {
        REFUSE(place, "%s unix: has no path behind it; write the path of the broker's socket", keyword);
        return false;
    }
    const char *text = arena_text(place->arena, path);
    backend->path = text == NULL ? NULL : value_resolve(place, text);
    if (backend->path == NULL) {
        value_out_of_memory(place);
        return false;
    }
    if (strlen(backend->path) <= SOCKET_PATH_MAX)
        return true;
    REFUSE(place, "the path of %s is longer than %d bytes, more than a Unix socket can have; shorten it",
           keyword, SOCKET_PATH_MAX);
    return false;
}

static bool read_host_backend(const struct value_place *place, const char *keyword, const char *text,
                              struct conf_backend *backend) {
    struct address address;
    if (!split_address(place, keyword, text, &address))
        return false;
    backend->host = arena_text(place->arena, address.host);
    backend->port = address.port == 0 ? PORT_DEFAULT : address.port;
    if (backend->host == NULL)
        value_out_of_memory(place);
    return backend->host != NULL;
}

bool words_read_backend(const struct value_place *place, const char *keyword, struct span rest,
                        const struct conf_backend **field) {
    const struct span prefix = SPAN_LITERAL("unix:");
    const char *text = value_read_string(place, keyword, rest);
    if (text == NULL)
        return false;
    struct conf_backend *backend = arena_alloc(place->arena, sizeof *backend);
    if (backend == NULL) {
        value_out_of_memory(place);
        return false;
    }
    *backend = (struct conf_backend){.file = place->file, .line = place->line, .text = text};
    struct span value = span_of_text(text);
    bool is_unix = span_begins_with(value, prefix);
    if (is_unix ? !read_unix_backend(place, keyword, span_after(value, prefix.size), backend)
                : !read_host_backend(place, keyword, text, backend))
        return false;
    *field = backend;
    return true;
}

bool words_read_endpoint(const struct value_place *place, const char *keyword, struct span rest,
                         const struct conf_endpoint **field) {
    const char *text = value_read_string(place, keyword, rest);
    struct address address;
    if (text == NULL || !split_address(place, keyword, text, &address))
        return false;
    if (address.port == 0) {
        REFUSE(place, "%s has no port; write: %s HOST:PORT, such as 127.0.0.1:9344", keyword, keyword);
        return false;
    }
    struct conf_endpoint *endpoint = arena_alloc(place->arena, sizeof *endpoint);
    const char *host = arena_text(place->arena, address.host);
    if (endpoint == NULL || host == NULL) {
        value_out_of_memory(place);
        return false;
    }
    *endpoint = (struct conf_endpoint){
        .file = place->file, .line = place->line, .text = text, .host = host, .port = address.port};
    *field = endpoint;
    return true;
}
