/* context_trust: cafile, capath and crlfile: whose signature under a device's certificate counts. */
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/load.h"

#define SOON_S (7 * 24 * 3600)

void trust_read_file(struct loading *loading, const char *keyword, const char *path) {
    struct file file;
    if (!file_read(&file, loading, keyword, path))
        return;
    if (file_certificates(&file, loading, loading->authorities) == 0)
        file_say_wrong(&file, loading, "the certificate of a CA");
    file_clear(&file);
}

/* The names that `openssl rehash` makes: eight hexadecimal digits, a dot, a number. Like mosquitto, nothing
 * else in the folder is trusted. */
static bool is_hash_name(const char *name) {
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] != '\0' &&
           strspn(name + 9, "0123456789") == strlen(name + 9);
}

void trust_read_folder(struct loading *loading, const char *keyword, const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        loading_say(loading, FINDING_ERROR,
                    "%s %s cannot be opened: %s; it must be a folder that this user may read", keyword, path,
                    strerror(errno));
        return;
    }
    int count = 0;
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char name[4096];
        struct file file;
        if (!is_hash_name(entry->d_name) ||
            (size_t)snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= sizeof name)
            continue;
        count++;
        if (!file_read(&file, loading, keyword, name))
            continue;
        if (file_certificates(&file, loading, loading->authorities) == 0)
            file_say_wrong(&file, loading, "the certificate of a CA");
        file_clear(&file);
    }
    closedir(folder);
    if (count == 0)
        loading_say(loading, FINDING_ERROR,
                    "%s %s has no certificate under a hash name (like 1a2b3c4d.0): run openssl rehash %s",
                    keyword, path, path);
}

/* The list is given. */
static bool keep_list(struct loading *loading, X509_CRL *list, const char *path) {
    size_t count = (size_t)sk_X509_CRL_num(loading->lists);
    const char **grown = realloc((void *)loading->list_paths, (count + 1) * sizeof *grown);
    if (grown != NULL)
        loading->list_paths = grown;
    if (grown == NULL || sk_X509_CRL_push(loading->lists, list) == 0) {
        X509_CRL_free(list);
        loading_say(loading, FINDING_ERROR, "memory is out while crlfile %s is read", path);
        return false;
    }
    grown[count] = path;
    return true;
}

