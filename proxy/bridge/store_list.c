/* store_list: what people ask about a queue: drawbridge queue. */
#include <stdlib.h>

#include "bridge/store_inside.h"

#define COLUMNS "number, lane, rank, qos, retain, came_s, expires_s, topic, props, payload"

static const char *list_text(const struct store_list *list) {
    if (list->is_dead)
        return list->is_backward
                   ? "SELECT " COLUMNS
                     ", died_s, reason FROM dead WHERE number > ?1 ORDER BY number DESC LIMIT ?2"
                   : "SELECT " COLUMNS
                     ", died_s, reason FROM dead WHERE number > ?1 ORDER BY number LIMIT ?2";
    return list->is_backward
               ? "SELECT " COLUMNS ", 0, '' FROM message WHERE number > ?1 ORDER BY number DESC LIMIT ?2"
               : "SELECT " COLUMNS ", 0, '' FROM message WHERE number > ?1 ORDER BY number LIMIT ?2";
}

int store_list(struct store *store, const struct store_list *list,
               void (*show)(void *keeper, const struct message *message, const struct store_death *death),
               void *keeper) {
    sqlite3_stmt *rows;
    int code = sqlite3_prepare_v2(store->base, list_text(list), -1, &rows, NULL);
    if (code != SQLITE_OK)
        return store_fail(store, code);
    sqlite3_bind_int64(rows, 1, list->above);
    sqlite3_bind_int64(rows, 2, (int64_t)list->limit);
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        const struct store_death death = {sqlite3_column_int64(rows, 10),
                                          (const char *)sqlite3_column_text(rows, 11)};
        struct message *message = store_message(rows);
        if (message == NULL || death.reason == NULL) {
            free(message);
            code = SQLITE_NOMEM;
            break;
        }
        show(keeper, message, &death);
        free(message);
    }
    int error = code == SQLITE_DONE ? 0 : store_fail(store, code);
    sqlite3_finalize(rows);
    return error;
}

int store_purge(struct store *store, bool is_dead, int64_t *count) {
    int code =
        sqlite3_exec(store->base, is_dead ? "DELETE FROM dead" : "DELETE FROM message", NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return store_fail(store, code);
    struct store_known *known = &store->known;
    *count = is_dead ? known->dead_count : known->count[LANE_OUT] + known->count[LANE_IN];
    if (is_dead)
        known->dead_count = 0;
    else
        memset(known->count, 0, sizeof known->count), memset(known->bytes, 0, sizeof known->bytes);
    return 0;
}
