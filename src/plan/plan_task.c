/* SPDX-License-Identifier: MIT
 *
 * Tasks as such: each is in the graph once, found by its key, which has all that the result depends
 * on.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "kernel.h"
#include "legendre.h"
#include "plan_private.h"
#include "text.h"

/* Slices are few bytes: a small buffer, which costs few page faults. */
enum { SLICES_CALL_NBYTES = 32 << 10 };

struct by_key {
    struct key key;
    size_t task;
    UT_hash_handle hh;
};

struct known_plan {
    struct {
        const struct expr *e;
        int64_t vol;
        int64_t what; /* as wide as the others: no padding, which would be hashed too */
    } part;
    size_t task;
    struct timeline timeline; /* PLAN_TIMELINE: instead of a task */
    UT_hash_handle hh;
};

int plan_out_of_memory(struct planner *p)
{
    return error_set(p->err, ENOMEM, "out of memory");
}

int plan_add_task(struct planner *p, struct task *t, size_t *index)
{
    struct graph *g = p->g;
    struct by_key *known;

    HASH_FIND(hh, p->by_key, t->key.hex, KEY_HEX, known);
    if (known) {
        task_clear(t);
        *index = known->task;
        return 0;
    }
    known = GROW(g->tasks, g->ntasks) == 0 ? calloc(1, sizeof *known) : NULL;
    if (!known) {
        task_clear(t);
        return plan_out_of_memory(p);
    }
    known->key = t->key;
    known->task = g->ntasks;
    HASH_ADD(hh, p->by_key, key.hex[0], KEY_HEX, known);
    if (!known->hh.tbl) {
        free(known);
        task_clear(t);
        return plan_out_of_memory(p);
    }
    *index = g->ntasks;
    g->tasks[g->ntasks++] = *t;
    return 0;
}

int plan_add_dep(struct planner *p, struct task *t, size_t task)
{
    if (GROW(t->deps, t->ndeps) < 0)
        return plan_out_of_memory(p);
    t->deps[t->ndeps++] = task;
    return 0;
}

static struct known_plan *find_known(const struct planner *p, enum plan_known_as what,
                                     const struct expr *e, int64_t vol)
{
    struct known_plan sought = {.part = {e, vol, what}}, *found;

    /* No padding: every byte is set. NOLINTNEXTLINE(clang-analyzer-core.*) */
    HASH_FIND(hh, p->known, &sought.part, sizeof sought.part, found);
    return found;
}

/* NULL: out of memory. */
static struct known_plan *add_known(struct planner *p, enum plan_known_as what,
                                    const struct expr *e, int64_t vol)
{
    struct known_plan *k = calloc(1, sizeof *k);

    if (k) {
        k->part.e = e;
        k->part.vol = vol;
        k->part.what = what;
        HASH_ADD(hh, p->known, part, sizeof k->part, k);
    }
    if (k && !k->hh.tbl) {
        free(k);
        return NULL;
    }
    return k;
}

bool plan_known(const struct planner *p, enum plan_known_as what, const struct expr *e, int64_t vol,
                size_t *task)
{
    const struct known_plan *found = find_known(p, what, e, vol);

    if (found)
        *task = found->task;
    return found != NULL;
}

int plan_remember(struct planner *p, enum plan_known_as what, const struct expr *e, int64_t vol,
                  size_t task)
{
    struct known_plan *k = add_known(p, what, e, vol);

    if (!k)
        return plan_out_of_memory(p);
    k->task = task;
    return 0;
}

int plan_timeline(struct planner *p, const struct expr *x, const struct timeline **out)
{
    struct known_plan *k = find_known(p, PLAN_TIMELINE, x, 0);

    if (!k) {
        struct timeline timeline;
        int ret = timeline_of(x, &p->bold, &timeline, p->err);

        if (ret < 0)
            return ret;
        k = add_known(p, PLAN_TIMELINE, x, 0);
        if (!k) {
            timeline_free(&timeline);
            return plan_out_of_memory(p);
        }
        k->timeline = timeline;
    }
    *out = &k->timeline;
    return 0;
}

