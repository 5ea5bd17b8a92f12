/* context: what a TLS listener shows and demands, loaded from files once per configuration generation.
 * Immutable afterwards and shared by all workers. */
#ifndef DRAWBRIDGE_CRYPTO_CONTEXT_H
#define DRAWBRIDGE_CRYPTO_CONTEXT_H

#include "base/error.h"
#include "base/span.h"
#include "conf/conf.h"
#include "crypto/keylog.h"
#include "crypto/ticket.h"

/* A certificate chain and its key. */
struct tls_pair {
    const char *certfile, *keyfile;
};
/* Pairs a listener may have: one for each kind of key that OpenSSL knows. */
#define TLS_PAIRS_MAX 8

/* Borrowed texts, NULL where not set. `file` and `line` say where the listener stands, for findings. Paths
 * are ready to open. */
struct tls_settings {
    const char *file;
    unsigned line;
    const char *certfile, *keyfile;
    const char *psk_file, *psk_hint; /* instead of both */
    const struct tls_pair *more;     /* pairs of other kinds of key */
    size_t more_count;
    const char *keyfile_password_file;
    const char *const *ocsp_files; /* responses about own certificates, in DER; in any order */
    size_t ocsp_count;
    const char *cafile, *capath;
    const struct conf_pattern *crlfiles;
    bool crl_checks_chain;        /* not the device's own certificate alone */
    bool require_certificate;     /* devices are asked for one */
    bool certificate_is_optional; /* and may have none */
    bool disable_client_cert_date_checks;
    const char *tls_version; /* "tlsv1.2" (default) or "tlsv1.3": the minimum */
    const char *ciphers;     /* TLS 1.2 */
    const char *ciphers_tls13;
    const char *alpn; /* protocols, separated by blanks or commas; NULL: mqtt */
    bool alpn_strict;
    bool sni_strict;
    const char *session_context; /* tells listeners apart, so that a ticket of one is not taken by another */
    struct keylog *keylog;       /* kept; NULL: none */
    struct tickets *tickets;     /* kept; NULL: keys of this context alone, which nothing outlives */
    int64_t ticket_rotation_s;   /* how long a ticket is good; 0: none are given */
    int64_t now_s;               /* seconds since the epoch, for expiry findings */
};

struct tls_context; /* counted references; given with one */

/* Loads everything and checks what a person gets wrong, one sentence each, naming the file and the remedy:
 * file missing, unreadable by this user, not PEM, a key in the place of a certificate and the other way,
 * encrypted key without the right password, two keys of one kind, key that does not match the certificate,
 * certificate expired or not yet valid (error), soon to expire (warning, 30 days), server certificate with
 * the same subject as the CA that signed it (error: OpenSSL clients fail with "self-signed certificate"),
 * certificate with only a common name or without any name (warnings), self-signed or a CA's or not made for
 * servers (warnings), signed by another CA of the name of the one in cafile (warning), key readable by
 * everybody (warning), too weak for OpenSSL's security level, empty cafile or CRL, CRL expired (error: fails
 * closed), OCSP response that is damaged, about another certificate or not signed by its CA (errors) or over
 * (warning), unknown ciphers or tls_version, require_certificate without cafile or capath. NULL when there
 * were errors.
 *
 * As with mosquitto, CAs between the root and the server may stand in cafile instead of certfile, and of
 * capath only the names count that `openssl rehash` makes (read now, not at each handshake). Tickets are
 * bound to session_context, to the demands on certificates, the CAs and the CRLs, whatever their keys. */
struct tls_context *tls_context_load(const struct tls_settings *settings, struct findings *findings);

/* Connections to a broker. Borrowed texts, NULL where not set; `file` and `line` say where `backend` or
 * `connection` stands, `prefix` how the keywords begin: "bridge_"; NULL:
 * "backend_". */
struct tls_client_settings {
    const char *file;
    unsigned line;
    const char *prefix;
    const char *cafile, *capath; /* neither: the authorities of the operating system */
    bool uses_system;            /* those too, or alone: then is_insecure leaves out the name alone */
    const char *tls_version, *ciphers, *ciphers_tls13; /* as in tls_settings */
    const char *psk_identity, *psk; /* hexadecimal; instead of certificates, and TLS 1.2 at most */
    bool requires_ocsp;             /* a stapled response that says that the certificate is good */
    const char *certfile, *keyfile;
    const char *host; /* name or address that is dialled */
    const char *sni;  /* NULL: `host`, if that is a name */
    const char *alpn; /* names with commas between */
    bool is_insecure; /* no check of the name, and without cafile and capath of nothing */
    int64_t now_s;
};

/* The context of engine_dial. Findings as above, about backend_cafile and so on. NULL when there were errors.
 */
struct tls_context *tls_context_load_client(const struct tls_client_settings *settings,
                                            struct findings *findings);
/* Shows `host` (kept) to the devices that ask for `name` (small letters; *.NAME for one label more), instead
 * of the context itself. `number` is the caller's. A name that is there already stays; false, and nothing is
 * changed. Only before the context is in use. */
enum tls_host_added { TLS_HOST_ADDED, TLS_HOST_THERE, TLS_HOST_NO_MEMORY };
enum tls_host_added tls_context_add_host(struct tls_context *context, struct span name,
                                         struct tls_context *host, unsigned number);
/* Calls back with each DNS name in the context's own certificates, in small letters. */
void tls_context_each_name(const struct tls_context *context, void (*tell)(void *keeper, struct span name),
                           void *keeper);
/* The number of the host that a device of this name belongs to; 0: none. */
unsigned tls_context_number(const struct tls_context *context, struct span name);

struct tls_context *tls_context_keep(struct tls_context *context);
void tls_context_drop(struct tls_context *context); /* NULL is allowed */

/* Seconds since the epoch when the first certificate of all chains ends. */
int64_t tls_context_expires_s(const struct tls_context *context);
/* The same of each certfile, and its path (borrowed); NULL behind the last. */
const char *tls_context_certfile(const struct tls_context *context, size_t index, int64_t *expires_s);

/* "OpenSSL 3.0.19 ..." of the library in use. */
const char *tls_library_version(void);

#endif
