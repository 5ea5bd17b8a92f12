#include "conf/host.h"

#include "base/text.h"
#include "conf/lexer.h"

#define NAME_SIZE_MAX 253 /* RFC 1035 2.3.4 */

static const enum conf_option allowed[] = {
    CONF_certfile,
    CONF_keyfile,
    CONF_keyfile_password_file,
    CONF_ocsp_file,
    CONF_cafile,
    CONF_capath,
    CONF_crlfile,
    CONF_crl_check,
    CONF_require_certificate,
    CONF_allow_issuer,
    CONF_allow_ou,
    CONF_allow_san,
    CONF_allow_spki,
    CONF_one_session_per_certificate,
    CONF_disable_client_cert_date_checks,
    CONF_use_identity_as_username,
    CONF_use_subject_as_username,
    CONF_use_username_as_clientid,
    CONF_username_from,
    CONF_clientid_from,
    CONF_clientid_must_match,
    CONF_allow_anonymous,
    CONF_password_file,
    CONF_acl_file,
    CONF_acl_subscribe,
    CONF_deny_publish,
    CONF_clientid_patterns,
    CONF_max_qos,
    CONF_mount_point,
    CONF_wills,
    CONF_retain_policy,
    CONF_backend_username,
    CONF_backend_password,
    CONF_backend_clientid_prefix,
};

bool host_may_have(enum conf_option option) {
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (allowed[i] == option)
            return true;
    return false;
}

static bool is_label_byte(uint8_t byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

/* As a device sends it: labels with dots between; the first may be a star that stands for one label. */
static bool is_name(const char *text) {
    const char *at = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
    size_t label = 0;
    bool is_number = true; /* an address is never sent as a name (RFC 6066 3) */
    if (strlen(text) > NAME_SIZE_MAX)
        return false;
    for (; *at != '\0'; at++) {
        if (*at == '.' ? label == 0 : !is_label_byte((uint8_t)*at))
            return false;
        is_number = is_number && (*at == '.' || (*at >= '0' && *at <= '9'));
        label = *at == '.' ? 0 : label + 1;
    }
    return label != 0 && !is_number;
}

static const char *read_name(const struct value_place *place, struct span rest) {
    const char *text = value_read_string(place, "host", rest);
    char room[TEXT_QUOTED_SIZE];
    if (text == NULL)
        return NULL;
    char *name = arena_alloc(place->arena, strlen(text) + 1);
    if (name == NULL) {
        value_out_of_memory(place);
        return NULL;
    }
    for (size_t i = 0; text[i] != '\0'; i++)
        name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    if (!is_name(name))
        findings_add(place->findings, FINDING_ERROR, place->file, place->line,
                     "host is '%s', which is no name that a device can send; write one such as "
                     "mqtt.example.com or *.example.com (in its ASCII form, xn--...)",
                     text_quote(room, sizeof room, span_of_text(text)));
    return name;
}

struct conf_listener *host_open(struct reading *reading, struct conf_listener *listener,
                                const struct value_place *place, struct span rest) {
    struct pending_listener *home =
        (struct pending_listener *)((char *)listener - offsetof(struct pending_listener, listener));
    struct pending_listener *pending = arena_alloc(reading->arena, sizeof *pending), **end = &home->hosts;
    const char *name = read_name(place, rest);
    if (pending == NULL) {
        reading->findings->out_of_memory = true;
        return NULL;
    }
    *pending = (struct pending_listener){.listener = reading->defaults};
    pending->listener.file = place->file;
    pending->listener.line = place->line;
    pending->listener.host = name == NULL ? "" : name;
    for (; *end != NULL; end = &(*end)->next)
        if (strcmp((*end)->listener.host, pending->listener.host) == 0 && name != NULL)
            findings_add(place->findings, FINDING_ERROR, place->file, place->line,
                         "host %s stands at %s:%u already; put their lines together", name,
                         (*end)->listener.file, (*end)->listener.line);
    *end = pending;
    listener->host_count++;
    return &pending->listener;
}

static void take(struct conf_listener *made, const struct conf_listener *own, enum conf_option option) {
    const struct conf_row *row = conf_row_of(option);
    memcpy(conf_row_field(row, made), conf_row_value(row, own), row->size);
    made->origins[option] = own->origins[option];
}

static bool has(const struct conf_listener *own, enum conf_option option) {
    return own->origins[option].line != 0;
}

/* A certificate belongs to its key and a cafile to its capath: who sets one has none of the listener's. A
 * crlfile of the listener stays, for a list that is left out would let the revoked in. */
static struct conf_listener make(const struct conf_listener *listener, const struct conf_listener *own) {
    struct conf_listener made = *listener;
    made.file = own->file;
    made.line = own->line;
    made.host = own->host;
    made.hosts = NULL;
    made.host_count = 0;
    if (own->backend != NULL)
        made.backend = own->backend;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (has(own, allowed[i]))
            take(&made, own, allowed[i]);
    if (has(own, CONF_certfile) || has(own, CONF_keyfile)) {
        take(&made, own, CONF_certfile);
        take(&made, own, CONF_keyfile);
        take(&made, own, CONF_ocsp_file);
    }
    if (has(own, CONF_cafile) || has(own, CONF_capath)) {
        take(&made, own, CONF_cafile);
        take(&made, own, CONF_capath);
    }
    return made;
}

void host_settle(struct reading *reading, struct conf_listener *listener,
                 const struct pending_listener *pending) {
    if (listener->host_count == 0)
        return;
    listener->hosts = arena_alloc(reading->arena, listener->host_count * sizeof *listener->hosts);
    if (listener->hosts == NULL) {
        reading->findings->out_of_memory = true;
        listener->host_count = 0;
        return;
    }
    size_t i = 0;
    for (const struct pending_listener *one = pending->hosts; one != NULL; one = one->next)
        listener->hosts[i++] = make(listener, &one->listener);
}

void host_check(const struct conf_listener *listener, struct findings *findings) {
    if (listener->host_count != 0 && !conf_listener_is_tls(listener))
        findings_add(findings, FINDING_ERROR, listener->hosts[0].file, listener->hosts[0].line,
                     "host needs TLS, in which devices name their host; add certfile and keyfile to the "
                     "listener, above its first host");
}
