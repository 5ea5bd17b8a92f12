/* broker: a fake broker. It answers CONNECT, SUBSCRIBE (of one filter), PUBLISH of QoS 1 and PINGREQ, counts
 * PUBLISHes, and sends what it is given to a device: one message, or a flood of blocks as fast as they go. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static uint8_t read_buffer[256 * 1024];

static void link_close(struct broker_link *link) {
    struct broker *broker = link->broker;
    if (broker->on_close != NULL)
        broker->on_close(link);
    loop_close(&link->watch);
    bytes_free(&link->out);
    link->next_free = broker->free_links;
    broker->free_links = link;
    broker->open_count--;
}

/* Sends what waits in `out`, then of the flood one piece: the other links get their turn. */
static bool link_flush(struct broker_link *link) {
    while (link->out_sent < link->out.size) {
        ssize_t sent =
            send(link->watch.fd, link->out.data + link->out_sent, link->out.size - link->out_sent, 0);
        if (sent < 0) {
            loop_change(&link->watch, EPOLLIN | EPOLLOUT);
            return errno == EAGAIN;
        }
        link->out_sent += (size_t)sent;
    }
    link->out.size = link->out_sent = 0;
    if (link->block == NULL && link->is_flooding) {
        link->block = link->broker->next_block(link);
        link->block_sent = 0;
        link->is_flooding = link->block != NULL;
    }
    if (link->block != NULL) {
        ssize_t sent = send(link->watch.fd, link->block->data + link->block_sent,
                            link->block->size - link->block_sent, 0);
        if (sent < 0 && errno != EAGAIN)
            return false;
        link->block_sent += sent > 0 ? (size_t)sent : 0;
        if (link->block_sent == link->block->size)
            link->block = NULL;
    }
    bool has_more = link->is_flooding || link->block != NULL;
    loop_change(&link->watch, has_more ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
}

static void take_connect(struct broker_link *link, const struct packet *packet) {
    const uint8_t *body = packet->body;
    size_t at = 10;
    if (packet->body_size < 12)
        return;
    link->version = body[6];
    if (link->version == MQTT_5)
        at += 1u + body[10]; /* fewer than 128 bytes of properties */
    if (at + 2 <= packet->body_size) {
        size_t size = (size_t)body[at] << 8 | body[at + 1];
        char id[64] = "";
        if (size < sizeof id && at + 2 + size <= packet->body_size) {
            memcpy(id, body + at + 2, size);
            const char *number = strrchr(id, '-');
            link->device = number == NULL ? NO_DEVICE : (uint32_t)strtoul(number + 1, NULL, 10);
        }
    }
    packet_add_connack(&link->out, link->version);
}

static void take_packet(void *owner, const struct packet *packet) {
    struct broker_link *link = owner;
    struct broker *broker = link->broker;
    switch (packet->first >> 4) {
    case PUBLISH:
        broker->publish_count++;
        if ((packet->first & 0x06) == 0x02)
            packet_add_puback(&link->out, packet_publish_id(packet));
        if (broker->on_publish != NULL)
            broker->on_publish(link, packet);
        break;
    case CONNECT: take_connect(link, packet); break;
    case SUBSCRIBE:
        if (packet->body_size < 2)
            break;
        packet_add_suback(&link->out, link->version, (uint16_t)(packet->body[0] << 8 | packet->body[1]));
        if (broker->on_subscribe != NULL)
            broker->on_subscribe(link);
        break;
    case PINGREQ: packet_add_empty(&link->out, PINGRESP); break;
    default: break; /* a DISCONNECT: the other side closes */
    }
}

static void on_link_ready(struct watch *watch, uint32_t events) {
    struct broker_link *link = (struct broker_link *)watch;
    bool is_well = true;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t got = recv(watch->fd, read_buffer, sizeof read_buffer, 0);
        if (got > 0)
            is_well = packet_read(&link->reader, read_buffer, (size_t)got, take_packet, link);
        else
            is_well = got < 0 && errno == EAGAIN;
    }
    if (is_well && (link->out.size > 0 || (events & EPOLLOUT) != 0))
        is_well = link_flush(link);
    if (!is_well)
        link_close(link);
}

static void on_broker_ready(struct watch *watch, uint32_t events) {
    struct broker *broker = (struct broker *)watch;
    int fd;
    (void)events;
    while ((fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct broker_link *link = broker->free_links;
        if (link != NULL)
            broker->free_links = link->next_free;
        else
            link = allocate(sizeof *link);
        *link = (struct broker_link){.broker = broker, .device = NO_DEVICE, .version = MQTT_311};
        set_nodelay(fd);
        loop_add(&link->watch, fd, EPOLLIN, on_link_ready);
        broker->open_count++;
        broker->accepted_count++;
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        die("the broker cannot accept: %s", strerror(errno));
}

void broker_start(struct broker *broker, uint16_t port) {
    loop_add(&broker->watch, listen_on(port, &broker->port), EPOLLIN, on_broker_ready);
}

void broker_send(struct broker_link *link, const struct bytes *packets) {
    bytes_add(&link->out, packets->data, packets->size);
    if (!link_flush(link))
        die("the proxy closed the connection of device %u to the broker", link->device);
}

void broker_flood(struct broker_link *link) {
    link->is_flooding = true;
    loop_change(&link->watch, EPOLLIN | EPOLLOUT);
}
