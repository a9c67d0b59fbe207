/* SPDX-License-Identifier: MIT
 *
 * Lists of files that are no runs. Small: linear in what was left out.
 */
#include "omission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "text.h"

static const struct {
    bool expected;
    const char *text;
} kinds[] = {
#define ROW(name, expected, text) [name] = {expected, text},
    OMISSION_KINDS(ROW)
#undef ROW
};

int omissions_add(struct omissions *o, const char *path, const char *reason, bool expected,
                  bool by_name)
{
    size_t n = strlen(path);
    struct omission new = {.expected = expected, .by_name = by_name};

    if (strncmp(reason, path, n) == 0 && strncmp(reason + n, ": ", 2) == 0)
        reason += n + 2;
    new.path = strdup(path);
    new.reason = strdup(reason);
    if (!new.path || !new.reason || GROW(o->list, o->n) < 0) {
        free(new.path);
        free(new.reason);
        return -ENOMEM;
    }
    o->list[o->n++] = new;
    return 0;
}

int omissions_add_kind(struct omissions *o, const char *dir, const char *name,
                       enum omission_kind kind)
{
    char *path = join_path(dir, name);
    int ret = path ? omissions_add(o, path, kinds[kind].text, kinds[kind].expected, true) : -ENOMEM;

    free(path);
    return ret;
}

int omissions_copy_names(struct omissions *o, const struct omissions *from)
{
    int ret = 0;

    for (size_t i = 0; i < from->n && ret == 0; i++)
        if (from->list[i].by_name)
            ret = omissions_add(o, from->list[i].path, from->list[i].reason, from->list[i].expected,
                                true);
    return ret;
}

static const struct omission *next_by_name(const struct omissions *o, size_t *i)
{
    while (*i < o->n && !o->list[*i].by_name)
        ++*i;
    return *i < o->n ? &o->list[(*i)++] : NULL;
}

bool omissions_same_names(const struct omissions *a, const struct omissions *b)
{
    size_t i = 0, k = 0;

    for (;;) {
        const struct omission *x = next_by_name(a, &i), *y = next_by_name(b, &k);

        if (!x || !y)
            return x == y;
        if (strcmp(x->path, y->path) != 0 || strcmp(x->reason, y->reason) != 0)
            return false;
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct omission *)a)->path, ((const struct omission *)b)->path);
}

void omissions_sort(struct omissions *o)
{
    if (o->n > 0)
        qsort(o->list, o->n, sizeof *o->list, by_path);
}

bool omissions_unexpected(const struct omissions *o)
{
    for (size_t i = 0; i < o->n; i++)
        if (!o->list[i].expected)
            return true;
    return false;
}

void omissions_clear(struct omissions *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->list[i].path);
        free(o->list[i].reason);
    }
    free(o->list);
    *o = (struct omissions){.n = 0};
}
