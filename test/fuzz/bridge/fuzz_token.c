/* Whatever a password is: as it comes, as the middle of a JSON web token, and as the fields of a SAS token.
 */
#include "bridge/token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void check(const uint8_t *bytes, size_t size) {
    int64_t expiry_s = token_expiry_s(span_of(bytes, size));
    CHECK(expiry_s >= 0 && expiry_s < INT64_C(1000000000000));
}

/* The bytes as a payload, which is where the reader of JSON is. */
static void check_payload(const uint8_t *bytes, size_t size) {
    uint8_t *text = malloc(size * 2 + 8), *at = text;
    CHECK(text != NULL);
    *at++ = 'e';
    *at++ = '.';
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < size ? bytes[i + j] : 0u);
        for (size_t j = 0; j < 4 && j <= size - i; j++)
            *at++ = (uint8_t)digits[bits >> (18 - 6 * j) & 63];
    }
    *at++ = '.';
    check(text, (size_t)(at - text));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    uint8_t *exact = malloc(size + 22); /* so that a read behind its end is seen */
    CHECK(exact != NULL);
    memcpy(exact, "SharedAccessSignature ", 22);
    if (size != 0)
        memcpy(exact + 22, bytes, size);
    check(exact, size + 22);
    free(exact);
    check(bytes, size);
    check_payload(bytes, size);
    return 0;
}
