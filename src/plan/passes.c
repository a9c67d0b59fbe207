/* SPDX-License-Identifier: MIT
 *
 * A reading is (task, run, range of volumes). The volume that is read most often is the first one
 * of some reading: to try these takes time in the square of their number.
 */
#include "passes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

struct reading {
    const struct task *task;
    const struct run *run;
    int64_t vol0, nvol;
    unsigned times;
};

/* How often task `t` reads its streams: once, unless percentiles lack memory. */
static unsigned passes_of_task(const struct graph *g, const struct task *t)
{
    size_t room = t->room_nvox;

    return room > 0 ? (unsigned)((g->nvox + room - 1) / room * (t->npercents / t->ntogether)) : 1;
}

uint64_t passes_read_nbytes(const struct graph *g)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < g->ntasks; i++)
        if (graph_need(g, &g->tasks[i]) == NEED_RUN)
            sum += g->tasks[i].work_nbytes * passes_of_task(g, &g->tasks[i]);
    return sum;
}

/* "percentiles 25, 75 of " */
static void print_percents(FILE *f, const struct task *t)
{
    const char *before = t->npercents > 1 ? "percentiles " : "percentile ";

    for (size_t i = 0; i < t->npercents; i++) {
        fprintf(f, "%s%.15g", before, t->percents[i]);
        before = ", ";
    }
    fputs(" of ", f);
}

char *task_words(const struct task *t)
{
    const char *verb = task_kind_info(t->kind)->verb;
    char *x, *words = NULL;
    size_t nbytes;
    FILE *f;

    if (t->format)
        return strdup(t->format->operation);
    if (!verb)
        return strdup(t->label);
    x = expr_print(t->e);
    f = x ? open_memstream(&words, &nbytes) : NULL;
    if (f) {
        fputs(verb, f);
        if (t->kind == TASK_TREND)
            fprintf(f, "order %u of ", t->order);
        if (t->kind == TASK_PERCENTILES)
            print_percents(f, t);
        fputs(x, f);
        words = text_end(f, &words);
    }
    free(x);
    return words;
}

static size_t find_readings(const struct graph *g, struct reading *out)
{
    size_t n = 0;

    for (size_t i = 0; i < g->ntasks; i++)
        for (size_t s = 0; s < g->tasks[i].nstreams; s++) {
            const struct stream *stream = &g->tasks[i].streams[s];

            for (size_t k = 0; k < stream->nleaves; k++) {
                const struct stream_leaf *leaf = &stream->leaves[k];

                if (leaf->kind != LEAF_SAMPLE)
                    continue;
                if (out)
                    out[n] = (struct reading){&g->tasks[i], leaf->run, leaf->vol0, stream->nvol,
                                              passes_of_task(g, &g->tasks[i])};
                n++;
            }
        }
    return n;
}

static bool covers(const struct reading *r, const struct reading *at)
{
    return r->run == at->run && r->vol0 <= at->vol0 && at->vol0 < r->vol0 + r->nvol;
}

/* The words of dependency number `d`, or NULL where an earlier one has the same. */
static char *words_of_dep(const struct graph *g, const struct task *t, size_t d)
{
    char *words = task_words(&g->tasks[t->deps[d]]);

    for (size_t i = 0; i < d && words; i++) {
        char *earlier = task_words(&g->tasks[t->deps[i]]);

        if (earlier && strcmp(earlier, words) == 0) {
            free(words);
            words = NULL;
        }
        free(earlier);
    }
    return words;
}

/* The tasks that come before the task's reading. */
static void print_needs(FILE *f, const struct graph *g, const struct task *t)
{
    const char *between = ", after ";

    for (size_t d = 0; d < t->ndeps; d++) {
        char *words = words_of_dep(g, t, d);

        if (!words)
            continue;
        fprintf(f, "%s%s", between, words);
        between = ", ";
        free(words);
    }
}

static char *describe(const struct graph *g, const struct reading *r)
{
    char *words = task_words(r->task), *text = NULL;
    size_t nbytes;
    FILE *f = words ? open_memstream(&text, &nbytes) : NULL;

    if (f) {
        fprintf(f, "%s", words);
        if (r->times > 1)
            fprintf(f, ", up to %u times for want of memory", r->times);
        print_needs(f, g, r->task);
        text = text_end(f, &text);
    }
    free(words);
    return text;
}

static int describe_all(const struct graph *g, const struct reading *list, size_t n,
                        const struct reading *most, struct passes *out)
{
    out->tasks = calloc(n, sizeof *out->tasks);
    if (!out->tasks)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!covers(&list[i], most))
            continue;
        out->tasks[out->ntasks] = describe(g, &list[i]);
        if (!out->tasks[out->ntasks])
            return -ENOMEM;
        out->ntasks++;
    }
    return 0;
}

int passes_of(const struct graph *g, struct passes *out, struct error *err)
{
    size_t n = find_readings(g, NULL), most = 0;
    struct reading *list = calloc(n + 1, sizeof *list);
    int ret = 0;

    *out = (struct passes){.n = 0};
    if (!list)
        return error_set(err, ENOMEM, "out of memory");
    find_readings(g, list);
    for (size_t i = 0; i < n; i++) {
        unsigned times = 0;

        for (size_t k = 0; k < n; k++)
            if (covers(&list[k], &list[i]))
                times += list[k].times;
        if (times > out->n) {
            out->n = times;
            most = i;
        }
    }
    out->read_nbytes = passes_read_nbytes(g);
    if (n > 0)
        ret = describe_all(g, list, n, &list[most], out);
    free(list);
    if (ret < 0) {
        passes_free(out);
        return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

void passes_free(struct passes *p)
{
    for (size_t i = 0; i < p->ntasks; i++)
        free(p->tasks[i]);
    free(p->tasks);
    *p = (struct passes){.n = 0};
}
