/* SPDX-License-Identifier: MIT
 *
 * File names: what they say of a run, and which of them belong together. Pure string work, no I/O.
 *
 * BIDS names follow the rules of the BIDS specification: key-value pairs joined by "_", then a
 * suffix, then the extension: sub-01_ses-test_task-rest_run-1_bold.nii.gz. A name of a run that
 * breaks a rule keeps what is good in it. Of all other names only what is beyond doubt is taken: a
 * run number, and the endings that dcm2niix gives to echoes and to parts of complex images.
 * Thread rule: all functions are reentrant; a struct bids_name owns its text.
 */
#ifndef DERIVFS_BIDS_H
#define DERIVFS_BIDS_H

#include <stdbool.h>
#include <stddef.h>

struct codec;

enum { BIDS_NAME_MAX = 256, BIDS_ENTITIES_MAX = 32 };

struct bids_entity {
    const char *key;   /* "task" */
    const char *value; /* "rest", points into struct bids_name's text */
};

enum bids_form {
    BIDS_FREE,   /* no BIDS name */
    BIDS_NEARLY, /* a run's but for something between "sub-LABEL" and the suffix: `bad` */
    BIDS_PROPER,
};

struct bids_name {
    char text[BIDS_NAME_MAX]; /* private: the name cut up */
    enum bids_form form;
    size_t nentities;
    struct bids_entity entity[BIDS_ENTITIES_MAX]; /* in the order of the name */
    const char *suffix;                           /* "bold"; "" of a free name */
    const char *bad; /* BIDS_NEARLY: the first thing that breaks the rules: "n-back" */
    bool cifti;      /* the suffix is followed by another ending: bold.dtseries.nii */
    char rest
        [BIDS_NAME_MAX]; /* what tells it apart beside suffix and entities: of a nearly BIDS name
                                 the parts that are no entities, of a free name the stem with "#" for
                                 its run number and without the endings that are entities */
    char stem[BIDS_NAME_MAX];     /* the name without its ending */
    char entities[BIDS_NAME_MAX]; /* the entities as written: sub-01_task-rest; of a free name the
                                     stem */
    const struct codec *codec;    /* that the ending stands for; NULL: none, it is no NIfTI name */
};

/* True for a name with something before the ending of a codec, such as .nii.gz (case counts). */
bool bids_is_nifti_name(const char *name);

/* Is it a BIDS name of a run in a format that derivfs does not read: ..._bold.func.gii? */
bool bids_names_other_format(const char *name);

/* Cut up a NIfTI file name. Returns whether it is a BIDS name, at least nearly.
 *
 * A proper one starts with sub-LABEL, every other part but the last is key-value (alphanumeric, not
 * empty; a value may contain "+"), keys are not repeated, the last part is an alphanumeric suffix.
 * A nearly proper one has the first and a suffix of runs. Any other name has stem, entities (= stem),
 * codec (as long as bids_is_nifti_name()) and rest, and of the entities at most run, echo and part.
 * Because of internal pointers a struct bids_name must not be copied by assignment. */
bool bids_parse(const char *name, struct bids_name *out);

/* NULL where the name has no such entity. */
const char *bids_value(const struct bids_name *name, const char *key);

/* Does this name have a suffix of runs: bold or cbv? */
bool bids_has_run_suffix(const struct bids_name *name);

/* Is it the phase, or the real or imaginary part, of a complex image? */
bool bids_is_part(const struct bids_name *name);

/* Is this an entity over which runs are joined: task or run. */
bool bids_joins_over(const char *key);

/* Are two values of the entity `key` the same: run-1 is run-01. `b` may be NULL: no. */
bool bids_same_label(const char *key, const char *a, const char *b);

/* Do two names agree in suffix and in every entity but task and run (order does not matter, echo
 * compares as a number), and proper or nearly proper ones in the rest? */
bool bids_same_group(const struct bids_name *a, const struct bids_name *b);

/* Do two names of a group mean the same run: run-1 and run-01? */
bool bids_same_run(const struct bids_name *a, const struct bids_name *b);

/* The order in which runs are joined, as strcmp(): that of the names in the C locale, but run and
 * echo compare as numbers, and of free names all numbers do. */
int bids_compare(const char *a, const char *b);

#endif
