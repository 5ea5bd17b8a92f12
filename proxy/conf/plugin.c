#include "conf/plugin.h"

#include "base/text.h"
#include "conf/lexer.h"

#define REFUSE(place, ...)                                                                                   \
    findings_add((place)->findings, FINDING_ERROR, (place)->file, (place)->line, __VA_ARGS__)
#define WARN(place, ...)                                                                                     \
    findings_add((place)->findings, FINDING_WARNING, (place)->file, (place)->line, __VA_ARGS__)

/* One use of a plugin by a listener or by all of them. */
struct plugin_use {
    struct plugin_use *next;
    struct conf_listener *home;
    const char *file;
    unsigned line;
};

enum plugin_kind { PLUGIN_ACL_FILE, PLUGIN_PASSWORD_FILE, PLUGIN_UNKNOWN };

struct plugin {
    struct plugin *next;
    enum plugin_kind kind;
    const char *name; /* of plugin_load; NULL otherwise */
    const char *file;
    unsigned line;
    const char *value; /* the file it reads; NULL until its option was seen */
    struct plugin_use *uses;
};

static const struct {
    const char *library;
    const char *option; /* keyword of ours, and behind plugin_opt_ of theirs */
    enum conf_option index;
} known[] = {
    [PLUGIN_ACL_FILE] = {"mosquitto_acl_file.so", "acl_file", CONF_acl_file},
    [PLUGIN_PASSWORD_FILE] = {"mosquitto_password_file.so", "password_file", CONF_password_file},
};

static enum plugin_kind kind_of(struct span path) {
    size_t start = path.size;
    while (start > 0 && path.at[start - 1] != '/')
        start--;
    struct span name = span_after(path, start);
    for (unsigned kind = 0; kind < PLUGIN_UNKNOWN; kind++)
        if (span_is_text(name, known[kind].library))
            return (enum plugin_kind)kind;
    return PLUGIN_UNKNOWN;
}

static struct plugin *add_plugin(struct plugins *plugins, const struct value_place *place, struct span path) {
    struct plugin *plugin = arena_alloc(place->arena, sizeof *plugin);
    if (plugin == NULL) {
        value_out_of_memory(place);
        return NULL;
    }
    plugin->kind = kind_of(path);
    plugin->file = place->file;
    plugin->line = place->line;
    plugin->next = plugins->first;
    plugins->first = plugin;
    char room[TEXT_QUOTED_SIZE];
    if (plugin->kind == PLUGIN_UNKNOWN)
        REFUSE(
            place,
            "Drawbridge loads no plugins and does not know what %s would check; leave it to the broker and "
            "remove it here, with acl_file and password_file in its place",
            text_quote(room, sizeof room, path));
    return plugin;
}

static void use_plugin(struct plugin *plugin, const struct value_place *place, struct conf_listener *home) {
    if (plugin == NULL || home == NULL)
        return;
    struct plugin_use *use = arena_alloc(place->arena, sizeof *use);
    if (use == NULL) {
        value_out_of_memory(place);
        return;
    }
    *use = (struct plugin_use){.next = plugin->uses, .home = home, .file = place->file, .line = place->line};
    plugin->uses = use;
}

static bool take_path(const struct value_place *place, struct span keyword, struct span *rest,
                      struct span *path) {
    *path = lexer_trim(*rest);
    if (path->size != 0)
        return true;
    REFUSE(place, "%.*s has no value; write the path of the plugin behind it", SPAN_PRINT(keyword));
    return false;
}

static struct plugin *find_plugin(const struct plugins *plugins, struct span name) {
    for (struct plugin *plugin = plugins->first; plugin != NULL; plugin = plugin->next)
        if (plugin->name != NULL && span_is_text(name, plugin->name))
            return plugin;
    return NULL;
}

/* plugin_load NAME FILE */
static struct plugin *load_plugin(struct plugins *plugins, const struct value_place *place,
                                  struct span keyword, struct span rest) {
    struct span name, path;
    char room[TEXT_QUOTED_SIZE];
    if (!lexer_token(&rest, " ", &name) || !take_path(place, keyword, &rest, &path)) {
        if (name.size == 0)
            REFUSE(place, "plugin_load has no value; write: plugin_load NAME FILE");
        return NULL;
    }
    struct plugin *other = find_plugin(plugins, name);
    if (other != NULL) {
        REFUSE(place, "a plugin named '%s' was loaded at %s:%u already; choose another name",
               text_quote(room, sizeof room, name), other->file, other->line);
        return NULL;
    }
    struct plugin *plugin = add_plugin(plugins, place, path);
    if (plugin != NULL && (plugin->name = arena_text(place->arena, name)) == NULL)
        value_out_of_memory(place);
    return plugin;
}

