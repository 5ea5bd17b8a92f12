#include "session/lobby.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

struct lobby {
    pthread_mutex_t lock;
    struct visitors *visitors;
    int64_t handshakes; /* atomic */
};

struct lobby *lobby_create(void) {
    struct lobby *lobby = calloc(1, sizeof *lobby);
    if (lobby == NULL)
        return NULL;
    lobby->visitors = visitors_create(VISITORS_MAX);
    if (lobby->visitors == NULL) {
        free(lobby);
        return NULL;
    }
    pthread_mutex_init(&lobby->lock, NULL);
    return lobby;
}

void lobby_destroy(struct lobby *lobby) {
    if (lobby == NULL)
        return;
    visitors_destroy(lobby->visitors);
    pthread_mutex_destroy(&lobby->lock);
    free(lobby);
}

const char *lobby_words(enum lobby_answer answer) {
    switch (answer) {
    case LOBBY_WELCOME: return "it is welcome";
    case LOBBY_DENIED: return "its address is in deny_from";
    case LOBBY_NOT_ALLOWED: return "its address is not in allow_from";
    case LOBBY_BANNED: return "its address is banned";
    case LOBBY_OVER_RATE: return "its address is above connection_rate";
    case LOBBY_OVER_ADDRESS: return "its address is above max_connections_per_address";
    case LOBBY_OVER_USERNAME: return "its username is above max_connections_per_username";
    case LOBBY_OVER_HANDSHAKES: return "there are max_handshakes in progress";
    case LOBBY_NO_MEMORY: return "memory is out";
    }
    return "";
}

/* ---- names ---- */

#define IDENTITY_SIZE 32

/* Listeners that have an option from one line share what it counts. */
static uint16_t group_of(const struct lobby_rules *rules, enum conf_option option) {
    bool is_shared = conf_is_from_all(rules->conf, rules->listener, option);
    return is_shared ? 0 : (uint16_t)(rules->listener_index + 1);
}

static struct visitor_name address_of(const struct guest *guest, const struct lobby_rules *rules,
                                      enum conf_option option) {
    return visitor_address(&guest->ip, group_of(rules, option));
}

/* Client id, username and perhaps address as one name in `room` (IDENTITY_SIZE), by their keyed digests. */
static struct visitor_name identity_of(uint8_t *room, enum visitor_kind kind, uint16_t group,
                                       const struct ip *ip, struct span username, struct span client_id) {
    const uint64_t digests[2] = {hash_bytes(client_id.at, client_id.size),
                                 hash_bytes(username.at, username.size)};
    size_t used = sizeof digests;
    memcpy(room, digests, sizeof digests);
    if (kind == VISITOR_OF_ADDRESS) {
        struct span bytes = visitor_address(ip, 0).text;
        memcpy(room + used, bytes.at, bytes.size);
        used += bytes.size;
    }
    return (struct visitor_name){kind, group, span_of(room, used)};
}

/* ---- the door ---- */

static bool is_listed(const struct conf_networks *networks, const struct ip *ip) {
    for (size_t i = 0; networks != NULL && i < networks->count; i++)
        if (network_holds(&networks->list[i], ip))
            return true;
    return false;
}

static enum lobby_answer judge_network(const struct conf_listener *listener, const struct ip *ip) {
    if (is_listed(listener->deny_from, ip))
        return LOBBY_DENIED;
    bool is_limited = listener->allow_from != NULL && listener->allow_from->count != 0;
    return !is_limited || is_listed(listener->allow_from, ip) ? LOBBY_WELCOME : LOBBY_NOT_ALLOWED;
}

/* One more than the limit may come as far as its CONNECT, so that a device whose last connection is dying
 * unnoticed is not shut out by it; and it can be told what is wrong. */
static enum lobby_answer count_address(struct lobby *lobby, const struct lobby_rules *rules,
                                       struct guest *guest, uint64_t now_ms) {
    uint64_t most = (uint64_t)rules->listener->max_connections_per_address;
    bool is_over;
    if (most == 0)
        return LOBBY_WELCOME;
    guest->address =
        visitors_enter(lobby->visitors, address_of(guest, rules, CONF_max_connections_per_address), most + 1,
                       now_ms, &is_over);
    return guest->address != NULL ? LOBBY_WELCOME : is_over ? LOBBY_OVER_ADDRESS : LOBBY_NO_MEMORY;
}

