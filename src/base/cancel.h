/* SPDX-License-Identifier: MIT
 *
 * A cancel token, which long work checks now and then.
 *
 * Thread rule: `asked` may be called from any thread.
 */
#ifndef DERIVFS_CANCEL_H
#define DERIVFS_CANCEL_H

#include <errno.h>
#include <stdbool.h>

#include "error.h"

struct cancel_token {
    bool (*asked)(void *ctx); /* should the work be cancelled? */
    void *ctx;
};

/* ECANCELED if the work should be cancelled; NULL: never. */
static inline int cancel_check(const struct cancel_token *cancel, struct error *err)
{
    return cancel && cancel->asked(cancel->ctx) ? error_set(err, ECANCELED, "cancelled") : 0;
}

#endif
