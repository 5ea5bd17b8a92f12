#include "base/tunnel.h"

#include <stdio.h>

/* ---- the proxy's address ---- */

static bool read_port(struct span text, uint16_t *port) {
    uint32_t value = 0;
    if (text.size == 0 || text.size > 5)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.at[i] - '0');
    }
    *port = (uint16_t)value;
    return value != 0 && value <= UINT16_MAX;
}

/* Letters, digits and what else stands in names and addresses. */
static bool is_host(struct span text, bool is_bracketed) {
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.at[i];
        bool is_alnum = (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
        if (!is_alnum && byte != '.' && (is_bracketed ? byte != ':' : byte != '-' && byte != '_'))
            return false;
    }
    return text.size != 0 && text.size < 256;
}

/* The last place of a byte; the size when it is nowhere. */
static size_t last_of(struct span text, uint8_t byte) {
    for (size_t i = text.size; i != 0; i--)
        if (text.at[i - 1] == byte)
            return i - 1;
    return text.size;
}

static void split_user(struct span text, struct tunnel_proxy *proxy) {
    const uint8_t *colon = text.size == 0 ? NULL : memchr(text.at, ':', text.size);
    proxy->has_user = true;
    proxy->has_password = colon != NULL;
    proxy->user = colon == NULL ? text : span_first(text, (size_t)(colon - text.at));
    proxy->password = colon == NULL ? SPAN_NONE : span_after(text, proxy->user.size + 1);
}

bool tunnel_read_url(struct span text, struct tunnel_proxy *proxy) {
    const struct span scheme = SPAN_LITERAL("http://");
    *proxy = (struct tunnel_proxy){0};
    if (!span_begins_with(text, scheme))
        return false;
    text = span_after(text, scheme.size);
    if (text.size != 0 && text.at[text.size - 1] == '/')
        text.size--;
    size_t at = last_of(text, '@');
    if (at != text.size) {
        split_user(span_first(text, at), proxy);
        text = span_after(text, at + 1);
    }
    size_t colon = last_of(text, ':');
    if (colon == text.size || !read_port(span_after(text, colon + 1), &proxy->port))
        return false;
    proxy->host = span_first(text, colon);
    bool is_bracketed = colon > 2 && text.at[0] == '[' && text.at[colon - 1] == ']';
    if (is_bracketed)
        proxy->host = span_of(text.at + 1, colon - 2);
    return is_host(proxy->host, is_bracketed) && (!proxy->has_user || proxy->user.size != 0);
}

static int hex_of(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

size_t tunnel_decode(uint8_t *bytes, size_t size) {
    size_t filled = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i];
        if (byte == '%') {
            if (size - i < 3 || hex_of(bytes[i + 1]) < 0 || hex_of(bytes[i + 2]) < 0)
                return SIZE_MAX;
            byte = (uint8_t)(hex_of(bytes[i + 1]) << 4 | hex_of(bytes[i + 2]));
            i += 2;
        }
        if (byte < 0x20 || byte == 0x7f)
            return SIZE_MAX;
        bytes[filled++] = byte;
    }
    return filled;
}

/* ---- the request ---- */

static void write_base64(struct writer *writer, struct span bytes) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.at[i] << 16 | (left > 1 ? (uint32_t)bytes.at[i + 1] << 8 : 0) |
                         (left > 2 ? bytes.at[i + 2] : 0u);
        writer_u8(writer, (uint8_t)letters[group >> 18]);
        writer_u8(writer, (uint8_t)letters[group >> 12 & 63]);
        writer_u8(writer, left > 1 ? (uint8_t)letters[group >> 6 & 63] : '=');
        writer_u8(writer, left > 2 ? (uint8_t)letters[group & 63] : '=');
    }
}

static void write_target(struct writer *writer, struct span host, uint16_t port) {
    char text[8];
    bool is_v6 = span_has_byte(host, ':');
    writer_bytes(writer, is_v6 ? SPAN_LITERAL("[") : SPAN_NONE);
    writer_bytes(writer, host);
    writer_bytes(writer, is_v6 ? SPAN_LITERAL("]") : SPAN_NONE);
    snprintf(text, sizeof text, ":%u", port);
    writer_bytes(writer, span_of_text(text));
}

