#include "policy/acl_sieve.h"

#include "mqtt/topic.h"

#define CHUNK_RULES  (ACL_SIEVE_CHUNK_WORDS * 64u)
#define LITERALS_MAX (1u << 24)

/* So few rules are looked up quicker than a chunk is filled. */
#define LEAD_RULES_MAX 16

struct set {
    uint32_t count, filled;
    uint64_t *row;     /* a bit per rule; NULL: */
    uint32_t *members; /* their numbers, which is shorter */
};

/* The rules with a literal at a level. */
struct literal {
    struct literal *next; /* in the same bucket */
    struct span text;     /* borrowed from a rule */
    uint64_t hash;
    uint32_t level;
    struct set set;
};

/* A NULL row is empty. */
struct acl_sieve {
    const struct acl_rule **rules;   /* that allow reading, in the order of the walk */
    uint32_t rule_count, word_count; /* words of a row: whole chunks */
    struct literal **buckets;
    size_t bucket_mask;
    struct set any[ACL_INDEX_DEPTH]; /* with + at that level, or behind their # */
    struct set marked[ACL_INDEX_DEPTH][ACL_MARK_COUNT];
    uint64_t *exactly[ACL_INDEX_DEPTH + 1];  /* match topics of that many levels */
    uint64_t *at_least[ACL_INDEX_DEPTH + 1]; /* of that many or more */
    uint64_t *with_mark[ACL_MARK_COUNT];     /* anywhere */
    uint64_t *with_mark_first[ACL_MARK_COUNT];
    uint64_t *with_user_mark, *with_dollar;
    uint64_t *alive; /* no deny of the list leaves them nothing */
};

static struct literal **place_of(const struct acl_sieve *sieve, uint32_t level, struct span text,
                                 uint64_t hash) {
    struct literal **at = &sieve->buckets[hash & sieve->bucket_mask];
    while (*at != NULL && ((*at)->hash != hash || (*at)->level != level || !span_is_equal((*at)->text, text)))
        at = &(*at)->next;
    return at;
}

static struct literal *find_literal(const struct acl_sieve *sieve, uint32_t level, struct span text) {
    return *place_of(sieve, level, text, acl_level_hash(level, text));
}

/* ---- making it ---- */

struct making {
    struct arena *arena;
    struct acl_sieve *sieve;
    bool is_counting; /* first how many rules a set has, then which */
    bool is_out_of_memory;
};

static void add_to_row(struct making *making, uint64_t **row, uint32_t number) {
    if (*row == NULL)
        *row = arena_alloc(making->arena, making->sieve->word_count * sizeof **row);
    if (*row == NULL)
        making->is_out_of_memory = true;
    else
        (*row)[number / 64] |= 1ull << number % 64;
}

static void add_to_set(struct making *making, struct set *set, uint32_t number) {
    if (making->is_counting) {
        set->count++;
        return;
    }
    bool is_long = (size_t)set->count * sizeof(uint32_t) > making->sieve->word_count * sizeof(uint64_t);
    if (is_long) {
        add_to_row(making, &set->row, number);
        return;
    }
    if (set->members == NULL)
        set->members = arena_alloc(making->arena, set->count * sizeof(uint32_t));
    if (set->members == NULL)
        making->is_out_of_memory = true;
    else
        set->members[set->filled++] = number;
}

/* NULL when memory is out. */
static struct set *set_of_literal(struct making *making, uint32_t level, struct span text) {
    uint64_t hash = acl_level_hash(level, text);
    struct literal **at = place_of(making->sieve, level, text, hash);
    if (*at == NULL) {
        *at = arena_alloc(making->arena, sizeof **at);
        if (*at == NULL) {
            making->is_out_of_memory = true;
            return NULL;
        }
        **at = (struct literal){.text = text, .hash = hash, .level = level};
    }
    return &(*at)->set;
}

