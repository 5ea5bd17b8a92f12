#include "base/network.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct ip ip_of_bytes(enum ip_family family, const uint8_t *bytes) {
    struct ip ip = {.family = family};
    if (family == IP_V6 && memcmp(bytes, mapped, sizeof mapped) == 0) {
        ip.family = IP_V4;
        bytes += sizeof mapped;
    }
    if (ip.family != IP_NONE)
        memcpy(ip.bytes, bytes, ip.family == IP_V4 ? 4 : 16);
    return ip;
}

/* Clears what stands behind the first `prefix` bits; true when something was there. */
static bool trim(struct ip *ip, unsigned prefix) {
    unsigned found = 0;
    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = prefix >= 8 * (i + 1) ? 8 : prefix <= 8 * i ? 0 : prefix - 8 * i;
        uint8_t mask = (uint8_t)(0xff00u >> bits);
        found |= ip->bytes[i] & (uint8_t)~mask;
        ip->bytes[i] &= mask;
    }
    return found != 0;
}

struct ip ip_as_one(struct ip ip) {
    if (ip.family == IP_V6)
        trim(&ip, 64);
    return ip;
}

static bool read_ip(struct span text, struct ip *ip) {
    char room[NETWORK_TEXT_SIZE];
    uint8_t bytes[16];
    if (text.size == 0 || text.size >= sizeof room || span_has_byte(text, 0))
        return false;
    memcpy(room, text.at, text.size);
    room[text.size] = 0;
    bool is_v4 = inet_pton(AF_INET, room, bytes) == 1;
    if (!is_v4 && inet_pton(AF_INET6, room, bytes) != 1)
        return false;
    *ip = ip_of_bytes(is_v4 ? IP_V4 : IP_V6, bytes);
    return true;
}

/* Decimal digits alone; inet_pton's strictness for the other half. */
static bool read_prefix(struct span text, unsigned most, unsigned *prefix) {
    unsigned value = 0;
    if (text.size == 0 || text.size > 3)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (text.at[i] - '0');
    }
    *prefix = value;
    return value <= most;
}

bool network_read(struct span text, struct network *network) {
    const uint8_t *slash = text.size == 0 ? NULL : memchr(text.at, '/', text.size);
    struct span address = slash == NULL ? text : span_first(text, (size_t)(slash - text.at));
    struct ip ip;
    if (!read_ip(address, &ip))
        return false;
    bool is_mapped = ip.family == IP_V4 && span_has_byte(address, ':');
    unsigned most = ip.family == IP_V4 && !is_mapped ? 32 : 128, prefix = most;
    if (slash != NULL && !read_prefix(span_after(text, address.size + 1), most, &prefix))
        return false;
    if (is_mapped && prefix < 96) /* a part of ::/0, which no IPv4 address is in */
        return false;
    prefix -= is_mapped ? 96 : 0;
    bool was_trimmed = trim(&ip, prefix);
    *network = (struct network){.ip = ip, .prefix = (uint8_t)prefix, .was_trimmed = was_trimmed};
    return true;
}

bool network_holds(const struct network *network, const struct ip *ip) {
    if (ip->family == IP_NONE || ip->family != network->ip.family)
        return false;
    struct ip trimmed = *ip;
    trim(&trimmed, network->prefix);
    return memcmp(trimmed.bytes, network->ip.bytes, sizeof trimmed.bytes) == 0;
}

const char *ip_print(const struct ip *ip, char *room) {
    room[0] = 0;
    if (ip->family == IP_NONE ||
        inet_ntop(ip->family == IP_V4 ? AF_INET : AF_INET6, ip->bytes, room, NETWORK_TEXT_SIZE) == NULL)
        snprintf(room, NETWORK_TEXT_SIZE, "none");
    return room;
}

const char *network_print(const struct network *network, char *room) {
    ip_print(&network->ip, room);
    size_t used = strlen(room);
    if (network->prefix != (network->ip.family == IP_V4 ? 32 : 128))
        snprintf(room + used, NETWORK_TEXT_SIZE - used, "/%u", network->prefix);
    return room;
}
