/* SPDX-License-Identifier: MIT
 *
 * Which file an input (input.h) is, for some runs.
 *
 *     sub-01/ses-1/func/sub-01_ses-1_task-rest_space-T1w_desc-preproc_bold.nii.gz
 *         desc-brain_mask.nii.gz     sub-01/ses-1/func/..._space-T1w_desc-brain_mask.nii.gz
 *         anat/dseg.nii.gz           sub-01/ses-1/anat/..., sub-01/ses-1/..., sub-01/anat/..., sub-01/...
 *
 * Looked for in the run's directory, then in those above up to the subject's (without a subject, the
 * dataset's); with a datatype, beside the run's. The nearest directory with a file that fits counts. A
 * file fits if it has the suffix, the kind of ending and the entities of the pattern; if each other
 * entity that it has is the run's; and if it has the run's space, cohort, res, den and hemi, unless
 * the pattern has a space. Of several that fit, the one with most entities
 * counts; a tie is an error. It is an image on the run's grid: nothing is resampled. Sources: BIDS
 * specification, Common principles, "The inheritance principle"; fMRIPrep's outputs.
 * Thread rule: any thread; what was found is immutable.
 */
#ifndef DERIVFS_INPUTS_H
#define DERIVFS_INPUTS_H

#include "finder.h"
#include "input.h"
#include "rights.h"

/* An input of the runs of a derived file. */
struct found_input {
    struct input *input;   /* a reference */
    struct run **files;    /* [nruns] references: what it is for each run; NULL: nothing */
    struct rights *rights; /* [nruns] of those who can reach the file from the run and read it */
    char **looked;         /* [nruns] the directories looked into, in this order; or NULL */
    size_t nruns;
    bool absent;        /* there is no such file for any of the runs */
    struct error error; /* why it cannot be used; code 0: it can */
};

struct input_set {
    struct found_input *list; /* [n] */
    size_t n;
};

/* Find the input for runs[nruns], those that are RUN_OK, of the directory `dir`, and add it to the
 * set, if it is not there. Only -ENOMEM is a failure: `error` of what was found has the others. */
int inputs_find(struct finder *f, const char *dir, struct input *in, struct run *const *runs,
                size_t nruns, enum scan_freshness freshness, struct input_set *set) NODISCARD;
/* NULL: it was not looked for. */
const struct found_input *inputs_get(const struct input_set *set, const struct input *in);
void inputs_clear(struct input_set *set);

#endif
