#include "policy/acl.h"

#include "base/text.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include "policy/acl_set.h"
#include "policy/lines.h"

#define USERNAME_SIZE_MAX 65535

struct compiling {
    struct arena *arena;
    struct findings *findings;
    const char *path;
    unsigned line;
    struct acl *acl;
    struct acl_user *user; /* whom `topic` lines concern now */
};

#define COMPLAIN(compiling, kind, ...)                                                                       \
    findings_add((compiling)->findings, (kind), (compiling)->path, (compiling)->line, __VA_ARGS__)

static void complain_of_memory(struct compiling *compiling) {
    compiling->findings->out_of_memory = true;
    COMPLAIN(compiling, FINDING_ERROR, "memory is out");
}

/* Cuts off the next word. Only the space separates. */
static struct span cut_word(struct span *rest) {
    while (rest->size != 0 && rest->at[0] == ' ')
        *rest = span_after(*rest, 1);
    const uint8_t *space = rest->size == 0 ? NULL : memchr(rest->at, ' ', rest->size);
    struct span word = space == NULL ? *rest : span_first(*rest, (size_t)(space - rest->at));
    *rest = span_after(*rest, word.size);
    return word;
}

static struct span keep(struct compiling *compiling, struct span bytes) {
    return span_of(arena_text(compiling->arena, bytes), bytes.size);
}

static void read_user(struct compiling *compiling, struct span name) {
    char quoted[TEXT_QUOTED_SIZE];
    if (name.size == 0) {
        COMPLAIN(compiling, FINDING_ERROR, "\"user\" wants a username behind it");
        return;
    }
    if (name.size > USERNAME_SIZE_MAX || !mqtt_utf8_is_valid(name))
        COMPLAIN(compiling, FINDING_WARNING, "no client can have the username \"%s\", it is no MQTT string",
                 text_quote(quoted, sizeof quoted, name));
    compiling->user = names_find(compiling->acl->users, name);
    if (compiling->user != NULL)
        return;
    struct acl_user *user = arena_alloc(compiling->arena, sizeof *user);
    struct span kept = keep(compiling, name);
    if (user == NULL || kept.at == NULL || !names_add(compiling->acl->users, kept, user)) {
        /* The lines to come go nowhere; nothing is compiled in the end. */
        compiling->user = &compiling->acl->anonymous;
        complain_of_memory(compiling);
        return;
    }
    user->name = kept;
    compiling->user = user;
}

