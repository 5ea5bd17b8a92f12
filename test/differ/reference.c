#include "differ/reference.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytes, one at a time ---- */

struct cursor {
    const uint8_t *at;
    size_t left;
    const char *why; /* the first thing that is wrong; NULL as long as all is well */
    bool is_odd;
};

static void blame(struct cursor *cursor, const char *why) {
    if (cursor->why == NULL)
        cursor->why = why;
}

static unsigned take_byte(struct cursor *cursor) {
    if (cursor->left == 0) {
        blame(cursor, "a field does not fit into the packet");
        return 0;
    }
    cursor->left--;
    return *cursor->at++;
}

static unsigned take_two(struct cursor *cursor) {
    unsigned high = take_byte(cursor);
    return high * 256 + take_byte(cursor);
}

static uint32_t take_four(struct cursor *cursor) {
    uint32_t high = take_two(cursor);
    return high * 65536 + take_two(cursor);
}

static struct ref_bytes take_many(struct cursor *cursor, size_t count) {
    if (count > cursor->left) {
        blame(cursor, "a field does not fit into the packet");
        count = cursor->left;
    }
    struct ref_bytes bytes = {cursor->at, count};
    cursor->at += count;
    cursor->left -= count;
    return bytes;
}

static struct ref_bytes take_binary(struct cursor *cursor) {
    unsigned size = take_two(cursor);
    return take_many(cursor, size);
}

/* 1.5.5: at most four bytes, and in 5.0 not more than the value needs. */
static uint32_t take_varint(struct cursor *cursor, bool is_minimal) {
    uint32_t value = 0, factor = 1;
    for (int count = 1;; count++) {
        unsigned byte = take_byte(cursor);
        value += (byte % 128) * factor;
        factor *= 128;
        if (byte < 128) {
            if (is_minimal && count > 1 && byte == 0)
                blame(cursor, "a variable byte integer is longer than need be");
            return value;
        }
        if (count == 4) {
            blame(cursor, "a variable byte integer has a fifth byte");
            return value;
        }
    }
}

/* ---- text ---- */

/* 1.5.4: decodes every character and writes it down again as RFC 3629 says: what comes out must be what went
 * in. */
static size_t decode(struct ref_bytes text, size_t i, uint32_t *character) {
    unsigned first = text.at[i];
    size_t size = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 0;
    if (size == 0 || first >= 0xF8 || text.size - i < size)
        return 0;
    uint32_t value = size == 1 ? first : size == 2 ? first & 0x1F : size == 3 ? first & 0x0F : first & 0x07;
    for (size_t k = 1; k < size; k++) {
        if ((text.at[i + k] & 0xC0) != 0x80)
            return 0;
        value = value * 64 + (text.at[i + k] & 0x3F);
    }
    size_t shortest = value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    *character = value;
    return shortest == size ? size : 0;
}

bool ref_is_utf8(struct ref_bytes text) {
    for (size_t i = 0; i < text.size;) {
        uint32_t character;
        size_t size = decode(text, i, &character);
        if (size == 0 || character == 0 || (character >= 0xD800 && character <= 0xDFFF) ||
            character > 0x10FFFF)
            return false;
        i += size;
    }
    return true;
}

bool ref_is_odd(struct ref_bytes text) {
    for (size_t i = 0; i < text.size;) {
        uint32_t character;
        size_t size = decode(text, i, &character);
        if (size == 0 || character < 0x20 || (character >= 0x7F && character <= 0x9F) ||
            (character >= 0xFDD0 && character <= 0xFDEF) || (character & 0xFFFE) == 0xFFFE)
            return true;
        i += size;
    }
    return false;
}

bool ref_is_topic_name(struct ref_bytes text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] == '+' || text.at[i] == '#')
            return false;
    return text.size > 0 && ref_is_utf8(text);
}

bool ref_is_topic_filter(struct ref_bytes text) {
    for (size_t i = 0; i < text.size; i++) {
        bool is_first = i == 0 || text.at[i - 1] == '/';
        bool is_last = i + 1 == text.size;
        if (text.at[i] == '#' && !(is_first && is_last))
            return false;
        if (text.at[i] == '+' && !(is_first && (is_last || text.at[i + 1] == '/')))
            return false;
    }
    return text.size > 0 && ref_is_utf8(text);
}

