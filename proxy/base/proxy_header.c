#include "base/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/reader.h"

static const struct {
    const char *label, *sentence;
} faults[] = {
#define PROXY_FAULT(name, label, sentence) {label, sentence},
#include "base/proxy_faults.def"
#undef PROXY_FAULT
};

const char *proxy_fault_label(enum proxy_fault fault) {
    return faults[fault].label;
}

const char *proxy_fault_sentence(enum proxy_fault fault) {
    return faults[fault].sentence;
}

static const struct span signature = SPAN_LITERAL("\r\n\r\n\0\r\nQUIT\n");
static const struct span word = SPAN_LITERAL("PROXY ");

#define V2_HEAD_SIZE 16
#define VERSION_2    0x20

enum command { COMMAND_LOCAL, COMMAND_PROXY };
enum family_byte { FAMILY_UNSPEC = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21, FAMILY_UNIX_STREAM = 0x31 };
enum tlv {
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23
};

static enum proxy_outcome wrong(enum proxy_fault *fault, enum proxy_fault which) {
    *fault = which;
    return PROXY_HEADER_WRONG;
}

static enum proxy_outcome more(struct proxy_header *header, size_t need) {
    header->need = need;
    return PROXY_HEADER_MORE;
}

/* Is what is there of `bytes` the beginning of `start`, as far as both go? */
static bool begins_like(struct span bytes, struct span start) {
    size_t size = bytes.size < start.size ? bytes.size : start.size;
    return size == 0 || memcmp(bytes.at, start.at, size) == 0;
}

/* Neither of the two, or the other one of them? The two differ in the first byte. */
static enum proxy_outcome not_this(struct span bytes, struct span other, enum proxy_fault *fault) {
    return wrong(fault, bytes.size >= other.size && begins_like(bytes, other) ? PROXY_FAULT_OTHER_VERSION
                                                                              : PROXY_FAULT_NOT_PROXY);
}

/* ---- version 1: PROXY TCP4 192.0.2.1 192.0.2.2 4711 8883 CR LF ---- */

#define V1_SHORTEST 15 /* PROXY UNKNOWN CR LF */