static bool read_access(struct span word, enum acl_access *access) {
    static const struct {
        const char *word;
        enum acl_access access;
    } words[] = {{"read", ACL_READ}, {"write", ACL_WRITE}, {"readwrite", ACL_READ_WRITE}, {"deny", ACL_DENY}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (span_is_text(word, words[i].word)) {
            *access = words[i].access;
            return true;
        }
    return false;
}

/* What is accepted, but hardly meant. */
static void warn_of_filter(struct compiling *compiling, struct span filter, bool is_pattern) {
    struct acl_marks marks = acl_filter_marks(filter);
    if (is_pattern && !marks.has_text)
        COMPLAIN(compiling, FINDING_WARNING,
                 "this pattern holds neither %%c nor %%u, it is the same for everybody");
    else if (is_pattern && !marks.has_level)
        COMPLAIN(
            compiling, FINDING_WARNING,
            "%%c and %%u stand for client id and username only as a whole level; here they are plain text");
    if (!is_pattern && marks.has_level)
        COMPLAIN(compiling, FINDING_WARNING,
                 "%%c and %%u mean something in \"pattern\" lines only; here they are plain text");
    if (span_begins_with(filter, SPAN_LITERAL("$share")))
        COMPLAIN(compiling, FINDING_WARNING,
                 "no topic begins with $share: name the filter behind the group instead");
}

static void read_rule(struct compiling *compiling, bool is_pattern, struct span rest) {
    char quoted[TEXT_QUOTED_SIZE];
    const char *keyword = is_pattern ? "pattern" : "topic";
    enum acl_access access = ACL_READ_WRITE;
    struct span word = cut_word(&rest), filter = lines_trim(rest);
    if (word.size == 0) {
        COMPLAIN(compiling, FINDING_ERROR, "\"%s\" wants a topic behind it", keyword);
        return;
    }
    if (filter.size == 0) {
        filter = word; /* the access word was left out */
        if (read_access(word, &access))
            COMPLAIN(compiling, FINDING_WARNING, "\"%s\" is taken as the topic here, for reading and writing",
                     text_quote(quoted, sizeof quoted, word));
        access = ACL_READ_WRITE;
    } else if (!read_access(word, &access)) {
        COMPLAIN(
            compiling, FINDING_ERROR,
            "\"%s\" is no access, only read, write, readwrite and deny are (and a topic that holds a space "
            "needs one in front)",
            text_quote(quoted, sizeof quoted, word));
        return;
    }
    if (!mqtt_topic_is_filter(filter)) {
        COMPLAIN(compiling, FINDING_ERROR, "\"%s\" is no valid topic filter",
                 text_quote(quoted, sizeof quoted, filter));
        return;
    }
    warn_of_filter(compiling, filter, is_pattern);
    struct acl_rule *rule = acl_rule_create(compiling->arena, filter, access, is_pattern, compiling->line);
    if (rule == NULL) {
        complain_of_memory(compiling);
        return;
    }
    acl_list_add(is_pattern ? &compiling->acl->patterns : &compiling->user->list, rule);
    compiling->acl->rule_count++;
}

static void read_line(struct compiling *compiling, struct span line) {
    char quoted[TEXT_QUOTED_SIZE];
    if (line.size != 0 && line.at[0] == '#')
        return;
    line = lines_trim_end(line);
    struct span rest = line, word = cut_word(&rest);
    if (word.size == 0)
        return;
    if (span_has_byte(line, '\0'))
        COMPLAIN(compiling, FINDING_ERROR, "this line holds a NUL byte");
    else if (span_is_text(word, "user"))
        read_user(compiling, lines_trim(rest));
    else if (span_is_text(word, "topic"))
        read_rule(compiling, false, rest);
    else if (span_is_text(word, "pattern"))
        read_rule(compiling, true, rest);
    else if (span_has_byte(word, '\t'))
        COMPLAIN(compiling, FINDING_ERROR, "\"%s\": words are separated by spaces, not by tabs",
                 text_quote(quoted, sizeof quoted, word));
    else
        COMPLAIN(compiling, FINDING_ERROR, "a line begins with topic, pattern, user or #, not with \"%s\"",
                 text_quote(quoted, sizeof quoted, word));
}

struct acl *acl_compile(struct arena *arena, const char *path, struct span text, struct findings *findings) {
    struct compiling compiling = {.arena = arena, .findings = findings, .path = path};
    size_t errors_before = findings->error_count;
    struct acl *acl = arena_alloc(arena, sizeof *acl);
    if (acl != NULL) {
        acl->path = arena_text(arena, span_of_text(path));
        acl->users = names_create(arena, lines_count(text));
    }
    if (acl == NULL || acl->path == NULL || acl->users == NULL) {
        complain_of_memory(&compiling);
        return NULL;
    }
    compiling.acl = acl;
    compiling.user = &acl->anonymous;
    for (struct span rest = text, line; lines_next(&rest, &line);) {
        compiling.line++;
        read_line(&compiling, line);
    }
    compiling.line = 0;
    if (acl->rule_count == 0 && findings->error_count == errors_before)
        COMPLAIN(&compiling, FINDING_ERROR, "no rule in it; without a rule nobody could do anything");
    return findings->error_count == errors_before ? acl : NULL;
}

static bool is_odd(struct span name) {
    return span_has_byte(name, '+') || span_has_byte(name, '#');
}

void acl_bind(struct acl_binding *binding, const struct acl *acl, struct acl_identity identity) {
    identity.has_username = identity.has_username && identity.username.size != 0;
    *binding = (struct acl_binding){.acl = acl, .identity = identity};
    binding->is_odd = (identity.has_username && is_odd(identity.username)) || is_odd(identity.client_id);
    if (acl != NULL)
        binding->user = identity.has_username ? names_find(acl->users, identity.username) : &acl->anonymous;
}

size_t acl_rule_count(const struct acl *acl) {
    return acl->rule_count;
}