static struct ref_bytes take_string(struct cursor *cursor) {
    struct ref_bytes text = take_binary(cursor);
    if (!ref_is_utf8(text))
        blame(cursor, "a string is not good UTF-8");
    cursor->is_odd = cursor->is_odd || ref_is_odd(text);
    return text;
}

/* ---- properties, table 2-4 of MQTT 5.0 ---- */

#define IN(type) (1u << REF_##type)
const struct ref_prop_row ref_prop_rows[] = {
    {1, REF_BYTE, IN(PUBLISH) | IN(WILL), IN(PUBLISH)},
    {2, REF_FOUR, IN(PUBLISH) | IN(WILL), IN(PUBLISH)},
    {3, REF_STRING, IN(PUBLISH) | IN(WILL), IN(PUBLISH)},
    {8, REF_STRING, IN(PUBLISH) | IN(WILL), IN(PUBLISH)},
    {9, REF_BINARY, IN(PUBLISH) | IN(WILL), IN(PUBLISH)},
    {11, REF_VARINT, IN(SUBSCRIBE), IN(PUBLISH)},
    {17, REF_FOUR, IN(CONNECT) | IN(DISCONNECT), IN(CONNACK)},
    {18, REF_STRING, 0, IN(CONNACK)},
    {19, REF_TWO, 0, IN(CONNACK)},
    {21, REF_STRING, IN(CONNECT) | IN(AUTH), IN(CONNACK) | IN(AUTH)},
    {22, REF_BINARY, IN(CONNECT) | IN(AUTH), IN(CONNACK) | IN(AUTH)},
    {23, REF_BYTE, IN(CONNECT), 0},
    {24, REF_FOUR, IN(WILL), 0},
    {25, REF_BYTE, IN(CONNECT), 0},
    {26, REF_STRING, 0, IN(CONNACK)},
    {28, REF_STRING, 0, IN(CONNACK) | IN(DISCONNECT)},
    {31, REF_STRING, IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(DISCONNECT) | IN(AUTH),
     IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK) |
         IN(DISCONNECT) | IN(AUTH)},
    {33, REF_TWO, IN(CONNECT), IN(CONNACK)},
    {34, REF_TWO, IN(CONNECT), IN(CONNACK)},
    {35, REF_TWO, IN(PUBLISH), IN(PUBLISH)},
    {36, REF_BYTE, 0, IN(CONNACK)},
    {37, REF_BYTE, 0, IN(CONNACK)},
    {38, REF_PAIR, 0xFFFFFFFF, 0xFFFFFFFF},
    {39, REF_FOUR, IN(CONNECT), IN(CONNACK)},
    {40, REF_BYTE, 0, IN(CONNACK)},
    {41, REF_BYTE, 0, IN(CONNACK)},
    {42, REF_BYTE, 0, IN(CONNACK)},
};
const size_t ref_prop_row_count = sizeof ref_prop_rows / sizeof ref_prop_rows[0];

static const struct ref_prop_row *row_of(unsigned id) {
    for (size_t i = 0; i < ref_prop_row_count; i++)
        if (ref_prop_rows[i].id == id)
            return &ref_prop_rows[i];
    return NULL;
}

const struct ref_prop *ref_prop_find(const struct ref_props *props, unsigned id) {
    for (size_t i = 0; i < props->count; i++)
        if (props->list[i].id == id)
            return &props->list[i];
    return NULL;
}

static void take_value(struct cursor *cursor, enum ref_kind kind, struct ref_prop *prop) {
    switch (kind) {
    case REF_BYTE: prop->number = take_byte(cursor); break;
    case REF_TWO: prop->number = take_two(cursor); break;
    case REF_FOUR: prop->number = take_four(cursor); break;
    case REF_VARINT: prop->number = take_varint(cursor, true); break;
    case REF_STRING: prop->text = take_string(cursor); break;
    case REF_BINARY: prop->text = take_binary(cursor); break;
    case REF_PAIR:
        prop->text = take_string(cursor);
        prop->value = take_string(cursor);
        break;
    }
}

