/* SPDX-License-Identifier: MIT
 *
 * A question that long work asks now and then: has everybody lost interest?
 *
 * Thread rule: whoever is given one asks on his own thread; `asked` may be called from any.
 */
#ifndef DERIVFS_CANCEL_H
#define DERIVFS_CANCEL_H

#include <errno.h>
#include <stdbool.h>

#include "error.h"

struct cancel_token {
    bool (*asked)(void *ctx);
    void *ctx;
};

/* ECANCELED where it is asked to; never with NULL. */
static inline int cancel_check(const struct cancel_token *s, struct error *err)
{
    return s && s->asked(s->ctx) ? error_set(err, ECANCELED, "cancelled") : 0;
}

#endif
