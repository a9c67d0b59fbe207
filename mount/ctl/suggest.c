/* SPDX-License-Identifier: MIT
 *
 * The distance is that of Damerau and Levenshtein, by dynamic programming over three rows.
 */
#include "suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 128 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours; case does not count. Both words are
 * short. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1], na = strlen(a), nb = strlen(b);

    for (size_t k = 0; k <= nb; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= na; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t k = 1; k <= nb; k++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[k - 1]);

            row[k] = least(least(above[k], row[k - 1]) + 1, above[k - 1] + !same);
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                row[k] = least(row[k], before[k - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

void suggestion_try(struct suggestion *s, const char *candidate)
{
    size_t n = strlen(s->word), d;

    if (n > WORD_MAX || strlen(candidate) > WORD_MAX)
        return;
    d = distance(s->word, candidate);
    if (d > least(n / 3, 3) || (s->best && d >= s->distance))
        return;
    free(s->best);
    s->best = strdup(candidate);
    s->distance = d;
}

/* ---- files ---- */

/* The ending of a file that an image may have; "" if it is none of those. */
static const char *ending_of(const char *name)
{
    static const char *const endings[] = {".nii.gz", ".nii", ".png", ".json", ".svg", ".tsv"};
    size_t n = strlen(name);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (n > strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return name + n - strlen(endings[i]);
    return "";
}

/* An engine_recipe_fn: the file of this recipe with the word's ending; an image if it has none. */
static void try_recipe(void *ctx, const struct recipe_info *r)
{
    struct suggestion *s = ctx;
    const char *ending = ending_of(s->word);
    char *name = NULL;

    if (asprintf(&name, "%s%s", r->name, r->is_command ? "" : *ending ? ending : ".nii") < 0)
        return;
    if (!*ending && strcmp(s->word, r->name) == 0) {
        free(s->best);
        s->best = name;
        s->distance = 0;
        return;
    }
    suggestion_try(s, name);
    free(name);
}

/* The word without ending, if nothing with one is like it: "tsrn" for tsnr.nii. */
static void try_stem(void *ctx, const struct recipe_info *r)
{
    struct suggestion *s = ctx, stem = {.word = s->word};

    if (*ending_of(s->word) || r->is_command)
        return;
    suggestion_try(&stem, r->name);
    if (stem.best && (!s->best || stem.distance < s->distance)) {
        free(s->best);
        s->distance = stem.distance;
        if (asprintf(&s->best, "%s.nii", r->name) < 0)
            s->best = NULL;
    }
    free(stem.best);
}

char *suggest_file(const struct target *t, const char *dir, const char *name)
{
    struct suggestion s = {.word = name};
    struct found_list list = {.files = NULL};

    engine_each_recipe(t->engine, try_recipe, &s);
    if (dir && found_add(t->engine, dir, NULL, &list, NULL) == 0)
        for (size_t i = 0; i < list.n; i++)
            suggestion_try(&s, derived_info(list.files[i].derived).name);
    found_free(&list);
    engine_each_recipe(t->engine, try_stem, &s);
    return s.best;
}
