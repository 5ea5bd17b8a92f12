/* tunnel: asking an HTTP proxy for a connection, with CONNECT (RFC 9110 9.3.6) and basic authentication (RFC
 * 7617), as bytes. */
#ifndef DRAWBRIDGE_BASE_TUNNEL_H
#define DRAWBRIDGE_BASE_TUNNEL_H

#include "base/writer.h"

/* The longest head of an answer, and of a request. */
#define TUNNEL_HEAD_MAX 8192

/* Borrowed; user and password still with their %XX. */
struct tunnel_proxy {
    bool has_user, has_password;
    struct span user, password;
    struct span host; /* without brackets */
    uint16_t port;
};

/* http://[USER[:PASSWORD]@]HOST:PORT, perhaps with a / behind. False when it is none. */
bool tunnel_read_url(struct span text, struct tunnel_proxy *proxy);

/* Replaces %XX by their bytes in place; the size, or SIZE_MAX when one is broken or a control character. */
size_t tunnel_decode(uint8_t *bytes, size_t size);

/* The request for a connection to host and port. `credentials` is user:password, empty without any. */
void tunnel_write_request(struct writer *writer, struct span host, uint16_t port, struct span credentials);

enum tunnel_outcome {
    TUNNEL_MORE,     /* so far it is the beginning of an answer */
    TUNNEL_OPEN,     /* what is written now goes to the other end */
    TUNNEL_PASSWORD, /* 407 */
    TUNNEL_REFUSED,  /* another status that is no success */
    TUNNEL_WRONG,    /* no answer of HTTP/1.x, too long, or bytes behind it that nobody has asked for */
};

/* Reads the head of the proxy's answer, of which `bytes` is the beginning. */
enum tunnel_outcome tunnel_read_answer(struct span bytes);

#endif
