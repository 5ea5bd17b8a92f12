/* acl_sieve: which rules of a long list that allow reading may have topics in common with a subscription, in
 * the order of the walk, at a cost that hardly grows with the others. Inner room of policy/acl.h.
 *
 *     sensors/+/temperature
 *        level 0:  "sensors" there | + there or behind the rule's # | a placeholder that stands for "sensors"
 *      & level 2:  "temperature" there | ...
 *      & rules that match topics of three levels
 *
 * Each of these sets has a bit per rule (a short one: the numbers of its rules). Where one of them has but a
 * few rules, it leads: these are looked up in the others. Else 64 rules are met at a time. The sieve only
 * picks candidates: each is still asked what it has in common with the filter. Levels beyond ACL_INDEX_DEPTH
 * pass it unseen. */
#ifndef DRAWBRIDGE_POLICY_ACL_SIEVE_H
#define DRAWBRIDGE_POLICY_ACL_SIEVE_H

#include "policy/acl_index.h"

#define ACL_SIEVE_CHUNK_WORDS 16

/* Gives a list that has an index its sieve. False when memory is out. */
bool acl_sieve_list(struct arena *arena, struct acl_list *list);

/* Numbers of rules, rising. */
struct acl_sieve_members {
    const uint32_t *at;
    uint32_t count, next;
};

/* A set: the rules of all rows and all members. */
struct acl_sieve_term {
    const uint64_t *rows[ACL_MARK_COUNT + 2]; /* a bit per rule */
    struct acl_sieve_members members[ACL_MARK_COUNT + 2];
    uint32_t row_count, members_count;
};

/* One per question and list. */
struct acl_sieving {
    const struct acl_sieve *sieve;
    struct acl_sieve_term terms[ACL_INDEX_DEPTH + 2]; /* a candidate is in all of them */
    const uint64_t *excluded[2 * ACL_MARK_COUNT + 2]; /* and in none of these */
    uint32_t term_count, excluded_count;
    struct acl_sieve_term *lead; /* NULL: none has few rules */
    uint32_t from;               /* with a lead: the rules to come */
    uint32_t chunk, at;          /* without: the chunk to come, and the word of the one before */
    bool is_over;
    uint64_t words[ACL_SIEVE_CHUNK_WORDS];
};

/* Begins to look for `filter`, borrowed as values are. */
void acl_sieve_begin(struct acl_sieving *sieving, const struct acl_sieve *sieve,
                     const struct acl_values *values, const struct acl_levels *filter);

/* From now on leaves out the rules of which a deny of their own list leaves nothing at all. Once at most. */
void acl_sieve_skip_dead(struct acl_sieving *sieving);

/* The next candidate, NULL when there are no more. */
const struct acl_rule *acl_sieve_next(struct acl_sieving *sieving);

#endif
