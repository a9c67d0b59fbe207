/* SPDX-License-Identifier: MIT
 *
 * Files that are no runs although they might be, and the sentence that says why: for listings,
 * tables and errors, so that nothing is left out without a word.
 *
 * Thread rule: reentrant; a struct omissions belongs to one thread while it grows.
 */
#ifndef DERIVFS_OMISSION_H
#define DERIVFS_OMISSION_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Why a name alone tells that a file is no run; and is that expected, as of a phase image? */
#define OMISSION_KINDS(X)                                                                          \
    X(OMITTED_PART, true, "a phase image, or the real or imaginary part of a complex image")       \
    X(OMITTED_TWIN, true, "the same name with another ending is the run")                          \
    X(OMITTED_NAME, false, "no BIDS name of a run, but the directory has some")                    \
    X(OMITTED_CIFTI, false, "a CIFTI file: surfaces and grayordinates, not a series of volumes")   \
    X(OMITTED_FORMAT, false, "not in a format that derivfs reads (.nii, .nii.gz, .nii.zst)")

#define OMISSION_NAME(name, expected, text) name,
enum omission_kind { OMISSION_KINDS(OMISSION_NAME) };
#undef OMISSION_NAME

struct omission {
    char *path;    /* relative to the dataset's root */
    char *reason;  /* without the path */
    bool expected; /* nobody would take it for a run: not worth a row in a table */
    bool by_name;  /* found by name alone: holds as long as the listing */
};

struct omissions {
    struct omission *list; /* [n] */
    size_t n;
};

/* Copies the texts; a reason that begins with "PATH: " loses that. -ENOMEM. */
int omissions_add(struct omissions *o, const char *path, const char *reason, bool expected,
                  bool by_name) NODISCARD;
/* The file `name` of `dir`. */
int omissions_add_kind(struct omissions *o, const char *dir, const char *name,
                       enum omission_kind kind) NODISCARD;
/* Append those of `from` that were found by name. */
int omissions_copy_names(struct omissions *o, const struct omissions *from) NODISCARD;
/* Were the same ones found by name, in the same order? */
bool omissions_same_names(const struct omissions *a, const struct omissions *b);
/* In the order of paths. */
void omissions_sort(struct omissions *o);
/* Is there one that is not expected? */
bool omissions_unexpected(const struct omissions *o);
void omissions_clear(struct omissions *o);

#endif
