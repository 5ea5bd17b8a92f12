#include "policy/visitors.h"

#include <stdlib.h>

#include "base/hash.h"

/* How many of the row's front are looked at with each newcomer, and when the table is full. */
#define LOOKS      2
#define LOOKS_FULL 16

#define NAME_START 40

/* Compared as bytes: filled in over zeros. */
struct key {
    uint64_t digest;
    uint32_t size;
    uint16_t group;
    uint8_t kind;
    uint8_t start[NAME_START + 1]; /* the first bytes of the name */
};
_Static_assert(sizeof(struct key) == 56, "no hidden bytes in the key");

struct visitor {
    struct key key;
    UT_hash_handle hh;
    struct visitor *next, *previous; /* in the row */
    uint64_t connections;
    struct bucket bucket;
    uint64_t forget_ms;       /* bucket, failures and ban mean nothing from then on */
    uint64_t banned_until_ms; /* 0: never was */
    uint64_t *failures;       /* when, the oldest first */
    uint32_t failure_count, failure_room;
};

struct visitors {
    struct visitor *table;
    struct visitor row; /* a ring's head */
    size_t most, count, connected_count;
};

struct visitors *visitors_create(size_t most) {
    struct visitors *visitors = calloc(1, sizeof *visitors);
    if (visitors == NULL)
        return NULL;
    visitors->most = most;
    visitors->row.next = visitors->row.previous = &visitors->row;
    return visitors;
}

/* ---- the row ---- */

static void step_out(struct visitor *visitor) {
    visitor->previous->next = visitor->next;
    visitor->next->previous = visitor->previous;
}

static void line_up(struct visitors *visitors, struct visitor *visitor) {
    visitor->next = &visitors->row;
    visitor->previous = visitors->row.previous;
    visitor->previous->next = visitor;
    visitors->row.previous = visitor;
}

static void forget(struct visitors *visitors, struct visitor *visitor) {
    /* Who stands in the row is in the table, which clang's analyzer cannot see. */
    HASH_DEL(visitors->table, visitor); /* NOLINT(clang-analyzer-*) */
    step_out(visitor);
    visitors->count--;
    free(visitor->failures);
    free(visitor);
}

void visitors_destroy(struct visitors *visitors) {
    if (visitors == NULL)
        return;
    for (struct visitor *visitor = visitors->row.next, *next; visitor != &visitors->row; visitor = next) {
        next = visitor->next;
        forget(visitors, visitor);
    }
    free(visitors);
}

/* Makes room: forgets those of the front who left nothing behind; when the table is full, also the one among
 * them whose memory ends first. */
static void tidy(struct visitors *visitors, uint64_t now_ms) {
    bool is_full = visitors->count - visitors->connected_count >= visitors->most;
    struct visitor *soonest = NULL, *visitor = visitors->row.next, *next;
    for (int looks = is_full ? LOOKS_FULL : LOOKS; looks > 0 && visitor != &visitors->row;
         looks--, visitor = next) {
        next = visitor->next;
        if (visitor->connections == 0 && visitor->forget_ms <= now_ms) {
            forget(visitors, visitor);
            is_full = false;
            continue;
        }
        step_out(visitor);
        line_up(visitors, visitor);
        bool may_go = visitor->connections == 0;
        if (may_go && (soonest == NULL || visitor->forget_ms < soonest->forget_ms))
            soonest = visitor;
    }
    if (is_full && soonest != NULL)
        forget(visitors, soonest);
}

/* ---- the table ---- */

static struct key key_of(struct visitor_name name) {
    struct key key;
    memset(&key, 0, sizeof key);
    key.digest = hash_bytes(name.text.at, name.text.size);
    key.size = (uint32_t)name.text.size;
    key.group = name.group;
    key.kind = (uint8_t)name.kind;
    if (name.text.size != 0)
        memcpy(key.start, name.text.at, name.text.size < NAME_START ? name.text.size : NAME_START);
    return key;
}

static struct visitor *find(struct visitors *visitors, struct visitor_name name) {
    struct key key = key_of(name);
    struct visitor *visitor = NULL;
    HASH_FIND(hh, visitors->table, &key, sizeof key, visitor);
    return visitor;
}

/* Finds or makes; NULL when memory is out. Whoever is asked for goes to the end of the row. */
static struct visitor *remember(struct visitors *visitors, struct visitor_name name, uint64_t now_ms) {
    struct visitor *visitor = find(visitors, name);
    if (visitor != NULL) {
        step_out(visitor);
        line_up(visitors, visitor);
        return visitor;
    }
    tidy(visitors, now_ms);
    visitor = calloc(1, sizeof *visitor);
    if (visitor == NULL)
        return NULL;
    visitor->key = key_of(name);
    HASH_ADD(hh, visitors->table, key, sizeof visitor->key, visitor);
    if (visitor->hh.tbl == NULL) {
        free(visitor);
        return NULL;
    }
    line_up(visitors, visitor);
    visitors->count++;
    return visitor;
}

