#include "control/generation.h"

#include "control/bridges.h"
#include "control/identity.h"
#include "control/tls_terms.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Nobody has a bigger security file; a device file or an endless pipe ends here. */
#define FILE_SIZE_MAX (256L * 1024 * 1024)

void generation_drop(struct generation *generation) {
    if (generation == NULL || __atomic_sub_fetch(&generation->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (size_t i = 0; i < generation->every_count; i++)
        tls_terms_clear(generation->every[i]);
    for (size_t i = 0; i < generation->terms_count; i++)
        free(generation->terms[i].hosts);
    free(generation->every);
    bridge_plans_free(generation->bridges);
    tls_context_drop(generation->backend_tls);
    tickets_drop(generation->tickets);
    keylog_drop(generation->keylog);
    conf_destroy(generation->conf);
    arena_destroy(generation->arena);
    free(generation->terms);
    free(generation);
}

/* The whole file; at == NULL after a finding was added. */
struct span generation_read_file(const char *path, struct conf_origin origin, struct findings *findings) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0) {
        findings_add(findings, FINDING_ERROR, origin.file, origin.line, "%s cannot be opened: %m.", path);
        if (fd >= 0)
            close(fd);
        return SPAN_NONE;
    }
    const char *trouble = !S_ISREG(status.st_mode)         ? "is no regular file"
                          : status.st_size > FILE_SIZE_MAX ? "is too large"
                                                           : NULL;
    uint8_t *bytes = trouble == NULL ? malloc((size_t)status.st_size + 1) : NULL;
    size_t filled = 0;
    ssize_t count = 0;
    while (bytes != NULL && filled < (size_t)status.st_size &&
           (count = read(fd, bytes + filled, (size_t)status.st_size - filled)) > 0)
        filled += (size_t)count;
    close(fd);
    if (bytes == NULL || count < 0 || filled != (size_t)status.st_size) {
        findings_add(findings, FINDING_ERROR, origin.file, origin.line, "%s %s.", path,
                     trouble != NULL ? trouble : "cannot be read as a whole; is it being written?");
        free(bytes);
        return SPAN_NONE;
    }
    return span_of(bytes, filled);
}

/* A file that two listeners share is compiled once. */
static const struct terms *find_same(const struct generation *generation, size_t before, const char *path,
                                     bool is_acl) {
    for (size_t i = 0; i < before; i++) {
        const struct conf_listener *listener = generation->every[i]->listener;
        const char *other = is_acl ? listener->acl_file : listener->password_file;
        if (other != NULL && strcmp(other, path) == 0)
            return generation->every[i];
    }
    return NULL;
}

static void load_acl(struct generation *generation, size_t index, struct findings *findings) {
    struct terms *terms = generation->every[index];
    const char *path = terms->listener->acl_file;
    if (path == NULL)
        return;
    const struct terms *same = find_same(generation, index, path, true);
    if (same != NULL) {
        terms->acl = same->acl;
        return;
    }
    struct span text =
        generation_read_file(path, conf_listener_origin(terms->listener, CONF_acl_file), findings);
    if (text.at == NULL)
        return;
    terms->acl = acl_compile(generation->arena, path, text, findings);
    free((void *)(uintptr_t)text.at);
}

static void load_accounts(struct generation *generation, size_t index, struct findings *findings) {
    struct terms *terms = generation->every[index];
    const char *path = terms->listener->password_file;
    if (path == NULL)
        return;
    const struct terms *same = find_same(generation, index, path, false);
    if (same != NULL) {
        terms->accounts = same->accounts;
        return;
    }
    struct span text =
        generation_read_file(path, conf_listener_origin(terms->listener, CONF_password_file), findings);
    if (text.at == NULL)
        return;
    terms->accounts = accounts_read(generation->arena, path, text, findings);
    free((void *)(uintptr_t)text.at);
}

static void load_backend_tls(struct generation *generation, struct findings *findings) {
    const struct conf *conf = generation->conf;
    const struct tls_client_settings settings = {
        .file = conf->backend->file,
        .line = conf->backend->line,
        .prefix = "backend_",
        .cafile = conf->backend_cafile,
        .capath = conf->backend_capath,
        .certfile = conf->backend_certfile,
        .keyfile = conf->backend_keyfile,
        .host = conf->backend->host,
        .sni = conf->backend_sni,
        .alpn = conf->backend_alpn,
        .is_insecure = conf->backend_insecure,
        .now_s = time(NULL),
    };
    if (conf->backend_tls)
        generation->backend_tls = tls_context_load_client(&settings, findings);
}

static bool is_same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The listener of the new configuration that stands where a running one does. */
static const struct conf_listener *find_listener(const struct conf *conf,
                                                 const struct conf_listener *running) {
    const struct conf_listener *end = conf->listeners + conf->listener_count;
    for (const struct conf_listener *one = conf->listeners; one != NULL && one < end; one++) {
        if (one->port == running->port && is_same_text(one->address, running->address) &&
            is_same_text(one->path, running->path) &&
            is_same_text(one->bind_interface, running->bind_interface) &&
            one->is_default_local == running->is_default_local &&
            one->socket_domain == running->socket_domain)
            return one;
    }
    return NULL;
}