static enum lobby_answer judge_address(struct lobby *lobby, const struct lobby_rules *rules,
                                       struct guest *guest, uint64_t now_ms) {
    const struct conf_listener *listener = rules->listener;
    bool may_be_banned = listener->ban_after.count != 0;
    if (!may_be_banned && !rate_is_set(&listener->connection_rate) &&
        listener->max_connections_per_address == 0)
        return LOBBY_WELCOME;
    enum lobby_answer answer;
    pthread_mutex_lock(&lobby->lock);
    if (may_be_banned && visitors_is_banned(lobby->visitors, visitor_address(&guest->ip, 0), now_ms))
        answer = LOBBY_BANNED;
    else if (!visitors_take(lobby->visitors, address_of(guest, rules, CONF_connection_rate),
                            &listener->connection_rate, now_ms))
        answer = LOBBY_OVER_RATE;
    else
        answer = count_address(lobby, rules, guest, now_ms);
    pthread_mutex_unlock(&lobby->lock);
    return answer;
}

enum lobby_answer lobby_arrive(struct lobby *lobby, const struct lobby_rules *rules,
                               const struct address *address, bool wants_tls, uint64_t now_ms,
                               struct guest *guest) {
    *guest = (struct guest){.ip = address_ip(address)};
    enum lobby_answer answer = LOBBY_WELCOME;
    if (guest->ip.family != IP_NONE)
        answer = judge_network(rules->listener, &guest->ip);
    if (guest->ip.family != IP_NONE && answer == LOBBY_WELCOME)
        answer = judge_address(lobby, rules, guest, now_ms);
    int64_t most = rules->conf->max_handshakes;
    if (answer == LOBBY_WELCOME && wants_tls && most != 0) {
        guest->is_shaking = true;
        if (__atomic_add_fetch(&lobby->handshakes, 1, __ATOMIC_RELAXED) > most)
            answer = LOBBY_OVER_HANDSHAKES;
    }
    if (answer != LOBBY_WELCOME)
        lobby_leave(lobby, guest);
    return answer;
}

void lobby_shaken(struct lobby *lobby, struct guest *guest) {
    if (guest->is_shaking)
        __atomic_sub_fetch(&lobby->handshakes, 1, __ATOMIC_RELAXED);
    guest->is_shaking = false;
}

/* ---- the CONNECT ---- */

/* Under the lock. */
static void stand_up(struct lobby *lobby, struct guest_seat *seat) {
    if (seat->visitor != NULL)
        visitors_leave(lobby->visitors, seat->visitor);
    if (seat->identity != NULL)
        visitors_leave(lobby->visitors, seat->identity);
    *seat = (struct guest_seat){NULL, NULL};
}

bool lobby_is_banned(struct lobby *lobby, const struct lobby_rules *rules, struct span username,
                     struct span client_id, uint64_t now_ms) {
    uint64_t kinds = rules->listener->ban_after.kinds;
    if (rules->listener->ban_after.count == 0 || (kinds & ~(uint64_t)CONF_BAN_ADDRESS) == 0)
        return false;
    const struct visitor_name user = {VISITOR_USERNAME, 0, username},
                              client = {VISITOR_CLIENTID, 0, client_id};
    pthread_mutex_lock(&lobby->lock);
    bool is_banned =
        ((kinds & CONF_BAN_USERNAME) != 0 && username.size != 0 &&
         visitors_is_banned(lobby->visitors, user, now_ms)) ||
        ((kinds & CONF_BAN_CLIENTID) != 0 && visitors_is_banned(lobby->visitors, client, now_ms));
    pthread_mutex_unlock(&lobby->lock);
    return is_banned;
}

/* Takes one of `most` seats, or one more when a single connection of the same identity sits there: that one
 * is about to be taken over, and goes; a second take-over waits until it has. Who gets no seat has no
 * identity there either, or his next try would take over this one. */
static enum lobby_answer take_seat(struct lobby *lobby, struct visitor_name name,
                                   struct visitor_name identity, uint64_t most, uint64_t now_ms,
                                   struct guest_seat *seat) {
    bool is_over;
    bool takes_over = visitors_connections(lobby->visitors, identity) == 1;
    seat->visitor = visitors_enter(lobby->visitors, name, takes_over ? 0 : most, now_ms, &is_over);
    if (seat->visitor == NULL)
        return is_over ? LOBBY_OVER_ADDRESS : LOBBY_NO_MEMORY;
    seat->identity = visitors_enter(lobby->visitors, identity, 0, now_ms, &is_over);
    return seat->identity == NULL ? LOBBY_NO_MEMORY : LOBBY_WELCOME;
}

