/* address: where a peer is, as bytes for the system and as text for people. */
#ifndef DRAWBRIDGE_LINK_ADDRESS_H
#define DRAWBRIDGE_LINK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/network.h"

#define ADDRESS_TEXT_SIZE 112

struct address {
    socklen_t size; /* of `socket`; 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } socket;
};

/* "192.0.2.1" or "2001:db8::1" (brackets allowed) and a port; false when the text is no literal address (but
 * perhaps a name). */
bool address_read(struct address *address, const char *host, uint16_t port);

/* A unix socket; false when the path is too long for the system (107 bytes). */
bool address_of_path(struct address *address, const char *path);

/* Of 4 bytes (V4) or 16 in network byte order; NONE gives a nameless Unix peer. */
void address_of_bytes(struct address *address, enum ip_family family, const uint8_t *bytes, uint16_t port);
/* And back: the family, up to 16 bytes in `bytes` and the port, as they stand there. */
enum ip_family address_bytes(const struct address *address, uint8_t *bytes, uint16_t *port);

/* The address without its port, for rules; IP_NONE for a Unix socket. */
struct ip address_ip(const struct address *address);

/* "192.0.2.1:1883", "[2001:db8::1]:1883", "unix:/run/x", "local" for a nameless unix peer. Returns `room`
 * (ADDRESS_TEXT_SIZE). */
const char *address_print(const struct address *address, char *room);

#endif
