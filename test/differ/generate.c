#include "differ/generate.h"

#include <stdlib.h>
#include <string.h>

/* ---- a packet under construction ---- */

#define MAKER_ROOM (256u * 1024)

struct maker {
    uint64_t seed;
    int version;
    bool is_from_device;
    bool is_opposite; /* it makes the good packet of the side that is not tried */
    size_t size;
    uint8_t bytes[MAKER_ROOM];
};

static uint32_t any(struct maker *maker, uint32_t below) {
    return random_below(&maker->seed, below);
}

static bool once_in(struct maker *maker, uint32_t count) {
    return any(maker, count) == 0;
}

static void put(struct maker *maker, const void *bytes, size_t size) {
    if (MAKER_ROOM - maker->size < size)
        abort();
    if (size != 0)
        memcpy(maker->bytes + maker->size, bytes, size);
    maker->size += size;
}

static void put_byte(struct maker *maker, unsigned byte) {
    uint8_t one = (uint8_t)byte;
    put(maker, &one, 1);
}

static void put_two(struct maker *maker, unsigned number) {
    put_byte(maker, number >> 8);
    put_byte(maker, number & 255);
}

static void put_four(struct maker *maker, uint32_t number) {
    put_two(maker, number >> 16);
    put_two(maker, number & 65535);
}

static size_t write_varint(uint8_t room[5], uint32_t number) {
    size_t size = 0;
    do {
        room[size] = (uint8_t)(number % 128 + (number >= 128 ? 128 : 0));
        number /= 128;
        size++;
    } while (number != 0);
    return size;
}

static void put_varint(struct maker *maker, uint32_t number) {
    uint8_t room[5];
    put(maker, room, write_varint(room, number));
}

static void put_binary(struct maker *maker, const void *bytes, size_t size) {
    put_two(maker, (unsigned)size);
    put(maker, bytes, size);
}

static void put_text(struct maker *maker, const char *text) {
    put_binary(maker, text, strlen(text));
}

/* Puts `size` of what was made since `start` in front of it. */
static void put_length_before(struct maker *maker, size_t start) {
    uint8_t room[5];
    size_t body = maker->size - start, size = write_varint(room, (uint32_t)body);
    if (MAKER_ROOM - maker->size < size)
        abort();
    memmove(maker->bytes + start + size, maker->bytes + start, body);
    memcpy(maker->bytes + start, room, size);
    maker->size += size;
}

/* ---- words ---- */

#define PICK(maker, list) ((list)[any((maker), sizeof(list) / sizeof(list)[0])])

static const char *any_topic(struct maker *maker) {
    static const char *const topics[] = {"a",
                                         "a/b",
                                         "no",
                                         "no/x",
                                         "no/x/y",
                                         "nob",
                                         "no ",
                                         "/",
                                         "//",
                                         "a//b",
                                         "/a",
                                         "a/",
                                         "ok/1",
                                         "ok/2",
                                         "$SYS/x",
                                         "$SYS",
                                         "$SYSx",
                                         "$SYS/broker/connection/c/state",
                                         "$x/y",
                                         "$share",
                                         "$share/g/a",
                                         "$sharex",
                                         "\xC3\xA4/\xE2\x82\xAC",
                                         "\xEF\xBB\xBF",
                                         "\xF0\x9F\x98\x80/x",
                                         "a/\x01/b",
                                         "\xEF\xBF\xBF",
                                         "0123456789012345678901234567890123456789012345678901234567890123456"
                                         "789012345678901234567890123456789"};
    return PICK(maker, topics);
}

static const char *any_filter(struct maker *maker) {
    static const char *const filters[] = {"#",
                                          "+",
                                          "+/#",
                                          "a/#",
                                          "a/+/b",
                                          "no/#",
                                          "no/+",
                                          "no/x",
                                          "no",
                                          "+/x",
                                          "no/x/#",
                                          "/#",
                                          "/+",
                                          "$SYS/#",
                                          "$share/g/a",
                                          "$share/g/no/x",
                                          "$share/g/#",
                                          "$share/g/+/b",
                                          "$share/g/$SYS/#",
                                          "$sharex/y"};
    return once_in(maker, 2) ? PICK(maker, filters) : any_topic(maker);
}

