/* SPDX-License-Identifier: MIT
 *
 * What makes a directory of derived files a BIDS derivative dataset (layout=derivatives):
 *
 *     dataset_description.json    DatasetType, GeneratedBy, DatasetLinks to the runs' dataset
 *     README                      what this is, for who finds a copy
 *     .bidsignore                 patterns of the names that BIDS 1.10 lacks: the entity `stat`,
 *                                 the suffixes boldmap and cbvmap, images of joined runs
 *
 * Known from the settings alone. Thread rule: reentrant.
 */
#ifndef DERIVFS_DESCRIPTION_H
#define DERIVFS_DESCRIPTION_H

#include "error.h"
#include "recipe.h"

/* What BIDS URIs of the derivative dataset call the runs' dataset. */
#define DESCRIPTION_RAW "raw"

/* The name of file number `i`, or NULL behind the last. */
const char *description_name(size_t i);

/* The text of the file called `name`: malloced. `dataset` is the path of the runs' dataset, two
 * levels above. ENOENT: no such file; ENOMEM. */
int description_text(const char *name, const char *dataset, const struct recipe_table *table,
                     char **out, struct error *err) NODISCARD;

#endif
