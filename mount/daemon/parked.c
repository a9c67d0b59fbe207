/* SPDX-License-Identifier: MIT
 *
 *     park ---- wait ---- answered ---- reply, on the thread of a worker
 *                 \------ interrupted: EINTR
 */
#include "ops_private.h"

#include <errno.h>
#include <stdlib.h>

static void fail(const struct parked *p, int code)
{
    if (p->file)
        close_file(p->m, p->file);
    fuse_reply_err(p->req, code);
}

static void answered(void *arg, struct wait *w, const struct error *err)
{
    struct parked *p = arg;
    struct error failure;

    /* Wait for a running interrupt callback, which holds the request's lock. With ECANCELED, that
     * callback may be the caller; it does not touch the request afterwards. */
    if (!err || err->code != ECANCELED)
        fuse_req_interrupt_func(p->req, NULL, NULL);
    if (!err && p->reply(p, w, &failure) < 0) {
        note_access(p->m, ERRLOG_CONTENT, p->node, NULL, &failure);
        err = &failure;
    }
    if (err)
        fail(p, reply_code(err));
    free(p);
}

static void interrupted(fuse_req_t req, void *arg)
{
    (void)req;
    wait_cancel(arg);
}

void park(const struct parked *p, struct wait *w)
{
    struct parked *copy = w ? malloc(sizeof *copy) : NULL;

    if (copy) {
        *copy = *p;
        /* before the start: afterwards the request may be answered and freed at any time */
        fuse_req_interrupt_func(p->req, interrupted, w);
        wait_start(w, answered, copy);
    } else {
        fail(p, ENOMEM);
    }
    if (w)
        wait_put(w);
}
