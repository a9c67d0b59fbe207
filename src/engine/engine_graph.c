/* SPDX-License-Identifier: MIT
 *
 * The task graph of a derived file with the states of its tasks: before, during and after
 * computing. Plans, and looks up keys; reads no voxel.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dot.h"
#include "engine_private.h"

/* Parts of a 4-D file in a drawing: more would be illegible and slow. */
enum { PARTS_MAX = 64 };

void engine_task_status(struct engine *e, const struct key *key, struct task_status *out)
{
    struct sched_task_info info;
    struct trace_event last;
    bool has_run = trace_find(e->workers.trace, key, &last, &out->took_ns);

    out->state = TASK_TO_DO;
    out->percent = -1;
    if (cache_has(e->store.cache, key)) {
        out->state = TASK_CACHED;
        return;
    }
    out->took_ns = 0;
    if (e->workers.sched && sched_find(e->workers.sched, key, &info)) {
        out->state = info.running ? TASK_RUNNING : TASK_QUEUED;
        if (info.running && info.work_nbytes > 0)
            out->percent = 100.0 * (double)info.done_nbytes / (double)info.work_nbytes;
    } else if (has_run && last.outcome == TRACE_FAILED) {
        out->state = TASK_FAILED;
    }
}

static void own_status(void *ctx, const struct key *key, struct task_status *out)
{
    engine_task_status(ctx, key, out);
}

/* "float32 (64, 64, 30)": the array of the image, whatever the format of the file. */
static char *array_of(const struct derived *d)
{
    struct array_desc n;

    if (d->recipe->command)
        return strdup("output of the command");
    n = derived_array_desc(d);
    return array_desc_text(&n, false);
}

/* The path under which a failure is noted: for a drawing, the path of the file that it draws.
 * malloced. */
static char *drawn_path(const struct derived *d, const char *path)
{
    size_t stem = strlen(path) - strlen(d->format->extension);
    char *out = NULL;

    if (d->format->kind != OUTPUT_DRAWING)
        return strdup(path);
    if (asprintf(&out, "%.*s%s", (int)stem, path, d->recipe->command ? "" : ending_nii) < 0)
        return NULL;
    return out;
}

int engine_dot(struct engine *e, const struct derived *d, const char *path,
               const struct dot_view *view, char **out, struct error *err)
{
    struct graph *graphs[PARTS_MAX] = {NULL};
    struct parts parts;
    struct error last;
    struct dot_request q = {
        .nbytes = engine_derived_nbytes(e, d), .graphs = graphs, .ctx = e, .status = own_status};
    char *image = drawn_path(d, path), *array = NULL;
    int ret = 0;

    *out = NULL;
    derived_parts(d, &parts);
    q.ngraphs = parts.n < PARTS_MAX ? parts.n : PARTS_MAX;
    q.nparts = parts.n;
    q.part_nvol = recipe_is_series(d->recipe) ? parts.nvol : 0;
    for (size_t i = 0; i < q.ngraphs && ret == 0; i++)
        ret = derived_plan(d, derived_part(d, i), e->store.memory_nbytes, &graphs[i], err);
    if (ret == 0)
        array = array_of(d);
    if (ret == 0 && image && array) {
        q.path = image;
        q.array = array;
        if (view) {
            q.status = view->status;
            q.ctx = view->ctx;
            q.error = view->error;
        } else if (errlog_find(e->errors, image, &last)) {
            q.error = last.text;
        }
        *out = dot_text(&q);
    }
    if (ret == 0 && (!image || !array || !*out))
        ret = error_set(err, ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < q.ngraphs; i++)
        graph_put(graphs[i]);
    free(image);
    free(array);
    return ret;
}

int engine_draw(struct engine *e, const struct dir *dir, const char *name, struct rights *rights,
                char **out, struct error *err)
{
    struct derived *d;
    char *path = join_path(dir->path, name);
    int ret = path ? tree_find_derived(&e->tree, dir, name, SCAN_NOW, &d, err)
                   : error_set(err, ENOMEM, "%s: out of memory", name);

    if (ret == 0) {
        ret = engine_dot(e, d, path, NULL, out, err);
        *rights = d->rights;
        derived_put(d);
        engine_note(e, path, ret < 0 ? err : NULL);
    }
    free(path);
    return ret;
}