void planner_clear(struct planner *p)
{
    struct by_key *b, *next_b;
    struct known_plan *k, *next_k;

    HASH_ITER(hh, p->by_key, b, next_b)
    {
        HASH_DEL(p->by_key, b); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        free(b);
    }
    HASH_ITER(hh, p->known, k, next_k)
    {
        HASH_DEL(p->known, k); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        timeline_free(&k->timeline);
        free(k);
    }
    free(p->starts);
    free(p->text);
}

/* ---- keys and labels ---- */

/* Planes are stored in this machine's byte order. */
struct key_builder *plan_begin_key(const struct planner *p, enum task_kind kind)
{
    struct key_builder *b = task_begin_key(kind);

    if (b)
        key_add_text(b, "byte order", BYTE_ORDER == LITTLE_ENDIAN ? "little" : "big");
    if (b && p->g->is_slices)
        key_add_numbers(b, "voxels", (const int64_t[]){(int64_t)p->g->vox0, (int64_t)p->g->nvox},
                        2);
    return b;
}

/* An expression over leaves, node by node: that is quicker than printing it. */
static void key_add_nodes(struct key_builder *b, const struct expr *e)
{
    int64_t detail = e->start; /* which leaf */

    if (e->op != EXPR_BOLD)
        memcpy(&detail, &e->number, sizeof detail);
    key_add_numbers(b, expr_op_name(e->op), (const int64_t[]){detail, (int64_t)e->nargs}, 2);
    for (size_t i = 0; i < e->nargs; i++)
        key_add_nodes(b, e->args[i]);
}

static void key_add_stream(struct planner *p, struct key_builder *b, enum task_kind kind,
                           const struct stream *s)
{
    key_add_nodes(b, s->e);
    key_add_numbers(b, "volumes", &s->nvol, 1);
    for (size_t i = 0; i < s->nleaves; i++) {
        const struct stream_leaf *leaf = &s->leaves[i];

        key_add_numbers(b, "leaf",
                        (const int64_t[]){leaf->kind, leaf->vol0, leaf->order, leaf->fit_nvol}, 4);
        if (leaf->kind != LEAF_SAMPLE)
            key_add_key(b, "task", &p->g->tasks[leaf->task].key);
        else if (kind == TASK_CHUNK || kind == TASK_CHECKSUM) /* which names all chunks (join.h) */
            run_add_part_to_key(leaf->run, b);
        else
            run_add_to_key(leaf->run, b);
    }
}

static void key_add_percents(struct key_builder *b, const struct task *t)
{
    for (size_t i = 0; i < t->npercents; i++) {
        int64_t bits;

        memcpy(&bits, &t->percents[i], sizeof bits);
        key_add_numbers(b, "percent", &bits, 1);
    }
}

/* The run that a stream reads first, for its label. */
static const struct stream_leaf *first_sample(const struct stream *s)
{
    for (size_t i = 0; i < s->nleaves; i++)
        if (s->leaves[i].kind == LEAF_SAMPLE)
            return &s->leaves[i];
    return NULL;
}

/* The text of `x`, which many tasks in a row share; the planner's. NULL: out of memory. */
static const char *text_of(struct planner *p, const struct expr *x)
{
    if (p->printed != x) {
        free(p->text);
        p->text = expr_print(x);
        p->printed = p->text ? x : NULL;
    }
    return p->text;
}

/* "moments sub-01_bold.nii.gz", "moments sub-01_bold.nii.gz[4:173] of sqrt(bold)". */
static char *label_stream(struct planner *p, const struct task *t)
{
    const struct stream *s = t->streams;
    const struct stream_leaf *leaf = first_sample(s);
    const char *operation = task_kind_info(t->kind)->operation;
    const char *run = leaf ? base_name(leaf->run->path) : "";
    const char *of = stream_is_raw(s) ? "" : " of ", *text = *of ? text_of(p, t->e) : "";
    char *label, range[64] = "";

    if (!text)
        return NULL;
    if (leaf && (leaf->vol0 != 0 || s->nvol != leaf->run->nifti.nvol))
        snprintf(range, sizeof range, "[%" PRId64 ":%" PRId64 "]", leaf->vol0,
                 leaf->vol0 + s->nvol);
    label = malloc(strlen(operation) + strlen(run) + strlen(range) + strlen(of) + strlen(text) + 2);
    if (label) /* planning makes thousands: printf() takes as long as the rest of a task */
        stpcpy(stpcpy(stpcpy(stpcpy(stpcpy(stpcpy(label, operation), " "), run), range), of), text);
    return label;
}

