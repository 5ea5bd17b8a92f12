/* files: reading whole configuration files and listing the folder of include_dir. */
#ifndef DRAWBRIDGE_CONF_FILES_H
#define DRAWBRIDGE_CONF_FILES_H

#include "base/error.h"
#include "base/span.h"

/* Bigger files are refused: nobody writes them, and a wrong path (a device, a log) must not fill the memory.
 */
#define FILES_SIZE_MAX (16u * 1024 * 1024)

/* The whole file; given to the caller, who frees text->at. What fails is one finding at `file`:`line` (line
 * 0: the main file, which nobody named in a file) and false. */
bool files_load(const char *path, struct span *text, struct findings *findings, const char *file,
                unsigned line);

/* The paths of the files in `folder` that end in ".conf", in mosquitto's order: by letters regardless of
 * case, for the same letter upper case first. Given to the caller, who frees it with files_free. */
bool files_list(const char *folder, char ***paths, size_t *count, struct findings *findings, const char *file,
                unsigned line);
void files_free(char **paths, size_t count);

/* strcmp for that order. */
int files_compare(const char *a, const char *b);

#endif
