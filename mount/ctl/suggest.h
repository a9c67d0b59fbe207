/* SPDX-License-Identifier: MIT
 *
 * What a word that nothing is called was meant to be. Thread rule: no shared state.
 */
#ifndef DERIVFS_SUGGEST_H
#define DERIVFS_SUGGEST_H

#include <stddef.h>

#include "ctl.h"

struct suggestion {
    const char *word;
    char *best;      /* the candidate that is most like it, owned; NULL: none is like it */
    size_t distance; /* of `best` */
};

/* A candidate counts if at most a third of the word's letters are wrong, swapped, missing or too
 * many. */
void suggestion_try(struct suggestion *s, const char *candidate);

/* What `name`, which is not in the mount's directory `dir`, may be meant to be: a derived file there
 * or one of a recipe in force. With `dir` NULL only recipes count. malloced; NULL: nothing. */
char *suggest_file(const struct target *t, const char *dir, const char *name) NODISCARD;

#endif
