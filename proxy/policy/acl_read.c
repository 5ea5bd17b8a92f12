/* One line of an ACL file: what it says, or what is wrong with it. */
#include "base/text.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include "policy/acl_set.h"
#include "policy/lines.h"

#define USERNAME_SIZE_MAX 65535

/* Cuts off the next word. Only the space separates. */
static struct span cut_word(struct span *rest) {
    while (rest->size != 0 && rest->at[0] == ' ')
        *rest = span_after(*rest, 1);
    const uint8_t *space = rest->size == 0 ? NULL : memchr(rest->at, ' ', rest->size);
    struct span word = space == NULL ? *rest : span_first(*rest, (size_t)(space - rest->at));
    *rest = span_after(*rest, word.size);
    return word;
}

static struct span keep(struct acl_compiling *compiling, struct span bytes) {
    return span_of(arena_text(compiling->arena, bytes), bytes.size);
}

static void add_list(struct acl *acl, struct acl_list *list) {
    list->next = acl->lists;
    acl->lists = list;
}

/* ---- user, group, member ---- */

/* NULL when memory is out. */
static struct acl_user *find_user(struct acl_compiling *compiling, struct span name) {
    char quoted[TEXT_QUOTED_SIZE];
    if (name.size > USERNAME_SIZE_MAX || !mqtt_utf8_is_valid(name))
        ACL_COMPLAIN(compiling, FINDING_WARNING,
                     "no client can have the username \"%s\", it is no MQTT string",
                     text_quote(quoted, sizeof quoted, name));
    struct acl_user *user = names_find(compiling->acl->users, name);
    if (user != NULL)
        return user;
    user = arena_alloc(compiling->arena, sizeof *user);
    struct span kept = keep(compiling, name);
    if (user == NULL || kept.at == NULL || !names_add(compiling->acl->users, kept, user)) {
        acl_complain_of_memory(compiling);
        return NULL;
    }
    user->name = kept;
    add_list(compiling->acl, &user->list);
    return user;
}

static void read_user(struct acl_compiling *compiling, struct span name) {
    if (name.size == 0) {
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"user\" wants a username behind it");
        return;
    }
    struct acl_user *user = find_user(compiling, name);
    /* Without memory the lines to come go nowhere; nothing is compiled in the end. */
    compiling->list = user == NULL ? &compiling->acl->anonymous.list : &user->list;
    compiling->group = NULL;
}

static void read_group(struct acl_compiling *compiling, struct span name) {
    if (name.size == 0) {
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"group\" wants a name behind it");
        return;
    }
    struct acl_group *group = names_find(compiling->acl->groups, name);
    if (group == NULL) {
        group = arena_alloc(compiling->arena, sizeof *group);
        struct span kept = keep(compiling, name);
        if (group == NULL || kept.at == NULL || !names_add(compiling->acl->groups, kept, group)) {
            acl_complain_of_memory(compiling);
            return;
        }
        group->name = kept;
        group->line = compiling->line;
        group->number = compiling->group_count++;
        add_list(compiling->acl, &group->list);
        group->next = compiling->acl->group_list;
        compiling->acl->group_list = group;
    }
    compiling->group = group;
    compiling->list = &group->list;
}

static void add_member(struct acl_compiling *compiling, struct span name) {
    struct acl_user *user = find_user(compiling, name);
    if (user == NULL)
        return;
    const struct acl_group *group = compiling->group;
    struct acl_membership **at = &user->memberships;
    while (*at != NULL && (*at)->group->number < group->number)
        at = &(*at)->next;
    if (*at != NULL && (*at)->group == group)
        return;
    struct acl_membership *membership = arena_alloc(compiling->arena, sizeof *membership);
    if (membership == NULL) {
        acl_complain_of_memory(compiling);
        return;
    }
    *membership = (struct acl_membership){.next = *at, .group = group};
    *at = membership;
    compiling->group->has_member = true;
}

/* Cuts off a name in double quotes, written into `room` (as large as the rest) without them. False when it is
 * not closed or something stands right behind it. */
static bool cut_quoted(struct span *rest, uint8_t *room, struct span *name) {
    size_t size = 0;
    for (size_t i = 1; i < rest->size; i++) {
        uint8_t byte = rest->at[i];
        if (byte == '"') {
            *name = span_of(room, size);
            *rest = span_after(*rest, i + 1);
            return rest->size == 0 || rest->at[0] == ' ';
        }
        bool is_escaped =
            byte == '\\' && i + 1 < rest->size && (rest->at[i + 1] == '"' || rest->at[i + 1] == '\\');
        room[size++] = is_escaped ? rest->at[++i] : byte;
    }
    return false;
}

