#include "policy/accounts.h"

#include <stdio.h>

#include "base/text.h"
#include "mqtt/utf8.h"
#include "policy/base64.h"
#include "policy/lines.h"
#include "policy/names.h"

#define USERNAME_SIZE_MAX 65535

struct accounts {
    struct names *names; /* struct account by username */
    struct account *usual;
    size_t usual_votes; /* of the majority vote over kinds and iterations */
};

/* Cuts off what stands before the next `mark`; false when there is none. */
static bool cut_field(struct span *rest, uint8_t mark, struct span *field) {
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->at, mark, rest->size);
    if (at == NULL)
        return false;
    *field = span_first(*rest, (size_t)(at - rest->at));
    *rest = span_after(*rest, field->size + 1);
    return true;
}

static bool read_iterations(struct span text, uint32_t *iterations) {
    uint64_t value = 0;
    if (text.size == 0 || text.size > 10)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (text.at[i] - '0');
    }
    *iterations = (uint32_t)value;
    return value >= 1 && value <= ACCOUNT_ITERATIONS_MAX;
}

bool account_read_hash(struct span text, struct account *account) {
    struct account read = *account;
    struct span field;
    read.iterations = 0;
    if (span_begins_with(text, SPAN_LITERAL("$6$")))
        read.kind = ACCOUNT_SHA512;
    else if (span_begins_with(text, SPAN_LITERAL("$7$")))
        read.kind = ACCOUNT_PBKDF2;
    else
        return false;
    text = span_after(text, 3);
    if (read.kind == ACCOUNT_PBKDF2 &&
        (!cut_field(&text, '$', &field) || !read_iterations(field, &read.iterations)))
        return false;
    size_t size;
    memset(read.salt, 0, sizeof read.salt);
    if (!cut_field(&text, '$', &field) || !base64_read(field, read.salt, sizeof read.salt, &size) ||
        (size != ACCOUNT_SALT_SIZE_SHORT && size != ACCOUNT_SALT_SIZE_MAX))
        return false;
    read.salt_size = (uint8_t)size;
    if (!base64_read(text, read.hash, sizeof read.hash, &size) || size != ACCOUNT_HASH_SIZE)
        return false;
    *account = read;
    return true;
}

void account_write_hash(const struct account *account, char *room, size_t room_size) {
    char salt[BASE64_SIZE(ACCOUNT_SALT_SIZE_MAX) + 1], hash[BASE64_SIZE(ACCOUNT_HASH_SIZE) + 1];
    salt[base64_write(salt, span_of(account->salt, account->salt_size))] = '\0';
    hash[base64_write(hash, span_of(account->hash, sizeof account->hash))] = '\0';
    if (account->kind == ACCOUNT_PBKDF2)
        snprintf(room, room_size, "$7$%u$%s$%s", account->iterations, salt, hash);
    else
        snprintf(room, room_size, "$6$%s$%s", salt, hash);
}

const char *account_username_fault(struct span username) {
    if (username.size == 0)
        return "may not be empty";
    if (username.size > USERNAME_SIZE_MAX)
        return "may have 65535 bytes at most";
    for (size_t i = 0; i < username.size; i++) {
        if (username.at[i] == ':')
            return "may not hold a colon";
        /* U+0080 to U+009F begin with 0xc2 in UTF-8. */
        bool is_c1 = i != 0 && username.at[i - 1] == 0xc2 && username.at[i] < 0xa0;
        if (username.at[i] < ' ' || username.at[i] == 0x7f || is_c1)
            return "may not hold control characters";
    }
    if (!mqtt_utf8_is_valid(username))
        return "must be UTF-8";
    if (username.at[0] == '#')
        return "may not begin with #, that would be a comment";
    if (username.at[0] == ' ' || username.at[username.size - 1] == ' ')
        return "may not begin or end with a space";
    return NULL;
}

struct reading {
    struct arena *arena;
    struct findings *findings;
    const char *path;
    unsigned line;
    struct accounts *accounts;
};

#define COMPLAIN(reading, kind, ...)                                                                         \
    findings_add((reading)->findings, (kind), (reading)->path, (reading)->line, __VA_ARGS__)

static void complain_of_memory(struct reading *reading) {
    reading->findings->out_of_memory = true;
    COMPLAIN(reading, FINDING_ERROR, "memory is out");
}

