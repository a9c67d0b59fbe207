/* SPDX-License-Identifier: MIT
 *
 * Who may read: owner, group and mode as stat(2) has them, made narrower step by step.
 *
 * Nobody may get more than everything on the way grants. Where owner, group and mode cannot say
 * that (two owners, an access control list), they grant less. Thread rule: reentrant.
 */
#ifndef DERIVFS_RIGHTS_H
#define DERIVFS_RIGHTS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "error.h"

struct rights {
    mode_t mode; /* of 0444 */
    uid_t uid;
    gid_t gid;
};

enum right {
    RIGHT_READ = 04,   /* of a file */
    RIGHT_SEARCH = 01, /* of a directory on the way */
};

/* The user whom the process belongs to. */
struct rights rights_of_owner(void);

bool rights_equal(const struct rights *a, const struct rights *b);

/* As owner and mode of a regular file. */
void rights_show(const struct rights *r, struct stat *st);

/* Leave those who have this right on what belongs to `uid` and `gid` and has `mode`, too. */
void rights_restrict(struct rights *r, enum right right, mode_t mode, uid_t uid, gid_t gid);

/* From now on rights_apply_acl() does something: where only one user asks, it need not. Before other
 * threads start. */
void rights_use_acls(bool use);

/* Take rights from st->st_mode that the access control list of `name` in `dirfd`, which is what `st`
 * describes, does not grant to everybody whom the mode grants them to. "" is `dirfd` itself. Where
 * the list cannot be read, only the owner's are left. Links are not followed and have none. */
void rights_apply_acl(int dirfd, const char *name, struct stat *st);

#endif
