#include "inspect/twins.h"

#include <stdlib.h>

#include "base/hash.h"
#include "inspect/steps.h"

/* What is compared of a PUBLISH of QoS 0 without properties, bytes for bytes:
 *
 *     first | remaining length | size topic | 0 (version 5) | payload
 *     ^^^^^                      ^^^^^^^^^^^^^^^^^^^^^^^^^^
 *                                key
 *
 * The table has a place for it that its hash chooses, among few:
 *
 *     hash of key, owner -->  set |  the newest  |  the one before  |
 *                             ... |              |                  |
 *
 * The owner is a binding of a session and a way of it. A session is bound anew in each generation, and no
 * number is given twice: so what one user, one way or one generation allowed is never found by another. The
 * hash finds a place and proves nothing: owner and bytes are compared. What finds no room pushes out the
 * oldest of its set, and who was pushed out is asked about again. */
#define SET_COUNT 1024u
#define SET_SIZE  2u
#define KEY_MAX   114u /* a longer one is known as long as nothing else comes */

struct known {
    uint64_t owner; /* 0: nobody */
    uint32_t remaining_max;
    uint8_t first, key_size;
    uint8_t key[KEY_MAX];
};

struct twins {
    uint64_t last_number; /* given to a binding */
    struct known sets[SET_COUNT][SET_SIZE];
};

struct twins *twins_create(void) {
    return calloc(1, sizeof(struct twins));
}

void twins_destroy(struct twins *twins) {
    free(twins);
}

/* What others may be twins of. */
struct model {
    struct span key;
    size_t remaining_max; /* the limits are about sizes, and hold for what is smaller as well */
    uint8_t first;
};

/* A whole PUBLISH of QoS 0. */
struct plain {
    const uint8_t *key; /* behind the fixed header */
    size_t size, remaining;
    uint8_t first;
};

static inline bool is_same(const uint8_t *a, const uint8_t *b, size_t size) {
    uint64_t left, right;
    if (size < sizeof left)
        return memcmp(a, b, size) == 0;
    for (size_t i = 0; i + sizeof left < size; i += sizeof left) {
        memcpy(&left, a + i, sizeof left);
        memcpy(&right, b + i, sizeof right);
        if (left != right)
            return false;
    }
    memcpy(&left, a + size - sizeof left, sizeof left);
    memcpy(&right, b + size - sizeof right, sizeof right);
    return left == right;
}

/* False for anything else, and for one that had better be looked at. */
static inline bool read_plain(const uint8_t *at, const uint8_t *end, struct plain *plain) {
    if (end - at < 3 || (at[0] & 0xFE) != MQTT_PUBLISH << 4)
        return false;
    size_t header_size = 2, remaining = at[1];
    if (remaining >= 0x80) {
        if (at[2] == 0 || at[2] >= 0x80) /* over-long, or too long to be worth it */
            return false;
        remaining = (remaining & 0x7F) | (size_t)at[2] << 7;
        header_size = 3;
    }
    *plain = (struct plain){at + header_size, header_size + remaining, remaining, at[0]};
    return plain->size <= (size_t)(end - at);
}

static inline bool is_twin(const struct plain *plain, const struct model *model) {
    return plain->first == model->first && plain->remaining >= model->key.size &&
           plain->remaining <= model->remaining_max && is_same(plain->key, model->key.at, model->key.size);
}

static inline struct known *set_of(struct twins *twins, uint64_t owner, struct span key) {
    return twins->sets[(hash_bytes(key.at, key.size) ^ owner) % SET_COUNT];
}

static inline struct model model_of(const struct known *known) {
    return (struct model){span_of(known->key, known->key_size), known->remaining_max, known->first};
}

/* Something that the PUBLISH is a twin of; false: it is not known. */
static bool find(struct twins *twins, uint64_t owner, enum mqtt_version version, const struct plain *plain,
                 struct model *model) {
    if (plain->remaining < 2)
        return false;
    size_t topic_size = (size_t)plain->key[0] << 8 | plain->key[1];
    size_t key_size = 2 + topic_size + (version == MQTT_VERSION_5);
    if (key_size > KEY_MAX || key_size > plain->remaining)
        return false;
    const struct known *set = set_of(twins, owner, span_of(plain->key, key_size));
    for (size_t i = 0; i < SET_SIZE; i++) {
        *model = model_of(&set[i]);
        if (set[i].owner == owner && is_twin(plain, model))
            return true;
    }
    return false;
}

static void remember(struct twins *twins, uint64_t owner, const struct model *model) {
    if (model->key.size > KEY_MAX)
        return;
    struct known *set = set_of(twins, owner, model->key);
    for (size_t i = 0; i < SET_SIZE; i++) {
        struct span key = span_of(set[i].key, set[i].key_size);
        if (set[i].owner != owner || set[i].first != model->first || !span_is_equal(key, model->key))
            continue;
        if (model->remaining_max > set[i].remaining_max)
            set[i].remaining_max = (uint32_t)model->remaining_max;
        return;
    }
    memmove(set + 1, set, (SET_SIZE - 1) * sizeof *set);
    set->owner = owner;
    set->remaining_max = (uint32_t)model->remaining_max;
    set->first = model->first;
    set->key_size = (uint8_t)model->key.size;
    memcpy(set->key, model->key.at, model->key.size);
}

/* The binding's number is 0 again when it is bound anew. */
static uint64_t owner_of(struct inspector *inspector, const struct inspect_way *way, struct twins *twins) {
    if (inspector->acl.number == 0)
        inspector->acl.number = ++twins->last_number;
    return inspector->acl.number << 1 | (way->direction == MQTT_TO_DEVICE);
}

void twins_pass(struct inspector *inspector, struct inspect_way *way, struct inspect_bytes *bytes,
                const struct mqtt_frame *frame, const struct mqtt_publish *publish) {
    bool is_paced = inspector->pace != NULL && way->direction == MQTT_TO_BROKER; /* each costs a token */
    bool is_plain =
        !is_paced && publish->qos == 0 && publish->topic_alias == 0 && publish->props.raw.size == 0;
    if (!is_plain || bytes->filled - bytes->scanned <= way->payload_left || !step_payload(way, bytes))
        return;
    const uint8_t *first = bytes->at + bytes->judged - mqtt_frame_size(frame);
    struct model model = {
        span_of(first + frame->header_size, publish->head_size - frame->header_size),
        frame->remaining,
        first[0],
    };
    struct twins *twins = bytes->twins;
    uint64_t owner = twins == NULL ? 0 : owner_of(inspector, way, twins), count = 0;
    if (twins != NULL)
        remember(twins, owner, &model);
    const uint8_t *start = bytes->at + bytes->scanned, *end = bytes->at + bytes->filled, *at = start;
    for (struct plain plain; read_plain(at, end, &plain); count++) {
        if (!is_twin(&plain, &model) &&
            (twins == NULL || !find(twins, owner, inspector->version, &plain, &model)))
            break;
        at += plain.size;
    }
    if (count == 0)
        return;
    step_pass(bytes, (size_t)(at - start));
    tally_add(&inspector->tally->packets[way->direction][MQTT_PUBLISH], count);
}
