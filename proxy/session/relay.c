/* relay: moves bytes between the links. All work happens in the worker's one buffer; a session keeps only
 * what is incomplete.
 *
 *     held (if any) is put in front, the read lands behind it      [held | new bytes ............ | room to
 * rewrite ] the inspector packs what may leave to the front              [judged -> one write | rest -> held
 * again        ]
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "session/inside.h"

bool heap_add(struct heap *heap, struct span bytes) {
    if (bytes.size == 0)
        return true;
    if (heap->room - heap->size < bytes.size) {
        size_t room = heap->size + bytes.size;
        if (heap->size != 0 && room < 2 * heap->room)
            room = 2 * heap->room;
        uint8_t *grown = realloc(heap->at, room);
        if (grown == NULL)
            return false;
        heap->at = grown;
        heap->room = room;
    }
    memcpy(heap->at + heap->size, bytes.at, bytes.size);
    heap->size += bytes.size;
    return true;
}

void heap_clear(struct heap *heap) {
    free(heap->at);
    *heap = (struct heap){NULL, 0, 0};
}

static struct link *receiver(const struct session *session, const struct relay *relay) {
    return relay == &session->from_device ? session->broker : session->device;
}

static struct inspect_way *way_of(struct session *session, const struct relay *relay) {
    return relay == &session->from_device ? &session->inspector.from_device : &session->inspector.from_broker;
}

static struct relay *other(struct session *session, const struct relay *relay) {
    return relay == &session->from_device ? &session->from_broker : &session->from_device;
}

struct link_room relay_room(struct session *session, struct relay *relay) {
    uint8_t *bytes = session->host->bytes;
    size_t held = relay->held.size;
    assert(held + LINK_ROOM_MIN <= SESSION_BYTES_SIZE);
    if (held != 0)
        memcpy(bytes, relay->held.at, held);
    return (struct link_room){bytes + held, LINK_ROOM_MIN};
}

/* Keeps what is left; an idle session keeps no memory for it. */
static bool hold(struct relay *relay, struct span rest) {
    if (rest.size == 0) {
        if (relay->held.at != NULL)
            heap_clear(&relay->held);
        return true;
    }
    relay->held.size = 0;
    return heap_add(&relay->held, rest);
}

static void count_sent(struct session *session, const struct relay *relay, size_t size) {
    bool is_to_broker = relay == &session->from_device;
    tally_add(&session->host->tally->rows[is_to_broker ? METRIC_to_broker_bytes : METRIC_to_device_bytes],
              size);
}

/* Sends judged bytes, and what we owe the same receiver at the first packet boundary among them. */
static int send_judged(struct session *session, struct relay *relay, struct span judged, size_t boundary,
                       bool has_boundary) {
    struct link *link = receiver(session, relay);
    struct span pieces[3] = {judged, SPAN_NONE, SPAN_NONE};
    bool is_owing = relay->owed.size != 0 && has_boundary;
    if (is_owing) {
        pieces[0] = span_first(judged, boundary);
        pieces[1] = heap_span(&relay->owed);
        pieces[2] = span_after(judged, boundary);
    }
    if (link == NULL || (judged.size == 0 && !is_owing))
        return 0;
    int error = link_write(link, pieces, 3);
    count_sent(session, relay, judged.size + pieces[1].size);
    if (is_owing)
        heap_clear(&relay->owed);
    return error;
}

void relay_owe(struct session *session, struct relay *relay, struct span bytes) {
    if (bytes.size == 0 || receiver(session, relay) == NULL)
        return;
    if (!heap_add(&relay->owed, bytes)) {
        session_end(session, SESSION_END_NO_MEMORY);
        return;
    }
    if (!inspect_is_at_boundary(way_of(session, relay)))
        return;
    if (send_judged(session, relay, SPAN_NONE, 0, true) < 0)
        session_end(session,
                    relay == &session->from_device ? SESSION_END_BROKER_CLOSED : SESSION_END_DEVICE_LOST);
}