/* The chapters of the single properties. */
static void judge_value(struct cursor *cursor, const struct ref_prop *prop) {
    switch (prop->id) {
    case 1:  /* 3.3.2.3.2 payload format */
    case 23: /* 3.1.2.11.7 request problem information */
    case 25: /* 3.1.2.11.6 request response information */
    case 36: /* 3.2.2.3.4 maximum QoS */
    case 37: /* 3.2.2.3.5 retain available */
    case 40:
    case 41:
    case 42: /* 3.2.2.3.11 to 13 */
        if (prop->number > 1)
            blame(cursor, "a property that is 0 or 1 has another value");
        break;
    case 11: /* 3.8.2.1.2 subscription identifier */
    case 33: /* 3.1.2.11.3 receive maximum */
    case 35: /* 3.3.2.3.4 topic alias */
    case 39: /* 3.1.2.11.4 maximum packet size */
        if (prop->number == 0)
            blame(cursor, "a property that may not be 0 is");
        break;
    case 8: /* 3.3.2.3.5 response topic */
        if (!ref_is_topic_name(prop->text))
            blame(cursor, "the response topic is no topic name");
        break;
    default: break;
    }
}

static void take_props(struct cursor *cursor, int type, bool is_from_device, struct ref_props *props) {
    props->count = 0;
    uint32_t size = take_varint(cursor, true);
    if (size > cursor->left)
        blame(cursor, "the properties are longer than the packet");
    if (cursor->why != NULL)
        return;
    struct cursor inner = {cursor->at, size, NULL, false};
    while (inner.left > 0 && inner.why == NULL) {
        struct ref_prop prop = {.id = take_varint(&inner, true)};
        const struct ref_prop_row *row = row_of(prop.id);
        if (row == NULL) {
            blame(&inner, "a property is unknown");
            break;
        }
        if (((is_from_device ? row->device : row->broker) >> type & 1) == 0)
            blame(&inner, "a property may not stand here");
        /* Only these two may be repeated, the subscription identifier only in a PUBLISH. */
        bool may_repeat = prop.id == 38 || (prop.id == 11 && type == REF_PUBLISH);
        if (!may_repeat && ref_prop_find(props, prop.id) != NULL)
            blame(&inner, "a property stands twice");
        take_value(&inner, row->kind, &prop);
        judge_value(&inner, &prop);
        if (props->count == REF_PROPS_MAX)
            abort(); /* the generator makes no such packets */
        props->list[props->count++] = prop;
    }
    if (inner.why != NULL)
        blame(cursor, inner.why);
    cursor->is_odd = cursor->is_odd || inner.is_odd;
    cursor->at += size;
    cursor->left -= size;
}

/* ---- the packets ---- */

static bool is_equal(struct ref_bytes text, const char *wanted) {
    return text.size == strlen(wanted) && memcmp(text.at, wanted, text.size) == 0;
}

static void take_will(struct cursor *cursor, struct ref_packet *packet) {
    if (packet->version == 5)
        take_props(cursor, REF_WILL, true, &packet->will_props);
    packet->will_topic = take_string(cursor);
    packet->will_payload = take_binary(cursor);
    if (!ref_is_topic_name(packet->will_topic))
        blame(cursor, "the will topic is no topic name");
}

static void take_names(struct cursor *cursor, unsigned flags, struct ref_packet *packet) {
    /* MQTT 3.1: the remaining length goes before the flags. */
    bool is_31 = packet->version == 3;
    packet->has_username = (flags & 128) != 0 && !(is_31 && cursor->left == 0);
    if (packet->has_username)
        packet->username = take_string(cursor);
    packet->has_password = (flags & 64) != 0 && !(is_31 && cursor->left == 0);
    if (packet->has_password)
        packet->password = take_binary(cursor);
}

static void judge_connect_flags(struct cursor *cursor, unsigned flags, int version) {
    if (version != 3 && (flags & 1) != 0)
        blame(cursor, "the reserved flag is set");
    if ((flags >> 3 & 3) == 3)
        blame(cursor, "the will QoS is 3");
    if (version != 3 && (flags & 4) == 0 && (flags & 0x38) != 0)
        blame(cursor, "will flags without a will");
    if (version != 5 && (flags & 128) == 0 && (flags & 64) != 0)
        blame(cursor, "a password without a user name");
}

/* 3.1.2.11.10. Of the CONNACK 3.2.2.3.18 says that the method gives the data its meaning: without one it has
 * none, and is refused alike. */
static void judge_data_without_method(struct cursor *cursor, const struct ref_packet *packet) {
    if (ref_prop_find(&packet->props, 22) != NULL && ref_prop_find(&packet->props, 21) == NULL)
        blame(cursor, "authentication data without an authentication method");
}

