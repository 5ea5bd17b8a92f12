#include "mqtt/props.h"

#include "mqtt/places.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

enum kind { BYTE, TWO, FOUR, VARINT, STRING, BINARY, PAIR };
enum rule { ANY, FLAG, NONZERO, ALIAS, TOPIC };

struct prop_row {
    uint8_t kind, rule;
    uint32_t places, repeats;
};

static const struct prop_row prop_rows[MQTT_PROP_COUNT] = {
#define PROP(id, name, kind, packets, repeats, rule) {kind, rule, packets, repeats},
#include "mqtt/props.def"
#undef PROP
};

/* Identifier to row, counted from 1; 0 for an unknown one. Identifiers are variable byte integers, but all
 * known ones take one byte, so that a longer one is unknown by its first byte. */
static const uint8_t prop_of_id[256] = {
#define PROP(id, name, kind, packets, repeats, rule) [id] = MQTT_PROP_##name + 1,
#include "mqtt/props.def"
#undef PROP
};

_Static_assert(MQTT_PROP_COUNT <= 32, "one bit each in mqtt_props.present");

unsigned mqtt_varint_size(uint32_t value) {
    return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

unsigned mqtt_varint_write(uint8_t room[4], uint32_t value) {
    unsigned size = mqtt_varint_size(value);
    for (unsigned i = 0; i < size; i++)
        room[i] = (uint8_t)((value >> 7 * i & 0x7F) | (i + 1 < size ? 0x80 : 0));
    return size;
}

enum mqtt_outcome mqtt_varint_read(struct span bytes, uint32_t *value, unsigned *size) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i == bytes.size)
            return MQTT_MORE;
        sum |= (bytes.at[i] & 0x7Fu) << 7 * i;
        if (bytes.at[i] >= 0x80)
            continue;
        if (i != 0 && bytes.at[i] == 0)
            return MQTT_WRONG;
        *value = sum;
        *size = i + 1;
        return MQTT_WHOLE;
    }
    return MQTT_WRONG;
}

/* A variable byte integer that must be whole. */
static enum violation read_varint(struct reader *reader, uint32_t *value) {
    unsigned size = 0;
    *value = 0;
    switch (mqtt_varint_read(span_of(reader->at, reader_left(reader)), value, &size)) {
    case MQTT_WHOLE: reader_bytes(reader, size); return VIOLATION_NONE;
    case MQTT_MORE: return VIOLATION_PROPERTY_TRUNCATED;
    case MQTT_WRONG: break;
    }
    return VIOLATION_MALFORMED_LENGTH;
}

/* Reads the value behind the identifier. */
static enum violation read_value(struct reader *reader, enum kind kind, struct mqtt_prop_item *item) {
    item->number = 0;
    item->text = item->value = SPAN_NONE;
    switch (kind) {
    case BYTE: item->number = reader_u8(reader); break;
    case TWO: item->number = reader_u16(reader); break;
    case FOUR: item->number = reader_u32(reader); break;
    case VARINT: return read_varint(reader, &item->number);
    case STRING:
    case BINARY: item->text = reader_string(reader); break;
    case PAIR:
        item->text = reader_string(reader);
        item->value = reader_string(reader);
        break;
    }
    return reader->is_short ? VIOLATION_PROPERTY_TRUNCATED : VIOLATION_NONE;
}

static enum violation judge_rule(enum rule rule, const struct mqtt_prop_item *item) {
    switch (rule) {
    case ANY: break;
    case FLAG: return item->number <= 1 ? VIOLATION_NONE : VIOLATION_PROPERTY_VALUE;
    case NONZERO: return item->number != 0 ? VIOLATION_NONE : VIOLATION_PROPERTY_VALUE;
    case ALIAS: return item->number != 0 ? VIOLATION_NONE : VIOLATION_TOPIC_ALIAS;
    case TOPIC: return mqtt_topic_is_name(item->text) ? VIOLATION_NONE : VIOLATION_PROPERTY_RESPONSE_TOPIC;
    }
    return VIOLATION_NONE;
}

/* Strings first: a response topic that is no UTF-8 is told as such. */
static enum violation judge_value(const struct prop_row *row, const struct mqtt_prop_item *item) {
    enum violation found = VIOLATION_NONE;
    if (row->kind == STRING || row->kind == PAIR)
        found = mqtt_utf8_judge(item->text);
    if (found == VIOLATION_NONE && row->kind == PAIR)
        found = mqtt_utf8_judge(item->value);
    return found == VIOLATION_NONE ? judge_rule(row->rule, item) : found;
}

/* Reads and judges the next property of a block that is not at its end. */
static enum violation read_property(struct reader *block, int type, enum mqtt_direction direction,
                                    struct mqtt_props *props) {
    unsigned number = prop_of_id[reader_u8(block)];
    if (number == 0)
        return VIOLATION_PROPERTY_UNKNOWN;
    enum mqtt_prop prop = (enum mqtt_prop)(number - 1);
    const struct prop_row *row = &prop_rows[prop];
    if (!places_have(row->places, type, direction))
        return places_have_either(row->places, type) ? VIOLATION_PROPERTY_DIRECTION
                                                     : VIOLATION_PROPERTY_PLACE;
    if (mqtt_props_has(props, prop) && !places_have(row->repeats, type, direction))
        return VIOLATION_PROPERTY_REPEATED;
    struct mqtt_prop_item item;
    enum violation found = read_value(block, row->kind, &item);
    if (found == VIOLATION_NONE)
        found = judge_value(row, &item);
    if (found != VIOLATION_NONE)
        return found;
    props->present |= 1u << prop;
    props->user_count += prop == MQTT_PROP_USER_PROPERTY;
    props->number[prop] = item.number;
    props->text[prop] = item.text;
    return VIOLATION_NONE;
}

enum mqtt_outcome mqtt_props_read(struct reader *reader, int type, enum mqtt_direction direction,
                                  struct mqtt_props *props, enum violation *violation) {
    mqtt_props_clear(props);
    uint32_t size;
    enum violation found = read_varint(reader, &size);
    if (found != VIOLATION_NONE)
        return mqtt_wrong(violation,
                          found == VIOLATION_MALFORMED_LENGTH ? found : VIOLATION_PACKET_TRUNCATED);
    if (size > reader_left(reader))
        return mqtt_wrong(violation, VIOLATION_PROPERTY_LENGTH);
    props->raw = reader_bytes(reader, size);
    struct reader block = reader_of(props->raw);
    while (reader_left(&block) != 0) {
        found = read_property(&block, type, direction, props);
        if (found != VIOLATION_NONE)
            return mqtt_wrong(violation, found);
    }
    /* MQTT 5.0 3.1.2.11.10 */
    if (mqtt_props_has(props, MQTT_PROP_AUTHENTICATION_DATA) &&
        !mqtt_props_has(props, MQTT_PROP_AUTHENTICATION_METHOD))
        return mqtt_wrong(violation, VIOLATION_AUTH_METHOD);
    return MQTT_WHOLE;
}

bool mqtt_props_next(struct reader *block, struct mqtt_prop_item *item) {
    if (reader_left(block) == 0)
        return false;
    const uint8_t *start = block->at;
    unsigned number = prop_of_id[reader_u8(block)];
    if (number == 0)
        return false;
    item->prop = (enum mqtt_prop)(number - 1);
    if (read_value(block, prop_rows[item->prop].kind, item) != VIOLATION_NONE)
        return false;
    item->whole = span_of(start, (size_t)(block->at - start));
    return true;
}
