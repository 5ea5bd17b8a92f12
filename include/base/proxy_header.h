/* proxy_header: the PROXY protocol, versions 1 and 2, as bytes: what a proxy says in front of a connection
 * about the one that it stands for (haproxy's doc/proxy-protocol.txt). */
#ifndef DRAWBRIDGE_BASE_PROXY_HEADER_H
#define DRAWBRIDGE_BASE_PROXY_HEADER_H

#include "base/writer.h"

enum proxy_fault {
#define PROXY_FAULT(name, label, sentence) PROXY_FAULT_##name,
#include "base/proxy_faults.def"
#undef PROXY_FAULT
    PROXY_FAULT_COUNT
};
const char *proxy_fault_label(enum proxy_fault fault);
const char *proxy_fault_sentence(enum proxy_fault fault);

/* UNKNOWN: the proxy does not say; the connection's own addresses count. */
enum proxy_family { PROXY_UNKNOWN, PROXY_V4, PROXY_V6, PROXY_UNIX };

#define PROXY_PATH_SIZE 108

struct proxy_ends {
    enum proxy_family family;
    uint8_t source[16], destination[16]; /* in network byte order; V4: the first four */
    uint16_t source_port, destination_port;
    struct span source_path; /* UNIX: up to the first NUL, borrowed; empty: nameless */
};

/* Bits of proxy_tls.client (PP2_CLIENT_*). */
#define PROXY_TLS_USED         0x01
#define PROXY_TLS_CERT_CONN    0x02
#define PROXY_TLS_CERT_SESSION 0x04

/* What the proxy says of the device's TLS (PP2_TYPE_SSL); spans are borrowed, empty where it says nothing. */
struct proxy_tls {
    uint8_t client;
    uint32_t verify; /* 0: the certificate was verified */
    struct span version, cipher, common_name;
};

/* Does it name a certificate that was shown and verified? Only then is the common name worth anything. */
static inline bool proxy_tls_is_verified(const struct proxy_tls *tls) {
    return (tls->client & PROXY_TLS_USED) != 0 && (tls->client & PROXY_TLS_CERT_SESSION) != 0 &&
           tls->verify == 0;
}

struct proxy_header {
    size_t size; /* of the whole header */
    size_t need; /* PROXY_HEADER_MORE: so many bytes are missing at least; reading them never reads past it */
    bool is_local; /* nobody stands behind the proxy: it asks whether we are alive */
    struct proxy_ends ends;
    struct proxy_tls tls; /* of version 2; all zero: it says nothing */
};

enum proxy_outcome { PROXY_HEADER_WHOLE, PROXY_HEADER_MORE, PROXY_HEADER_WRONG };

/* The longest header that is taken, those of hitch with a whole certificate too. */
#define PROXY_HEADER_MAX 4096
/* The longest line of version 1, its end included. */
#define PROXY_LINE_MAX 107

/* Reads a header of that version (1 or 2) at the start of `bytes`, of which no more may be there than belongs
 * to it: begin with none and add `need` each time. Unknown TLVs are skipped; a checksum (CRC32c) is checked
 * where there is one. Spans in `header` borrow from `bytes`. */
enum proxy_outcome proxy_header_read(unsigned version, struct span bytes, struct proxy_header *header,
                                     enum proxy_fault *fault);

enum proxy_form { PROXY_FORM_V1, PROXY_FORM_V2, PROXY_FORM_V2_SSL };

/* Room for everything proxy_header_write writes. */
#define PROXY_WRITTEN_MAX 516
/* Addresses and TLVs of a written header together: mosquitto 2.1 takes no more. */
#define PROXY_WRITTEN_BODY_MAX 500

/* Without an IP address of the device (UNKNOWN, UNIX) the header says UNKNOWN or LOCAL. The TLVs about TLS
 * are those of V2_SSL only; what does not fit is left out: the cipher first, the version next, the common
 * name last. A common name that would be cut is left out as a whole. */
void proxy_header_write(struct writer *writer, enum proxy_form form, const struct proxy_ends *ends,
                        const struct proxy_tls *tls);

#endif
