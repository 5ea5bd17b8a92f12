/* http: a small, strict reader of requests for the metrics listener. Pure: no socket. */
#ifndef DRAWBRIDGE_CONTROL_HTTP_H
#define DRAWBRIDGE_CONTROL_HTTP_H

#include "base/span.h"

/* The longest request, head and all; there is never a body. */
#define HTTP_REQUEST_MAX 4096

struct http_request {
    bool is_head;     /* HEAD, otherwise GET */
    struct span path; /* without the query; borrowed */
};

/* 0: more bytes are needed. 200: read. Otherwise the status to refuse with: 400 malformed, 405 another
 * method, 413 a body, 431 too long, 505 another version. */
int http_read_request(struct span bytes, struct http_request *request);

const char *http_status_words(int status);

#endif
