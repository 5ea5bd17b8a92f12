/* The PROXY protocol: what is taken, what is refused and why, that nothing behind the header is asked for,
 * and that what we write is what we read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_ENDS   "\xC0\x00\x02\x07\xC0\x00\x02\x01\x12\x67\x22\xB3"

/* Reads as a connection is read: only as much as is asked for, from a piece of memory that ends there. */
static enum proxy_outcome read_stream(unsigned version, struct span stream, struct proxy_header *header,
                                      enum proxy_fault *fault, uint8_t **kept, size_t *taken) {
    uint8_t *bytes = malloc(1);
    *taken = 0;
    for (;;) {
        enum proxy_outcome outcome = proxy_header_read(version, span_of(bytes, *taken), header, fault);
        if (outcome != PROXY_HEADER_MORE || *taken + header->need > stream.size) {
            *kept = bytes;
            return outcome;
        }
        assert_true(header->need != 0);
        bytes = realloc(bytes, *taken + header->need);
        memcpy(bytes + *taken, stream.at + *taken, header->need);
        *taken += header->need;
    }
}

static enum proxy_fault fault_of(unsigned version, struct span stream) {
    struct proxy_header header;
    enum proxy_fault fault;
    uint8_t *kept;
    size_t taken;
    enum proxy_outcome outcome = read_stream(version, stream, &header, &fault, &kept, &taken);
    free(kept);
    assert_int_equal(outcome == PROXY_HEADER_WRONG, fault != PROXY_FAULT_NONE);
    if (outcome == PROXY_HEADER_MORE)
        return PROXY_FAULT_CUT_SHORT; /* the stream was not long enough */
    if (outcome == PROXY_HEADER_WHOLE)
        assert_int_equal(header.size, taken);
    return fault;
}

/* 20 or 21, family, length, and what follows. */
static struct span v2(uint8_t *room, uint8_t command, uint8_t family, struct span body) {
    struct writer writer = writer_of(room, 8192);
    writer_bytes(&writer, SPAN_LITERAL(SIGNATURE));
    writer_u8(&writer, command);
    writer_u8(&writer, family);
    writer_string(&writer, body);
    return writer_span(&writer);
}

