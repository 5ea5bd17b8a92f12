/* watch: `watch_files true`: what SIGHUP does, when a file has changed. */
#ifndef DRAWBRIDGE_CONTROL_WATCH_H
#define DRAWBRIDGE_CONTROL_WATCH_H

#include <stdint.h>

struct gate;
struct watch;

/* To be called before files are read; hand the result to what comes after. */
int64_t watch_begin(void);
/* Begins to watch the files of the generation in force, which was read since `began_ns`. NULL when memory is
 * out. */
struct watch *watch_open(struct gate *gate, int64_t began_ns);
/* The files were read again, well or not, since `began_ns`. */
void watch_loaded(struct watch *watch, int64_t began_ns);
void watch_close(struct watch *watch); /* NULL is allowed */

#endif