static const char *any_word(struct maker *maker) {
    static const char *const words[] = {
        "",    "x", "dev",      "ann",  "secret", "a b",
        "a+b", "#", "\xC3\xA4", "\x7F", "%c",     "a longer word, with blanks and \"quotes\" in it"};
    return PICK(maker, words);
}

static const char *any_client_id(struct maker *maker) {
    static const char *const ids[] = {
        "dev", "d", "device-0123456789abcdef", "\xC3\xA4", "with blank", "a/b", "dev.1", ""};
    return PICK(maker, ids);
}

static void put_payload(struct maker *maker) {
    size_t size = once_in(maker, 150) ? any(maker, 130000) : any(maker, 30);
    uint8_t byte = (uint8_t)any(maker, 256);
    for (size_t i = 0; i < size; i++)
        put_byte(maker, (byte + i * i) & 255);
}

/* ---- properties ---- */

static uint32_t any_number(struct maker *maker, const struct ref_prop_row *row) {
    switch (row->id) {
    case 33: return 1000 + any(maker, 64000); /* so many that the test never has more in flight */
    case 34: return once_in(maker, 4) ? any(maker, 12) : 10;
    case 35: return 1 + any(maker, once_in(maker, 30) ? 40 : 3);
    case 39: return once_in(maker, 2) ? 300000 + any(maker, 1000000) : 0xFFFFFFFF;
    case 23: return maker->is_opposite ? 1 : any(maker, 2);
    case 17: return once_in(maker, 2) ? 0 : any(maker, 100000);
    case 11: return once_in(maker, 3) ? 1 + any(maker, 268435455) : 1 + any(maker, 300);
    default: break;
    }
    return row->kind == REF_BYTE  ? any(maker, 2)
           : row->kind == REF_TWO ? any(maker, 65536)
                                  : random_next(&maker->seed);
}

static void put_prop(struct maker *maker, const struct ref_prop_row *row) {
    uint32_t number = any_number(maker, row);
    put_byte(maker, row->id);
    switch (row->kind) {
    case REF_BYTE: put_byte(maker, number); break;
    case REF_TWO: put_two(maker, number); break;
    case REF_FOUR: put_four(maker, number); break;
    case REF_VARINT: put_varint(maker, number); break;
    case REF_STRING:
        if (row->id == 8)
            put_text(maker, any_topic(maker));
        else if (row->id == 21)
            put_text(maker, once_in(maker, 8) ? "OTHER" : "SCRAM");
        else
            put_text(maker, any_word(maker));
        break;
    case REF_BINARY: put_text(maker, any_word(maker)); break;
    case REF_PAIR:
        put_text(maker, any_word(maker));
        put_text(maker, any_word(maker));
        break;
    }
}

/* May the test use it freely in this packet? What makes the program police the other direction is left to
 * tests of its own. An authentication method is rare, since with it much is forbidden. */
static bool is_free(struct maker *maker, unsigned id, int type) {
    if (type == REF_AUTH)
        return id != 21;
    if (id == 21 || id == 22)
        return once_in(maker, maker->is_opposite && id == 22 ? UINT32_MAX : 8);
    if (type == REF_CONNACK && maker->is_opposite)
        return id == 17 || id == 18 || id == 19 || id == 26 || id == 28 || id == 31 || id == 33 || id == 34 ||
               id == 38 || id == 39;
    return true;
}

