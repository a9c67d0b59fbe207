/* SPDX-License-Identifier: MIT
 *
 * Who may read what is made of several sources: nobody who may not read each of them.
 *
 *     rights_of_all -> rights_add_... for each source -> rights_end
 *
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_SOURCE_RIGHTS_H
#define DERIVFS_SOURCE_RIGHTS_H

#include "dataset.h"
#include "rights.h"

/* Of no source yet. */
extern const struct rights rights_of_all;

/* Of a source, or what is made of sources. */
void rights_add(struct rights *r, const struct rights *part);
/* Nothing comes from a run that could not be looked at. */
void rights_add_run(struct rights *r, const struct run *run);
/* Where nobody is left, whoever mounted may read, as far as he may read the sources. */
void rights_end(struct rights *r);

/* Of all runs of the directory. */
struct rights runs_rights(const struct dir_scan *scan);

#endif
