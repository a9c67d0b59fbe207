/* SPDX-License-Identifier: MIT
 *
 * All derived files of a directory and those below, in the order of the directories' names.
 *
 * Directories whose names begin with a dot, and links, are not entered. Keeps one line for each
 * directory that has derived files; the files are looked up again when their turn comes.
 * Thread rule: one thread.
 */
#ifndef DERIVFS_WALK_H
#define DERIVFS_WALK_H

#include "ctl.h"

struct walk;

/* Find and count the files below t->path: those that the plain names `names` [nnames] (as
 * "tsnr.nii") stand for, listed or not, or with none all that listings show. Directories that
 * cannot be read are told on stderr, counted, and passed over. ENOTDIR, ENOMEM. `t` and `names`
 * outlive the walk. */
int walk_new(const struct target *t, char *const *names, size_t nnames, struct walk **out,
             struct error *err) NODISCARD;
void walk_free(struct walk *w);

size_t walk_nfiles(const struct walk *w);
size_t walk_nfailed(const struct walk *w); /* directories passed over */
double walk_weight(const struct walk *w);  /* bytes of all runs below: the sum of what follows */

/* The next file, and its share of its directory's runs; false behind the last: an
 * orders_next_fn. */
bool walk_next(void *walk, struct found *out, double *weight);

#endif
