/* SPDX-License-Identifier: MIT
 *
 * Operations on streams.
 */
#include "stream.h"

#include <stdlib.h>

#include "grow.h"

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
    size_t i = 0;

    while (i < s->nleaves && !same_leaf(&s->leaves[i], &leaf))
        i++;
    if (i == s->nleaves && GROW(s->leaves, i) == 0) {
        s->leaves[s->nleaves++] = leaf;
        return i;
    }
    run_put(leaf.run);
    return i < s->nleaves ? i : SIZE_MAX;
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