static void put_props(struct maker *maker, int type) {
    if (maker->version != 5)
        return;
    size_t start = maker->size;
    bool has_method = type == REF_AUTH && !once_in(maker, 20);
    if (has_method)
        put_prop(maker, &ref_prop_rows[9]);
    size_t chance = once_in(maker, 2) ? 0 : 1 + any(maker, 4);
    for (size_t i = 0; i < ref_prop_row_count; i++) {
        const struct ref_prop_row *row = &ref_prop_rows[i];
        uint32_t places = maker->is_from_device ? row->device : row->broker;
        if ((places >> type & 1) == 0 || !is_free(maker, row->id, type))
            continue;
        /* Aliases need three packets that fit each other before they mean anything. */
        bool is_for_alias = (row->id == 34 && maker->is_opposite) || (row->id == 35 && once_in(maker, 2));
        if (!is_for_alias && any(maker, 6) >= chance)
            continue;
        put_prop(maker, row);
        if (row->id == 38)
            for (unsigned more = any(maker, 3); more != 0; more--)
                put_prop(maker, row);
    }
    put_length_before(maker, start);
}

/* ---- whole packets; each is put behind what is there and gets its header at last ---- */

static void close_packet(struct maker *maker, size_t start, unsigned first) {
    put_length_before(maker, start);
    if (MAKER_ROOM == maker->size)
        abort();
    memmove(maker->bytes + start + 1, maker->bytes + start, maker->size - start);
    maker->bytes[start] = (uint8_t)first;
    maker->size++;
}

static void put_connect(struct maker *maker) {
    size_t start = maker->size;
    bool has_will = once_in(maker, 3), has_username = once_in(maker, 2);
    bool has_password = (has_username || (maker->version == 5 && once_in(maker, 4))) && !once_in(maker, 3);
    unsigned flags = (once_in(maker, 5) ? 0 : 2) |
                     (has_will ? 4 + any(maker, 3) * 8 + any(maker, 2) * 32 : 0) | (has_password ? 64 : 0) |
                     (has_username ? 128 : 0);
    bool is_bridge = maker->version != 5 && once_in(maker, 20);
    put_text(maker, maker->version == 3 ? "MQIsdp" : "MQTT");
    put_byte(maker, (unsigned)maker->version + (is_bridge ? 128 : 0));
    if (maker->version == 3 && once_in(maker, 20))
        flags |= once_in(maker, 2) ? 1 : has_will ? 0 : 0x20;
    put_byte(maker, flags);
    put_two(maker, any(maker, 3) * 30000);
    put_props(maker, REF_CONNECT);
    put_text(maker, any_client_id(maker));
    if (has_will) {
        put_props(maker, REF_WILL);
        put_text(maker, any_topic(maker));
        put_text(maker, any_word(maker));
    }
    bool is_left_out = maker->version == 3 && once_in(maker, 20);
    if (has_username && !is_left_out)
        put_text(maker, any_word(maker));
    if (has_password && !is_left_out)
        put_text(maker, any_word(maker));
    close_packet(maker, start, 0x10);
}

static void put_connack(struct maker *maker, bool may_refuse) {
    size_t start = maker->size;
    bool is_refusing = may_refuse && once_in(maker, 20);
    put_byte(maker, is_refusing ? 0 : any(maker, 2));
    put_byte(maker, !is_refusing ? 0 : maker->version == 5 ? 0x80 + any(maker, 9) : 1 + any(maker, 5));
    put_props(maker, REF_CONNACK);
    close_packet(maker, start, 0x20);
}

static void put_publish(struct maker *maker) {
    size_t start = maker->size;
    unsigned qos = any(maker, 3), flags = qos * 2 + any(maker, 2) + (qos != 0 && once_in(maker, 4) ? 8 : 0);
    bool is_bare = maker->version == 5 && once_in(maker, 5);
    put_text(maker, is_bare ? "" : any_topic(maker));
    if (qos != 0)
        put_two(maker, 1 + any(maker, 5));
    if (is_bare) {
        put_byte(maker, 3);
        put_byte(maker, 35);
        put_two(maker, 1 + any(maker, 3));
    } else {
        put_props(maker, REF_PUBLISH);
    }
    put_payload(maker);
    close_packet(maker, start, 0x30 + flags);
}