/* Why a hash was not read, without showing it: it may be a password in plain text. */
static const char *fault_of_hash(struct span hash) {
    if (hash.size == 0)
        return "has no password";
    if (span_begins_with(hash, SPAN_LITERAL("$argon2")))
        return "has an Argon2 hash, which is not supported: set the password anew with drawbridge passwd";
    if (span_begins_with(hash, SPAN_LITERAL("$6$")) || span_begins_with(hash, SPAN_LITERAL("$7$")))
        return "has a password hash that cannot be decoded: set the password anew with drawbridge passwd";
    return "has a password that is not hashed: set it anew with drawbridge passwd";
}

/* Boyer and Moore's majority vote: exact when more than half of the accounts cost the same. */
static void vote(struct accounts *accounts, struct account *account) {
    struct account *usual = accounts->usual;
    if (accounts->usual_votes == 0) {
        accounts->usual = account;
        accounts->usual_votes = 1;
    } else if (usual->kind == account->kind && usual->iterations == account->iterations) {
        accounts->usual_votes++;
    } else {
        accounts->usual_votes--;
    }
}

static void keep_account(struct reading *reading, const struct account *read) {
    struct account *account = arena_alloc(reading->arena, sizeof *account);
    const char *username = arena_text(reading->arena, read->username);
    if (account == NULL || username == NULL) {
        complain_of_memory(reading);
        return;
    }
    *account = *read;
    account->username.at = (const uint8_t *)username;
    account->line = reading->line;
    if (!names_add(reading->accounts->names, account->username, account))
        complain_of_memory(reading);
    vote(reading->accounts, account);
}

static void read_line(struct reading *reading, struct span line) {
    char quoted[TEXT_QUOTED_SIZE];
    struct span rest = line, username;
    if ((line.size != 0 && line.at[0] == '#') || lines_trim(line).size == 0)
        return;
    if (span_has_byte(line, '\0')) {
        COMPLAIN(reading, FINDING_ERROR, "this line holds a NUL byte");
        return;
    }
    if (!cut_field(&rest, ':', &username)) {
        COMPLAIN(reading, FINDING_ERROR, "this line is neither username:hash nor a comment");
        return;
    }
    struct account read = {.username = lines_trim(username)};
    struct span hash = lines_trim(rest);
    if (read.username.size == 0) {
        COMPLAIN(reading, FINDING_ERROR, "no username before the colon");
        return;
    }
    text_quote(quoted, sizeof quoted, read.username);
    const struct account *first = names_find(reading->accounts->names, read.username);
    if (first != NULL)
        COMPLAIN(reading, FINDING_ERROR, "user \"%s\" stands in line %u already", quoted, first->line);
    else if (!account_read_hash(hash, &read))
        COMPLAIN(reading, FINDING_ERROR, "user \"%s\" %s", quoted, fault_of_hash(hash));
    else
        keep_account(reading, &read);
    if (read.username.size > USERNAME_SIZE_MAX || !mqtt_utf8_is_valid(read.username))
        COMPLAIN(reading, FINDING_WARNING, "no client can have the username \"%s\", it is no MQTT string",
                 quoted);
    if (read.iterations >= ACCOUNT_ITERATIONS_SLOW)
        COMPLAIN(reading, FINDING_WARNING, "user \"%s\" has %u iterations: every login takes seconds", quoted,
                 read.iterations);
}

struct accounts *accounts_read(struct arena *arena, const char *path, struct span text,
                               struct findings *findings) {
    struct reading reading = {.arena = arena, .findings = findings, .path = path};
    size_t errors_before = findings->error_count;
    struct accounts *accounts = arena_alloc(arena, sizeof *accounts);
    if (accounts != NULL)
        accounts->names = names_create(arena, lines_count(text));
    if (accounts == NULL || accounts->names == NULL) {
        complain_of_memory(&reading);
        return NULL;
    }
    reading.accounts = accounts;
    for (struct span rest = text, line; lines_next(&rest, &line);) {
        reading.line++;
        read_line(&reading, line);
    }
    reading.line = 0;
    if (names_count(accounts->names) == 0 && findings->error_count == errors_before)
        COMPLAIN(&reading, FINDING_ERROR, "no user in it; nobody could log in");
    return findings->error_count == errors_before ? accounts : NULL;
}

const struct account *accounts_find(const struct accounts *accounts, struct span username) {
    return names_find(accounts->names, username);
}

size_t accounts_count(const struct accounts *accounts) {
    return names_count(accounts->names);
}

const struct account *accounts_usual(const struct accounts *accounts) {
    return accounts->usual;
}
