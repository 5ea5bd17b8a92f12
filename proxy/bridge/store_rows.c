/* store_rows: what happens to one row. */
#include <stdlib.h>

#include "bridge/store_inside.h"

static void bind_span(sqlite3_stmt *statement, int place, struct span bytes) {
    if (bytes.size == 0)
        sqlite3_bind_zeroblob(statement, place, 0);
    else
        sqlite3_bind_blob64(statement, place, bytes.at, bytes.size, SQLITE_STATIC);
}

int store_note_received(struct store *store, enum lane lane, uint16_t packet_id) {
    sqlite3_stmt *note = store_statement(store, STATEMENT_NOTE);
    sqlite3_bind_int(note, 1, (int)lane);
    sqlite3_bind_int(note, 2, packet_id);
    return store_run(store, note);
}

int store_put(struct store *store, struct message *message) {
    sqlite3_stmt *put = store_statement(store, STATEMENT_PUT);
    int64_t number = store->known.last_number + 1;
    size_t size = message_size(message);
    sqlite3_bind_int64(put, 1, number);
    sqlite3_bind_int(put, 2, message->lane);
    sqlite3_bind_int(put, 3, -message->priority);
    sqlite3_bind_int(put, 4, message->qos);
    sqlite3_bind_int(put, 5, message->retain);
    sqlite3_bind_int64(put, 6, message->came_s);
    sqlite3_bind_int64(put, 7, message->expires_s);
    sqlite3_bind_int64(put, 8, (int64_t)size);
    bind_span(put, 9, message_topic(message));
    bind_span(put, 10, message_props(message));
    bind_span(put, 11, message_payload(message));
    int error = store_run(store, put);
    if (error == 0 && message->source_id != 0)
        error = store_note_received(store, (enum lane)message->lane, message->source_id);
    if (error != 0)
        return error;
    message->number = number;
    store->known.last_number = number;
    store->known.count[message->lane]++;
    store->known.bytes[message->lane] += (int64_t)size;
    return 0;
}

static int run_with_number(struct store *store, enum statement which, int64_t number) {
    sqlite3_stmt *statement = store_statement(store, which);
    sqlite3_bind_int64(statement, 1, number);
    return store_run(store, statement);
}

int store_release(struct store *store, int64_t number) {
    return run_with_number(store, STATEMENT_RELEASE, number);
}

/* What a row counts for; *lane is LANE_COUNT when there is none. */
static int look_up(struct store *store, int64_t number, enum lane *lane, int64_t *size) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_SIZE);
    *lane = LANE_COUNT;
    sqlite3_bind_int64(statement, 1, number);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *lane = sqlite3_column_int(statement, 0) == LANE_IN ? LANE_IN : LANE_OUT;
        *size = sqlite3_column_int64(statement, 1);
    }
    return store_done(store, statement, code);
}

int store_remove(struct store *store, int64_t number, enum lane lane, int64_t size) {
    int error = run_with_number(store, STATEMENT_DELETE, number);
    if (error != 0)
        return error;
    store->known.count[lane]--;
    store->known.bytes[lane] -= size;
    return 0;
}

int store_delete(struct store *store, int64_t number) {
    enum lane lane;
    int64_t size;
    int error = look_up(store, number, &lane, &size);
    return error != 0 || lane == LANE_COUNT ? error : store_remove(store, number, lane, size);
}

int store_bury(struct store *store, int64_t number, const char *reason, int64_t now_s) {
    enum lane lane;
    int64_t size;
    int error = look_up(store, number, &lane, &size);
    if (error != 0 || lane == LANE_COUNT)
        return error;
    sqlite3_stmt *bury = store_statement(store, STATEMENT_BURY);
    sqlite3_bind_int64(bury, 1, number);
    sqlite3_bind_int64(bury, 2, now_s);
    sqlite3_bind_text(bury, 3, reason, -1, SQLITE_TRANSIENT);
    error = store_run(store, bury);
    if (error == 0)
        error = store_remove(store, number, lane, size);
    if (error == 0)
        store->known.dead_count++;
    return error;
}

int store_forget_received(struct store *store, enum lane lane, uint16_t packet_id) {
    sqlite3_stmt *forget = store_statement(store, STATEMENT_FORGET);
    sqlite3_bind_int(forget, 1, (int)lane);
    sqlite3_bind_int(forget, 2, packet_id);
    return store_run(store, forget);
}

int store_forget_all_received(struct store *store, enum lane lane) {
    sqlite3_stmt *forget = store_statement(store, STATEMENT_FORGET_ALL);
    sqlite3_bind_int(forget, 1, (int)lane);
    return store_run(store, forget);
}

int store_fetch_received(struct store *store, enum lane lane, uint8_t *bits) {
    sqlite3_stmt *received = store_statement(store, STATEMENT_RECEIVED);
    sqlite3_bind_int(received, 1, (int)lane);
    int code;
    while ((code = sqlite3_step(received)) == SQLITE_ROW) {
        uint16_t packet_id = (uint16_t)sqlite3_column_int(received, 0);
        bits[packet_id >> 3] |= (uint8_t)(1 << (packet_id & 7));
    }
    return store_done(store, received, code);
}

int store_dead_count(struct store *store, int64_t *count) {
    *count = store->known.dead_count;
    return 0;
}

int store_last_number(struct store *store, int64_t *number) {
    *number = store->known.last_number;
    return 0;
}

void store_held(const struct store *store, int64_t *count, int64_t *bytes) {
    const struct store_known *known = &store->known;
    *count = known->count[LANE_OUT] + known->count[LANE_IN];
    *bytes = known->bytes[LANE_OUT] + known->bytes[LANE_IN];
}
