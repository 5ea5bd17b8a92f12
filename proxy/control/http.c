#include "control/http.h"

/* RFC 9110's token characters. */
static bool is_token(uint8_t c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Cuts a line that ends in CR LF; false when there is none. A bare LF or CR inside is left for the caller to
 * refuse. */
static bool next_line(struct span *rest, struct span *line) {
    for (size_t i = 0; i + 1 < rest->size; i++) {
        if (rest->at[i] == '\r' && rest->at[i + 1] == '\n') {
            *line = span_first(*rest, i);
            *rest = span_after(*rest, i + 2);
            return true;
        }
    }
    return false;
}

static int read_request_line(struct span line, struct http_request *request) {
    size_t method_size = 0;
    while (method_size < line.size && is_token(line.at[method_size]))
        method_size++;
    struct span method = span_first(line, method_size);
    struct span rest = span_after(line, method_size);
    if (method_size == 0 || rest.size < 2 || rest.at[0] != ' ' || rest.at[1] != '/')
        return 400;
    rest = span_after(rest, 1);
    size_t size = 0;
    while (size < rest.size && rest.at[size] > ' ' && rest.at[size] < 0x7F)
        size++;
    struct span target = span_first(rest, size);
    rest = span_after(rest, size);
    if (span_is_text(rest, " HTTP/1.1") || span_is_text(rest, " HTTP/1.0")) {
        const uint8_t *query = memchr(target.at, '?', target.size);
        request->path = query == NULL ? target : span_first(target, (size_t)(query - target.at));
        request->is_head = span_is_text(method, "HEAD");
        return request->is_head || span_is_text(method, "GET") ? 200 : 405;
    }
    bool is_version = rest.size == 9 && span_begins_with(rest, SPAN_LITERAL(" HTTP/")) && rest.at[7] == '.';
    return is_version ? 505 : 400;
}

static bool is_name(struct span name, const char *wanted) {
    size_t i = 0;
    for (; i < name.size && wanted[i] != 0; i++)
        if ((name.at[i] | 0x20) != wanted[i])
            return false;
    return i == name.size && wanted[i] == 0;
}

static int read_field(struct span line) {
    size_t size = 0;
    while (size < line.size && is_token(line.at[size]))
        size++;
    if (size == 0 || size == line.size || line.at[size] != ':')
        return 400;
    for (size_t i = size; i < line.size; i++)
        if ((line.at[i] < ' ' && line.at[i] != '\t') || line.at[i] == 0x7F)
            return 400;
    struct span name = span_first(line, size);
    if (is_name(name, "transfer-encoding"))
        return 413;
    if (is_name(name, "content-length")) {
        struct span value = span_after(line, size + 1);
        while (value.size > 0 && (value.at[0] == ' ' || value.at[0] == '\t'))
            value = span_after(value, 1);
        return span_is_text(value, "0") ? 200 : 413;
    }
    return 200;
}

int http_read_request(struct span bytes, struct http_request *request) {
    struct span rest = bytes, line;
    int status = 0;
    for (bool is_first = true; next_line(&rest, &line); is_first = false) {
        if (line.size == 0)
            return is_first ? 400 : 200;
        status = is_first ? read_request_line(line, request) : read_field(line);
        if (status != 200)
            return status;
    }
    return bytes.size >= HTTP_REQUEST_MAX ? 431 : 0;
}

const char *http_status_words(int status) {
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
    }
}
