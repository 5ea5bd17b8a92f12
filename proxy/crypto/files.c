/* files: reading what a listener's keywords name, and telling a person what stands in a file that is not what
 * it should be. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/load.h"

/* The system's bundle of all authorities has 220 KB. */
#define FILE_MAX_BYTES (16 * 1024 * 1024)

void loading_say(struct loading *loading, enum finding_kind kind, const char *format, ...) {
    char sentence[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    findings_add(loading->findings, kind, loading->settings->file, loading->settings->line, "%s", sentence);
}

bool loading_is_good(const struct loading *loading) {
    return loading->findings->error_count == loading->errors_before && !loading->findings->out_of_memory;
}

struct user_text {
    char text[64];
};

static struct user_text user_of(uid_t id) {
    struct user_text user;
    struct passwd entry, *found = NULL;
    char room[2048];
    if (getpwuid_r(id, &entry, room, sizeof room, &found) == 0 && found != NULL)
        snprintf(user.text, sizeof user.text, "%s", found->pw_name);
    else
        snprintf(user.text, sizeof user.text, "%u", (unsigned)id);
    return user;
}

static void say_forbidden(const struct file *file, struct loading *loading) {
    struct user_text user = user_of(geteuid());
    struct stat status;
    if (stat(file->path, &status) != 0) {
        loading_say(
            loading, FINDING_ERROR,
            "%s %s cannot be reached by the user '%s', who may not enter one of the folders above it: "
            "give that folder the right with chmod o+x, or move the file",
            file->keyword, file->path, user.text);
        return;
    }
    loading_say(loading, FINDING_ERROR,
                "%s %s cannot be read by the user '%s' (it belongs to '%s', mode %04o): "
                "chown %s %s, or give its group the file and the mode 0640",
                file->keyword, file->path, user.text, user_of(status.st_uid).text,
                (unsigned)(status.st_mode & 07777), user.text, file->path);
}

static void say_unopened(const struct file *file, struct loading *loading, int error) {
    if (error == EACCES || error == EPERM)
        say_forbidden(file, loading);
    else if (error == ENOENT || error == ENOTDIR)
        loading_say(loading, FINDING_ERROR, "%s %s does not exist: check the path", file->keyword,
                    file->path);
    else
        loading_say(loading, FINDING_ERROR, "%s %s cannot be opened: %s", file->keyword, file->path,
                    strerror(error));
}

/* Reads to the end of an open file; one byte more than the size is asked for to see it grow. */
static bool read_whole(struct file *file, int descriptor, size_t size) {
    file->bytes = malloc(size + 1);
    while (file->bytes != NULL && file->size <= size) {
        ssize_t count = read(descriptor, file->bytes + file->size, size + 1 - file->size);
        if (count == 0)
            return true;
        if (count < 0 && errno != EINTR)
            return false;
        file->size += count < 0 ? 0 : (size_t)count;
    }
    errno = file->bytes == NULL ? ENOMEM : EBUSY;
    return false;
}

bool file_read(struct file *file, struct loading *loading, const char *keyword, const char *path) {
    *file = (struct file){.keyword = keyword, .path = path};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0) {
        say_unopened(file, loading, errno);
        return false;
    }
    struct stat status;
    bool is_read = false;
    if (fstat(descriptor, &status) != 0)
        say_unopened(file, loading, errno);
    else if (S_ISDIR(status.st_mode))
        loading_say(loading, FINDING_ERROR, "%s %s is a folder: name a file in it", keyword, path);
    else if (!S_ISREG(status.st_mode))
        loading_say(loading, FINDING_ERROR, "%s %s is not a regular file", keyword, path);
    else if (status.st_size == 0)
        loading_say(loading, FINDING_ERROR, "%s %s is empty: make it anew", keyword, path);
    else if (status.st_size > FILE_MAX_BYTES)
        loading_say(loading, FINDING_ERROR, "%s %s is larger than 16 MiB and cannot be what it should be",
                    keyword, path);
    else if (!read_whole(file, descriptor, (size_t)status.st_size))
        loading_say(loading, FINDING_ERROR, "%s %s cannot be read: %s", keyword, path,
                    errno == EBUSY ? "it grows while it is read" : strerror(errno));
    else
        is_read = true;
    close(descriptor);
    file->mode = status.st_mode;
    if (!is_read)
        file_clear(file);
    return is_read;
}

void file_clear(struct file *file) {
    if (file->bytes != NULL)
        OPENSSL_cleanse(file->bytes, file->size);
    free(file->bytes);
    file->bytes = NULL;
    file->size = 0;
}

static bool has_text(const struct file *file, const char *text) {
    return memmem(file->bytes, file->size, text, strlen(text)) != NULL;
}

/* What a file holds, and what to do about it ("" when only another file helps). The first row that fits. */
static const struct {
    const char *mark, *is, *remedy;
} pem_kinds[] = {
    {"-----BEGIN ENCRYPTED PRIVATE KEY-----", "an encrypted private key", ""},
    {"PRIVATE KEY-----", "a private key", ""},
    {"-----BEGIN CERTIFICATE REQUEST-----", "a certificate request (CSR), not yet signed by a CA",
     "; sign it: openssl x509 -req -in THIS.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt"},
    {"-----BEGIN NEW CERTIFICATE REQUEST-----", "a certificate request (CSR), not yet signed by a CA", ""},
    {"-----BEGIN CERTIFICATE-----", "a certificate", ""},
    {"-----BEGIN TRUSTED CERTIFICATE-----", "a certificate", ""},
    {"-----BEGIN X509 CRL-----", "a list of revoked certificates (CRL)", ""},
    {"-----BEGIN PUBLIC KEY-----", "a public key", ""},
    {"-----BEGIN PKCS7-----", "a PKCS#7 bundle",
     "; convert it: openssl pkcs7 -print_certs -in THIS -out bundle.crt"},
    {"-----BEGIN EC PARAMETERS-----", "the parameters of a key without the key", ""},
    {"-----BEGIN OPENSSH", "a key of OpenSSH, which TLS cannot use", ""},
};

