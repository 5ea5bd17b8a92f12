/* The metrics listener's request reader: whatever comes, it says the same for every way of chopping, and
 * never reads on. */
#include <stdlib.h>

#include "control/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true) {
    if (!is_true)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct http_request whole = {false, SPAN_NONE}, part = {false, SPAN_NONE};
    if (size > HTTP_REQUEST_MAX)
        size = HTTP_REQUEST_MAX;
    int status = http_read_request(span_of(data, size), &whole);
    require(status == 0 || status == 200 || (status >= 400 && status < 600));
    require(status != 200 ||
            (whole.path.size > 0 && whole.path.at[0] == '/' && !span_has_byte(whole.path, '?') &&
             whole.path.at >= data && whole.path.at + whole.path.size <= data + size));
    /* Once a prefix is answered, more bytes do not change the answer. */
    for (size_t i = 0; i <= size; i++) {
        uint8_t *copy = malloc(i + 1); /* so that one byte of over-read is seen */
        if (copy == NULL)
            return 0;
        if (i != 0)
            memcpy(copy, data, i);
        uint8_t *exact = realloc(copy, i == 0 ? 1 : i);
        int early = http_read_request(span_of(exact, i), &part);
        free(exact);
        if (early != 0) {
            require(early == status);
            break;
        }
    }
    return 0;
}
