#include "control/tls_terms.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- pem_dir ---- */

struct pem_list {
    char **paths; /* in alphabetical order */
    size_t count;
};

static int is_pem(const struct dirent *entry) {
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 4 && strcmp(entry->d_name + size - 4, ".pem") == 0;
}

static void pem_list_clear(struct pem_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct pem_list){NULL, 0};
}

/* False after a finding: a directory without a certificate is not what was meant. */
static bool pem_list_read(struct pem_list *list, const struct conf_listener *listener,
                          struct findings *findings) {
    struct conf_origin origin = conf_listener_origin(listener, CONF_pem_dir);
    struct dirent **entries = NULL;
    int count = scandir(listener->pem_dir, &entries, is_pem, alphasort);
    *list = (struct pem_list){NULL, 0};
    if (count <= 0)
        findings_add(findings, FINDING_ERROR, origin.file, origin.line, "pem_dir %s %s%s.", listener->pem_dir,
                     count < 0 ? "cannot be read: " : "holds no file that ends in .pem",
                     count < 0 ? strerror(errno) : "");
    list->paths = calloc(count <= 0 ? 1 : (size_t)count, sizeof *list->paths);
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (list->paths != NULL && asprintf(&path, "%s/%s", listener->pem_dir, entries[i]->d_name) >= 0)
            list->paths[list->count++] = path;
        free(entries[i]);
    }
    free(entries);
    if (count > 0 && list->count == (size_t)count)
        return true;
    findings->out_of_memory |= count > 0;
    pem_list_clear(list);
    return false;
}

/* ---- contexts ---- */

/* The pairs behind the first one; the configuration has as many keys as certificates. */
static size_t list_more(const struct conf_listener *listener, struct tls_pair more[TLS_PAIRS_MAX]) {
    size_t count = 0;
    const struct conf_pattern *key = listener->keyfile == NULL ? NULL : listener->keyfile->next;
    const struct conf_pattern *certificate = listener->certfile == NULL ? NULL : listener->certfile->next;
    for (; certificate != NULL && key != NULL && count < TLS_PAIRS_MAX; key = key->next) {
        more[count++] = (struct tls_pair){certificate->text, key->text};
        certificate = certificate->next;
    }
    return count;
}

static size_t list_ocsp(const struct conf_listener *listener, const char *files[TLS_PAIRS_MAX]) {
    size_t count = 0;
    for (const struct conf_pattern *one = listener->ocsp_file; one != NULL && count < TLS_PAIRS_MAX;
         one = one->next)
        files[count++] = one->text;
    return count;
}

/* Keys of our own outlive a reload, or every device would come with a full handshake after it. */
void tls_terms_tickets(struct generation *generation, const struct generation *running,
                       struct findings *findings) {
    const struct conf *conf = generation->conf;
    const struct conf_origin origin = conf->origins[CONF_ticket_keyfile];
    if (conf->ticket_keyfile != NULL)
        generation->tickets = tickets_load(conf->ticket_keyfile, origin.file, origin.line, findings);
    else if (running != NULL && tickets_are_own(running->tickets))
        generation->tickets = tickets_keep(running->tickets);
    else
        generation->tickets = tickets_create();
    if (generation->tickets == NULL && conf->ticket_keyfile == NULL)
        findings->out_of_memory = true;
}

void tls_terms_keylog(struct generation *generation, const struct generation *running,
                      struct findings *findings) {
    const char *path = generation->conf->keylog_file;
    const struct conf_origin origin = generation->conf->origins[CONF_keylog_file];
    if (path == NULL)
        return;
    findings_add(findings, FINDING_WARNING, origin.file, origin.line,
                 "keylog_file is on: WHOEVER READS %s CAN READ EVERY TLS CONNECTION. It is for debugging "
                 "alone; remove the "
                 "line and the file.",
                 path);
    bool is_open = running != NULL && running->keylog != NULL && keylog_is_at(running->keylog, path);
    generation->keylog =
        is_open ? keylog_keep(running->keylog) : keylog_open(path, origin.file, origin.line, findings);
}

/* What tickets are bound to beside what the context itself knows. Without the address, which instances that
 * share their keys do not have in common. */
static void ticket_home(const struct conf_listener *listener, char *room, size_t room_size) {
    if (listener->path != NULL)
        snprintf(room, room_size, "%s", listener->path);
    else
        snprintf(room, room_size, "%u", listener->port);
    size_t used = strlen(room);
    if (listener->host != NULL)
        snprintf(room + used, room_size - used, " host %s", listener->host);
}

/* Longer than a path of a Unix socket and a name together. */
#define HOME_SIZE 512

struct setting {
    struct tls_pair more[TLS_PAIRS_MAX];
    const char *ocsp_files[TLS_PAIRS_MAX];
    char home[HOME_SIZE];
    struct tls_settings settings;
};

