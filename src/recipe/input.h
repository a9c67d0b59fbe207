/* SPDX-License-Identifier: MIT
 *
 * Inputs: files of the dataset that an expression uses beside its runs, such as a brain mask.
 *
 *     file("desc-brain_mask.nii.gz", "label-brain_mask.nii.gz", kind=mask)
 *
 * A pattern is [DATATYPE/][KEY-LABEL_]...SUFFIX.ENDING: what the file's name must have. The rest of
 * the name follows from the run (inputs.h finds the file). The first pattern that finds one counts.
 * All endings of NIfTI files are the same. Thread rule: an input is immutable; any thread.
 */
#ifndef DERIVFS_INPUT_H
#define DERIVFS_INPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "error.h"

/* What the voxels of a file mean. */
enum input_kind {
    INPUT_IMAGE,
    INPUT_MASK,   /* true where it is neither 0 nor NaN */
    INPUT_LABELS, /* whole numbers; 0 is the background */
    INPUT_NKINDS
};

/* The mask of joined runs that have a mask each. */
enum input_join { INPUT_ALL, INPUT_ANY, INPUT_NJOINS }; /* what all, or any of them, have */

enum { INPUT_NAME_MAX = 256, INPUT_ENTITIES_MAX = 32 };

/* A file's name, cut up: any that has the form of a pattern's last part. Must not be copied by
 * assignment. */
struct input_name {
    char text[INPUT_NAME_MAX]; /* private: the name cut up */
    struct {
        const char *key, *label;
    } entity[INPUT_ENTITIES_MAX]; /* [nentities] in the order of the name */
    size_t nentities;
    const char *suffix;
    const char *ending; /* "nii.gz" */
    bool nifti;         /* it is one of a NIfTI file */
};

/* False: the name has another form. */
bool input_name_parse(const char *name, struct input_name *out);
/* NULL: it has no such entity. */
const char *input_name_label(const struct input_name *name, const char *key);

struct input {
    atomic_int refs;
    char *name;      /* of the recipe that is this input; NULL: none */
    char **patterns; /* [npatterns] */
    size_t npatterns;
    enum input_kind kind;
    enum input_join join; /* of a mask */
};

/* Add a pattern. EINVAL: it has another form; the sentence does not name it. ENOMEM. */
int input_add_pattern(struct input *in, const char *pattern, size_t nbytes,
                      struct error *err) NODISCARD;
/* Where the last part of a pattern begins; the part before it, if any, is the datatype. */
const char *input_pattern_file(const char *pattern);
/* What the first pattern's suffix says. */
enum input_kind input_default_kind(const struct input *in);

/* By name[nbytes]; the number of kinds or joins: there is none. */
enum input_kind input_kind_find(const char *name, size_t nbytes);
enum input_join input_join_find(const char *name, size_t nbytes);
extern const char *const input_kind_names[INPUT_NKINDS];

/* Do they mean the same file and the same values of it? Names do not count. */
bool input_equal(const struct input *a, const struct input *b);
/* As an expression has it. */
void input_print(FILE *f, const struct input *in);
char *input_text(const struct input *in) NODISCARD; /* the same, malloced; NULL: out of memory */
/* What messages call it: its name, or its first pattern. */
const char *input_title(const struct input *in);

struct input *input_new(void) NODISCARD; /* one without patterns; NULL: out of memory */
struct input *input_get(struct input *in);
void input_put(struct input *in); /* NULL is allowed */

#endif
