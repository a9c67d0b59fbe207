/* SPDX-License-Identifier: MIT
 *
 * Why results are not in the cache, for derivctl explain.
 *
 *     the entry is damaged, or cannot be read        the reason is the entry
 *     the cache keeps no result of that size         cache_size
 *     a run that it is computed from is not known    the run: not read before, changed, ...
 *     else                                           nobody has computed it, or it was evicted
 *
 * A run that is not known explains all results of it: their keys have its name, which nobody has used
 * before. Reads names, attributes and the heads of entries.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_missing.h"
#include "graph_call.h"

static bool is_unknown(int rootfd, struct run *run)
{
    return run_standing(rootfd, run) != RUN_KNOWN;
}

/* The first run that is not known, of those that the task reads, or that it needs results of:
 * `of`[i] is the same for task i before it. NULL: all are known. */
static struct run *unknown_run(const struct graph *g, int rootfd, const struct task *t,
                               struct run *const *of)
{
    for (size_t i = 0; i < t->ndeps; i++)
        if (of[t->deps[i]])
            return of[t->deps[i]];
    for (size_t i = 0; i < g->nruns; i++)
        if (task_reads(t, g->runs[i]) && is_unknown(rootfd, g->runs[i]))
            return g->runs[i];
    return NULL;
}

static char *text_of_run(int rootfd, struct run *run)
{
    const char *copy = run_may_have_name(run) ? "; its content is compared with known ones before "
                                                "it is read"
                                              : "";
    const char *why = "was not read before";
    char *text;

    switch (run_standing(rootfd, run)) {
    case RUN_KNOWN:
    case RUN_UNREAD:
        break;
    case RUN_CHANGED:
        why = "has changed since it was read";
        break;
    case RUN_UNPROVEN:
        why = "has attributes that count for this mount and daemon only, and was not read in it";
        break;
    }
    return asprintf(&text, "%s %s%s", run->path, why, copy) < 0 ? NULL : text;
}

static char *text_of_operation(const struct task *t)
{
    const struct task_kind_info *info = task_kind_info(t->kind);
    int version = info->version > 0 ? info->version : t->format->version;
    const char *inputs =
        t->kind == TASK_COMMAND ? " with this program, text and files" : " of these runs";
    char *text;

    return asprintf(&text, "not computed%s by version %d of '%s', or evicted", inputs, version,
                    info->operation) < 0
               ? NULL
               : text;
}

static char *text_of(const struct store *s, int rootfd, const struct task *t, struct run *unknown)
{
    int found = cache_look(s->cache, &t->key);
    char *text;

    if (found == -EBADMSG)
        return strdup("its entry is damaged; the next read replaces it");
    if (found != -ENOENT)
        return asprintf(&text, "its entry cannot be read: %s", strerrordesc_np(-found)) < 0 ? NULL
                                                                                            : text;
    if (!cache_keeps(s->cache, t->result_nbytes))
        return strdup("the cache keeps no result of this size (see the option cache_size)");
    return unknown ? text_of_run(rootfd, unknown) : text_of_operation(t);
}

int missing_reasons(const struct store *s, int rootfd, const struct graph *g, char **out)
{
    struct run **unknown = calloc(g->ntasks, sizeof(struct run *));
    int ret = unknown ? 0 : -ENOMEM;

    for (size_t i = 0; i < g->ntasks && ret == 0; i++) {
        const struct task *t = &g->tasks[i];

        unknown[i] = unknown_run(g, rootfd, t, unknown);
        if (cache_has(s->cache, &t->key))
            continue;
        out[i] = text_of(s, rootfd, t, unknown[i]);
        ret = out[i] ? 0 : -ENOMEM;
    }
    free(unknown);
    return ret;
}
