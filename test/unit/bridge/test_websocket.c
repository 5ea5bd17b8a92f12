/* websocket: the handshake, frames in and out, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/websocket.h"
#include "crypto/digest.h"
#include "policy/base64.h"

struct heard {
    uint8_t bytes[4096];
    size_t size;
    bool is_full;
};

static bool take(void *owner, struct span bytes) {
    struct heard *heard = owner;
    if (heard->is_full)
        return false;
    assert_true(heard->size + bytes.size <= sizeof heard->bytes);
    memcpy(heard->bytes + heard->size, bytes.at, bytes.size);
    heard->size += bytes.size;
    return true;
}

/* The value of the Sec-WebSocket-Accept that belongs to the request. */
static void answer_key(const struct websocket *websocket, char *room) {
    static const char name[] = "Sec-WebSocket-Key: ";
    char text[2048], joined[128];
    uint8_t digest[DIGEST_SHA1_SIZE];
    struct span request = websocket_out(websocket);
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(request));
    const char *key = strstr(text, name);
    assert_non_null(key);
    snprintf(joined, sizeof joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + sizeof name - 1);
    assert_true(digest_sha1(span_of_text(joined), digest));
    room[base64_write(room, span_of(digest, sizeof digest))] = '\0';
}

/* RFC 6455 1.3 has this pair. */
static void test_the_example_of_the_standard(void **state) {
    (void)state;
    uint8_t digest[DIGEST_SHA1_SIZE];
    char room[BASE64_SIZE(DIGEST_SHA1_SIZE) + 1] = "";
    assert_true(
        digest_sha1(SPAN_LITERAL("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest));
    base64_write(room, span_of(digest, sizeof digest));
    assert_string_equal(room, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static struct websocket *make(void) {
    struct websocket *websocket = websocket_create(SPAN_LITERAL("broker:9001"), SPAN_LITERAL("/mqtt"));
    assert_non_null(websocket);
    return websocket;
}

/* The answer's head, with the right accept in the place of its %s. */
static enum websocket_state answer(struct websocket *websocket, const char *text, struct heard *heard) {
    char accept[64], head[1024];
    const char *place = strstr(text, "%s");
    assert_non_null(place);
    answer_key(websocket, accept);
    snprintf(head, sizeof head, "%.*s%s%s", (int)(place - text), text, accept, place + 2);
    websocket_sent(websocket);
    return websocket_feed(websocket, span_of_text(head), take, heard);
}

#define GOOD                                                                                                 \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "                                 \
    "Upgrade\r\nSec-WebSocket-Accept: %s\r\n"                                                                \
    "Sec-WebSocket-Protocol: mqtt\r\n\r\n"

static struct websocket *make_open(struct heard *heard) {
    struct websocket *websocket = make();
    memset(heard, 0, sizeof *heard);
    assert_int_equal(answer(websocket, GOOD, heard), WEBSOCKET_OPEN);
    return websocket;
}

static void test_the_request(void **state) {
    (void)state;
    struct websocket *websocket = make(), *other = make();
    struct span request = websocket_out(websocket);
    assert_true(span_begins_with(
        request, SPAN_LITERAL("GET /mqtt HTTP/1.1\r\nHost: broker:9001\r\nUpgrade: websocket\r\n")));
    assert_true(span_is_equal(span_after(request, request.size - 4), SPAN_LITERAL("\r\n\r\n")));
    assert_false(span_is_equal(request, websocket_out(other))); /* a key of its own each time */
    websocket_destroy(websocket);
    websocket_destroy(other);
    websocket_destroy(NULL);
}

static void test_a_path_that_is_too_long(void **state) {
    (void)state;
    static uint8_t room[WEBSOCKET_HEAD_MAX];
    memset(room, '/', sizeof room);
    assert_null(websocket_create(SPAN_LITERAL("h"), span_of(room, sizeof room)));
}

static void test_answers(void **state) {
    static const struct {
        const char *text;
        enum websocket_state state;
    } rows[] = {
        {GOOD, WEBSOCKET_OPEN},
        {"HTTP/1.1 101\r\nUPGRADE:WebSocket\r\nconnection: keep-alive ,\tupgrade \r\nsec-websocket-accept:  "
         "%s \r\n"
         "SEC-WEBSOCKET-PROTOCOL: mqtt\r\nX: y\r\n\r\n",
         WEBSOCKET_OPEN},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
         WEBSOCKET_WRONG},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
         "x%s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
         WEBSOCKET_WRONG},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: "
         "mqtt\r\n\r\n",
         WEBSOCKET_WRONG},
        {"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: "
         "mqtt\r\n\r\n",
         WEBSOCKET_WRONG},
        {"HTTP/1.1 200 OK %s\r\n\r\n", WEBSOCKET_WRONG},
        {"HTTP/1.1 1019 OK %s\r\n\r\n", WEBSOCKET_WRONG},
        {"HTTP/2 101 OK %s\r\n\r\n", WEBSOCKET_WRONG},
        {"\r\n\r\n%s", WEBSOCKET_WRONG},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n%s", WEBSOCKET_ASKING},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard heard = {.size = 0};
        struct websocket *websocket = make();
        assert_int_equal(answer(websocket, rows[i].text, &heard), rows[i].state);
        assert_int_equal(*websocket_words(websocket) != '\0', rows[i].state == WEBSOCKET_WRONG);
        websocket_destroy(websocket);
    }
}

static void test_frames_behind_the_answer(void **state) {
    (void)state;
    struct heard heard = {.size = 0};
    struct websocket *websocket = make();
    assert_int_equal(answer(websocket,
                            GOOD "\x82\x03"
                                 "abc",
                            &heard),
                     WEBSOCKET_OPEN);
    assert_true(span_is_equal(span_of(heard.bytes, heard.size), SPAN_LITERAL("abc")));
    websocket_destroy(websocket);
}

/* A message in three frames with a ping between them, one byte at a time. */
static void test_cut_anywhere(void **state) {
    (void)state;
    static const uint8_t bytes[] = "\x02\x03"
                                   "abc"
                                   "\x89\x02"
                                   "hi"
                                   "\x00\x00"
                                   "\x80\x02"
                                   "de"
                                   "\x82\x01"
                                   "f";
    struct heard heard;
    struct websocket *websocket = make_open(&heard);
    for (size_t i = 0; i < sizeof bytes - 1; i++)
        assert_int_equal(websocket_feed(websocket, span_of(bytes + i, 1), take, &heard), WEBSOCKET_OPEN);
    assert_true(span_is_equal(span_of(heard.bytes, heard.size), SPAN_LITERAL("abcdef")));
    struct span out = websocket_out(websocket); /* a pong, masked */
    assert_int_equal(out.size, 8);
    assert_int_equal(out.at[0], 0x8a);
    assert_int_equal(out.at[1], 0x82);
    assert_int_equal(out.at[6] ^ out.at[2], 'h');
    assert_int_equal(out.at[7] ^ out.at[3], 'i');
    websocket_destroy(websocket);
}

static void expect_end(const char *bytes, size_t size, enum websocket_state end) {
    struct heard heard;
    struct websocket *websocket = make_open(&heard);
    assert_int_equal(websocket_feed(websocket, span_of(bytes, size), take, &heard), end);
    assert_string_not_equal(websocket_words(websocket), "");
    assert_int_equal(heard.size, 0);
    /* nothing more is heard */
    assert_int_equal(websocket_feed(websocket, SPAN_LITERAL("\x82\x01x"), take, &heard), end);
    assert_int_equal(heard.size, 0);
    assert_true(websocket_wrap(websocket, SPAN_LITERAL("x")));
    websocket_destroy(websocket);
}
#define EXPECT_END(bytes, end) expect_end(bytes, sizeof(bytes) - 1, end)

static void test_ends(void **state) {
    (void)state;
    EXPECT_END("\x88\x02\x03\xe9", WEBSOCKET_CLOSED);
    EXPECT_END("\x88\x00", WEBSOCKET_CLOSED);
    EXPECT_END("\x81\x01x", WEBSOCKET_WRONG);         /* text */
    EXPECT_END("\xc2\x01x", WEBSOCKET_WRONG);         /* a reserved bit */
    EXPECT_END("\x83\x01x", WEBSOCKET_WRONG);         /* an opcode that is none */
    EXPECT_END("\x80\x01x", WEBSOCKET_WRONG);         /* it continues nothing */
    EXPECT_END("\x09\x00", WEBSOCKET_WRONG);          /* a ping in parts */
    EXPECT_END("\x88\x01\x03", WEBSOCKET_CLOSED);     /* half a code */
    EXPECT_END("\x82\x7e\x00\x01x", WEBSOCKET_WRONG); /* a length that is longer than it must be */
}

static void test_a_close_is_answered(void **state) {
    (void)state;
    struct heard heard;
    struct websocket *websocket = make_open(&heard);
    assert_int_equal(websocket_feed(websocket, SPAN_LITERAL("\x82\x01z\x88\x02\x03\xe9"), take, &heard),
                     WEBSOCKET_CLOSED);
    assert_int_equal(heard.size, 1); /* what came in front of it is heard */
    assert_string_equal(websocket_words(websocket), "it closed the WebSocket with code 1001");
    assert_int_equal(websocket_out(websocket).at[0], 0x88);
    websocket_destroy(websocket);
}

static void check_wrapped(size_t size, size_t head_size) {
    struct heard heard;
    struct websocket *websocket = make_open(&heard);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_true(websocket_wrap(websocket, span_of(bytes, size)));
    struct span out = websocket_out(websocket);
    assert_int_equal(out.size, head_size + 4 + size);
    assert_int_equal(out.at[0], 0x82);
    assert_true((out.at[1] & 0x80) != 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(out.at[head_size + 4 + i] ^ out.at[head_size + i % 4], bytes[i]);
    websocket_sent(websocket);
    assert_int_equal(websocket_out(websocket).size, 0);
    free(bytes);
    websocket_destroy(websocket);
}

static void test_one_frame_for_what_is_wrapped(void **state) {
    (void)state;
    check_wrapped(1, 2);
    check_wrapped(125, 2);
    check_wrapped(126, 4);
    check_wrapped(65535, 4);
    check_wrapped(300000, 10);
}

static void test_goodbye(void **state) {
    (void)state;
    struct heard heard;
    struct websocket *websocket = make_open(&heard);
    websocket_say_goodbye(websocket);
    size_t size = websocket_out(websocket).size;
    assert_int_equal(websocket_out(websocket).at[0], 0x88);
    assert_int_equal(size, 8);
    assert_true(websocket_wrap(websocket, SPAN_LITERAL("x")));
    websocket_say_goodbye(websocket);
    assert_int_equal(websocket_out(websocket).size, size);
    websocket_destroy(websocket);
}

static void test_memory_that_is_out(void **state) {
    (void)state;
    struct heard heard;
    struct websocket *websocket = make_open(&heard);
    heard.is_full = true;
    assert_int_equal(websocket_feed(websocket, SPAN_LITERAL("\x82\x01x"), take, &heard), WEBSOCKET_WRONG);
    websocket_destroy(websocket);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_the_standard),
        cmocka_unit_test(test_the_request),
        cmocka_unit_test(test_a_path_that_is_too_long),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_frames_behind_the_answer),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_a_close_is_answered),
        cmocka_unit_test(test_one_frame_for_what_is_wrapped),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_memory_that_is_out),
    };
    return cmocka_run_group_tests_name("bridge/websocket", tests, NULL, NULL);
}