static void take_connect(struct cursor *cursor, struct ref_packet *packet) {
    struct ref_bytes name = take_binary(cursor);
    unsigned level = take_byte(cursor);
    if (cursor->why != NULL)
        return;
    /* mosquitto's bridges set the highest bit in the versions before 5.0. */
    if (is_equal(name, "MQIsdp") && level % 128 == 3)
        packet->version = 3;
    else if (is_equal(name, "MQTT") && level % 128 == 4)
        packet->version = 4;
    else if (is_equal(name, "MQTT") && level == 5)
        packet->version = 5;
    else
        blame(cursor, "the protocol is unknown");
    packet->is_bridge = level >= 128;
    unsigned flags = take_byte(cursor);
    packet->keep_alive = take_two(cursor);
    if (cursor->why != NULL)
        return;
    judge_connect_flags(cursor, flags, packet->version);
    packet->is_clean = (flags & 2) != 0;
    packet->has_will = (flags & 4) != 0;
    packet->will_qos = packet->has_will ? (int)(flags >> 3 & 3) : 0;
    packet->will_retain = packet->has_will && (flags & 32) != 0;
    if (packet->version == 5)
        take_props(cursor, REF_CONNECT, true, &packet->props);
    packet->client_id = take_string(cursor);
    if (packet->has_will)
        take_will(cursor, packet);
    take_names(cursor, flags, packet);
    judge_data_without_method(cursor, packet);
}

static bool is_in(unsigned code, const char *codes) {
    for (; *codes != 0; codes++)
        if (code == (unsigned char)*codes)
            return true;
    return false;
}

static void take_connack(struct cursor *cursor, struct ref_packet *packet) {
    unsigned flags = take_byte(cursor), code = take_byte(cursor);
    packet->reason = (int)code;
    packet->session_present = packet->version == 3 ? 0 : (int)flags;
    if (packet->version != 3 && flags > 1)
        blame(cursor, "a reserved flag of the CONNACK is set");
    if (packet->version != 3 && flags == 1 && code != 0)
        blame(cursor, "a session is present although it is refused");
    /* Table 3-1, MQTT 5.0. */
    static const char codes_5[] = "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8A\x8C\x90\x95\x97\x99\x9A\x9B"
                                  "\x9C\x9D\x9F";
    if (packet->version == 5 ? code != 0 && !is_in(code, codes_5) : code > 5)
        blame(cursor, "the CONNACK has an unknown code");
    if (packet->version == 5)
        take_props(cursor, REF_CONNACK, false, &packet->props);
    judge_data_without_method(cursor, packet);
}

static void take_publish(struct cursor *cursor, struct ref_packet *packet, bool is_from_device) {
    packet->is_dup = (packet->flags & 8) != 0;
    packet->is_retained = (packet->flags & 1) != 0;
    packet->qos = packet->flags >> 1 & 3;
    if (packet->qos == 3)
        blame(cursor, "the QoS is 3");
    if (packet->is_dup && packet->qos == 0)
        blame(cursor, "DUP at QoS 0");
    packet->topic = take_string(cursor);
    if (packet->topic.size > 0 && !ref_is_topic_name(packet->topic))
        blame(cursor, "the topic is no topic name");
    if (packet->qos > 0) {
        packet->packet_id = take_two(cursor);
        if (packet->packet_id == 0)
            blame(cursor, "the packet identifier is 0");
    }
    if (packet->version == 5)
        take_props(cursor, REF_PUBLISH, is_from_device, &packet->props);
    if (packet->topic.size == 0 && ref_prop_find(&packet->props, 35) == NULL)
        blame(cursor, "there is no topic");
    packet->payload = take_many(cursor, cursor->left);
}

/* Reason codes of what is acknowledged and of last words: tables 3.4 to 3.7, 3.14, 3.15. */
static bool may_say(unsigned code, int type, bool is_from_device) {
    static const char publish_codes[] = "\x80\x83\x87\x90\x91\x97\x99";
    static const char disconnect_codes[] = "\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99";
    static const char disconnect_codes_of_broker[] =
        "\x87\x89\x8B\x8C\x8D\x8E\x8F\x9A\x9B\x9C\x9D\x9E\x9F\xA0\xA1\xA2";
    switch (type) {
    case REF_PUBACK:
    case REF_PUBREC: return code == 0 || is_in(code, publish_codes) || (code == 0x10 && !is_from_device);
    case REF_PUBREL:
    case REF_PUBCOMP: return code == 0 || code == 0x92;
    case REF_DISCONNECT:
        return code == 0 || is_in(code, disconnect_codes) ||
               (is_from_device ? code == 4 : is_in(code, disconnect_codes_of_broker));
    default: return code == 0x18 || (is_from_device ? code == 0x19 : code == 0);
    }
}

