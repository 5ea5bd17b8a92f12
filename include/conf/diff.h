/* diff: what a reload would change. */
#ifndef DRAWBRIDGE_CONF_DIFF_H
#define DRAWBRIDGE_CONF_DIFF_H

#include "base/text.h"
#include "conf/conf.h"

struct conf_change {
    const char *keyword; /* "listener" for a listener that is new or gone, "connection" for a bridge */
    const char *file;    /* the wanted line, or the line that is gone; line 0: a default of both */
    unsigned line;
    const struct conf_listener *listener; /* the wanted one, or the one that is gone; NULL: concerns all */
    const struct conf_bridge *bridge;     /* the same for what concerns a bridge */
    bool is_gone;                         /* the line was removed; `to` is the default then */
    bool needs_restart;
    char from[TEXT_QUOTED_SIZE]; /* values as a person would write them, quoted */
    char to[TEXT_QUOTED_SIZE];
};

/* Tells every changed option, in the order of the manual; an option that all listeners have from one line is
 * told once. Listeners are matched by port and address or by path; one that is new, gone or moved needs a
 * restart. Bridges are matched by name. The change is borrowed during the call. Returns how many there were.
 */
size_t conf_diff(const struct conf *running, const struct conf *wanted,
                 void (*tell)(void *keeper, const struct conf_change *change), void *keeper);

#endif
