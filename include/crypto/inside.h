/* inside: what the files of crypto/ share among themselves; nobody else includes this. */
#ifndef DRAWBRIDGE_CRYPTO_INSIDE_H
#define DRAWBRIDGE_CRYPTO_INSIDE_H

#include <openssl/ssl.h>

#include "crypto/context.h"
#include "crypto/engine.h"
#include "policy/psk.h"

#define SHA256_SIZE 32

/* A certificate of our own. */
struct tls_own {
    X509 *certificate; /* kept */
    char *path;
    int64_t expires_s; /* the first of its chain to end */
    uint8_t *staple;   /* the OCSP response about it, its own; NULL: none */
    size_t staple_size;
    int64_t staple_until_s;
};

/* Of a client with a pre-shared key. */
#define PSK_OWN_MAX 256
struct psk_own {
    char *identity; /* NULL: none; owned */
    unsigned size;
    uint8_t key[PSK_OWN_MAX];
};

/* A name that devices may ask for, and what they get. */
struct tls_host {
    char *name;
    struct tls_context *context; /* kept */
    unsigned number;
};

struct tls_context {
    SSL_CTX *ssl_ctx;
    struct tls_own owns[TLS_PAIRS_MAX];
    size_t own_count;
    bool asks_certificate, certificate_is_optional;
    bool ignores_client_dates;
    bool is_client;                    /* of tls_context_load_client */
    char *sni;                         /* of a client; NULL: none is sent; owned */
    struct psk_own psk_own;            /* of a client */
    STACK_OF(X509_CRL) * lists;        /* NULL: none */
    bool checks_chain;                 /* for revocation, not the device's own certificate alone */
    uint8_t lists_digest[SHA256_SIZE]; /* of the lists and how they are asked */
    struct arena *psk_arena;           /* of the keys; NULL: certificates */
    const struct psk_keys *psk_keys;   /* NULL: certificates */
    struct tickets *tickets;           /* kept; NULL: OpenSSL's own keys, or no tickets */
    int64_t ticket_rotation_s;
    struct keylog *keylog; /* kept; NULL: none */
    uint8_t *alpn;         /* names as on the wire; its own */
    size_t alpn_size;
    bool is_alpn_strict, is_sni_strict;
    struct tls_host *hosts; /* in the order of their names */
    size_t host_count;
    unsigned references; /* atomic */
};

/* Bytes that OpenSSL may add to one record, of every cipher it has. */
#define ENGINE_RECORD_OVERHEAD 512
#define ENGINE_RECORD_SIZE     (16 * 1024)

/* Bytes at the start of a connection that tell TLS from everything else: the record header and the header of
 * the ClientHello in it. */
#define HELLO_LOOK_SIZE 9

/* SANs that are looked at: of each of four kinds as many as may be named. */
#define PEER_SANS_MAX (4 * PEER_NAMES_MAX)

/* The identity in a verified certificate, kept apart from it: one piece of memory for `facts` with its spans,
 * the other names and all texts, each with a NUL behind it. A name that is missing or refused has size 0. */
struct identity {
    struct facts facts;
    struct span subject, serial;
    struct span *sans, *units; /* all SANs, those that are refused too, so that each keeps its number */
    const uint8_t *kinds;      /* of the SANs: enum conf_source_kind */
    uint16_t san_count;
    uint8_t key[SHA256_SIZE];
    char fingerprint[2 * SHA256_SIZE + 1];
    struct span names[]; /* the SANs of the facts, the addresses, all SANs, the OUs; the texts stand behind */
};

struct engine {
    SSL *ssl;
    struct tls_context *context;  /* of the host, when the device asked for one */
    struct tls_context *listener; /* that it began with; kept, for OpenSSL goes on to ask it */
    char *host_name;              /* that the device asked for, in small letters; NULL: none */
    struct span in;               /* ciphertext that was fed and not yet taken */
    struct engine_out *out;       /* of the call in progress, else NULL */
    struct identity *identity;
    const struct psk *psk; /* that the device has named; kept by the context */
    bool is_psk_unknown;   /* it has named one that does not exist */
    uint8_t state;         /* enum engine_state */
    uint8_t trouble;       /* enum tls_trouble */
    uint8_t dial_trouble;  /* enum dial_trouble, of a client */
    uint8_t doubt;         /* of a callback of ours that refuses: the trouble to be; else NONE */
    bool was_open;
    bool is_tls;    /* the first bytes were looked at */
    bool is_chosen; /* the ClientHello was looked at */
    uint8_t first[HELLO_LOOK_SIZE];
    uint8_t first_count, first_given;
    uint8_t *hello; /* what follows them of the first record, while that is not whole; NULL: nothing */
    uint16_t hello_size, hello_given;
};

/* bio: reads from engine->first, engine->hello and engine->in, appends to engine->out. NULL when memory is
 * out. */
BIO *engine_bio_new(struct engine *engine);

/* hello: what the first bytes are. */
enum hello_kind { HELLO_TLS, HELLO_MORE, HELLO_REFUSED };
enum hello_kind hello_look(struct span first, enum tls_trouble *trouble);

/* trouble: judges what the SSL_* call that just failed left in the thread's error queue, and empties it. */
enum tls_trouble trouble_of(const SSL *ssl);
/* dial_trouble: the same for a client. */
enum dial_trouble dial_trouble_of(const SSL *ssl);

/* revocation: what engine_is_revoked asks of a context. */
bool revocation_prepare(struct tls_context *context, STACK_OF(X509_CRL) * lists, bool checks_chain);
/* The CAs above a certificate of a resumed session, which came without them: of the context's own. NULL when
 * they do not suffice; sk_X509_pop_free. */
STACK_OF(X509) * revocation_chain(const struct tls_context *context, X509 *certificate);

/* psk: with pre-shared keys, what a failed handshake really means. */
enum tls_trouble psk_trouble(const struct engine *engine, enum tls_trouble trouble);

/* pretend: verifies as OpenSSL does with a client's chain. NULL when it is good, else a static text. */
const char *peer_verify(SSL_CTX *ssl_ctx, X509 *certificate, STACK_OF(X509) * chain);

/* ticket: gives tickets with these keys (kept), or none with a rotation of 0. */
bool tickets_use(struct tls_context *context, struct tickets *tickets, int64_t rotation_s);
/* For tests: another clock than the machine's. */
void tickets_set_clock(struct tickets *tickets, int64_t (*now_s)(void));

/* alpn: the protocols of a listener. `load` says what is wrong. */
struct loading;
bool alpn_load(struct loading *loading, struct tls_context *context);
void alpn_use(struct tls_context *context);
/* False: the device offers none, and the listener insists. For the callback of the ClientHello. */
bool alpn_may_come(const struct tls_context *context, SSL *ssl);

/* staple: the OCSP responses about its own certificates. Says what is wrong. */
void staple_load(struct loading *loading, struct tls_context *context);
/* stapled: a client that ends the handshake without a good one of the server. */
void staple_demand(struct tls_context *context);

/* keylog: writes down the secrets of this context's connections. */
void keylog_use(struct tls_context *context, struct keylog *keylog);

/* choose: looks at each ClientHello for this context. */
void choose_use(struct tls_context *context);
void choose_clear(struct tls_context *context);

/* peer: the identity of the verified certificate; NULL when there is none (is_out_of_memory false). */
struct identity *peer_identity(const SSL *ssl, bool *is_out_of_memory);
/* The same of a certificate at hand; NULL when memory is out. */
struct identity *peer_identity_of(X509 *certificate);

#endif
