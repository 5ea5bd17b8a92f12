#include "link/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

bool address_read(struct address *address, const char *host, uint16_t port) {
    char room[INET6_ADDRSTRLEN];
    size_t size = strlen(host);
    memset(address, 0, sizeof *address);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    if (size >= sizeof room)
        return false;
    memcpy(room, host, size);
    room[size] = 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->socket.storage;
    if (inet_pton(AF_INET, room, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        address->size = sizeof *v4;
        return true;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->socket.storage;
    if (inet_pton(AF_INET6, room, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        address->size = sizeof *v6;
        return true;
    }
    return false;
}

bool address_of_path(struct address *address, const char *path) {
    memset(address, 0, sizeof *address);
    struct sockaddr_un *local = (struct sockaddr_un *)&address->socket.storage;
    if (strlen(path) >= sizeof local->sun_path)
        return false;
    local->sun_family = AF_UNIX;
    strcpy(local->sun_path, path);
    address->size = sizeof *local;
    return true;
}

void address_of_bytes(struct address *address, enum ip_family family, const uint8_t *bytes, uint16_t port) {
    memset(address, 0, sizeof *address);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->socket.storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->socket.storage;
    if (family == IP_V4) {
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&v4->sin_addr, bytes, 4);
        address->size = sizeof *v4;
    } else if (family == IP_V6) {
        *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&v6->sin6_addr, bytes, 16);
        address->size = sizeof *v6;
    } else {
        address->socket.any.sa_family = AF_UNIX;
        address->size = sizeof address->socket.any.sa_family;
    }
}

enum ip_family address_bytes(const struct address *address, uint8_t *bytes, uint16_t *port) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->socket.storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->socket.storage;
    int family = address->size == 0 ? AF_UNSPEC : address->socket.any.sa_family;
    if (family != AF_INET && family != AF_INET6)
        return IP_NONE;
    *port = ntohs(family == AF_INET ? v4->sin_port : v6->sin6_port);
    if (family == AF_INET)
        memcpy(bytes, &v4->sin_addr, 4);
    else
        memcpy(bytes, &v6->sin6_addr, 16);
    return family == AF_INET ? IP_V4 : IP_V6;
}

struct ip address_ip(const struct address *address) {
    switch (address->size == 0 ? AF_UNSPEC : address->socket.any.sa_family) {
    case AF_INET: {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->socket.storage;
        return ip_of_bytes(IP_V4, (const uint8_t *)&v4->sin_addr);
    }
    case AF_INET6: {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->socket.storage;
        return ip_of_bytes(IP_V6, v6->sin6_addr.s6_addr);
    }
    default: return (struct ip){.family = IP_NONE};
    }
}

const char *address_print(const struct address *address, char *room) {
    char text[INET6_ADDRSTRLEN] = "?";
    switch (address->size == 0 ? AF_UNSPEC : address->socket.any.sa_family) {
    case AF_INET: {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->socket.storage;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        snprintf(room, ADDRESS_TEXT_SIZE, "%s:%u", text, ntohs(v4->sin_port));
        return room;
    }
    case AF_INET6: {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->socket.storage;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        snprintf(room, ADDRESS_TEXT_SIZE, "[%s]:%u", text, ntohs(v6->sin6_port));
        return room;
    }
    case AF_UNIX: {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&address->socket.storage;
        if (address->size > sizeof local->sun_family && local->sun_path[0] != 0)
            snprintf(room, ADDRESS_TEXT_SIZE, "unix:%.100s", local->sun_path);
        else
            snprintf(room, ADDRESS_TEXT_SIZE, "local");
        return room;
    }
    default: snprintf(room, ADDRESS_TEXT_SIZE, "unknown"); return room;
    }
}
