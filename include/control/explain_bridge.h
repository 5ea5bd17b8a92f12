/* explain_bridge: the applet `drawbridge -c FILE explain bridge NAME in|out TOPIC`: what a message is called
 * on the other side of a bridge, and which line says so. */
#ifndef DRAWBRIDGE_CONTROL_EXPLAIN_BRIDGE_H
#define DRAWBRIDGE_CONTROL_EXPLAIN_BRIDGE_H

/* argv[0] is "bridge"; `path` is the configuration. Returns the exit status: 0 it crosses, 1 it does not, 2
 * when the question or the configuration is wrong (said on standard error). */
int explain_bridge_main(const char *path, int argc, char **argv);

#endif