static unsigned any_reason(struct maker *maker, int type) {
    static const uint8_t publish[] = {0, 0, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    static const uint8_t release[] = {0, 0x92};
    static const uint8_t goodbye[] = {0,    0x80, 0x81, 0x82, 0x83, 0x90, 0x93,
                                      0x94, 0x95, 0x96, 0x97, 0x98, 0x99};
    switch (type) {
    case REF_PUBACK:
    case REF_PUBREC: return PICK(maker, publish);
    case REF_PUBREL:
    case REF_PUBCOMP: return PICK(maker, release);
    case REF_DISCONNECT: return maker->is_from_device && once_in(maker, 3) ? 4 : PICK(maker, goodbye);
    default: return maker->is_from_device && once_in(maker, 2) ? 0x19 : 0x18;
    }
}

static void put_ack(struct maker *maker, int type) {
    size_t start = maker->size;
    bool has_id = type != REF_DISCONNECT && type != REF_AUTH;
    if (has_id)
        put_two(maker, 1 + any(maker, 5));
    if (maker->version == 5 && (type == REF_AUTH || once_in(maker, 2))) {
        put_byte(maker, any_reason(maker, type));
        if (type == REF_AUTH || once_in(maker, 2))
            put_props(maker, type);
    }
    close_packet(maker, start, (unsigned)type * 16 + (type == REF_PUBREL ? 2 : 0));
}

static void put_subscribe(struct maker *maker, int type) {
    size_t start = maker->size;
    put_two(maker, 1 + any(maker, 4));
    put_props(maker, type);
    for (unsigned count = 1 + any(maker, 4); count != 0; count--) {
        const char *filter = any_filter(maker);
        bool is_shared = strncmp(filter, "$share/", 7) == 0;
        put_text(maker, filter);
        unsigned options = any(maker, 3);
        if (maker->version == 5)
            options += any(maker, 2) * (is_shared ? 0 : 4) + any(maker, 2) * 8 + any(maker, 3) * 16;
        if (type == REF_SUBSCRIBE)
            put_byte(maker, options);
    }
    close_packet(maker, start, (unsigned)type * 16 + 2);
}

static void put_suback(struct maker *maker, int type) {
    static const uint8_t codes_5[] = {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2};
    static const uint8_t codes_3[] = {0, 1, 2, 0x80};
    static const uint8_t codes_unsuback[] = {0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91};
    size_t start = maker->size;
    put_two(maker, 1 + any(maker, 5));
    put_props(maker, type);
    for (unsigned count = 1 + any(maker, 4); count != 0; count--)
        if (type == REF_SUBACK)
            put_byte(maker, maker->version == 5 ? PICK(maker, codes_5) : PICK(maker, codes_3));
        else if (maker->version == 5)
            put_byte(maker, PICK(maker, codes_unsuback));
    close_packet(maker, start, (unsigned)type * 16);
}

static void put_any(struct maker *maker) {
    uint32_t die = any(maker, 100);
    bool is_from_device = maker->is_from_device;
    if (die < 45)
        put_publish(maker);
    else if (die < 62)
        is_from_device ? put_subscribe(maker, REF_SUBSCRIBE) : put_suback(maker, REF_SUBACK);
    else if (die < 70)
        is_from_device ? put_subscribe(maker, REF_UNSUBSCRIBE) : put_suback(maker, REF_UNSUBACK);
    else if (die < 91)
        put_ack(maker, REF_PUBACK + (int)any(maker, 4));
    else if (die < 95)
        close_packet(maker, maker->size, is_from_device ? 0xC0 : 0xD0);
    else if (die < 97)
        put_ack(maker, REF_AUTH);
    else if (die < 98)
        is_from_device ? put_connect(maker) : put_connack(maker, true);
    else
        put_ack(maker, REF_DISCONNECT);
}

/* ---- nearly valid ---- */

/* Where the body begins; 0 when the length is no length. */
static size_t body_of(const struct maker *maker) {
    size_t i = 1;
    while (i < 5 && i < maker->size && maker->bytes[i] >= 128)
        i++;
    return i < 5 && i < maker->size ? i + 1 : 0;
}

static void insert(struct maker *maker, size_t at, const void *bytes, size_t size) {
    memmove(maker->bytes + at + size, maker->bytes + at, maker->size - at);
    memcpy(maker->bytes + at, bytes, size);
    maker->size += size;
}

static void drop(struct maker *maker, size_t at, size_t size) {
    memmove(maker->bytes + at, maker->bytes + at + size, maker->size - at - size);
    maker->size -= size;
}

/* Writes the remaining length anew, so that what was changed behind it is looked at. */
static void mend_length(struct maker *maker) {
    size_t body = body_of(maker);
    if (body == 0)
        return;
    uint8_t room[5];
    size_t size = write_varint(room, (uint32_t)(maker->size - body));
    drop(maker, 1, body - 1);
    insert(maker, 1, room, size);
}

static void damage_header(struct maker *maker) {
    size_t body = body_of(maker);
    uint8_t zero = 0;
    switch (any(maker, 5)) {
    case 0: maker->bytes[0] ^= (uint8_t)(1u << any(maker, 4)); break;
    case 1: maker->bytes[0] = (uint8_t)any(maker, 256); break;
    case 2: maker->bytes[1] ^= (uint8_t)(1u << any(maker, 3)); break;
    case 3: /* over-long */
        if (body == 0 || body > 4)
            return;
        maker->bytes[body - 1] |= 128;
        insert(maker, body, &zero, 1);
        break;
    default: maker->bytes[1] = (uint8_t)any(maker, 256); break;
    }
}

/* Bytes that readers stumble over. */
static const struct {
    uint8_t size, bytes[4];
} stones[] = {{1, {0}},
              {1, {'+'}},
              {1, {'#'}},
              {1, {'/'}},
              {1, {0xC0}},
              {2, {0xC0, 0x80}},
              {2, {0xC1, 0xBF}},
              {3, {0xED, 0xA0, 0x80}},
              {3, {0xED, 0x9F, 0xBF}},
              {3, {0xE0, 0x80, 0xAF}},
              {4, {0xF4, 0x90, 0x80, 0x80}},
              {4, {0xF0, 0x80, 0x80, 0xAF}},
              {4, {0xF4, 0x8F, 0xBF, 0xBF}},
              {2, {0, 0}},
              {3, {0x26, 0, 0}},
              {3, {35, 0, 1}},
              {2, {1, 1}},
              {4, {0x80, 0x80, 0x80, 0x01}},
              {4, {0xFF, 0xFF, 0xFF, 0x7F}}};

static void damage_body(struct maker *maker) {
    size_t body = body_of(maker);
    if (body == 0 || body >= maker->size)
        return;
    /* Near the front there are lengths and flags; far behind there is only payload. */
    size_t room = maker->size - body;
    size_t at = body + any(maker, (uint32_t)(room < 60 ? room : 60));
    size_t stone = any(maker, sizeof stones / sizeof stones[0]);
    size_t size = stones[stone].size;
    switch (any(maker, 9)) {
    case 0: maker->bytes[at] = (uint8_t)any(maker, 256); break;
    case 1: maker->bytes[at] ^= (uint8_t)(1u << any(maker, 8)); break;
    case 2: maker->bytes[at]++; break;
    case 3: maker->bytes[at]--; break;
    case 4: drop(maker, at, 1 + any(maker, (uint32_t)(maker->size - at < 4 ? maker->size - at : 4))); break;
    case 5:
    case 6: insert(maker, at, stones[stone].bytes, size); break;
    case 7:
        if (maker->size - at >= size)
            memcpy(maker->bytes + at, stones[stone].bytes, size);
        break;
    default: put(maker, stones[stone].bytes, size); break;
    }
    if (!once_in(maker, 5))
        mend_length(maker);
}

static void damage(struct maker *maker) {
    for (unsigned times = 1 + any(maker, 2); times != 0 && maker->size >= 2 && maker->size < MAKER_ROOM - 64;
         times--)
        once_in(maker, 5) ? damage_header(maker) : damage_body(maker);
}

/* ---- cases ---- */

static struct owned_bytes own(const uint8_t *at, size_t size) {
    struct owned_bytes bytes = {malloc(size == 0 ? 1 : size), size};
    if (bytes.at == NULL)
        abort();
    if (size != 0)
        memcpy(bytes.at, at, size);
    return bytes;
}

void case_make(struct differ_case *made, uint64_t seed, unsigned number, int rules_count) {
    static struct maker maker;
    *made = (struct differ_case){.seed = seed, .number = number};
    maker.seed = (seed + 1) * 0x9E3779B97F4A7C15u ^ (uint64_t)number * 0xD6E8FEB86659FD93u;
    for (int i = 0; i < 4; i++)
        random_next(&maker.seed);
    static const int versions[] = {3, 4, 4, 5, 5, 5};
    made->version = maker.version = PICK(&maker, versions);
    made->rules = (int)any(&maker, (uint32_t)rules_count);
    made->is_to_device = once_in(&maker, 3);

    maker.size = 0;
    maker.is_opposite = true;
    maker.is_from_device = made->is_to_device;
    made->is_to_device ? put_connect(&maker) : put_connack(&maker, false);
    made->opposite = own(maker.bytes, maker.size);

    maker.is_opposite = false;
    maker.is_from_device = !made->is_to_device;
    size_t count = 1 + any(&maker, once_in(&maker, 4) ? CASE_PACKETS_MAX - 1 : 5);
    bool is_all_good = once_in(&maker, 4);
    for (size_t i = 0; i < count; i++) {
        maker.size = 0;
        maker.version = once_in(&maker, 60) ? 3 + (int)any(&maker, 3) : made->version;
        if (i == 0)
            maker.is_from_device ? put_connect(&maker) : put_connack(&maker, true);
        else
            put_any(&maker);
        if (!is_all_good && once_in(&maker, i == 0 ? 6 : 4))
            damage(&maker);
        if (i + 1 == count && maker.size > 1 && once_in(&maker, 12))
            made->withheld = 1 + any(&maker, (uint32_t)maker.size - 1);
        made->packets[made->packet_count++] = own(maker.bytes, maker.size);
    }
    made->chop_seed = maker.seed;
}

void case_copy(struct differ_case *copy, const struct differ_case *from) {
    *copy = *from;
    for (size_t i = 0; i < from->packet_count; i++)
        copy->packets[i] = own(from->packets[i].at, from->packets[i].size);
    copy->opposite = own(from->opposite.at, from->opposite.size);
}

void case_free(struct differ_case *made) {
    for (size_t i = 0; i < made->packet_count; i++)
        free(made->packets[i].at);
    free(made->opposite.at);
    *made = (struct differ_case){0};
}

void case_drop_packet(struct differ_case *made, size_t index) {
    free(made->packets[index].at);
    made->packet_count--;
    if (index == made->packet_count)
        made->withheld = 0;
    for (size_t i = index; i < made->packet_count; i++)
        made->packets[i] = made->packets[i + 1];
}

void case_drop_bytes(struct differ_case *made, size_t index, size_t at, size_t count) {
    struct owned_bytes *packet = &made->packets[index];
    memmove(packet->at + at, packet->at + at + count, packet->size - at - count);
    struct owned_bytes smaller = own(packet->at, packet->size - count);
    free(packet->at);
    *packet = smaller;
    if (made->withheld >= packet->size)
        made->withheld = packet->size == 0 ? 0 : packet->size - 1;
}

struct owned_bytes case_stream(const struct differ_case *made) {
    size_t size = 0;
    for (size_t i = 0; i < made->packet_count; i++)
        size += made->packets[i].size;
    struct owned_bytes stream = {malloc(size == 0 ? 1 : size), 0};
    if (stream.at == NULL)
        abort();
    for (size_t i = 0; i < made->packet_count; i++) {
        memcpy(stream.at + stream.size, made->packets[i].at, made->packets[i].size);
        stream.size += made->packets[i].size;
    }
    return stream;
}