/* One call of the inspector and one write. True: go on with what is left in `bytes`. */
static bool step(struct session *session, struct relay *relay, struct inspect_bytes *bytes) {
    bool is_from_device = relay == &session->from_device;
    struct inspect_way *way = way_of(session, relay);
    struct writer reply = writer_of(session->host->reply, 2 * SESSION_OWED_MAX);
    struct mqtt_connect connect;
    session->inspector.connect = &connect;

    size_t in_progress = inspect_is_at_boundary(way) ? 0 : way->payload_left;
    enum inspect_result result = is_from_device ? inspect_from_device(&session->inspector, bytes, &reply)
                                                : inspect_from_broker(&session->inspector, bytes, &reply);
    bool has_boundary = bytes->judged > in_progress || inspect_is_at_boundary(way);
    if (send_judged(session, relay, span_of(bytes->at, bytes->judged), in_progress, has_boundary) < 0) {
        session_end(session, is_from_device ? SESSION_END_BROKER_CLOSED : SESSION_END_DEVICE_LOST);
        return false;
    }
    relay_owe(session, other(session, relay), writer_span(&reply));
    if (session->state == SESSION_ENDING)
        return false;
    switch (result) {
    case INSPECT_MORE: relay->need = bytes->need; return false;
    case INSPECT_PAUSE: relay->need = 0; return false;
    case INSPECT_DELAY:
        relay->need = 0;
        session_on_delay(session, bytes->judged != 0);
        return false;
    case INSPECT_FLUSH: return true;
    case INSPECT_CONNECT:
        relay->need = 0;
        session_on_connect(session, &connect, span_of(bytes->at, bytes->scanned));
        return false;
    case INSPECT_STARTED: session_on_started(session); return session->state != SESSION_ENDING;
    case INSPECT_GOODBYE: session_on_goodbye(session, relay); return false;
    case INSPECT_WRONG:
    case INSPECT_REFUSED: session_on_wrong(session, relay); return false;
    case INSPECT_TOO_FAST:
        session_end_run(session); /* the log names the rate first */
        session_end(session, SESSION_END_RATE_EXCEEDED);
        return false;
    case INSPECT_NEXT:
    case INSPECT_NO_MEMORY: break;
    }
    session_end(session, SESSION_END_NO_MEMORY);
    return false;
}

static void run(struct session *session, struct relay *relay, size_t filled) {
    struct session_host *host = session->host;
    struct inspect_bytes bytes = {.at = host->bytes,
                                  .filled = filled,
                                  .size = SESSION_BYTES_SIZE,
                                  .scratch = host->scratch,
                                  .scratch_size = INSPECT_SCRATCH_SIZE,
                                  .twins = host->twins};
    if (relay == &session->from_device)
        session_begin_run(session);
    while (step(session, relay, &bytes)) {
        /* Sent; the rest moves to the front. */
        memmove(bytes.at, bytes.at + bytes.scanned, bytes.filled - bytes.scanned);
        bytes.filled -= bytes.scanned;
        bytes.judged = bytes.scanned = 0;
    }
    if (relay == &session->from_device)
        session_end_run(session);
    if (session->state != SESSION_ENDING &&
        !hold(relay, span_of(bytes.at + bytes.scanned, bytes.filled - bytes.scanned)))
        session_end(session, SESSION_END_NO_MEMORY);
}

void relay_take(struct session *session, struct relay *relay, size_t count) {
    size_t filled = relay->held.size + count;
    bool is_waiting = relay == &session->from_device && session_is_delayed(session);
    if (filled < relay->need || is_waiting) {
        uint8_t *fresh = session->host->bytes + relay->held.size;
        if (!heap_add(&relay->held, span_of(fresh, count)))
            session_end(session, SESSION_END_NO_MEMORY);
        return;
    }
    run(session, relay, filled);
    if (session->is_device_waiting && session->state == SESSION_OPEN) {
        /* The CONNACK is through: what the device sent early may go now. */
        session->is_device_waiting = false;
        relay_room(session, &session->from_device);
        run(session, &session->from_device, session->from_device.held.size);
    }
    if (session->state != SESSION_ENDING)
        relay_balance(session);
}

void relay_resume(struct session *session) {
    relay_room(session, &session->from_device);
    run(session, &session->from_device, session->from_device.held.size);
    if (session->state != SESSION_ENDING)
        relay_balance(session);
}

static bool may_read_device(const struct session *session) {
    switch (session->state) {
    case SESSION_SHAKING:
    case SESSION_GREETING: return true;
    case SESSION_WAITING: return session->inspector.is_auth_open;
    case SESSION_OPEN: break;
    default: return false;
    }
    return !session_is_delayed(session) && !session->has_device_finished &&
           link_pending(session->broker) == 0 &&
           link_pending(session->device) <= SESSION_OWED_MAX + LINK_ROOM_MIN &&
           session->from_broker.owed.size <= SESSION_OWED_MAX;
}

static bool may_read_broker(const struct session *session) {
    if (session->state != SESSION_WAITING && session->state != SESSION_OPEN)
        return false;
    return link_pending(session->device) == 0 &&
           link_pending(session->broker) <= SESSION_OWED_MAX + LINK_ROOM_MIN &&
           session->from_device.owed.size <= SESSION_OWED_MAX;
}

void relay_balance(struct session *session) {
    struct link *links[] = {session->device, session->broker};
    bool may_read[] = {may_read_device(session), may_read_broker(session)};
    for (size_t i = 0; i < 2; i++) {
        if (links[i] == NULL)
            continue;
        bool is_slow = i == 1 || !session_is_delayed(session);
        if (session->state == SESSION_OPEN && links[i]->is_reading && !may_read[i] && is_slow)
            tally_add(&session->host->tally->rows[METRIC_backpressure_stops], 1);
        if (i == 0 && may_read[i] && !links[i]->is_reading)
            session->last_heard_ms =
                session->host->now_ms(session->host); /* what it said meanwhile is still unread */
        link_read(links[i], may_read[i]);
    }
}