static void set(struct setting *setting, const struct conf_listener *listener,
                const struct generation *generation) {
    ticket_home(listener, setting->home, sizeof setting->home);
    setting->settings = (struct tls_settings){
        .file = listener->file,
        .line = listener->line,
        .certfile = listener->certfile == NULL ? NULL : listener->certfile->text,
        .keyfile = listener->keyfile == NULL ? NULL : listener->keyfile->text,
        .psk_file = listener->psk_hint == NULL ? NULL : listener->psk_file,
        .psk_hint = listener->psk_hint,
        .more = setting->more,
        .more_count = list_more(listener, setting->more),
        .keyfile_password_file = listener->keyfile_password_file,
        .ocsp_files = setting->ocsp_files,
        .ocsp_count = list_ocsp(listener, setting->ocsp_files),
        .keylog = generation->keylog,
        .cafile = listener->cafile,
        .capath = listener->capath,
        .crlfiles = listener->crlfile,
        .crl_checks_chain = listener->crl_check == CONF_CRL_CHECK_CHAIN,
        .require_certificate = listener->require_certificate != CONF_CERTIFICATE_NONE,
        .certificate_is_optional = listener->require_certificate == CONF_CERTIFICATE_OPTIONAL,
        .disable_client_cert_date_checks = listener->disable_client_cert_date_checks,
        .tls_version = listener->tls_version,
        .ciphers = listener->ciphers,
        .ciphers_tls13 = listener->ciphers_tls13,
        .alpn = listener->alpn,
        .alpn_strict = listener->alpn_strict,
        .session_context = setting->home,
        .sni_strict = listener->sni_strict,
        .tickets = generation->tickets,
        .ticket_rotation_s = (int64_t)((generation->conf->ticket_rotation_ms + 999) / 1000),
        .now_s = time(NULL),
    };
}

void tls_terms_load(struct terms *terms, const struct generation *generation, struct findings *findings) {
    const struct conf_listener *listener = terms->listener;
    struct setting setting;
    struct pem_list list = {NULL, 0};
    if (!conf_listener_is_tls(listener))
        return;
    set(&setting, listener, generation);
    if (listener->certfile == NULL && listener->psk_hint == NULL) {
        if (!pem_list_read(&list, listener, findings))
            return;
        setting.settings.certfile = setting.settings.keyfile = list.paths[0];
    }
    terms->tls = tls_context_load(&setting.settings, findings);
    pem_list_clear(&list);
}

/* ---- hosts ---- */

struct joining {
    const struct terms *terms;
    struct tls_context *context; /* of the file */
    const char *path;
    struct findings *findings;
};

static void join_name(void *keeper, struct span name) {
    const struct joining *joining = keeper;
    const struct conf_listener *listener = joining->terms->listener;
    struct conf_origin origin = conf_listener_origin(listener, CONF_pem_dir);
    switch (tls_context_add_host(joining->terms->tls, name, joining->context, 0)) {
    case TLS_HOST_ADDED: break;
    case TLS_HOST_NO_MEMORY: joining->findings->out_of_memory = true; break;
    case TLS_HOST_THERE:
        if (tls_context_number(joining->terms->tls, name) == 0)
            findings_add(joining->findings, FINDING_WARNING, origin.file, origin.line,
                         "pem_dir: %s is not shown for %.*s, which a file before it has too.", joining->path,
                         SPAN_PRINT(name));
        break;
    }
}

static void join_files(struct terms *terms, const struct generation *generation, struct findings *findings) {
    struct pem_list list;
    struct setting setting;
    if (!pem_list_read(&list, terms->listener, findings))
        return;
    terms->files = calloc(list.count, sizeof *terms->files);
    findings->out_of_memory |= terms->files == NULL;
    for (size_t i = 0; terms->files != NULL && i < list.count; i++) {
        set(&setting, terms->listener, generation);
        size_t used = strlen(setting.home);
        snprintf(setting.home + used, sizeof setting.home - used, " file %s",
                 strrchr(list.paths[i], '/') + 1);
        setting.settings.certfile = setting.settings.keyfile = list.paths[i];
        setting.settings.more_count = setting.settings.ocsp_count = 0;
        struct tls_context *context = tls_context_load(&setting.settings, findings);
        if (context == NULL)
            continue;
        terms->files[terms->file_count++] = context;
        struct joining joining = {terms, context, list.paths[i], findings};
        tls_context_each_name(context, join_name, &joining);
    }
    pem_list_clear(&list);
}

void tls_terms_join(struct terms *terms, const struct generation *generation, struct findings *findings) {
    if (terms->tls == NULL)
        return;
    for (size_t i = 0; i < terms->host_count; i++)
        if (terms->hosts[i].tls != NULL &&
            tls_context_add_host(terms->tls, span_of_text(terms->hosts[i].listener->host),
                                 terms->hosts[i].tls, (unsigned)i + 1) != TLS_HOST_ADDED)
            findings->out_of_memory = true; /* names are unique */
    if (terms->listener->pem_dir != NULL)
        join_files(terms, generation, findings);
}

void tls_terms_clear(struct terms *terms) {
    for (size_t i = 0; i < terms->file_count; i++)
        tls_context_drop(terms->files[i]);
    free(terms->files);
    tls_context_drop(terms->tls);
}
