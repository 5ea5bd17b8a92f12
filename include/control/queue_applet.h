/* queue_applet: `drawbridge queue inspect|export|purge`: a bridge's queue for people. */
#ifndef DRAWBRIDGE_CONTROL_QUEUE_APPLET_H
#define DRAWBRIDGE_CONTROL_QUEUE_APPLET_H

/* argv[0] is the applet's own name, "queue". `path` is the configuration. Complains on standard error.
 * Returns the exit status: 0, or 1 when something of it could not be done. */
int queue_main(const char *path, int argc, char **argv);

#endif
