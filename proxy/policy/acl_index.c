#include "policy/acl_index.h"

#include "mqtt/topic.h"

#define NODES_MAX (1u << 24)

/* A place in the tree: all levels before it. */
struct node {
    struct node *next; /* in the same bucket */
    const struct node *parent;
    struct span level; /* borrowed from a rule */
    uint64_t hash;
    struct node *any;
    bool has_children;      /* with a level of their own */
    struct acl_rule *ends;  /* rules that end here, in the order of the walk */
    struct acl_rule *opens; /* rules with a # here, or with more levels than the tree has */
};

struct acl_index {
    struct node root;
    struct node **buckets;
    size_t bucket_mask;
    size_t level_size_max; /* a longer level of a topic is in no rule */
};

static uint64_t hash_level(const struct node *parent, struct span level) {
    return acl_level_hash((uint64_t)(uintptr_t)parent, level);
}

static struct node *find_child(const struct acl_index *index, const struct node *parent, struct span level) {
    if (!parent->has_children || level.size > index->level_size_max)
        return NULL;
    uint64_t hash = hash_level(parent, level);
    for (struct node *node = index->buckets[hash & index->bucket_mask]; node != NULL; node = node->next)
        if (node->hash == hash && node->parent == parent && span_is_equal(node->level, level))
            return node;
    return NULL;
}

static struct node *add_child(struct arena *arena, struct acl_index *index, struct node *parent,
                              struct span level) {
    struct node *node = find_child(index, parent, level);
    if (node != NULL)
        return node;
    node = arena_alloc(arena, sizeof *node);
    if (node == NULL)
        return NULL;
    *node = (struct node){.parent = parent, .level = level, .hash = hash_level(parent, level)};
    struct node **bucket = &index->buckets[node->hash & index->bucket_mask];
    node->next = *bucket;
    *bucket = node;
    parent->has_children = true;
    if (level.size > index->level_size_max)
        index->level_size_max = level.size;
    return node;
}

static bool is_any(const struct acl_rule *rule, struct span level) {
    return span_is_text(level, "+") || (rule->is_pattern && acl_level_mark(level) != ACL_MARK_NONE);
}

/* Rules come from the last of the walk to the first, so that each chain is in its order. */
static bool add_rule(struct arena *arena, struct acl_index *index, struct acl_rule *rule) {
    struct node *node = &index->root;
    struct span rest = span_of(rule->filter, rule->size), level;
    bool is_open = false;
    for (size_t depth = 0; mqtt_topic_next_level(&rest, &level); depth++) {
        is_open = depth == ACL_INDEX_DEPTH || span_is_text(level, "#");
        if (is_open)
            break;
        if (is_any(rule, level)) {
            if (node->any == NULL)
                node->any = arena_alloc(arena, sizeof *node);
            node = node->any;
        } else {
            node = add_child(arena, index, node, level);
        }
        if (node == NULL)
            return false;
    }
    struct acl_rule **chain = is_open ? &node->opens : &node->ends;
    rule->next_here = *chain;
    *chain = rule;
    return true;
}

static bool build(struct arena *arena, struct acl_list *list, struct acl_rule *const *ranked) {
    struct acl_index *index = arena_alloc(arena, sizeof *index);
    size_t bucket_count = 64;
    while (bucket_count < 2 * (size_t)list->rule_count && bucket_count < NODES_MAX)
        bucket_count *= 2;
    struct node **buckets = arena_alloc(arena, bucket_count * sizeof(struct node *));
    if (index == NULL || buckets == NULL)
        return false;
    index->buckets = buckets;
    index->bucket_mask = bucket_count - 1;
    for (uint32_t i = list->rule_count; i != 0; i--)
        if (!add_rule(arena, index, ranked[i - 1]))
            return false;
    list->index = index;
    return true;
}

