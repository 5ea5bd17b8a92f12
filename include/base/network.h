/* network: IP addresses and networks as values (CIDR, RFC 4632 and RFC 4291), without sockets. */
#ifndef DRAWBRIDGE_BASE_NETWORK_H
#define DRAWBRIDGE_BASE_NETWORK_H

#include "base/span.h"

/* "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128" and a NUL. */
#define NETWORK_TEXT_SIZE 56

enum ip_family { IP_NONE, IP_V4, IP_V6 };

/* NONE: no IP address, such as the peer of a Unix socket. */
struct ip {
    enum ip_family family;
    uint8_t bytes[16]; /* V4: the first four, the others are 0 */
};

struct network {
    struct ip ip;     /* bits behind the prefix are 0 */
    uint8_t prefix;   /* bits that count */
    bool was_trimmed; /* the text had bits set behind the prefix, such as 192.0.2.7/24 */
};

/* An address in network byte order, of 4 or 16 bytes. IPv4 within IPv6 (::ffff:192.0.2.7) becomes IPv4, so
 * that a rule cannot be gone around by the other spelling. */
struct ip ip_of_bytes(enum ip_family family, const uint8_t *bytes);

/* What counts as one address: an IPv4 address, an IPv6 network of 64 bits, since one machine commonly has all
 * of that. */
struct ip ip_as_one(struct ip ip);

/* "192.0.2.7", "192.0.2.0/24", "2001:db8::/32"; no names, no brackets. False when it is none of them. */
bool network_read(struct span text, struct network *network);

/* False for IP_NONE. */
bool network_holds(const struct network *network, const struct ip *ip);

/* "192.0.2.0/24"; "192.0.2.7" when all bits count. Returns `room` (NETWORK_TEXT_SIZE). */
const char *network_print(const struct network *network, char *room);

/* The address alone; "none" for IP_NONE. Returns `room` (NETWORK_TEXT_SIZE). */
const char *ip_print(const struct ip *ip, char *room);

#endif