static void take_ack(struct cursor *cursor, struct ref_packet *packet, bool is_from_device) {
    bool has_id = packet->type != REF_DISCONNECT && packet->type != REF_AUTH;
    if (has_id) {
        packet->packet_id = take_two(cursor);
        if (packet->packet_id == 0)
            blame(cursor, "the packet identifier is 0");
    }
    if (packet->version != 5 || cursor->why != NULL)
        return;
    bool is_bare = cursor->left == 0;
    packet->reason = is_bare ? 0 : (int)take_byte(cursor);
    if (!may_say((unsigned)packet->reason, packet->type, is_from_device))
        blame(cursor, "the reason code may not stand here");
    if (cursor->left > 0)
        take_props(cursor, packet->type, is_from_device, &packet->props);
    if (packet->type == REF_AUTH && !is_bare && ref_prop_find(&packet->props, 21) == NULL)
        blame(cursor, "AUTH without a method");
}

/* 4.8.2 */
static void judge_share(struct cursor *cursor, struct ref_bytes filter, bool *is_shared) {
    *is_shared = filter.size >= 7 && memcmp(filter.at, "$share/", 7) == 0;
    if (!*is_shared)
        return;
    size_t slash = 7;
    while (slash < filter.size && filter.at[slash] != '/')
        slash++;
    struct ref_bytes name = {filter.at + 7, slash - 7};
    if (name.size == 0 || memchr(name.at, '+', name.size) != NULL || memchr(name.at, '#', name.size) != NULL)
        blame(cursor, "the share name is none");
    if (slash == filter.size ||
        !ref_is_topic_filter((struct ref_bytes){filter.at + slash + 1, filter.size - slash - 1}))
        blame(cursor, "the shared subscription has no topic filter");
}

static void take_filter(struct cursor *cursor, struct ref_packet *packet) {
    struct ref_filter filter = {.text = take_string(cursor)};
    bool is_shared = false;
    if (!ref_is_topic_filter(filter.text))
        blame(cursor, "a topic filter is none");
    if (packet->version == 5)
        judge_share(cursor, filter.text, &is_shared);
    if (packet->type == REF_SUBSCRIBE) {
        filter.options = (uint8_t)take_byte(cursor);
        unsigned reserved = packet->version == 5 ? 0xC0 : 0xFC;
        if ((filter.options & reserved) != 0)
            blame(cursor, "a reserved bit of the options is set");
        if (filter.options % 4 == 3 || (filter.options >> 4 & 3) == 3)
            blame(cursor, "an option is 3");
        if (is_shared && (filter.options & 4) != 0)
            blame(cursor, "No Local on a shared subscription");
    }
    if (packet->filter_count == REF_FILTERS_MAX)
        abort(); /* the generator makes no such packets */
    packet->filters[packet->filter_count++] = filter;
}

static void take_subscribe(struct cursor *cursor, struct ref_packet *packet) {
    packet->packet_id = take_two(cursor);
    if (packet->packet_id == 0)
        blame(cursor, "the packet identifier is 0");
    if (packet->version == 5)
        take_props(cursor, packet->type, true, &packet->props);
    if (cursor->left == 0)
        blame(cursor, "there is no topic filter");
    while (cursor->left > 0 && cursor->why == NULL)
        take_filter(cursor, packet);
}

static void take_suback(struct cursor *cursor, struct ref_packet *packet) {
    packet->packet_id = take_two(cursor);
    if (packet->packet_id == 0)
        blame(cursor, "the packet identifier is 0");
    if (packet->version == 5)
        take_props(cursor, packet->type, false, &packet->props);
    bool has_codes = packet->type == REF_SUBACK || packet->version == 5;
    if (!has_codes)
        return;
    if (cursor->left == 0)
        blame(cursor, "there is no code");
    packet->codes = take_many(cursor, cursor->left);
    for (size_t i = 0; i < packet->codes.size; i++) {
        unsigned code = packet->codes.at[i];
        bool is_known = packet->type == REF_UNSUBACK ? code == 0 || is_in(code, "\x11\x80\x83\x87\x8F\x91")
                        : packet->version == 5
                            ? code <= 2 || is_in(code, "\x80\x83\x87\x8F\x91\x97\x9E\xA1\xA2")
                            : code <= 2 || code == 0x80;
        if (!is_known)
            blame(cursor, "an unknown code");
    }
}