bool acl_index_list(struct arena *arena, struct acl_list *list) {
    uint32_t rank = 0;
    bool is_long = list->rule_count > ACL_INDEX_RULES_MIN;
    struct acl_rule **ranked =
        is_long ? arena_alloc(arena, list->rule_count * sizeof(struct acl_rule *)) : NULL;
    if (is_long && ranked == NULL)
        return false;
    struct acl_rule *const chains[] = {list->denies, list->grants};
    for (size_t i = 0; i < 2; i++)
        for (struct acl_rule *rule = chains[i]; rule != NULL; rule = rule->next) {
            if (is_long)
                ranked[rank] = rule;
            rule->rank = rank++;
        }
    return !is_long || build(arena, list, ranked);
}

struct search {
    const struct acl_index *index;
    const struct acl_values *values;
    enum acl_access access;
    /* What is looked for: a topic, a filter to be covered, or common topics. */
    const struct acl_topic *topic;
    struct span filter;
    const struct acl_common *common;
    struct acl_levels levels; /* of the last two */
    const struct acl_rule *best;
};

static bool is_found(const struct search *search, const struct acl_rule *rule) {
    if (!acl_rule_is_about(rule, (uint8_t)search->access, search->values))
        return false;
    if (search->topic != NULL)
        return acl_rule_matches(rule, search->values, search->topic);
    if (search->common != NULL)
        return acl_common_is_denied(search->common, search->levels.count, rule, search->values);
    return acl_rule_covers(rule, search->values, search->filter);
}

static void look(struct search *search, const struct acl_rule *rule) {
    for (; rule != NULL && (search->best == NULL || rule->rank < search->best->rank); rule = rule->next_here)
        if (is_found(search, rule)) {
            search->best = rule;
            return;
        }
}

/* Goes no deeper than ACL_INDEX_DEPTH, and to no node twice. */
static void visit(struct search *search, const struct node *node, struct span rest) {
    struct span level;
    look(search, node->opens);
    if (!mqtt_topic_next_level(&rest, &level)) {
        look(search, node->ends);
        return;
    }
    const struct node *child = find_child(search->index, node, level);
    if (child != NULL)
        visit(search, child, rest);
    if (node->any != NULL)
        visit(search, node->any, rest);
}

const struct acl_rule *acl_index_first(const struct acl_index *index, enum acl_access access,
                                       const struct acl_values *values, const struct acl_topic *topic) {
    struct search search;
    search.index = index;
    search.values = values;
    search.access = access;
    search.topic = topic;
    search.best = NULL;
    visit(&search, &index->root, topic->bytes);
    return search.best;
}

/* The same for a filter: what a + stands for is matched by wildcards alone, what a # stands for by # alone.
 */
static void visit_levels(struct search *search, const struct node *node, uint32_t depth) {
    const struct acl_levels *levels = &search->levels;
    look(search, node->opens);
    if (depth == levels->count) {
        if (!levels->is_open)
            look(search, node->ends);
        else if (depth == 0 && node->any != NULL)
            look(search, node->any->opens); /* +/# covers # */
        return;
    }
    if (depth == ACL_INDEX_DEPTH)
        return;
    struct span level = levels->levels[depth];
    const struct node *child = level.at == NULL ? NULL : find_child(search->index, node, level);
    if (child != NULL)
        visit_levels(search, child, depth + 1);
    if (node->any != NULL)
        visit_levels(search, node->any, depth + 1);
}

const struct acl_rule *acl_index_first_cover(const struct acl_index *index, enum acl_access access,
                                             const struct acl_values *values, struct span filter) {
    struct search search = {.index = index,
                            .values = values,
                            .access = access,
                            .filter = filter,
                            .levels = acl_levels_of(filter)};
    visit_levels(&search, &index->root, 0);
    return search.best;
}

const struct acl_rule *acl_index_first_deny(const struct acl_index *index, const struct acl_common *common,
                                            uint32_t level_count, const struct acl_values *values) {
    struct search search = {.index = index,
                            .values = values,
                            .access = ACL_DENY,
                            .common = common,
                            .levels = acl_common_levels(common, level_count)};
    visit_levels(&search, &index->root, 0);
    return search.best;
}
