/* The request reader of the metrics listener. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/http.h"

static const struct {
    const char *text;
    int status;
    const char *path;
} requests[] = {
    {"GET /metrics HTTP/1.1\r\n\r\n", 200, "/metrics"},
    {"GET /metrics?name=x HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n\r\n", 200, "/metrics"},
    {"HEAD /healthz HTTP/1.0\r\n\r\n", 200, "/healthz"},
    {"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 200, "/"},
    {"GET / HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\nhello", 413, NULL},
    {"GET / HTTP/1.1\r\nContent-Length: 0, 5\r\n\r\n", 413, NULL},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413, NULL},
    {"POST / HTTP/1.1\r\n\r\n", 405, NULL},
    {"get / HTTP/1.1\r\n\r\n", 405, NULL},
    {"GET / HTTP/2.0\r\n\r\n", 505, NULL},
    {"GET / HTTP/1.1 \r\n\r\n", 400, NULL},
    {"GET  / HTTP/1.1\r\n\r\n", 400, NULL},
    {"GET http://a/ HTTP/1.1\r\n\r\n", 400, NULL},
    {"GET /\x01 HTTP/1.1\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\n folded\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, NULL},
    {"\r\n\r\n", 400, NULL},
    {"\x16\x03\x01\r\n\r\n", 400, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\n", 0, NULL},
    {"GET / HTTP/1.1\n\n", 0, NULL},
    {"", 0, NULL},
};

static void test_requests(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct http_request request = {false, SPAN_NONE};
        struct span text = span_of_text(requests[i].text);
        int status = http_read_request(text, &request);
        if (status != requests[i].status)
            fail_msg("%s: %d instead of %d", requests[i].text, status, requests[i].status);
        if (status == 200)
            assert_true(span_is_text(request.path, requests[i].path));
        if (status == 200)
            assert_int_equal(request.is_head, requests[i].text[0] == 'H');
    }
}

/* Before the empty line nothing is answered but what is wrong already. */
static void test_prefixes(void **state) {
    (void)state;
    struct span text = span_of_text(requests[1].text);
    struct http_request request;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t *copy = malloc(i == 0 ? 1 : i);
        assert_non_null(copy);
        if (i != 0)
            memcpy(copy, text.at, i);
        assert_int_equal(http_read_request(span_of(copy, i), &request), 0);
        free(copy);
    }
}

static void test_too_long(void **state) {
    (void)state;
    static uint8_t text[HTTP_REQUEST_MAX];
    struct http_request request;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    assert_int_equal(http_read_request(span_of(text, sizeof text - 1), &request), 0);
    assert_int_equal(http_read_request(span_of(text, sizeof text), &request), 431);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests_name("control/http", tests, NULL, NULL);
}