static bool read_address(struct span text, enum proxy_family family, uint8_t *room) {
    char copy[INET6_ADDRSTRLEN];
    if (text.size == 0 || text.size >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return inet_pton(family == PROXY_V4 ? AF_INET : AF_INET6, copy, room) == 1;
}

static bool read_port(struct span text, uint16_t *port) {
    uint32_t value = 0;
    if (text.size == 0 || text.size > 5 || text.at[0] == '0')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.at[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* What stands in front of the next space, or all. */
static struct span take_field(struct span *text) {
    const uint8_t *space = text->size == 0 ? NULL : memchr(text->at, ' ', text->size);
    struct span field = space == NULL ? *text : span_first(*text, (size_t)(space - text->at));
    *text = space == NULL ? SPAN_NONE : span_after(*text, field.size + 1);
    return field;
}

static enum proxy_outcome read_fields(struct span text, struct proxy_ends *ends, enum proxy_fault *fault) {
    struct span fields[4];
    size_t spaces = 0;
    for (size_t i = 0; i < text.size; i++)
        spaces += text.at[i] == ' ';
    if (spaces != 3 || span_has_byte(text, 0))
        return wrong(fault, PROXY_FAULT_BAD_TEXT);
    for (size_t i = 0; i < 4; i++)
        fields[i] = take_field(&text);
    if (!read_address(fields[0], ends->family, ends->source) ||
        !read_address(fields[1], ends->family, ends->destination))
        return wrong(fault, PROXY_FAULT_BAD_ADDRESS);
    if (!read_port(fields[2], &ends->source_port) || !read_port(fields[3], &ends->destination_port))
        return wrong(fault, PROXY_FAULT_BAD_PORT);
    return PROXY_HEADER_WHOLE;
}

/* How much is missing at least of a line whose first bytes behind `PROXY TCPn ` are these. */
static size_t missing_of_fields(struct span text, enum proxy_family family) {
    const size_t address = family == PROXY_V4 ? 7 : 2; /* 1.1.1.1 and :: */
    const size_t shortest[4] = {address, address, 1, 1};
    size_t field = 0, filled = 0, missing = 2;
    for (size_t i = 0; i < text.size; i++) {
        bool is_space = text.at[i] == ' ';
        field += is_space && field < 3;
        filled = is_space ? 0 : filled + 1;
    }
    missing += filled < shortest[field] ? shortest[field] - filled : 0;
    for (size_t i = field + 1; i < 4; i++)
        missing += 1 + shortest[i];
    return missing;
}

static enum proxy_outcome read_v1(struct span bytes, struct proxy_header *header, enum proxy_fault *fault) {
    static const struct {
        struct span start;
        enum proxy_family family;
    } kinds[] = {{SPAN_LITERAL("PROXY TCP4 "), PROXY_V4},
                 {SPAN_LITERAL("PROXY TCP6 "), PROXY_V6},
                 {SPAN_LITERAL("PROXY UNKNOWN"), PROXY_UNKNOWN}};
    if (!begins_like(bytes, word))
        return not_this(bytes, signature, fault);
    if (bytes.size < V1_SHORTEST)
        return more(header, V1_SHORTEST - bytes.size);
    size_t kind = 0;
    while (kind < 3 && !span_begins_with(bytes, kinds[kind].start))
        kind++;
    if (kind == 3)
        return wrong(fault, PROXY_FAULT_BAD_TEXT);
    header->ends.family = kinds[kind].family;
    struct span text = span_after(bytes, kinds[kind].start.size);
    const uint8_t *newline = memchr(bytes.at, '\n', bytes.size);
    size_t size = newline == NULL ? bytes.size : (size_t)(newline - bytes.at) + 1;
    if (size > PROXY_LINE_MAX || (newline == NULL && size == PROXY_LINE_MAX))
        return wrong(fault, PROXY_FAULT_TOO_LONG);
    if (newline != NULL && newline[-1] != '\r')
        return wrong(fault, PROXY_FAULT_BAD_TEXT);
    if (newline == NULL) {
        size_t missing = bytes.at[bytes.size - 1] == '\r' ? 1
                         : header->ends.family == PROXY_UNKNOWN
                             ? 2
                             : missing_of_fields(text, header->ends.family);
        size_t left = PROXY_LINE_MAX - bytes.size;
        return more(header, missing < left ? missing : left);
    }
    header->size = size;
    text = span_first(text, size - kinds[kind].start.size - 2);
    if (header->ends.family != PROXY_UNKNOWN)
        return read_fields(text, &header->ends, fault);
    /* What may stand behind UNKNOWN is to be ignored, but it is not UNKNOWNS. */
    return text.size == 0 || text.at[0] == ' ' ? PROXY_HEADER_WHOLE : wrong(fault, PROXY_FAULT_BAD_TEXT);
}

/* ---- version 2 ---- */

/* CRC32c (RFC 3720 B.4), bit by bit: a header is short and rare. */
static uint32_t crc32c(uint32_t crc, struct span bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return crc;
}

/* The checksum is that of the whole header with zeros in its own place. */
static bool is_sum_right(struct span whole, struct span sum) {
    if (sum.size != 4)
        return false;
    size_t before = (size_t)(sum.at - whole.at);
    uint32_t crc = crc32c(~0u, span_first(whole, before));
    crc = crc32c(crc, SPAN_LITERAL("\0\0\0\0"));
    crc = ~crc32c(crc, span_after(whole, before + 4));
    struct reader reader = reader_of(sum);
    return crc == reader_u32(&reader);
}

static bool read_tlv(struct reader *reader, uint8_t *type, struct span *value) {
    *type = reader_u8(reader);
    *value = reader_string(reader);
    return !reader->is_short;
}

/* Each of these may stand there once. */
static bool take_once(struct span *field, struct span value) {
    bool is_first = field->at == NULL;
    *field = value;
    return is_first;
}

static bool read_tls(struct span value, struct proxy_tls *tls) {
    struct reader reader = reader_of(value);
    uint8_t type;
    struct span text;
    tls->client = reader_u8(&reader);
    tls->verify = reader_u32(&reader);
    if (reader.is_short)
        return false;
    while (reader_left(&reader) != 0) {
        if (!read_tlv(&reader, &type, &text))
            return false;
        bool is_good = type == TLV_SSL_VERSION  ? take_once(&tls->version, text)
                       : type == TLV_SSL_CIPHER ? take_once(&tls->cipher, text)
                       : type == TLV_SSL_CN     ? take_once(&tls->common_name, text)
                                                : true;
        if (!is_good)
            return false;
    }
    return true;
}

static enum proxy_outcome read_tlvs(struct span whole, struct span bytes, struct proxy_tls *tls,
                                    enum proxy_fault *fault) {
    struct reader reader = reader_of(bytes);
    bool has_sum = false, has_tls = false;
    while (reader_left(&reader) != 0) {
        uint8_t type;
        struct span value;
        if (!read_tlv(&reader, &type, &value))
            return wrong(fault, PROXY_FAULT_BAD_TLV);
        bool *is_there = type == TLV_CRC32C ? &has_sum : type == TLV_SSL ? &has_tls : NULL;
        if (is_there != NULL && *is_there)
            return wrong(fault, PROXY_FAULT_BAD_TLV);
        if (is_there != NULL)
            *is_there = true;
        if (type == TLV_CRC32C && !is_sum_right(whole, value))
            return wrong(fault, PROXY_FAULT_BAD_CHECKSUM);
        if (type == TLV_SSL && !read_tls(value, tls))
            return wrong(fault, PROXY_FAULT_BAD_TLV);
    }
    return PROXY_HEADER_WHOLE;
}

static struct span up_to_nul(struct span path) {
    const uint8_t *nul = path.size == 0 ? NULL : memchr(path.at, 0, path.size);
    return nul == NULL ? path : span_first(path, (size_t)(nul - path.at));
}

/* False when the header has not enough bytes for its addresses. */
static bool read_ends(struct reader *reader, struct proxy_ends *ends) {
    size_t size = ends->family == PROXY_V4 ? 4 : 16;
    if (ends->family == PROXY_UNIX) {
        ends->source_path = up_to_nul(reader_bytes(reader, PROXY_PATH_SIZE));
        reader_bytes(reader, PROXY_PATH_SIZE);
        return !reader->is_short;
    }
    struct span source = reader_bytes(reader, size), destination = reader_bytes(reader, size);
    ends->source_port = reader_u16(reader);
    ends->destination_port = reader_u16(reader);
    if (reader->is_short)
        return false;
    memcpy(ends->source, source.at, size);
    memcpy(ends->destination, destination.at, size);
    return true;
}

/* The fixed sixteen bytes, judged before anything behind them is waited for. */
static enum proxy_outcome read_head(struct span bytes, struct proxy_header *header, enum proxy_fault *fault) {
    unsigned command = bytes.at[12] & 0x0fu;
    if ((bytes.at[12] & 0xf0) != VERSION_2)
        return wrong(fault, PROXY_FAULT_OTHER_VERSION);
    if (command > COMMAND_PROXY)
        return wrong(fault, PROXY_FAULT_BAD_COMMAND);
    header->is_local = command == COMMAND_LOCAL;
    header->size = V2_HEAD_SIZE + (size_t)(bytes.at[14] << 8 | bytes.at[15]);
    header->ends.family = bytes.at[13] == FAMILY_TCP4          ? PROXY_V4
                          : bytes.at[13] == FAMILY_TCP6        ? PROXY_V6
                          : bytes.at[13] == FAMILY_UNIX_STREAM ? PROXY_UNIX
                                                               : PROXY_UNKNOWN;
    if (header->ends.family == PROXY_UNKNOWN && !header->is_local)
        return wrong(fault, PROXY_FAULT_BAD_FAMILY);
    if (header->size > PROXY_HEADER_MAX)
        return wrong(fault, PROXY_FAULT_TOO_LONG);
    return PROXY_HEADER_WHOLE;
}

static enum proxy_outcome read_v2(struct span bytes, struct proxy_header *header, enum proxy_fault *fault) {
    if (!begins_like(bytes, signature))
        return not_this(bytes, word, fault);
    if (bytes.size < V2_HEAD_SIZE)
        return more(header, V2_HEAD_SIZE - bytes.size);
    enum proxy_outcome outcome = read_head(bytes, header, fault);
    if (outcome != PROXY_HEADER_WHOLE)
        return outcome;
    if (bytes.size < header->size)
        return more(header, header->size - bytes.size);
    struct span whole = span_first(bytes, header->size);
    struct reader reader = reader_of(span_after(whole, V2_HEAD_SIZE));
    if (header->is_local) { /* its addresses and TLVs are to be ignored */
        header->ends = (struct proxy_ends){.family = PROXY_UNKNOWN};
        return PROXY_HEADER_WHOLE;
    }
    if (!read_ends(&reader, &header->ends))
        return wrong(fault, PROXY_FAULT_BAD_LENGTH);
    return read_tlvs(whole, span_of(reader.at, reader_left(&reader)), &header->tls, fault);
}

enum proxy_outcome proxy_header_read(unsigned version, struct span bytes, struct proxy_header *header,
                                     enum proxy_fault *fault) {
    *header = (struct proxy_header){0};
    *fault = PROXY_FAULT_NONE;
    return version == 1 ? read_v1(bytes, header, fault) : read_v2(bytes, header, fault);
}

/* ---- writing ---- */

static void write_v1(struct writer *writer, const struct proxy_ends *ends) {
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN], line[160];
    bool is_v4 = ends->family == PROXY_V4;
    if ((!is_v4 && ends->family != PROXY_V6) || ends->source_port == 0 || ends->destination_port == 0) {
        writer_bytes(writer, SPAN_LITERAL("PROXY UNKNOWN\r\n"));
        return;
    }
    inet_ntop(is_v4 ? AF_INET : AF_INET6, ends->source, source, sizeof source);
    inet_ntop(is_v4 ? AF_INET : AF_INET6, ends->destination, destination, sizeof destination);
    snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", is_v4 ? "TCP4" : "TCP6", source, destination,
             ends->source_port, ends->destination_port);
    writer_bytes(writer, span_of_text(line));
}

static void write_tlv(struct writer *writer, enum tlv type, struct span value) {
    if (value.size == 0)
        return;
    writer_u8(writer, (uint8_t)type);
    writer_string(writer, value);
}

static size_t tlv_size(struct span value) {
    return value.size == 0 ? 0 : 3 + value.size;
}

/* Takes the field's room, or empties it. */
static void fit(struct span *value, size_t *room) {
    if (tlv_size(*value) > *room)
        *value = SPAN_NONE;
    *room -= tlv_size(*value);
}

static void write_tls(struct writer *writer, struct proxy_tls tls, size_t room) {
    const size_t fixed = 3 + 5;
    if (room < fixed || (tls.client & PROXY_TLS_USED) == 0)
        return;
    room -= fixed;
    fit(&tls.common_name, &room);
    fit(&tls.version, &room);
    fit(&tls.cipher, &room);
    writer_u8(writer, TLV_SSL);
    writer_u16(writer,
               (uint16_t)(5 + tlv_size(tls.common_name) + tlv_size(tls.version) + tlv_size(tls.cipher)));
    writer_u8(writer, tls.client);
    writer_u32(writer, tls.verify);
    write_tlv(writer, TLV_SSL_VERSION, tls.version);
    write_tlv(writer, TLV_SSL_CN, tls.common_name);
    write_tlv(writer, TLV_SSL_CIPHER, tls.cipher);
}

void proxy_header_write(struct writer *writer, enum proxy_form form, const struct proxy_ends *ends,
                        const struct proxy_tls *tls) {
    if (form == PROXY_FORM_V1) {
        write_v1(writer, ends);
        return;
    }
    uint8_t room[PROXY_WRITTEN_BODY_MAX];
    struct writer body = writer_of(room, sizeof room);
    bool is_v4 = ends->family == PROXY_V4, has_address = is_v4 || ends->family == PROXY_V6;
    if (has_address) {
        writer_bytes(&body, span_of(ends->source, is_v4 ? 4 : 16));
        writer_bytes(&body, span_of(ends->destination, is_v4 ? 4 : 16));
        writer_u16(&body, ends->source_port);
        writer_u16(&body, ends->destination_port);
    }
    if (has_address && form == PROXY_FORM_V2_SSL)
        write_tls(&body, *tls, sizeof room - writer_size(&body));
    writer_bytes(writer, signature);
    writer_u8(writer, VERSION_2 | (has_address ? COMMAND_PROXY : COMMAND_LOCAL));
    writer_u8(writer, is_v4 ? FAMILY_TCP4 : has_address ? FAMILY_TCP6 : FAMILY_UNSPEC);
    writer_string(writer, writer_span(&body));
}
