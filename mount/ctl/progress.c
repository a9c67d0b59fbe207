/* SPDX-License-Identifier: MIT
 *
 * The bar: fraction of the weights, files, failures, time left.
 */
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "grow.h"
#include "human.h"
#include "monotonic.h"

/* The time that the rest takes at the rate so far, in whole seconds; "" if unknown. */
static struct human time_left(const struct progress *p, double done)
{
    int64_t elapsed_ns = monotonic_ns() - p->began_ns, left_s;
    double fresh = done - p->saved_weight, rest = p->weight - done;
    struct human out = {""};

    if (elapsed_ns < 1000000000 || fresh <= 0 || rest <= 0)
        return out;
    left_s = (int64_t)ceil((double)elapsed_ns * rest / fresh / 1e9);
    if (left_s >= 60)
        return human_span(left_s * 1000000000);
    snprintf(out.text, sizeof out.text, "%" PRId64 " s", left_s);
    return out;
}

static void show(struct progress *p, double under_way)
{
    enum { WIDTH = 40 };
    size_t nfinished = p->ncomputed + p->ncached + p->nfailed;
    size_t n = nfinished > p->nfiles ? nfinished : p->nfiles;
    double done = p->done_weight + under_way;
    double part = nfinished == n ? 1 : p->weight > 0 ? done / p->weight : 0;
    double fraction = part < 1 ? part : 1;
    struct human left = time_left(p, done);
    int width = status_line_width() < 2 * WIDTH ? status_line_width() / 4 : WIDTH;
    int filled = (int)(fraction * width);
    char text[160];
    size_t at = 0;

    if (p->line.terminal)
        at = (size_t)snprintf(text, sizeof text, "[%.*s%*s] ", filled,
                              "########################################", width - filled, "");
    at += (size_t)snprintf(text + at, sizeof text - at, "%3.0f %%  %zu of %zu%s",
                           floor(100 * fraction), nfinished, n, p->line.terminal ? "" : " files");
    if (p->nfailed > 0)
        at += (size_t)snprintf(text + at, sizeof text - at, "  %zu failed", p->nfailed);
    if (left.text[0])
        snprintf(text + at, sizeof text - at, "  %s left", left.text);
    status_line_show(&p->line, text);
}

void progress_begin(struct progress *p, size_t nfiles, double weight)
{
    *p = (struct progress){.nfiles = nfiles, .weight = weight, .began_ns = monotonic_ns()};
    status_line_begin(&p->line);
}

void progress_show(struct progress *p, double under_way)
{
    if (status_line_is_due(&p->line))
        show(p, under_way);
}

void progress_fail(struct progress *p, double weight, char *line)
{
    p->nfailed++;
    p->done_weight += weight;
    /* what is wrong with the cache is wrong for each dataset */
    if (line && p->nkept > 0 && strcmp(line, p->failures[p->nkept - 1]) == 0)
        free(line);
    else if (line && GROW(p->failures, p->nkept) == 0)
        p->failures[p->nkept++] = line;
    else
        free(line);
}

void progress_end(struct progress *p)
{
    if (p->line.terminal)
        show(p, 0);
    status_line_end(&p->line, true);
    for (size_t i = 0; i < p->nkept; i++) {
        ctl_say("%s", p->failures[i]);
        free(p->failures[i]);
    }
    free(p->failures);
    p->failures = NULL;
    p->nkept = 0;
}
