/* SPDX-License-Identifier: MIT
 *
 * Directories that stay the same while others rename what is on the way to them.
 *
 * Whoever was allowed into a directory asks for names in that directory, not in the one that its
 * path means by now. Thread rule: reentrant.
 */
#ifndef DERIVFS_DIR_H
#define DERIVFS_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* The inode number of a directory that did not exist: whatever is there by now is another one. */
#define DIR_NONE UINT64_MAX

struct dir {
    const char *path;  /* beneath a root that the user of the struct names; "" for the root */
    uint64_t dev, ino; /* which directory it must be; ino 0: any that the path leads to */
    bool is_open;
    int fd; /* if is_open: that directory, for the owner to close */
};

/* A descriptor (O_PATH) of the directory; dir_leave() takes it. -errno: ESTALE: the path leads to
 * another directory; EXDEV: out of the root. */
int dir_enter(int rootfd, const struct dir *d) NODISCARD;
void dir_leave(const struct dir *d, int fd);

#endif
