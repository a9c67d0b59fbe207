/* SPDX-License-Identifier: MIT
 *
 * As the kernel checks a mode: the first class that the caller is in decides.
 */
#include "caller.h"

#include <stdlib.h>

/* Is the caller in the group? -1: nobody knows. */
static int is_member(fuse_req_t req, gid_t gid)
{
    int n = 64, got;
    gid_t *groups = NULL;

    if (fuse_req_ctx(req)->gid == gid)
        return 1;
    do {
        gid_t *more = realloc(groups, (size_t)n * sizeof *groups);

        if (!more) {
            free(groups);
            return -1;
        }
        groups = more;
        got = fuse_req_getgroups(req, n, groups);
    } while (got > n && (n = got));
    for (int i = 0; i < got; i++)
        if (groups[i] == gid) {
            free(groups);
            return 1;
        }
    free(groups);
    return got < 0 ? -1 : 0;
}

bool caller_may_read(fuse_req_t req, const struct rights *r)
{
    uid_t uid = fuse_req_ctx(req)->uid;
    int member;

    if (uid == 0)
        return true;
    if (uid == r->uid)
        return r->mode & 0400;
    if ((r->mode & 0044) == 0044 || !(r->mode & 0044))
        return r->mode & 0044; /* the groups need not be known: a process of another container */
    member = is_member(req, r->gid);
    return member >= 0 && r->mode & (member ? 0040 : 0004);
}
