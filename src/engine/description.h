/* SPDX-License-Identifier: MIT
 *
 * The files that make a directory of derived files a BIDS derivative dataset (layout=derivatives, and
 * exports):
 *
 *     dataset_description.json    DatasetType, GeneratedBy, DatasetLinks to the runs' dataset
 *     README                      explains a copy of the directory
 *     .bidsignore                 patterns of the names that BIDS lacks. The entity `stat` and the
 *                                 suffix boldmap are those of a draft, BIDS extension proposal 12
 *
 * They depend on the settings alone. Thread rule: reentrant.
 */
#ifndef DERIVFS_DESCRIPTION_H
#define DERIVFS_DESCRIPTION_H

#include "error.h"
#include "recipe.h"

/* The runs' dataset in BIDS URIs of the derivative dataset. */
#define DESCRIPTION_RAW "raw"

/* The name of file `i`; NULL after the last. */
const char *description_name(size_t i);

/* The text of the file `name`: malloced. `dataset`: the path of the runs' dataset, `raw` its URI as
 * seen from the derivative dataset. ENOENT: no such file; ENOMEM. */
int description_text(const char *name, const char *dataset, const char *raw,
                     const struct recipe_table *table, char **out, struct error *err) NODISCARD;

#endif
