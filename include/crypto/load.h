/* load: what the files of crypto/ that read certificates share; for context*.c and files.c only. */
#ifndef DRAWBRIDGE_CRYPTO_LOAD_H
#define DRAWBRIDGE_CRYPTO_LOAD_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "crypto/context.h"
#include "policy/psk.h"

/* files: the bytes of one file that a keyword names. */
struct file {
    const char *keyword, *path;
    uint8_t *bytes;
    size_t size;
    mode_t mode;
};

/* A pair as it is loaded: everything is its own but the paths. */
struct own {
    const char *certfile, *keyfile;
    STACK_OF(X509) * chain; /* the server's first */
    EVP_PKEY *key;
};

/* One call of tls_context_load. The stacks and the keys are its own. */
struct loading {
    const struct tls_settings *settings;
    struct findings *findings;
    size_t errors_before; /* of other listeners */
    struct own owns[TLS_PAIRS_MAX];
    size_t own_count;
    struct own *own;              /* the one in question */
    struct file passwords;        /* of keyfile_password_file */
    STACK_OF(X509) * authorities; /* of cafile and capath */
    STACK_OF(X509_CRL) * lists;
    const char **list_paths; /* of each list */
    struct arena *psk_arena; /* until the context has it */
    struct psk_keys *psk_keys;
};

/* Adds a finding where the listener stands. */
void loading_say(struct loading *loading, enum finding_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True as long as this call found no error. */
bool loading_is_good(const struct loading *loading);

/* files: false after having said why not: missing, unreadable by this user, a folder, empty, too big. */
bool file_read(struct file *file, struct loading *loading, const char *keyword, const char *path);
void file_clear(struct file *file); /* wipes it: it may be a key */

/* Says what stands in the file instead of `wanted`, and how to get that. */
void file_say_wrong(const struct file *file, struct loading *loading, const char *wanted);

/* Every certificate in PEM form is put on the stack; the count, or -1 when one is damaged (said). */
int file_certificates(const struct file *file, struct loading *loading, STACK_OF(X509) * stack);

/* Dates of certificates. */
int64_t time_s_of(const ASN1_TIME *time);
struct date_text {
    char text[24];
};
struct date_text date_of(int64_t time_s); /* "2026-01-31" */

/* "CN=..." for a sentence, harmless and cut when long. */
struct name_text {
    char text[200];
};
struct name_text name_of(const X509_NAME *name);

/* own: certfile and keyfile. Each says what is wrong; the checks want what could be loaded. */
void own_load(struct loading *loading);
void own_check(struct loading *loading);
void own_clear(struct loading *loading);
/* The pair in question, for who asks the context about its certificates. False: memory is out. */
bool own_keep(const struct loading *loading, struct tls_context *context);

/* Modes and options that no setting changes. */
void context_set_fixed(SSL_CTX *ssl_ctx);
/* psk: psk_file and psk_hint. */
void psk_load(struct loading *loading);
bool psk_set(struct loading *loading, struct tls_context *context);

/* trust: cafile, capath, crlfile. */
void trust_load(struct loading *loading);
void trust_check(struct loading *loading);
/* The certificates of a file or folder that a keyword names, onto the authorities. */
void trust_read_file(struct loading *loading, const char *keyword, const char *path);
void trust_read_folder(struct loading *loading, const char *keyword, const char *path);
/* The certificate among the authorities that signed this one, or NULL. */
X509 *trust_signer_of(const struct loading *loading, X509 *certificate);

#endif