static void load_crlfile(struct loading *loading, const char *path) {
    struct file file;
    if (!file_read(&file, loading, "crlfile", path))
        return;
    BIO *bio = BIO_new_mem_buf(file.bytes, (int)file.size);
    X509_CRL *list;
    int count = 0;
    ERR_clear_error();
    while (bio != NULL && (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        if (!keep_list(loading, list, path))
            break;
        count++;
    }
    unsigned long error = ERR_peek_last_error();
    BIO_free(bio);
    ERR_clear_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        loading_say(loading, FINDING_ERROR,
                    "crlfile %s is damaged: list number %d in it cannot be read; make it anew", file.path,
                    count + 1);
    else if (count == 0)
        file_say_wrong(&file, loading, "a list of revoked certificates (CRL)");
    file_clear(&file);
}

void trust_load(struct loading *loading) {
    const struct tls_settings *settings = loading->settings;
    if (settings->cafile != NULL)
        trust_read_file(loading, "cafile", settings->cafile);
    if (settings->capath != NULL)
        trust_read_folder(loading, "capath", settings->capath);
    for (const struct conf_pattern *one = settings->crlfiles; one != NULL; one = one->next)
        load_crlfile(loading, one->text);
    if (settings->require_certificate && settings->cafile == NULL && settings->capath == NULL)
        loading_say(
            loading, FINDING_ERROR,
            "require_certificate wants a cafile or capath: the CA that signs the devices' certificates");
}

X509 *trust_signer_of(const struct loading *loading, X509 *certificate) {
    X509 *signer = NULL;
    for (int i = 0; signer == NULL && i < sk_X509_num(loading->authorities); i++) {
        X509 *authority = sk_X509_value(loading->authorities, i);
        EVP_PKEY *key = X509_get0_pubkey(authority);
        if (key != NULL && X509_check_issued(authority, certificate) == X509_V_OK &&
            X509_verify(certificate, key) == 1)
            signer = authority;
    }
    ERR_clear_error();
    return signer;
}

static void check_authorities(struct loading *loading) {
    int64_t now_s = loading->settings->now_s;
    int count = sk_X509_num(loading->authorities), expired = 0, early = 0, able = 0;
    const char *keyword = loading->settings->cafile != NULL ? "cafile" : "capath";
    const char *path =
        loading->settings->cafile != NULL ? loading->settings->cafile : loading->settings->capath;
    for (int i = 0; i < count; i++) {
        X509 *authority = sk_X509_value(loading->authorities, i);
        expired += time_s_of(X509_get0_notAfter(authority)) < now_s;
        early += time_s_of(X509_get0_notBefore(authority)) > now_s;
        able += X509_check_ca(authority) > 0 || X509_self_signed(authority, 0) == 1;
    }
    if (expired != 0)
        loading_say(loading, FINDING_WARNING, "%s %s: %d of %d CA certificates have expired%s", keyword, path,
                    expired, count, expired == count ? ": no device can be verified" : "");
    if (early != 0)
        loading_say(loading, FINDING_WARNING,
                    "%s %s: %d of %d CA certificates are not yet valid: check the clock of this machine",
                    keyword, path, early, count);
    if (able == 0 && count != 0)
        loading_say(loading, FINDING_WARNING,
                    "%s %s holds no certificate of a CA: what stands there cannot sign others, so no device "
                    "can be verified by it",
                    keyword, path);
}

/* A list that no authority made is never consulted, and one of an older CA of the same name makes every
 * verification fail. */
static void check_issuer(struct loading *loading, X509_CRL *list, const char *path) {
    bool is_named = false, is_signed = false;
    for (int i = 0; i < sk_X509_num(loading->authorities); i++) {
        X509 *authority = sk_X509_value(loading->authorities, i);
        EVP_PKEY *key = X509_get0_pubkey(authority);
        if (key == NULL || X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(list)) != 0)
            continue;
        is_named = true;
        is_signed = is_signed || X509_CRL_verify(list, key) == 1;
    }
    ERR_clear_error();
    struct name_text name = name_of(X509_CRL_get_issuer(list));
    if (!is_named)
        loading_say(loading, FINDING_WARNING,
                    "crlfile %s: the CA of the list, %s, is not in cafile or capath", path, name.text);
    else if (!is_signed)
        loading_say(loading, FINDING_WARNING,
                    "crlfile %s: the list was not signed by the CA %s of cafile or capath, but by another of "
                    "that name, so its devices are refused: make the list anew",
                    path, name.text);
}

static void check_list(struct loading *loading, X509_CRL *list, const char *path) {
    int64_t now_s = loading->settings->now_s;
    int64_t from_s = time_s_of(X509_CRL_get0_lastUpdate(list));
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
    int64_t until_s = next == NULL ? INT64_MAX : time_s_of(next);
    if (until_s < now_s)
        loading_say(loading, FINDING_ERROR,
                    "crlfile %s: the list expired on %s, and no device would be accepted: make it anew", path,
                    date_of(until_s).text);
    else if (from_s > now_s)
        loading_say(loading, FINDING_ERROR,
                    "crlfile %s: the list is not valid before %s: check the clock of this machine", path,
                    date_of(from_s).text);
    else if (until_s - now_s < SOON_S)
        loading_say(
            loading, FINDING_WARNING,
            "crlfile %s: the list expires on %s, and no device is accepted from then on: make it anew", path,
            date_of(until_s).text);
    check_issuer(loading, list, path);
}

void trust_check(struct loading *loading) {
    check_authorities(loading);
    for (int i = 0; i < sk_X509_CRL_num(loading->lists); i++)
        check_list(loading, sk_X509_CRL_value(loading->lists, i), loading->list_paths[i]);
    ERR_clear_error();
}
