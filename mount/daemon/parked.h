/* SPDX-License-Identifier: MIT
 *
 * Parked requests: those of FUSE that are answered when a wait of the engine is over, so that no
 * thread of libfuse waits for a task. Thread rule: any thread.
 */
#ifndef DERIVFS_PARKED_H
#define DERIVFS_PARKED_H

#include "ops_private.h"

struct parked {
    fuse_req_t req;
    struct mount *m;
    /* What was waited for is there: answer the request. A failure is answered by the caller. */
    int (*reply)(struct parked *p, struct wait *w, struct error *err);
    struct file *file; /* closed where the request fails; NULL: none */
    /* for `reply`, as it needs them */
    struct node *node; /* the kernel keeps it while it opens it */
    struct fuse_file_info fi;
    uint64_t off;
    size_t nbytes;
};

/* Answer p->req when `w` is over, with EINTR when it is interrupted before. Copies *p, and takes
 * over the reference to `w`, which is not started yet; NULL (no memory) is answered ENOMEM. */
void park(const struct parked *p, struct wait *w);

#endif
