/* facts: what a verified certificate says about a device, as far as rules speak of it. Whoever verified it
 * fills this in; names that hold a NUL or are no UTF-8 are left out there. */
#ifndef DRAWBRIDGE_POLICY_FACTS_H
#define DRAWBRIDGE_POLICY_FACTS_H

#include "base/span.h"

struct facts {
    struct span common_name;  /* the first CN of the subject; empty: none */
    const struct span *sans;  /* DNS names, URIs and e-mail addresses among the subject alternative names */
    const struct span *units; /* the OUs of the subject, in its order */
    const struct span *addresses; /* IP addresses among the subject alternative names */
    uint16_t san_count, unit_count, address_count;
    struct span issuer;        /* RFC 2253; empty: none */
    const uint8_t *key_sha256; /* of the SubjectPublicKeyInfo, 32 bytes */
};

#endif
