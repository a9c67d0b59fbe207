/* SPDX-License-Identifier: MIT
 *
 * Planning of joins: one task.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan.h"

int plan_join(const struct key *key, const char *name, struct join_pieces *pieces, uint64_t nbytes,
              struct graph **out, struct error *err)
{
    struct graph *g = calloc(1, sizeof *g);
    struct task *t = calloc(1, sizeof *t);

    if (t)
        *t = (struct task){.kind = TASK_JOIN,
                           .key = *key,
                           .pieces = pieces,
                           .work_nbytes = nbytes,
                           .mem_nbytes = TASK_BUFFER_NBYTES,
                           .result_nbytes = nbytes};
    if (!g || !t || asprintf(&t->label, "join %s", name) < 0) {
        free(g);
        free(t);
        free(pieces);
        return error_set(err, ENOMEM, "%s: out of memory", name);
    }
    atomic_init(&g->refs, 1);
    g->tasks = t;
    g->ntasks = 1;
    *out = g;
    return 0;
}
