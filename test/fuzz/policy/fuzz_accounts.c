#include <stdlib.h>

#include "policy/accounts.h"
#include "policy/lines.h"

/* Input: a password file. Its first line without username is tried as a hash, too. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void must(bool is_true) {
    if (!is_true)
        abort();
}

/* What is read is written as it was, but for zeros in front of the iterations. */
static void check_hash(struct span text) {
    struct account account = {0}, again = {0};
    char room[300];
    if (!account_read_hash(text, &account))
        return;
    must(account.kind == ACCOUNT_SHA512 || account.iterations >= 1);
    must(account.salt_size == ACCOUNT_SALT_SIZE_SHORT || account.salt_size == ACCOUNT_SALT_SIZE_MAX);
    account_write_hash(&account, room, sizeof room);
    must(strlen(room) <= text.size);
    must(account_read_hash(span_of_text(room), &again));
    must(memcmp(&account, &again, sizeof again) == 0);
    if (strlen(room) == text.size)
        must(span_is_text(text, room));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct span text = span_of(bytes, size), rest = text, line;
    struct arena *arena = arena_create();
    struct findings findings;
    findings_init(&findings);
    if (arena == NULL)
        return 0;
    struct accounts *accounts = accounts_read(arena, "f", text, &findings);
    must((accounts == NULL) == findings_refuse(&findings));
    if (accounts != NULL) {
        must(accounts_count(accounts) != 0 && accounts_usual(accounts) != NULL);
        must(accounts_find(accounts, SPAN_NONE) == NULL);
    }
    for (unsigned number = 1; lines_next(&rest, &line); number++) {
        const uint8_t *colon = line.size == 0 ? NULL : memchr(line.at, ':', line.size);
        if (colon == NULL)
            continue;
        struct span name = lines_trim(span_first(line, (size_t)(colon - line.at)));
        check_hash(lines_trim(span_after(line, (size_t)(colon - line.at) + 1)));
        /* Every line that is no comment has its user, when the file was taken. */
        if (accounts != NULL && line.at[0] != '#') {
            const struct account *account = accounts_find(accounts, name);
            must(account != NULL && account->line == number);
        }
        (void)account_username_fault(name);
    }
    findings_clear(&findings);
    arena_destroy(arena);
    return 0;
}