/* ---- the fixed header ---- */

static void judge_header(struct cursor *cursor, const struct ref_packet *packet, bool is_from_device) {
    static const bool by_device[16] = {
        [REF_CONNECT] = true, [REF_SUBSCRIBE] = true, [REF_UNSUBSCRIBE] = true, [REF_PINGREQ] = true};
    static const bool by_broker[16] = {
        [REF_CONNACK] = true, [REF_SUBACK] = true, [REF_UNSUBACK] = true, [REF_PINGRESP] = true};
    int type = packet->type;
    if (type == 0 || (type == REF_AUTH && packet->version != 5))
        blame(cursor, "the packet type is reserved");
    if (is_from_device ? by_broker[type] : by_device[type])
        blame(cursor, "the packet goes the wrong way");
    if (type == REF_DISCONNECT && !is_from_device && packet->version != 5)
        blame(cursor, "a broker says no DISCONNECT before 5.0");
    if (type == REF_PUBLISH)
        return;
    bool is_acknowledged = type == REF_PUBREL || type == REF_SUBSCRIBE || type == REF_UNSUBSCRIBE;
    int flags = packet->flags;
    if (is_acknowledged && packet->version == 3)
        flags &= ~8; /* 3.1 sends these again with DUP */
    if (flags != (is_acknowledged ? 2 : 0))
        blame(cursor, "the flags of the fixed header are wrong");
}

static void take_body(struct cursor *cursor, struct ref_packet *packet, bool is_from_device) {
    switch (packet->type) {
    case REF_CONNECT: take_connect(cursor, packet); break;
    case REF_CONNACK: take_connack(cursor, packet); break;
    case REF_PUBLISH: take_publish(cursor, packet, is_from_device); break;
    case REF_SUBSCRIBE:
    case REF_UNSUBSCRIBE: take_subscribe(cursor, packet); break;
    case REF_SUBACK:
    case REF_UNSUBACK: take_suback(cursor, packet); break;
    case REF_PINGREQ:
    case REF_PINGRESP: break;
    default: take_ack(cursor, packet, is_from_device); break;
    }
    if (cursor->left > 0)
        blame(cursor, "bytes stand behind the last field");
}

enum ref_answer ref_read(struct ref_bytes bytes, int version, bool is_from_device, struct ref_packet *packet,
                         const char **why) {
    /* The long arrays are valid up to their counts only. */
    memset(packet, 0, offsetof(struct ref_packet, filters));
    packet->props.count = packet->will_props.count = 0;
    packet->version = version;
    if (bytes.size == 0)
        return REF_MORE;
    packet->type = bytes.at[0] >> 4;
    packet->flags = bytes.at[0] & 15;
    struct cursor cursor = {bytes.at + 1, bytes.size - 1, NULL, false};
    if (version == 0 && packet->type != REF_CONNECT)
        blame(&cursor, "the first packet is no CONNECT");
    judge_header(&cursor, packet, is_from_device);
    if (cursor.why == NULL) {
        size_t length_size = 1; /* is the length itself all there? */
        while (length_size < 5 && length_size < bytes.size && bytes.at[length_size] >= 128)
            length_size++;
        if (length_size == bytes.size && length_size < 5)
            return REF_MORE;
        uint32_t remaining = take_varint(&cursor, version == 5);
        if (cursor.why == NULL && remaining > cursor.left)
            return REF_MORE;
        if (cursor.why == NULL) {
            packet->whole = (struct ref_bytes){bytes.at, (size_t)(cursor.at - bytes.at) + remaining};
            cursor.left = remaining;
            take_body(&cursor, packet, is_from_device);
            /* The length of a CONNECT can be judged only behind its body. */
            struct cursor again = {bytes.at + 1, bytes.size - 1, NULL, false};
            take_varint(&again, packet->version == 5);
            if (again.why != NULL)
                blame(&cursor, again.why);
        }
    }
    packet->is_odd = cursor.is_odd;
    *why = cursor.why;
    return cursor.why == NULL ? REF_GOOD : REF_BAD;
}