static unsigned mark_number(enum acl_mark mark) {
    unsigned number = 0;
    while (mark >> number != 1)
        number++;
    return number;
}

static void add_level(struct making *making, const struct acl_rule *rule, uint32_t number, uint32_t at,
                      struct span level) {
    struct acl_sieve *sieve = making->sieve;
    enum acl_mark mark = rule->is_pattern ? acl_level_mark(level) : ACL_MARK_NONE;
    struct set *set = span_is_text(level, "+") ? &sieve->any[at]
                      : mark != ACL_MARK_NONE  ? &sieve->marked[at][mark_number(mark)]
                                               : set_of_literal(making, at, level);
    if (set != NULL)
        add_to_set(making, set, number);
    if (mark != ACL_MARK_NONE && at == 0 && !making->is_counting)
        add_to_row(making, &sieve->with_mark_first[mark_number(mark)], number);
}

static void add_levels(struct making *making, uint32_t number) {
    const struct acl_rule *rule = making->sieve->rules[number];
    struct span rest = span_of(rule->filter, rule->size), level;
    for (uint32_t i = 0; i < ACL_INDEX_DEPTH && i < rule->level_count; i++)
        if (mqtt_topic_next_level(&rest, &level) && !making->is_out_of_memory)
            add_level(making, rule, number, i, level);
    for (uint32_t i = rule->level_count; rule->is_open && i < ACL_INDEX_DEPTH; i++)
        add_to_set(making, &making->sieve->any[i], number);
}

/* What concerns the rule as a whole. */
static void add_facts(struct making *making, uint32_t number) {
    struct acl_sieve *sieve = making->sieve;
    const struct acl_rule *rule = sieve->rules[number];
    for (uint32_t i = 0; i <= ACL_INDEX_DEPTH; i++) {
        if (rule->is_open ? i >= rule->level_count : i == rule->level_count)
            add_to_row(making, &sieve->exactly[i], number);
        if (rule->is_open || i <= rule->level_count)
            add_to_row(making, &sieve->at_least[i], number);
    }
    for (unsigned i = 0; i < ACL_MARK_COUNT; i++)
        if ((rule->marks >> i & 1) != 0)
            add_to_row(making, &sieve->with_mark[i], number);
    if (rule->has_user_mark)
        add_to_row(making, &sieve->with_user_mark, number);
    if (rule->filter[0] == '$')
        add_to_row(making, &sieve->with_dollar, number);
}

/* A rule without placeholders is dead when a deny without them covers it: that is so for every session. */
static void add_if_alive(struct making *making, const struct acl_index *index, uint32_t number) {
    static const struct acl_values nothing;
    const struct acl_rule *rule = making->sieve->rules[number];
    struct span filter = span_of(rule->filter, rule->size);
    if (rule->marks != 0 || acl_index_first_cover(index, ACL_DENY, &nothing, filter) == NULL)
        add_to_row(making, &making->sieve->alive, number);
}

static bool fill(struct making *making, const struct acl_list *list) {
    struct acl_sieve *sieve = making->sieve;
    for (const struct acl_rule *rule = list->grants; rule != NULL; rule = rule->next)
        if ((rule->access & ACL_READ) != 0)
            sieve->rules[sieve->rule_count++] = rule;
    sieve->word_count = (sieve->rule_count + CHUNK_RULES - 1) / CHUNK_RULES * ACL_SIEVE_CHUNK_WORDS;
    making->is_counting = true;
    for (uint32_t i = 0; i < sieve->rule_count; i++)
        add_levels(making, i);
    making->is_counting = false;
    for (uint32_t i = 0; i < sieve->rule_count && !making->is_out_of_memory; i++) {
        add_levels(making, i);
        add_facts(making, i);
        add_if_alive(making, list->index, i);
    }
    return !making->is_out_of_memory;
}