/* plugin_use NAME */
static struct plugin *use_named(struct plugins *plugins, const struct value_place *place, struct span rest,
                                struct conf_listener *listener) {
    struct span name = lexer_trim(rest);
    char room[TEXT_QUOTED_SIZE];
    struct plugin *plugin = find_plugin(plugins, name);
    if (listener == NULL)
        REFUSE(place,
               "plugin_use stands before any listener; put it below the listener line it is meant for");
    else if (plugin == NULL)
        REFUSE(place, "no plugin named '%s' was loaded; put a plugin_load line above",
               text_quote(room, sizeof room, name));
    else
        use_plugin(plugin, place, listener);
    return plugin;
}

/* plugin_opt_acl_file FILE */
static void read_option(struct plugin *plugin, const struct value_place *place, struct span keyword,
                        struct span rest) {
    char room[TEXT_QUOTED_SIZE];
    text_quote(room, sizeof room, keyword);
    const uint8_t *behind = memmem(keyword.at, keyword.size, "opt_", 4);
    struct span option = span_of(behind + 4, keyword.size - (size_t)(behind + 4 - keyword.at));
    if (plugin == NULL)
        REFUSE(place, "%s stands before any plugin; put it below the plugin line it is meant for", room);
    else if (plugin->kind == PLUGIN_UNKNOWN)
        return; /* refused already, with all its options */
    else if (!span_is_text(option, known[plugin->kind].option))
        REFUSE(place, "%s is not known for the plugin of line %u, which has only plugin_opt_%s; remove it",
               room, plugin->line, known[plugin->kind].option);
    else if (plugin->value != NULL)
        REFUSE(place, "%s is there twice for the plugin of line %u; remove one of the lines", room,
               plugin->line);
    else
        plugin->value = value_resolve(place, value_read_string(place, room, rest));
}

static void read_special_chars(struct plugin *plugin, const struct value_place *place, struct span rest) {
    bool value;
    if (plugin == NULL)
        REFUSE(place, "auth_plugin_deny_special_chars stands before any plugin; remove it");
    else if (value_read_bool(place, "auth_plugin_deny_special_chars", rest, &value) && !value)
        WARN(place,
             "auth_plugin_deny_special_chars false has no effect: a username or client id with + or # is "
             "always denied by ACL patterns; remove the line");
}

void plugin_read(struct plugins *plugins, struct plugin **current, const struct value_place *place,
                 struct span keyword, struct span rest, struct conf_listener *listener,
                 struct conf_listener *secured, struct conf_listener *shared) {
    struct span path;
    if (span_begins_with(keyword, SPAN_LITERAL("plugin_opt_")) ||
        span_begins_with(keyword, SPAN_LITERAL("auth_opt_"))) {
        read_option(*current, place, keyword, rest);
    } else if (span_is_text(keyword, "auth_plugin_deny_special_chars")) {
        read_special_chars(*current, place, rest);
    } else if (span_is_text(keyword, "plugin_load")) {
        *current = load_plugin(plugins, place, keyword, rest);
    } else if (span_is_text(keyword, "plugin_use")) {
        *current = use_named(plugins, place, rest, listener);
    } else if (take_path(place, keyword, &rest, &path)) {
        *current = add_plugin(plugins, place, path);
        bool is_global = span_is_text(keyword, "global_plugin");
        if (is_global && shared == NULL)
            REFUSE(place,
                   "global_plugin is not possible together with per_listener_settings true; put a plugin "
                   "line below each listener");
        use_plugin(*current, place, is_global ? shared : secured);
    }
}

static void resolve_use(const struct plugin *plugin, const struct plugin_use *use, struct arena *arena,
                        struct findings *findings) {
    const struct value_place place = {arena, findings, use->file, use->line};
    struct conf_origin *origin = &use->home->origins[known[plugin->kind].index];
    if (origin->line != 0) {
        REFUSE(&place,
               "%s stands at %s:%u already, and this plugin would read a second one; remove one of the two",
               known[plugin->kind].option, origin->file, origin->line);
        return;
    }
    *(const char **)conf_row_field(conf_row_of(known[plugin->kind].index), use->home) = plugin->value;
    *origin = (struct conf_origin){use->file, use->line};
}

void plugin_resolve(const struct plugins *plugins, struct arena *arena, struct findings *findings) {
    for (const struct plugin *plugin = plugins->first; plugin != NULL; plugin = plugin->next) {
        const struct value_place place = {arena, findings, plugin->file, plugin->line};
        if (plugin->kind == PLUGIN_UNKNOWN)
            continue;
        if (plugin->value == NULL)
            REFUSE(&place, "this plugin has no file to read; add plugin_opt_%s FILE below it",
                   known[plugin->kind].option);
        char room[TEXT_QUOTED_SIZE];
        if (plugin->uses == NULL && plugin->name != NULL)
            WARN(&place, "no listener uses this plugin; add plugin_use %s below a listener",
                 text_quote(room, sizeof room, span_of_text(plugin->name)));
        for (const struct plugin_use *use = plugin->uses; use != NULL; use = use->next)
            resolve_use(plugin, use, arena, findings);
    }
}
