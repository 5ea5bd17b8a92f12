#include "policy/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_write(char *room, struct span bytes) {
    char *at = room;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.at[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes.at[i + 1] << 8;
        if (left > 2)
            group |= bytes.at[i + 2];
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *at++ = left > 2 ? alphabet[group & 63] : '=';
    }
    return (size_t)(at - room);
}

static bool read_digit(uint8_t byte, uint32_t *digit) {
    const char *found = byte == '\0' ? NULL : strchr(alphabet, byte);
    *digit = found == NULL ? 0 : (uint32_t)(found - alphabet);
    return found != NULL;
}

bool base64_read(struct span text, uint8_t *room, size_t room_size, size_t *size) {
    *size = 0;
    if (text.size % 4 != 0)
        return false;
    for (size_t i = 0; i < text.size; i += 4) {
        bool is_last = i + 4 == text.size;
        size_t count = 3; /* bytes of this group */
        if (is_last && text.at[i + 3] == '=')
            count = text.at[i + 2] == '=' ? 1 : 2;
        uint32_t group = 0, digit;
        for (size_t k = 0; k < count + 1; k++) {
            if (!read_digit(text.at[i + k], &digit))
                return false;
            group |= digit << (18 - 6 * k);
        }
        if ((count == 1 && (group & 0xffff) != 0) || (count == 2 && (group & 0xff) != 0))
            return false;
        if (count > room_size - *size)
            return false;
        for (size_t k = 0; k < count; k++)
            room[(*size)++] = (uint8_t)(group >> (16 - 8 * k));
    }
    return true;
}
