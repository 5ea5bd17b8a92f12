/* The answer of an HTTP proxy: an outcome once reached stays whatever follows, but for a success that must be
 * the end; and a URL that is read can be asked for. */
#include <stdlib.h>

#include "base/tunnel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true) {
    if (!is_true)
        abort();
}

static enum tunnel_outcome read_exact(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size == 0 ? 1 : size); /* so that one byte of over-read is seen */
    require(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    enum tunnel_outcome outcome = tunnel_read_answer(span_of(copy, size));
    free(copy);
    return outcome;
}

static void ask(struct span text) {
    static uint8_t room[TUNNEL_HEAD_MAX];
    struct tunnel_proxy proxy;
    if (!tunnel_read_url(text, &proxy))
        return;
    require(proxy.port != 0 && proxy.host.size != 0);
    require(!span_has_byte(proxy.host, '\r') && !span_has_byte(proxy.host, '\n') &&
            !span_has_byte(proxy.host, ' '));
    struct writer writer = writer_of(room, sizeof room);
    tunnel_write_request(&writer, proxy.host, proxy.port, proxy.user);
    struct span request = writer_span(&writer);
    size_t lines = 0;
    for (size_t i = 0; i < request.size; i++)
        lines += request.at[i] == '\n';
    require(writer.is_full || lines == (proxy.user.size != 0 ? 4u : 3u)); /* nothing of it breaks the line */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ask(span_of(data, size));
    if (size > 512)
        size = 512;
    enum tunnel_outcome before = TUNNEL_MORE;
    for (size_t i = 0; i <= size; i++) {
        enum tunnel_outcome outcome = read_exact(data, i);
        if (before == TUNNEL_OPEN)
            require(outcome == TUNNEL_WRONG);
        else if (before != TUNNEL_MORE)
            require(outcome == before);
        if (before == TUNNEL_WRONG)
            break;
        before = outcome;
    }
    uint8_t *copy = malloc(size + 1);
    require(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    size_t decoded = tunnel_decode(copy, size);
    require(decoded == SIZE_MAX || decoded <= size);
    free(copy);
    return 0;
}