void tunnel_write_request(struct writer *writer, struct span host, uint16_t port, struct span credentials) {
    writer_bytes(writer, SPAN_LITERAL("CONNECT "));
    write_target(writer, host, port);
    writer_bytes(writer, SPAN_LITERAL(" HTTP/1.1\r\nHost: "));
    write_target(writer, host, port);
    if (credentials.size != 0) {
        writer_bytes(writer, SPAN_LITERAL("\r\nProxy-Authorization: Basic "));
        write_base64(writer, credentials);
    }
    writer_bytes(writer, SPAN_LITERAL("\r\n\r\n"));
}

/* ---- the answer ---- */

/* RFC 9110 5.6.2 */
static bool is_token_byte(uint8_t byte) {
    bool is_alnum = (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
    return is_alnum || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool is_text_byte(uint8_t byte) {
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

/* HTTP/1.x NNN words. A line that is not whole (no CR LF yet) is right as far as it goes. */
static bool is_status_line(struct span line, bool is_whole) {
    static const char pattern[] = "HTTP/1.x NNN"; /* x: 0 or 1; N: a digit */
    const size_t size = sizeof pattern - 1;
    if (is_whole && line.size < size)
        return false;
    for (size_t i = 0; i < line.size; i++) {
        uint8_t byte = line.at[i];
        bool is_good = i > size            ? is_text_byte(byte)
                       : i == size         ? byte == ' '
                       : pattern[i] == 'x' ? byte == '0' || byte == '1'
                       : pattern[i] == 'N' && pattern[i - 1] == ' '
                           ? byte >= '2' && byte <= '5' /* no 1xx is asked for */
                       : pattern[i] == 'N' ? byte >= '0' && byte <= '9'
                                           : byte == (uint8_t)pattern[i];
        if (!is_good)
            return false;
    }
    return true;
}

/* name: value, on one line (RFC 9112 5). */
static bool is_field_line(struct span line, bool is_whole) {
    size_t name = 0;
    while (name < line.size && is_token_byte(line.at[name]))
        name++;
    if (name == line.size)
        return !is_whole;
    if (name == 0 || line.at[name] != ':')
        return false;
    for (size_t i = name + 1; i < line.size; i++)
        if (!is_text_byte(line.at[i]))
            return false;
    return true;
}

static enum tunnel_outcome of_status(struct span status_line) {
    const uint8_t *digits = status_line.at + 9;
    if (digits[0] == '2')
        return TUNNEL_OPEN;
    return memcmp(digits, "407", 3) == 0 ? TUNNEL_PASSWORD : TUNNEL_REFUSED;
}

enum tunnel_outcome tunnel_read_answer(struct span bytes) {
    struct span left = bytes;
    for (size_t count = 0;; count++) {
        const uint8_t *newline = left.size == 0 ? NULL : memchr(left.at, '\n', left.size);
        struct span line = newline == NULL ? left : span_first(left, (size_t)(newline - left.at));
        bool has_return = line.size != 0 && line.at[line.size - 1] == '\r';
        if (newline != NULL && !has_return)
            return TUNNEL_WRONG;
        line.size -= has_return;
        bool is_end = newline != NULL && line.size == 0 && count != 0;
        bool is_good = is_end || (count == 0 ? is_status_line(line, newline != NULL)
                                             : is_field_line(line, newline != NULL));
        if (!is_good)
            return TUNNEL_WRONG;
        if (newline == NULL)
            return bytes.size < TUNNEL_HEAD_MAX ? TUNNEL_MORE : TUNNEL_WRONG;
        left = span_after(left, (size_t)(newline - left.at) + 1);
        if (!is_end)
            continue;
        if ((size_t)(left.at - bytes.at) > TUNNEL_HEAD_MAX)
            return TUNNEL_WRONG;
        /* The other end speaks when it has heard our ClientHello, not before. */
        enum tunnel_outcome outcome = of_status(bytes);
        return outcome == TUNNEL_OPEN && left.size != 0 ? TUNNEL_WRONG : outcome;
    }
}
