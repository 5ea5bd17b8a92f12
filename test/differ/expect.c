#include "differ/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- aliases: a short list of what was told ---- */

#define ALIASES_MAX 64
struct aliases {
    unsigned max, count;
    struct {
        unsigned alias;
        struct ref_bytes topic;
    } list[ALIASES_MAX];
};

static struct ref_bytes *alias_of(struct aliases *aliases, unsigned alias) {
    for (unsigned i = 0; i < aliases->count; i++)
        if (aliases->list[i].alias == alias)
            return &aliases->list[i].topic;
    return NULL;
}

static void tell(struct aliases *aliases, unsigned alias, struct ref_bytes topic) {
    struct ref_bytes *told = alias_of(aliases, alias);
    if (told == NULL) {
        if (aliases->count == ALIASES_MAX)
            abort(); /* the generator makes fewer packets */
        aliases->list[aliases->count].alias = alias;
        told = &aliases->list[aliases->count++].topic;
    }
    *told = topic;
}

/* The topic that a PUBLISH is about, and remembers what it tells. False: an alias that may not be used. */
static bool resolve(struct aliases *aliases, const struct ref_packet *packet, struct ref_bytes *topic) {
    const struct ref_prop *prop = ref_prop_find(&packet->props, 35);
    *topic = packet->topic;
    if (prop == NULL)
        return true;
    if (prop->number > aliases->max)
        return false;
    struct ref_bytes *told = alias_of(aliases, prop->number);
    if (packet->topic.size == 0) {
        if (told != NULL)
            *topic = *told;
        return told != NULL;
    }
    tell(aliases, prop->number, packet->topic);
    return true;
}

/* ---- the rules, in the plainest words ---- */

static bool begins_with(struct ref_bytes text, const char *start) {
    size_t size = strlen(start);
    return text.size >= size && memcmp(text.at, start, size) == 0;
}

