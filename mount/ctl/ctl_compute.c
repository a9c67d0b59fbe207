/* SPDX-License-Identifier: MIT
 *
 * derivctl compute: files, the listed files of directories, or with -r all of a dataset.
 *
 *     paths -> jobs: targets and what to compute there -> one bar over all -> job after job
 *
 * With -r a job walks its tree twice: first to count, for the bar; then directory by directory, so
 * that only the list of directories grows with the dataset.
 */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ctl.h"
#include "ending.h"
#include "human.h"
#include "orders.h"
#include "sink.h"
#include "text.h"
#include "walk.h"

/* What to compute for one PATH. */
struct job {
    struct target target;
    bool is_open;
    struct walk *walk;      /* -r */
    struct found_list list; /* else */
    size_t at;              /* the next of the list */
    const char *out;        /* -o: a file, or with `into` a directory */
    bool into;
    bool is_table; /* of which `out` is a copy */
};

/* ---- what to compute ---- */

/* An orders_next_fn. */
static bool next_of_list(void *ctx, struct order *out)
{
    struct job *job = ctx;
    const struct found *f;

    if (job->at == job->list.n)
        return false;
    f = &job->list.files[job->at++];
    *out = (struct order){.file = {derived_get(f->derived), strdup(f->path)},
                          .weight = (double)derived_dir_nbytes(f->derived) / (double)job->list.n};
    if (job->out && !job->is_table)
        out->out = job->into ? join_path(job->out, base_name(f->path)) : strdup(job->out);
    return true;
}

static size_t count_files(const struct job *job)
{
    return job->walk ? walk_counts(job->walk)->nfiles : job->list.n;
}

static double weight_of(const struct job *job)
{
    double sum = 0;

    if (job->walk)
        return walk_counts(job->walk)->weight;
    for (size_t i = 0; i < job->list.n; i++)
        sum += (double)derived_dir_nbytes(job->list.files[i].derived) / (double)job->list.n;
    return sum;
}

static int run_job(struct job *job, struct progress *progress)
{
    struct orders_request q = {.engine = job->target.engine,
                               .next = job->walk ? walk_next : next_of_list,
                               .ctx = job->walk ? (void *)job->walk : job,
                               .progress = progress,
                               .skip_cached = job->walk != NULL};
    struct error err;

    if (engine_start(job->target.engine, &err) < 0)
        return ctl_say("%s: compute: start: %s", job->target.asked, err.text);
    return orders_run(&q);
}

