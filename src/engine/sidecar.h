/* SPDX-License-Identifier: MIT
 *
 * Sidecars: NAME.json describes NAME.nii, in the terms of BIDS if it has them.
 *
 *     Description         of the recipe
 *     Sources             the runs as BIDS URIs, in the order in which they are joined
 *     SpatialReference    the first of them, whose grid the image has
 *     SkullStripped       false: derivfs masks nothing
 *     Recipe              its name in the mount
 *     Expression          as written in the recipe, Parameters with their values
 *     Definition          the full expression, and the conventions of computing it
 *     SoftwareName, SoftwareVersion
 *
 * and, if it is also the sidecar of the table NAME.tsv, the columns (table.h). Depends on names
 * and the recipe alone: the text, and so the file's size, is known at once. Thread rule:
 * reentrant.
 */
#ifndef DERIVFS_SIDECAR_H
#define DERIVFS_SIDECAR_H

#include "derived.h"

/* The sidecar of the image that `d` describes, whose recipe is not wrong. `dataset` names the runs'
 * dataset in BIDS URIs, "" the dataset of the sidecar. malloced; NULL: out of memory. */
char *sidecar_text(const struct derived *d, const char *dataset) NODISCARD;

#endif
