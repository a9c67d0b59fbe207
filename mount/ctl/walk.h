/* SPDX-License-Identifier: MIT
 *
 * All derived files of a directory and its subdirectories, in the order of the directories' names.
 *
 * The directories are those of engine_walk(). Keeps one row for each directory that
 * has derived files, and looks its files up again when their turn comes.
 * Thread rule: one thread.
 */
#ifndef DERIVFS_WALK_H
#define DERIVFS_WALK_H

#include "orders.h"

struct walk;

/* Find and count the files below t->path: those that the plain names `names` [nnames] (such as
 * "tsnr.nii") stand for, listed or not; without names, those that listings show. Directories that
 * cannot be read are printed on stderr, and skipped. `t` and `names` outlive the walk. ENOTDIR,
 * ENOMEM, EDOM: a name has wrong parameters. */
int walk_new(const struct target *t, char *const *names, size_t nnames, struct walk **out,
             struct error *err) NODISCARD;
void walk_free(struct walk *w);

struct walk_counts {
    size_t nfiles;
    size_t nfailed; /* directories that could not be read, so far */
    double weight;  /* of all files: bytes of all runs */
};
/* Say on stderr which files that might be taken for runs are not used. */
void walk_say_left_out(const struct walk *w);

/* If there are runs, say on stderr which of the names no file has. Returns how many. */
size_t walk_say_unknown(const struct walk *w);

const struct walk_counts *walk_counts(const struct walk *w);

/* An orders_next_fn: the next file, weighted by its share of the bytes of its directory's runs. */
bool walk_next(void *walk, struct order *out);

#endif
