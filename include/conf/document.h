/* document: what people read about the configuration, grown from options.def. */
#ifndef DRAWBRIDGE_CONF_DOCUMENT_H
#define DRAWBRIDGE_CONF_DOCUMENT_H

#include <stdio.h>

/* Writes one document to `out`: "reference" (a configuration with every keyword, commented out), "conf.5" or
 * "drawbridge.8" (manual pages). 0; -1 when there is no such document or it could not be written. */
int conf_document(const char *what, FILE *out);

/* The manual pages, in manual.c. */
void manual_write_conf(FILE *out);
void manual_write_program(FILE *out);

#endif