/* Depend on the tasks that make the planes and trends of the streams, once each. */
static int depend_on_leaves(struct planner *p, struct task *t)
{
    int ret = 0;

    for (size_t i = 0; i < t->nstreams; i++)
        for (size_t k = 0; k < t->streams[i].nleaves && ret == 0; k++) {
            const struct stream_leaf *leaf = &t->streams[i].leaves[k];
            bool known = leaf->kind == LEAF_SAMPLE;

            for (size_t d = 0; d < t->ndeps; d++)
                known = known || t->deps[d] == leaf->task;
            if (!known)
                ret = plan_add_dep(p, t, leaf->task);
        }
    return ret;
}

/* Bytes of buffers for reading a stream volume by volume. */
static size_t reading_nbytes(const struct planner *p, const struct stream *s)
{
    size_t sum = p->nvox * sizeof(double);

    for (size_t i = 0; i < s->nleaves; i++) {
        const struct stream_leaf *leaf = &s->leaves[i];

        if (leaf->kind == LEAF_SAMPLE)
            sum += p->nvox * leaf->run->nifti.sample_nbytes + TASK_BUFFER_NBYTES +
                   leaf->run->reading_nbytes;
    }
    return sum;
}

/* Bytes of the planes and trends that its values are computed from. */
static size_t planes_nbytes(const struct planner *p, const struct stream *s)
{
    size_t sum = 0;

    for (size_t i = 0; i < s->nleaves; i++) {
        const struct stream_leaf *leaf = &s->leaves[i];

        if (leaf->kind == LEAF_PLANE)
            sum += p->nvox * sizeof(double);
        else if (leaf->kind == LEAF_TREND)
            sum += legendre_nbytes(leaf->fit_nvol, leaf->order) +
                   p->nvox * leaf->order * sizeof(double);
    }
    return sum;
}

/* Work, and memory with what reading takes. For percentiles the planes of all streams are kept. */
static void measure_stream_task(struct planner *p, struct task *t)
{
    size_t reading = 0, limit = p->q->memory_nbytes;
    bool is_sums = t->kind == TASK_MOMENTS || t->kind == TASK_TREND;

    for (size_t i = 0; i < t->nstreams; i++) {
        size_t planes = planes_nbytes(p, &t->streams[i]);
        size_t one = reading_nbytes(p, &t->streams[i]) + (t->npercents > 0 ? 0 : planes);

        t->work_nbytes += stream_work_nbytes(&t->streams[i]);
        t->mem_nbytes += t->npercents > 0 ? planes : 0;
        reading = one > reading ? one : reading;
    }
    if (is_sums)
        t->mem_nbytes += moments_nbytes(stream_sample_type(t->streams), p->nvox, t->order);
    /* the moments of a run as it is stored need no buffers of float64 */
    if (is_sums && stream_is_raw(t->streams)) {
        t->mem_nbytes += first_sample(t->streams)->run->reading_nbytes;
        reading = p->g->is_slices
                      ? SLICES_CALL_NBYTES
                      : moments_call_nbytes(stream_sample_type(t->streams), p->nvox,
                                            limit > t->mem_nbytes ? limit - t->mem_nbytes : 0);
        t->call_nbytes = reading;
    }
    t->mem_nbytes += reading;
}

int plan_finish_stream_task(struct planner *p, int ret, struct task *t, const struct expr *x,
                            size_t *index)
{
    struct key_builder *b;

    t->e = x;
    if (ret == 0)
        ret = depend_on_leaves(p, t);
    b = ret == 0 ? plan_begin_key(p, t->kind) : NULL;
    if (b) {
        for (size_t i = 0; i < t->nstreams; i++)
            key_add_stream(p, b, t->kind, &t->streams[i]);
        key_add_numbers(b, "order", (const int64_t[]){t->order}, 1);
        if (t->kind == TASK_PERCENTILES)
            key_add_percents(b, t);
        key_end(b, &t->key);
        t->label = label_stream(p, t);
    }
    if (ret == 0 && !t->label)
        ret = plan_out_of_memory(p);
    if (ret < 0) {
        task_clear(t);
        return ret;
    }
    measure_stream_task(p, t);
    return plan_add_task(p, t, index);
}
