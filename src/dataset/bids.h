/* SPDX-License-Identifier: MIT
 *
 * BIDS file names: entities, suffix, extension. Pure string work, no I/O.
 *
 * Follows the file name rules of the BIDS specification: key-value pairs joined by "_", then a
 * suffix, then the extension: sub-01_ses-test_task-rest_run-1_bold.nii.gz.
 * Thread rule: all functions are reentrant; a struct bids_name owns its text.
 */
#ifndef DERIVFS_BIDS_H
#define DERIVFS_BIDS_H

#include <stdbool.h>
#include <stddef.h>

struct codec;

enum { BIDS_NAME_MAX = 256, BIDS_ENTITIES_MAX = 32 };

struct bids_entity {
    const char *key;   /* "task", points into struct bids_name's text */
    const char *value; /* "rest" */
};

struct bids_name {
    char text[BIDS_NAME_MAX]; /* private: the name cut up */
    size_t nentities;
    struct bids_entity entity[BIDS_ENTITIES_MAX]; /* in the order of the name */
    const char *suffix;                           /* "bold"; "" without BIDS names */
    char stem[BIDS_NAME_MAX];                     /* the name without its ending */
    char entities[BIDS_NAME_MAX]; /* the entities as written: sub-01_task-rest; without BIDS
                                     names the stem */
    const struct codec *codec;    /* that the ending stands for; NULL: none, it is no NIfTI name */
};

/* True for a name with something before the ending of a codec, such as .nii.gz (case counts). */
bool bids_is_nifti_name(const char *name);

/* Cut up a NIfTI file name. Returns whether it is a BIDS name: starts with sub-LABEL, every other
 * part but the last is key-value (alphanumeric, not empty; a value may contain "+"), keys are not
 * repeated, the last part is an alphanumeric suffix. Otherwise `out` still has stem, entities
 * (= stem) and codec as long as bids_is_nifti_name(), with no entity and an empty suffix. Because
 * of internal pointers a struct bids_name must not be copied by assignment. */
bool bids_parse(const char *name, struct bids_name *out);

/* NULL where the name has no such entity. */
const char *bids_value(const struct bids_name *name, const char *key);

/* Is this BIDS name one of a run: suffix bold or cbv, and no part but part-mag. */
bool bids_names_run(const struct bids_name *name);

/* Is this an entity over which runs are joined: task or run. */
bool bids_joins_over(const char *key);

/* Do two names agree in suffix and in every entity but task and run (order does not matter)? Names
 * that are not BIDS names have neither and so agree with each other. */
bool bids_same_group(const struct bids_name *a, const struct bids_name *b);

#endif