bool acl_sieve_list(struct arena *arena, struct acl_list *list) {
    if (list->index == NULL)
        return true;
    struct acl_sieve *sieve = arena_alloc(arena, sizeof *sieve);
    size_t bucket_count = 64;
    while (bucket_count < 2 * (size_t)list->rule_count && bucket_count < LITERALS_MAX)
        bucket_count *= 2;
    struct literal **buckets = arena_alloc(arena, bucket_count * sizeof(struct literal *));
    const struct acl_rule **rules = arena_alloc(arena, list->rule_count * sizeof(struct acl_rule *));
    if (sieve == NULL || buckets == NULL || rules == NULL)
        return false;
    sieve->rules = rules;
    sieve->buckets = buckets;
    sieve->bucket_mask = bucket_count - 1;
    list->sieve = sieve;
    return fill(&(struct making){.arena = arena, .sieve = sieve}, list);
}

/* ---- asking it ---- */

static void add_row_to(struct acl_sieve_term *term, const uint64_t *row) {
    if (row != NULL)
        term->rows[term->row_count++] = row;
}

static void add_set_to(struct acl_sieve_term *term, const struct set *set) {
    if (set->members != NULL)
        term->members[term->members_count++] = (struct acl_sieve_members){set->members, set->count, 0};
    else
        add_row_to(term, set->row);
}

static struct acl_sieve_term *next_term(struct acl_sieving *sieving) {
    struct acl_sieve_term *term = &sieving->terms[sieving->term_count++];
    term->row_count = term->members_count = 0;
    return term;
}

static void require_row(struct acl_sieving *sieving, const uint64_t *row) {
    add_row_to(next_term(sieving), row);
    sieving->is_over |= row == NULL;
}

static void exclude(struct acl_sieving *sieving, const uint64_t *row) {
    if (row != NULL)
        sieving->excluded[sieving->excluded_count++] = row;
}

static void require_level(struct acl_sieving *sieving, const struct acl_values *values, uint32_t at,
                          struct span level) {
    const struct acl_sieve *sieve = sieving->sieve;
    struct acl_sieve_term *term = next_term(sieving);
    const struct literal *literal = find_literal(sieve, at, level);
    if (literal != NULL)
        add_set_to(term, &literal->set);
    /* A literal `$` is reached by nothing else (MQTT 5.0 4.7.2-1). */
    bool has_dollar = at == 0 && level.size != 0 && level.at[0] == '$';
    if (!has_dollar)
        add_set_to(term, &sieve->any[at]);
    for (unsigned i = 0; i < ACL_MARK_COUNT && !has_dollar; i++)
        if (sieve->marked[at][i].count != 0 &&
            acl_mark_may_be((enum acl_mark)(1u << i), values, level, at == 0))
            add_set_to(term, &sieve->marked[at][i]);
    sieving->is_over |= term->row_count == 0 && term->members_count == 0;
}

static void exclude_some(struct acl_sieving *sieving, const struct acl_values *values, bool is_any_first) {
    const struct acl_sieve *sieve = sieving->sieve;
    for (unsigned i = 0; i < ACL_MARK_COUNT; i++) {
        enum acl_mark mark = (enum acl_mark)(1u << i);
        if (sieve->with_mark[i] == NULL)
            continue;
        if (!acl_mark_may_be(mark, values, SPAN_NONE, false))
            exclude(sieving, sieve->with_mark[i]);
        else if (is_any_first && !acl_mark_may_be(mark, values, SPAN_NONE, true))
            exclude(sieving, sieve->with_mark_first[i]);
    }
    if (is_any_first)
        exclude(sieving, sieve->with_dollar);
    if (!values->has_username)
        exclude(sieving, sieve->with_user_mark);
}