int ctl_compute_list(const struct target *t, const struct found_list *list, const char *out)
{
    struct job job = {.target = *t, .list = *list, .out = out};
    struct progress progress;
    int ret;

    progress_begin(&progress, list->n, weight_of(&job));
    ret = run_job(&job, &progress);
    progress_end(&progress);
    return ret;
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

int ctl_wait_text(struct wait *w, char **text, size_t *nbytes, struct error *err)
{
    struct made made = {.error.code = 0};

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

int ctl_table_text(const struct target *t, char **text, size_t *nbytes, struct error *err)
{
    struct wait *w;
    const char *name;
    char *dir;

    if (split_path(t->path, &dir, &name) < 0)
        return error_set(err, ENOMEM, "out of memory");
    w = table_wait_new(t->engine, &(struct dir){.path = dir}, name, t->with);
    free(dir);
    return w ? ctl_wait_text(w, text, nbytes, err) : error_set(err, ENOMEM, "out of memory");
}

/* Called when the numbers are computed: runs that failed have a row, too. */
static int write_table(const struct job *job)
{
    const struct target *t = &job->target;
    char *path = job->into ? join_path(job->out, base_name(t->path)) : strdup(job->out);
    struct error err;
    size_t nbytes;
    char *text = NULL;
    int ret =
        path ? ctl_table_text(t, &text, &nbytes, &err) : error_set(&err, ENOMEM, "out of memory");

    if (ret < 0)
        ret = ctl_say("%s: %s", t->asked, err.text);
    else if (sink_put(path, text, nbytes, &err) < 0)
        ret = ctl_say("%s", err.text);
    free(text);
    free(path);
    return ret == 0 ? CTL_OK : CTL_FAILED;
}

/* ---- -o ---- */

/* The endings of files that show one image. */
static const char *image_ending(const char *name)
{
    static const char *const endings[] = {".nii.gz", ".nii", ".png", ".json", ".svg", ".tsv"};
    size_t n = strlen(name);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (n > strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return name + n - strlen(endings[i]);
    return NULL;
}

/* The ending of OUT tells the format: of tsnr.nii, x.nii.gz gets tsnr.nii.gz. */
static int follow_ending(struct job *job, const char *out)
{
    struct found *f = &job->list.files[0];
    const char *wanted = image_ending(out), *has = image_ending(f->path);
    struct entry entry;
    char *path;

    if (!wanted || !has || derived_info(f->derived).is_command || strcmp(wanted, has) == 0)
        return CTL_OK;
    if (strcmp(wanted, ".svg") == 0)
        return ctl_say("%s: -o: for a drawing of its tasks: derivctl graph %s -o %s", out,
                       job->target.asked, out);
    if (strcmp(wanted, ".tsv") == 0)
        return ctl_say("%s: -o: %s is no table: name a file that ends in .tsv, as tsnr.tsv", out,
                       job->target.asked);
    if (asprintf(&path, "%.*s%s", (int)(has - f->path), f->path, wanted) < 0)
        return ctl_say("%s: out of memory", out);
    if (engine_lookup_path(job->target.engine, path, &entry, NULL) < 0 ||
        entry.kind != ENTRY_DERIVED) {
        ctl_say("%s: -o: there is no %s", out, path);
        free(path);
        return CTL_FAILED;
    }
    derived_put(f->derived);
    free(f->path);
    *f = (struct found){entry.derived, path};
    return CTL_OK;
}

/* Two files of one name cannot both be in a directory. */
static int check_names(const struct job *jobs, size_t njobs, const char *dir)
{
    for (size_t a = 0; a < njobs; a++)
        for (size_t i = 0; i < jobs[a].list.n && !jobs[a].is_table; i++)
            for (size_t b = 0; b <= a; b++)
                for (size_t k = 0; k < (b < a ? jobs[b].list.n : i) && !jobs[b].is_table; k++) {
                    const char *one = jobs[b].list.files[k].path;
                    const char *other = jobs[a].list.files[i].path;

                    if (strcmp(base_name(one), base_name(other)) == 0)
                        return ctl_say("%s: -o: %s and %s have the same name", dir, one, other);
                }
    return CTL_OK;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool means_dir(const char *out)
{
    size_t n = strlen(out);

    return (n > 0 && out[n - 1] == '/') || is_dir(out);
}

static int make_dir(const char *out)
{
    return is_dir(out) || mkdir(out, 0777) == 0 ? CTL_OK
                                                : ctl_say("%s: create: %s", out, strerror(errno));
}

/* Would the file lie where the mount shows the derived one, and hide it from then on? */
static bool is_own_place(const struct job *job, const char *path)
{
    char *dir =
        job->into ? strdup(job->out) : strndup(job->out, (size_t)(base_name(job->out) - job->out));
    char *real = dir ? realpath(*dir ? dir : ".", NULL) : NULL;
    char *place = real ? join_path(real, base_name(job->into ? path : job->out)) : NULL;
    char *top = realpath(job->target.options.dataset, NULL);
    char *own = top ? join_path(top, path) : NULL;
    bool same = place && own && strcmp(place, own) == 0;

    free(dir);
    free(real);
    free(place);
    free(top);
    free(own);
    return same;
}

static int check_hidden(const struct job *job)
{
    if (job->is_table)
        return is_own_place(job, job->target.path)
                   ? ctl_say("%s: -o: in the dataset, it would hide the table", job->out)
                   : CTL_OK;
    for (size_t i = 0; i < job->list.n; i++)
        if (is_own_place(job, job->list.files[i].path))
            return ctl_say("%s: -o: in the dataset, it would hide the derived file %s", job->out,
                           job->list.files[i].path);
    return CTL_OK;
}

/* Where the results of the job go. */
static int set_out(struct job *job, const char *out)
{
    job->out = out;
    job->into = means_dir(out);
    job->is_table = target_is_table(&job->target);
    if (job->is_table && !job->into && image_ending(out) && strcmp(image_ending(out), ".tsv") != 0)
        return ctl_say("%s: -o: %s is a table: choose a name that ends in .tsv", out,
                       job->target.asked);
    if (job->is_table || job->into)
        return check_hidden(job);
    if (job->list.n != 1) {
        ctl_say("%s: -o takes the result of one file, but there are %zu: end it with / for a "
                "directory",
                job->target.asked, job->list.n);
        return CTL_USAGE;
    }
    return follow_ending(job, out) == CTL_OK ? check_hidden(job) : CTL_FAILED;
}

/* ---- jobs ---- */

static int say_nothing_to_compute(const struct job *job, bool named)
{
    const struct target *t = &job->target;

    if (!job->walk)
        ctl_say("%s: nothing to compute: no runs (-r includes subdirectories)", t->asked);
    else if (named && walk_say_unknown(job->walk) > 0)
        return CTL_FAILED;
    else if (walk_counts(job->walk)->nfailed == 0)
        ctl_say("%s: nothing to compute: no runs", t->asked);
    ctl_say_why_missing(t, job->walk != NULL);
    if (job->walk)
        walk_say_left_out(job->walk);
    return CTL_FAILED;
}

/* Find what `path` means; with -r the files of these names. */
static int open_job(const struct ctl *ctl, const char *path, char *const *names, size_t nnames,
                    struct job *job)
{
    struct error err;
    int ret = target_open(ctl, path, &job->target);

    job->is_open = ret == CTL_OK;
    if (ret != CTL_OK)
        return ret;
    if (!ctl->recursive)
        ret = ctl_find_files(&job->target, &job->list);
    else if (walk_new(&job->target, names, nnames, &job->walk, &err) < 0)
        ret = ctl_say("%s: compute: %s", path, err.text);
    if (ret != CTL_OK)
        return ret;
    if (count_files(job) == 0 && !(ctl->out && target_is_table(&job->target)))
        return say_nothing_to_compute(job, nnames > 0);
    if (job->walk && walk_say_unknown(job->walk) > 0)
        return CTL_FAILED;
    return ctl->out ? set_out(job, ctl->out) : CTL_OK;
}

static void close_job(struct job *job)
{
    if (job->walk)
        walk_free(job->walk);
    found_free(&job->list);
    if (job->is_open)
        target_close(&job->target);
}

/* ---- all of them ---- */

static void print_summary(const struct job *job, size_t njobs, const struct progress *p)
{
    const struct target *t = &job->target;
    size_t nfinished = p->ncomputed + p->ncached + p->nfailed;
    uint64_t nevicted = engine_cache_evicted(t->engine);

    if (njobs == 1)
        ctl_print("%s: ", t->asked);
    printf("%zu files: %zu computed, %zu in the cache before, %zu failed", p->nfiles, p->ncomputed,
           p->ncached, p->nfailed);
    if (p->nfiles > nfinished)
        printf(", %zu left: the same command continues", p->nfiles - nfinished);
    puts("");
    if (nevicted > 0)
        ctl_print("%s: the cache holds %s; %" PRIu64 " results were removed to make room "
                  "(--cache_size)\n",
                  t->asked, human_nbytes(engine_config(t->engine)->cache_nbytes).text, nevicted);
}

/* Compute one job after the other. */
static int run_jobs(const struct ctl *ctl, struct job *jobs, size_t njobs)
{
    struct progress progress;
    size_t nfiles = 0, last = 0;
    double weight = 0;
    int ret = CTL_OK;

    for (size_t i = 0; i < njobs; i++) {
        nfiles += count_files(&jobs[i]);
        weight += weight_of(&jobs[i]);
    }
    progress_begin(&progress, nfiles, weight);
    for (size_t i = 0; i < njobs && !ending_signal(); i++) {
        if (count_files(&jobs[i]) > 0 && run_job(&jobs[i], &progress) != CTL_OK)
            ret = CTL_FAILED;
        last = i;
        if (i + 1 < njobs && !jobs[i].is_table && !ending_signal())
            engine_stop(jobs[i].target.engine);
    }
    progress_end(&progress);
    for (size_t i = 0; i < njobs && !ending_signal(); i++)
        if (jobs[i].is_table && write_table(&jobs[i]) != CTL_OK)
            ret = CTL_FAILED;
    if (ctl->recursive)
        print_summary(&jobs[last], njobs, &progress);
    for (size_t i = 0; i < njobs; i++) {
        if (jobs[i].walk)
            walk_say_left_out(jobs[i].walk);
        if (jobs[i].walk && walk_counts(jobs[i].walk)->nfailed > 0)
            ret = CTL_FAILED;
    }
    orders_raise(jobs[last].target.engine);
    return ret;
}

/* Each job has a dataset and a cache open. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* With -r the directories come first, then names. A name has no slash, and is no directory here. */
static int count_paths(const struct ctl *ctl)
{
    int n = 1;

    if (!ctl->recursive)
        return ctl->npaths;
    while (n < ctl->npaths && (strchr(ctl->paths[n], '/') || is_dir(ctl->paths[n])))
        n++;
    return n;
}

int ctl_compute(const struct ctl *ctl)
{
    int npaths = ctl->npaths > 0 ? count_paths(ctl) : 0, ret = CTL_OK;
    size_t njobs = 0;
    struct job *jobs;

    if (npaths == 0 || (ctl->out && ctl->recursive))
        return CTL_USAGE;
    if (npaths > 1 && ctl->out && !means_dir(ctl->out)) {
        ctl_say("%s: -o: several files need a directory: end it with /", ctl->out);
        return CTL_USAGE;
    }
    jobs = calloc((size_t)npaths, sizeof *jobs);
    if (!jobs)
        return ctl_say("compute: out of memory");
    raise_file_limit();
    for (int i = 0; i < npaths; i++) {
        struct job *job = &jobs[njobs];
        int one =
            open_job(ctl, ctl->paths[i], ctl->paths + npaths, (size_t)(ctl->npaths - npaths), job);

        if (one == CTL_OK)
            njobs++;
        else
            close_job(job);
        if (one != CTL_OK) {
            ret = one;
            *job = (struct job){.is_open = false};
        }
    }
    if (njobs > 0 && ctl->out && means_dir(ctl->out) &&
        (check_names(jobs, njobs, ctl->out) != CTL_OK || make_dir(ctl->out) != CTL_OK))
        ret = CTL_FAILED;
    else if (njobs > 0 && ret != CTL_USAGE && run_jobs(ctl, jobs, njobs) != CTL_OK)
        ret = CTL_FAILED;
    for (size_t i = 0; i < njobs; i++)
        close_job(&jobs[i]);
    free(jobs);
    return ret;
}
