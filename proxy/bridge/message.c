#include "bridge/message.h"

#include <stdlib.h>

static uint8_t *add(uint8_t *at, struct span bytes) {
    if (bytes.size != 0)
        memcpy(at, bytes.at, bytes.size);
    return at + bytes.size;
}

struct message *message_create(struct span topic, struct span props, struct span payload) {
    if (topic.size > UINT32_MAX || props.size > UINT32_MAX || payload.size > UINT32_MAX)
        return NULL;
    struct message *message = malloc(sizeof *message + topic.size + props.size + payload.size);
    if (message == NULL)
        return NULL;
    *message = (struct message){.topic_size = (uint32_t)topic.size,
                                .props_size = (uint32_t)props.size,
                                .payload_size = (uint32_t)payload.size};
    add(add(add(message->bytes, topic), props), payload);
    return message;
}