/* The smallest set that is a mere list of members, if it is small. */
static struct acl_sieve_term *find_lead(struct acl_sieving *sieving) {
    struct acl_sieve_term *lead = NULL;
    uint32_t least = LEAD_RULES_MAX + 1;
    for (uint32_t i = 0; i < sieving->term_count; i++) {
        struct acl_sieve_term *term = &sieving->terms[i];
        uint32_t count = 0;
        for (uint32_t j = 0; j < term->members_count; j++)
            count += term->members[j].count;
        if (term->row_count != 0 || count >= least)
            continue;
        lead = term;
        least = count;
    }
    return lead;
}

void acl_sieve_begin(struct acl_sieving *sieving, const struct acl_sieve *sieve,
                     const struct acl_values *values, const struct acl_levels *filter) {
    sieving->sieve = sieve;
    sieving->term_count = sieving->excluded_count = 0;
    sieving->chunk = sieving->from = 0;
    sieving->at = ACL_SIEVE_CHUNK_WORDS;
    sieving->is_over = sieve->rule_count == 0;
    for (uint32_t i = 0; i < filter->count && i < ACL_INDEX_DEPTH; i++)
        if (filter->levels[i].at != NULL)
            require_level(sieving, values, i, filter->levels[i]);
    if (filter->count <= ACL_INDEX_DEPTH && filter->count != 0)
        require_row(sieving, (filter->is_open ? sieve->at_least : sieve->exactly)[filter->count]);
    exclude_some(sieving, values, filter->count == 0 || filter->levels[0].at == NULL);
    sieving->lead = find_lead(sieving);
}

/* ---- with a lead: one rule after the other ---- */

static bool has_bit(const uint64_t *row, uint32_t number) {
    return (row[number / 64] >> number % 64 & 1) != 0;
}

/* Numbers below `number` are never asked for again. NULL: there are no more. */
static const uint32_t *next_member(struct acl_sieve_members *members, uint32_t number) {
    while (members->next < members->count && members->at[members->next] < number)
        members->next++;
    return members->next == members->count ? NULL : &members->at[members->next];
}

static bool is_in(struct acl_sieve_term *term, uint32_t number) {
    for (uint32_t i = 0; i < term->row_count; i++)
        if (has_bit(term->rows[i], number))
            return true;
    for (uint32_t i = 0; i < term->members_count; i++) {
        const uint32_t *next = next_member(&term->members[i], number);
        if (next != NULL && *next == number)
            return true;
    }
    return false;
}

static bool is_candidate(struct acl_sieving *sieving, uint32_t number) {
    for (uint32_t i = 0; i < sieving->term_count; i++)
        if (&sieving->terms[i] != sieving->lead && !is_in(&sieving->terms[i], number))
            return false;
    for (uint32_t i = 0; i < sieving->excluded_count; i++)
        if (has_bit(sieving->excluded[i], number))
            return false;
    return true;
}

/* The least of a term that is `from` or more; UINT32_MAX: none is. */
static uint32_t least_member(struct acl_sieve_term *term, uint32_t from) {
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < term->members_count; i++) {
        const uint32_t *next = next_member(&term->members[i], from);
        if (next != NULL && *next < least)
            least = *next;
    }
    return least;
}

static const struct acl_rule *next_of_lead(struct acl_sieving *sieving) {
    while (!sieving->is_over) {
        uint32_t number = least_member(sieving->lead, sieving->from);
        sieving->is_over = number == UINT32_MAX;
        sieving->from = number + 1;
        if (!sieving->is_over && is_candidate(sieving, number))
            return sieving->sieve->rules[number];
    }
    return NULL;
}

/* ---- without: chunk by chunk ---- */

/* Steps to the chunk where each set that is a mere list of members has the next. */
static void skip_chunks(struct acl_sieving *sieving) {
    for (uint32_t i = 0; i < sieving->term_count; i++) {
        struct acl_sieve_term *term = &sieving->terms[i];
        if (term->row_count != 0)
            continue;
        uint32_t least = least_member(term, sieving->chunk * CHUNK_RULES);
        if (least == UINT32_MAX) {
            sieving->is_over = true;
            return;
        }
        sieving->chunk = least / CHUNK_RULES;
    }
}

