/* The reference configuration: every keyword as a commented line below its explanation. */
#include "conf/document.h"

#include "conf/lexer.h"
#include "conf/rows.h"

#define WIDTH 100

/* Words as comment lines of at most WIDTH bytes. */
static void write_wrapped(FILE *out, const char *text) {
    struct span left = span_of_text(text), word;
    size_t used = 0;
    while (lexer_token(&left, " ", &word)) {
        if (used != 0 && used + 1 + word.size > WIDTH) {
            fputc('\n', out);
            used = 0;
        }
        used += (size_t)fprintf(out, "%s%.*s", used == 0 ? "# " : " ", SPAN_PRINT(word));
    }
    if (used != 0)
        fputc('\n', out);
}

static const char *scope_sentence(const struct conf_row *row) {
    switch (row->scope) {
    case CONF_SCOPE_GLOBAL: return "";
    case CONF_SCOPE_SHARED: return "For all listeners. ";
    case CONF_SCOPE_SECURITY:
        return "For all listeners; with per_listener_settings, for the listener above. ";
    case CONF_SCOPE_INHERITED: return "For the listener above; before any listener, for all. ";
    case CONF_SCOPE_LISTENER: return row->type == CONF_TYPE_STRUCTURE ? "" : "For the listener above. ";
    case CONF_SCOPE_BRIDGE: return row->type == CONF_TYPE_STRUCTURE ? "" : "For the connection above. ";
    case CONF_SCOPE_BRIDGED: return "For the connection above; before any connection, for all. ";
    }
    return "";
}

static void write_option(FILE *out, const struct conf_row *row) {
    fputc('\n', out);
    write_wrapped(out, row->help);
    fprintf(out, "# %s%s\n", scope_sentence(row),
            row->needs_restart ? "A change needs a restart." : "A change takes effect at a reload.");
    if (row->initial != NULL)
        fprintf(out, "# %s %s\n#%s %s\n", row->keyword, row->argument, row->keyword, row->initial);
    else
        fprintf(out, "#%s %s\n", row->keyword, row->argument);
}

static void write_row(FILE *out, const struct conf_row *row) {
    switch (row->kind) {
    case CONF_ROW_SECTION:
        fprintf(out, "\n\n# ==== %s ====\n", row->keyword);
        write_wrapped(out, row->help);
        break;
    case CONF_ROW_OPTION: write_option(out, row); break;
    case CONF_ROW_ALIAS:
        fputc('\n', out);
        write_wrapped(out, row->help);
        fprintf(out, "#%s %s\n", row->keyword, conf_row_argument(row));
        break;
    case CONF_ROW_IGNORED:
        fputc('\n', out);
        write_wrapped(out, row->help);
        fprintf(out, "#%s\n", row->keyword);
        break;
    case CONF_ROW_PLUGIN:
        fputc('\n', out);
        write_wrapped(out, row->help);
        fprintf(out, "#%s%s %s\n", row->keyword, row->keyword[strlen(row->keyword) - 1] == '_' ? "..." : "",
                row->argument);
        break;
    case CONF_ROW_COMING: fprintf(out, "#%s (%s)\n", row->keyword, row->help); break;
    case CONF_ROW_BROKER: fprintf(out, "#%s %s\n", row->keyword, row->argument); break;
    }
}

static void write_reference(FILE *out) {
    fprintf(out, "# Drawbridge %s: every keyword of the configuration.\n#\n", DRAWBRIDGE_VERSION);
    write_wrapped(
        out, "This file is generated and nothing in it is active. A line that begins with # followed by a "
             "keyword shows the default or, where there is none, what may be written. One setting stands "
             "on a line: the keyword, a space, the value. A comment needs a line of its own that begins "
             "with #. Paths are relative to the folder of the file they stand in. Durations are numbers "
             "with ms, s, m, h or d behind them; without a unit they are seconds.");
    for (size_t i = 0; i < conf_row_count; i++)
        write_row(out, &conf_rows[i]);
}

int conf_document(const char *what, FILE *out) {
    if (strcmp(what, "reference") == 0)
        write_reference(out);
    else if (strcmp(what, "conf.5") == 0)
        manual_write_conf(out);
    else if (strcmp(what, "drawbridge.8") == 0)
        manual_write_program(out);
    else
        return -1;
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}