static void read_members(struct acl_compiling *compiling, struct span rest) {
    if (compiling->group == NULL) {
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"member\" belongs below a \"group\" line");
        return;
    }
    rest = lines_trim(rest);
    if (rest.size == 0)
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"member\" wants usernames behind it");
    uint8_t *room = rest.size == 0 ? NULL : arena_alloc(compiling->arena, rest.size);
    if (rest.size != 0 && room == NULL)
        acl_complain_of_memory(compiling);
    while (rest.size != 0 && room != NULL) {
        struct span name;
        if (rest.at[0] != '"') {
            name = cut_word(&rest);
        } else if (!cut_quoted(&rest, room, &name)) {
            ACL_COMPLAIN(compiling, FINDING_ERROR,
                         "a quoted username ends with \" and a space or the line's end behind it");
            return;
        }
        if (name.size == 0)
            ACL_COMPLAIN(compiling, FINDING_ERROR, "an empty username is nobody's");
        else
            add_member(compiling, name);
        while (rest.size != 0 && rest.at[0] == ' ')
            rest = span_after(rest, 1);
    }
}

/* ---- topic, pattern ---- */

static bool read_access(struct span word, enum acl_access *access) {
    static const struct {
        const char *word;
        enum acl_access access;
    } words[] = {{"read", ACL_READ},
                 {"write", ACL_WRITE},
                 {"readwrite", ACL_READ_WRITE},
                 {"deny", ACL_DENY},
                 {"subscribe", ACL_SUBSCRIBE}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (span_is_text(word, words[i].word)) {
            *access = words[i].access;
            return true;
        }
    return false;
}

/* What stands between access word and filter. */
struct terms_of_rule {
    bool has_max_qos, is_retain_refused;
    uint8_t max_qos;
};

/* Cuts them off; the last word is always the filter's, so that a topic may be called like one of them. False
 * after a complaint. */
static bool cut_terms(struct acl_compiling *compiling, enum acl_access access, struct span *rest,
                      struct terms_of_rule *terms) {
    char quoted[TEXT_QUOTED_SIZE];
    *terms = (struct terms_of_rule){.max_qos = 2};
    for (;;) {
        struct span behind = *rest, word = cut_word(&behind);
        bool is_qos = span_begins_with(word, SPAN_LITERAL("maxqos="));
        if (lines_trim(behind).size == 0 || (!is_qos && !span_is_text(word, "noretain")))
            return true;
        const char *wrong = NULL;
        if (is_qos && (word.size != 8 || word.at[7] < '0' || word.at[7] > '2'))
            wrong = "is 0, 1 or 2";
        else if (is_qos ? terms->has_max_qos : terms->is_retain_refused)
            wrong = "stands here twice";
        else if (access == ACL_DENY)
            wrong = "says nothing behind deny, which allows nothing anyhow";
        else if (!is_qos && (access & ACL_WRITE) == 0)
            wrong = "concerns publishing, which this rule does not allow";
        if (wrong != NULL) {
            ACL_COMPLAIN(compiling, FINDING_ERROR, "\"%s\": %s %s", text_quote(quoted, sizeof quoted, word),
                         is_qos ? "maxqos" : "noretain", wrong);
            return false;
        }
        if (is_qos) {
            terms->has_max_qos = true;
            terms->max_qos = (uint8_t)(word.at[7] - '0');
        } else {
            terms->is_retain_refused = true;
        }
        *rest = behind;
    }
}

/* What is accepted, but hardly meant. */
static void warn_of_filter(struct acl_compiling *compiling, struct span filter, bool is_pattern) {
    struct acl_marks marks = acl_filter_marks(filter);
    if (is_pattern && !marks.has_text && compiling->group == NULL)
        ACL_COMPLAIN(compiling, FINDING_WARNING,
                     "this pattern holds neither %%c nor %%u, it is the same for everybody");
    else if (is_pattern && marks.has_text && marks.levels == 0)
        ACL_COMPLAIN(
            compiling, FINDING_WARNING,
            "%%c and %%u stand for client id and username only as a whole level; here they are plain text");
    if (!is_pattern && marks.levels != 0)
        ACL_COMPLAIN(compiling, FINDING_WARNING,
                     "%%c and %%u mean something in \"pattern\" lines only; here they are plain text");
    if (span_begins_with(filter, SPAN_LITERAL("$share")))
        ACL_COMPLAIN(compiling, FINDING_WARNING,
                     "no topic begins with $share: name the filter behind the group instead");
}

static void add_rule(struct acl_compiling *compiling, bool is_pattern, enum acl_access access,
                     const struct terms_of_rule *terms, struct span filter) {
    struct acl_rule *rule = acl_rule_create(compiling->arena, filter, access, is_pattern, compiling->line);
    if (rule == NULL) {
        acl_complain_of_memory(compiling);
        return;
    }
    rule->max_qos = terms->max_qos;
    rule->is_retain_refused = terms->is_retain_refused;
    /* A group's patterns are for its members: whoever writes them there does not mean everybody. */
    bool is_for_all = is_pattern && compiling->group == NULL;
    acl_list_add(is_for_all ? &compiling->acl->patterns : compiling->list, rule);
    compiling->acl->rule_count++;
}

static void read_rule(struct acl_compiling *compiling, bool is_pattern, struct span rest) {
    char quoted[TEXT_QUOTED_SIZE];
    const char *keyword = is_pattern ? "pattern" : "topic";
    enum acl_access access = ACL_READ_WRITE;
    struct terms_of_rule terms = {.max_qos = 2};
    struct span word = cut_word(&rest), filter = lines_trim(rest);
    if (word.size == 0) {
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"%s\" wants a topic behind it", keyword);
        return;
    }
    if (filter.size == 0) {
        filter = word; /* the access word was left out */
        if (read_access(word, &access))
            ACL_COMPLAIN(compiling, FINDING_WARNING,
                         "\"%s\" is taken as the topic here, for reading and writing",
                         text_quote(quoted, sizeof quoted, word));
        access = ACL_READ_WRITE;
    } else if (!read_access(word, &access)) {
        ACL_COMPLAIN(compiling, FINDING_ERROR,
                     "\"%s\" is no access, only read, write, readwrite, deny and subscribe are (and a topic "
                     "that holds a space needs one in front)",
                     text_quote(quoted, sizeof quoted, word));
        return;
    } else if (!cut_terms(compiling, access, &rest, &terms)) {
        return;
    } else {
        filter = lines_trim(rest);
    }
    if (!mqtt_topic_is_filter(filter)) {
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"%s\" is no valid topic filter",
                     text_quote(quoted, sizeof quoted, filter));
        return;
    }
    warn_of_filter(compiling, filter, is_pattern);
    add_rule(compiling, is_pattern, access, &terms, filter);
}

