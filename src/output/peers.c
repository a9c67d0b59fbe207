/* SPDX-License-Identifier: MIT
 *
 * The name of its group is made from the name of each run; a sort brings equal ones together.
 */
#include "peers.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bids.h"
#include "grow.h"
#include "text.h"

/* A run and its group. */
struct member {
    char *name; /* owned */
    size_t row;
};

/* ---- names ---- */

static bool tells_apart(const char *key)
{
    static const char *const ignored[] = {"sub", "ses", "run", "dir"};

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (strcmp(key, ignored[i]) == 0)
            return false;
    return true;
}

/* Echoes compare as numbers. */
static const char *label_of(const struct bids_entity *e)
{
    size_t zeros = strcmp(e->key, "echo") == 0 ? strspn(e->value, "0") : 0;

    return e->value + zeros - (zeros > 0 && !e->value[zeros]);
}

/* malloced; NULL: out of memory. */
static char *group_name(const char *path)
{
    struct bids_name name;
    bool is_bids = bids_parse(base_name(path), &name);
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    for (size_t i = 0; i < name.nentities; i++)
        if (tells_apart(name.entity[i].key))
            fprintf(f, "%s-%s ", name.entity[i].key, label_of(&name.entity[i]));
    fputs(is_bids ? name.suffix : name.rest, f);
    if (is_bids && *name.rest)
        fprintf(f, " (%s)", name.rest);
    return text_end(f, &text);
}

/* ---- groups ---- */

static int compare(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* The group of members[n], which have the same name; it takes over the first one's. */
static int add_group(struct peers *p, struct member *members, size_t n,
                     const struct table_row *rows, double *values)
{
    size_t nvalues = 0;

    if (GROW(p->groups, p->n) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        double median = rows[members[i].row].numbers.median;

        p->of[members[i].row] = p->n;
        if (rows[members[i].row].has_numbers && isfinite(median))
            values[nvalues++] = median;
    }
    p->groups[p->n++] = (struct peer_group){members[0].name, outliers_spread(values, nvalues)};
    members[0].name = NULL;
    return 0;
}

static int form(struct peers *p, struct member *members, const struct table_row *rows, size_t nrows,
                double *values)
{
    size_t n = 0, end;
    int ret = 0;

    for (size_t i = 0; i < nrows; i++) {
        p->of[i] = SIZE_MAX;
        if (rows[i].omitted)
            continue;
        members[n] = (struct member){group_name(rows[i].path), i};
        if (!members[n].name)
            return -ENOMEM;
        n++;
    }
    qsort(members, n, sizeof *members, compare);
    for (size_t at = 0; at < n && ret == 0; at = end) {
        end = at + 1;
        while (end < n && strcmp(members[end].name, members[at].name) == 0)
            end++;
        ret = add_group(p, members + at, end - at, rows, values);
    }
    return ret;
}

int peers_form(const struct table_row *rows, size_t nrows, struct peers *out, struct error *err)
{
    struct member *members = calloc(nrows + 1, sizeof *members);
    double *values = malloc((nrows + 1) * sizeof *values);
    int ret = -ENOMEM;

    *out = (struct peers){.of = malloc((nrows + 1) * sizeof *out->of)};
    if (members && values && out->of)
        ret = form(out, members, rows, nrows, values);
    for (size_t i = 0; members && i < nrows; i++)
        free(members[i].name);
    free(members);
    free(values);
    return ret < 0 ? error_set(err, ENOMEM, "groups of runs: out of memory") : 0;
}

void peers_clear(struct peers *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->groups[i].name);
    free(p->groups);
    free(p->of);
}
