/* What is asked of an HTTP proxy, and what of its answers is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/tunnel.h"

static void urls_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text, *user, *password, *host;
        uint16_t port;
    } rows[] = {{"http://proxy:3128", NULL, NULL, "proxy", 3128},
                {"http://proxy:3128/", NULL, NULL, "proxy", 3128},
                {"http://192.0.2.1:80", NULL, NULL, "192.0.2.1", 80},
                {"http://[2001:db8::1]:80", NULL, NULL, "2001:db8::1", 80},
                {"http://u@p:1", "u", NULL, "p", 1},
                {"http://u:@p:1", "u", "", "p", 1},
                {"http://u:w@p:65535", "u", "w", "p", 65535},
                {"http://u:a:b@c@p.example:1", "u", "a:b@c", "p.example", 1}};
    static const char *const bad[] = {"",
                                      "proxy:1",
                                      "https://p:1",
                                      "HTTP://p:1",
                                      "http://",
                                      "http://p",
                                      "http://p:",
                                      "http://:1",
                                      "http://p:0",
                                      "http://p:65536",
                                      "http://p:1/x",
                                      "http://p:1//",
                                      "http://@p:1",
                                      "http://:w@p:1",
                                      "http://a b:1",
                                      "http://2001:db8::1:80",
                                      "http://[::1:80",
                                      "http://[]:80",
                                      "http://p\r\n:1"};
    struct tunnel_proxy proxy;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!tunnel_read_url(span_of_text(rows[i].text), &proxy))
            fail_msg("%s", rows[i].text);
        assert_int_equal(proxy.has_user, rows[i].user != NULL);
        assert_int_equal(proxy.has_password, rows[i].password != NULL);
        assert_true(span_is_text(proxy.user, rows[i].user));
        assert_true(span_is_text(proxy.password, rows[i].password));
        assert_true(span_is_text(proxy.host, rows[i].host));
        assert_int_equal(proxy.port, rows[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (tunnel_read_url(span_of_text(bad[i]), &proxy))
            fail_msg("%s", bad[i]);
}

static void escapes_are_decoded(void **state) {
    (void)state;
    static const struct {
        const char *text, *decoded; /* NULL: broken */
    } rows[] = {{"plain", "plain"},
                {"a%40b%3A%25", "a@b:%"},
                {"%c3%A4", "\xC3\xA4"},
                {"", ""},
                {"%", NULL},
                {"%4", NULL},
                {"a%4g", NULL},
                {"%00", NULL},
                {"%0d%0a", NULL},
                {"%7f", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t room[32];
        size_t size = strlen(rows[i].text);
        memcpy(room, rows[i].text, size);
        size_t decoded = tunnel_decode(room, size);
        assert_int_equal(decoded == SIZE_MAX, rows[i].decoded == NULL);
        if (rows[i].decoded != NULL)
            assert_true(span_is_text(span_of(room, decoded), rows[i].decoded));
    }
}