static void keep_until(struct visitor *visitor, uint64_t until_ms) {
    if (visitor->forget_ms < until_ms)
        visitor->forget_ms = until_ms;
}

const char *visitor_address_print(const struct ip *ip, char *room) {
    struct network one = {.ip = ip_as_one(*ip), .prefix = ip->family == IP_V4 ? 32 : 64};
    return network_print(&one, room);
}

/* ---- connections and rates ---- */

struct visitor *visitors_enter(struct visitors *visitors, struct visitor_name name, uint64_t most,
                               uint64_t now_ms, bool *is_over) {
    struct visitor *visitor = remember(visitors, name, now_ms);
    *is_over = visitor != NULL && most != 0 && visitor->connections >= most;
    if (visitor == NULL || *is_over)
        return NULL;
    visitors->connected_count += visitor->connections++ == 0;
    return visitor;
}

void visitors_leave(struct visitors *visitors, struct visitor *visitor) {
    if (--visitor->connections == 0) {
        visitors->connected_count--;
        if (visitor->forget_ms == 0)
            forget(visitors, visitor);
    }
}

uint64_t visitors_connections(struct visitors *visitors, struct visitor_name name) {
    const struct visitor *visitor = find(visitors, name);
    return visitor == NULL ? 0 : visitor->connections;
}

bool visitors_take(struct visitors *visitors, struct visitor_name name, const struct rate *rate,
                   uint64_t now_ms) {
    if (!rate_is_set(rate))
        return true;
    struct visitor *visitor = remember(visitors, name, now_ms);
    if (visitor == NULL)
        return false;
    bool is_taken = bucket_take(&visitor->bucket, rate, 1, now_ms);
    keep_until(visitor, now_ms + bucket_wait_ms(&visitor->bucket, rate, rate->burst, now_ms));
    return is_taken;
}

/* ---- failures and bans ---- */

/* Room for `room` failures, of which the newest are kept. */
static bool make_room(struct visitor *visitor, uint32_t room) {
    if (visitor->failure_room == room)
        return true;
    uint64_t *failures = calloc(room, sizeof *failures);
    if (failures == NULL)
        return false;
    uint32_t kept = visitor->failure_count < room ? visitor->failure_count : room;
    if (kept != 0)
        memcpy(failures, visitor->failures + (visitor->failure_count - kept), kept * sizeof *failures);
    free(visitor->failures);
    visitor->failures = failures;
    visitor->failure_count = kept;
    visitor->failure_room = room;
    return true;
}

/* Takes away the first `count` failures. */
static void drop_failures(struct visitor *visitor, uint32_t count) {
    visitor->failure_count -= count;
    if (count != 0)
        memmove(visitor->failures, visitor->failures + count,
                visitor->failure_count * sizeof *visitor->failures);
}

/* Those that the window has left behind. */
static void drop_old(struct visitor *visitor, uint64_t window_ms, uint64_t now_ms) {
    uint32_t old = 0;
    while (old < visitor->failure_count && now_ms >= visitor->failures[old] + window_ms)
        old++;
    drop_failures(visitor, old);
}

bool visitors_fail(struct visitors *visitors, struct visitor_name name, const struct conf_ban *rule,
                   uint64_t now_ms) {
    if (rule->count == 0)
        return false;
    struct visitor *visitor = remember(visitors, name, now_ms);
    if (visitor == NULL || visitor->banned_until_ms > now_ms)
        return false;
    if (!make_room(visitor, (uint32_t)rule->count))
        return false;
    drop_old(visitor, rule->window_ms, now_ms);
    if (visitor->failure_count == visitor->failure_room)
        drop_failures(visitor, 1);
    visitor->failures[visitor->failure_count++] = now_ms;
    keep_until(visitor, now_ms + rule->window_ms);
    if (visitor->failure_count < rule->count)
        return false;
    visitor->failure_count = 0;
    visitor->banned_until_ms = now_ms + rule->ban_ms;
    keep_until(visitor, visitor->banned_until_ms);
    return true;
}

bool visitors_is_banned(struct visitors *visitors, struct visitor_name name, uint64_t now_ms) {
    const struct visitor *visitor = find(visitors, name);
    return visitor != NULL && visitor->banned_until_ms > now_ms;
}

struct visitors_summary visitors_sum_up(struct visitors *visitors, uint64_t now_ms) {
    struct visitors_summary summary = {.remembered = visitors->count};
    for (const struct visitor *one = visitors->row.next; one != &visitors->row; one = one->next)
        if (one->banned_until_ms > now_ms && one->key.kind <= VISITOR_CLIENTID)
            summary.bans[one->key.kind]++;
    return summary;
}