/* Terms of their own for the hosts, and the list of all. */
static bool place_hosts(struct generation *generation, struct findings *findings) {
    size_t count = generation->terms_count;
    for (size_t i = 0; i < generation->terms_count; i++)
        count += generation->terms[i].listener->host_count;
    generation->every_count = 0;
    generation->every = calloc(count + 1, sizeof *generation->every);
    for (size_t i = 0; i < generation->terms_count && generation->every != NULL; i++) {
        struct terms *terms = &generation->terms[i];
        const struct conf_listener *listener = terms->listener;
        generation->every[generation->every_count++] = terms;
        if (listener->host_count == 0)
            continue;
        terms->hosts = calloc(listener->host_count, sizeof *terms->hosts);
        if (terms->hosts == NULL) {
            findings->out_of_memory = true;
            return false;
        }
        terms->host_count = listener->host_count;
        for (size_t j = 0; j < terms->host_count; j++) {
            terms->hosts[j].listener = &listener->hosts[j];
            generation->every[generation->every_count++] = &terms->hosts[j];
        }
    }
    findings->out_of_memory |= generation->every == NULL;
    return generation->every != NULL;
}

static bool place_listeners(struct generation *generation, const struct generation *running,
                            struct findings *findings) {
    const struct conf *conf = generation->conf;
    generation->terms_count = running == NULL ? conf->listener_count : running->terms_count;
    generation->terms =
        calloc(generation->terms_count + 1, sizeof *generation->terms); /* perhaps there is none */
    if (generation->terms == NULL) {
        generation->terms_count = 0;
        findings->out_of_memory = true;
        return false;
    }
    for (size_t i = 0; i < generation->terms_count; i++) {
        const struct conf_listener *open = running == NULL ? NULL : running->terms[i].listener;
        const struct conf_listener *found = open == NULL ? &conf->listeners[i] : find_listener(conf, open);
        char name[256];
        if (found == NULL && open != NULL)
            findings_add(
                findings, FINDING_ERROR, open->file, open->line,
                "%s is gone or moved in the new configuration; that needs a restart, and nothing is changed.",
                conf_listener_name(open, name, sizeof name));
        generation->terms[i].listener = found;
    }
    return !findings_refuse(findings) && place_hosts(generation, findings);
}

struct generation *generation_load(struct conf *conf, const struct generation *running,
                                   struct findings *findings) {
    size_t errors_before = findings->error_count;
    struct generation *generation = calloc(1, sizeof *generation);
    if (generation == NULL) {
        conf_destroy(conf);
        findings->out_of_memory = true;
        return NULL;
    }
    generation->references = 1;
    generation->conf = conf;
    generation->number = running == NULL ? 1 : running->number + 1;
    generation->arena = arena_create();
    tls_terms_tickets(generation, running, findings);
    tls_terms_keylog(generation, running, findings);
    if (generation->arena == NULL)
        findings->out_of_memory = true;
    else if (place_listeners(generation, running, findings))
        for (size_t i = 0; i < generation->every_count; i++) {
            load_acl(generation, i, findings);
            load_accounts(generation, i, findings);
            tls_terms_load(generation->every[i], generation, findings);
            generation->every[i]->certificates =
                certificate_rules_compile(generation->arena, generation->every[i]->listener, findings);
            terms_set_limits(generation->every[i]);
            identity_load(generation->arena, generation->every[i], findings);
        }
    for (size_t i = 0; i < generation->terms_count; i++)
        tls_terms_join(&generation->terms[i], generation, findings);
    load_backend_tls(generation, findings);
    if (generation->arena != NULL) {
        http_proxy_load(generation, findings);
        bridge_plans_load(generation, findings);
    }
    if (findings->error_count != errors_before || findings->out_of_memory) {
        generation_drop(generation);
        return NULL;
    }
    bool is_half_way = (conf->backend_tls && generation->backend_tls == NULL) ||
                       (conf->backend_http_proxy != NULL && generation->http_proxy.host == NULL);
    if (is_half_way) { /* never in plain text, or around the proxy, instead */
        findings_add(findings, FINDING_ERROR, conf->backend->file, conf->backend->line,
                     "TLS or the HTTP proxy to the broker could not be set up.");
        generation_drop(generation);
        return NULL;
    }
    /* Belt and braces: a file that is named and did not become a rule book would let everybody in. */
    for (size_t i = 0; i < generation->every_count; i++) {
        const struct terms *terms = generation->every[i];
        bool is_half = (terms->listener->acl_file != NULL && terms->acl == NULL) ||
                       (terms->listener->password_file != NULL && terms->accounts == NULL) ||
                       (terms->listener->backend_username != NULL && !terms->identity.has_username) ||
                       (terms->listener->backend_password != NULL && !terms->identity.has_password) ||
                       (terms->listener->allow_spki != NULL && terms->certificates == NULL) ||
                       (conf_listener_is_tls(terms->listener) && terms->tls == NULL);
        if (!is_half)
            continue;
        findings_add(findings, FINDING_ERROR, terms->listener->file, terms->listener->line,
                     "a security file of this listener could not be loaded.");
        generation_drop(generation);
        return NULL;
    }
    return generation;
}
