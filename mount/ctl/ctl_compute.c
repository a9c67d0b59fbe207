/* SPDX-License-Identifier: MIT
 *
 * derivctl compute: files, the listed files of a directory, or with -r all of a dataset.
 *
 * With -r it walks the tree twice: first to count, for the progress bar; then directory by
 * directory, so that only the list of directories grows with the dataset.
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

struct list_cursor {
    const struct found_list *list;
    size_t i;
};

/* An orders_next_fn. */
static bool next_of_list(void *ctx, struct found *out, double *weight)
{
    struct list_cursor *at = ctx;
    const struct found *f;

    if (at->i == at->list->n)
        return false;
    f = &at->list->files[at->i++];
    *out = (struct found){derived_get(f->derived), strdup(f->path)};
    *weight = 1;
    return true;
}

static int start(struct engine *e, const char *path)
{
    struct error err;

    if (engine_start(e, &err) == 0)
        return CTL_OK;
    return ctl_say("%s: compute: start: %s", path, err.text);
}

int ctl_compute_list(const struct target *t, const struct found_list *list, const char *out)
{
    struct list_cursor at = {list, 0};
    struct orders_request q = {.engine = t->engine,
                               .next = next_of_list,
                               .ctx = &at,
                               .nfiles = list->n,
                               .weight = (double)list->n,
                               .out = out};
    struct orders_outcome outcome;

    return start(t->engine, t->asked) == CTL_OK ? orders_run(&q, &outcome) : CTL_FAILED;
}

/* ---- a table with -o ---- */

struct made {
    sem_t done;
    struct error error; /* code 0: none */
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
    w = table_wait_new(t->engine, &(struct dir){.path = dir}, name);
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

/* Called when the numbers are computed: runs that failed have a row, too. */
static int write_table(const struct target *t, const char *out)
{
    struct error err;
    size_t nbytes;
    char *text = NULL;
    int ret = make_text(t, &text, &nbytes, &err);

    if (ret == 0)
        ret = sink_put(out, text, nbytes, &err);
    free(text);
    return ret < 0 ? ctl_say("%s: %s", t->asked, err.text) : CTL_OK;
}

static int compute_files(const struct ctl *ctl, const struct target *t,
                         const struct found_list *list)
{
    bool table = ctl->out && target_is_table(t);
    int ret;

    if (ctl->out && list->n != 1 && !table) {
        ctl_say("%s: -o takes the result of one file, but there are %zu", t->asked, list->n);
        return CTL_USAGE;
    }
    if (list->n == 0) {
        ctl_say("%s: nothing to compute: no runs (-r includes subdirectories)", t->asked);
        ctl_say_why_missing(t, false);
        return CTL_FAILED;
    }
    ret = ctl_compute_list(t, list, table ? NULL : ctl->out);
    ending_raise(ending_signal());
    if (table && write_table(t, ctl->out) != CTL_OK)
        ret = CTL_FAILED;
    return ret;
}

/* ---- -r ---- */

static void print_summary(const struct target *t, const struct orders_outcome *o, size_t nfiles)
{
    size_t nfinished = o->ncomputed + o->ncached + o->nfailed;
    uint64_t nevicted = engine_cache_evicted(t->engine);

    ctl_print("%s: %zu files: %zu computed, %zu in the cache before, %zu failed", t->asked, nfiles,
              o->ncomputed, o->ncached, o->nfailed);
    if (nfiles > nfinished)
        printf(", %zu left: the same command continues", nfiles - nfinished);
    puts("");
    if (nevicted > 0)
        ctl_print("%s: the cache holds %s; %" PRIu64 " results were removed to make room "
                  "(--cache_size)\n",
                  t->asked, human_nbytes(engine_config(t->engine)->cache_nbytes).text, nevicted);
}

static int compute_walk(const struct target *t, struct walk *w, bool named)
{
    struct orders_request q = {.engine = t->engine,
                               .next = walk_next,
                               .ctx = w,
                               .nfiles = walk_counts(w)->nfiles,
                               .weight = walk_counts(w)->weight,
                               .skip_cached = true};
    struct orders_outcome outcome;
    int ret;

    if (q.nfiles == 0 && walk_counts(w)->nfailed > 0)
        return CTL_FAILED;
    if (q.nfiles == 0) {
        ctl_say("%s: nothing to compute: no runs%s", t->asked,
                named ? ", or no recipes of these names" : "");
        ctl_say_why_missing(t, true);
        walk_say_left_out(w);
        return CTL_FAILED;
    }
    ret = start(t->engine, t->asked);
    if (ret != CTL_OK)
        return ret;
    ret = orders_run(&q, &outcome);
    print_summary(t, &outcome, q.nfiles);
    walk_say_left_out(w);
    ending_raise(outcome.signal);
    return walk_counts(w)->nfailed > 0 ? CTL_FAILED : ret;
}

static int compute_tree(const struct ctl *ctl)
{
    struct error err;
    struct target t;
    struct walk *w;
    int ret = target_open(ctl, ctl->paths[0], &t);

    if (ret != CTL_OK)
        return ret;
    if (walk_new(&t, ctl->paths + 1, (size_t)ctl->npaths - 1, &w, &err) < 0) {
        ret = ctl_say("%s: compute: %s", t.asked, err.text);
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
