/* SPDX-License-Identifier: MIT
 *
 * Before a run is read that is new here: has its content been read under other attributes?
 *
 *     reader_wait.c -> identify_of_graph() -> the scheduler -> planned again, with the known name
 */
#include <errno.h>
#include <stdlib.h>

#include "engine_private.h"

static bool has(struct run *const *runs, size_t n, const struct run *run)
{
    for (size_t i = 0; i < n; i++)
        if (runs[i] == run)
            return true;
    return false;
}

int identify_of_graph(const struct store *s, const struct graph *g, struct graph **out,
                      struct error *err)
{
    struct run **runs = calloc(g->nsources + 1, sizeof(struct run *));
    size_t n = 0;
    int ret;

    if (!runs)
        return error_set(err, ENOMEM, "identify: out of memory");
    for (size_t i = 0; i < g->nsources; i++)
        if (!has(runs, n, g->runs[i]) && run_may_have_name(g->runs[i]) &&
            store_reads(s, g, g->runs[i]))
            runs[n++] = g->runs[i];
    ret = n > 0 ? plan_identify(runs, n, out, err) : -ENOENT;
    free(runs);
    return ret;
}
