/* explain: the applet `drawbridge -c FILE explain`: may this device do that, and which line says so? And what
 * does a bridge make of a topic? */
#ifndef DRAWBRIDGE_CONTROL_EXPLAIN_H
#define DRAWBRIDGE_CONTROL_EXPLAIN_H

/* argv[0] is the applet's own name, "explain"; `path` is the configuration. Returns the exit status: 0
 * allowed, 1 refused, 2 when the question or the configuration is wrong (said on standard error). */
int explain_main(const char *path, int argc, char **argv);

#endif