static bool is_der(const struct file *file, void *(*decode)(const unsigned char **, long),
                   void (*release)(void *)) {
    const unsigned char *at = file->bytes;
    void *object = decode(&at, (long)file->size);
    ERR_clear_error();
    if (object != NULL)
        release(object);
    return object != NULL;
}

#define DER_KIND(type, decode, release)                                                                      \
    static void *type##_decode(const unsigned char **at, long size) {                                        \
        return decode(NULL, at, size);                                                                       \
    }                                                                                                        \
    static void type##_release(void *object) {                                                               \
        release(object);                                                                                     \
    }
DER_KIND(certificate, d2i_X509, X509_free)
DER_KIND(key, d2i_AutoPrivateKey, EVP_PKEY_free)
DER_KIND(list, d2i_X509_CRL, X509_CRL_free)
DER_KIND(request, d2i_X509_REQ, X509_REQ_free)
DER_KIND(bundle, d2i_PKCS12, PKCS12_free)

static const struct {
    void *(*decode)(const unsigned char **, long);
    void (*release)(void *);
    const char *is, *command;
} der_kinds[] = {
    {certificate_decode, certificate_release, "a certificate in DER form", "x509 -inform DER"},
    {key_decode, key_release, "a private key in DER form", "pkey -inform DER"},
    {list_decode, list_release, "a CRL in DER form", "crl -inform DER"},
    {request_decode, request_release, "a certificate request (CSR) in DER form", "req -inform DER"},
    {bundle_decode, bundle_release, "a PKCS#12 bundle (.p12, .pfx)", "pkcs12 -nodes"},
};

void file_say_wrong(const struct file *file, struct loading *loading, const char *wanted) {
    for (size_t i = 0; i < sizeof pem_kinds / sizeof *pem_kinds; i++)
        if (has_text(file, pem_kinds[i].mark)) {
            loading_say(loading, FINDING_ERROR, "%s %s holds %s where %s in PEM form is wanted%s",
                        file->keyword, file->path, pem_kinds[i].is, wanted, pem_kinds[i].remedy);
            return;
        }
    for (size_t i = 0; i < sizeof der_kinds / sizeof *der_kinds; i++)
        if (is_der(file, der_kinds[i].decode, der_kinds[i].release)) {
            loading_say(loading, FINDING_ERROR,
                        "%s %s holds %s where %s in PEM form is wanted; convert it: "
                        "openssl %s -in %s -out %s.pem",
                        file->keyword, file->path, der_kinds[i].is, wanted, der_kinds[i].command, file->path,
                        file->path);
            return;
        }
    bool is_utf16 = file->size >= 2 &&
                    (memcmp(file->bytes, "\xFF\xFE", 2) == 0 || memcmp(file->bytes, "\xFE\xFF", 2) == 0);
    loading_say(loading, FINDING_ERROR, "%s %s is not in PEM form: %s", file->keyword, file->path,
                is_utf16 ? "it is UTF-16 text; save it as plain ASCII or UTF-8"
                         : "it has no line -----BEGIN ...-----");
}

/* OpenSSL asks for a password only on a terminal; ours may have none, so no block is opened that way. */
static int no_password(char *room, int size, int purpose, void *user) {
    (void)room, (void)size, (void)purpose, (void)user;
    return -1;
}

int file_certificates(const struct file *file, struct loading *loading, STACK_OF(X509) * stack) {
    BIO *bio = BIO_new_mem_buf(file->bytes, (int)file->size);
    int count = 0;
    X509 *certificate = NULL;
    ERR_clear_error();
    while (bio != NULL && (certificate = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_push(stack, certificate) == 0) {
            X509_free(certificate);
            break;
        }
        count++;
    }
    unsigned long error = ERR_peek_last_error();
    BIO_free(bio);
    ERR_clear_error();
    if (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
        return count;
    loading_say(loading, FINDING_ERROR,
                "%s %s is damaged: certificate number %d in it cannot be read; copy the file anew",
                file->keyword, file->path, count + 1);
    return -1;
}

int64_t time_s_of(const ASN1_TIME *time) {
    struct tm parts;
    if (time == NULL || ASN1_TIME_to_tm(time, &parts) != 1)
        return 0; /* unreadable: long over */
    return (int64_t)timegm(&parts);
}

struct date_text date_of(int64_t time_s) {
    struct date_text date = {"an unreadable date"};
    struct tm parts;
    time_t time = (time_t)time_s;
    if (gmtime_r(&time, &parts) != NULL)
        strftime(date.text, sizeof date.text, "%Y-%m-%d", &parts);
    return date;
}

struct name_text name_of(const X509_NAME *name) {
    struct name_text text = {"?"};
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        long size = BIO_get_mem_data(bio, &bytes);
        text_quote(text.text, sizeof text.text, span_of(bytes, size < 0 ? 0 : (size_t)size));
        if (size == 0)
            strcpy(text.text, "(no name)");
    }
    BIO_free(bio);
    return text;
}