static bool is_same(struct ref_bytes a, struct ref_bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static struct ref_bytes literal(const char *text) {
    return (struct ref_bytes){(const uint8_t *)text, strlen(text)};
}

static bool holds_wildcard(struct ref_bytes text) {
    return text.size != 0 &&
           (memchr(text.at, '+', text.size) != NULL || memchr(text.at, '#', text.size) != NULL);
}

/* $SYS is read only, but for the state of a bridge; topics named $share do not exist. */
static bool is_reserved(struct ref_bytes topic, bool is_written) {
    static const char state[] = "$SYS/broker/connection/", end[] = "/state";
    if (begins_with(topic, "$share"))
        return true;
    if (!begins_with(topic, "$SYS") || !is_written)
        return false;
    size_t least = sizeof state - 1 + sizeof end - 1;
    if (!begins_with(topic, state) || topic.size < least)
        return true;
    struct ref_bytes tail = {topic.at + topic.size - (sizeof end - 1), sizeof end - 1};
    return !is_same(tail, literal(end)) ||
           memchr(topic.at + sizeof state - 1, '/', topic.size - least) != NULL;
}

/* ---- sets of packet ids ---- */

struct ids {
    unsigned count;
    unsigned list[ALIASES_MAX];
};

static bool has_id(const struct ids *ids, unsigned id) {
    for (unsigned i = 0; i < ids->count; i++)
        if (ids->list[i] == id)
            return true;
    return false;
}

static void add_id(struct ids *ids, unsigned id) {
    if (has_id(ids, id))
        return;
    if (ids->count == ALIASES_MAX)
        abort();
    ids->list[ids->count++] = id;
}

static void remove_id(struct ids *ids, unsigned id) {
    for (unsigned i = 0; i < ids->count; i++)
        if (ids->list[i] == id)
            ids->list[i--] = ids->list[--ids->count];
}

/* ---- one direction of a conversation ---- */

struct way {
    const struct expect_rules *rules;
    bool is_from_device;
    int version;
    struct aliases aliases;
    struct aliases told; /* what the receiver has been told */
    struct ids cut;      /* QoS 2 PUBLISHes that the program answers itself */
    struct ids waiting;  /* SUBSCRIBEs whose SUBACK the program completes */
    struct ref_bytes method;
    bool may_expire, is_started, is_over;
    bool is_named_by_us;   /* the device sent no client id */
    bool is_renamed;       /* it sent another one than the broker saw */
    struct ref_bytes name; /* as the broker saw it */
    bool is_odd;           /* patterns grant nothing to a name with a wildcard in it */
    struct expectation *said;
    const char *why;
};

/* What becomes of a packet. */
enum fate { PASSES, IS_CUT, IS_WRONG };

static enum fate wrong(struct way *way, const char *why) {
    way->why = why;
    return IS_WRONG;
}

static bool may_topic(const struct way *way, struct ref_bytes topic, bool is_written) {
    if (is_reserved(topic, is_written))
        return false;
    if (!way->rules->has_rules)
        return true;
    return !way->is_odd && !begins_with(topic, "$") && !begins_with(topic, "no/") &&
           !is_same(topic, literal("no"));
}

/* Nothing in common with what may be read? A filter's wildcards meet other topics too, so only its literal
 * beginning counts. */
static bool may_filter(const struct way *way, struct ref_bytes filter) {
    if (begins_with(filter, "$share")) {
        /* 4.8.2; before 5.0 a broker may know them too, so they are read alike. */
        const uint8_t *slash =
            begins_with(filter, "$share/") ? memchr(filter.at + 7, '/', filter.size - 7) : NULL;
        if (slash == NULL || slash == filter.at + 7 ||
            holds_wildcard((struct ref_bytes){filter.at, (size_t)(slash - filter.at)}))
            return false;
        filter = (struct ref_bytes){slash + 1, filter.size - (size_t)(slash + 1 - filter.at)};
        if (!ref_is_topic_filter(filter))
            return false;
    }
    return may_topic(way, filter, false);
}

static struct ref_bytes method_of(const struct ref_packet *packet) {
    const struct ref_prop *prop = ref_prop_find(&packet->props, 21);
    return prop == NULL ? (struct ref_bytes){NULL, 0} : prop->text;
}

static unsigned number_of(const struct ref_packet *packet, unsigned id, unsigned unsaid) {
    const struct ref_prop *prop = ref_prop_find(&packet->props, id);
    return prop == NULL ? unsaid : prop->number;
}

static void learn_connect(struct way *way, const struct ref_packet *packet) {
    way->version = packet->version;
    way->method = method_of(packet);
    way->may_expire = number_of(packet, 17, 0) != 0;
    if (!way->is_from_device)
        way->aliases.max = number_of(packet, 34, 0);
}

/* Gives the device the client id under which it is known; why it may not come in, or NULL. */
static const char *learn_names(struct way *way, struct ref_packet *packet) {
    bool is_nameless = packet->client_id.size == 0;
    if (is_nameless && (packet->version == 3 || (packet->version == 4 && !packet->is_clean)))
        return "there is no client id";
    if (way->rules->use_username_as_clientid) {
        if (packet->username.size == 0)
            return "there is no user name to be the client id";
        way->is_renamed = !is_same(packet->client_id, packet->username);
        packet->client_id = packet->username;
    } else if (is_nameless) {
        packet->client_id = literal(EXPECT_CLIENT_ID);
    }
    way->is_named_by_us = is_nameless;
    way->name = packet->client_id;
    if (is_nameless || way->is_renamed)
        way->said->is_rewritten = true;
    way->is_odd = holds_wildcard(packet->client_id) || holds_wildcard(packet->username);
    return NULL;
}

static enum fate judge_connect(struct way *way, struct ref_packet *packet) {
    const struct expect_rules *rules = way->rules;
    learn_connect(way, packet);
    const char *fault = learn_names(way, packet);
    if (fault != NULL)
        return wrong(way, fault);
    if (!packet->has_will)
        return PASSES;
    if (packet->will_qos > rules->max_qos || (packet->will_retain && !rules->retain_available))
        return wrong(way, "the will is above the limits");
    if (!may_topic(way, packet->will_topic, true) ||
        (rules->message_size_limit != 0 && packet->will_payload.size > rules->message_size_limit)) {
        packet->has_will = false;
        way->said->is_rewritten = true;
    }
    return PASSES;
}

static enum fate cut_publish(struct way *way, const struct ref_packet *packet) {
    /* A PUBREC that says no ends the exchange in 5.0 (4.3.3); the broker is told a success. */
    if (packet->qos == 2 && !(way->version == 5 && way->is_from_device))
        add_id(&way->cut, packet->packet_id);
    way->said->is_rewritten = true;
    return IS_CUT;
}

static enum fate judge_publish(struct way *way, struct ref_packet *packet, struct ref_bytes *topic) {
    const struct expect_rules *rules = way->rules;
    if (!resolve(&way->aliases, packet, topic))
        return wrong(way, "the alias may not be used");
    if (!way->is_from_device)
        return may_topic(way, *topic, false) ? PASSES : cut_publish(way, packet);
    if (packet->qos > rules->max_qos || (packet->is_retained && !rules->retain_available))
        return wrong(way, "QoS or retain above the limits");
    if (!may_topic(way, *topic, true) ||
        (rules->message_size_limit != 0 && packet->payload.size > rules->message_size_limit))
        return cut_publish(way, packet);
    return PASSES;
}

static enum fate judge_subscribe(struct way *way, struct ref_packet *packet) {
    if (has_id(&way->waiting, packet->packet_id))
        return wrong(way, "the packet identifier is in use");
    size_t kept = 0;
    for (size_t i = 0; i < packet->filter_count; i++) {
        struct ref_filter filter = packet->filters[i];
        if (!may_filter(way, filter.text))
            continue;
        if (filter.options % 4 > way->rules->max_qos) {
            filter.options = (uint8_t)((filter.options & ~3) + way->rules->max_qos);
            way->said->is_rewritten = true;
        }
        packet->filters[kept++] = filter;
    }
    if (kept == packet->filter_count)
        return PASSES;
    way->said->is_rewritten = true;
    packet->filter_count = kept;
    if (kept == 0)
        return IS_CUT;
    add_id(&way->waiting, packet->packet_id);
    return PASSES;
}

static enum fate judge_auth(struct way *way, const struct ref_packet *packet) {
    struct ref_bytes method = method_of(packet);
    bool is_named = ref_prop_find(&packet->props, 21) != NULL;
    if (way->method.size == 0)
        return wrong(way, "AUTH was not asked for");
    if (!is_named && !way->is_from_device)
        return PASSES;
    return is_named && is_same(method, way->method) ? PASSES : wrong(way, "another authentication method");
}

/* The properties that the program rewrites are sorted out and stand at the end. */
static void promise(struct ref_packet *packet, unsigned id, uint32_t value, bool is_said) {
    size_t kept = 0;
    for (size_t i = 0; i < packet->props.count; i++)
        if (packet->props.list[i].id != id)
            packet->props.list[kept++] = packet->props.list[i];
    packet->props.count = kept;
    if (is_said)
        packet->props.list[packet->props.count++] = (struct ref_prop){.id = id, .number = value};
}

static uint32_t lesser(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static void promise_all(struct way *way, struct ref_packet *packet) {
    const struct expect_rules *rules = way->rules;
    uint32_t alias = number_of(packet, 34, 0), qos = number_of(packet, 36, 2),
             retain = number_of(packet, 37, 1);
    uint32_t size = number_of(packet, 39, UINT32_MAX);
    uint32_t our_size = rules->max_packet_size == 0 ? UINT32_MAX : (uint32_t)rules->max_packet_size;
    /* The device did not send the client id that the broker saw: what the broker calls it is not for the
     * device. */
    bool is_hidden = way->is_renamed && ref_prop_find(&packet->props, 18) != NULL;
    if (!way->is_named_by_us && !is_hidden && alias <= rules->max_topic_alias &&
        qos <= (unsigned)rules->max_qos && retain <= (unsigned)rules->retain_available && size <= our_size)
        return;
    way->said->is_rewritten = true;
    bool has_alias = ref_prop_find(&packet->props, 34) != NULL,
         has_retain = ref_prop_find(&packet->props, 37) != NULL;
    const struct ref_prop *keep_alive = ref_prop_find(&packet->props, 19);
    if (keep_alive != NULL)
        promise(packet, 19, keep_alive->number, true);
    alias = lesser(alias, rules->max_topic_alias);
    promise(packet, 34, alias, has_alias);
    qos = lesser(qos, (uint32_t)rules->max_qos);
    promise(packet, 36, qos, qos != 2);
    retain = lesser(retain, rules->retain_available);
    promise(packet, 37, retain, has_retain || retain == 0);
    size = lesser(size, our_size);
    promise(packet, 39, size, size != UINT32_MAX || ref_prop_find(&packet->props, 39) != NULL);
    if (is_hidden)
        promise(packet, 18, 0, false);
    if (!way->is_named_by_us)
        return;
    promise(packet, 18, 0, true);
    packet->props.list[packet->props.count - 1].text = way->name;
}

static enum fate judge_connack(struct way *way, struct ref_packet *packet) {
    if (way->is_started)
        return wrong(way, "a second CONNACK");
    if (packet->reason != 0) {
        way->is_over = true;
        return PASSES;
    }
    way->is_started = true;
    if (way->version == 5)
        promise_all(way, packet);
    return PASSES;
}

/* More than was asked for is granted to nobody: no device may ask for more than max_qos. */
static enum fate judge_suback(struct way *way, struct ref_packet *packet) {
    static uint8_t lowered[65536];
    if (packet->codes.size > sizeof lowered)
        return PASSES;
    memcpy(lowered, packet->codes.at, packet->codes.size);
    for (size_t i = 0; i < packet->codes.size; i++)
        if (lowered[i] <= 2 && lowered[i] > way->rules->max_qos) {
            lowered[i] = (uint8_t)way->rules->max_qos;
            way->said->is_rewritten = true;
        }
    packet->codes.at = lowered;
    return PASSES;
}

static enum fate judge(struct way *way, struct ref_packet *packet, struct ref_bytes *topic) {
    if (!way->is_from_device && !way->is_started && packet->type != REF_CONNACK && packet->type != REF_AUTH)
        return wrong(way, "it comes before the CONNACK");
    if (way->is_from_device && way->version != 0 && packet->type == REF_CONNECT)
        return wrong(way, "a second CONNECT");
    switch (packet->type) {
    case REF_CONNECT: return judge_connect(way, packet);
    case REF_CONNACK: return judge_connack(way, packet);
    case REF_PUBLISH: return judge_publish(way, packet, topic);
    case REF_SUBSCRIBE: return judge_subscribe(way, packet);
    case REF_AUTH: return judge_auth(way, packet);
    case REF_SUBACK: return judge_suback(way, packet);
    case REF_PUBREL:
        if (!has_id(&way->cut, packet->packet_id))
            return PASSES;
        remove_id(&way->cut, packet->packet_id);
        way->said->is_rewritten = true;
        return IS_CUT;
    case REF_DISCONNECT:
        if (way->is_from_device && !way->may_expire && number_of(packet, 17, 0) != 0)
            return wrong(way, "a session expiry that CONNECT did not ask for");
        way->is_over = true;
        return PASSES;
    default: return PASSES;
    }
}

/* A PUBLISH that passes: its identifier is the broker's affair again, and a topic that the receiver was never
 * told is put in. */
static void note_passed(struct way *way, const struct ref_packet *packet, struct ref_bytes topic) {
    if (packet->type != REF_PUBLISH)
        return;
    if (packet->qos == 2)
        remove_id(&way->cut, packet->packet_id);
    const struct ref_prop *prop = ref_prop_find(&packet->props, 35);
    if (prop == NULL)
        return;
    const struct ref_bytes *known = alias_of(&way->told, prop->number);
    if (packet->topic.size == 0 && (known == NULL || !is_same(*known, topic)))
        way->said->is_rewritten = true;
    tell(&way->told, prop->number, topic);
}

static void walk(struct way *way, struct ref_bytes stream) {
    static struct ref_packet packet;
    struct expectation *said = way->said;
    way->told.max = 65535;
    said->end = EXPECT_OPEN;
    while (!way->is_over) {
        const char *why = NULL;
        enum ref_answer answer = ref_read(stream, way->version, way->is_from_device, &packet, &why);
        if (answer == REF_MORE) {
            said->end = stream.size == 0 ? EXPECT_OPEN : EXPECT_ANYHOW;
            return;
        }
        size_t most = way->is_from_device ? way->rules->max_packet_size : 0;
        struct ref_bytes topic = packet.topic;
        enum fate fate = IS_WRONG;
        if (answer == REF_BAD)
            way->why = why;
        else if (most != 0 && packet.whole.size > most)
            way->why = "the packet is too large";
        else
            fate = judge(way, &packet, &topic);
        if (fate == IS_WRONG) {
            said->end = EXPECT_END;
            said->why = way->why;
            return;
        }
        size_t size = packet.whole.size;
        if (fate == PASSES) {
            note_passed(way, &packet, topic);
            lines_add_packet(&said->lines, &packet, topic);
            said->whole_size += size;
        }
        said->packet_count++;
        stream = (struct ref_bytes){stream.at + size, stream.size - size};
    }
    said->end = EXPECT_END;
}

static void begin(struct expectation *expectation) {
    lines_clear(&expectation->lines);
    lines_clear(&expectation->last_words);
    expectation->is_rewritten = false;
    expectation->whole_size = expectation->packet_count = 0;
    expectation->why = NULL;
}

void expect_at_broker(const struct expect_rules *rules, struct ref_bytes stream, struct ref_bytes connack,
                      struct expectation *expectation) {
    static struct way way;
    static struct ref_packet packet;
    const char *why;
    begin(expectation);
    memset(&way, 0, sizeof way);
    way.rules = rules;
    way.is_from_device = true;
    way.said = expectation;
    int version = connack.at[1] == 2 ? 4 : 5;
    if (ref_read(connack, version, false, &packet, &why) != REF_GOOD)
        abort(); /* the generator makes a good one */
    way.aliases.max = lesser(number_of(&packet, 34, 0), rules->max_topic_alias);
    walk(&way, stream);
}

void expect_at_device(const struct expect_rules *rules, struct ref_bytes stream, struct ref_bytes connect,
                      struct expectation *expectation) {
    static struct way way;
    static struct ref_packet packet;
    const char *why;
    begin(expectation);
    memset(&way, 0, sizeof way);
    way.rules = rules;
    way.said = expectation;
    if (ref_read(connect, 0, true, &packet, &why) != REF_GOOD)
        abort();
    learn_connect(&way, &packet);
    (void)learn_names(&way, &packet); /* who may not come in hears nothing of the broker */
    expectation->is_rewritten = false;
    walk(&way, stream);
    memset(&packet, 0, offsetof(struct ref_packet, filters));
    packet.props.count = 0;
    packet.type = way.is_started ? REF_DISCONNECT : REF_CONNACK;
    packet.reason = way.version == 5 ? 0x80 : 3;
    if (!way.is_started || way.version == 5)
        lines_add_packet(&expectation->last_words, &packet, packet.topic);
}

static void print_field(struct ref_bytes bytes) {
    printf(bytes.size == 0 ? " -" : " ");
    for (size_t i = 0; i < bytes.size; i++)
        printf("%02x", bytes.at[i]);
}

void expect_print(struct ref_bytes stream, int version) {
    static struct ref_packet packet;
    static struct aliases aliases;
    const char *why;
    aliases.max = 65535;
    aliases.count = 0;
    for (bool is_first = true; ref_read(stream, is_first ? 0 : version, true, &packet, &why) == REF_GOOD;
         is_first = false) {
        struct ref_bytes topic;
        resolve(&aliases, &packet, &topic);
        if (packet.is_odd || (packet.type == REF_CONNECT && method_of(&packet).size != 0))
            printf("odd\n");
        if (packet.type == REF_CONNECT) {
            printf("connect %d %d", packet.has_will, packet.is_clean);
            print_field(packet.client_id);
            print_field(packet.username);
        } else if (packet.type == REF_PUBLISH) {
            printf("publish %d %d %u", packet.qos, packet.is_retained, packet.packet_id);
            print_field(topic);
            print_field(packet.payload);
        } else {
            printf("other %d %u", packet.type, packet.packet_id);
            for (size_t i = 0; i < packet.filter_count; i++)
                print_field(packet.filters[i].text);
        }
        printf("\n");
        stream = (struct ref_bytes){stream.at + packet.whole.size, stream.size - packet.whole.size};
    }
}

void expectation_free(struct expectation *expectation) {
    lines_free(&expectation->lines);
    lines_free(&expectation->last_words);
}

bool expect_see(struct ref_bytes stream, int version, bool is_from_device, struct lines *lines,
                struct ref_bytes *rest, const char **why) {
    static struct ref_packet packet;
    static struct aliases aliases;
    aliases.max = 65535;
    aliases.count = 0;
    bool is_first = is_from_device;
    *why = NULL;
    while (stream.size != 0) {
        enum ref_answer answer = ref_read(stream, is_first ? 0 : version, is_from_device, &packet, why);
        if (answer == REF_BAD)
            return false;
        if (answer == REF_MORE)
            break;
        struct ref_bytes topic = packet.topic;
        if (packet.type == REF_PUBLISH && !resolve(&aliases, &packet, &topic)) {
            *why = "an alias that nobody told";
            return false;
        }
        lines_add_packet(lines, &packet, topic);
        version = packet.version;
        is_first = false;
        stream = (struct ref_bytes){stream.at + packet.whole.size, stream.size - packet.whole.size};
    }
    *rest = stream;
    return true;
}
