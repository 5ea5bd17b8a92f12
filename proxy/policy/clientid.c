#include "policy/clientid.h"

bool clientid_has_prefix(const char *prefix, struct span client_id) {
    return span_begins_with(client_id, span_of_text(prefix));
}

size_t clientid_generate(char *room, size_t room_size, const char *prefix, const uint8_t random[16]) {
    static const char digits[] = "0123456789ABCDEF";
    struct span start = span_of_text(prefix);
    if (room_size < CLIENTID_UUID_SIZE + 1 || start.size > room_size - CLIENTID_UUID_SIZE - 1) {
        if (room_size != 0)
            room[0] = '\0';
        return 0;
    }
    if (start.size != 0)
        memcpy(room, start.at, start.size);
    char *at = room + start.size;
    for (unsigned i = 0; i < 16; i++) {
        uint8_t byte = random[i];
        if (i == 6)
            byte = (uint8_t)((byte & 0x0f) | 0x40); /* version 4 */
        if (i == 8)
            byte = (uint8_t)((byte & 0x3f) | 0x80); /* the variant of RFC 4122 */
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 0x0f];
    }
    *at = '\0';
    return start.size + CLIENTID_UUID_SIZE;
}
