/* SPDX-License-Identifier: MIT
 *
 * A question that long work asks now and then: has everybody lost interest?
 *
 * Thread rule: whoever is given one asks on his own thread; `asked` may be called from any.
 */
#ifndef DERIVFS_STOP_H
#define DERIVFS_STOP_H

#include <errno.h>
#include <stdbool.h>

#include "error.h"

struct stop {
    bool (*asked)(void *ctx);
    void *ctx;
};

/* ECANCELED where it is asked to; never with NULL. */
static inline int stop_check(const struct stop *s, struct error *err)
{
    return s && s->asked(s->ctx) ? error_set(err, ECANCELED, "cancelled") : 0;
}

#endif
