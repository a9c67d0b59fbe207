/* SPDX-License-Identifier: MIT
 *
 * A task's result is one chunk: it is computed as a whole and is one entry of the cache. Where an
 * image can be computed slice by slice, its chunks are slices. Runs are read volume by volume.
 */
#include "array_desc.h"

#include <inttypes.h>
#include <stdio.h>

#include "text.h"

#define ROW(name, numpy, type) numpy,
static const char *const dtypes[] = {SAMPLE_TYPES(ROW)};
#undef ROW

/* On the grid of `h`, with `last` as the last axis; 0: without. */
static struct array_desc on_grid(const struct nifti *h, const char *dtype, int64_t last)
{
    struct array_desc n = {.dtype = dtype, .ndim = last > 0 ? 4 : 3};

    for (int i = 0; i < 3; i++)
        n.shape[i] = h->dim[i];
    n.shape[3] = last;
    for (int i = 0; i < 4; i++)
        n.chunks[i] = n.shape[i];
    return n;
}

struct array_desc array_desc_of_run(const struct run *run)
{
    bool is_image = run->nifti.content != NIFTI_SERIES && run->nifti.nvol == 1;
    struct array_desc n =
        on_grid(&run->nifti, dtypes[run->nifti.sample], is_image ? 0 : run->nifti.nvol);

    n.chunks[3] = 1;
    return n;
}

/* How many images of `sample_nbytes` a voxel make up the result. */
static int64_t images_in(const struct task *t, const struct nifti *h, size_t sample_nbytes)
{
    return (int64_t)(t->result_nbytes / ((uint64_t)nifti_nvox(h) * sample_nbytes));
}

static struct array_desc bytes(int64_t n)
{
    return (struct array_desc){.dtype = "uint8", .ndim = 1, .shape = {n}, .chunks = {n}};
}

struct array_desc array_desc_of_task(const struct graph *g, const struct task *t)
{
    const struct nifti *h = g->nruns > 0 ? &g->runs[0]->nifti : NULL; /* bytes have no grid */
    struct array_desc n;

    switch (task_kind_info(t->kind)->result) {
    case RESULT_PLANES:
        return on_grid(h, "float64", images_in(t, h, sizeof(double)));
    case RESULT_PLANE:
        return on_grid(h, "float64", 0);
    case RESULT_NUMBER:
        return (struct array_desc){.dtype = "float64"};
    case RESULT_IMAGE:
        n = on_grid(h, "float32", 0);
        if (graph_is_by_slices(g))
            n.chunks[2] = 1;
        return n;
    case RESULT_SLICES:
        n = on_grid(h, "float32", 0);
        n.shape[2] = n.chunks[2] = (int64_t)(g->nvox / graph_slice_nvox(g));
        return n;
    case RESULT_VOLUMES:
        return on_grid(h, "float32", images_in(t, h, sizeof(float)));
    case RESULT_BYTES:
        return bytes((int64_t)t->result_nbytes);
    case RESULT_UNKNOWN:
        break;
    }
    return bytes(-1);
}

/* "(64, 64, 30)", "(1504,)", "()" of a number */
static void print_tuple(FILE *f, const int64_t *numbers, int n)
{
    fputc('(', f);
    for (int i = 0; i < n; i++)
        if (numbers[i] < 0)
            fprintf(f, "%s?", i > 0 ? ", " : "");
        else
            fprintf(f, "%s%" PRId64, i > 0 ? ", " : "", numbers[i]);
    fprintf(f, n == 1 ? ",)" : ")");
}

char *array_desc_text(const struct array_desc *n, bool chunks)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    fprintf(f, "%s ", n->dtype);
    print_tuple(f, n->shape, n->ndim);
    if (chunks) {
        fprintf(f, " chunks ");
        print_tuple(f, n->chunks, n->ndim);
    }
    return text_end(f, &text);
}
