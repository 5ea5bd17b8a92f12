/* What a server says, in pieces: the first byte tells how they are cut, and whether they stand behind a good
 * handshake. */
#include "bridge/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "policy/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static bool take(void *owner, struct span bytes) {
    size_t *count = owner;
    uint8_t sum = 0;
    for (size_t i = 0; i < bytes.size; i++) /* all of it can be read */
        sum = (uint8_t)(sum + bytes.at[i]);
    *count += bytes.size;
    return sum != 255 || bytes.size < 64;
}

static void shake_hands(struct websocket *websocket, size_t *count) {
    char text[1024], joined[128], accept[32], head[512];
    uint8_t digest[DIGEST_SHA1_SIZE];
    struct span request = websocket_out(websocket);
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(request));
    const char *key = strstr(text, "Sec-WebSocket-Key: ");
    CHECK(key != NULL);
    snprintf(joined, sizeof joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    CHECK(digest_sha1(span_of_text(joined), digest));
    accept[base64_write(accept, span_of(digest, sizeof digest))] = '\0';
    snprintf(head, sizeof head,
             "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
             "%s\r\nSec-WebSocket-Protocol: "
             "mqtt\r\n\r\n",
             accept);
    CHECK(websocket_feed(websocket, span_of_text(head), take, count) == WEBSOCKET_OPEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    size_t count = 0, piece, before = size;
    if (size == 0)
        return 0;
    struct websocket *websocket = websocket_create(SPAN_LITERAL("host"), SPAN_LITERAL("/mqtt"));
    CHECK(websocket != NULL);
    enum websocket_state state = WEBSOCKET_ASKING;
    if ((bytes[0] & 1) != 0) {
        shake_hands(websocket, &count);
        state = WEBSOCKET_OPEN;
    }
    piece = bytes[0] >> 1 == 0 ? size : bytes[0] >> 1;
    for (struct span left = span_of(bytes + 1, size - 1); left.size != 0;) {
        struct span part = span_first(left, piece < left.size ? piece : left.size);
        enum websocket_state next = websocket_feed(websocket, part, take, &count);
        CHECK(next >= state);
        CHECK((next >= WEBSOCKET_CLOSED) == (*websocket_words(websocket) != '\0'));
        state = next;
        left = span_after(left, part.size);
        CHECK(websocket_wrap(websocket, part));
        if ((bytes[0] & 2) != 0)
            websocket_sent(websocket);
    }
    CHECK(count <= before); /* nothing comes out that was not put in */
    websocket_say_goodbye(websocket);
    websocket_destroy(websocket);
    return 0;
}
