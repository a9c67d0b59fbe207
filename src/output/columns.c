/* SPDX-License-Identifier: MIT
 *
 * A new key is inserted after the one before it in its name: the columns have the order of BIDS even
 * if the first names lack some. Costs a look at every name and column.
 */
#include "columns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* The index of `key`; c->n: not found. */
static size_t find_key(const struct columns *c, const char *key)
{
    size_t at = 0;

    while (at < c->n && strcmp(c->key[at], key) != 0)
        at++;
    return at;
}

static int insert(struct columns *c, size_t at, const char *key)
{
    char *copy = strdup(key);

    if (!copy)
        return -ENOMEM;
    memmove(c->key + at + 1, c->key + at, (c->n - at) * sizeof *c->key);
    c->key[at] = copy;
    c->n++;
    return 0;
}

int columns_add(struct columns *c, const char *path)
{
    struct bids_name name;
    size_t next = 0;

    if (!bids_parse(base_name(path), &name))
        return 0;
    for (size_t i = 0; i < name.nentities; i++) {
        size_t at = find_key(c, name.entity[i].key);

        if (at == c->n && c->n < COLUMNS_MAX) {
            at = next;
            if (insert(c, at, name.entity[i].key) < 0)
                return -ENOMEM;
        }
        next = at < c->n ? at + 1 : c->n;
    }
    return 0;
}

void columns_clear(struct columns *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->key[i]);
    c->n = 0;
}

/* The label of "sub-02", a link to a subject, say. */
static const char *label_of(const char *name, const char *key)
{
    size_t n = strlen(key);

    return strncmp(name, key, n) == 0 && name[n] == '-' && !strpbrk(name, "_.") ? name + n + 1
                                                                                : NULL;
}

const char *columns_cell(const struct columns *c, size_t i, const char *path,
                         char cell[BIDS_NAME_MAX])
{
    const char *key = c->key[i], *value;
    struct bids_name name;
    bool whole = strcmp(key, "sub") == 0 || strcmp(key, "ses") == 0;

    value = bids_parse(base_name(path), &name) ? bids_value(&name, key)
                                               : label_of(base_name(path), key);
    if (!value)
        return NULL;
    snprintf(cell, BIDS_NAME_MAX, "%s%s%s", whole ? key : "", whole ? "-" : "", value);
    return cell;
}
