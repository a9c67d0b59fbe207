/* SPDX-License-Identifier: MIT
 *
 * derivctl compute: files, what a directory lists, or with -r all of a dataset.
 *
 * The engine does what a reader of the mount would start. With -r the tree is walked twice: first
 * to count, so that there is one bar for all; then directory by directory, so that nothing but the
 * list of directories grows with the dataset.
 */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "ending.h"
#include "human.h"
#include "orders.h"
#include "sink.h"
#include "walk.h"

/* The files of a list, one after the other. */
struct cursor_of_list {
    const struct found *list;
    size_t i, n;
};

static bool next_of_list(void *ctx, struct found *out, double *weight)
{
    struct cursor_of_list *at = ctx;

    if (at->i == at->n)
        return false;
    *out = (struct found){derived_get(at->list[at->i].derived), strdup(at->list[at->i].path)};
    *weight = 1;
    at->i++;
    return true;
}

static int start(struct engine *e, const char *path)
{
    struct error err;

    if (engine_start(e, &err) == 0)
        return CTL_OK;
    error_wrap(&err, -err.code, "compute: start");
    return ctl_complain(path, &err);
}

static int order_list(const struct target *t, const struct found *list, size_t n, const char *out)
{
    struct cursor_of_list at = {list, 0, n};
    struct orders_request q = {.engine = t->engine,
                               .next = next_of_list,
                               .ctx = &at,
                               .nfiles = n,
                               .weight = (double)n,
                               .out = out};
    struct orders_outcome outcome;

    return orders_run(&q, &outcome);
}

int ctl_compute_list(const struct target *t, const struct found *list, size_t n, const char *out)
{
    int ret = start(t->engine, t->asked);

    return ret == CTL_OK ? order_list(t, list, n, out) : ret;
}

/* ---- a table with -o ---- */

struct made {
    sem_t done;
    struct error error; /* code 0: well */
};

static void text_made(void *arg, struct wait *w, const struct error *err)
{
    struct made *made = arg;

    (void)w;
    if (err)
        made->error = *err;
    sem_post(&made->done);
}

static int make_text(const struct target *t, char **text, size_t *nbytes, struct error *err)
{
    struct made made = {.error.code = 0};
    struct wait *w;
    const char *name;
    char *dir;

    if (split_path(t->path, &dir, &name) < 0)
        return error_set(err, ENOMEM, "out of memory");
    w = table_wait_new(t->engine, dir, name);
    free(dir);
    if (!w)
        return error_set(err, ENOMEM, "out of memory");
    sem_init(&made.done, 0, 0);
    wait_start(w, text_made, &made);
    while (sem_wait(&made.done) < 0) /* EINTR */
        ;
    sem_destroy(&made.done);
    *text = made.error.code == 0 ? text_wait_take(w, nbytes) : NULL;
    wait_put(w);
    *err = made.error;
    return -made.error.code;
}

/* Once the numbers have been computed: also of runs that have failed there is a row. */
static int write_table(const struct target *t, const char *out)
{
    struct error err, why;
    struct sink sink;
    size_t nbytes;
    char *text = NULL;
    int ret = make_text(t, &text, &nbytes, &err);

    if (ret == 0)
        ret = sink_open(&sink, out, &err);
    if (ret == 0) {
        ret = sink_write(&sink, text, nbytes, &err);
        if (sink_close(&sink, ret == 0, &why) < 0 && ret == 0) {
            err = why;
            ret = -why.code;
        }
    }
    free(text);
    return ret < 0 ? ctl_complain(t->asked, &err) : CTL_OK;
}

/* One file alone may go to -o; a table may too, whose rows are many files. */
static int compute_found(const struct target *t, const struct found *list, size_t n,
                         const char *out, bool table)
{
    int ret = start(t->engine, t->asked);

    if (ret != CTL_OK)
        return ret;
    ret = order_list(t, list, n, table ? NULL : out);
    ending_raise(ending_signal());
    if (table && write_table(t, out) != CTL_OK)
        ret = CTL_FAILED;
    return ret;
}

static int compute_files(const struct ctl *ctl, const struct target *t, const struct found *list,
                         size_t n)
{
    bool table = ctl->out && target_is_table(t);

    if (ctl->out && n != 1 && !table) {
        ctl_say("%s: -o takes the result of one file, and there are %zu", t->asked, n);
        return CTL_USAGE;
    }
    if (n == 0) {
        ctl_say("%s: there is nothing to compute here: no runs (-r looks into the directories "
                "below)",
                t->asked);
        return CTL_FAILED;
    }
    return compute_found(t, list, n, ctl->out, table);
}

/* ---- -r ---- */

static void print_summary(const struct target *t, const struct orders_outcome *o, size_t nfiles)
{
    size_t nfinished = o->ncomputed + o->ncached + o->nfailed;
    uint64_t nevicted = engine_cache_evicted(t->engine);

    ctl_print("%s: %zu files: %zu computed, %zu were there, %zu failed", t->asked, nfiles,
              o->ncomputed, o->ncached, o->nfailed);
    if (nfiles > nfinished)
        printf(", %zu left: the same command goes on", nfiles - nfinished);
    puts("");
    if (nevicted > 0)
        ctl_print("%s: the cache holds %s, and %" PRIu64 " results went to make room for others "
                  "(--cache_size)\n",
                  t->asked, human_nbytes(engine_config(t->engine)->cache_nbytes).text, nevicted);
}

static int compute_walk(const struct target *t, struct walk *w, bool named)
{
    struct orders_request q = {.engine = t->engine,
                               .next = walk_next,
                               .ctx = w,
                               .nfiles = walk_nfiles(w),
                               .weight = walk_weight(w),
                               .skip_cached = true};
    struct orders_outcome outcome;
    int ret;

    if (q.nfiles == 0 && walk_nfailed(w) > 0)
        return CTL_FAILED;
    if (q.nfiles == 0) {
        ctl_say("%s: there is nothing to compute in it: no runs%s", t->asked,
                named ? ", or no recipes of these names" : "");
        return CTL_FAILED;
    }
    ret = start(t->engine, t->asked);
    if (ret != CTL_OK)
        return ret;
    ret = orders_run(&q, &outcome);
    print_summary(t, &outcome, q.nfiles);
    ending_raise(outcome.signal);
    return walk_nfailed(w) > 0 ? CTL_FAILED : ret;
}

static int compute_tree(const struct ctl *ctl)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    struct target t;
    struct walk *w;
    int ret = target_open(ctl, ctl->paths[0], &t);

    if (ret != CTL_OK)
        return ret;
    if (walk_new(&t, ctl->paths + 1, (size_t)ctl->npaths - 1, &w, &err) < 0) {
        error_wrap(&err, -err.code, "compute");
        ret = ctl_complain(t.asked, &err);
    } else {
        ret = compute_walk(&t, w, ctl->npaths > 1);
        walk_free(w);
    }
    target_close(&t);
    return ret;
}

int ctl_compute(const struct ctl *ctl)
{
    int ret = CTL_OK;

    if (ctl->npaths == 0 || (ctl->out && (ctl->recursive || ctl->npaths > 1)))
        return CTL_USAGE;
    if (ctl->recursive)
        return compute_tree(ctl);
    for (int i = 0; i < ctl->npaths; i++) {
        int one = ctl_with_files(ctl, ctl->paths[i], compute_files);

        if (one != CTL_OK)
            ret = one;
    }
    return ret;
}