void acl_read_line(struct acl_compiling *compiling, struct span line) {
    char quoted[TEXT_QUOTED_SIZE];
    if (line.size != 0 && line.at[0] == '#')
        return;
    line = lines_trim_end(line);
    struct span rest = line, word = cut_word(&rest);
    if (word.size == 0)
        return;
    if (span_has_byte(line, '\0'))
        ACL_COMPLAIN(compiling, FINDING_ERROR, "this line holds a NUL byte");
    else if (span_is_text(word, "user"))
        read_user(compiling, lines_trim(rest));
    else if (span_is_text(word, "topic"))
        read_rule(compiling, false, rest);
    else if (span_is_text(word, "pattern"))
        read_rule(compiling, true, rest);
    else if (span_is_text(word, "group"))
        read_group(compiling, lines_trim(rest));
    else if (span_is_text(word, "member"))
        read_members(compiling, rest);
    else if (span_has_byte(word, '\t'))
        ACL_COMPLAIN(compiling, FINDING_ERROR, "\"%s\": words are separated by spaces, not by tabs",
                     text_quote(quoted, sizeof quoted, word));
    else
        ACL_COMPLAIN(compiling, FINDING_ERROR,
                     "a line begins with topic, pattern, user, group, member or #, not with \"%s\"",
                     text_quote(quoted, sizeof quoted, word));
}

void acl_read_end(struct acl_compiling *compiling) {
    char quoted[TEXT_QUOTED_SIZE];
    for (const struct acl_group *group = compiling->acl->group_list; group != NULL; group = group->next) {
        if (group->has_member)
            continue;
        compiling->line = group->line;
        ACL_COMPLAIN(compiling, FINDING_WARNING, "the group \"%s\" has no member, its rules concern nobody",
                     text_quote(quoted, sizeof quoted, group->name));
    }
}
