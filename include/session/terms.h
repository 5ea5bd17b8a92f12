/* terms: what a listener's devices live under, compiled from one configuration generation. A generation is
 * shared by all workers and freed by its last user. */
#ifndef DRAWBRIDGE_SESSION_TERMS_H
#define DRAWBRIDGE_SESSION_TERMS_H

#include "conf/conf.h"
#include "crypto/context.h"
#include "inspect/inspector.h"
#include "policy/accounts.h"
#include "policy/acl.h"
#include "policy/certificates.h"

/* What the broker is told instead of the device's own words; spans kept by the generation. */
struct backend_identity {
    bool has_username, has_password;
    struct span username, password;
    struct span clientid_prefix; /* empty: none */
};

struct terms {
    const struct conf_listener *listener;
    const struct acl *acl;                        /* NULL: no acl_file */
    const struct accounts *accounts;              /* NULL: no password_file, the broker decides */
    struct tls_context *tls;                      /* NULL: a plain listener */
    const struct certificate_rules *certificates; /* NULL: all that were verified are allowed */
    struct inspect_limits limits;
    struct backend_identity identity;
    struct terms *hosts; /* of a listener: those of its host sections, in their order; its own memory */
    size_t host_count;
    struct tls_context **files; /* of pem_dir, kept; its own memory */
    size_t file_count;
};

/* Where the devices of this name (SNI; empty: none) belong: 0 is the listener itself, 1 its first host. */
unsigned terms_host_number(const struct terms *terms, struct span name);

/* What the listener's options hold its devices to; borrows from its configuration. */
void terms_set_limits(struct terms *terms);

/* Between us and the broker. */
struct backend_http_proxy {
    const char *host; /* NULL: none */
    uint16_t port;
    struct span request;       /* what it is asked */
    struct conf_backend place; /* it, as a place to dial */
};

struct generation {
    unsigned references; /* atomic */
    struct conf *conf;
    struct arena *arena;             /* of the compiled policies */
    struct tls_context *backend_tls; /* to the broker; NULL: plain */
    struct backend_http_proxy http_proxy;
    struct terms *terms; /* one per running listener, by its index */
    size_t terms_count;
    struct terms **every; /* each listener's, its hosts' behind it; for who loads and shows */
    size_t every_count;
    struct tickets *tickets;      /* kept */
    struct keylog *keylog;        /* kept; NULL: none */
    struct bridge_plans *bridges; /* what the bridges live under; its own memory */
    uint64_t number;
};

static inline struct generation *generation_keep(struct generation *generation) {
    __atomic_add_fetch(&generation->references, 1, __ATOMIC_RELAXED);
    return generation;
}
/* Frees it when nobody keeps it any more. NULL is allowed. */
void generation_drop(struct generation *generation);

#endif
