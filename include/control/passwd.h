/* passwd: the applet `drawbridge passwd`, which writes mosquitto's password files. */
#ifndef DRAWBRIDGE_CONTROL_PASSWD_H
#define DRAWBRIDGE_CONTROL_PASSWD_H

/* argv[0] is the applet's own name, "passwd". Complains on standard error. Returns the exit status: 0, or 1
 * when nothing was changed. */
int passwd_main(int argc, char **argv);

#endif
