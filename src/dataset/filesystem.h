/* SPDX-License-Identifier: MIT
 *
 * File systems: what a file's inode number and times are worth as its identity.
 *
 * Where the kernel (or, on a network, the server's kernel) sets ctime, nobody can give two contents
 * the same inode number, size, mtime and ctime. These file systems have a name that all daemons and
 * hosts share. Elsewhere (squashfs, overlay, FUSE ...) ctime comes from an image or a program: there
 * attributes identify a file for one mount and one session only.
 *
 * What is mounted is the same for the whole process, and so are session, trust and what is known of
 * each mount. Thread rule: any thread.
 */
#ifndef DERIVFS_FILESYSTEM_H
#define DERIVFS_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "error.h"
#include "key.h"

struct statx;

struct filesystem {
    struct key mount; /* of this mount in this session */
    struct key name;  /* of the file system, wherever and whenever it is mounted */
    bool lasting;     /* the name and a file's attributes identify its content for good */
};

/* What filesystem_of() needs of statx(2). */
extern const unsigned filesystem_statx_mask;

/* Of the open file `fd` (O_PATH will do), whose statx(2) is `stx`. Looked up once for each mount and
 * device; later calls cost no system call. */
void filesystem_of(int fd, const struct statx *stx, struct filesystem *out);

/* Consider file systems as lasting that are not known to be: `list` has types as in
 * /proc/self/mountinfo and absolute paths, separated by colons; NULL: none. Before the first
 * filesystem_of(). EINVAL: a path does not exist. */
int filesystem_trust(const char *list, struct error *err) NODISCARD;

/* The session: SESSION_HEX random hex digits. Another process that takes them identifies files as
 * this one does. */
enum { SESSION_HEX = 32 };
const char *filesystem_session(void);
/* Before the first filesystem_of(). */
void filesystem_join_session(const char *joined);

#endif