static void add_members(struct acl_sieve_members *members, uint32_t chunk, uint64_t *set) {
    const uint32_t *next = next_member(members, chunk * CHUNK_RULES);
    for (; next != NULL && *next / CHUNK_RULES == chunk; next = next_member(members, *next + 1)) {
        uint32_t number = *next % CHUNK_RULES;
        set[number / 64] |= 1ull << number % 64;
    }
}

/* Keeps of the words what is in the set as well; false when that is nothing. */
static bool keep(uint64_t *words, struct acl_sieve_term *term, uint32_t chunk) {
    uint64_t set[ACL_SIEVE_CHUNK_WORDS] = {0}, left = 0;
    for (uint32_t i = 0; i < term->row_count; i++) {
        const uint64_t *row = term->rows[i] + (size_t)chunk * ACL_SIEVE_CHUNK_WORDS;
        for (uint32_t j = 0; j < ACL_SIEVE_CHUNK_WORDS; j++)
            set[j] |= row[j];
    }
    for (uint32_t i = 0; i < term->members_count; i++)
        add_members(&term->members[i], chunk, set);
    for (uint32_t j = 0; j < ACL_SIEVE_CHUNK_WORDS; j++)
        left |= words[j] &= set[j];
    return left != 0;
}

static bool fill_chunk(struct acl_sieving *sieving) {
    const struct acl_sieve *sieve = sieving->sieve;
    uint64_t *words = sieving->words;
    uint32_t chunk = sieving->chunk++, left = sieve->rule_count - chunk * CHUNK_RULES;
    for (uint32_t j = 0; j < ACL_SIEVE_CHUNK_WORDS; j++)
        words[j] = left / 64 > j ? UINT64_MAX : left / 64 == j ? (1ull << left % 64) - 1 : 0;
    for (uint32_t i = 0; i < sieving->term_count; i++)
        if (!keep(words, &sieving->terms[i], chunk))
            return false;
    for (uint32_t i = 0; i < sieving->excluded_count; i++)
        for (uint32_t j = 0; j < ACL_SIEVE_CHUNK_WORDS; j++)
            words[j] &= ~sieving->excluded[i][chunk * ACL_SIEVE_CHUNK_WORDS + j];
    return true;
}

void acl_sieve_skip_dead(struct acl_sieving *sieving) {
    const uint64_t *alive = sieving->sieve->alive;
    require_row(sieving, alive);
    for (uint32_t j = 0; j < ACL_SIEVE_CHUNK_WORDS && alive != NULL && sieving->at < ACL_SIEVE_CHUNK_WORDS;
         j++)
        sieving->words[j] &= alive[(sieving->chunk - 1) * ACL_SIEVE_CHUNK_WORDS + j];
}

static const struct acl_rule *next_of_chunks(struct acl_sieving *sieving) {
    while (!sieving->is_over) {
        for (; sieving->at < ACL_SIEVE_CHUNK_WORDS; sieving->at++) {
            uint64_t *word = &sieving->words[sieving->at];
            if (*word == 0)
                continue;
            uint32_t number = ((sieving->chunk - 1) * ACL_SIEVE_CHUNK_WORDS + sieving->at) * 64 +
                              (uint32_t)__builtin_ctzll(*word);
            *word &= *word - 1;
            return sieving->sieve->rules[number];
        }
        skip_chunks(sieving);
        if (sieving->chunk * CHUNK_RULES >= sieving->sieve->rule_count)
            sieving->is_over = true;
        if (!sieving->is_over && fill_chunk(sieving))
            sieving->at = 0;
    }
    return NULL;
}

const struct acl_rule *acl_sieve_next(struct acl_sieving *sieving) {
    return sieving->lead != NULL ? next_of_lead(sieving) : next_of_chunks(sieving);
}
