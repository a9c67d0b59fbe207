/* SPDX-License-Identifier: MIT
 *
 * Planning of work for another node: one task, which all that want the same part share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "text.h"

static struct elsewhere *elsewhere_new(const char *dir, const char *name, uint64_t off)
{
    char *path = join_path(dir, name);
    struct elsewhere *e = path ? malloc(sizeof *e + strlen(path) + 1) : NULL;

    if (e) {
        e->off = off;
        e->name_at = strlen(path) - strlen(name);
        strcpy(e->path, path);
    }
    free(path);
    return e;
}

int plan_elsewhere(const struct key *key, const char *dir, const char *name, uint64_t off,
                   uint64_t work_nbytes, struct graph **out, struct error *err)
{
    struct graph *g = graph_new();
    struct key_builder *b = task_begin_key(TASK_ELSEWHERE);
    struct task *t = g && b ? calloc(1, sizeof *t) : NULL;
    struct elsewhere *e = t ? elsewhere_new(dir, name, off) : NULL;

    if (e) {
        *t = (struct task){.kind = TASK_ELSEWHERE, .work_nbytes = work_nbytes, .elsewhere = e};
        key_add_key(b, "of", key);
        key_end(b, &t->key);
        g->tasks = t;
        g->ntasks = 1;
        if (asprintf(&t->label, "elsewhere %s", e->path) >= 0) {
            *out = g;
            return 0;
        }
        t->label = NULL;
    } else {
        free(t);
        free(b);
    }
    graph_put(g);
    return error_set(err, ENOMEM, "%s: out of memory", name);
}