static void requests_are_written(void **state) {
    (void)state;
    static const struct {
        const char *host, *credentials, *text;
    } rows[] = {
        {"broker", "", "CONNECT broker:8883 HTTP/1.1\r\nHost: broker:8883\r\n\r\n"},
        {"::1", "", "CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\n\r\n"},
        {"b", "Aladdin:open sesame",
         "CONNECT b:8883 HTTP/1.1\r\nHost: b:8883\r\nProxy-Authorization: Basic "
         "QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"},
        {"b", "u:", "CONNECT b:8883 HTTP/1.1\r\nHost: b:8883\r\nProxy-Authorization: Basic dTo=\r\n\r\n"},
        {"b", "u:p", "CONNECT b:8883 HTTP/1.1\r\nHost: b:8883\r\nProxy-Authorization: Basic dTpw\r\n\r\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t room[512];
        struct writer writer = writer_of(room, sizeof room);
        tunnel_write_request(&writer, span_of_text(rows[i].host), 8883, span_of_text(rows[i].credentials));
        assert_true(span_is_text(writer_span(&writer), rows[i].text));
    }
}

/* Out of memory that ends with the bytes. */
static enum tunnel_outcome read_exact(struct span bytes) {
    uint8_t *copy = malloc(bytes.size + (bytes.size == 0));
    if (bytes.size != 0)
        memcpy(copy, bytes.at, bytes.size);
    enum tunnel_outcome outcome = tunnel_read_answer(span_of(copy, bytes.size));
    free(copy);
    return outcome;
}

static void answers_are_judged(void **state) {
    (void)state;
    static const struct {
        struct span text;
        enum tunnel_outcome outcome;
    } rows[] = {
        {SPAN_LITERAL("HTTP/1.1 200 Connection established\r\n\r\n"), TUNNEL_OPEN},
        {SPAN_LITERAL("HTTP/1.0 200\r\n\r\n"), TUNNEL_OPEN},
        {SPAN_LITERAL("HTTP/1.1 299 \r\nVia: 1.1 x\r\nX-Empty:\r\nContent-Length: 5\r\n\r\n"), TUNNEL_OPEN},
        {SPAN_LITERAL("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nbody"),
         TUNNEL_PASSWORD},
        {SPAN_LITERAL("HTTP/1.1 403 No\r\n\r\n"), TUNNEL_REFUSED},
        {SPAN_LITERAL("HTTP/1.1 502 Bad Gateway\r\n\r\n<html>"), TUNNEL_REFUSED},
        {SPAN_LITERAL("HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n"), TUNNEL_REFUSED},
        {SPAN_LITERAL("HTTP/1.1 200 OK\r\n\r\n\x16\x03"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 100 Continue\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 600 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 20 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 2000 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/2.0 200 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.2 200 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("http/1.1 200 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1  200 x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 OK\n\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 O\0K\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 O\rK\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 OK\r\nName : x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 OK\r\n: x\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("HTTP/1.1 200 OK\r\nA: x\r\n folded\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("\r\nHTTP/1.1 200 OK\r\n\r\n"), TUNNEL_WRONG},
        {SPAN_LITERAL("\x20\x02\x00\x00"), TUNNEL_WRONG},
        {SPAN_LITERAL("SSH-2.0-OpenSSH"), TUNNEL_WRONG},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum tunnel_outcome outcome = read_exact(rows[i].text);
        if (outcome != rows[i].outcome)
            fail_msg("row %zu: %d", i, outcome);
        if (outcome == TUNNEL_WRONG)
            continue;
        size_t head = (size_t)((const uint8_t *)memmem(rows[i].text.at, rows[i].text.size, "\r\n\r\n", 4) -
                               rows[i].text.at) +
                      4;
        for (size_t size = 0; size < head; size++) /* every beginning is unfinished */
            assert_int_equal(read_exact(span_first(rows[i].text, size)), TUNNEL_MORE);
    }
}

static void heads_are_bounded(void **state) {
    (void)state;
    static const struct span start = SPAN_LITERAL("HTTP/1.1 200 OK\r\nX: ");
    uint8_t *head = malloc(TUNNEL_HEAD_MAX + 1);
    for (size_t size = TUNNEL_HEAD_MAX; size <= TUNNEL_HEAD_MAX + 1; size++) {
        memset(head, 'x', size);
        memcpy(head, start.at, start.size);
        memcpy(head + size - 4, "\r\n\r\n", 4);
        assert_int_equal(tunnel_read_answer(span_of(head, size)),
                         size == TUNNEL_HEAD_MAX ? TUNNEL_OPEN : TUNNEL_WRONG);
    }
    memset(head + start.size, 'x', TUNNEL_HEAD_MAX - start.size);
    assert_int_equal(tunnel_read_answer(span_of(head, TUNNEL_HEAD_MAX - 1)), TUNNEL_MORE);
    assert_int_equal(tunnel_read_answer(span_of(head, TUNNEL_HEAD_MAX)), TUNNEL_WRONG);
    free(head);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read),        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(requests_are_written), cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(heads_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
