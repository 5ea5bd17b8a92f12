/* rewrite: the CONNECT as the broker shall see it. What was verified here stays the name of rules, log and
 * metrics; the broker may be told another one. */
#include <stdlib.h>

#include "mqtt/write.h"
#include "session/inside.h"

static bool is_disguised(const struct backend_identity *identity) {
    return identity->has_username || identity->has_password || identity->clientid_prefix.size != 0;
}

/* A password never travels without a username, which 3.1.1 forbids; and the device's own password never with
 * a username that is not its own. */
static void put_credentials(const struct backend_identity *identity, struct mqtt_connect *connect) {
    if (identity->has_username) {
        connect->has_username = true;
        connect->username = identity->username;
        connect->has_password = false;
        connect->password = SPAN_NONE;
    }
    if (identity->has_password && connect->has_username) {
        connect->has_password = true;
        connect->password = identity->password;
    }
}

/* The prefix and the client id, put together in `room`. */
static bool put_prefix(struct span prefix, struct heap *room, struct mqtt_connect *connect) {
    if (prefix.size == 0)
        return true;
    if (!heap_add(room, prefix) || !heap_add(room, connect->client_id))
        return false;
    connect->client_id = heap_span(room);
    return true;
}

static bool write_packet(struct session *session, const struct mqtt_connect *connect) {
    /* What came, a username that may be new, and what is put in. */
    size_t room = INSPECT_HELD_MAX + 4 * 65535 + 64;
    uint8_t *bytes = malloc(room);
    if (bytes == NULL)
        return false;
    struct writer writer = writer_of(bytes, room);
    mqtt_write_connect(&writer, connect);
    bool is_good = !writer.is_full && heap_add(&session->connect, writer_span(&writer));
    explicit_bzero(bytes, writer_size(&writer));
    free(bytes);
    tally_add(&session->host->tally->rows[METRIC_packets_rewritten], 1);
    return is_good;
}

bool session_write_connect(struct session *session, const struct mqtt_connect *connect, struct span packet,
                           bool is_changed) {
    const struct backend_identity *identity = &session_terms(session)->identity;
    if (!is_changed && !is_disguised(identity))
        return heap_add(&session->connect, packet);
    struct mqtt_connect told = *connect; /* the password check still needs the device's own */
    struct heap client_id = {NULL, 0, 0};
    put_credentials(identity, &told);
    if (identity->clientid_prefix.size != 0)
        session->inspector.is_client_id_ours = true;
    bool is_good = put_prefix(identity->clientid_prefix, &client_id, &told) && write_packet(session, &told);
    heap_clear(&client_id);
    return is_good;
}