static enum lobby_answer seat_address(struct lobby *lobby, const struct lobby_rules *rules,
                                      struct span username, struct span client_id, uint64_t now_ms,
                                      struct guest *guest) {
    uint8_t room[IDENTITY_SIZE];
    uint64_t most = (uint64_t)rules->listener->max_connections_per_address;
    uint16_t group = group_of(rules, CONF_max_connections_per_address);
    if (most == 0 || guest->ip.family == IP_NONE)
        return LOBBY_WELCOME;
    struct visitor_name name = visitor_address(&guest->ip, group);
    name.kind = VISITOR_SEATED_ADDRESS;
    struct visitor_name identity =
        identity_of(room, VISITOR_OF_ADDRESS, group, &guest->ip, username, client_id);
    return take_seat(lobby, name, identity, most, now_ms, &guest->of_address);
}

static enum lobby_answer seat_username(struct lobby *lobby, const struct lobby_rules *rules,
                                       struct span username, struct span client_id, uint64_t now_ms,
                                       struct guest *guest) {
    uint8_t room[IDENTITY_SIZE];
    uint64_t most = (uint64_t)rules->listener->max_connections_per_username;
    uint16_t group = group_of(rules, CONF_max_connections_per_username);
    if (most == 0 || username.size == 0)
        return LOBBY_WELCOME;
    struct visitor_name name = {VISITOR_USERNAME, group, username};
    struct visitor_name identity =
        identity_of(room, VISITOR_OF_USERNAME, group, &guest->ip, username, client_id);
    enum lobby_answer answer = take_seat(lobby, name, identity, most, now_ms, &guest->of_username);
    return answer == LOBBY_OVER_ADDRESS ? LOBBY_OVER_USERNAME : answer;
}

enum lobby_answer lobby_seat(struct lobby *lobby, const struct lobby_rules *rules, struct span username,
                             struct span client_id, uint64_t now_ms, struct guest *guest) {
    const struct conf_listener *listener = rules->listener;
    if (listener->max_connections_per_address == 0 && listener->max_connections_per_username == 0)
        return LOBBY_WELCOME;
    pthread_mutex_lock(&lobby->lock);
    enum lobby_answer answer = seat_address(lobby, rules, username, client_id, now_ms, guest);
    if (answer == LOBBY_WELCOME)
        answer = seat_username(lobby, rules, username, client_id, now_ms, guest);
    if (answer != LOBBY_WELCOME) {
        stand_up(lobby, &guest->of_address);
        stand_up(lobby, &guest->of_username);
    }
    pthread_mutex_unlock(&lobby->lock);
    return answer;
}

/* ---- failures, and the end ---- */

unsigned lobby_fail(struct lobby *lobby, const struct lobby_rules *rules, const struct guest *guest,
                    struct span username, struct span client_id, uint64_t now_ms) {
    const struct conf_ban *ban = &rules->listener->ban_after;
    unsigned banned = 0;
    if (ban->count == 0)
        return 0;
    const struct visitor_name user = {VISITOR_USERNAME, 0, username},
                              client = {VISITOR_CLIENTID, 0, client_id};
    pthread_mutex_lock(&lobby->lock);
    if ((ban->kinds & CONF_BAN_ADDRESS) != 0 && guest->ip.family != IP_NONE &&
        visitors_fail(lobby->visitors, visitor_address(&guest->ip, 0), ban, now_ms))
        banned |= CONF_BAN_ADDRESS;
    if ((ban->kinds & CONF_BAN_USERNAME) != 0 && username.size != 0 &&
        visitors_fail(lobby->visitors, user, ban, now_ms))
        banned |= CONF_BAN_USERNAME;
    if ((ban->kinds & CONF_BAN_CLIENTID) != 0 && client_id.size != 0 &&
        visitors_fail(lobby->visitors, client, ban, now_ms))
        banned |= CONF_BAN_CLIENTID;
    pthread_mutex_unlock(&lobby->lock);
    return banned;
}

void lobby_leave(struct lobby *lobby, struct guest *guest) {
    lobby_shaken(lobby, guest);
    if (guest->address != NULL || guest->of_address.visitor != NULL || guest->of_username.visitor != NULL) {
        pthread_mutex_lock(&lobby->lock);
        if (guest->address != NULL)
            visitors_leave(lobby->visitors, guest->address);
        stand_up(lobby, &guest->of_address);
        stand_up(lobby, &guest->of_username);
        pthread_mutex_unlock(&lobby->lock);
    }
    guest->address = NULL;
}

struct visitors_summary lobby_sum_up(struct lobby *lobby, uint64_t now_ms) {
    pthread_mutex_lock(&lobby->lock);
    struct visitors_summary summary = visitors_sum_up(lobby->visitors, now_ms);
    pthread_mutex_unlock(&lobby->lock);
    return summary;
}

int64_t lobby_handshakes(const struct lobby *lobby) {
    return __atomic_load_n(&lobby->handshakes, __ATOMIC_RELAXED);
}
