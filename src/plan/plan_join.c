/* SPDX-License-Identifier: MIT
 *
 * Planning of joins: one task.
 */
#include <errno.h>
#include <stdio.h>

#include "grow.h"
#include "plan.h"

int plan_join(const struct key *key, const char *name, struct join_pieces *pieces, uint64_t nbytes,
              struct graph **out, struct error *err)
{
    struct graph *g = graph_new();
    struct task t = {.kind = TASK_JOIN,
                     .key = *key,
                     .pieces = pieces,
                     .work_nbytes = nbytes,
                     .mem_nbytes = TASK_BUFFER_NBYTES,
                     .result_nbytes = nbytes};

    if (asprintf(&t.label, "join %s", name) < 0)
        t.label = NULL;
    if (!g || !t.label || GROW(g->tasks, g->ntasks) < 0) {
        graph_put(g);
        task_clear(&t);
        return error_set(err, ENOMEM, "%s: out of memory", name);
    }
    g->tasks[g->ntasks++] = t;
    *out = g;
    return 0;
}
