/* SPDX-License-Identifier: MIT
 *
 * Small helpers on streams.
 */
#include "stream.h"

#include <stdlib.h>

void stream_clear(struct stream *s)
{
    for (size_t i = 0; i < s->nleaves; i++)
        run_put(s->leaves[i].run);
    free(s->leaves);
    expr_free(s->e);
    *s = (struct stream){.e = NULL};
}

static bool same_leaf(const struct stream_leaf *a, const struct stream_leaf *b)
{
    return a->kind == b->kind && a->run == b->run && a->vol0 == b->vol0 && a->task == b->task &&
           a->order == b->order && a->fit_nvol == b->fit_nvol;
}

size_t stream_add_leaf(struct stream *s, struct stream_leaf leaf)
{
    struct stream_leaf *grown;

    for (size_t i = 0; i < s->nleaves; i++)
        if (same_leaf(&s->leaves[i], &leaf)) {
            run_put(leaf.run);
            return i;
        }
    grown = realloc(s->leaves, (s->nleaves + 1) * sizeof *grown);
    if (!grown) {
        run_put(leaf.run);
        return SIZE_MAX;
    }
    s->leaves = grown;
    s->leaves[s->nleaves] = leaf;
    return s->nleaves++;
}

bool stream_is_raw(const struct stream *s)
{
    return s->e->op == EXPR_BOLD && s->leaves[s->e->start].kind == LEAF_SAMPLE;
}

enum sample_type stream_sample_type(const struct stream *s)
{
    return stream_is_raw(s) ? s->leaves[s->e->start].run->nifti.sample : SAMPLE_FLOAT64;
}

uint64_t stream_work_nbytes(const struct stream *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->nleaves; i++)
        if (s->leaves[i].kind == LEAF_SAMPLE)
            sum += s->leaves[i].run->id.size;
    return sum;
}
