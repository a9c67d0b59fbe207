/* SPDX-License-Identifier: MIT
 *
 * Which of two a found() is, and the mask of numbers, tables and pictures: that of the recipe brain.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "plan_private.h"
#include "text.h"

const struct found_input *plan_found_input(const struct plan_request *q, const struct expr *e)
{
    return q->inputs ? inputs_get(q->inputs, e->input) : NULL;
}

const struct expr *plan_found(const struct plan_request *q, const struct expr *e)
{
    while (e->op == EXPR_FOUND) {
        const struct found_input *found = plan_found_input(q, e->args[0]);

        e = e->args[found && found->absent];
    }
    return e;
}

/* Is it Otsu's head of the mean over time of all runs? Who uses it makes it from that mean. */
static bool is_head(const struct expr *e)
{
    return e->op == EXPR_OTSU && e->args[0]->op == EXPR_MEAN &&
           e->args[0]->args[0]->op == EXPR_BOLD;
}

int plan_mask(const struct plan_request *q, const struct expr **out, struct error *err)
{
    const struct expr *e = recipe_brain(q->table);

    *out = e ? plan_found(q, e) : NULL;
    if (!e)
        return error_set(err, EIO, "the recipe brain, whose mask is needed, is wrong");
    if (is_head(*out))
        *out = NULL;
    return 0;
}

static void print_files(FILE *f, const struct found_input *found)
{
    for (size_t i = 0; i < found->nruns; i++)
        if (found->files[i] && (i == 0 || found->files[i] != found->files[i - 1]))
            fprintf(f, "%s%s", i > 0 ? ", " : "", found->files[i]->path);
}

char *plan_mask_text(const struct plan_request *q)
{
    const struct expr *e;
    char *text = NULL;
    size_t nbytes;
    FILE *f;

    if (plan_mask(q, &e, NULL) < 0 || !e)
        return strdup(PLAN_MASK_OTSU);
    if (!e->input || !plan_found_input(q, e))
        return expr_print(e);
    f = open_memstream(&text, &nbytes);
    if (!f)
        return NULL;
    print_files(f, plan_found_input(q, e));
    return text_end(f, &text);
}
