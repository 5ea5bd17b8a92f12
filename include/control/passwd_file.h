/* passwd_file: changing one user of a password file, so that whoever reads it sees the old file or the new
 * one, never half of one. Inner room of control/passwd.h. */
#ifndef DRAWBRIDGE_CONTROL_PASSWD_FILE_H
#define DRAWBRIDGE_CONTROL_PASSWD_FILE_H

#include <stdio.h>

#include "base/span.h"

/* What is to be done. */
struct passwd_change {
    const char *path;
    struct span username;
    const char *hash; /* "$7$..."; NULL: take the user away */
    bool is_new_file; /* whatever was in the file goes; it need not exist */
};

/* Does it: a temporary file in the same folder, fsync, rename, fsync of the folder. The file keeps owner,
 * group and mode; a new one has mode 0600. Symbolic links and what is no regular file are refused. Two runs
 * at the same time wait for each other. False after a complaint to `complaints`; the file is untouched then.
 */
bool passwd_file_change(const struct passwd_change *change, FILE *complaints);

/* The new text of the file, to be freed by the caller: the user's line replaced where it stands (further ones
 * of the same user taken out) or put behind the last, everything else byte for byte as it was. *found tells
 * whether the user stood in it. NULL when memory is out. */
char *passwd_file_edit(struct span text, const struct passwd_change *change, size_t *size, bool *found);

#endif
