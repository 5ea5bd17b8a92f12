#include "base/text.h"

#include <stdio.h>

/* The size of the well-formed UTF-8 sequence at the start, 0 when there is none (RFC 3629's table). */
static size_t sequence_size(const uint8_t *at, size_t left) {
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                  : (first & 0xF0) == 0xE0         ? 3
                  : first >= 0xF0 && first <= 0xF4 ? 4
                                                   : 0;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    uint8_t second = at[1];
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
        return 0;
    return size;
}

bool text_is_utf8(struct span bytes) {
    for (size_t i = 0; i < bytes.size;) {
        size_t size = sequence_size(bytes.at + i, bytes.size - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

/* Control characters of the second page (U+0080..U+009F) steer terminals, and U+200E.., U+202A.., U+2066..
 * turn the writing direction: both could make a line lie. */
static bool is_harmless(const uint8_t *at, size_t size) {
    if (size == 1)
        return at[0] >= 0x20 && at[0] != 0x7F && at[0] != '\\';
    if (size == 2)
        return !(at[0] == 0xC2 && at[1] < 0xA0) && !(at[0] == 0xD8 && at[1] == 0x9C);
    if (size == 3 && at[0] == 0xE2 && at[1] == 0x80)
        return !(at[2] >= 0x8B && at[2] <= 0x8F) && !(at[2] >= 0xA8 && at[2] <= 0xAE);
    if (size == 3 && at[0] == 0xEF && at[1] == 0xBB && at[2] == 0xBF)
        return false;
    if (size == 3 && at[0] == 0xE2 && at[1] == 0x81)
        return !(at[2] >= 0xA0 && at[2] <= 0xAF);
    return true;
}

char *text_quote(char *room, size_t room_size, struct span bytes) {
    size_t used = 0;
    for (size_t i = 0; i < bytes.size;) {
        size_t size = sequence_size(bytes.at + i, bytes.size - i);
        char piece[16];
        size_t piece_size = size;
        if (size != 0 && is_harmless(bytes.at + i, size)) {
            memcpy(piece, bytes.at + i, size);
        } else if (size == 1 && bytes.at[i] == '\\') {
            memcpy(piece, "\\\\", 2);
            piece_size = 2;
        } else {
            size = size == 0 ? 1 : size;
            piece_size = 0;
            for (size_t j = 0; j < size; j++)
                piece_size += (size_t)snprintf(piece + piece_size, sizeof piece - piece_size, "\\x%02X",
                                               bytes.at[i + j]);
        }
        bool is_last = i + size == bytes.size;
        if (used + piece_size + (is_last ? 1 : 4) > room_size) {
            memcpy(room + used, "...", 4);
            return room;
        }
        memcpy(room + used, piece, piece_size);
        used += piece_size;
        i += size;
    }
    room[used] = 0;
    return room;
}

#define WORD_MAX 64

unsigned text_distance(const char *a, const char *b) {
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > WORD_MAX || b_size > WORD_MAX)
        return WORD_MAX;
    unsigned rows[3][WORD_MAX + 1]; /* the last, the one before, the one in work */
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        last[j] = before[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_size];
}