static void lines_are_read(void **state) {
    (void)state;
    static const struct {
        struct span text;
        enum proxy_family family;
        const char *source, *destination;
        uint16_t source_port, destination_port;
    } rows[] = {
        {SPAN_LITERAL("PROXY TCP4 192.0.2.7 192.0.2.1 4711 8883\r\n"), PROXY_V4, "192.0.2.7", "192.0.2.1",
         4711, 8883},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"), PROXY_V4, "1.1.1.1", "1.1.1.1", 1, 1},
        {SPAN_LITERAL("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_V4,
         "255.255.255.255", "255.255.255.255", 65535, 65535},
        {SPAN_LITERAL("PROXY TCP6 2001:db8::7 ::1 4711 8883\r\n"), PROXY_V6, "2001:db8::7", "::1", 4711,
         8883},
        {SPAN_LITERAL("PROXY TCP6 :: :: 1 1\r\n"), PROXY_V6, "::", "::", 1, 1},
        {SPAN_LITERAL("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         PROXY_V6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         65535, 65535},
        {SPAN_LITERAL("PROXY UNKNOWN\r\n"), PROXY_UNKNOWN, NULL, NULL, 0, 0},
        {SPAN_LITERAL("PROXY UNKNOWN ffff::1 1.2.3.4 anything at all\r\n"), PROXY_UNKNOWN, NULL, NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t stream[256], expected[16], *kept;
        struct proxy_header header;
        enum proxy_fault fault;
        size_t taken;
        memcpy(stream, rows[i].text.at, rows[i].text.size);
        memcpy(stream + rows[i].text.size, "\x10\x20MQTT", 6); /* not ours to read */
        assert_int_equal(
            read_stream(1, span_of(stream, rows[i].text.size + 6), &header, &fault, &kept, &taken),
            PROXY_HEADER_WHOLE);
        assert_int_equal(taken, rows[i].text.size);
        assert_int_equal(header.size, rows[i].text.size);
        assert_int_equal(header.ends.family, rows[i].family);
        assert_int_equal(header.ends.source_port, rows[i].source_port);
        assert_int_equal(header.ends.destination_port, rows[i].destination_port);
        assert_false(header.is_local);
        if (rows[i].source != NULL) {
            int family = rows[i].family == PROXY_V4 ? AF_INET : AF_INET6;
            inet_pton(family, rows[i].source, expected);
            assert_memory_equal(header.ends.source, expected, family == AF_INET ? 4 : 16);
            inet_pton(family, rows[i].destination, expected);
            assert_memory_equal(header.ends.destination, expected, family == AF_INET ? 4 : 16);
        }
        free(kept);
    }
}

static void wrong_lines_are_refused(void **state) {
    (void)state;
    static const struct {
        struct span text;
        enum proxy_fault fault;
    } rows[] = {
        {SPAN_LITERAL("\x10\x20\x00\x04MQTT\x04\x02\x00\x3c\x00\x03xyz"), PROXY_FAULT_NOT_PROXY},
        {SPAN_LITERAL("proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n"), PROXY_FAULT_NOT_PROXY},
        {SPAN_LITERAL(SIGNATURE "\x21\x11\0\x0C"), PROXY_FAULT_OTHER_VERSION},
        {SPAN_LITERAL("PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 11\r\n    "), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n     "), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1\0 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY UNKNOWNS\r\n"), PROXY_FAULT_BAD_TEXT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_ADDRESS},
        {SPAN_LITERAL("PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_ADDRESS},
        {SPAN_LITERAL("PROXY TCP4 1.1.1 1.1.1.1111 1 1\r\n"), PROXY_FAULT_BAD_ADDRESS},
        {SPAN_LITERAL("PROXY TCP4 ::1 ::1 1 1\r\n             "), PROXY_FAULT_BAD_ADDRESS},
        {SPAN_LITERAL("PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n"), PROXY_FAULT_BAD_ADDRESS},
        {SPAN_LITERAL("PROXY TCP6 ::1%lo ::1 1 1\r\n"), PROXY_FAULT_BAD_ADDRESS},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 0 1\r\n"), PROXY_FAULT_BAD_PORT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 01\r\n"), PROXY_FAULT_BAD_PORT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n"), PROXY_FAULT_BAD_PORT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n"), PROXY_FAULT_BAD_PORT},
        {SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 1"), PROXY_FAULT_CUT_SHORT},
        {SPAN_LITERAL("PROXY UNKNOWN\r"), PROXY_FAULT_CUT_SHORT},
        {SPAN_LITERAL(""), PROXY_FAULT_CUT_SHORT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum proxy_fault fault = fault_of(1, rows[i].text);
        if (fault != rows[i].fault)
            fail_msg("row %zu: %s", i, proxy_fault_label(fault));
    }
    char line[PROXY_LINE_MAX + 3];
    for (int size = PROXY_LINE_MAX; size <= PROXY_LINE_MAX + 1; size++) {
        memset(line, 'x', sizeof line);
        memcpy(line, "PROXY UNKNOWN ", 14);
        memcpy(line + size - 2, "\r\n", 2);
        assert_int_equal(fault_of(1, span_of(line, (size_t)size)),
                         size == PROXY_LINE_MAX ? PROXY_FAULT_NONE : PROXY_FAULT_TOO_LONG);
    }
}

static void headers_are_read(void **state) {
    (void)state;
    uint8_t room[8192], body[512], *kept;
    struct proxy_header header;
    enum proxy_fault fault;
    size_t taken;
    /* haproxy's send-proxy-v2-ssl-cn with its order of TLVs, and two that nobody knows. */
    struct span bytes = v2(room, 0x21, 0x11,
                           SPAN_LITERAL(V4_ENDS "\xE0\0\1x\x20\0\x25\x07\0\0\0\0\x21\0\7TLSv1.3\x22\0\5alice"
                                                "\x23\0\6AES128\x77\0\2zz\x04\0\0"));
    room[bytes.size] = 0x10;
    assert_int_equal(read_stream(2, span_of(room, bytes.size + 1), &header, &fault, &kept, &taken),
                     PROXY_HEADER_WHOLE);
    assert_int_equal(taken, bytes.size);
    assert_int_equal(header.ends.family, PROXY_V4);
    assert_memory_equal(header.ends.source, "\xC0\0\2\7", 4);
    assert_memory_equal(header.ends.destination, "\xC0\0\2\1", 4);
    assert_int_equal(header.ends.source_port, 0x1267);
    assert_int_equal(header.ends.destination_port, 8883);
    assert_true(span_is_text(header.tls.version, "TLSv1.3"));
    assert_true(span_is_text(header.tls.common_name, "alice"));
    assert_true(span_is_text(header.tls.cipher, "AES128"));
    assert_true(proxy_tls_is_verified(&header.tls));
    free(kept);

    memset(body, 0, sizeof body);
    memcpy(body, "/run/x", 6);
    bytes = v2(room, 0x21, 0x31, span_of(body, 216));
    assert_int_equal(read_stream(2, bytes, &header, &fault, &kept, &taken), PROXY_HEADER_WHOLE);
    assert_int_equal(header.ends.family, PROXY_UNIX);
    assert_true(span_is_text(header.ends.source_path, "/run/x"));
    free(kept);

    memset(body, 0x20, sizeof body);
    bytes = v2(room, 0x21, 0x21, span_of(body, 36));
    assert_int_equal(read_stream(2, bytes, &header, &fault, &kept, &taken), PROXY_HEADER_WHOLE);
    assert_int_equal(header.ends.family, PROXY_V6);
    assert_false(proxy_tls_is_verified(&header.tls));
    free(kept);

    /* LOCAL: whatever stands behind it is skipped. */
    for (size_t size = 0; size <= 300; size += 100)
        for (int family = 0; family < 256; family += 17) {
            bytes = v2(room, 0x20, (uint8_t)family, span_of(body, size));
            assert_int_equal(read_stream(2, bytes, &header, &fault, &kept, &taken), PROXY_HEADER_WHOLE);
            assert_true(header.is_local);
            assert_int_equal(header.ends.family, PROXY_UNKNOWN);
            assert_int_equal(taken, bytes.size);
            free(kept);
        }
}

static void only_a_verified_certificate_counts(void **state) {
    (void)state;
    for (unsigned client = 0; client < 8; client++)
        for (uint32_t verify = 0; verify < 2; verify++) {
            struct proxy_tls tls = {.client = (uint8_t)client, .verify = verify};
            assert_int_equal(proxy_tls_is_verified(&tls), (client & 5) == 5 && verify == 0);
        }
}

static void wrong_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        uint8_t command, family;
        struct span body;
        enum proxy_fault fault;
    } rows[] = {
        {0x11, 0x11, SPAN_LITERAL(V4_ENDS), PROXY_FAULT_OTHER_VERSION},
        {0x22, 0x11, SPAN_LITERAL(V4_ENDS), PROXY_FAULT_BAD_COMMAND},
        {0x2F, 0x11, SPAN_LITERAL(V4_ENDS), PROXY_FAULT_BAD_COMMAND},
        {0x21, 0x00, SPAN_LITERAL(""), PROXY_FAULT_BAD_FAMILY},
        {0x21, 0x12, SPAN_LITERAL(V4_ENDS), PROXY_FAULT_BAD_FAMILY},
        {0x21, 0x32, SPAN_LITERAL(V4_ENDS), PROXY_FAULT_BAD_FAMILY},
        {0x21, 0x41, SPAN_LITERAL(V4_ENDS), PROXY_FAULT_BAD_FAMILY},
        {0x21, 0x11, SPAN_LITERAL("\1\1\1\1\1\1\1\1\1\1\1"), PROXY_FAULT_BAD_LENGTH},
        {0x21, 0x11, SPAN_LITERAL(""), PROXY_FAULT_BAD_LENGTH},
        {0x21, 0x21, SPAN_LITERAL(V4_ENDS V4_ENDS "12345678901"), PROXY_FAULT_BAD_LENGTH},
        {0x21, 0x31, SPAN_LITERAL(V4_ENDS V4_ENDS V4_ENDS), PROXY_FAULT_BAD_LENGTH},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x77\0"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x77\0\3ab"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\4\1\0\0\0"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\6\1\0\0\0\0\x22"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\x0A\1\0\0\0\0\x22\0\3ab"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\x0D\1\0\0\0\0\x22\0\1a\x22\0\1b"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\5\1\0\0\0\0\x20\0\5\1\0\0\0\0"), PROXY_FAULT_BAD_TLV},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\3\0\3\0\0\0"), PROXY_FAULT_BAD_CHECKSUM},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\3\0\4\0\0\0\0"), PROXY_FAULT_BAD_CHECKSUM},
        {0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\5\1\0\0\0\0"), PROXY_FAULT_NONE},
    };
    uint8_t room[8192];
    static uint8_t long_body[PROXY_HEADER_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum proxy_fault fault = fault_of(2, v2(room, rows[i].command, rows[i].family, rows[i].body));
        if (fault != rows[i].fault)
            fail_msg("row %zu: %s", i, proxy_fault_label(fault));
    }
    assert_int_equal(fault_of(2, v2(room, 0x20, 0, span_of(long_body, PROXY_HEADER_MAX - 16))),
                     PROXY_FAULT_NONE);
    assert_int_equal(fault_of(2, v2(room, 0x20, 0, span_of(long_body, PROXY_HEADER_MAX - 15))),
                     PROXY_FAULT_TOO_LONG);
    assert_int_equal(fault_of(2, SPAN_LITERAL("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n")),
                     PROXY_FAULT_OTHER_VERSION);
    assert_int_equal(fault_of(2, SPAN_LITERAL("\x16\3\1\2\0\1\0\1\xfc\3\3\0\0\0\0\0\0")),
                     PROXY_FAULT_NOT_PROXY);
    /* Every beginning of a good one is unfinished. */
    struct span whole = v2(room, 0x21, 0x11, SPAN_LITERAL(V4_ENDS "\x20\0\5\1\0\0\0\0"));
    for (size_t size = 0; size < whole.size; size++)
        assert_int_equal(fault_of(2, span_first(whole, size)), PROXY_FAULT_CUT_SHORT);
}

/* RFC 3720 B.4 has 32 zeros: aa 36 91 8a, least byte first. The sum here comes from another program. */
static void a_checksum_is_checked(void **state) {
    (void)state;
    uint8_t room[8192];
    struct span bytes = v2(room, 0x21, 0x11,
                           SPAN_LITERAL(V4_ENDS "\3\0\4"
                                                "\141\031\160\101"
                                                "\x77\0\1z"));
    assert_int_equal(fault_of(2, bytes), PROXY_FAULT_NONE);
    for (size_t i = 16; i < bytes.size; i++) {
        if (i >= 28 && i < 31) /* type and length of the TLV with the sum */
            continue;
        room[i] ^= 1;
        assert_int_not_equal(fault_of(2, bytes), PROXY_FAULT_NONE);
        room[i] ^= 1;
    }
}

static struct proxy_ends ends_of(enum proxy_family family, const char *source, const char *destination) {
    struct proxy_ends ends = {.family = family, .source_port = 4711, .destination_port = 8883};
    inet_pton(family == PROXY_V4 ? AF_INET : AF_INET6, source, ends.source);
    inet_pton(family == PROXY_V4 ? AF_INET : AF_INET6, destination, ends.destination);
    return ends;
}

static struct span write_header(uint8_t *room, enum proxy_form form, struct proxy_ends ends,
                                struct proxy_tls tls) {
    struct writer writer = writer_of(room, PROXY_WRITTEN_MAX);
    proxy_header_write(&writer, form, &ends, &tls);
    assert_false(writer.is_full);
    return writer_span(&writer);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    uint8_t room[PROXY_WRITTEN_MAX], *kept;
    struct proxy_header header;
    enum proxy_fault fault;
    size_t taken;
    struct proxy_tls tls = {.client = 7,
                            .version = SPAN_LITERAL("TLSv1.2"),
                            .cipher = SPAN_LITERAL("ECDHE-X"),
                            .common_name = SPAN_LITERAL("b\xC3\xA4r")};
    struct proxy_ends all[] = {ends_of(PROXY_V4, "192.0.2.7", "192.0.2.1"),
                               ends_of(PROXY_V6, "2001:db8::7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                               {.family = PROXY_UNIX, .source_path = SPAN_LITERAL("/x")},
                               {.family = PROXY_UNKNOWN}};
    for (int form = PROXY_FORM_V1; form <= PROXY_FORM_V2_SSL; form++)
        for (size_t i = 0; i < 4; i++) {
            struct span bytes = write_header(room, (enum proxy_form)form, all[i], tls);
            bool has_address = i < 2, is_v1 = form == PROXY_FORM_V1;
            assert_int_equal(read_stream(is_v1 ? 1 : 2, bytes, &header, &fault, &kept, &taken),
                             PROXY_HEADER_WHOLE);
            assert_int_equal(taken, bytes.size);
            assert_int_equal(header.ends.family, has_address ? all[i].family : PROXY_UNKNOWN);
            assert_int_equal(header.is_local, !has_address && !is_v1);
            if (has_address) {
                assert_memory_equal(header.ends.source, all[i].source, i == 0 ? 4 : 16);
                assert_memory_equal(header.ends.destination, all[i].destination, i == 0 ? 4 : 16);
                assert_int_equal(header.ends.source_port, 4711);
                assert_int_equal(header.ends.destination_port, 8883);
            }
            bool has_tls = has_address && form == PROXY_FORM_V2_SSL;
            assert_int_equal(proxy_tls_is_verified(&header.tls), has_tls);
            assert_true(span_is_equal(header.tls.common_name, has_tls ? tls.common_name : SPAN_NONE));
            assert_true(span_is_equal(header.tls.version, has_tls ? tls.version : SPAN_NONE));
            assert_true(span_is_equal(header.tls.cipher, has_tls ? tls.cipher : SPAN_NONE));
            free(kept);
        }
    struct span plain = write_header(room, PROXY_FORM_V2_SSL, all[0], (struct proxy_tls){0});
    assert_int_equal(plain.size, 28);
}

/* Addresses and TLVs are never more than 500 bytes; the common name stays longest. */
static void what_does_not_fit_is_left_out(void **state) {
    (void)state;
    static char name[600];
    memset(name, 'n', sizeof name);
    uint8_t room[PROXY_WRITTEN_MAX];
    const size_t left = 500 - 12 - 3 - 5;
    const struct {
        size_t name;
        bool has_name, has_version, has_cipher;
    } rows[] = {{left - 3 - 10 - 13, true, true, true}, {left - 3 - 10 - 12, true, true, false},
                {left - 3 - 10, true, true, false},     {left - 3 - 9, true, false, false},
                {left - 3, true, false, false},         {left - 2, false, true, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct proxy_tls tls = {.client = 7,
                                .version = SPAN_LITERAL("TLSv1.3"),
                                .cipher = SPAN_LITERAL("0123456789"),
                                .common_name = span_of(name, rows[i].name)};
        struct span bytes =
            write_header(room, PROXY_FORM_V2_SSL, ends_of(PROXY_V4, "192.0.2.7", "192.0.2.1"), tls);
        struct proxy_header header;
        enum proxy_fault fault;
        assert_true(bytes.size <= 516);
        assert_int_equal(proxy_header_read(2, bytes, &header, &fault), PROXY_HEADER_WHOLE);
        assert_int_equal(header.tls.common_name.size, rows[i].has_name ? rows[i].name : 0);
        assert_int_equal(header.tls.version.size != 0, rows[i].has_version);
        assert_int_equal(header.tls.cipher.size != 0, rows[i].has_cipher);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(only_a_verified_certificate_counts),
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(a_checksum_is_checked),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_does_not_fit_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
