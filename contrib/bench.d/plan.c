/* SPDX-License-Identifier: MIT
 *
 * How long derivfs takes to think: 50 recipes are read from a file and parsed; then all files that
 * a listing of a directory of 200 runs shows are named, sized and planned, tasks and keys included.
 * The runs are in memory alone, so that no file system is measured.
 *
 * Prints milliseconds: reading, planning, both; each a line NAME VALUE, as contrib/bench wants it.
 * They are of the processor, and the best of several times: there is one thread, which waits for
 * nothing, and only other programs can disturb it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "derived.h"
#include "group.h"
#include "recipe.h"

enum { NRUNS = 200, NVOL = 300, REPEAT = 9, KINDS = 10, OF_EACH = 5 };

/* Each with a number of its own in five recipes. */
static const char *const kinds[KINDS] = {
    "mean(bold) / std(bold, ddof=%d)",
    "where(mean(bold) > %d, tsnr, 0)",
    "mean(drop(bold, %d)) / std(drop(bold, %d))",
    "mean(bold) / std(detrend(bold, %d))",
    "where(std(detrend(bold, n)) > 0.001, mean(detrend(bold, n)) / std(detrend(bold, n)), %d)\n"
    "param n = 2",
    "max(bold) - min(bold) * %d",
    "std(demean(bold), ddof=%d)",
    "mean(bold[..., %d:])",
    "mean(abs(bold - mean(bold))) * %d",
    "median(drop(bold, %d))",
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "plan: %s\n", what);
    exit(1);
}

static double now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void write_recipes(char *path)
{
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    if (!f)
        give_up("cannot write a temporary file");
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 1; i <= OF_EACH; i++) {
            fprintf(f, "[recipe_%d_%d]\nexpr = ", kind, i);
            fprintf(f, kinds[kind], i, i);
            fprintf(f, "\nlist = yes\n");
        }
    if (fclose(f) != 0)
        give_up("cannot write a temporary file");
}

static struct run *make_run(int number)
{
    struct run *run = calloc(1, sizeof *run);

    if (!run ||
        asprintf(&run->path, "sub-01/func/sub-01_task-rest_run-%03d_bold.nii.gz", number) < 0)
        give_up("out of memory");
    atomic_init(&run->refs, 1);
    run->state = RUN_OK;
    run->codec = &codec_gzip;
    run->id = (struct source_id){
        .dev = 2049,
        .ino = 1000 + (uint64_t)number,
        .size = 30 << 20,
        .mtime_ns = INT64_C(1700000000000000000) + number,
        .ctime_ns = INT64_C(1700000000000000000) + number,
        .mode = 0644,
    };
    run->nifti = (struct nifti){
        .version = 1,
        .real = true,
        .sample = SAMPLE_INT16,
        .sample_nbytes = 2,
        .dim = {64, 64, 30},
        .nvol = NVOL,
        .series = true,
        .vox_offset = 352,
        .slope = 1,
        .affine = {{4, 0, 0, 0}, {0, 4, 0, 0}, {0, 0, 4, 0}},
        .tr = 2,
    };
    return run;
}

/* A directory as dataset_scan() gives it: one group of all runs. */
static void make_scan(struct dir_scan *scan)
{
    static struct dir_run members[NRUNS];
    static struct run *runs[NRUNS];
    struct error err;

    for (int i = 0; i < NRUNS; i++) {
        runs[i] = make_run(i + 1);
        members[i] = (struct dir_run){.run = runs[i], .map_suffix = "boldmap"};
        if (asprintf(&members[i].entities, "sub-01_task-rest_run-%03d", i + 1) < 0)
            give_up("out of memory");
    }
    *scan = (struct dir_scan){.dir = "sub-01/func", .runs = members, .nruns = NRUNS};
    atomic_init(&scan->refs, 1); /* never given up: it is not malloced */
    if (groups_form(runs, NRUNS, &scan->groups, &scan->ngroups, &err) < 0)
        give_up(err.text);
}

static void clear_scan(struct dir_scan *scan)
{
    groups_free(scan->groups, scan->ngroups);
    for (size_t i = 0; i < scan->nruns; i++) {
        run_put(scan->runs[i].run);
        free(scan->runs[i].entities);
    }
}

/* Name, size and plan everything. Returns the number of tasks. */
static size_t plan_all(struct dir_scan *scan, struct recipe_table *table)
{
    struct derived **list;
    struct error err;
    size_t n, ntasks = 0;

    if (derived_list(scan, table, &list, &n, &err) < 0)
        give_up(err.text);
    for (size_t i = 0; i < n; i++) {
        struct graph *g;

        if (strcmp(list[i]->format->extension, ".nii") != 0)
            continue; /* each recipe once: its picture and its sidecar are no plans of their own */
        if (derived_plan(list[i], derived_part(list[i], 0), (size_t)1 << 30, &g, &err) < 0)
            give_up(err.text);
        ntasks += g->ntasks;
        graph_put(g);
    }
    derived_list_free(list, n);
    return ntasks;
}

int main(void)
{
    char path[] = "/tmp/derivfs-plan-XXXXXX";
    double parse = 1e9, plan = 1e9;
    struct dir_scan scan;
    size_t ntasks = 0;

    write_recipes(path);
    make_scan(&scan);
    for (int i = 0; i < REPEAT; i++) {
        struct recipe_table *table;
        struct error err;
        double begin = now_ms(), parsed, planned;

        if (recipe_table_load(path, &table, &err) < 0)
            give_up(err.text);
        if (table->nproblems > 0)
            give_up(table->problems[0]);
        parsed = now_ms();
        ntasks = plan_all(&scan, table);
        planned = now_ms();
        recipe_table_put(table);
        parse = parsed - begin < parse ? parsed - begin : parse;
        plan = planned - parsed < plan ? planned - parsed : plan;
    }
    unlink(path);
    clear_scan(&scan);
    printf("recipes %d\nruns %d\ntasks %zu\nparse_ms %.2f\nplan_ms %.2f\ntotal_ms %.2f\n",
           KINDS * OF_EACH, NRUNS, ntasks, parse, plan, parse + plan);
    return 0;
}
