#include "control/identity.h"

#include <stdlib.h>
#include <string.h>

#include "control/generation.h"
#include "mqtt/utf8.h"

#define FIELD_SIZE_MAX 65535 /* of a string in MQTT */

/* One newline at the end belongs to the file, not to the secret: editors and echo put it there. */
static struct span without_newline(struct span text) {
    if (text.size == 0 || text.at[text.size - 1] != '\n')
        return text;
    text.size--;
    if (text.size != 0 && text.at[text.size - 1] == '\r')
        text.size--;
    return text;
}

static const char *fault_of(struct span text, bool is_text) {
    if (text.size == 0)
        return "is empty";
    if (text.size > FIELD_SIZE_MAX)
        return "is longer than 65535 bytes";
    if (is_text && memchr(text.at, '\n', text.size) != NULL)
        return "has more than one line";
    return is_text && mqtt_utf8_judge(text) != VIOLATION_NONE ? "is no text in UTF-8" : NULL;
}

/* True when the value is there; the caller's file buffer is wiped, for it may hold a password. */
static bool load_file(struct arena *arena, const char *path, struct conf_origin origin, bool is_text,
                      struct span *value, struct findings *findings) {
    struct span whole = generation_read_file(path, origin, findings);
    if (whole.at == NULL)
        return false;
    struct span text = without_newline(whole);
    const char *fault = fault_of(text, is_text);
    uint8_t *kept = NULL;
    if (fault != NULL)
        findings_add(findings, FINDING_ERROR, origin.file, origin.line, "%s %s.", path, fault);
    else if ((kept = arena_alloc(arena, text.size)) == NULL)
        findings->out_of_memory = true;
    else
        memcpy(kept, text.at, text.size);
    *value = span_of(kept, kept == NULL ? 0 : text.size);
    explicit_bzero((void *)(uintptr_t)whole.at, whole.size);
    free((void *)(uintptr_t)whole.at);
    return kept != NULL;
}

bool secret_load(struct arena *arena, const struct conf_secret *secret, struct conf_origin origin,
                 bool is_text, struct span *value, struct findings *findings) {
    if (secret == NULL)
        return false;
    if (secret->path != NULL)
        return load_file(arena, secret->path, origin, is_text, value, findings);
    *value = span_of_text(secret->text);
    return true;
}

void identity_load(struct arena *arena, struct terms *terms, struct findings *findings) {
    const struct conf_listener *listener = terms->listener;
    struct backend_identity *identity = &terms->identity;
    identity->has_username =
        secret_load(arena, listener->backend_username, conf_listener_origin(listener, CONF_backend_username),
                    true, &identity->username, findings);
    identity->has_password =
        secret_load(arena, listener->backend_password, conf_listener_origin(listener, CONF_backend_password),
                    false, &identity->password, findings);
    identity->clientid_prefix = span_of_text(listener->backend_clientid_prefix);
}
